"""What a run came to, as one line of JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import quantiles

from tests.chaos.run import Outcome


def line(outcome: Outcome) -> str:
    """Return the line."""
    verdict, plan = outcome.verdict, outcome.plan
    said = {
        "seed": plan.seed,
        "seconds": plan.seconds,
        "faults": dict(sorted(outcome.struck.items())),
        "faultCount": sum(outcome.struck.values()),
        "kinds": len(outcome.struck),
        "tooFewFaults": outcome.is_weak,
        "utterances": {
            "expected": verdict.expected,
            "seen": verdict.seen,
            "stored": verdict.stored,
            "excused": verdict.excused,
        },
        # What a viewer saw was there; if it is not in the table, it was lost.
        "lost": len(verdict.lost) + len(verdict.not_stored),
        "doubled": len(verdict.doubled),
        "draftsUnended": len(verdict.unended),
        "seenNotStored": len(verdict.not_stored),
        "missedByViewers": len(verdict.missed),
        "mangled": len(verdict.mangled),
        "strange": len(verdict.strange),
        "shifted": len(verdict.shifted),
        "disorder": sum(verdict.disorder.values()),
        "worstShiftMs": round(max(map(abs, verdict.shifts_s), default=0.0) * 1000),
        "gapsTold": verdict.gaps,
        "latencyMs": _percentiles_ms(verdict.latencies_s),
        "serviceStarts": outcome.starts,
        "publishersGaveUp": outcome.given_up,
        "broken": outcome.broken,
        "errorLines": outcome.errors,
        "ok": outcome.ok,
    }
    return json.dumps(said, separators=(",", ":"))


def _percentiles_ms(seconds: Sequence[float]) -> dict[str, int]:
    if len(seconds) < 2:
        return {}
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {"p50": round(cuts[49] * 1000), "p99": round(cuts[98] * 1000)}
