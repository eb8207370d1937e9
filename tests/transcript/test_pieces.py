"""Cutting an utterance where its speaker changes."""

from hypothesis import given
from hypothesis import strategies as st

from realtime_core.model import Attribution, SpeechHeard, Word
from realtime_core.transcript.attribution import Segment
from realtime_core.transcript.pieces import cut, merged
from realtime_core.transcript.speakers import SpeakerSource
from tests.transcript.hearing import said


def segment(first: int, behind: int, who: str) -> Segment:
    voices = (who,) * (behind - first)
    return Segment(first, behind, Attribution(who, who, 0.9), SpeakerSource.OVERLAP, voices)


def spoken(text: str, words: list[str] | None = None) -> SpeechHeard:
    words = text.split() if words is None else words
    dated = [Word(word, 10 + at, 10.5 + at) for at, word in enumerate(words)]
    return said(text, 9.5, 11 + len(words), final=True, words=dated)


def test_each_piece_has_its_text_its_times_and_its_words() -> None:
    heard = spoken("So what do you think? I agree.")
    asked, answered = cut(heard, [segment(0, 5, "alice"), segment(5, 7, "bob")])
    assert (asked.text, asked.start_s, asked.end_s) == ("So what do you think?", 9.5, 14.5)
    assert (answered.text, answered.start_s, answered.end_s) == ("I agree.", 15, 18)
    assert [word.speaker_id for word in asked.words + answered.words] == ["alice"] * 5 + ["bob"] * 2


def test_an_utterance_of_one_speaker_keeps_its_text_whatever_its_words_are() -> None:
    heard = spoken("Hello  there", words=["something", "else"])
    (piece,) = cut(heard, [segment(0, 2, "alice")])
    assert (piece.text, piece.start_s, piece.end_s) == ("Hello  there", 9.5, 13)


def test_without_words_there_is_one_piece() -> None:
    (piece,) = cut(said("Hello"), [segment(0, 0, "alice")])
    assert (piece.text, piece.words) == ("Hello", ())


def test_a_text_that_does_not_hold_the_words_goes_to_who_said_most_of_it() -> None:
    heard = spoken("12 3 go", words=["one", "two", "three", "go"])
    (piece,) = cut(heard, [segment(0, 1, "alice"), segment(1, 4, "bob")])
    assert (piece.text, piece.attribution.speaker) == ("12 3 go", "bob")
    assert [word.speaker_id for word in piece.words] == ["alice", "bob", "bob", "bob"]


def test_words_that_the_text_spells_otherwise_are_counted() -> None:
    heard = spoken("We are 20 now", words=["we", "are", "twenty", "now"])
    pieces = cut(heard, [segment(0, 2, "alice"), segment(2, 4, "bob")])
    assert [piece.text for piece in pieces] == ["We are", "20 now"]


def test_what_opens_a_word_goes_with_it_and_what_closes_it_stays() -> None:
    heard = spoken("He said: “Yes.” (Why?)", words=["He", "said", "Yes", "Why"])
    pieces = cut(heard, [segment(0, 2, "a"), segment(2, 3, "b"), segment(3, 4, "c")])
    assert [piece.text for piece in pieces] == ["He said:", "“Yes.”", "(Why?)"]


def test_scripts_without_blanks_are_cut_between_their_words() -> None:
    heard = spoken("你好吗我很好", words=["你好", "吗", "我", "很好"])
    pieces = cut(heard, [segment(0, 2, "a"), segment(2, 4, "b")])
    assert [piece.text for piece in pieces] == ["你好吗", "我很好"]


def test_neighbours_of_one_speaker_become_one() -> None:
    segments = merged([segment(0, 2, "a"), segment(2, 3, "a"), segment(3, 4, "b")])
    assert [(each.first, each.behind, each.voices) for each in segments] == [
        (0, 3, ("a", "a", "a")),
        (3, 4, ("b",)),
    ]


@given(
    st.lists(st.text("ab 你.“", max_size=4), max_size=8),
    st.text("ab 你.“", max_size=30),
    st.lists(st.integers(1, 4), max_size=5),
)
def test_no_letter_is_lost_or_doubled_whatever_the_words_are(
    words: list[str], text: str, lengths: list[int]
) -> None:
    heard = spoken(text.strip(), words)
    segments, first = [], 0
    for length in lengths:
        if first + length < len(words):
            segments.append(segment(first, first + length, f"s{first}"))
            first += length
    segments.append(segment(first, len(words), "last"))
    pieces = cut(heard, segments)
    assert "".join("".join(piece.text for piece in pieces).split()) == "".join(text.split())
    assert sum(len(piece.words) for piece in pieces) == len(words)
    assert all(piece.text for piece in pieces) or len(pieces) == 1
