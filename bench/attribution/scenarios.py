"""The kinds of meetings that are simulated, and one meeting made from a kind and a seed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from bench.attribution.egress import Egress, Pipe, publish
from bench.attribution.indicator import watch
from bench.attribution.meeting import Manners, hold_meeting
from bench.attribution.reports import Network, Report, report_all
from bench.attribution.stt import HeardUtterance, recognise


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of meeting. The number of speakers and of clients in its parts is not looked at.

    Attributes:
        speakers: How many there are; the seeds take turns through them.
        meetings: How many the benchmark holds, with seeds from 0.
        clients: How many of the speakers' clients report; None means everybody's.
    """

    name: str
    speakers: tuple[int, ...]
    meetings: int
    manners: Manners
    network: Network
    pipe: Pipe = field(default_factory=Pipe)
    clients: int | None = None


@dataclass(frozen=True, slots=True)
class Simulated:
    """Everything that happens in one meeting, and the truth about it."""

    scenario: str
    seed: int
    speakers: int
    utterances: Sequence[HeardUtterance]
    reports: Sequence[Report]
    egress: Egress
    length_s: float


MANNERLY = Manners(speakers=3)
FRIENDLY = Manners(speakers=3, overlaps=True)
LIVELY = Manners(
    speakers=3,
    turn_s=(5.0, 0.8),
    least_turn_s=1.0,
    overlaps=True,
    interruptions=0.08,
    backchannels_per_min=2.0,
)
CROWD = Manners(
    speakers=8,
    turn_s=(4.0, 0.8),
    least_turn_s=0.8,
    overlaps=True,
    interruptions=0.2,
    backchannels_per_min=5.0,
)
SOUND = Network(clients=3)
BUSY = Network(clients=8, lost=0.05, clock_s=60.0)
DIRTY = Network(
    clients=4, lost=0.2, late=0.15, repeated=0.05, clock_s=120.0, drift=1e-4, stuck=True
)
OWN = Network(clients=3, own=True)
OWN_DIRTY = replace(DIRTY, own=True)
WORST = replace(DIRTY, lost=0.3, late=0.5, repeated=0.1)
TWO_PUBLISHES = Pipe(republishes=1)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("clean", (2, 3, 5), 10, MANNERLY, SOUND),
        Scenario("dirty", (3, 5, 2, 4), 12, MANNERLY, DIRTY),
        Scenario("crowded", (8,), 8, CROWD, BUSY),
        Scenario("republish", (3, 2), 6, LIVELY, SOUND, TWO_PUBLISHES),
        Scenario("one client", (3, 4), 6, LIVELY, SOUND, clients=1),
        Scenario("silences", (2, 3), 4, replace(FRIENDLY, silences=25.0), SOUND),
        Scenario("monologue", (2, 3), 4, replace(FRIENDLY, monologues=50.0), SOUND),
        Scenario("own reports", (3, 5, 8), 6, LIVELY, OWN),
        Scenario("own, dirty", (3, 5, 8), 6, LIVELY, OWN_DIRTY),
        Scenario("worst network", (5,), 6, LIVELY, WORST),
    )
}


def simulate(scenario: Scenario, seed: int) -> Simulated:
    """Hold one meeting; the same seed gives the same one."""
    speakers = scenario.speakers[seed % len(scenario.speakers)]
    clients = min(speakers, 8) if scenario.clients is None else scenario.clients
    manners = replace(scenario.manners, speakers=speakers)
    network = replace(scenario.network, clients=clients)
    rngs = [Random(f"{scenario.name}/{seed}/{part}") for part in range(5)]
    meeting = hold_meeting(manners, rngs[0])
    egress = publish(scenario.pipe, meeting.length_s, rngs[1])
    indicator = watch(meeting, rngs[2])
    reports = report_all(indicator, network, meeting.length_s, rngs[3])
    utterances = recognise(meeting, egress, rngs[4])
    return Simulated(scenario.name, seed, speakers, utterances, reports, egress, meeting.length_s)
