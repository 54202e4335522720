"""A rule tried on what already happened, before it is saved: how often it would have fired, and which flows change.

The flows of the last days are judged twice by their milestones, by today's book of rules and by the book with the draft in
it. Nothing is written. Of the draft's firings those that join one already open for the same partner are *repeated*,
those answered within `SHORT` are *short*, the rest *real*.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from apps.core.clock import whole_second
from apps.flows.sets import raw_cursor
from apps.flows.states import FlowState, MilestoneState
from apps.sla.derivation import BREACHED, MET_LATE, PENDING, Draft, draft_of, origin_json
from apps.sla.explaining import sentence
from apps.sla.rules import Book, RuleRow, compile_rule

DAYS = 90
#: of more flows the newest are taken
MOST_FLOWS = 100_000
#: what came so soon after its deadline would have answered itself
SHORT = timedelta(minutes=30)
SHOWN = 50
#: flows looked through for a few samples
SEARCHED = 500
BATCH = 10_000
NOBODY = uuid.UUID(int=0)

_FLOWS = """
SELECT f.id, f.definition_id, coalesce(p.slug, ''), f.partner_id, f.label, f.status, f.opened_at, f.closed_at,
       f.dates::text, f.attributes::text, f.value::text, f.currency
FROM flows_flow f JOIN flows_flowdefinition d ON d.id = f.definition_id
LEFT JOIN integrations_partner p ON p.id = f.partner_id
WHERE d.slug = %b AND f.opened_at >= %b AND f.opened_at <= %b AND f.status <> 'merged'
ORDER BY f.opened_at DESC LIMIT %b::bigint
"""
_MILESTONES = """
SELECT flow_id, name, ordinal, planned_at, estimated_at, actual_at, sent_at, received_at, booked_at
FROM flows_milestone WHERE flow_id = ANY(%b::bigint[]) AND name = ANY(%b::text[])
"""


@dataclass(frozen=True, slots=True)
class Firing:
    """One time the rule would have said late. met_at: when the milestone came after all; None: not yet, or never."""

    flow_id: int
    label: str
    partner: str
    due_at: datetime
    met_at: datetime | None
    sort: str = "real"


@dataclass(slots=True)
class Backtest:
    """What a draft would have done. judged: flows it speaks for whose deadline has passed; measured: with a deadline.

    becoming, ceasing: flows that are late by the draft and were not before, and the other way round (at most `SHOWN`,
    with their counts in more_late and less_late). days: firings by the day they were due.
    """

    flows: int = 0
    measured: int = 0
    judged: int = 0
    fired: list[Firing] = field(default_factory=list)
    becoming: list[Firing] = field(default_factory=list)
    ceasing: list[Firing] = field(default_factory=list)
    more_late: int = 0
    less_late: int = 0
    cut_short: bool = False
    days: Counter[date] = field(default_factory=Counter)

    def count(self, sort: str) -> int:
        return sum(one.sort == sort for one in self.fired)

    @property
    def share(self) -> float | None:
        """Share of the judged promises that were kept."""
        return 1 - len(self.fired) / self.judged if self.judged else None


def run(book: Book, draft: RuleRow, now: datetime, days: int = DAYS) -> Backtest:
    """Tries one rule on the flows opened within so many days before now. The draft's lifecycle does not matter.

    Raises `rules.RuleError` for a spec that cannot be read.
    """
    compile_rule(draft.spec)
    after = with_draft(book, draft)
    names = {draft.milestone, *_named(draft.spec)}
    for row in book.rules:
        if (row.flow_slug, row.milestone) == (draft.flow_slug, draft.milestone):
            names.update(_named(row.spec))
    result = Backtest()
    for state in _states(draft.flow_slug, sorted(names), now, days):
        result.flows += 1
        _note(result, state, _judged(after, state, draft), _judged(book, state, draft), draft.slug, now)
    result.cut_short = result.flows >= MOST_FLOWS
    result.fired = _sorted_out(result.fired)
    result.days = Counter(one.due_at.date() for one in result.fired)
    return result


def samples(book: Book, draft: RuleRow, now: datetime, count: int) -> list[tuple[int, str, str]]:
    """(flow id, label, the deadline in one sentence) of the newest flows the draft would speak for.

    Raises `rules.RuleError`.
    """
    compile_rule(draft.spec)
    after = with_draft(book, draft)
    found = []
    for state in _states(draft.flow_slug, sorted({draft.milestone, *_named(draft.spec)}), now, DAYS, most=SEARCHED):
        one = _judged(after, state, draft)
        if one is not None and one.rule.row.slug == draft.slug:
            origin = orjson.loads(origin_json(one))
            found.append((state.flow_id, state.label, sentence(origin, one.due_at)))
            if len(found) == count:
                break
    return found


def with_draft(book: Book, draft: RuleRow) -> Book:
    """The book as it would be with this version of the rule in force."""
    others = tuple(row for row in book.rules if row.slug != draft.slug)
    active = replace(draft, lifecycle="active")
    return Book((*others, active), book.calendars, book.partners, book.definitions, book.integrations, book.standstills)


def _named(spec: Any) -> Iterator[str]:
    """Names of milestones that a spec hangs on."""
    if isinstance(spec, Mapping):
        for name, value in spec.items():
            if name == "milestone" and isinstance(value, str):
                yield value
            else:
                yield from _named(value)
    elif isinstance(spec, list):
        for one in spec:
            yield from _named(one)


def _judged(book: Book, state: FlowState, draft: RuleRow) -> Draft | None:
    """What the book expects of the draft's milestone, by whichever of its rules speaks for this flow."""
    stop = book.stop(state.definition_id, state.partner, draft.milestone)
    return draft_of(stop, state) if stop is not None else None


def _is_late(found: Draft | None, now: datetime) -> bool:
    if found is None:
        return False
    return found.state in (MET_LATE, BREACHED) or (found.state == PENDING and found.due_at < whole_second(now))


def _note(
    result: Backtest, state: FlowState, found: Draft | None, known: Draft | None, slug: str, now: datetime
) -> None:
    """found: by the book with the draft in it; known: by today's."""
    late, was_late = _is_late(found, now), _is_late(known, now)
    if found is not None and found.rule.row.slug == slug:
        result.measured += 1
        result.judged += found.state != PENDING or late
        if late:
            result.fired.append(_firing(state, found))
    if late and not was_late and found is not None:
        result.more_late += 1
        if len(result.becoming) < SHOWN:
            result.becoming.append(_firing(state, found))
    elif was_late and not late and known is not None:
        result.less_late += 1
        if len(result.ceasing) < SHOWN:
            result.ceasing.append(_firing(state, known))


def _firing(state: FlowState, draft: Draft) -> Firing:
    return Firing(state.flow_id, state.label, state.partner, draft.due_at, draft.met_at)


def _sorted_out(fired: Sequence[Firing]) -> list[Firing]:
    """In order of their deadlines, each with its sort."""
    open_until: dict[str, list[datetime]] = defaultdict(list)
    found = []
    for one in sorted(fired, key=lambda firing: (firing.due_at, firing.flow_id)):
        ends = open_until[one.partner]
        sort = "real"
        if ends and ends[-1] > one.due_at:
            sort = "repeated"
        elif one.met_at is not None and one.met_at - one.due_at <= SHORT:
            sort = "short"
        insort(ends, one.met_at or datetime.max.replace(tzinfo=one.due_at.tzinfo))
        del ends[: bisect_left(ends, one.due_at)]
        found.append(replace(one, sort=sort))
    return found


def _states(
    flow_slug: str, names: Sequence[str], now: datetime, days: int, most: int = MOST_FLOWS
) -> Iterator[FlowState]:
    """The flows as they stand, newest first, with the milestones of these names."""
    with raw_cursor() as cursor:
        cursor.execute(_FLOWS, [flow_slug, now - timedelta(days=days), now, most], binary=True)
        rows = cursor.fetchall()
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            cursor.execute(_MILESTONES, [[row[0] for row in batch], list(names)], binary=True)
            milestones: dict[int, dict[str, MilestoneState]] = defaultdict(dict)
            for flow_id, name, *rest in cursor.fetchall():
                milestones[flow_id][name] = MilestoneState(name, *rest)
            for row in batch:
                yield _state(row, milestones.get(row[0], {}))


def _state(row: Sequence[Any], milestones: Mapping[str, MilestoneState]) -> FlowState:
    (
        flow_id,
        definition_id,
        partner,
        partner_id,
        label,
        status,
        opened_at,
        closed_at,
        dates,
        attributes,
        value,
        currency,
    ) = row
    return FlowState(
        definition_id=definition_id,
        definition_slug="",
        key=NOBODY,
        label=label,
        partner=partner,
        status=status,
        stage="",
        awaiting="",
        opened_at=opened_at,
        closed_at=closed_at,
        last_happened_at=opened_at,
        last_received_at=opened_at,
        milestones=milestones,
        dates={} if dates == "{}" else {name: datetime.fromisoformat(at) for name, at in orjson.loads(dates).items()},
        attributes={} if attributes == "{}" else orjson.loads(attributes),
        value=None if value is None else Decimal(value),
        currency=currency,
        flow_id=flow_id,
        partner_id=partner_id,
    )
