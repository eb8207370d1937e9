"""The backlog against a decoder that gives each frame's number as its samples."""

import array
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.decode.backlog import Backlog, Frame
from realtime_core.model import Silence

CONFIG = b"\xaf\x00\x12\x10"  # 44.1 kHz: 371.5 samples a frame, so places are rounded
# Low delay at 96 and 88.2 kHz, because short frames make quick tests.
SHORT, SHORTER = b"\xaf\x00\xb8\x88", b"\xaf\x00\xb8\x0c"
LENGTHS = {
    CONFIG: 1024 * 16_000 / 44_100,
    SHORT: 512 * 16_000 / 88_200,
    SHORTER: 480 * 16_000 / 96_000,
}


def body(number: int) -> bytes:
    return b"\xaf\x01" + number.to_bytes(2, "little")


@dataclass
class FakeDecoder:
    """Keeps a few samples to itself, as FFmpeg does, until it is told that it is the end."""

    keeps: int = 16
    inside: bytes = b""
    taken: list[Frame] = field(default_factory=list)

    def take(self, frame: Frame) -> None:
        self.taken.append(frame)
        self.inside += frame.body[2:] * frame.samples

    def give(self, most_bytes: int) -> bytes:
        size = min(most_bytes, max(0, len(self.inside) - 2 * self.keeps))
        given, self.inside = self.inside[:size], self.inside[size:]
        return given


class World:
    """A backlog, its decoder, and what ought to be heard."""

    def __init__(self, most_s: float) -> None:
        self.backlog, self.decoder = Backlog(most_s), FakeDecoder()
        self.heard = b""
        self.silence_bytes = 0
        self.fed: list[tuple[int, float]] = []
        self.config = CONFIG
        self.time_ms = 0.0
        self.dropped_s = self.missing_s = 0.0
        self.skipped = 0
        self.backlog.configure(CONFIG)

    def feed(self, count: int, config: bytes = CONFIG) -> None:
        if config != self.config:
            self.backlog.configure(config)
            self.config = config
        for _ in range(count):
            number, length = len(self.fed) + 1, LENGTHS[config]
            loss = self.backlog.add(body(number), round(self.time_ms), 0.0)
            self.fed += [(0, loss.missing_s * 16_000), (number, length)]
            self.time_ms += length / 16
            self.dropped_s += loss.dropped_s
            self.missing_s += loss.missing_s

    def leave_out(self, hole_ms: int) -> None:
        """Let the publisher drop audio that it does not send later."""
        self.time_ms += hole_ms

    def skip(self, length_ms: int) -> None:
        """Let silence come before the next frame."""
        self.backlog.skip(length_ms / 1_000)
        self.fed.append((0, length_ms * 16))
        self.skipped += length_ms * 16

    def take(self, count: int) -> None:
        for _ in range(count):
            if frame := self.backlog.take():
                self.decoder.take(frame)

    def give(self, most_bytes: int) -> None:
        for pcm in self.backlog.receive(self.decoder.give(most_bytes)):
            assert pcm
            assert len(pcm) % 2 == 0
            self.heard += pcm
            self.silence_bytes += len(pcm) if isinstance(pcm, Silence) else 0

    def die(self, *, blame_audio: bool = False) -> None:
        self.decoder = FakeDecoder()
        self.dropped_s += self.backlog.restart(blame_audio=blame_audio)

    def finish(self) -> list[int]:
        """Return the number at each sample that was heard."""
        while frame := self.backlog.take():
            self.decoder.take(frame)
        self.decoder.keeps = 0
        self.give(1 << 30)
        self.heard += b"".join(self.backlog.finish())
        return array.array("h", self.heard).tolist()

    def expected(self) -> list[int]:
        """Return each frame's number at each sample of its own."""
        samples: list[int] = []
        at = 0.0
        for number, length in self.fed:
            at += length
            samples += [number] * (round(at) - len(samples))
        return samples


actions = st.lists(
    st.one_of(
        st.tuples(st.just("feed"), st.integers(1, 8), st.sampled_from([SHORT, SHORTER])),
        st.tuples(st.just("take"), st.integers(1, 12)),
        st.tuples(st.just("give"), st.integers(1, 1_000)),
        st.tuples(st.just("leave_out"), st.integers(1, 150)),
        st.tuples(st.just("skip"), st.integers(1, 150)),
        st.tuples(st.just("die")),
    ),
    max_size=25,
)


@given(actions)
def test_whatever_dies_everything_comes_out_once_and_in_its_place(
    steps: list[tuple[object, ...]],
) -> None:
    world = World(most_s=1e6)
    for step, *arguments in steps:
        getattr(world, str(step))(*arguments)
        to_come = round(world.backlog.to_come_s * 16_000)
        assert to_come == len(world.expected()) - len(world.heard) // 2
    assert world.finish() == world.expected()
    assert world.backlog.held_s == world.backlog.to_come_s == 0
    assert world.dropped_s == 0


@given(actions, st.sampled_from([0.02, 0.05]))
def test_what_does_not_fit_becomes_silence_and_the_rest_keeps_its_place(
    steps: list[tuple[object, ...]], most_s: float
) -> None:
    world = World(most_s)
    for step, *arguments in steps:
        getattr(world, str(step))(*arguments)
        assert 0 <= world.backlog.held_s <= 2 * most_s
    heard, expected = world.finish(), world.expected()
    assert len(heard) == len(expected)
    assert all(ours in (0, right) for ours, right in zip(heard, expected, strict=True))
    # A frame given up while a decoder had it may still have come out.
    assert heard.count(0) <= round((world.dropped_s + world.missing_s) * 16_000) + world.skipped


def test_a_new_decoder_runs_up_with_the_frame_that_came_out_last() -> None:
    world = World(most_s=10)
    world.feed(5)
    world.take(5)
    world.give(2 * 1_000)  # two frames and a bit
    world.die()
    world.take(9)
    assert [frame.body for frame in world.decoder.taken] == [body(2 * n - 1) for n in (2, 3, 4, 5)]


def test_a_decoder_that_dies_twice_at_one_place_is_spared_what_is_there() -> None:
    world = World(most_s=10)
    world.feed(10)
    world.take(10)
    world.give(2 * 1_000)
    world.die(blame_audio=True)
    assert world.dropped_s == 0
    world.take(10)
    world.die(blame_audio=True)
    assert world.dropped_s == pytest.approx(0.1, abs=0.024)
    world.take(10)
    assert [frame.body for frame in world.decoder.taken] == [body(2 * n - 1) for n in (2, 8, 9, 10)]


def test_a_decoder_that_was_killed_twice_at_one_place_gets_everything_again() -> None:
    world = World(most_s=10)
    world.feed(10)
    for _ in range(3):
        world.take(10)
        world.die()
    assert world.dropped_s == 0
    assert world.finish() == world.expected()


def test_what_a_decoder_swallows_does_not_keep_new_audio_out() -> None:
    world = World(most_s=0.1)
    for _ in range(20):
        world.feed(1)
        world.take(1)
    assert len(world.decoder.taken) == 20
    assert world.dropped_s == pytest.approx(20 * 1024 / 44_100 - 0.1, abs=0.024)


def test_a_frame_that_was_given_up_leaves_silence() -> None:
    world = World(most_s=10)
    world.feed(3)
    world.take(2)
    world.decoder = FakeDecoder(inside=world.decoder.inside[: 2 * world.decoder.taken[0].samples])
    world.decoder.keeps = 0
    world.give(1 << 20)
    world.backlog.resume()
    heard, expected = world.finish(), world.expected()
    assert heard == [0 if number == 3 else number for number in expected]


def test_what_the_publisher_left_out_is_silence_that_says_so() -> None:
    world = World(most_s=10)
    world.feed(3)
    world.leave_out(2_500)
    world.feed(3)
    assert world.missing_s == pytest.approx(2.5, abs=0.001)
    assert world.finish() == world.expected()
    assert world.silence_bytes == pytest.approx(2.5 * 32_000, abs=32)


def test_what_is_skipped_is_silence_and_its_timestamps_are_not_counted_again() -> None:
    world = World(most_s=10)
    world.feed(3)
    world.skip(2_000)
    world.leave_out(2_000)
    world.feed(3)
    assert world.missing_s == 0
    assert world.finish() == world.expected()
    assert world.silence_bytes == 2 * 32_000


def test_after_what_is_skipped_a_hole_is_seen_as_before() -> None:
    world = World(most_s=10)
    world.feed(3)
    world.skip(2_000)
    world.feed(3)
    world.leave_out(500)
    world.feed(3)
    assert world.missing_s == pytest.approx(0.5, abs=0.001)
    assert world.finish() == world.expected()


def test_what_is_to_come_counts_silence_too() -> None:
    world = World(most_s=0.1)
    world.feed(20)
    world.skip(1_000)
    assert world.backlog.held_s <= 0.1
    assert world.backlog.to_come_s == pytest.approx(20 * 1024 / 44_100 + 1, abs=0.001)


def test_a_new_configuration_takes_the_clock_as_it_stands() -> None:
    world = World(most_s=10)
    world.feed(3)
    world.leave_out(2_500)
    world.feed(3, SHORT)
    assert world.missing_s == 0


def test_long_silence_comes_in_pieces_of_a_second() -> None:
    backlog = Backlog(most_s=0.1)
    backlog.configure(CONFIG)
    for _ in range(200):
        backlog.add(body(1), 0, 0.0)
    assert [len(pcm) for pcm in backlog.finish()] == [32_000] * 4 + [20_608]


def test_frames_before_a_configuration_and_empty_ones_take_no_time() -> None:
    backlog = Backlog(most_s=10)
    backlog.add(body(1), 0, 0.0)
    backlog.configure(CONFIG)
    backlog.add(b"\xaf\x01", 1_000, 1.0)
    backlog.add(b"", 2_000, 2.0)
    assert backlog.take() is None
    with pytest.raises(ValueError, match="cut short"):
        backlog.configure(b"\xaf\x00\x12")
    backlog.add(body(1), 3_000, 3.0)
    assert backlog.take() == Frame(CONFIG, body(1), 0, 372)
