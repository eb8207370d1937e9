# Everything a person needs. On a fresh machine with Python >= 3.11 and make, each target
# sets up what it uses first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
export PYTHONASYNCIODEBUG ?=

.PHONY: help demo test check chaos bench bench-attribution micro lock clean
help:  ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.11 to 3.13 is needed; name one with: make PYTHON=python3.13 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)  ## The whole system on a sample conversation; ONCE=1 ends after it
	$(BIN)/realtime-core demo $(if $(ONCE),--once)

# Those that measure come last, when nothing else runs. Status 5: ARGS choose none of them.
test: $(READY)  ## Lint, types and all tests that need no browser and no GStreamer
	$(MAKE) --no-print-directory lint
	@export PYTHONASYNCIODEBUG=1; tests="not gstreamer and not chromium"; \
	  $(BIN)/pytest -n 2 --dist worksteal -m "$$tests and not alone" $(ARGS); side_by_side=$$?; \
	  [ $$side_by_side -eq 0 ] || [ $$side_by_side -eq 5 ] || exit $$side_by_side; \
	  $(BIN)/pytest -m "$$tests and alone" $(ARGS); alone=$$?; \
	  [ $$alone -eq 5 ] && exit $$side_by_side; exit $$alone

check: $(READY)  ## Lint, types and the fast tests
	$(MAKE) --no-print-directory lint
	$(BIN)/pytest -n 2 --dist worksteal \
	  -m "not gstreamer and not chromium and not slow and not postgres and not ffmpeg"

.PHONY: lint
lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

chaos: $(READY)  ## Break the whole system at random, lose nothing; SECONDS=120 SEED=…
	@$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED)) $(ARGS)

# Needs Node.js 20 and npm for the original. The whole ladder takes half an hour.
bench: $(READY)  ## Rooms and viewers, ours beside the original's stack; QUICK=1: 2 minutes
	@PYTHONPATH=src:. $(BIN)/python -m bench ladder $(if $(QUICK),--quick) $(ARGS)
	@$(if $(QUICK),,PYTHONPATH=src:. $(BIN)/python bench/hub_fanout.py \
	  --viewers 50,100,200,500,1000,2000,3000 --json bench/results/fanout.json)
	@$(if $(QUICK),,PYTHONPATH=src:. $(BIN)/python -m bench report)

bench-attribution: $(READY)  ## How many words get the right name, ours beside three other ways
	@PYTHONPATH=src:. $(BIN)/python -m bench.attribution $(ARGS)

micro: $(READY)  ## What the hot functions cost, beside the least that they could
	for each in rtmp_cost decode_cost stt_cost hub_fanout journal_append; do \
	  PYTHONPATH=src:. $(BIN)/python bench/$$each.py || exit 1; done

lock:  ## Pin the dependencies anew (needs uv on the PATH)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --no-annotate pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --no-annotate --all-extras -c requirements.lock \
	  pyproject.toml -o requirements-dev.lock

clean:  ## Remove what the targets made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
