"""Maintenance windows as lists and as a picture of the next two weeks, and what they silence now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from django.db.models import Q

from apps.core import wording
from apps.dashboard.selectors.oncall import DAY, Bar, Row, Strip, bounds, marks_of, ratio
from apps.incidents.models import Incident
from apps.integrations.maintenance import Span, Window, occurrence_at, spans, window_of
from apps.integrations.maintenance_models import MaintenanceWindow
from apps.integrations.maintenance_plans import UNDO_FOR
from apps.notifications.escalation_models import AwaitedStep

AHEAD = 14 * DAY
#: so far a repeated window is laid out to find its next occurrence
HORIZON = timedelta(days=400)
PAST = 30 * DAY
MOST = 200


@dataclass(frozen=True, slots=True)
class Line:
    """A window in a list. span: the occurrence that runs, comes next or was the last; None when there is none."""

    row: MaintenanceWindow
    window: Window
    span: Span | None
    running: bool
    scope: str
    repeats: str
    may_restore: bool


@dataclass(frozen=True, slots=True)
class Silenced:
    """An incident that calls nobody, why and until when."""

    incident: Incident
    window: MaintenanceWindow | None
    until: datetime


@dataclass(frozen=True, slots=True)
class Lists:
    running: list[Line]
    coming: list[Line]
    past: list[Line]
    silenced: list[Silenced]
    strip: Strip | None


def lists(now: datetime, zone: tzinfo) -> Lists:
    """Everything of the page, in a bounded number of queries."""
    rows = (
        MaintenanceWindow.objects.filter(Q(ends_at__gt=now - PAST) | ~Q(recurrence=""))
        .filter(Q(cancelled_at=None) | Q(cancelled_at__gt=now - PAST))
        .prefetch_related("integrations", "partners")
        .order_by("starts_at", "id")[:MOST]
    )
    lines = [line(row, now) for row in rows]
    running = [one for one in lines if one.running]
    coming = [one for one in lines if not one.running and _ahead(one, now)]
    past = [one for one in lines if not one.running and not _ahead(one, now)]
    coming.sort(key=lambda one: one.span[0] if one.span else now)
    start = bounds(now.astimezone(zone).date(), zone)
    return Lists(running, coming, past[::-1][:30], silenced(), _strip([*running, *coming], start, now, zone))


def _ahead(one: Line, now: datetime) -> bool:
    return one.row.cancelled_at is None and one.span is not None and one.span[0] > now


def line(row: MaintenanceWindow, now: datetime) -> Line:
    window = window_of(row)
    running = occurrence_at(window, now)
    span = running or next(iter(spans(window, now, now + HORIZON, whole=True)), None)
    if span is None and not row.recurrence:
        span = (
            row.starts_at,
            row.cancelled_at if row.cancelled_at and row.cancelled_at > row.starts_at else row.ends_at,
        )
    may_restore = row.cancelled_at is not None and now - row.cancelled_at <= UNDO_FOR
    return Line(row, window, span, running is not None, scope_words(row), repeats_words(row), may_restore)


def scope_words(row: MaintenanceWindow) -> str:
    """What it covers, in words; integrations and partners prefetched."""
    if row.everything:
        return "everything"
    places = [one.name for one in row.partners.all()] + [one.name for one in row.integrations.all()]
    rules = f"rule{'s' if len(row.rules) > 1 else ''} {', '.join(row.rules)}" if row.rules else ""
    return " of ".join(part for part in (rules, ", ".join(places)) if part) or "nothing any more"


def repeats_words(row: MaintenanceWindow) -> str:
    if not row.recurrence:
        return ""
    parts = dict(part.split("=", 1) for part in row.recurrence.upper().split(";") if "=" in part)
    often = {"DAILY": "every day", "WEEKLY": "every week", "MONTHLY": "every month"}.get(parts.get("FREQ", ""), "")
    names = dict(
        zip(("MO", "TU", "WE", "TH", "FR", "SA", "SU"), ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), strict=True)
    )
    days = [names.get(day, day) for day in parts.get("BYDAY", "").split(",") if day]
    return f"{often}{' on ' + ', '.join(days) if days else ''} ({row.time_zone})"


def silenced() -> list[Silenced]:
    """Unresolved incidents that a window silences, and which."""
    rows = (
        AwaitedStep.objects.filter(done_at=None, kind=AwaitedStep.Kind.UNMUTE)
        .exclude(incident__state=Incident.State.RESOLVED)
        .select_related("incident__partner", "window")
        .order_by("due_at", "id")[:MOST]
    )
    return [Silenced(row.incident, row.window, row.due_at) for row in rows]


def _strip(lines: list[Line], start: datetime, now: datetime, zone: tzinfo) -> Strip | None:
    """The next two weeks, a row for each window."""
    end = start + AHEAD
    rows: list[Row] = []
    for one in lines:
        bars = [
            Bar(
                ratio(first - start, AHEAD), ratio(max(last - first, timedelta(hours=2)), AHEAD), "",
                f"{one.row.reason}: {wording.absolute(first, zone)} to {wording.absolute(last, zone)}",
                "mine" if one.window.suspends else "override",
            )
            for first, last in spans(one.window, start, end)
        ]  # fmt: skip
        if bars and len(rows) < 12:
            rows.append(Row(one.row.reason, bars, 24 + len(rows) * 34, True))
    if not rows:
        return None
    words = "; ".join(bar.title for row in rows for bar in row.bars[:3])
    return Strip(rows, marks_of(start, end, now, zone), ratio(now - start, AHEAD), 24 + len(rows) * 34 + 2, words)
