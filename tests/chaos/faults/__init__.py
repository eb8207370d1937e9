"""Every fault there is, a module for each part that is broken."""

from __future__ import annotations

from tests.chaos.fault import Fault
from tests.chaos.faults import database, decoder, hostile, publisher, recognizer, service, viewers

EVERY: tuple[Fault, ...] = (
    *decoder.FAULTS,
    *recognizer.FAULTS,
    *database.FAULTS,
    *publisher.FAULTS,
    *viewers.FAULTS,
    *hostile.FAULTS,
    *service.FAULTS,
)
