"""What counts cheaply shows the same as what ``prometheus_client`` counts."""

import gc
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from realtime_core.counting import Distribution, Share, Total, counter

BOUNDS = (0.1, 0.5, 1, 2.5)


def exposition(registry: CollectorRegistry) -> str:
    """The text of a scrape, without the times at which the counts began."""
    return re.sub(r"(_created\S*) .*", r"\1", generate_latest(registry).decode())


def test_counters_look_like_the_librarys() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    plain, theirs_plain = counter(ours, "a_total", "A"), Counter("a_total", "A", registry=theirs)
    by_kind = counter(ours, "b_total", "B", "kind")
    theirs_by_kind = Counter("b_total", "B", ["kind"], registry=theirs)
    assert exposition(ours) == exposition(theirs)
    for amount in (1, 372, 0.25):
        plain.inc(amount)
        theirs_plain.inc(amount)
    for kind in ("x", 'y"\n', "x"):
        by_kind.labels(kind).inc()
        theirs_by_kind.labels(kind).inc()
    by_kind.labels("seen but never counted")
    theirs_by_kind.labels("seen but never counted")
    assert exposition(ours) == exposition(theirs)


@given(values=st.lists(st.sampled_from(BOUNDS) | st.floats(0, 4)))
def test_distributions_look_like_the_librarys(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    distribution = Distribution(ours, "seconds", "How long", BOUNDS)
    histogram = Histogram("seconds", "How long", buckets=BOUNDS, registry=theirs)
    for value in values:
        distribution.observe(value)
        histogram.observe(value)
    assert exposition(ours) == exposition(theirs)


def test_a_total_looks_like_the_librarys_gauge() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    share = Share(Total(ours, "held", "How much"))
    gauge = Gauge("held", "How much", registry=theirs)
    assert exposition(ours) == exposition(theirs)
    share.set(2.5)
    gauge.set(2.5)
    assert exposition(ours) == exposition(theirs)


def test_shares_add_up_and_leave_nothing_behind() -> None:
    registry = CollectorRegistry()
    total = Total(registry, "held", "How much")
    shares = [Share(total) for _ in range(3)]
    for value in (0.1, 0.7, 1024 / 44_100, 1e5 / 3):
        for number, share in enumerate(shares, start=1):
            share.set(number * value)
        assert registry.get_sample_value("held") == pytest.approx(6 * value)
    for share in shares:
        share.set(0)
    assert registry.get_sample_value("held") == 0


def test_a_share_that_nobody_holds_counts_no_more() -> None:
    registry = CollectorRegistry()
    total = Total(registry, "held", "How much")
    kept, forgotten = Share(total), Share(total)
    kept.set(1)
    forgotten.set(2)
    assert registry.get_sample_value("held") == 3
    del forgotten
    gc.collect()
    assert registry.get_sample_value("held") == 1


def test_what_others_count_is_read_at_each_scrape() -> None:
    registry, counted = CollectorRegistry(), [1]
    counter(registry, "a_total", "A").set_function(lambda: counted[0])
    assert registry.get_sample_value("a_total") == 1
    counted[0] = 5
    assert registry.get_sample_value("a_total") == 5


def test_a_counter_never_goes_down() -> None:
    tally = counter(CollectorRegistry(), "a_total", "A")
    with pytest.raises(ValueError, match="cannot go down"):
        tally.inc(-1)


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    counter(registry, "a_total", "A")
    with pytest.raises(ValueError, match="Duplicated"):
        counter(registry, "a_total", "A", "kind")
