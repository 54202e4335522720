"""Holds the tower's ledger against the truth of a simulated network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from apps.simulator.truth import ON_TIME, Awaited
from apps.sla.models import Expectation

LATE_STATES = ("BREACHED", "MET_LATE")


@dataclass(slots=True)
class Score:
    """wrong: milestones that were late or missing; found: of these, what the ledger calls late. false: milestones it
    calls late that were on time. Keys are (flow, milestone, label)."""

    due: int = 0
    wrong: int = 0
    found: int = 0
    missed: list[tuple[str, str, str]] = field(default_factory=list)
    false: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.found / self.wrong if self.wrong else 1.0

    @property
    def false_share(self) -> float:
        """Share of the sound milestones that were called late."""
        return len(self.false) / max(1, self.due - self.wrong)


def score(verdicts: Sequence[Awaited]) -> Score:
    """Every milestone of the truth against its row in the ledger."""
    rows = Expectation.objects.filter(state__in=LATE_STATES)
    late = set(rows.values_list("flow__definition__slug", "milestone", "flow__label"))
    result = Score(due=len(verdicts))
    for one in verdicts:
        if one.verdict != ON_TIME:
            result.wrong += 1
            if one.key in late:
                result.found += 1
            else:
                result.missed.append(one.key)
        elif one.key in late:
            result.false.append(one.key)
    return result
