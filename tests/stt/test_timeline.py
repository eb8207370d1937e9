"""The timeline against a model of the provider: nothing lost, nothing doubled, times right."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from realtime_core.model import AudioGap
from realtime_core.stt.leg import PROBE_BYTES, Leg
from realtime_core.stt.timeline import Timeline
from tests.stt.harness import speech

SECOND = 32_000
REPLAY_S = 1.0


class Provider:
    """One STT session at the provider: what was counted, and where each piece began."""

    def __init__(self) -> None:
        self.audio = bytearray()
        self.probes: list[tuple[int, int]] = []
        self.arriving: list[bytes] = []
        self.acks: list[tuple[int, int]] = []

    def count(self, chunks: int) -> None:
        """Take so many of the chunks that are on their way."""
        for chunk in self.arriving[:chunks]:
            self.acks.append((len(self.audio), len(self.audio) + len(chunk)))
            self.audio += chunk
        del self.arriving[:chunks]

    def lose(self) -> None:
        """Lose what is on its way, in both directions."""
        self.arriving.clear()
        self.acks.clear()


class Streaming(RuleBasedStateMachine):
    """Audio goes through a timeline to providers, over sockets that drop at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.timeline = Timeline(REPLAY_S)
        self.spoken_bytes = 0
        self.now = 0.0
        self.past: list[tuple[Leg, Provider, int]] = []  # and up to where each has it
        self.gaps: list[AudioGap] = []
        self.lost_bytes = 0
        self.answers_empty = True
        self._begin()

    # The world.

    @initialize(answers_empty=st.booleans())
    def meet(self, answers_empty: bool) -> None:
        self.answers_empty = answers_empty

    @rule(samples=st.integers(1, 3_000))
    def speak(self, samples: int) -> None:
        self.timeline.append(speech(samples / 16_000, first=self.spoken_bytes // 2))
        self.spoken_bytes += samples * 2
        self.now += samples / 16_000
        self.lost_bytes += self.timeline.take_lost_bytes()
        if self.timeline.has_hole:
            self._replace()

    @rule(most=st.integers(1, 5_000))
    def send(self, most: int) -> None:
        if chunk := self.timeline.take(most):
            self.provider.arriving.append(chunk)

    @rule(samples=st.integers(1, 3_000))
    def speak_and_send(self, samples: int) -> None:
        self.speak(samples)
        self.send(5_000)

    @rule(chunks=st.integers(1, 3))
    def arrive(self, chunks: int) -> None:
        self.provider.count(chunks)

    @rule(acks=st.integers(1, 3))
    def acknowledge(self, acks: int) -> None:
        for start, end in self.provider.acks[:acks]:
            self.timeline.acknowledge(start, end, self.now)
        del self.provider.acks[:acks]

    @rule(counted=st.integers(0, 3), late_acks=st.booleans(), twice=st.booleans())
    def drop_and_resume(self, counted: int, late_acks: bool, twice: bool) -> None:
        self.provider.count(counted)
        acks = list(self.provider.acks) if late_acks else []
        self.provider.lose()
        self.leg.resume()
        for start, end in acks:
            self.timeline.acknowledge(start, end, self.now)
        if twice:  # and the first of the two was cut before it was answered
            self._probe()
            self.leg.resume()
        self._settle()

    @rule(counted=st.integers(0, 3))
    def lose_the_session(self, counted: int) -> None:
        self.provider.count(counted)
        self._replace()

    @precondition(lambda self: self.timeline.unsent_bytes == 0)
    @rule()
    def finish_the_session(self) -> None:
        if self.leg.settled:
            self.provider.count(len(self.provider.arriving))
            self.past.append((self.leg, self.provider, self.leg.sent_at))
            self.timeline.finish()
            self._begin()

    @rule(back_s=st.floats(0, 0.5), length_s=st.floats(0, 0.5), is_final=st.booleans())
    def hear(self, back_s: float, length_s: float, is_final: bool) -> None:
        end_s = len(self.provider.audio) / SECOND - back_s
        start_s, end_s = self.leg.session_s(end_s - length_s), self.leg.session_s(end_s)
        if not is_final:  # a final allows forgetting, which this test could not tell from loss
            self.timeline.hear("u", start_s, end_s, is_final=False)

    # What must hold.

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert self.timeline.unacknowledged_bytes <= REPLAY_S * SECOND

    @invariant()
    def every_sample_at_the_provider_maps_back_to_where_it_was_spoken(self) -> None:
        for leg, provider, _ in [*self.past[-1:], (self.leg, self.provider, 0)]:
            heard = array("H", bytes(provider.audio))
            for n in range(0, len(heard), 97):
                if not any(start <= 2 * n < end for start, end in provider.probes):
                    spoken = round(leg.session_s(n / 16_000) * 16_000)
                    assert spoken % 65_536 == heard[n]

    @invariant()
    def without_probes_no_sample_is_doubled_or_missing(self) -> None:
        if not self.provider.probes:
            first = self.leg.origin_at // 2
            count = len(self.provider.audio) / SECOND
            assert self.provider.audio == speech(count, first=first)

    def teardown(self) -> None:
        self._settle()
        while chunk := self.timeline.take(5_000):
            self.provider.arriving.append(chunk)
        self.provider.count(len(self.provider.arriving))
        self.acknowledge(len(self.provider.acks))
        assert self.timeline.unacknowledged_bytes == 0
        assert self.timeline.give_up() is None
        self._assert_every_sample_was_heard_or_reported()

    def _assert_every_sample_was_heard_or_reported(self) -> None:
        known = bytearray(self.spoken_bytes // 2)
        for leg, _, heard_at in [*self.past, (self.leg, self.provider, self.leg.sent_at)]:
            first, last = leg.origin_at // 2, heard_at // 2
            known[first:last] = b"\1" * (last - first)
        for gap in self.gaps:
            first, last = round(gap.from_s * 16_000), round(gap.to_s * 16_000)
            known[first:last] = b"\1" * (last - first)
        assert all(known)
        reported_s = sum(gap.to_s - gap.from_s for gap in self.gaps)
        assert abs(self.lost_bytes / SECOND - reported_s) < 1e-6

    # Helpers.

    def _begin(self) -> None:
        gap = self.timeline.begin(f"s{len(self.past)}", self.now)
        self.lost_bytes += self.timeline.take_lost_bytes()
        if gap is not None:
            self.gaps.append(gap)
        assert self.timeline.leg is not None
        self.leg, self.provider = self.timeline.leg, Provider()

    def _replace(self) -> None:
        """The session is gone; the next must hear all that this one may not have had."""
        unsure_at = self.leg.acknowledged_at
        self.past.append((self.leg, self.provider, unsure_at))
        self.timeline.abandon()
        self._begin()
        lost = self.gaps and round(self.gaps[-1].to_s * SECOND) == self.leg.origin_at
        assert self.leg.origin_at <= unsure_at or lost

    def _settle(self) -> None:
        """After a resume: let the provider answer an empty chunk, or a probe."""
        if not self.leg.settled:
            count = len(self.provider.audio)
            self._probe()
            self.timeline.acknowledge(count, len(self.provider.audio), self.now)
        assert self.leg.settled

    def _probe(self) -> None:
        if not self.leg.settled and not self.answers_empty:
            count = len(self.provider.audio)
            self.provider.audio += self.timeline.take_probe()
            self.provider.probes.append((count, count + PROBE_BYTES))


TestStreaming = pytest.mark.slow(Streaming.TestCase)
TestStreaming.settings = settings(max_examples=100, stateful_step_count=40)


def _timeline(spoken_s: float, *, sent_s: float = 0.0, replay_s: float = 10.0) -> Timeline:
    timeline = Timeline(replay_s)
    timeline.begin("s", 0.0)
    timeline.append(speech(spoken_s))
    timeline.take(round(sent_s * SECOND))
    return timeline


def test_the_least_and_the_most_of_a_message_are_kept() -> None:
    timeline = _timeline(1.0)
    assert timeline.take(1_001) == speech(500 / 16_000)
    assert timeline.take(SECOND, least_bytes=SECOND) == b""
    assert len(timeline.take(SECOND)) == SECOND - 1_000


def test_what_was_transcribed_is_forgotten() -> None:
    timeline = _timeline(5.0, sent_s=5.0)
    timeline.acknowledge(0, 5 * SECOND, now=1.0)
    timeline.hear("u", 0.0, 3.0, is_final=True)
    timeline.abandon()
    timeline.begin("t", 1.0)
    assert timeline.take(SECOND) == speech(1.0, first=48_000)


def test_a_provider_whose_clock_has_gone_mad_loses_us_nothing() -> None:
    timeline = _timeline(5.0, sent_s=2.0)
    timeline.hear("u", 1e9, 2e9, is_final=True)
    timeline.speech_begun(1e9)
    timeline.abandon()
    assert timeline.begin("t", 1.0) is None
    assert timeline.take(SECOND) == speech(1.0, first=32_000)


def test_what_nobody_heard_is_a_gap_in_the_end() -> None:
    timeline = _timeline(5.0, sent_s=2.0)
    timeline.acknowledge(0, SECOND, now=1.0)
    assert timeline.give_up() == AudioGap(1.0, 5.0, "stt unavailable")
    assert timeline.take_lost_bytes() == 4 * SECOND


def test_a_hole_stops_the_session_it_is_in() -> None:
    timeline = _timeline(5.0, sent_s=2.0, replay_s=3.0)
    assert timeline.has_hole
    assert timeline.take(SECOND) == b""
    timeline.abandon()
    assert timeline.begin("t", 1.0) == AudioGap(0.0, 2.0, "stt unavailable")
    assert timeline.take_lost_bytes() == 2 * SECOND
    assert timeline.take(SECOND) == speech(1.0, first=32_000)


def test_half_a_sample_is_nobodys_gap() -> None:
    timeline = _timeline(1.0, sent_s=1.0)
    timeline.append(b"\0")
    timeline.acknowledge(0, SECOND, now=1.0)
    assert timeline.unsent_bytes == 0
    assert timeline.give_up() is None
