"""The book of rules of this process: loaded once, loaded again when a stamp says that something changed.

One small query a batch asks for the stamp, and for the sources we cannot hear at the moment.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from django.db.models import Count, Min

from apps.flows import registry
from apps.flows.sets import raw_cursor
from apps.integrations.maintenance import spans, window_of
from apps.integrations.maintenance_models import MaintenanceWindow
from apps.integrations.models import Calendar, Integration, Partner
from apps.sla.derivation import CATCHING_UP, STALE
from apps.sla.models import SlaRule
from apps.sla.pausing import Standstill
from apps.sla.rules import Book, CalendarRow, PartnerRow, RuleRow, book_of

log = structlog.get_logger(__name__)

_STAMP = """
SELECT
  (SELECT (count(*), max(id),
           sum(hashtext(concat_ws('|', slug, version, flow_slug, milestone, position, lifecycle, severity))))::text
   FROM sla_slarule),
  (SELECT (count(*), max(id))::text FROM integrations_calendar),
  (SELECT (count(*), max(id), sum(hashtext(concat_ws('|', slug, name, time_zone, calendar))))::text
   FROM integrations_partner),
  (SELECT (count(*), max(id), sum(hashtext(concat_ws('|', slug, partner_id, lifecycle, environment))))::text
   FROM integrations_integration),
  (SELECT (count(*), max(id))::text FROM flows_flowdefinition),
  (SELECT (count(*), max(id), sum(hashtext(concat_ws('|', kind, starts_at, ends_at, recurrence, time_zone, everything,
           rules, reason, cancelled_at))))::text
   FROM integrations_maintenancewindow),
  current_database(),
  (SELECT array_agg(integration_id) FROM integrations_sourcestate WHERE stale_since IS NOT NULL),
  (SELECT array_agg(integration_id) FROM integrations_sourcestate WHERE stale_since IS NULL AND catching_up_until > %b)
"""


@dataclass(frozen=True)
class Shelf:
    """The book, and the sources that cannot be heard (`STALE`) or are catching up (`CATCHING_UP`)."""

    book: Book
    silent: dict[int, str]


_lock = threading.Lock()
_cached: tuple[Any, Book] | None = None


def stamp(now: datetime) -> tuple[Any, ...]:
    """Changes with everything the book is made of."""
    with raw_cursor() as cursor:
        cursor.execute(_STAMP, [now], binary=True)
        return tuple((cursor.fetchone() or ())[:-2])


def load(now: datetime) -> Shelf:
    """The book as of now; a single query when nothing changed since the last call."""
    global _cached
    with raw_cursor() as cursor:
        cursor.execute(_STAMP, [now], binary=True)
        *known, stale, catching_up = cursor.fetchone() or ()
    silent = dict.fromkeys(catching_up or (), CATCHING_UP) | dict.fromkeys(stale or (), STALE)
    with _lock:
        if _cached is not None and _cached[0] == known:
            return Shelf(_cached[1], silent)
    book = _read()
    for problem in book.problems:
        log.error("sla_rule_unreadable", problem=problem)
    with _lock:
        _cached = (known, book)
    return Shelf(book, silent)


def _read() -> Book:
    catalogue = registry.load().catalogue
    sources = _only_sources()
    return book_of(
        rules=[
            RuleRow(
                r.pk,
                r.slug,
                r.version,
                r.name,
                r.flow_slug,
                r.milestone,
                r.position,
                r.spec,
                r.lifecycle,
                r.created_at,
                r.severity,
            )
            for r in SlaRule.objects.all()
        ],
        calendars=[CalendarRow(c.slug, c.version, c.name, c.spec, c.created_at) for c in Calendar.objects.all()],
        partners=[
            PartnerRow(p.pk, p.slug, p.name, p.time_zone, p.calendar, sources.get(p.pk)) for p in Partner.objects.all()
        ],
        definitions=[one for versions in catalogue.versions.values() for one in versions],
        integrations=dict(Integration.objects.values_list("slug", "pk")),
        standstills=_standstills(),
    )


def _standstills() -> list[Standstill]:
    """Maintenance as it was planned; what only silences stops no clock."""
    planned = MaintenanceWindow.objects.filter(kind=MaintenanceWindow.Kind.MAINTENANCE).prefetch_related(
        "integrations", "partners"
    )
    found = []
    for row in planned:
        window = window_of(row)
        found.append(Standstill(row.created_at, row.reason, window.fits, partial(spans, window)))
    return found


def _only_sources() -> dict[int, int]:
    """Partner -> its integration, for partners that have exactly one in use."""
    in_use = Integration.objects.filter(partner__isnull=False, environment=Integration.Environment.PRODUCTION).exclude(
        lifecycle__in=[Integration.Lifecycle.PLANNED, Integration.Lifecycle.RETIRED]
    )
    alone = in_use.values("partner_id").annotate(count=Count("pk"), only=Min("pk")).filter(count=1)
    return dict(alone.values_list("partner_id", "only"))
