"""Who said it, known better later: the same utterance again, with a higher ``rev``."""

from hypothesis import given
from hypothesis import strategies as st

from realtime_core.model import SpeakerSample, SpeechHeard, Transcript, Word
from realtime_core.transcript.relabelling import RENAME_EVERY_S
from realtime_core.transcript.speakers import SpeakerTimeline
from tests.transcript.hearing import Room, said

WINDOW_S = 15.0


def punctual() -> SpeakerTimeline:
    """A timeline whose reports and audio come at the same time."""
    return SpeakerTimeline(lag_s=0, estimates_lag=False)


def talk(text: str, start_s: float = 94.0, key: str = "k1") -> SpeechHeard:
    """A final in which each word takes half a second."""
    words = [
        Word(word, start_s + at / 2, start_s + at / 2 + 0.45)
        for at, word in enumerate(text.split())
    ]
    return said(text, start_s, start_s + len(words) / 2, key=key, final=True, words=words)


def report(
    speakers: SpeakerTimeline, who: str, start_s: float, end_s: float, name: str | None = None
) -> None:
    """Report ``who`` as speaking, twice a second."""
    for step in range(round((end_s - start_s) * 2)):
        at_s = start_s + step / 2
        speakers.report(SpeakerSample(f"{who}:1", name or who.title(), at_s, "client"))


def names(transcripts: list[Transcript]) -> list[tuple[str, int, str, str]]:
    return [(t.utterance_id[-1], t.rev, t.text, t.speaker) for t in transcripts]


def test_reports_that_come_late_rename_what_was_left_to_the_room() -> None:
    speakers = punctual()
    room = Room(speakers)
    assert names(room.hear(talk("we met on monday"))) == [("1", 1, "we met on monday", "room")]
    room.wait(3)
    report(speakers, "alice", 94, 96)
    (again,) = room.wait(1)
    assert (again.rev, again.speaker, again.is_final) == (2, "Alice", True)
    assert again.utterance_id == room.sent[0].utterance_id
    assert [word.speaker_id for word in again.words] == ["alice:1"] * 4
    assert room.assembler.statistics().relabelled == 1
    assert room.wait(30) == []


def test_after_the_window_nobody_gets_another_speaker() -> None:
    speakers = punctual()
    room = Room(speakers)
    room.hear(talk("we met on monday"))
    room.wait(WINDOW_S + 1)
    report(speakers, "alice", 94, 96)
    assert room.wait(30) == []


def test_a_session_that_is_over_sends_nothing_again() -> None:
    speakers = punctual()
    room = Room(speakers)
    room.hear(talk("we met on monday"))
    room.finish()
    report(speakers, "alice", 94, 96)
    assert room.assembler.due_at() is None
    assert room.wait(30) == []


def test_a_new_name_of_somebody_renews_all_that_is_remembered() -> None:
    speakers = punctual()
    room = Room(speakers)
    report(speakers, "alice", 94, 96, name="Guest")
    room.hear(talk("we met on monday"))
    room.wait(60)
    report(speakers, "alice", 159, 160, name="Alice Smith")
    (again,) = room.wait(1)
    assert (again.rev, again.text, again.speaker) == (2, "we met on monday", "Alice Smith")
    assert again.speaker_confidence == room.sent[0].speaker_confidence
    assert room.wait(30) == []


def test_two_clients_that_disagree_about_a_name_do_not_send_everything_again_and_again() -> None:
    speakers = punctual()
    room = Room(speakers)
    report(speakers, "alice", 94, 96, name="Guest")
    room.hear(talk("we met on monday"))
    sent = []
    for second in range(20):
        at_s = 99.5 + second
        speakers.report(SpeakerSample("alice:1", "Guest", at_s, "client"))  # missed the change
        speakers.report(SpeakerSample("alice:1", "Alice", at_s + 0.2, "another"))
        sent += room.wait(1)
    assert [each.speaker for each in sent] == ["Alice"]


def test_somebody_whose_name_changes_all_the_time_is_renamed_now_and_then() -> None:
    speakers = punctual()
    room = Room(speakers)
    report(speakers, "alice", 94, 96)
    room.hear(talk("we met on monday"))
    sent = []
    for step in range(40):
        name = "AB"[step % 2]
        speakers.report(SpeakerSample("alice:1", name, room.now + step / 2, "client"))
        sent += room.wait(0.5)
    assert len(sent) == 20 / RENAME_EVERY_S


def test_who_spoke_along_is_renamed_too() -> None:
    speakers = punctual()
    room = Room(speakers)
    for client, who in [("one", "bob"), ("two", "alice")]:
        for step in range(20):
            at_s = 90 + step / 2
            speakers.report(SpeakerSample(f"{who}:1", "Guest", at_s, client, is_own=True))
    (shown,) = room.hear(talk("we met on monday"))
    assert [share.speaker for share in shown.speakers] == ["Guest", "Guest"]
    speakers.report(SpeakerSample("alice:1", "Alice", 100.2, "two"))
    (again,) = room.wait(1)
    assert sorted(share.speaker for share in again.speakers) == ["Alice", "Guest"]


def test_a_draft_takes_the_newest_name_too() -> None:
    speakers = punctual()
    room = Room(speakers)
    report(speakers, "alice", 94, 95, name="Guest")
    room.hear(said("we", 94, 95))
    speakers.report(SpeakerSample("alice:1", "Alice", 80, "another"))
    room.hear(said("we met on a monday in the rain", 94, 99.5))
    assert room.sent[-1].speaker == "Alice"


def test_words_of_nobody_do_not_get_the_name_of_those_beside_them() -> None:
    speakers = punctual()
    room = Room(speakers)
    report(speakers, "alice", 92, 96)
    for step in range(10):
        speakers.report(SpeakerSample(None, "", 96 + step / 2, "client"))
    sent = room.hear(talk("shall we begin now a loud voice from the door"))
    assert [t.speaker for t in sent] == ["Alice", "room"]
    report(speakers, "alice", 92, 96, name="Alice Smith")
    for step in range(18):
        speakers.report(SpeakerSample(None, "", 92 + step / 2, "another"))
    room.wait(2)
    whose = {word.text: word.speaker_id for t in room.shown.values() for word in t.words}
    assert (whose["begin"], whose["door"]) == ("alice:1", "room")


def test_words_of_nobody_are_not_given_to_who_speaks_much_later() -> None:
    speakers = SpeakerTimeline(lag_s=2.0)
    room = Room(speakers)
    (phone,) = room.hear(talk("welcome from the phone in the meeting room"))
    assert phone.speaker == "room"
    for turn in range(4):  # Alice alone; the lag is 3 s, and moves
        start_s = 106 + 4.5 * turn
        for step in range(9):
            who = "alice" if step < 6 else None
            at_s = start_s + step / 2
            speakers.report(SpeakerSample(who and "alice:1", who or "", at_s, "client"))
            room.wait(0.5)
        room.hear(talk("one two three four five", start_s + 3, key=f"k{turn + 2}"))
    assert room.shown[phone.utterance_id].speaker == "room"


def test_evidence_from_just_before_the_end_counts() -> None:
    speakers = punctual()
    room = Room(speakers)
    room.hear(talk("something before", 91))
    room.hear(talk("we met on monday", 94, key="k2"))
    report(speakers, "bob", 91, 92)
    room.wait(0.1)  # a look; the next would be half a second later
    report(speakers, "alice", 94, 96)
    room.wait(0.1)
    room.finish()
    assert [t.speaker for t in room.shown.values()] == ["Bob", "Alice"]


def test_only_what_was_sent_counts_as_relabelled() -> None:
    speakers = punctual()
    room = Room(speakers)
    room.hear(said("we met", 94, 95))
    room.hear(said("", 94, 95, final=True))  # takes the draft back
    before = len(room.sent)
    for step in range(10):
        speakers.report(SpeakerSample("ab"[step % 2], "X", 93 + step / 10, f"client {step}"))
        room.wait(0.5)
    assert (room.assembler.statistics().relabelled, len(room.sent) - before) == (0, 0)


def test_a_final_is_cut_where_its_speaker_changes() -> None:
    speakers = punctual()
    room = Room(speakers)
    report(speakers, "alice", 92, 96)
    report(speakers, "bob", 96, 99)
    sent = room.hear(talk("shall we begin now yes of course let us"))
    assert [(t.utterance_id, t.text, t.speaker) for t in sent] == [
        ("de0a341d-1b2-k1", "shall we begin now", "Alice"),
        ("de0a341d-1b2-k1.2", "yes of course let us", "Bob"),
    ]
    assert [(t.start_s, t.end_s) for t in sent] == [(94, 95.95), (96, 98.5)]


def test_pieces_that_turn_out_to_be_of_one_speaker_become_one_again() -> None:
    speakers = punctual()
    room = Room(speakers)
    report(speakers, "alice", 92, 96)
    report(speakers, "bob", 96, 98)
    first, second = room.hear(talk("shall we begin now yes of course let"))
    for client in ("two", "three", "four"):  # who saw it better
        for step in range(12):
            speakers.report(SpeakerSample("alice:1", "Alice", 92 + step / 2, client))
    room.wait(1)
    shown = room.shown[first.utterance_id]
    assert (shown.text, shown.speaker) == ("shall we begin now yes of course let", "Alice")
    taken_back = room.shown[second.utterance_id]
    assert (taken_back.text, taken_back.rev, taken_back.is_final) == ("", 2, True)


def test_a_corrected_text_is_cut_anew() -> None:
    speakers = punctual()
    room = Room(speakers)
    report(speakers, "alice", 92, 96)
    report(speakers, "bob", 96, 99)
    room.hear(talk("shall we begin now yes of course let us"))
    sent = room.hear(talk("shall we begin now yes of course let me"))
    assert names(sent) == [("2", 2, "yes of course let me", "Bob")]


def test_a_final_that_comes_again_after_it_was_forgotten_is_not_there_twice() -> None:
    speakers = punctual()
    room = Room(speakers)
    report(speakers, "alice", 92, 96)
    report(speakers, "bob", 96, 99)
    heard = talk("shall we begin now yes of course let us")
    room.hear(heard)
    room.wait(125)
    room.hear(talk("something else", start_s=room.now - 2, key="k2"))  # forgets the first
    room.hear(heard)
    read = " ".join(shown.text for shown in room.shown.values())
    assert read.count("yes of course") == 1


def test_a_straggler_of_a_forgotten_utterance_goes_on_with_the_numbers_of_its_parts() -> None:
    speakers = punctual()
    room = Room(speakers)
    report(speakers, "alice", 92, 96)
    report(speakers, "bob", 96, 99)
    room.hear(talk("shall we begin now yes of course let us"))
    room.wait(125)
    room.hear(talk("something else", start_s=room.now - 2, key="k2"))  # forgets the first
    sent = room.hear(talk("shall we begin now yes of course let me"))  # which checks the numbers
    assert sent[0].rev == 2


SPOKEN = st.lists(
    st.one_of(
        st.tuples(st.just("report"), st.sampled_from("abc"), st.floats(-4, 1)),
        st.tuples(st.just("say"), st.integers(1, 6), st.floats(-4, 0)),
        st.tuples(st.just("wait"), st.just(0), st.floats(0, 4)),
    ),
    max_size=60,
)


@given(SPOKEN)
def test_no_name_ever_goes_back_to_the_room_and_no_word_is_lost(
    steps: list[tuple[str, object, float]],
) -> None:
    speakers = punctual()
    room = Room(speakers)  # which checks the numbers
    spoken, said_to_s = [], room.now - 10
    for place, (kind, what, seconds) in enumerate(steps):
        if kind == "report":
            at_s, client = room.now + seconds, f"client {place % 3}"
            speakers.report(SpeakerSample(f"{what}:1", str(what), at_s, client))
        elif kind == "wait":
            before = dict(room.shown)
            room.wait(seconds)
            for name, was in before.items():
                now = room.shown[name]
                assert was.speaker_id == "room" or not now.text or now.speaker_id != "room"
        else:
            assert isinstance(what, int)
            words = [f"w{place}x{number}" for number in range(what)]
            start_s = max(said_to_s, room.now + seconds - 3)
            said_to_s = start_s + what / 2 + 0.1
            room.hear(talk(" ".join(words), start_s=start_s, key=f"k{place}"))
            spoken += words
    read = " ".join(each.text for each in room.shown.values()).split()
    assert sorted(read) == sorted(spoken)
