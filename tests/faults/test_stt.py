"""Promises 1 and 2, speech-to-text: what it missed it hears later, and nothing it hears twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from gladia_emulator.faults import ArmedFault
from gladia_emulator.server import Emulator
from realtime_core import parts
from realtime_core.stt.config import Waits
from realtime_core.stt.gladia import GladiaBridge
from tests.e2e.conftest import MakeRiver
from tests.e2e.river import River, Viewer, gathered
from tests.eventually import eventually
from tests.faults.proxy import Proxy, Way
from tests.faults.spoken import Talk, captioned, gaps, metric, provider_behind_proxy, received, talk

pytestmark = [pytest.mark.ffmpeg, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(60)]

SECOND = 32_000
MILLISECOND = 0.001
CUTS, BETWEEN_CUTS_BYTES = 20, 9_600
# Faster than real time, as far as what goes wrong in between lets it.
BRISK, FAST = ("-readrate", "2"), ("-readrate", "3")


def ways_to_cut(whole: River, proxy: Proxy) -> list[Callable[[], object]]:
    def in_flight(fate: str) -> Callable[[], object]:
        return lambda: whole.emulator.fault("cut", in_flight=fate, in_flight_bytes=6_400)

    return [
        proxy.reset,
        in_flight("lost"),
        lambda: proxy.half_close(Way.TO_SERVER),
        in_flight("counted"),
        lambda: proxy.half_close(Way.TO_CLIENT),
        lambda: whole.emulator.fault("cut", code=1011),
    ]


def heard(emulator: Emulator) -> list[bytes]:
    return [session.pcm for session in emulator.sessions.values()]


def assert_all_heard(said: Talk, viewers: Sequence[Viewer]) -> None:
    for viewer in viewers:
        said.assert_heard(viewer)
        assert gaps(viewer) == []


async def test_a_socket_that_is_cut_twenty_times_costs_no_sample_and_doubles_none(
    river: MakeRiver, ffmpeg: str, tmp_path: Path
) -> None:
    said = await talk(ffmpeg, tmp_path / "talk.wav", *range(400, 700, 50))
    async with provider_behind_proxy(river) as (whole, proxy):

        async def cut_often() -> None:
            cuts = itertools.cycle(ways_to_cut(whole, proxy))
            for number, cut in enumerate(itertools.islice(cuts, CUTS)):
                await taken_further(whole, connections=number + 1)
                cut()

        viewer, _ = await gathered(captioned(whole, "weekly", said), cut_often())
        (session,) = whole.emulator.sessions.values()
        assert session.connections > CUTS
        assert session.pcm == said.pcm
    assert_all_heard(said, [viewer])


async def test_a_link_that_goes_dead_without_a_word_is_left_and_nothing_is_missing(
    river: MakeRiver, ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Waits(tick_s=0.1, settle_s=0.5, probe_s=0.2)
    monkeypatch.setattr(
        parts, "GladiaBridge", partial(GladiaBridge, ack_timeout_s=0.5, waits=waits)
    )
    said = await talk(ffmpeg, tmp_path / "talk.wav", 440, 550)
    async with provider_behind_proxy(river) as (whole, proxy):

        async def stall() -> None:
            await eventually(lambda: received(whole) > 1.5 * SECOND)
            with proxy.stalled():
                await eventually(lambda: drops(whole, "ack_timeout"))

        viewer, _ = await gathered(captioned(whole, "weekly", said), stall())
        assert heard(whole.emulator) == [said.pcm]
    assert_all_heard(said, [viewer])


async def test_acknowledgements_that_are_lost_double_nothing_and_shift_nothing(
    river: MakeRiver, ffmpeg: str, tmp_path: Path
) -> None:
    said = await talk(ffmpeg, tmp_path / "talk.wav", 440, 550, 660)
    slugs = ("counted", "lost", "silent")
    async with river() as whole:
        for fate in ("counted", "lost"):
            cut = {"in_flight": fate, "in_flight_bytes": SECOND // 2, "after_bytes": SECOND}
            whole.emulator.fault("cut", session=fate, **cut)
        whole.emulator.fault("swallow_acks", session="silent", times=10, after_bytes=SECOND)
        viewers = await gathered(*(captioned(whole, slug, said, *FAST) for slug in slugs))
        assert not whole.emulator.faults.armed
        assert heard(whole.emulator) == [said.pcm] * 3
    assert_all_heard(said, viewers)


async def test_sessions_that_are_refused_for_a_while_new_or_gone_miss_nothing(
    river: MakeRiver, ffmpeg: str, tmp_path: Path
) -> None:
    said = await talk(ffmpeg, tmp_path / "talk.wav", 440, 550)
    async with river() as whole:
        whole.emulator.fault("refuse_post", session="new", status=503, times=3)
        # In the middle of a tone, and between two.
        whole.emulator.fault("cut", session="full", code=4408, after_bytes=int(1.5 * SECOND))
        whole.emulator.fault("cut", session="ill", code=4404, after_bytes=int(2.4 * SECOND))

        async def refuse() -> list[ArmedFault]:
            await eventually(lambda: len(whole.emulator.sessions) == 2)
            return [
                whole.emulator.fault("refuse_post", session="full", status=429),
                whole.emulator.fault("refuse_post", session="ill", status=503, times=3),
            ]

        *viewers, _ = await gathered(
            *(captioned(whole, slug, said, *BRISK) for slug in ("full", "ill", "new")), refuse()
        )
        assert not whole.emulator.faults.armed
        assert len(whole.emulator.sessions) == 5
        assert all(pcm in said.pcm for pcm in heard(whole.emulator))
        assert said.pcm in heard(whole.emulator)  # the new one's
    assert_all_heard(said, viewers)


async def test_an_absence_longer_than_the_replay_is_told_and_counted_and_shifts_nothing(
    river: MakeRiver, ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = partial(GladiaBridge, delays=lambda: itertools.repeat(0.1))
    monkeypatch.setattr(parts, "GladiaBridge", soon)
    said = await talk(ffmpeg, tmp_path / "talk.wav", 440, 550, 660)
    async with provider_behind_proxy(river, stt_replay_s=1.0) as (whole, proxy):

        async def be_away() -> None:
            await eventually(lambda: received(whole) > 2.5 * SECOND)
            with proxy.cut():  # until the second tone is out of reach
                await eventually(lambda: lost_s(whole) > 2.3)

        viewer, _ = await gathered(captioned(whole, "weekly", said), be_away())
        before, after = heard(whole.emulator)
        missing_s = lost_s(whole)
    ((from_s, to_s),) = gaps(viewer)
    assert missing_s == pytest.approx(to_s - from_s, abs=MILLISECOND)
    assert 2.0 < missing_s < 2.8  # all of the second tone, and pauses around it
    # What the first had taken and not finished is not among what was heard.
    assert said.pcm.startswith(before)
    assert len(before) - SECOND <= from_s * SECOND <= len(before)
    assert said.pcm.endswith(after)
    assert len(said.pcm) - len(after) == pytest.approx(to_s * SECOND, abs=MILLISECOND * SECOND)
    said.assert_heard(viewer, without=[1])


async def taken_further(whole: River, *, connections: int) -> None:
    """Return when the provider has taken some more audio, on so many connections by now."""

    def taken() -> int:
        sessions = whole.emulator.sessions.values()
        return received(whole) if sum(each.connections for each in sessions) >= connections else 0

    await eventually(taken)
    enough = taken() + BETWEEN_CUTS_BYTES
    await eventually(lambda: taken() >= enough)


def lost_s(whole: River) -> float:
    return metric(whole, "audio_dropped_seconds_total", stage="stt")


def drops(whole: River, code: str) -> float:
    return metric(whole, "stt_drops_total", code=code)
