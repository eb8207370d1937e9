"""Metrics that cost the hot path an addition, and are put into words when they are scraped.

What ``prometheus_client`` offers takes a lock for each count, which threads need and an
event loop does not. All of this belongs to one thread: the one that counts also scrapes.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import overload
from weakref import WeakSet

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString


class Tally:
    """One number that only grows.

    Attributes:
        created: When it began, in Unix seconds.
    """

    __slots__ = ("_count", "_read", "created")

    def __init__(self) -> None:
        self._count: float = 0
        self._read: Callable[[], float] | None = None
        self.created = time.time()

    @property
    def value(self) -> float:
        """The sum of what was counted."""
        return self._count if self._read is None else self._read()

    def inc(self, amount: float = 1) -> None:
        """Add ``amount``, which is not negative."""
        if amount < 0:
            raise ValueError(f"a counter cannot go down, by {amount}")
        self._count += amount

    def set_function(self, read: Callable[[], float]) -> None:
        """Let somebody else do the counting; ``read`` is called at each scrape."""
        self._read = read


class Tallies(Collector):
    """A Prometheus counter: a tally for each combination of label values ever asked for."""

    def __init__(
        self, registry: CollectorRegistry, name: str, text: str, labels: Sequence[str]
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._by_values: dict[tuple[str, ...], Tally] = {}
        registry.register(self)

    def labels(self, *values: str) -> Tally:
        """Return the tally for these values, one for each label; it is shown from now on."""
        try:
            return self._by_values[values]
        except KeyError:
            assert len(values) == len(self._labels), f"{self._name} has labels {self._labels}"
            return self._by_values.setdefault(values, Tally())

    def describe(self) -> Iterator[Metric]:
        """Yield the name, which the registry looks for double ones."""
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        """Yield the counter as it stands."""
        family = self._family()
        for values, tally in self._by_values.items():
            family.add_metric(values, tally.value, created=tally.created)
        yield family

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily(self._name, self._text, labels=self._labels)


@overload
def counter(registry: CollectorRegistry, name: str, text: str) -> Tally: ...
@overload
def counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Tallies: ...
def counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Tally | Tallies:
    """Register a counter; return what counts it: one tally, or one for each label value."""
    tallies = Tallies(registry, name, text, labels)
    return tallies if labels else tallies.labels()


class Distribution(Collector):
    """A histogram. ``bounds`` are the upper ends of its buckets, rising; the last is open."""

    def __init__(
        self, registry: CollectorRegistry, name: str, text: str, bounds: Sequence[float]
    ) -> None:
        self._name, self._text, self._bounds = name, text, tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._created = time.time()
        registry.register(self)

    def observe(self, value: float) -> None:
        """Put one value into its bucket; one that is equal to a bound lies below it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def describe(self) -> Iterator[Metric]:
        """Yield the name."""
        yield HistogramMetricFamily(self._name, self._text)

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram as it stands; each bucket also counts those below it."""
        ends = map(floatToGoString, (*self._bounds, math.inf))
        buckets = list(zip(ends, map(float, accumulate(self._counts)), strict=True))
        family = HistogramMetricFamily(self._name, self._text, buckets, self._total)
        family.samples.append(Sample(f"{self._name}_created", {}, self._created))
        yield family


class Total(Collector):
    """A gauge that shows the sum of its living shares."""

    def __init__(self, registry: CollectorRegistry, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._shares: WeakSet[Share] = WeakSet()
        registry.register(self)

    def add(self, share: Share) -> None:
        """Let a share count for as long as somebody holds it."""
        self._shares.add(share)

    def describe(self) -> Iterator[Metric]:
        """Yield the name."""
        yield GaugeMetricFamily(self._name, self._text)

    def collect(self) -> Iterator[Metric]:
        """Yield the sum, exact however many shares came and went."""
        total = math.fsum(share.value for share in self._shares)
        yield GaugeMetricFamily(self._name, self._text, total)


class Share:
    """One session's part of a :class:`Total`.

    Attributes:
        value: The part; on a hot path it may be assigned instead of :meth:`set`.
    """

    __slots__ = ("__weakref__", "value")

    def __init__(self, total: Total) -> None:
        self.value = 0.0
        total.add(self)

    def set(self, value: float) -> None:
        """Replace the part by another."""
        self.value = value
