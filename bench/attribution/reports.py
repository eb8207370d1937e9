"""What the clients of a meeting POST about it, with the network and the clocks they have. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from bench.attribution.indicator import Indicator

INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class Report:
    """One report as the service gets it.

    Attributes:
        who: Number of the speaker; None when the client sees nobody speak.
        client: Number of the client.
        arrived_at: On the service's clock, which is the room's.
        said_at: On the client's clock, which may be wrong.
        made_at: When it was really said; no system but an oracle may look.
        is_stuck: The client says it whatever it sees; only who knows the truth may look.
        is_own: The client may report only its own speaker.
    """

    who: int | None
    client: int
    arrived_at: float
    said_at: float
    made_at: float
    is_stuck: bool = False
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """What lies between the clients and the service.

    Attributes:
        lost: Share of reports that never come.
        late: Share of reports that take up to a second; the rest takes 20 to 80 ms.
        repeated: Share that comes twice.
        clock_s: Clocks are wrong by up to so much, either way.
        drift: Seconds per second by which they drift, at most.
        stuck: Whether one client reports the same speaker from some time on, for ever.
        own: Whether each client reports only its own speaker, or that this one does not speak.
    """

    clients: int
    lost: float = 0.0
    late: float = 0.02
    repeated: float = 0.0
    clock_s: float = 0.5
    drift: float = 0.0
    stuck: bool = False
    own: bool = False


def report_all(
    indicator: Indicator, network: Network, length_s: float, rng: Random
) -> list[Report]:
    """Return all reports of a meeting, in the order in which they arrive."""
    clients = [Random(rng.getrandbits(64)) for _ in range(network.clients)]
    sent = [
        report
        for number, own in enumerate(clients)
        for report in _client(number, indicator, network, length_s, own)
    ]
    return sorted(sent, key=lambda report: (report.arrived_at, report.client))


def _client(
    number: int, indicator: Indicator, network: Network, length_s: float, rng: Random
) -> Iterator[Report]:
    offset_s = rng.uniform(-network.clock_s, network.clock_s)
    drift = rng.uniform(-network.drift, network.drift)
    delay_s = rng.uniform(0.02, 0.08)  # of the room's signals to this client
    stuck_at = rng.uniform(20.0, length_s / 2) if network.stuck and number == 0 else None
    stuck_on: int | None = None
    made_at = rng.uniform(0.0, INTERVAL_S)
    while made_at < length_s + 20:
        shown = indicator.at(made_at - delay_s)
        who = shown[0] if shown else None
        if network.own:
            who = number if number in shown else None
        is_stuck = stuck_at is not None and made_at >= stuck_at
        if is_stuck:
            stuck_on = who if stuck_on is None else stuck_on
            who = stuck_on
        if rng.random() >= network.lost:
            said_at = made_at * (1 + drift) + offset_s
            for _ in range(2 if rng.random() < network.repeated else 1):
                arrived_at = made_at + _transit_s(network, rng)
                yield Report(who, number, arrived_at, said_at, made_at, is_stuck, network.own)
        made_at += INTERVAL_S + rng.uniform(-0.02, 0.03)


def _transit_s(network: Network, rng: Random) -> float:
    if rng.random() < network.late:
        return rng.uniform(0.08, 1.0)
    return rng.uniform(0.02, 0.08)
