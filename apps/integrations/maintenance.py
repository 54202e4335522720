"""Which maintenance windows and mutes cover what, and when. Pure over `Window` values; `windows_*` read the rows.

windows = windows_at(now)                                  # one read for a whole batch
covering(windows, integration_id, partner_id, "asn-24h", now)   # [] or the windows that silence it
spans(window, start, end)                                  # when it covered something, for reports
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from apps.integrations.maintenance_models import MaintenanceWindow
from apps.integrations.recurrence import Span, occurrences

__all__ = [
    "Announcement",
    "Span",
    "Window",
    "announced",
    "covering",
    "merged",
    "occurrence_at",
    "spans",
    "window_of",
    "windows_at",
    "windows_between",
]

INSTANT = timedelta(microseconds=1)
MOST_ANNOUNCED = 50


@dataclass(frozen=True, slots=True)
class Window:
    """A window as plain values; see `MaintenanceWindow` for what each means. integrations, partners: primary keys."""

    id: int
    kind: str
    starts_at: datetime
    ends_at: datetime
    recurrence: str = ""
    zone: str = "UTC"
    everything: bool = False
    integrations: frozenset[int] = frozenset()
    partners: frozenset[int] = frozenset()
    rules: frozenset[str] = frozenset()
    reason: str = ""
    author_name: str = ""
    announced: bool = False
    announcement: str = ""
    cancelled_at: datetime | None = None

    @property
    def suspends(self) -> bool:
        """Whether clocks stand still and reports exclude its spans; a mute only silences."""
        return self.kind == MaintenanceWindow.Kind.MAINTENANCE

    def fits(self, integration: int | None, partner: int | None, rule: str | None) -> bool:
        """Whether its scope names this, whatever the time. rule None: not about a rule (a silent feed)."""
        if self.everything:
            return True
        if not (self.integrations or self.partners or self.rules):
            return False
        places = self.integrations or self.partners
        here = not places or integration in self.integrations or partner in self.partners
        return here and (not self.rules or rule in self.rules)


def covering(
    windows: Iterable[Window], integration: int | None, partner: int | None, rule: str | None, at: datetime
) -> list[Window]:
    """The windows that cover this at `at`, those that end last first; [] when nothing does."""
    found = []
    for window in windows:
        if window.fits(integration, partner, rule) and (span := occurrence_at(window, at)):
            found.append((span[1], window))
    return [window for _, window in sorted(found, key=lambda one: (one[0], one[1].id), reverse=True)]


def occurrence_at(window: Window, at: datetime) -> Span | None:
    """The span (begin inclusive, end exclusive) of the window that runs at `at`; of several the one that ends last."""
    running = spans(window, at, at + INSTANT, whole=True)
    return max(running, key=lambda span: span[1]) if running else None


def spans(window: Window, start: datetime, end: datetime, *, whole: bool = False) -> list[Span]:
    """When the window covers something within [start, end), cut to it (whole: not cut), in order; cancelled: till then.

    Occurrences that overlap (a rule that repeats before it ends) come as one.
    """
    found: list[Span] = []
    for first, last in occurrences(window.starts_at, window.ends_at, window.recurrence, window.zone, start, end):
        if window.cancelled_at is not None:
            last = min(last, window.cancelled_at)
        if first < last and last > start:
            found.append((first, last) if whole else (max(first, start), min(last, end)))
    return merged(found)


def merged(found: Iterable[Span]) -> list[Span]:
    """Spans in order, those that overlap or touch made one."""
    joined: list[Span] = []
    for start, end in sorted(found):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def windows_at(at: datetime) -> list[Window]:
    """Every window that runs at `at`, whatever it covers; three queries, and one when there is none."""
    return [window for window in windows_between(at, at + INSTANT) if occurrence_at(window, at)]


def windows_between(start: datetime, end: datetime) -> list[Window]:
    """Every window that covers something within [start, end)."""
    rows = (
        MaintenanceWindow.objects.filter(starts_at__lt=end)
        .filter(Q(recurrence="", ends_at__gt=start) | ~Q(recurrence=""))
        .filter(Q(cancelled_at=None) | Q(cancelled_at__gt=start))
    )
    return [window for window in map(window_of, _loaded(rows)) if spans(window, start, end)]


@dataclass(frozen=True, slots=True)
class Announcement:
    """A window as a partner reads it: no reason, no names."""

    text: str
    start: datetime
    end: datetime
    running: bool


def announced(now: datetime, ahead: timedelta) -> list[Announcement]:
    """What is announced, runs now or begins within `ahead`, the soonest first.

    Call it within a partner's scope: the database shows the partner's windows and the columns meant for it.
    """
    names = ("id", "kind", "starts_at", "ends_at", "recurrence", "time_zone", "announcement", "cancelled_at")
    rows = MaintenanceWindow.objects.filter(announce_to_partners=True, starts_at__lt=now + ahead).order_by("id")
    rows = rows.filter(Q(recurrence="", ends_at__gt=now) | ~Q(recurrence="")).filter(cancelled_at=None)
    found = [
        Announcement(row["announcement"], start, end, start <= now)
        for row in rows.values(*names)[:MOST_ANNOUNCED]
        for start, end in spans(
            Window(row["id"], row["kind"], row["starts_at"], row["ends_at"], row["recurrence"], row["time_zone"]),
            now,
            now + ahead,
            whole=True,
        )
    ]
    return sorted(found, key=lambda one: (one.start, one.end, one.text))[:MOST_ANNOUNCED]


def _loaded(rows: QuerySet[MaintenanceWindow]) -> QuerySet[MaintenanceWindow]:
    return rows.prefetch_related("integrations", "partners").order_by("starts_at", "id")


def window_of(row: MaintenanceWindow) -> Window:
    """The row as plain values; prefetch integrations and partners for many."""
    return Window(
        id=row.pk,
        kind=row.kind,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        recurrence=row.recurrence,
        zone=row.time_zone,
        everything=row.everything,
        integrations=frozenset(one.pk for one in row.integrations.all()),
        partners=frozenset(one.pk for one in row.partners.all()),
        rules=frozenset(row.rules),
        reason=row.reason,
        author_name=row.author_name,
        announced=row.announce_to_partners,
        announcement=row.announcement,
        cancelled_at=row.cancelled_at,
    )
