from realtime_core.transcript.utterances import MOST_KEYS, MOST_NUMBERS, Utterances, key_of
from tests.transcript.hearing import said


def test_a_key_means_the_utterance_that_learnt_it_last() -> None:
    utterances = Utterances()
    first, second = utterances.add(said("a", key="a")), utterances.add(said("b", key="b"))
    utterances.learn(second, key_of(said("a", key="a")))
    assert utterances.named(key_of(said("a", key="a"))) is second
    utterances.finalised(first, 0)
    utterances.forget(1000)
    assert utterances.named(key_of(said("a", key="a"))) is second


def test_keys_are_bounded() -> None:
    utterances = Utterances()
    utterance = utterances.add(said("a", key="k0"))
    for number in range(2 * MOST_KEYS):
        utterances.learn(utterance, ("session", str(number)))
    assert len(utterance.keys) == MOST_KEYS
    assert utterances.named(("session", "0")) is None
    assert utterances.named(("session", str(2 * MOST_KEYS - 1))) is utterance


def test_what_waits_is_not_forgotten() -> None:
    utterances = Utterances(keep_s=120)
    utterance = utterances.add(said("a", key="a"))
    utterances.finalised(utterance, 0)
    utterances.wait(utterance, 50)
    utterances.forget(1000)
    assert len(utterances) == 1
    utterances.rest(utterance)
    utterances.forget(1000)
    assert len(utterances) == 0


def test_numbers_of_the_forgotten_are_kept_and_bounded() -> None:
    utterances = Utterances(most_finals=0)
    for number in range(MOST_NUMBERS + 1):
        utterance = utterances.add(said("a", key=str(number)))
        utterance.parts[0].rev, utterance.part(1).rev = 3, 2
        utterances.finalised(utterance, number)
        utterances.forget(number)
    assert not utterances.was_forgotten(key_of(said("a", key="0")))
    assert utterances.was_forgotten(key_of(said("a", key="1")))
    parts = utterances.add(said("a", key="1")).parts
    assert [(part.id, part.rev) for part in parts] == [
        ("de0a341d-1b2-1", 3),
        ("de0a341d-1b2-1.2", 2),
    ]


def test_near_are_those_that_touch_the_time() -> None:
    utterances = Utterances()
    early, late = utterances.add(said("a", 1, 2, key="a")), utterances.add(said("b", 3, 4, key="b"))
    assert utterances.near(said("x", 2, 2.5)) == [early]
    assert utterances.near(said("x", 0, 9)) == [early, late]
    assert utterances.near(said("x", 5, 6)) == []
