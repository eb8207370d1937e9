import msgspec
import pytest

from bench.evidence import Spread
from bench.point import LoadShare, broken_by, load_bound
from tests.bench.points import QUIET, point


def late(**changes: object) -> LoadShare:
    return msgspec.structs.replace(QUIET, lateness_ms=Spread(1.0, 20.0, 40.0), **changes)


def test_a_sound_point_breaks_nobody() -> None:
    assert broken_by(point()) is None
    assert broken_by(point(audio_ms=Spread(1.0, 100.0, 300.0), beeps_lost=1)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"audio_ms": Spread(1.0, 100.1, 300.0)}, "p99 of audio is 100.1 ms"),
        ({"beeps_lost": 2}, "2 of 120 beeps never came"),
        ({"beeps": 0}, "0 of 0 beeps never came"),
        ({"failed": {"hung up on": 3}}, "publishes failed: 3 times hung up on"),
    ],
)
def test_a_server_goes_no_further_when_audio_is_late_or_lost(
    changes: dict[str, object], reason: str
) -> None:
    assert reason in str(broken_by(point(**changes)))


def test_a_load_in_time_is_no_bottleneck_on_a_full_machine() -> None:
    full = msgspec.structs.replace(QUIET, busy=1.0, others_cores=1.5)
    assert load_bound(full, server_cores=0.2) is None


def test_a_late_load_is_the_bottleneck_when_it_takes_more_of_a_full_machine() -> None:
    assert "machine is full" in str(load_bound(late(busy=0.99, others_cores=1.0), 0.7))


def test_a_server_that_takes_the_machine_is_no_excuse() -> None:
    assert load_bound(late(busy=0.99, others_cores=0.1), server_cores=1.5) is None


def test_a_late_load_on_an_idle_machine_is_not_said_to_lack_it() -> None:
    assert load_bound(late(busy=0.5), server_cores=0.3) is None


def test_a_process_of_the_load_at_its_end_is_named() -> None:
    cores = {"publish": 0.1, "stt": 0.97, "view": 0.1}
    assert "process stt is at its end" in str(load_bound(late(cores=cores), 1.9))


def test_lag_of_stub_and_viewers_counts_as_lateness() -> None:
    lagging = msgspec.structs.replace(QUIET, lag_ms=50.0, busy=1.0, others_cores=1.0)
    assert "50.0 ms" in str(load_bound(lagging, server_cores=0.5))
