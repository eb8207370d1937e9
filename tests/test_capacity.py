from realtime_core.capacity import LEAST_MEASURED, WINDOW, Capacity, Shortage

MIB = 2**20


def test_a_process_that_was_not_measured_yet_is_not_full() -> None:
    assert Capacity(most_lag_s=0.04, least_free_bytes=96 * MIB).shortage() is None


def test_a_loop_that_is_mostly_late_is_short_of_loop() -> None:
    capacity = Capacity(most_lag_s=0.04)
    for _ in range(LEAST_MEASURED):
        capacity.lagged(0.05)
    assert capacity.shortage() is Shortage.LOOP
    assert "loop" in repr(capacity)


def test_a_loop_that_is_late_now_and_then_is_not() -> None:
    capacity = Capacity(most_lag_s=0.04)
    for look in range(WINDOW):
        capacity.lagged(2.0 if look % 10 == 0 else 0.001)
    assert capacity.shortage() is None


def test_a_loop_that_was_late_has_room_again_when_it_turns_in_time() -> None:
    capacity = Capacity(most_lag_s=0.04)
    for _ in range(WINDOW):
        capacity.lagged(0.05)
    for _ in range(WINDOW):
        assert capacity.shortage() in (Shortage.LOOP, None)
        capacity.lagged(0.001)
    assert capacity.shortage() is None


def test_the_first_moments_of_a_process_say_nothing() -> None:
    capacity = Capacity(most_lag_s=0.04)
    for _ in range(LEAST_MEASURED - 1):
        capacity.lagged(1.0)
    assert capacity.shortage() is None


def test_too_little_memory_is_short_of_memory() -> None:
    capacity = Capacity(least_free_bytes=96 * MIB)
    capacity.has_free(95 * MIB)
    assert capacity.shortage() is Shortage.MEMORY
    capacity.has_free(96 * MIB)
    assert capacity.shortage() is None


def test_memory_that_nobody_knows_of_is_enough() -> None:
    capacity = Capacity(least_free_bytes=96 * MIB)
    capacity.has_free(None)
    assert capacity.shortage() is None


def test_without_limits_nothing_is_ever_short() -> None:
    capacity = Capacity()
    capacity.has_free(0)
    for _ in range(WINDOW):
        capacity.lagged(9.0)
    assert capacity.shortage() is None
