import tomllib
from pathlib import Path
from typing import Any

import pytest

from realtime_core.cli import STOP_MARGIN_S
from realtime_core.settings import Settings

ROOT = Path(__file__).parent.parent
CUSHION_S = 5


def deploy() -> dict[str, Any]:
    settings = tomllib.loads((ROOT / "railway.toml").read_text())
    table: dict[str, Any] = settings["deploy"]
    return table


@pytest.mark.parametrize(
    "key", ["healthcheckTimeout", "restartPolicyMaxRetries", "overlapSeconds", "drainingSeconds"]
)
def test_railway_gets_integers_where_it_wants_integers(key: str) -> None:
    assert type(deploy()[key]) is int


def test_railway_waits_longer_than_the_service_takes_to_stop() -> None:
    grace_s = Settings.model_fields["stop_grace_s"].default
    assert deploy()["drainingSeconds"] >= grace_s + STOP_MARGIN_S + CUSHION_S


def test_the_image_runs_as_nobody_special_and_gets_signals() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER realtime" in lines
    assert 'ENTRYPOINT ["tini", "--"]' in lines
    assert lines[-1] == 'CMD ["python", "-m", "realtime_core", "serve"]'


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_files_hold_pins_and_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert all("==" in line for line in pins)
    assert text.count("--hash=sha256:") >= len(pins)
