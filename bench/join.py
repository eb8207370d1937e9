"""Joins what was sent with what came: latencies, losses. Pure.

A beep is known by its tone, and there are eight: the same tone comes again after 8 s, so a beep
that is later than that cannot be told from the next one, and counts as lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from bench.evidence import Heard, HeardRoom, Published, PublishedRoom, Seen, Spread

TONES = 8
TONE_RETURNS_AFTER_NS = TONES * 1_000_000_000
EARLY_NS = 25_000_000
"""A decoder may give the onset with the frame before that in which the reference had it."""
PCM_BYTES_PER_MS = 32
NS_PER_MS = 1_000_000

Window = tuple[int, int]
"""From when, until when: CLOCK_MONOTONIC, in nanoseconds."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the least value that ``share`` of all values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def spread(values: Iterable[float]) -> Spread:
    """Return how the values are spread, rounded to what can be measured."""
    ordered = sorted(values)
    if not ordered:
        return Spread()
    return Spread(*(round(percentile(ordered, share), 3) for share in (0.5, 0.99, 1.0)))


def pair_beeps(
    sent: Iterable[tuple[int, int, int]], heard: Iterable[tuple[int, int]]
) -> list[tuple[int, int | None]]:
    """Return for each beep when it left, and when it arrived; None for one that was lost.

    Each arrival is taken once, by the oldest beep of its tone that it can be.
    """
    arrivals: dict[int, list[int]] = {}
    for tone, at_ns in sorted(heard, key=lambda beep: beep[1]):
        arrivals.setdefault(tone, []).append(at_ns)
    pairs = []
    for _number, tone, left_ns in sorted(sent, key=lambda beep: beep[2]):
        waiting = arrivals.get(tone, [])
        while waiting and waiting[0] < left_ns - EARLY_NS:
            waiting.pop(0)  # nothing that leaves from now on can have made it
        is_in_time = bool(waiting) and waiting[0] < left_ns - EARLY_NS + TONE_RETURNS_AFTER_NS
        pairs.append((left_ns, waiting.pop(0) if is_in_time else None))
    return pairs


def beep_pairs(published: Published, heard: Heard, window: Window) -> list[tuple[int, int | None]]:
    """Return the pairs of all rooms' beeps that left within the window."""
    pairs: list[tuple[int, int | None]] = []
    for name, room in published.rooms.items():
        pairs += pair_beeps(room.beeps, _heard_in(heard, name).beeps)
    return [pair for pair in pairs if window[0] <= pair[0] < window[1]]


def latencies_ms(pairs: Iterable[tuple[int, int | None]]) -> list[float]:
    """Return how long those that arrived were under way."""
    return [(came_ns - left_ns) / NS_PER_MS for left_ns, came_ns in pairs if came_ns is not None]


def start_up_ms(published: Published, heard: Heard) -> list[float]:
    """Return for each room the time from the start of its publish to its first PCM."""
    times = []
    for name, room in published.rooms.items():
        first_ns = _heard_in(heard, name).first_pcm_ns
        if room.publish_ns is not None and first_ns is not None:
            times.append((first_ns - room.publish_ns) / NS_PER_MS)
    return times


def lost_ms(
    published: Published, early: Heard, late: Heard, early_ns: int, latency_ms: float
) -> dict[str, tuple[float, float]]:
    """Return for each room how much audio never came: at its start, and later.

    The sum of the two is exact. The first is what was missing at ``early_ns``, less what was
    then under way, and right to a frame or two.

    Args:
        early, late: What had come at ``early_ns``, and in the end.
        latency_ms: How long audio is under way once the server runs steadily.
    """
    losses = {}
    for name, room in published.rooms.items():
        lost = room.audio_ms - _heard_in(late, name).pcm_bytes / PCM_BYTES_PER_MS
        sent = _sent_ms_at(room, early_ns) - latency_ms
        missing = sent - _heard_in(early, name).pcm_bytes / PCM_BYTES_PER_MS
        at_start = min(max(missing, 0.0), max(lost, 0.0))
        losses[name] = (at_start, lost - at_start)
    return losses


def _sent_ms_at(room: PublishedRoom, at_ns: int) -> float:
    first_ns, last_ns = room.first_frame_ns, room.last_frame_ns
    if first_ns is None or last_ns is None or last_ns <= first_ns or at_ns <= first_ns:
        return 0.0
    return min(1.0, (at_ns - first_ns) / (last_ns - first_ns)) * room.audio_ms


def messages_lost(before: Heard, after: Heard, seen: Seen) -> tuple[int, int]:
    """Return how many transcripts viewers were owed between two reports, and did not see.

    One that was under way at the first report may count for either side: of each viewer, one
    that is missing is not yet a loss.
    """
    owed = lost = 0
    for name, room in seen.by_room.items():
        sent = _heard_in(after, name).stamps_sent - _heard_in(before, name).stamps_sent
        views = [*room.stamps, *[0] * (room.viewers - len(room.stamps))]
        owed += sent * len(views)
        lost += sum(sent - saw for saw in views if sent - saw > 1)
    return owed, lost


def _heard_in(heard: Heard, name: str) -> HeardRoom:
    return heard.rooms.get(name) or HeardRoom()


def lag_from_histogram(before: Mapping[float, float], after: Mapping[float, float]) -> Spread:
    """Return what a Prometheus histogram saw between two readings.

    Args:
        before, after: How many values did not exceed each bound, in seconds.

    Returns:
        Upper bounds: the true values lie below them. In milliseconds.
    """
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    total = max(counts.values(), default=0.0)
    if not total:
        return Spread()
    return Spread(*(_bound_ms(counts, total * share) for share in (0.5, 0.99, 1.0)))


def _bound_ms(counts: Mapping[float, float], rank: float) -> float | None:
    bound = next(bound for bound, count in counts.items() if count >= rank)
    return bound * 1000 if math.isfinite(bound) else None
