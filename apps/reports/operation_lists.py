"""What the figures of `operations` count, row by row: the same conditions, so that a list has just what its figure says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import F

from apps.incidents.models import Incident
from apps.integrations.models import Integration
from apps.reports import operations
from apps.reports.figures import Span


@dataclass(frozen=True, slots=True)
class Line:
    """One thing a figure looks at.

    kind, key: "flow" and its id, "integration" and its slug, "incident" and its id; at: when it began to count; took: what
    the median is of; counted: it speaks for the figure (a flow that moved, an integration with a rule); within: the
    incident during which a flow is looked at.
    """

    kind: str
    key: str
    name: str
    partner: str
    at: datetime | None
    took: timedelta | None
    counted: bool
    within: tuple[int, str] | None = None

    @property
    def days(self) -> float | None:
        return None if self.took is None else self.took / timedelta(days=1)


#: (rows of one page, how many there are, how many of them are counted)
Found = tuple[list[Line], int, int]


def _incidents(moment: str) -> Callable[[Span, datetime, int | None, int, int], Found]:
    def found(span: Span, now: datetime, partner_id: int | None, begin: int, end: int) -> Found:
        rows = (
            Incident.objects.filter(operations.concerned(partner_id), opened_at__gte=span.begin, opened_at__lt=span.end)
            .filter(**{f"{moment}__isnull": False})
            .select_related("partner")
            .order_by(F(moment) - F("opened_at"), "pk")
        )
        total = rows.count()
        lines = [
            Line(
                "incident",
                str(one.pk),
                one.title,
                one.partner.name if one.partner else "",
                one.opened_at,
                getattr(one, moment) - one.opened_at,
                True,
            )
            for one in rows[begin:end]
        ]
        return lines, total, total

    return found


def _went_live(span: Span, now: datetime, partner_id: int | None, begin: int, end: int) -> Found:
    rows = operations.onboarded(span, partner_id)
    partners = _partners([one.slug for one in rows])
    lines = [
        Line(
            "integration",
            one.slug,
            one.name,
            partners.get(one.slug, ""),
            one.live_at,
            None if one.days is None else timedelta(days=one.days),
            one.days is not None,
        )
        for one in rows
    ]
    return lines[begin:end], len(lines), sum(one.counted for one in lines)


def _critical(span: Span, now: datetime, partner_id: int | None, begin: int, end: int) -> Found:
    without = {slug for slug, _ in operations.visibility(now, partner_id).without}
    rows = list(operations.critical(partner_id).order_by("name").values_list("slug", "name"))
    partners = _partners([slug for slug, _ in rows])
    lines = [
        Line("integration", slug, name, partners.get(slug, ""), None, None, slug not in without) for slug, name in rows
    ]
    lines.sort(key=lambda one: one.counted)
    return lines[begin:end], len(lines), sum(one.counted for one in lines)


def _partners(slugs: list[str]) -> dict[str, str]:
    return dict(Integration.objects.filter(slug__in=slugs, partner__isnull=False).values_list("slug", "partner__name"))


_FLOWS = f"""
SELECT f.id, f.label, coalesce(p.name, ''), f.opened_at, {operations.WENT_ON}, t.incident_id, t.title,
    count(*) OVER (), count(*) FILTER (WHERE {operations.WENT_ON}) OVER ()
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::text[])
    AS t (partner_id, begin, "end", incident_id, title)
{operations.OPEN_MEANWHILE} LEFT JOIN integrations_partner p ON p.id = f.partner_id
ORDER BY 5, t.begin, t.incident_id, f.id OFFSET %s LIMIT %s
"""


def _meanwhile(span: Span, now: datetime, partner_id: int | None, begin: int, end: int) -> Found:
    """Those that stood still first: they are what can be helped. A flow stands once for each incident."""
    degraded = operations.degraded(span, now, partner_id)
    if not degraded:
        return [], 0, 0
    columns = [[getattr(one, name) for one in degraded] for name in ("partner_id", "begin", "end", "incident_id", "title")]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_FLOWS, [*columns, begin, end - begin])
        rows = cursor.fetchall()
    lines = [
        Line("flow", str(pk), label, partner, at, None, moved, (incident, title))
        for pk, label, partner, at, moved, incident, title, _, _ in rows
    ]
    return lines, rows[0][7] if rows else 0, rows[0][8] if rows else 0


KINDS: Mapping[str, Callable[[Span, datetime, int | None, int, int], Found]] = {
    "acknowledged": _incidents("acknowledged_at"),
    "resolved": _incidents("resolved_at"),
    "critical": _critical,
    "continuity": _meanwhile,
    "live": _went_live,
}


def lines(kind: str, span: Span, now: datetime, partner_id: int | None, begin: int, end: int) -> Found:
    """Rows from begin to before end of what a figure looks at; kind: one of `KINDS`. At most four statements."""
    return KINDS[kind](span, now, partner_id, begin, end)
