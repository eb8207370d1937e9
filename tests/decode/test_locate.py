from pathlib import Path

import pytest

from realtime_core.decode.locate import find, locate
from realtime_core.errors import ConfigurationError


@pytest.mark.ffmpeg
async def test_an_ffmpeg_says_its_version(ffmpeg: str) -> None:
    found = await locate(ffmpeg)
    assert found.path == ffmpeg
    assert found.version[0].isalnum()
    assert (await locate()).path == ffmpeg


@pytest.mark.ffmpeg
def test_the_embedded_one_is_used_where_the_path_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "imageio_ffmpeg" in find()


def test_without_any_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigurationError, match=r"apt-get install ffmpeg.*embedded"):
        find()


async def test_what_was_asked_for_is_not_replaced_by_another() -> None:
    with pytest.raises(ConfigurationError, match="/nowhere/ffmpeg"):
        await locate("/nowhere/ffmpeg")


@pytest.mark.parametrize("script", ["#!/bin/sh\necho hello", "#!/bin/sh\nexit 3", "not a script"])
async def test_a_program_that_is_no_ffmpeg_is_refused(tmp_path: Path, script: str) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(script)
    program.chmod(0o755)
    with pytest.raises(ConfigurationError, match="no FFmpeg that runs here"):
        await locate(str(program))
