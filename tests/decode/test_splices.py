from hypothesis import given
from hypothesis import strategies as st

from realtime_core.decode.splices import Splices
from realtime_core.model import Silence

SOUND = bytes([1, 2]) * 10


def test_without_a_splice_nothing_is_touched() -> None:
    assert Splices().mute(SOUND) is SOUND


def test_what_is_marked_is_muted_wherever_the_pieces_are_cut() -> None:
    splices = Splices()
    splices.mark(8, 13)
    splices.mark(15, 16)
    heard = splices.mute(SOUND) + splices.mute(SOUND)
    assert [heard[2 * at] for at in range(20)] == [1] * 8 + [0] * 5 + [1] * 2 + [0] + [1] * 4


def test_silence_that_stands_for_lost_audio_stays_what_it_is() -> None:
    splices = Splices()
    splices.mark(0, 20)
    assert isinstance(splices.mute(Silence(20)), Silence)
    assert splices.mute(SOUND) == bytes(20)


@given(st.lists(st.integers(1, 40), min_size=1), st.lists(st.integers(1, 30), max_size=12))
def test_all_that_is_marked_and_nothing_else_is_muted(pieces: list[int], marks: list[int]) -> None:
    splices, muted, at = Splices(), set[int](), 0
    for place, length in enumerate(marks):
        if place % 2:
            splices.mark(at, at + length)
            muted |= set(range(at, at + length))
        at += length
    heard = b"".join(splices.mute(bytes([1, 1]) * length) for length in pieces)
    assert [not heard[2 * each] for each in range(sum(pieces))] == [
        each in muted for each in range(sum(pieces))
    ]
