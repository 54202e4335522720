"""Steps 3 to 5 of an event's way in one call: record, correlate, project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from apps.flows import registry, retractions
from apps.flows.correlation import correlate
from apps.flows.projection import project
from apps.flows.recording import IncomingEvent, NewEvent, record
from apps.flows.states import FlowState

__all__ = ["IncomingEvent", "NewEvent", "Taken", "take"]


@dataclass(frozen=True, slots=True)
class Taken:
    """new: events recorded now; duplicates and conflicts: receipt ids (None without one), an entry per event;

    states: every flow the batch changed, folded anew, merged ones with status ``merged``.
    """

    new: list[NewEvent]
    duplicates: list[int | None]
    conflicts: list[int | None]
    states: list[FlowState]


def take(incoming: Sequence[IncomingEvent], now: datetime) -> Taken:
    """Takes a batch of events in the caller's transaction; idempotent, in any order and batching."""
    recorded = record(incoming, now)
    if not recorded.new:
        return Taken([], recorded.duplicates, recorded.conflicts, [])
    register = registry.load()
    joined = retractions.join(recorded.new)
    touched = correlate(joined.events, register.catalogue)
    retractions.settle(joined.late)
    states = project(touched, register, recorded.new)
    return Taken(recorded.new, recorded.duplicates, recorded.conflicts, states)
