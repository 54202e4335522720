"""What escalation will do: about one incident, and about one that would break at some moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min

from apps.integrations.maintenance_models import MaintenanceWindow
from apps.notifications.escalation_models import AwaitedStep, EscalationRoute, EscalationVersion
from apps.notifications.escalation_plans import LATE, Due, Ladder, laid_out
from apps.notifications.escalation_targets import Called, Resolver, Routes, ladder_of

Kind = AwaitedStep.Kind


@dataclass(frozen=True, slots=True)
class Next:
    """What comes next about an incident. called: whom a step calls as things stand now; window: of an UNMUTE;
    policy: as it was when the escalation began."""

    kind: str
    due_at: datetime
    policy: EscalationVersion | None
    step: int
    steps: int
    round: int
    called: Called | None
    window: MaintenanceWindow | None

    @property
    def words(self) -> str:
        """One sentence without the time."""
        if self.kind == Kind.STEP and self.called is not None:
            whom = ", ".join(self.called.names) or "nobody it names: a later step, else the usual routing"
            again = f", round {self.round}" if self.round > 1 else ""
            return f"Step {self.step} of {self.steps}{again} calls {whom}"
        if self.kind == Kind.UNMUTE:
            return f"Silenced: {self.window.reason}" if self.window else "Silenced"
        return "Reminder to who has it" if self.kind == Kind.REMINDER else "The acknowledgment runs out"


def next_of(incidents: Iterable[int], now: datetime) -> dict[int, list[Next]]:
    """Incident -> what is awaited about it, the soonest first. A bounded number of queries."""
    rows = list(
        AwaitedStep.objects.filter(incident__in=list(incidents), done_at=None)
        .select_related("incident", "version", "window")
        .order_by("due_at", "id")
    )
    ladders = {row.version_id: ladder_of(row.version) for row in rows if row.version and row.kind == Kind.STEP}
    steps = [step for ladder in ladders.values() if ladder for step in ladder.steps]
    resolver = Resolver(now, steps) if steps else None
    found: dict[int, list[Next]] = {}
    for row in rows:
        ladder = ladders.get(row.version_id) if row.kind == Kind.STEP else None
        called = None
        if ladder is not None and resolver is not None and row.step < len(ladder.steps):
            called = resolver.call(ladder.steps[row.step], row.incident.severity, max(row.due_at, now))
        found.setdefault(row.incident_id, []).append(
            Next(
                row.kind, row.due_at, row.version, row.step + 1, len(ladder.steps) if ladder else 0, row.round + 1,
                called, row.window,
            )
        )  # fmt: skip
    return found


def overdue(now: datetime) -> tuple[int, datetime] | None:
    """How many steps, reminders and ends of silence should have come two minutes ago and have not, and since when."""
    rows = AwaitedStep.objects.filter(done_at=None, due_at__lte=now - LATE).aggregate(
        n=Count("pk"), first=Min("due_at")
    )
    return (rows["n"], rows["first"]) if rows["n"] else None


def silenced(incidents: Iterable[int]) -> dict[int, AwaitedStep]:
    """Incident -> what says by which window it is silenced, and until when; one query."""
    rows = AwaitedStep.objects.filter(incident__in=list(incidents), done_at=None, kind=Kind.UNMUTE)
    return {row.incident_id: row for row in rows.select_related("window")}


@dataclass(frozen=True, slots=True)
class Would:
    """Who would be called. route None: no policy, the usual routing."""

    at: datetime
    route: EscalationRoute | None
    ladder: Ladder | None
    calls: list[tuple[Due, Called]]


def would_call(at: datetime, severity: str, integration: str = "", team: str = "") -> Would:
    """Whom a new incident of this kind would call if it broke at `at` and nobody took it. Slugs; "" for none."""
    route = Routes(at).route_of(severity, integration, team)
    ladder = ladder_of(route.policy) if route else None
    if route is None or ladder is None:
        return Would(at, route, None, [])
    return Would(at, route, ladder, calls_of(ladder, at, severity))


def calls_of(ladder: Ladder, at: datetime, severity: str = "") -> list[tuple[Due, Called]]:
    """Every step of every round with whom it reaches at its own moment. severity: as in `Resolver.call`."""
    resolver = Resolver(at, ladder.steps)
    return [(due, resolver.call(ladder.steps[due.step], severity, due.at)) for due in laid_out(ladder, at)]
