"""Measures one point: a server, so many rooms that all start together, five viewers each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bench import join, machine
from bench.database import Database
from bench.evidence import Heard, Published, Seen
from bench.point import LoadShare, Point, load_bound
from bench.process import Speaker, free_ports, load_process
from bench.servers import Place, Running, Server, running

VIEWERS_PER_ROOM = 5
READY_WITHIN_S = 60.0
PUBLISHED_WITHIN_S = 30.0
SETTLED_WITHIN_S, LOOK_EVERY_S = 20.0, 0.4
PAGES_READ_S_PER_ROOM = 0.01


class ListensOn(msgspec.Struct):
    """What the speech-to-text stub says when it is ready."""

    port: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to look.

    Attributes:
        start_up_s: From the start of all publishes to the steady window.
        steady_s: The steady window.
    """

    start_up_s: float
    steady_s: float

    def publish_s(self, rooms: int) -> float:
        """Return how long to publish: memory is read when the window is over."""
        return self.start_up_s + self.steady_s + 0.5 + PAGES_READ_S_PER_ROOM * rooms


@dataclass(frozen=True, slots=True)
class Load:
    """The processes of the load that are there before the server, and the ports of all."""

    stt: Speaker
    publish: Speaker
    stt_port: int
    port: int
    rtmp_port: int


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What one point showed, not yet joined.

    Attributes:
        go, begin, end: When the publishers were told to go; the edges of the steady window.
        early, at_end, late: What speech-to-text had heard at those edges, and in the end.
        fan_out, seen: What viewers had seen of the window, and in the end since its beginning.
    """

    go: machine.Reading
    begin: machine.Reading
    end: machine.Reading
    pss_bytes: int
    processes: int
    early: Heard
    early_ns: int
    at_end: Heard
    late: Heard
    fan_out: Seen
    seen: Seen
    lag_before: dict[float, float]
    lag_after: dict[float, float]


async def measure(
    server: Server, rooms: int, plan: Plan, database: Database, logs: Path | None = None
) -> Point:
    """Run a server with so many rooms, and return what was seen.

    Args:
        logs: A folder to leave the server's log in.

    Raises:
        BenchError: A process did not do what it has to.
    """
    with TemporaryDirectory(prefix="bench-") as name:
        async with _loaded(rooms, plan) as load:
            url = await database.empty() if server.stores else "none"
            place = Place(load.port, load.rtmp_port, load.stt_port, url, Path(name))
            async with running(server, place) as ready:
                witnessed = await _play(load, ready, rooms, plan, database.pid)
            # Some servers hang up only now, and the publishers wait for that.
            published = await load.publish.hear(Published, within_s=PUBLISHED_WITHIN_S)
        if logs is not None:
            await asyncio.to_thread(_keep_log, place.folder, logs / f"{server.name}-{rooms}.log")
    return summed_up(server.name, rooms, witnessed, published)


def _keep_log(folder: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((folder / "server.log").read_bytes())


@asynccontextmanager
async def _loaded(rooms: int, plan: Plan) -> AsyncIterator[Load]:
    """Run the load's processes that need no server yet."""
    port, rtmp_port = free_ports(2)
    count, seconds = ["--rooms", str(rooms)], ["--seconds", str(plan.publish_s(rooms))]
    publishing = ["--port", str(rtmp_port), *count, *seconds, "--connect-together"]
    async with (
        load_process("stt", *count) as stt,
        load_process("publish", *publishing) as publish,
    ):
        stt_port = (await stt.hear(ListensOn, within_s=READY_WITHIN_S)).port
        await publish.hear(dict, within_s=READY_WITHIN_S)
        yield Load(stt, publish, stt_port, port, rtmp_port)


async def _play(
    load: Load, server: Running, rooms: int, plan: Plan, database_pid: int
) -> Witnessed:
    """Let everything run to the end of the publishes, and look at the right moments."""
    await server.start_sessions(rooms)
    viewers = ["--rooms", str(rooms), "--per-room", str(VIEWERS_PER_ROOM)]
    async with load_process("view", "--port", str(load.port), *viewers) as view:
        await view.hear(dict, within_s=READY_WITHIN_S)
        trees = {each.name: each.pid for each in (load.stt, load.publish, view)}
        trees |= {"server": server.pid, "database": database_pid}
        return await _watch(load, view, server, plan, trees)


async def _watch(
    load: Load, view: Speaker, server: Running, plan: Plan, trees: dict[str, int]
) -> Witnessed:
    go = machine.read(trees)
    load.publish.tell("go")
    await asyncio.sleep(plan.start_up_s)
    early_ns, early = time.monotonic_ns(), await load.stt.ask("report", Heard)
    lag_before = await server.lag()
    await view.ask("mark", dict)
    begin = machine.read(trees)
    await asyncio.sleep(plan.steady_s)
    end = machine.read(trees)
    fan_out = await view.ask("report", Seen)
    at_end = await load.stt.ask("report", Heard)
    lag_after = await server.lag()
    # Reading the pages of a hundred processes is work; so it waits for the end of the window.
    pss_bytes = await asyncio.to_thread(machine.tree_pss_bytes, server.pid)
    processes = len(machine.tree(server.pid))
    late = await _settled(lambda: load.stt.ask("report", Heard))
    return Witnessed(
        go=go,
        begin=begin,
        end=end,
        pss_bytes=pss_bytes,
        processes=processes,
        early=early,
        early_ns=early_ns,
        at_end=at_end,
        late=late,
        fan_out=fan_out,
        seen=await view.ask("report", Seen),
        lag_before=lag_before,
        lag_after=lag_after,
    )


async def _settled(report: Callable[[], Awaitable[Heard]]) -> Heard:
    """Return what has come when nothing more comes, or comes too late."""
    before, patience_s = await report(), SETTLED_WITHIN_S
    while patience_s > 0:
        await asyncio.sleep(LOOK_EVERY_S)
        now = await report()
        if _pcm_bytes(now) == _pcm_bytes(before):
            return now
        before, patience_s = now, patience_s - LOOK_EVERY_S
    return before


def _pcm_bytes(heard: Heard) -> int:
    return sum(room.pcm_bytes for room in heard.rooms.values())


def summed_up(server: str, rooms: int, saw: Witnessed, published: Published) -> Point:
    """Join what was witnessed. Pure."""
    window = round(saw.begin.at_s * 1e9), round(saw.end.at_s * 1e9)
    pairs = join.beep_pairs(published, saw.late, window)
    audio = join.spread(join.latencies_ms(pairs))
    losses = join.lost_ms(published, saw.early, saw.late, saw.early_ns, audio.p50 or 0.0)
    owed, lost = join.messages_lost(saw.early, saw.late, saw.seen)
    cores = saw.end.cores_since(saw.begin)
    load = _load_share(saw, published, cores)
    memory_mb = saw.pss_bytes / machine.MEBIBYTE
    return Point(
        server=server,
        rooms=rooms,
        viewers=sum(room.viewers for room in saw.seen.by_room.values()),
        seconds=round(saw.end.at_s - saw.begin.at_s, 2),
        audio_ms=audio,
        beeps=len(pairs),
        beeps_lost=sum(came_ns is None for _, came_ns in pairs),
        lost_at_start_ms=_mean([at_start for at_start, _ in losses.values()]),
        lost_later_ms=_mean([later for _, later in losses.values()]),
        most_lost_ms=_rounded(max(map(sum, losses.values()), default=0.0)),
        fan_out_ms=saw.fan_out.latency_ms,
        messages=owed,
        messages_lost=lost,
        start_up_ms=join.spread(join.start_up_ms(published, saw.late)),
        start_up_cpu_s=round(saw.begin.trees_s["server"] - saw.go.trees_s["server"], 2),
        cores=cores["server"],
        memory_mb=round(memory_mb, 1),
        memory_per_room_mb=round(memory_mb / rooms, 2),
        processes=saw.processes,
        loop_lag_ms=join.lag_from_histogram(saw.lag_before, saw.lag_after),
        failed=Counter(room.failed for room in published.rooms.values() if room.failed),
        load=load,
        load_bound=load_bound(load, cores["server"]),
    )


def _load_share(saw: Witnessed, published: Published, cores: dict[str, float]) -> LoadShare:
    busy = saw.end.busy_cores_since(saw.begin)
    lags = [lag.p99 or 0.0 for lag in (saw.at_end.loop_lag_ms, saw.fan_out.loop_lag_ms)]
    return LoadShare(
        cores={name: used for name, used in cores.items() if name != "server"},
        lateness_ms=published.lateness_ms,
        lag_ms=max(lags),
        others_cores=round(max(0.0, busy - sum(cores.values())), 3),
        busy=round(busy / machine.cores(), 3),
    )


def _mean(values: list[float]) -> float:
    return _rounded(sum(values) / len(values)) if values else 0.0


def _rounded(value: float) -> float:
    return round(value, 1) + 0.0  # never -0.0
