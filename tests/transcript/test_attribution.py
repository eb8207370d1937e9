"""Who said each word, and where an utterance is cut."""

import pytest

from realtime_core.model import SpeakerSample, Word
from realtime_core.transcript.attribution import Segment, SpeakerSource, runs
from realtime_core.transcript.speakers import SpeakerTimeline

WORD_S = 0.3


def speech(*texts: str, start_s: float = 10.0, pause_s: float = 0.0) -> list[Word]:
    """Words of each text follow each other at once; texts are ``pause_s`` apart."""
    words: list[Word] = []
    for text in texts:
        for word in text.split():
            words.append(Word(word, start_s, start_s + WORD_S))
            start_s += WORD_S
        start_s += pause_s
    return words


def timeline(*turns: tuple[str | None, float, float], clients: int = 3) -> SpeakerTimeline:
    """Everybody reports the same, each at times of its own."""
    speakers = SpeakerTimeline(lag_s=0, estimates_lag=False)
    for client in range(clients):
        at_s = turns[0][1] + client / (2 * clients)
        while at_s < turns[-1][2]:
            who = next(who for who, from_s, to_s in turns if from_s <= at_s < to_s)
            speakers.report(SpeakerSample(who, (who or "").title(), at_s, f"client {client}"))
            at_s += 0.5
    return speakers


def cut(speakers: SpeakerTimeline, words: list[Word]) -> list[tuple[str, str]]:
    found = speakers.attribute_words(words, words[0].start_s, words[-1].end_s, now_s=60)
    return [
        (each.attribution.speaker, " ".join(w.text for w in words[each.first : each.behind]))
        for each in found
    ]


def test_an_utterance_of_one_speaker_is_one_segment() -> None:
    [found] = timeline(("alice", 8, 20)).attribute_words(
        speech("we met on monday"), 10, 12, now_s=20
    )
    assert (found.first, found.behind, found.voices) == (0, 4, ("alice",) * 4)
    assert (found.attribution.speaker_id, found.source) == ("alice", SpeakerSource.OVERLAP)
    assert found.attribution.confidence == pytest.approx(1)
    assert found.attribution.speakers == ()


def test_where_the_speaker_changes_the_utterance_is_cut() -> None:
    words = speech("how are you doing", "very well thank you", pause_s=0.3)
    speakers = timeline(("alice", 5, 11.3), ("bob", 11.3, 20))
    assert cut(speakers, words) == [("Alice", "how are you doing"), ("Bob", "very well thank you")]


@pytest.mark.parametrize("off_s", [-0.4, -0.2, 0.2, 0.4])
def test_the_cut_goes_to_the_pause_though_reports_are_off(off_s: float) -> None:
    words = speech("so how are you doing", "very well thank you then", pause_s=0.4)
    change_s = 11.7 + off_s
    speakers = timeline(("alice", 5, change_s), ("bob", change_s, 20))
    assert cut(speakers, words)[0] == ("Alice", "so how are you doing")


def test_a_word_that_is_reported_otherwise_for_a_moment_stays_with_its_neighbours() -> None:
    words = speech("we will see it on monday at ten")
    speakers = timeline(("alice", 5, 11.2), ("bob", 11.2, 11.6), ("alice", 11.6, 20))
    assert [who for who, _ in cut(speakers, words)] == ["Alice"]


def test_a_short_answer_between_two_pauses_is_cut_out() -> None:
    words = speech("shall we meet", "yes please do", "then on monday", pause_s=0.4)
    speakers = timeline(("alice", 5, 11.1), ("bob", 11.1, 12.4), ("alice", 12.4, 20))
    assert [who for who, _ in cut(speakers, words)] == ["Alice", "Bob", "Alice"]


def test_a_word_or_two_without_reports_go_with_their_neighbours() -> None:
    words = speech("we will see it on monday")
    speakers = timeline(("alice", 10.4, 20))
    assert [who for who, _ in cut(speakers, words)] == ["Alice"]


def test_a_long_stretch_without_reports_is_left_to_the_room() -> None:
    words = speech("a b c d e f g h", "i j k l m n o p q r", pause_s=0.4)
    speakers = timeline(("alice", 5, 12.5), (None, 12.5, 20))
    assert cut(speakers, words) == [
        ("Alice", "a b c d e f g h"),
        ("room", "i j k l m n o p q r"),
    ]


def test_who_speaks_along_gets_a_share() -> None:
    speakers = timeline(("alice", 5, 20), clients=2)
    for step in range(40):  # a third client hears somebody else louder
        speakers.report(SpeakerSample("bob", "Bob", 5 + step / 2, "third"))
    [found] = speakers.attribute_words(speech("we will see it on monday"), 10, 12, now_s=20)
    shares = {each.speaker: each.share for each in found.attribution.speakers}
    assert list(shares) == ["Alice", "Bob"]
    assert shares == pytest.approx({"Alice": 0.667, "Bob": 0.333})
    assert found.attribution.confidence == pytest.approx(2 / 3)


def test_without_words_there_is_one_segment() -> None:
    [found] = timeline(("alice", 5, 20)).attribute_words((), 10, 12, now_s=20)
    assert (found.first, found.behind, found.voices) == (0, 0, ())
    assert found.attribution.speaker == "Alice"


def test_words_without_sound_times_are_attributed_as_a_whole() -> None:
    words = [Word("so", 10, 10.3), Word("what", float("nan"), 11)]
    [found] = timeline(("alice", 5, 20)).attribute_words(words, 10, 12, now_s=20)
    assert isinstance(found, Segment)
    assert found.voices == ("alice", "alice")


def test_runs_are_what_is_the_same_in_a_row() -> None:
    assert runs(["a", "a", None, "b", "b"]) == [(0, 2, "a"), (2, 3, None), (3, 5, "b")]
