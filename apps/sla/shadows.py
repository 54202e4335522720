"""Shadow rules: what they would have expected of each flow, and how that compares with what the rules in force did.

A shadow writes rows of its own table (`ShadowExpectation`), by the facts alone: nothing sweeps them, nothing counts them,
nobody is told. What would be late by now is what is pending behind its deadline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from apps.flows.sets import columns, raw_cursor
from apps.flows.states import FlowState
from apps.sla.derivation import Draft, draft_of, origin_json
from apps.sla.models import SlaRule
from apps.sla.rules import Book

SHOWN = 50
#: what the comparison looks back on
DAYS = 90
_COLUMNS = (
    ("flow_id", "bigint"),
    ("slug", "text"),
    ("milestone", "text"),
    ("rule_id", "bigint"),
    ("due_at", "timestamptz"),
    ("state", "text"),
    ("met_at", "timestamptz"),
    ("settled_at", "timestamptz"),
    ("origin", "text"),
)
_NAMES = [name for name, _ in _COLUMNS]
_STORE = f"""
INSERT INTO sla_shadowexpectation ({", ".join(_NAMES)})
SELECT {", ".join(_NAMES[:-1])}, origin::jsonb
FROM unnest({", ".join(f"%b::{cast}[]" for _, cast in _COLUMNS)}) AS t ({", ".join(_NAMES)})
ON CONFLICT (flow_id, slug) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _NAMES[2:])}
WHERE ({", ".join(f"sla_shadowexpectation.{name}" for name in _NAMES[2:])})
   IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _NAMES[2:])})
"""
_GONE = """
DELETE FROM sla_shadowexpectation s WHERE s.flow_id = ANY(%b::bigint[]) AND s.slug = ANY(%b::text[])
AND NOT EXISTS (SELECT FROM unnest(%b::bigint[], %b::text[]) AS t (flow_id, slug)
                WHERE (t.flow_id, t.slug) = (s.flow_id, s.slug))
"""
#: late: it came late, never came although the flow ended, or is overdue at this moment
_LATE = "({0}.state IN ('MET_LATE', 'BREACHED') OR ({0}.state = 'PENDING' AND {0}.due_at < %b))"
_COMPARED = f"""
SELECT s.flow_id, f.label, coalesce(p.name, ''), s.due_at, s.met_at, e.due_at, e.state,
       {_LATE.format("s")} AS shadow_late, e.id IS NOT NULL AND {_LATE.format("e")} AS active_late, e.id IS NOT NULL,
       (s.settled_at IS NOT NULL OR s.due_at < %b) AS judged
FROM sla_shadowexpectation s
JOIN flows_flow f ON f.id = s.flow_id LEFT JOIN integrations_partner p ON p.id = f.partner_id
LEFT JOIN sla_expectation e ON e.flow_id = s.flow_id AND e.milestone = s.milestone
WHERE s.slug = %b AND s.due_at >= %b ORDER BY s.due_at DESC LIMIT %b::int
"""
MOST = 100_000


def derive(state: FlowState, book: Book) -> list[tuple[str, Draft]]:
    """(slug, draft) of every shadow rule that would speak for one of the flow's milestones."""
    found = []
    for stop in book.layout(state.definition_id, state.partner).shadows:
        draft = draft_of(stop, state)
        if draft is not None and draft.rule.row.slug == stop.shadow:
            found.append((stop.shadow, draft))
    return found


def refresh(cursor: Any, states: Sequence[FlowState], book: Book) -> None:
    """Writes what shadow rules make of these flows. Rows of rules that are no shadows any more stay: they are history."""
    slugs = book.shadow_slugs
    if not slugs:
        return
    rows = [
        (
            state.flow_id,
            slug,
            draft.milestone,
            draft.rule.row.id,
            draft.due_at,
            draft.state,
            draft.met_at,
            draft.settled_at,
            origin_json(draft),
        )
        for state in states
        if state.status != "merged"
        for slug, draft in derive(state, book)
    ]
    rows.sort(key=lambda row: row[:2])
    flows = sorted(state.flow_id for state in states)
    cursor.execute(_GONE, [flows, list(slugs), *columns([row[:2] for row in rows], 2)], binary=True)
    if rows:
        cursor.execute(_STORE, columns(rows, len(_COLUMNS)), binary=True)


@dataclass(frozen=True, slots=True)
class Compared:
    """One flow in the eyes of both. active_due: None where no rule in force spoke for it."""

    flow_id: int
    label: str
    partner: str
    due_at: datetime
    met_at: datetime | None
    active_due: datetime | None
    active_state: str


@dataclass(slots=True)
class Comparison:
    """What a shadow foretold against what the rule in force did, over the flows due in the last `DAYS`.

    judged: its deadline has passed or it is settled; late: by the shadow; both, only_shadow, only_active: late by whom.
    came: of those the shadow called late, how many came after all (late); never: how many did not.
    """

    flows: int = 0
    judged: int = 0
    late: int = 0
    both: int = 0
    only_shadow: int = 0
    only_active: int = 0
    came: int = 0
    never: int = 0
    unmeasured: int = 0
    since: datetime | None = None
    samples: list[tuple[str, Compared]] = field(default_factory=list)


def tried(slug: str) -> bool:
    """Whether some version of the rule is, or was, a shadow."""
    return SlaRule.objects.filter(slug=slug, lifecycle=SlaRule.Lifecycle.SHADOW).exists()


def compare(slug: str, now: datetime, days: int = DAYS) -> Comparison:
    """Reads the rows of one shadow rule beside the ledger. samples: those judged differently, newest first."""
    found = Comparison(since=now - timedelta(days=days))
    with raw_cursor() as cursor:
        cursor.execute(_COMPARED, [now, now, now, slug, found.since, MOST], binary=True)
        for flow_id, label, partner, due_at, met_at, active_due, state, late, active_late, measured, judged in cursor:
            found.flows += 1
            found.judged += judged
            found.late += late
            found.unmeasured += not measured
            if late:
                found.came += met_at is not None
                found.never += met_at is None
            sort = "both" if late and active_late else "only_shadow" if late else "only_active" if active_late else ""
            if sort:
                setattr(found, sort, getattr(found, sort) + 1)
            if sort in ("only_shadow", "only_active") and len(found.samples) < SHOWN:
                one = Compared(flow_id, label, partner, due_at, met_at, active_due, state or "")
                found.samples.append((sort, one))
    return found
