"""One point of a ladder: a server, so many rooms, and what was seen of it. Pure."""

from __future__ import annotations

from bench.evidence import Said, Spread

MOST_AUDIO_P99_MS = 100.0
MOST_BEEPS_LOST = 0.01
LATE_MS = 5.0
"""Later than this, the load's own tardiness shows in what is measured."""
BUSY = 0.95
SATURATED_CORES = 0.9
"""A process with one thread cannot do much more."""


class LoadShare(Said, frozen=True):
    """What the load itself took and how late it was, in the steady window.

    Attributes:
        cores: By process: publish, stt, view, database.
        lateness_ms: How far behind its schedule the publisher sent, over the whole run.
        lag_ms: The worse p99 of the event loops of stub and viewers.
        others_cores: What neither the server nor the load took: the rest of the machine.
        busy: Share of the machine that was not idle.
    """

    cores: dict[str, float]
    lateness_ms: Spread
    lag_ms: float | None
    others_cores: float
    busy: float


class Point(Said, frozen=True):
    """What was seen.

    Attributes:
        seconds: How long the steady window was.
        audio_ms: Beep left to its PCM at speech-to-text, in the steady window.
        fan_out_ms: Transcript left speech-to-text to viewer, in the steady window.
        start_up_ms: Start of the publish to the first PCM at speech-to-text.
        lost_at_start_ms, lost_later_ms: Audio that never came, per room: mean of all rooms.
        most_lost_ms: Audio that never came in the room that lost most.
        cores, memory_mb: The server's whole process tree in the steady window; memory is PSS.
        start_up_cpu_s: What the tree took from the start of the publishes to the steady window.
        loop_lag_ms: Upper bounds of the event loop's lag, if the server shows it.
        failed: Publishes that ended before their time: how many, by reason.
    """

    server: str
    rooms: int
    viewers: int
    seconds: float
    audio_ms: Spread
    beeps: int
    beeps_lost: int
    lost_at_start_ms: float
    lost_later_ms: float
    most_lost_ms: float
    fan_out_ms: Spread
    messages: int
    messages_lost: int
    start_up_ms: Spread
    start_up_cpu_s: float
    cores: float
    memory_mb: float
    memory_per_room_mb: float
    processes: int
    loop_lag_ms: Spread
    failed: dict[str, int]
    load: LoadShare
    load_bound: str | None = None


def broken_by(point: Point) -> str | None:
    """Return why a server can bear no more rooms; None while it can."""
    if point.failed:
        reasons = "; ".join(f"{count} times {reason}" for reason, count in point.failed.items())
        return f"publishes failed: {reasons}"
    if point.beeps_lost > MOST_BEEPS_LOST * point.beeps or not point.beeps:
        return f"{point.beeps_lost} of {point.beeps} beeps never came"
    if point.audio_ms.p99 is None or point.audio_ms.p99 > MOST_AUDIO_P99_MS:
        return f"p99 of audio is {point.audio_ms.p99} ms"
    return None


def load_bound(load: LoadShare, server_cores: float) -> str | None:
    """Return why the figures tell of the load and not of the server; None if they do not.

    A load that is late because the *server* has taken the machine is a finding about the server.
    """
    lateness_ms = load.lateness_ms.p99 or 0.0
    if max(lateness_ms, load.lag_ms or 0.0) <= LATE_MS:
        return None
    name, most = max(load.cores.items(), key=lambda part: part[1], default=("", 0.0))
    late = f"publishers {lateness_ms:.1f} ms late, stub and viewers {load.lag_ms or 0.0:.1f} ms"
    if most >= SATURATED_CORES:
        return f"the load's process {name} is at its end ({most:.2f} cores): {late}"
    rest = sum(load.cores.values()) + load.others_cores
    if load.busy >= BUSY and server_cores < rest:
        return (
            f"the machine is full ({load.busy:.0%}) and the server takes only {server_cores:.2f} "
            f"cores, the load and the rest {rest:.2f}: {late}"
        )
    return None
