"""What the flow board shows: per flow and partner, how many wait before each milestone, and in what state.

Counts come from the tallies, so the board costs the same at ten thousand and at a million flows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Max, Min, Sum

from apps.anomalies.models import FeedCount
from apps.flows.definitions import Definition
from apps.flows.models import FlowTally
from apps.flows.registry import load
from apps.integrations.models import Partner, SourceState
from apps.sla.models import ExpectationTally

SOON = timedelta(hours=2)
#: more than so many are shown as "10,000+": exactness there helps nobody and costs a scan
CAP = 10_000
HOURS = 24


@dataclass(slots=True)
class Cell:
    """Flows waiting for one milestone. waiting: all of them; the others are those whose deadline says so."""

    milestone: str
    label: str
    waiting: int = 0
    late: int = 0
    at_risk: int = 0
    unknown: int = 0

    @property
    def on_time(self) -> int:
        return max(0, self.waiting - self.late - self.at_risk - self.unknown)


@dataclass(slots=True)
class Row:
    """One flow definition with one partner (None: no partner known)."""

    definition: str
    partner_id: int | None
    partner: str
    partner_slug: str
    cells: list[Cell]
    open: int = 0
    done: int = 0
    late: int = 0
    at_risk: int = 0
    unknown: int = 0
    most_late: datetime | None = None
    last_received_at: datetime | None = None
    stale_since: datetime | None = None
    stale_reason: str = ""
    spark: list[int] = field(default_factory=list)

    @property
    def urgency(self) -> tuple[int, int, int, str]:
        return (-self.late, -self.unknown, -self.at_risk, self.partner)


@dataclass(slots=True)
class Section:
    """One flow definition on the board with the milestones worth a column."""

    slug: str
    name: str
    columns: list[tuple[str, str]]
    rows: list[Row]


@dataclass(slots=True)
class Strip:
    """The line above the board."""

    late: int
    due_soon: int
    due_soon_capped: bool
    at_stake: list[tuple[str, Decimal]]
    stale: list[tuple[str, datetime | None]]
    open: int
    moving: float | None


@dataclass(slots=True)
class Board:
    strip: Strip
    sections: list[Section]


def board(now: datetime, *, flow: str = "", partner: str = "") -> Board:
    """The board as of now; flow and partner are slugs to narrow it to."""
    catalogue = load().catalogue
    by_id: dict[int, Definition] = {d.id: d for versions in catalogue.versions.values() for d in versions}
    partners = {p.pk: p for p in Partner.objects.all()}
    wanted = {p.pk for p in partners.values() if p.slug == partner} if partner else None
    rows: dict[tuple[str, int | None], Row] = {}
    cells: dict[tuple[str, int | None, str], Cell] = {}

    def row_of(definition_id: int, partner_id: int | None) -> Row | None:
        definition = by_id.get(definition_id)
        if (
            definition is None
            or (flow and definition.slug != flow)
            or (wanted is not None and partner_id not in wanted)
        ):
            return None
        known = rows.get((definition.slug, partner_id))
        if known is None:
            known = _new_row(catalogue.active[definition.slug], partner_id, partners)
            rows[(definition.slug, partner_id)] = known
            for cell in known.cells:
                cells[(definition.slug, partner_id, cell.milestone)] = cell
        return known

    _count_flows(row_of, by_id, cells)
    _count_expectations(row_of, by_id, cells)
    _most_late(rows, catalogue.versions)
    _freshness(rows)
    _sparks(rows, now)
    sections = [
        _section(definition, [row for (slug, _), row in rows.items() if slug == definition.slug])
        for definition in in_order(catalogue.active.values())
    ]
    shown = [section for section in sections if section.rows]
    return Board(_strip(shown, now), shown)


def in_order(definitions: Iterable[Definition]) -> list[Definition]:
    """Definitions as people read them: each main flow, then its children and theirs; those with children first."""
    known = {one.slug: one for one in definitions}
    children: dict[str, list[Definition]] = defaultdict(list)
    for one in known.values():
        above = [parent for parent in one.parents if parent in known and parent != one.slug]
        children[above[-1] if above else ""].append(one)

    def below(slug: str) -> list[Definition]:
        ranked = sorted(children[slug], key=lambda one: (one.slug not in children, one.slug))
        return [two for one in ranked for two in (one, *below(one.slug))]

    return below("")


def _new_row(definition: Definition, partner_id: int | None, partners: Mapping[int, Partner]) -> Row:
    partner = partners.get(partner_id) if partner_id else None
    return Row(
        definition=definition.slug,
        partner_id=partner_id,
        partner=partner.name if partner else "No partner yet",
        partner_slug=partner.slug if partner else "none",
        cells=[Cell(m.name, m.label) for m in definition.milestones],
    )


def _count_flows(
    row_of: Any, by_id: Mapping[int, Definition], cells: Mapping[tuple[str, int | None, str], Cell]
) -> None:
    totals = FlowTally.objects.values_list("definition_id", "partner_id", "status", "awaiting").annotate(n=Sum("n"))
    for definition_id, partner_id, status, awaiting, n in totals:
        row = row_of(definition_id, partner_id) if n else None
        if row is None:
            continue
        if status == "open":
            row.open += n
            cell = cells.get((by_id[definition_id].slug, partner_id, awaiting))
            if cell is not None:
                cell.waiting += n
        elif status == "completed":
            row.done += n


def _count_expectations(
    row_of: Any, by_id: Mapping[int, Definition], cells: Mapping[tuple[str, int | None, str], Cell]
) -> None:
    totals = ExpectationTally.objects.values_list(
        "definition_id", "partner_id", "milestone", "state", "at_risk"
    ).annotate(n=Sum("n"))
    for definition_id, partner_id, milestone, state, at_risk, n in totals:
        row = row_of(definition_id, partner_id) if n else None
        cell = cells.get((by_id[definition_id].slug, partner_id, milestone)) if row else None
        if row is None or cell is None:
            continue
        if state == "BREACHED":
            cell.late += n
            row.late += n
        elif state == "SUSPENDED":
            cell.unknown += n
            row.unknown += n
        elif at_risk:
            cell.at_risk += n
            row.at_risk += n


_MOST_LATE = """
SELECT w.slug, w.partner_id, min(found.due_at) FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[])
    AS w (slug, definition_id, partner_id, milestone)
CROSS JOIN LATERAL (
    SELECT e.due_at FROM sla_expectation e
    WHERE e.definition_id = w.definition_id AND e.partner_id IS NOT DISTINCT FROM w.partner_id AND e.milestone = w.milestone
      AND e.state = 'BREACHED' AND e.settled_at IS NULL
    ORDER BY e.due_at LIMIT 1) AS found
GROUP BY 1, 2
"""


def _most_late(rows: Mapping[tuple[str, int | None], Row], versions: Mapping[str, Sequence[Definition]]) -> None:
    """The oldest deadline missed of each row: one index probe for each cell that has any."""
    places = [
        (slug, definition.id, partner_id, cell.milestone)
        for (slug, partner_id), row in rows.items()
        for cell in row.cells
        if cell.late
        for definition in versions[slug]
    ]
    if not places:
        return
    with connection.cursor() as cursor:
        cursor.execute(_MOST_LATE, [list(column) for column in zip(*places, strict=True)])
        for slug, partner_id, due_at in cursor.fetchall():
            rows[(slug, partner_id)].most_late = due_at


def _freshness(rows: Mapping[tuple[str, int | None], Row]) -> None:
    heard = (
        SourceState.objects.filter(integration__enabled=True)
        .values_list("integration__partner_id")
        .annotate(last=Max("last_received_at"), stale=Min("stale_since"), reason=Max("stale_reason"))
    )
    for partner_id, last, stale, reason in heard:
        for (_, row_partner), row in rows.items():
            if row_partner == partner_id and partner_id is not None:
                row.last_received_at, row.stale_since, row.stale_reason = last, stale, reason


def _sparks(rows: Mapping[tuple[str, int | None], Row], now: datetime) -> None:
    """Messages an hour from each partner's integrations over the last day, oldest first."""
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    counts: dict[int, list[int]] = defaultdict(lambda: [0] * HOURS)
    found = (
        FeedCount.objects.filter(hour__gte=start, hour__lte=now, integration__partner__isnull=False)
        .values_list("integration__partner_id", "hour")
        .annotate(n=Sum("n"))
    )
    for partner_id, hour, n in found:
        counts[partner_id][int((hour - start).total_seconds() // 3600)] += n
    for (_, partner_id), row in rows.items():
        if partner_id in counts:
            row.spark = counts[partner_id]


def _section(definition: Definition, rows: Iterable[Row]) -> Section:
    """Columns: milestones that count, and optional ones only where something waits or is late."""
    kept = sorted(rows, key=lambda row: row.urgency)
    busy = {
        cell.milestone
        for row in kept
        for cell in row.cells
        if cell.waiting or cell.late or cell.at_risk or cell.unknown
    }
    columns = [(m.name, m.label) for m in definition.milestones if m.name in busy or not m.optional]
    names = {name for name, _ in columns}
    for row in kept:
        row.cells = [cell for cell in row.cells if cell.milestone in names]
    return Section(definition.slug, definition.name, columns, kept)


_DUE_SOON = """
SELECT count(*) FROM (SELECT FROM sla_expectation WHERE state = 'PENDING' AND due_at >= %s AND due_at < %s LIMIT %s) AS soon
"""
_AT_STAKE = """
SELECT currency, sum(value) FROM (
    SELECT DISTINCT f.id, f.currency, f.value FROM sla_expectation e JOIN flows_flow f ON f.id = e.flow_id
    WHERE e.settled_at IS NULL AND e.state = 'BREACHED' AND f.value IS NOT NULL LIMIT %s) AS late
GROUP BY currency ORDER BY 2 DESC
"""


def _strip(sections: Sequence[Section], now: datetime) -> Strip:
    rows = [row for section in sections for row in section.rows]
    late, unknown, open_ = (sum(getattr(row, name) for row in rows) for name in ("late", "unknown", "open"))
    with connection.cursor() as cursor:
        cursor.execute(_DUE_SOON, [now, now + SOON, CAP + 1])
        soon = cursor.fetchone()[0]
        cursor.execute(_AT_STAKE, [CAP])
        at_stake = [(currency or "", value) for currency, value in cursor.fetchall()]
    stale = list(
        SourceState.objects.filter(stale_since__isnull=False)
        .order_by("stale_since")
        .values_list("integration__name", "stale_since")
    )
    moving = None if not open_ else max(0.0, 1 - (late + unknown) / open_)
    return Strip(late, min(soon, CAP), soon > CAP, at_stake, stale, open_, moving)
