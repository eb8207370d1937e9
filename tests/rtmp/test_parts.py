"""The small parts: handshake, names, tags, timers, pacing."""

import pytest

from realtime_core.errors import ProtocolViolation
from realtime_core.model import AudioTag
from realtime_core.rtmp.handshake import ServerHandshake
from realtime_core.rtmp.messages import MessageKind
from realtime_core.rtmp.names import stream_name
from realtime_core.rtmp.pacing import MOST_NAMES, Frequency, Spacing
from realtime_core.rtmp.tags import AudioTrack, Skipped, legacy_aac
from realtime_core.rtmp.timers import Timer, Timers
from tests.rtmp.vectors import ECHO, HELLO, NONCE, Slicing


def test_handshake_echoes_and_keeps_what_follows(cut: Slicing) -> None:
    handshake, sent, behind = ServerHandshake(NONCE), b"", b""
    for piece in cut(HELLO + ECHO):
        assert not handshake.done
        behind += handshake.receive(piece)
        sent += handshake.take_output()
    assert handshake.done
    assert behind == b""
    assert sent == b"\x03" + bytes(8) + NONCE + HELLO[1:]


def test_handshake_hands_on_the_bytes_behind_it() -> None:
    assert ServerHandshake(NONCE).receive(HELLO + ECHO + b"next") == b"next"


@pytest.mark.parametrize("first", [0, 2, 6, ord("G")])
def test_handshake_knows_one_version(first: int) -> None:
    with pytest.raises(ProtocolViolation, match="not_rtmp"):
        ServerHandshake(NONCE).receive(bytes([first]))


@pytest.mark.parametrize(
    ("connect", "key", "slug", "app", "args"),
    [
        ({"app": "live"}, "weekly", "weekly", "live", {}),
        ({"app": "live"}, "weekly?key=1&key=2", "weekly", "live", {"key": "2"}),
        ({"app": "live?a=1", "tcUrl": "rtmp://h/live?b=2"}, "w?c=3", "w", "live",
         {"a": "1", "b": "2", "c": "3"}),
        ({"app": "live?key=app", "tcUrl": '"rtmp://h/live?key=url"'}, "w", "w", "live",
         {"key": "app"}),
        ({"app": "live", "tcurl": "rtmp://h/live?key=lower"}, "w", "w", "live", {"key": "lower"}),
        ({"app": "a/b"}, "c", "c", "a/b", {}),
        ({"app": "live/weekly"}, "", "weekly", "live", {}),
        ({"app": "live/weekly/"}, "?key=1", "weekly", "live", {"key": "1"}),
        ({"app": "live"}, "", "", "live", {}),
        ({"app": "live"}, "?key=1", "", "live", {"key": "1"}),
        ({"app": 7.0}, "%77", "w", "", {}),
        ({}, "%2577", "%77", "", {}),
        ({"app": "live"}, "%ff", "\ufffd", "live", {}),
    ],
)  # fmt: skip
def test_names_in_every_form_of_url(
    connect: dict[str, str | float], key: str, slug: str, app: str, args: dict[str, str]
) -> None:
    name = stream_name(dict(connect), key)
    assert (name.slug, name.app, name.args) == (slug, app, args)


@pytest.mark.parametrize(
    ("payload", "legacy"),
    [
        (b"\xaf\x00\x12\x10", b"\xaf\x00\x12\x10"),
        (b"\xa2\x01xyz", b"\xa2\x01xyz"),
        (b"\x90mp4a\x12\x10", b"\xaf\x00\x12\x10"),
        (b"\x91mp4axyz", b"\xaf\x01xyz"),
    ],
)
def test_aac_becomes_legacy_aac(payload: bytes, legacy: bytes) -> None:
    assert legacy_aac(payload) == legacy


@pytest.mark.parametrize(
    ("payload", "kind", "codec"),
    [
        (b"", MessageKind.AUDIO_EMPTY, ""),
        (b"\xaf", MessageKind.AUDIO_EMPTY, ""),
        (b"\xaf\x01", MessageKind.AUDIO_EMPTY, ""),
        (b"\x92mp4a", MessageKind.AUDIO_EMPTY, ""),
        (b"\x91mp4a", MessageKind.AUDIO_EMPTY, ""),
        (b"\x2f\x01mp3", MessageKind.AUDIO_UNSUPPORTED, "sound format 2"),
        (b"\xaf\x02x", MessageKind.AUDIO_UNSUPPORTED, "AAC packet type 2"),
        (b"\x91fLaCx", MessageKind.AUDIO_UNSUPPORTED, "fLaC"),
        (b"\x91\xff\x00\n!x", MessageKind.AUDIO_UNSUPPORTED, "\\xff\x00\n!"),
        (b"\x95\x01mp4a", MessageKind.AUDIO_UNSUPPORTED, "enhanced packet type 5"),
        (b"\x91mp", MessageKind.AUDIO_UNSUPPORTED, "mp"),
    ],
)
def test_what_is_not_aac_is_named(payload: bytes, kind: MessageKind, codec: str) -> None:
    with pytest.raises(Skipped) as skipped:
        legacy_aac(payload)
    assert (skipped.value.kind, skipped.value.codec) == (kind, codec)


def test_configuration_may_come_again() -> None:
    track = AudioTrack()
    assert track.take(b"\xaf\x00\x12\x10", 0) == AudioTag(b"\xaf\x00\x12\x10", 0, True)
    assert track.take(b"\xaf\x01x", 20_000_000).timestamp_ms == 20_000_000
    assert track.take(b"\xaf\x00\x11\x88", 0).timestamp_ms == 0
    assert track.take(b"\xaf\x01y", 20_000_023).timestamp_ms == 20_000_023


@pytest.mark.parametrize("range_ms", [2**31, 2**32], ids=["ffmpeg", "specification"])
def test_clock_goes_on_where_a_writer_wraps(range_ms: int) -> None:
    track = AudioTrack()
    track.take(b"\xaf\x00\x12\x10", 0)
    assert track.take(b"\xaf\x01x", range_ms - 10).timestamp_ms == range_ms - 10
    assert track.take(b"\xaf\x01x", 13).timestamp_ms == range_ms + 13
    assert track.take(b"\xaf\x01x", range_ms - 5).timestamp_ms == range_ms - 5


def test_timers_fall_due_in_order() -> None:
    assert Timers().next_at is None
    timers = Timers()
    for timer, at in ((Timer.IDLE, 3.0), (Timer.ACK, 1.0), (Timer.PING, 2.0), (Timer.WRITE, 9.0)):
        timers.start(timer, at)
    timers.stop(Timer.PING, Timer.REFUSAL)
    assert timers.next_at == 1.0
    assert timers.take_expired(3.0) == [Timer.ACK, Timer.IDLE]
    assert Timer.IDLE not in timers
    assert timers.next_at == 9.0


def test_refusals_of_one_name_lie_apart() -> None:
    spacing = Spacing(1.0)
    assert [spacing.slot("a", 1.5, 10.0) for _ in range(3)] == [1.5, 2.5, 3.5]
    assert spacing.slot("b", 1.5, 10.0) == 1.5
    assert [spacing.slot("a", 1.5, 4.0) for _ in range(2)] == [4.0, 4.0]


def test_frequency_forgets_what_is_long_ago() -> None:
    frequency = Frequency(30.0)
    for now in (0.0, 10.0, 20.0):
        frequency.note("a", now)
    assert [frequency.recent("a", now) for now in (20.0, 30.0, 40.0, 60.0)] == [3, 2, 1, 0]
    assert frequency.recent("b", 0.0) == 0


def test_memory_for_names_is_bounded() -> None:
    spacing, frequency = Spacing(1.0), Frequency(30.0)
    for index in range(MOST_NAMES + 5):
        spacing.slot(str(index), 0.0, 10.0)
        frequency.note(str(index), 0.0)
    assert spacing.slot("0", 0.0, 10.0) == 0.0, "forgotten"
    assert frequency.recent("0", 0.0) == 0, "forgotten"
    assert frequency.recent("5", 0.0) == 1
