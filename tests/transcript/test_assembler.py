import pytest

from realtime_core.model import FinalizedBy, SpeakerSample, Word
from realtime_core.transcript.assembler import Assembler
from realtime_core.transcript.speakers import SpeakerSource, SpeakerTimeline
from tests.transcript.hearing import TIMEOUT_S, Room, final, said

STT, TIMEOUT, END = FinalizedBy.STT, FinalizedBy.TIMEOUT, FinalizedBy.END


def test_drafts_are_snapshots_that_end_in_the_final() -> None:
    room = Room()
    sent = room.hear(said("Hello"), said("Hello wor"), final("Hello world."))
    assert [(t.text, t.is_final, t.rev, t.seq) for t in sent] == [
        ("Hello", False, 1, 1),
        ("Hello wor", False, 2, 2),
        ("Hello world.", True, 3, 3),
    ]
    assert {t.utterance_id for t in sent} == {"de0a341d-1b2-00_00000000"}
    assert room.captions() == [("Hello world.", STT)]


def test_repeats_are_not_sent() -> None:
    room = Room()
    assert len(room.hear(said("Hello"), said("Hello"))) == 1
    assert len(room.hear(final("Hello."), final("Hello."))) == 1


def test_a_draft_that_rests_is_finalised_at_the_time_out() -> None:
    room = Room()
    room.hear(said("Hello"))
    room.wait(TIMEOUT_S - 0.01)
    assert room.captions() == [("Hello", None)]
    [ended] = room.wait(0.01)
    assert (ended.finalized_by, ended.rev, ended.received_at) == (TIMEOUT, 2, room.now)
    assert room.assembler.due_at() is None


def test_the_time_out_runs_from_the_last_change_of_the_text() -> None:
    room = Room()
    room.hear(said("Hello"))
    room.wait(3)
    room.hear(said("Hello wor"))
    room.wait(3)
    room.hear(said("Hello wor", 10, 12.5))  # the same words, dated anew
    assert room.captions() == [("Hello wor", None)]
    room.wait(2)
    assert room.captions() == [("Hello wor", TIMEOUT)]


def test_a_real_final_replaces_ours_even_with_the_same_text() -> None:
    room = Room()
    room.hear(said("Hello"))
    room.wait(TIMEOUT_S)
    room.hear(final("Hello"))
    assert room.captions() == [("Hello", STT)]


def test_a_corrected_final_replaces_the_first() -> None:
    room = Room()
    room.hear(final("Hello word."), final("Hello world."))
    assert room.captions() == [("Hello world.", STT)]


def test_a_draft_after_the_real_final_is_stale() -> None:
    room = Room()
    room.hear(final("Hello world."))
    assert room.hear(said("Hello wor")) == []
    assert room.wait(60) == []


def test_what_is_heard_after_our_final_becomes_the_next_one() -> None:
    room = Room()
    room.hear(said("Hello"))
    room.wait(TIMEOUT_S)
    assert room.hear(said("Hello wor", 10, 18)) == []
    room.wait(3)
    room.hear(said("Hello world", 10, 19))
    assert room.wait(4.9) == []
    [ended] = room.wait(0.1)
    assert (ended.text, ended.finalized_by) == ("Hello world", TIMEOUT)


def test_what_is_taken_back_after_our_final_is_not_sent() -> None:
    room = Room()
    room.hear(said("Hello"))
    room.wait(TIMEOUT_S)
    room.hear(said("Hello wor"), said("Hello"))
    assert room.wait(60) == []


def test_an_id_that_changes_before_the_final_keeps_the_draft_s() -> None:
    room = Room()
    room.hear(said("I scream is nice", key="a"), final("Ice cream is nice.", key="b"))
    assert list(room.shown) == ["de0a341d-1b2-a"]
    assert room.captions() == [("Ice cream is nice.", STT)]
    assert room.assembler.statistics().matched == 1


def test_an_id_that_changes_between_drafts_keeps_the_first() -> None:
    room = Room()
    room.hear(said("Hel", 10, 10.3, key="a"), said("Hello everyone how are", 10, 12, key="b"))
    room.hear(final("Hello everyone, how are you?", 10, 12.4, key="b"))
    assert room.captions() == [("Hello everyone, how are you?", STT)]


def test_a_final_with_another_id_finds_the_draft_that_timed_out() -> None:
    room = Room()
    room.hear(said("Hello everyone", key="a"))
    room.wait(TIMEOUT_S)
    room.hear(final("Hello, everyone!", key="b"))
    assert room.captions() == [("Hello, everyone!", STT)]


def test_the_same_words_a_moment_later_are_another_utterance() -> None:
    room = Room()
    room.hear(final("Yes.", 10, 10.5, key="a"), final("Yes.", 10.7, 11.2, key="b"))
    assert room.captions() == [("Yes.", STT), ("Yes.", STT)]


def test_two_finals_of_one_session_in_one_place_are_both_kept() -> None:
    room = Room()
    room.hear(final("Hello.", key="a"), final("Quite another thing.", key="b"))
    assert len(room.captions()) == 2


def test_a_wrong_merge_is_undone_when_the_id_contradicts_it() -> None:
    room = Room()
    room.hear(said("shall we be gone", 10, 12, key="a"))
    room.hear(final("Shall we begin?", 10, 11.5, key="b"))  # taken for the draft's
    room.hear(final("Quite another thing.", 11.6, 13, key="a"))
    assert room.captions() == [("Shall we begin?", STT), ("Quite another thing.", STT)]
    assert list(room.shown) == ["de0a341d-1b2-a", "de0a341d-1b2-a~2"]


def test_an_id_used_anew_after_its_final_is_another_utterance() -> None:
    room = Room()
    room.hear(final("Hello.", 10, 11, key="a"), said("Where were we", 30, 31, key="a"))
    assert room.captions() == [("Hello.", STT), ("Where were we", None)]


def test_sessions_whose_names_begin_alike_do_not_share_ids() -> None:
    room = Room()
    room.hear(final("Hello.", 10, 11, session="session-number-1"))
    room.hear(final("Goodbye.", 20, 21, session="session-number-2"))
    assert list(room.shown) == ["session-numb-00_00000000", "session-numb-00_00000000~2"]
    room.now += 200
    room.hear(final("Hello again.", 210, 211, session="session-number-3"))
    assert list(room.shown)[2:] == ["session-numb-00_00000000~3"]


def test_a_resend_goes_on_with_the_draft_once_it_has_caught_up() -> None:
    room = Room()
    room.hear(said("Hello everyone how", 10, 12, session="one"))
    again = [said("Hel", 10, 10.4, session="two"), said("Hello everyone", 10, 11.5, session="two")]
    assert room.hear(*again) == []
    room.hear(said("Hello everyone how are", 10, 12.5, session="two"))
    assert room.captions() == [("Hello everyone how are", None)]


def test_a_resend_does_not_double_what_is_final() -> None:
    room = Room()
    room.hear(final("Hello everyone.", 10, 12, session="one"))
    room.hear(final("How are you today?", 12.5, 14, session="one", key="b"))
    assert room.hear(said("Hello", 10.02, 10.5, session="two")) == []
    assert room.hear(final("Hello everyone", 10.02, 12, session="two")) == []
    assert room.hear(final("everyone. how are you today", 11, 14, session="two", key="b")) == []
    assert room.wait(60) == []


def test_a_resend_that_says_more_replaces_the_final_and_retracts_its_parts() -> None:
    room = Room()
    room.hear(final("Hello everyone.", 10, 12, key="a"))
    room.hear(said("how are", 12.2, 13, key="b"))
    sent = room.hear(final("Hello everyone, how are you?", 10, 14, session="two"))
    assert [(t.text, t.rev) for t in sent] == [("Hello everyone, how are you?", 2), ("", 2)]
    assert room.hear(final("How are?", 12.2, 13, key="b")) == []
    assert room.captions() == [("Hello everyone, how are you?", STT)]


def test_what_a_resend_adds_is_kept_though_it_gets_no_final() -> None:
    room = Room()
    room.hear(final("Hello everyone.", 10, 12))
    room.hear(said("Hello everyone how are you", 10, 14, session="two"))
    assert room.captions() == [("Hello everyone.", STT)]
    room.wait(TIMEOUT_S)
    assert room.captions() == [("Hello everyone how are you", TIMEOUT)]


def test_a_resend_that_heard_much_more_in_the_same_time_replaces_the_final() -> None:
    room = Room()
    room.hear(final("Hello.", 10, 12))
    room.hear(final("Hello everyone, how are you today?", 10, 12, session="two"))
    assert room.captions() == [("Hello everyone, how are you today?", STT)]


def test_what_a_resend_was_to_add_is_dropped_when_its_final_does_not_say_it() -> None:
    room = Room()
    room.hear(final("Hello everyone.", 10, 12))
    room.hear(said("Hello everyone how are you", 10, 14, session="two"))
    room.hear(final("Hello everyone", 10, 12, session="two"))
    assert room.wait(60) == []


def test_what_a_resend_was_to_add_is_dropped_when_its_id_goes_elsewhere() -> None:
    room = Room()
    room.hear(final("Hello everyone.", 10, 12))
    room.hear(said("Hello everyone how are you", 10, 14, session="two"))
    room.hear(said("how are you", 12.6, 14, session="two"))
    room.wait(60)
    assert room.captions() == [("Hello everyone.", STT), ("how are you", TIMEOUT)]


def test_a_resend_that_begins_within_a_final_and_goes_on_loses_nothing() -> None:
    room = Room()
    room.hear(final("Hello everyone.", 10, 12, session="one"))
    room.hear(final("everyone let us begin with the agenda", 11.5, 16, session="two"))
    texts = [text for text, _ in room.captions()]
    assert texts == ["Hello everyone.", "everyone let us begin with the agenda"]


def test_a_garbled_draft_of_repeated_speech_is_retracted_by_its_final() -> None:
    room = Room()
    room.hear(final("We walked through the forest.", 10, 12, session="one"))
    room.hear(said("frist", 11.5, 12, session="two"), final("forest", 11.5, 12, session="two"))
    assert room.captions() == [("We walked through the forest.", STT)]


def test_empty_text_is_ignored_until_something_was_shown() -> None:
    room = Room()
    assert room.hear(said(""), final("")) == []
    room.hear(said("Hello"), said(""))
    assert room.captions() == [("Hello", None)]
    [retracted] = room.hear(final(""))
    assert (retracted.text, retracted.is_final, retracted.finalized_by) == ("", True, STT)


def test_finish_leaves_no_draft_and_real_finals_still_replace() -> None:
    room = Room()
    room.hear(said("Hello", key="a"), said("Bye", 20, 21, key="b"))
    room.finish()
    assert room.captions() == [("Hello", END), ("Bye", END)]
    assert room.finish() == []
    room.hear(final("Hello.", key="a"), said("Bye bye", 20, 22, key="b"))
    assert room.captions() == [("Hello.", STT), ("Bye bye", END)]


def test_open_drafts_are_the_last_snapshots() -> None:
    room = Room()
    room.hear(said("Hello", key="a"), said("Bye", 20, 21, key="b"), said("Hello you", key="a"))
    assert {t.text for t in room.assembler.open_drafts} == {"Hello you", "Bye"}
    room.hear(final("Hello you.", key="a"))
    assert [t.text for t in room.assembler.open_drafts] == ["Bye"]


def test_numbering_starts_where_it_is_told_to() -> None:
    assembler = Assembler("weekly", SpeakerTimeline(), first_seq=41)
    assert assembler.seq == 40
    [sent] = assembler.hear(said("Hello"), 0, 0)
    assert (sent.seq, assembler.seq, sent.session_slug) == (41, 41, "weekly")


def test_a_straggler_long_after_its_final_continues_the_numbering() -> None:
    room = Room()
    room.hear(final("Hello.", key="a"))
    room.now += 200
    room.hear(final("Bye.", 190, 191, key="b"))  # forgets what is old
    assert room.assembler.statistics().remembered == 1
    assert room.hear(said("Hello", key="a")) == []
    [corrected] = room.hear(final("Hello there.", key="a"))
    assert corrected.rev == 2


def test_each_piece_of_a_final_and_each_word_carries_who_spoke_it() -> None:
    speakers = SpeakerTimeline(lag_s=0, estimates_lag=False)
    for at_s in (9.5, 10.0, 10.5):
        speakers.report(SpeakerSample("alice:1", "Alice", at_s))
    for at_s in (11.0, 11.5, 12.0):
        speakers.report(SpeakerSample("bob:1", "Bob", at_s))
    room = Room(speakers)
    words = [Word("Hello", 9.8, 10.4), Word("Alice", 11.3, 11.6), Word("again", 11.8, 12.0)]
    one, other = room.hear(said("Hello Alice again", 9.8, 12, final=True, words=words))
    assert (one.speaker, one.speaker_id, one.text) == ("Alice", "alice:1", "Hello")
    assert (other.speaker, other.speaker_id, other.text) == ("Bob", "bob:1", "Alice again")
    assert [word.speaker_id for word in (*one.words, *other.words)] == ["alice:1"] + 2 * ["bob:1"]
    assert one.speaker_confidence == other.speaker_confidence == pytest.approx(1)
    assert room.assembler.statistics().sources == {SpeakerSource.OVERLAP: 2}


def test_drafts_carry_a_speaker_but_no_words() -> None:
    speakers = SpeakerTimeline()
    speakers.report(SpeakerSample("alice:1", "Alice", 100.0))
    [draft] = Room(speakers).hear(said("Hello", words=[Word("Hello", 10, 11)]))
    assert (draft.speaker, draft.speaker_confidence, draft.words) == ("Alice", None, ())


def test_a_name_once_shown_yields_only_to_evidence() -> None:
    speakers = SpeakerTimeline(lag_s=2, estimates_lag=False)
    speakers.report(SpeakerSample("alice:1", "Alice", 100.0))
    room = Room(speakers)
    room.hear(said("Hello", 10, 11))
    [ended] = room.wait(TIMEOUT_S)  # by now nobody is reported as speaking
    assert ended.speaker == "Alice"
    speakers.report(SpeakerSample("bob:1", "Bob", 8.5))
    [replaced] = room.hear(final("Hello.", 10, 11))
    assert replaced.speaker == "Bob"


def test_a_draft_is_sent_again_when_only_its_speaker_changed() -> None:
    speakers = SpeakerTimeline(lag_s=0, estimates_lag=False)
    room = Room(speakers)
    room.hear(said("Hello"))
    for at_s in (10.0, 10.5, 11.0, 11.5):
        speakers.report(SpeakerSample("alice:1", "Alice", at_s))
    [again] = room.hear(said("Hello"))
    assert (again.rev, again.speaker) == (2, "Alice")


def test_statistics_count_what_was_done() -> None:
    room = Room()
    room.hear(said("Hello"), said("Hello"), final("Hello."), said("Bye", 20, 21, key="b"))
    statistics = room.assembler.statistics()
    assert (statistics.drafts, statistics.finals, statistics.ignored) == (2, {STT: 1}, 1)
    assert (statistics.waiting, statistics.remembered) == (1, 2)
