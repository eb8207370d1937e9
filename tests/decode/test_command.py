import pytest

from realtime_core.decode.command import ENVIRONMENT, decode_command


def test_the_command_reads_flv_and_writes_pcm_without_waiting() -> None:
    command = " ".join(decode_command("/usr/bin/ffmpeg"))
    assert command.startswith("/usr/bin/ffmpeg -nostdin -hide_banner -loglevel warning ")
    assert "-f flv -probesize 32 -analyzeduration 0 -i pipe:0 -map 0:a:0 -vn" in command
    assert command.endswith("-ac 1 -ar 16000 -f s16le pipe:1")


@pytest.mark.parametrize("harmful", ["nobuffer", "low_delay", "direct"])
def test_flags_that_lose_audio_are_not_used(harmful: str) -> None:
    assert harmful not in " ".join(decode_command("ffmpeg"))


def test_strangers_may_open_nothing_but_aac_in_flv_from_the_pipe() -> None:
    command = decode_command("ffmpeg")
    allowed = {word: command[at + 1] for at, word in enumerate(command) if "whitelist" in word}
    assert allowed == {
        "-protocol_whitelist": "pipe",
        "-format_whitelist": "flv",
        "-codec_whitelist": "aac",
    }
    assert command.index("-codec_whitelist") < command.index("-i")


def test_the_environment_holds_nothing_of_ours() -> None:
    assert set(ENVIRONMENT) == {"LC_ALL", "AV_LOG_FORCE_NOCOLOR"}
