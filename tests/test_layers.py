"""The layers of docs/architecture.md, checked: imports go down only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
OURS = "realtime_core"

# From the top; boxes in one row never import each other.
LAYERS: list[set[str]] = [
    {"__main__"},
    {"cli"},
    {"demo"},
    {"replay"},
    {"app"},
    {"parts"},
    {"web", "settings", "sample", "urls"},
    {"registry"},
    {"session"},
    {"captioner", "lifecycle"},
    {"rtmp", "decode", "stt", "transcript", "hub", "store"},
    {"processes"},
    {"aio", "metrics"},
    {"logs", "access"},
    {"model", "errors"},
]
PURE = [
    "model.py",
    "errors.py",
    "lifecycle.py",
    "urls.py",
    "rtmp/handshake.py",
    "rtmp/chunks.py",
    "rtmp/amf.py",
    "rtmp/publish.py",
    "decode/flv.py",
    "decode/command.py",
    "stt/wire.py",
    "stt/timeline.py",
    "transcript",
    "hub/wire.py",
    "hub/replay.py",
    "store/batcher.py",
    "store/rows.py",
    "web/captions.py",
]
IMPURE = {"asyncio", "socket", "time", "random", "logging", "structlog", "threading", "subprocess"}


def modules() -> list[Path]:
    return sorted((SOURCE / OURS).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str | None:
    """``realtime_core.hub.wire`` is of the part ``hub``."""
    names = module.split(".")
    return names[1] if names[0] == OURS and len(names) > 1 else None


def level(part: str) -> int:
    return next(number for number, row in enumerate(LAYERS) if part in row)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down_only(path: Path) -> None:
    here = path.relative_to(SOURCE / OURS).parts[0].removesuffix(".py")
    if here == "__init__":
        return
    known = set().union(*LAYERS)
    for module in imports(path):
        there = part_of(module)
        if there is not None and there in known and there != here:
            assert level(there) > level(here), f"{here} imports {there}"


def test_every_part_has_a_layer() -> None:
    parts = {path.name.removesuffix(".py") for path in (SOURCE / OURS).iterdir()}
    assert parts - {"__init__", "__pycache__", "py.typed"} == set().union(*LAYERS)


@pytest.mark.parametrize("name", PURE)
def test_pure_parts_know_no_clock_no_socket_and_no_log(name: str) -> None:
    target = SOURCE / OURS / name
    files = [target] if target.suffix == ".py" else sorted(target.rglob("*.py"))
    assert files
    for file in files:
        for module in imports(file):
            assert module.split(".")[0] not in IMPURE, f"{file.name} imports {module}"
            assert part_of(module) not in ("logs", "metrics", "aio", "processes"), file.name


def test_the_emulator_knows_nothing_of_the_service() -> None:
    for path in (SOURCE / "gladia_emulator").rglob("*.py"):
        assert not [module for module in imports(path) if module.split(".")[0] == OURS], path.name
