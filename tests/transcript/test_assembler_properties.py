"""Promises kept under whatever a provider may send, in simulated time."""

import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.model import FinalizedBy, SpeechHeard
from realtime_core.transcript.assembler import MOST_WAITING
from tests.transcript.hearing import TIMEOUT_S, Room, said

TIMES = st.one_of(
    st.floats(0, 40), st.sampled_from([math.nan, math.inf, -math.inf, -3.0, 0.0, 1e12])
)
TEXTS = st.lists(st.sampled_from(["oh", "hello", "everyone", "how", "are", "you"]), max_size=7)
MESSAGES = st.builds(
    lambda text, start_s, end_s, key, session, final: said(
        " ".join(text), start_s, end_s, key=key, session=session, final=final
    ),
    TEXTS, TIMES, TIMES, st.sampled_from("abcdef"), st.sampled_from(["one", "two"]),
    st.booleans(),
)  # fmt: skip
WORDS = [
    first + second
    for first in ("", "sea", "sun", "ice")
    for second in ("apple", "bridge", "candle", "dragon", "forest", "garden", "jungle", "ladder")
]
Spoken = list[tuple[str, float]]
"""Words, and when each begins."""

STEPS = st.lists(st.one_of(MESSAGES, MESSAGES, st.floats(0, 8)), max_size=60)


@given(STEPS, STEPS)
def test_every_draft_ends_in_one_final_in_time_whatever_is_heard(
    steps: list[SpeechHeard | float], stragglers: list[SpeechHeard | float]
) -> None:
    room = Room()  # which checks numbering, and that only finals follow a final
    changed: dict[str, tuple[str, float]] = {}
    for step in steps:
        sent = room.wait(step) if isinstance(step, float) else room.hear(step)
        for each in sent:
            if changed.get(each.utterance_id, ("", 0.0))[0] != each.text:
                changed[each.utterance_id] = (each.text, room.now)
        for draft in room.assembler.open_drafts:
            assert room.now <= changed[draft.utterance_id][1] + TIMEOUT_S
    room.finish()
    assert not room.assembler.open_drafts
    for step in stragglers:
        if isinstance(step, SpeechHeard):
            room.hear(step)
        assert all(each.is_final for each in room.shown.values())
    assert room.assembler.due_at() is None


@given(STEPS)
def test_sent_times_are_always_sound(steps: list[SpeechHeard | float]) -> None:
    room = Room()
    for step in steps:
        for each in room.wait(step) if isinstance(step, float) else room.hear(step):
            assert 0 <= each.start_s <= each.end_s < math.inf


@dataclass
class Provider:
    """Hears a known conversation as Gladia might: drafts are misheard, ids change, finals come
    late or twice, and a new session may hear the last seconds again, cut up otherwise."""

    dice: random.Random
    room: Room
    session: int = 0
    count: int = 0

    def hear(self, words: Spoken, *, cut_after: int = 99, shift_s: float = 0.0) -> None:
        """Send growing drafts and a final, unless it is cut off after so many words."""
        key = self._new_key()
        for count in range(1, min(len(words), cut_after) + 1):
            key = self._new_key() if self.dice.random() < 0.1 else key
            draft = " ".join(self._misheard(word) for word, _ in words[:count])
            self._send(draft, words[:count], key, shift_s, final=False)
            self.room.wait(0.3)
        if len(words) > cut_after:
            return
        key = self._new_key() if self.dice.random() < 0.2 else key
        text = " ".join(word for word, _ in words)
        self.room.wait(self.dice.choice([0.3, 0.3, 7.0]))
        for _ in range(self.dice.choice([1, 1, 2])):
            self._send(text.capitalize() + ".", words, key, shift_s, final=True)

    def hear_again(self, before: Spoken, words: Spoken) -> None:
        """Start a new session in the middle of ``before``; it may cut ``words`` in two."""
        self.session += 1
        shift_s = self.dice.uniform(-0.05, 0.05)
        middle = self.dice.randrange(len(words))
        for part in (
            before[self.dice.randrange(len(before) + 1) :],
            words[:middle],
            words[middle:],
        ):
            if part:
                self.hear(part, shift_s=shift_s)

    def _misheard(self, word: str) -> str:
        place = self.dice.randrange(len(word))
        wrong = word[:place] + self.dice.choice("aeiou") + word[place + 1 :]
        return wrong if self.dice.random() < 0.15 else word

    def _new_key(self) -> str:
        self.count += 1
        return f"00_{self.count:08}"

    def _send(self, text: str, words: Spoken, key: str, shift_s: float, *, final: bool) -> None:
        start_s, end_s = words[0][1] + shift_s, words[-1][1] + 0.35 + shift_s
        session = f"session-{self.session}"
        self.room.hear(said(text, start_s, end_s, key=key, session=session, final=final))


@pytest.mark.parametrize("seed", range(300))
def test_every_word_is_read_exactly_once(seed: int) -> None:
    dice, room = random.Random(seed), Room()
    provider, words, clock_s = Provider(dice, room), dice.sample(WORDS, len(WORDS)), 1.0
    truth: list[str] = []
    before: Spoken = []
    while words:
        count = dice.randint(1, 8)
        spoken = [(word, clock_s + 0.4 * place) for place, word in enumerate(words[:count])]
        if dice.random() < 0.4:
            provider.hear(spoken, cut_after=dice.randrange(len(spoken)))
            provider.hear_again(before, spoken)
        else:
            provider.hear(spoken)
        truth += words[:count]
        del words[:count]
        before, clock_s = spoken, spoken[-1][1] + 0.4 + dice.uniform(0.1, 1.5)
    room.finish()
    read = " ".join(text.lower().rstrip(".") for text, _ in room.captions())
    assert read.split() == truth


@pytest.mark.parametrize("final", [True, False])
def test_memory_is_bounded(final: bool) -> None:
    room = Room()
    for number in range(700):
        start_s = number * 3.0
        room.hear(said(f"{number} bottles", start_s, start_s + 2, key=f"k{number}", final=final))
        room.now += 0.01
    statistics = room.assembler.statistics()
    assert statistics.waiting == (0 if final else MOST_WAITING)
    assert statistics.remembered <= 512 + 1 + MOST_WAITING
    assert len(room.captions()) == 700
    ended = FinalizedBy.STT if final else FinalizedBy.TIMEOUT
    assert room.assembler.statistics().finals == {ended: 700 - statistics.waiting}
