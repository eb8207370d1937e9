"""The arithmetic of one STT session: counts, doubts, seams."""

from __future__ import annotations

import pytest

from realtime_core.stt.leg import PROBE_BYTES, Leg

SECOND = 32_000


def _leg(*, sent: int, acknowledged: int, origin_at: int = 0) -> Leg:
    leg = Leg("s", origin_at)
    leg.sent(sent)
    leg.acknowledge(0, acknowledged)
    return leg


def test_acknowledgements_are_cumulative_and_may_be_late_or_lost() -> None:
    leg = _leg(sent=10_000, acknowledged=0)
    leg.acknowledge(3_200, 6_400)
    leg.acknowledge(0, 3_200)
    assert (leg.acknowledged_at, leg.in_flight_bytes) == (6_400, 3_600)


def test_more_than_was_sent_cannot_be_acknowledged() -> None:
    assert _leg(sent=3_200, acknowledged=9_999).acknowledged_at == 3_200


def test_half_a_sample_is_not_acknowledged() -> None:
    # Should ranges be inclusive after all: 3199 then means 3200.
    assert _leg(sent=6_400, acknowledged=3_199).acknowledged_at == 3_198


def test_times_are_those_of_the_session() -> None:
    leg = _leg(sent=SECOND, acknowledged=0, origin_at=3 * SECOND)
    assert leg.session_s(0.5) == 3.5
    assert leg.session_s(-9) == 0.0


def test_with_nothing_in_flight_there_is_no_doubt() -> None:
    leg = _leg(sent=3_200, acknowledged=3_200)
    leg.resume()
    assert leg.settled


@pytest.mark.parametrize("counted", [0, 2, 3_200, 6_400])
def test_an_empty_chunk_tells_where_to_go_on(counted: int) -> None:
    leg = _leg(sent=9_600, acknowledged=3_200)
    leg.resume()
    before = leg.settled
    leg.acknowledge(3_200 + counted, 3_200 + counted)
    assert (before, leg.settled) == (False, True)
    assert leg.sent_at == leg.acknowledged_at == 3_200 + counted
    assert leg.session_s(7) == 7.0


def test_a_late_acknowledgement_of_the_old_socket_settles_nothing() -> None:
    leg = _leg(sent=9_600, acknowledged=3_200)
    leg.resume()
    leg.acknowledge(3_200, 6_400)
    assert (leg.settled, leg.acknowledged_at, leg.sent_at) == (False, 6_400, 6_400)
    leg.acknowledge(9_600, 9_600)
    assert (leg.settled, leg.sent_at) == (True, 9_600)


@pytest.mark.parametrize("counted", [PROBE_BYTES, 3_200, 6_400])
def test_a_probe_that_was_known_is_all_that_is_doubled(counted: int) -> None:
    leg = _leg(sent=9_600, acknowledged=3_200)
    leg.resume()
    leg.sent(PROBE_BYTES)
    count = 3_200 + counted
    leg.acknowledge(count, count + PROBE_BYTES)
    assert leg.sent_at == leg.acknowledged_at == count
    # The provider's clock is now ahead by the probe.
    later_s = 1 + PROBE_BYTES / SECOND
    assert leg.session_s(later_s) == pytest.approx(1.0)
    assert leg.session_s(0.05) == 0.05


def test_a_probe_that_was_news_is_audio_like_any_other() -> None:
    leg = _leg(sent=9_600, acknowledged=3_200)
    leg.resume()
    leg.sent(PROBE_BYTES)
    leg.acknowledge(3_200, 3_200 + PROBE_BYTES)
    assert leg.sent_at == 3_200 + PROBE_BYTES
    assert leg.session_s(1.0) == 1.0


def test_a_probe_that_was_partly_known_shifts_what_follows_by_that_part() -> None:
    leg = _leg(sent=9_600, acknowledged=3_200)
    leg.resume()
    leg.sent(PROBE_BYTES)
    leg.acknowledge(3_300, 3_300 + PROBE_BYTES)
    assert leg.sent_at == 3_200 + PROBE_BYTES
    assert leg.session_s(1.0) == pytest.approx(1.0 - 100 / SECOND)


def test_corrections_of_several_resumes_add_up() -> None:
    leg = _leg(sent=9_600, acknowledged=3_200)
    for _ in range(2):
        leg.resume()
        leg.sent(PROBE_BYTES)
        count = leg.count + 1_000
        leg.acknowledge(count, count + PROBE_BYTES)
        leg.sent(9_600)
    assert leg.session_s(1.0) == pytest.approx(1.0 - 2 * PROBE_BYTES / SECOND)


def test_a_resume_that_was_cut_before_its_answer_is_simply_made_again() -> None:
    leg = _leg(sent=9_600, acknowledged=3_200)
    leg.resume()
    leg.sent(PROBE_BYTES)
    leg.resume()
    leg.acknowledge(9_600, 9_600)
    assert leg.sent_at == 9_600


def test_a_provider_that_lost_what_it_had_acknowledged_is_found_out() -> None:
    leg = _leg(sent=9_600, acknowledged=6_400)
    leg.resume()
    leg.acknowledge(3_200, 3_200)
    assert leg.clock_fault_bytes == 3_200
    assert leg.sent_at == leg.acknowledged_at == 6_400
    assert leg.session_s(1.0) == pytest.approx(1.1)


def test_a_provider_that_claims_more_than_it_was_sent_is_corrected() -> None:
    leg = _leg(sent=9_600, acknowledged=6_400)
    leg.resume()
    leg.acknowledge(12_800, 12_800)
    assert leg.sent_at == leg.acknowledged_at == 9_600
    assert leg.session_s(1.0) == pytest.approx(0.9)


def test_inclusive_ranges_settle_a_doubt_as_well() -> None:
    leg = _leg(sent=9_600, acknowledged=3_199)
    leg.resume()
    leg.acknowledge(6_400, 6_399)
    assert leg.settled
    assert leg.sent_at == 6_400


def test_a_provider_that_got_the_stop_got_everything() -> None:
    leg = _leg(sent=9_600, acknowledged=3_200)
    leg.resume()
    leg.delivered()
    assert (leg.settled, leg.acknowledged_at, leg.in_flight_bytes) == (True, 9_600, 0)
