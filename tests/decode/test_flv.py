from hypothesis import given
from hypothesis import strategies as st

from realtime_core.decode.flv import HEADER, FlvWriter, audio_tag

CONFIG, OTHER = b"\xaf\x00\x12\x10", b"\xaf\x00\x11\x88"

frames = st.tuples(
    st.sampled_from([CONFIG, OTHER]), st.binary(min_size=1, max_size=900), st.integers(80, 2_400)
)


def parsed(flv: bytes) -> list[tuple[int, bytes]]:
    """Read tags as a demuxer does, strictly."""
    tags = []
    while flv:
        size = int.from_bytes(flv[1:4])
        assert flv[0] == 8
        assert flv[8:11] == bytes(3)
        assert int.from_bytes(flv[11 + size : 15 + size]) == 11 + size
        tags.append((int.from_bytes(flv[7:8] + flv[4:7]), flv[11 : 11 + size]))
        flv = flv[15 + size :]
    return tags


def test_the_header_promises_audio_only() -> None:
    assert b"FLV\x01\x04\x00\x00\x00\x09" + bytes(4) == HEADER


def test_a_tag_byte_by_byte() -> None:
    assert audio_tag(b"\xaf\x01\x55", 0x1234_5678) == bytes.fromhex(
        "08 000003 345678 12 000000 af0155 0000000e"
    )


def test_timestamps_wrap_at_32_bits() -> None:
    assert parsed(audio_tag(b"a", 2**32 + 7)) == [(7, b"a")]


@given(st.lists(frames, max_size=30))
def test_frames_come_with_their_configuration_and_on_a_clock_that_never_goes_back(
    given_frames: list[tuple[bytes, bytes, int]],
) -> None:
    writer, samples, config = FlvWriter(), 0, b""
    for frame_config, body, length in given_frames:
        tags = parsed(writer.tags(frame_config, body, length))
        time_ms = samples * 1000 // 16_000
        expected = [(time_ms, body)]
        if frame_config != config:
            expected.insert(0, (time_ms, frame_config))
        assert tags == expected
        samples, config = samples + length, frame_config
