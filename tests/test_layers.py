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
    {"stages"},
    {"captioner", "lifecycle"},
    {"rtmp", "decode", "stt", "transcript", "hub", "store"},
    {"processes"},
    {"spawn"},
    {"watchdog", "vitals", "garbage"},
    {"aio", "metrics"},
    {"logs", "access", "counting"},
    {"model", "errors", "lines", "capacity"},
]
BOXES = ("rtmp", "decode", "stt", "transcript", "hub", "store")
# What waits. Everything else in the boxes is pure, and so is what follows.
SHELLS = {
    "rtmp": {"connection", "gathering", "listening", "server"},
    "decode": {
        "ffmpeg",
        "inlet",
        "inprocess",
        "intake",
        "locate",
        "run",
        "starts",
    },
    "stt": {"api", "connection", "feed", "gladia", "recovery", "reporter", "websocket"},
    "transcript": set[str](),
    "hub": {"crowd", "post", "rooms"},
    "store": {
        "backlog",
        "embedded",
        "folder",
        "journal",
        "journal_file",
        "marker",
        "migrate",
        "postgres",
        "postmaster",
        "writer",
    },
}
PURE_ELSEWHERE = [
    "capacity.py",
    "errors.py",
    "lifecycle.py",
    "model.py",
    "urls.py",
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


def pure_files() -> list[Path]:
    inside = [path for box in BOXES for path in sorted((SOURCE / OURS / box).glob("*.py"))]
    boxed = [path for path in inside if path.stem not in SHELLS[path.parent.name]]
    return boxed + [SOURCE / OURS / name for name in PURE_ELSEWHERE]


@pytest.mark.parametrize("path", pure_files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_what_is_no_shell_knows_no_clock_no_socket_and_no_log(path: Path) -> None:
    for module in imports(path):
        assert module.split(".")[0] not in IMPURE, f"it imports {module}"
        assert part_of(module) not in ("logs", "metrics", "aio", "processes"), module


def test_every_shell_is_there() -> None:
    for box, names in SHELLS.items():
        assert names <= {path.stem for path in (SOURCE / OURS / box).glob("*.py")}


def test_the_emulator_knows_nothing_of_the_service() -> None:
    for path in (SOURCE / "gladia_emulator").rglob("*.py"):
        assert not [module for module in imports(path) if module.split(".")[0] == OURS], path.name
