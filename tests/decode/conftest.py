"""The FFmpeg to test with, and both event loops for every test here."""

import asyncio
from collections.abc import Callable, Mapping

import imageio_ffmpeg
import pytest
import uvloop

from realtime_core.decode.locate import find
from tests.decode.aac import Recording, record


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    return find()


@pytest.fixture(scope="session")
def sweep(ffmpeg: str) -> Recording:
    """Ten seconds of 44.1 kHz stereo."""
    return record(ffmpeg)


@pytest.fixture(scope="session")
def embedded_ffmpeg() -> str:
    """The one in the wheel, of another major version than most distributions have."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())
