from hypothesis import given, settings
from hypothesis import strategies as st

from gladia_emulator.endpointing import (
    FRAME_BYTES,
    Endpointer,
    SpeechEnded,
    SpeechEvent,
    SpeechGrew,
    SpeechStarted,
)
from gladia_emulator.scripted import silence, tone

NEAR = 80  # samples: a sine needs a moment to get loud


def events_of(
    pcm: bytes, piece: int = 10**9, *, silence_s: float = 0.3, longest_s: float = 5
) -> list[SpeechEvent]:
    endpointer = Endpointer(silence_s=silence_s, longest_s=longest_s)
    events: list[SpeechEvent] = []
    for start in range(0, len(pcm), piece):
        events += endpointer.feed(pcm[start : start + piece])
    return events + endpointer.finish()


def bounds_of(events: list[SpeechEvent]) -> list[int]:
    return [each.at for each in events if not isinstance(each, SpeechGrew)]


def near(found: list[int], wanted: list[float]) -> bool:
    """Whether bounds are where they should be, in seconds."""
    pairs = zip(found, wanted, strict=True)
    return all(abs(at - round(want * 16_000)) <= NEAR for at, want in pairs)


SOUNDS = st.lists(
    st.tuples(st.integers(1, 60), st.sampled_from([0, 0, 200, 440, 1000])), max_size=6
).map(lambda parts: b"".join(tone(hz, ms / 100) if hz else silence(ms / 100) for ms, hz in parts))


@settings(max_examples=40)
@given(SOUNDS, st.lists(st.integers(1, 9_999), min_size=1, max_size=5))
def test_slicing_changes_nothing(pcm: bytes, pieces: list[int]) -> None:
    whole = events_of(pcm)
    assert all(events_of(pcm, piece) == whole for piece in pieces)


@settings(max_examples=40)
@given(SOUNDS)
def test_utterances_alternate_and_keep_their_audio(pcm: bytes) -> None:
    started: SpeechStarted | None = None
    audio = b""
    for event in events_of(pcm, silence_s=0.05):
        match event:
            case SpeechStarted():
                assert started is None
                started, audio = event, b""
            case SpeechGrew(grown):
                audio += grown
            case SpeechEnded(rest, at):
                assert started is not None
                assert started.audio_from <= started.at < at <= len(pcm) // 2
                begin = started.audio_from * 2
                audio += rest
                assert audio.rstrip(b"\0") == pcm[begin : begin + len(audio)].rstrip(b"\0")
                started = None
    assert started is None


def test_begin_and_end_are_found_to_the_sample() -> None:
    events = events_of(silence(0.333) + tone(440, 1) + silence(1))
    assert near(bounds_of(events), [0.333, 1.333])


def test_short_pauses_do_not_end_an_utterance() -> None:
    pcm = tone(440, 0.5) + silence(0.2) + tone(440, 0.5) + silence(0.4)
    assert near(bounds_of(events_of(pcm)), [0, 1.2])
    assert near(bounds_of(events_of(pcm, silence_s=0.1)), [0, 0.5, 0.7, 1.2])


def test_too_long_an_utterance_is_closed_and_the_next_begins_at_once() -> None:
    assert near(bounds_of(events_of(tone(440, 12))), [0, 5, 5, 10, 10, 12])


def test_open_utterance_ends_with_the_audio() -> None:
    assert near(bounds_of(events_of(tone(440, 0.505))), [0, 0.505])


def test_growth_comes_every_300_ms() -> None:
    grown = [each for each in events_of(tone(440, 2)) if isinstance(each, SpeechGrew)]
    assert [round(each.voiced_until / 160) for each in grown] == [30, 60, 90, 120, 150, 180]


def test_clicks_and_noise_below_the_level_are_no_speech() -> None:
    click = silence(0.5) + tone(440, 0.02) + silence(0.5)
    assert events_of(click) == []
    assert events_of(tone(440, 1, amplitude=250)) == []


def test_stricter_threshold_needs_louder_speech() -> None:
    quiet = tone(440, 1, amplitude=600)
    loose, strict = (Endpointer(silence_s=1, longest_s=5, threshold=t) for t in (0.6, 1.0))
    assert loose.feed(quiet)
    assert strict.feed(quiet) == []


def test_zero_threshold_still_knows_digital_silence() -> None:
    assert Endpointer(silence_s=1, longest_s=5, threshold=0).feed(silence(1)) == []


def test_frame_is_ten_milliseconds() -> None:
    assert FRAME_BYTES == 320
