"""The utterances of a session: those still open, those just finalised, and their names. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice, takewhile

from realtime_core.model import FinalizedBy, SpeechHeard, Transcript
from realtime_core.transcript.speakers import SpeakerSource

Key = tuple[str, str]
"""The provider's session and its utterance id; together they are unique."""

MOST_KEYS = 64
"""Ids remembered per utterance; a provider that never repeats one must not fill the memory."""

LEAST_LENGTH_S = 0.05
"""An utterance without extent is treated as this long."""

MOST_NUMBERS = 1024
"""Forgotten utterances whose last ``rev`` is still known, so that a straggler continues it."""


def key_of(heard: SpeechHeard) -> Key:
    """Return under which key the provider sent this."""
    return heard.stt_session_id, heard.utterance_id


def part_id(utterance_id: str, place: int) -> str:
    """Return the id of a part, which stays the same however often the utterance is cut anew."""
    return f"{utterance_id}.{place + 1}" if place else utterance_id


@dataclass(slots=True, eq=False)
class Part:
    """A piece of an utterance as viewers know it: one speaker's. Most utterances have one.

    Attributes:
        rev: The revision sent last; 0 before the first.
        shown: The transcript sent last.
        source: What its speaker rests on.
    """

    id: str
    rev: int = 0
    shown: Transcript | None = None
    source: SpeakerSource = SpeakerSource.ROOM


@dataclass(slots=True, eq=False)
class Utterance:
    """One utterance of the provider.

    Attributes:
        id: What viewers see; it outlives changes of the provider's id.
        keys: The provider's ids that led here, the oldest first.
        heard: The message that counts.
        parts: The consecutive pieces in which it is shown, those that were taken back
            included. The first has the utterance's id; a draft is shown in it as a whole.
        later: What was heard after we finalised, and was not sent yet.
        changed_at: Loop time of the last change of the text.
        final_key: The key of the real final, once there is one.
    """

    id: str
    keys: list[Key]
    heard: SpeechHeard
    parts: list[Part]
    later: SpeechHeard | None = None
    changed_at: float = 0.0
    final_key: Key | None = None

    def part(self, place: int) -> Part:
        """Return the piece at this place, counted from 0; the one behind the last is new."""
        if place == len(self.parts):
            self.parts.append(Part(part_id(self.id, place)))
        return self.parts[place]

    @property
    def shown(self) -> Transcript | None:
        """What was sent last of the first part."""
        return self.parts[0].shown

    @property
    def is_open(self) -> bool:
        """Whether viewers see a draft."""
        return self.shown is None or not self.shown.is_final

    @property
    def is_settled(self) -> bool:
        """Whether the provider's own final was sent."""
        return self.shown is not None and self.shown.finalized_by is FinalizedBy.STT

    @property
    def latest(self) -> SpeechHeard:
        """The newest message, sent or not."""
        return self.later or self.heard


@dataclass(slots=True)
class Utterances:
    """Finds utterances by key, knows which wait for their final, and forgets old ones.

    Args:
        keep_s: How long a final is remembered, on the session clock.
        most_finals: How many finals are remembered at most.
    """

    keep_s: float = 120.0
    most_finals: int = 512
    waiting: dict[str, Utterance] = field(default_factory=dict)
    """Open drafts and finals with something later to say; the longest unchanged comes first."""

    _by_id: dict[str, Utterance] = field(default_factory=dict)
    _by_key: dict[Key, Utterance] = field(default_factory=dict)
    _finals: dict[str, float] = field(default_factory=dict)  # id → finalised at, oldest first
    # Of forgotten ones: the key, and the last ``rev`` of each part.
    _numbers: dict[str, tuple[Key, list[int]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def has_finals(self) -> bool:
        """Whether any final is remembered."""
        return bool(self._finals)

    def final_since(self, from_s: float) -> list[Utterance]:
        """Return what became final at this time of the session clock or later."""
        late = takewhile(lambda item: item[1] >= from_s, reversed(self._finals.items()))
        return [self._by_id[name] for name, _ in late]

    def named(self, key: Key) -> Utterance | None:
        """Return the utterance the provider last meant by ``key``."""
        return self._by_key.get(key)

    def near(self, heard: SpeechHeard) -> list[Utterance]:
        """Return the utterances with text that touch the time of ``heard``."""
        from_s, to_s = heard.start_s - LEAST_LENGTH_S, heard.end_s + LEAST_LENGTH_S
        return [
            each
            for each in self._by_id.values()
            if (latest := each.later or each.heard).start_s <= to_s
            and latest.end_s >= from_s
            and latest.text
        ]

    def add(self, heard: SpeechHeard) -> Utterance:
        """Return a new utterance, or a forgotten one that goes on with its number."""
        key = key_of(heard)
        name = self._name_for(key)
        _, revs = self._numbers.pop(name, (key, [0]))
        parts = [Part(part_id(name, place), rev) for place, rev in enumerate(revs)]
        utterance = self._by_id[name] = Utterance(name, [], heard, parts)
        self.learn(utterance, key)
        return utterance

    def was_forgotten(self, key: Key) -> bool:
        """Whether an utterance of this key was final so long ago that only its number is left."""
        return self._name_for(key) in self._numbers

    def learn(self, utterance: Utterance, key: Key) -> None:
        """From now on ``key`` means ``utterance``."""
        if self._by_key.get(key) is utterance:
            return
        self._by_key[key] = utterance
        utterance.keys.append(key)
        if len(utterance.keys) > MOST_KEYS:
            self._unlearn(utterance, utterance.keys.pop(0))

    def wait(self, utterance: Utterance, now: float) -> None:
        """Note that the text of ``utterance`` changed, and that a final is awaited."""
        utterance.changed_at = now
        self.waiting.pop(utterance.id, None)
        self.waiting[utterance.id] = utterance

    def rest(self, utterance: Utterance) -> None:
        """Note that nothing of ``utterance`` is left to be sent."""
        utterance.later = None
        self.waiting.pop(utterance.id, None)

    def finalised(self, utterance: Utterance, now_s: float) -> None:
        """Note a final of ``utterance``, which will be remembered for a while."""
        self.rest(utterance)
        self._finals.pop(utterance.id, None)
        self._finals[utterance.id] = now_s

    def forget(self, now_s: float) -> None:
        """Let go of finals that are too old or too many, unless something is still to come."""
        excess = len(self._finals) - self.most_finals
        oldest_s = next(iter(self._finals.values()), now_s)
        if excess <= 0 and oldest_s >= now_s - self.keep_s:
            return  # as with nearly every message
        old = takewhile(lambda at_s: at_s < now_s - self.keep_s, self._finals.values())
        count = max(excess, sum(1 for _ in old))
        for name in list(islice(self._finals, max(0, count))):
            if name not in self.waiting:
                self._drop(self._by_id[name])

    def _drop(self, utterance: Utterance) -> None:
        del self._by_id[utterance.id], self._finals[utterance.id]
        self._numbers[utterance.id] = (utterance.keys[0], [part.rev for part in utterance.parts])
        for key in utterance.keys:
            self._unlearn(utterance, key)
        if len(self._numbers) > MOST_NUMBERS:
            del self._numbers[next(iter(self._numbers))]

    def _unlearn(self, utterance: Utterance, key: Key) -> None:
        if self._by_key.get(key) is utterance:
            del self._by_key[key]

    def _name_for(self, key: Key) -> str:
        """Return the id of a new utterance: the provider's, told apart where it is used twice.

        Two keys share a name when the provider uses an id anew, or two of its sessions begin
        with the same characters.
        """
        stt_session_id, utterance_id = key
        name = first = f"{stt_session_id[:12]}-{utterance_id}"
        copy = 1
        while name in self._by_id or (name in self._numbers and self._numbers[name][0] != key):
            copy += 1
            name = f"{first}~{copy}"
        return name
