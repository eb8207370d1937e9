from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from realtime_core.decode.locate import find
from realtime_core.settings import Settings
from tests.e2e.river import River, running_river

MakeRiver = Callable[..., AbstractAsyncContextManager[River]]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    return find()


@pytest.fixture
def river(postgres_dsn: str, ffmpeg: str, tmp_path: Path) -> MakeRiver:
    """The whole system on a database of its own; settings may be given."""

    def make(**settings: Any) -> AbstractAsyncContextManager[River]:
        return running_river(postgres_dsn, ffmpeg, tmp_path / "data", **settings)

    return make
