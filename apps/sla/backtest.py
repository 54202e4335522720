"""A rule tried on what already happened, before it is saved: how often it would have fired, and which flows change.

The flows of the last days are judged twice by their milestones, by today's book of rules and by the book with the draft in
it. Nothing is written. Of the draft's firings those that join one already open for the same partner are *repeated*,
those answered within `SHORT` are *short*, the rest *real*.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from apps.core.clock import whole_second
from apps.flows.sets import raw_cursor
from apps.flows.states import FlowState
from apps.sla import check_words, promise_history
from apps.sla.checks import KINDS as CHECKS
from apps.sla.derivation import BREACHED, MET, MET_LATE, PENDING, draft_of, origin_json
from apps.sla.explaining import sentence
from apps.sla.rule_specs import milestones_named
from apps.sla.rules import Book, RuleRow, compile_rule
from apps.sla.stored import FLOW_COLUMNS, states_of

DAYS = 90
#: of more flows the newest are taken
MOST_FLOWS = 100_000
#: what came so soon after its deadline would have answered itself
SHORT = timedelta(minutes=30)
SHOWN = 50
#: flows looked through for a few samples
SEARCHED = 500
BATCH = 10_000

_FLOWS = f"""
SELECT {FLOW_COLUMNS}
FROM flows_flow f JOIN flows_flowdefinition d ON d.id = f.definition_id
LEFT JOIN integrations_partner p ON p.id = f.partner_id
WHERE d.slug = %b AND f.opened_at >= %b AND f.opened_at <= %b AND f.status <> 'merged'
ORDER BY f.opened_at DESC LIMIT %b::bigint
"""


@dataclass(frozen=True, slots=True)
class Firing:
    """One time the rule would have said late. met_at: when the milestone came after all; None: not yet, or never.

    flow_id: 0 where a promise for every period had not opened a flow for its occasion.
    """

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
    spec = compile_rule(draft.spec)
    after = with_draft(book, draft)
    result = Backtest()
    for state, found, known in (_occasions if spec.every else _flows)(book, after, draft, now, days):
        result.flows += 1
        _note(result, state, found, known, draft.slug)
    result.cut_short = result.flows >= MOST_FLOWS
    result.fired = _sorted_out(result.fired)
    result.days = Counter(one.due_at.date() for one in result.fired)
    return result


def _flows(book: Book, after: Book, draft: RuleRow, now: datetime, days: int) -> Iterator[Judged]:
    specs = [row.spec for row in book.rules if (row.flow_slug, row.milestone) == (draft.flow_slug, draft.milestone)]
    for state in _states(draft.flow_slug, _names(draft.milestone, [draft.spec, *specs]), now, days):
        yield state, _verdict(after, state, draft, now), _verdict(book, state, draft, now)


def _occasions(book: Book, after: Book, draft: RuleRow, now: datetime, days: int) -> Iterator[Judged]:
    """A promise for every period: its occasions as each book counts them out, whether or not a flow was opened for them."""
    before = {one.key: one for one in promise_history.states(book, draft.slug, now, days)}
    for state in promise_history.states(after, draft.slug, now, days):
        known = before.pop(state.key, None)
        yield state, _verdict(after, state, draft, now), _verdict(book, known, draft, now) if known else None
    for state in before.values():
        yield state, None, _verdict(book, state, draft, now)


def samples(book: Book, draft: RuleRow, now: datetime, count: int) -> list[tuple[int, str, str]]:
    """(flow id, label, the deadline in one sentence) of the newest flows the draft would speak for.

    Raises `rules.RuleError`.
    """
    spec = compile_rule(draft.spec)
    after = with_draft(book, draft)
    found = []
    if spec.every:
        states: Iterable[FlowState] = promise_history.states(after, draft.slug, now, DAYS)
    else:
        states = _states(draft.flow_slug, _names(draft.milestone, [draft.spec]), now, DAYS, most=SEARCHED)
    for state in states:
        one = _verdict(after, state, draft, now, words=True)
        if one is not None and one.slug == draft.slug and one.words:
            found.append((state.flow_id, state.label, one.words))
            if len(found) == count:
                break
    return found


def with_draft(book: Book, draft: RuleRow) -> Book:
    """The book as it would be with this version of the rule in force."""
    others = tuple(row for row in book.rules if row.slug != draft.slug)
    active = replace(draft, lifecycle="active")
    return Book((*others, active), book.calendars, book.partners, book.definitions, book.integrations, book.standstills)


def _names(milestone: str, specs: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """The milestones that rules look at; None where one of them looks at any."""
    if any("check" in spec or "integration" in (spec.get("when") or {}) for spec in specs):
        return None
    return sorted({milestone, *(name for spec in specs for name in milestones_named(spec))})


class Verdict(NamedTuple):
    """What a book says of one milestone of one flow. slug: of the rule that speaks; judged: it can be said already."""

    slug: str
    judged: bool
    late: bool
    due_at: datetime
    met_at: datetime | None
    words: str


#: a flow, what the book with the draft in it says, and what today's says
Judged = tuple[FlowState, Verdict | None, Verdict | None]


def _verdict(book: Book, state: FlowState, draft: RuleRow, now: datetime, words: bool = False) -> Verdict | None:
    """By whichever of the book's rules speaks for this flow's milestone; None when none measures it."""
    if "check" in draft.spec:
        return _checked(book, state, draft, words)
    stop = book.stop(state.definition_id, state.partner, draft.milestone)
    found = draft_of(stop, state) if stop is not None else None
    if found is None:
        return None
    late = found.state in (MET_LATE, BREACHED) or (found.state == PENDING and found.due_at < whole_second(now))
    told = sentence(orjson.loads(origin_json(found)), found.due_at) if words else ""
    # one that stands still, or whose flow was cancelled, was neither kept nor missed
    return Verdict(found.rule.row.slug, found.state == MET or late, late, found.due_at, found.met_at, told)


def _checked(book: Book, state: FlowState, draft: RuleRow, words: bool) -> Verdict | None:
    """A deviation counts as late at the moment it happened; without one there is nothing to tell of."""
    kind = next(kind for kind in CHECKS if kind in draft.spec["check"])
    for stop in book.layout(state.definition_id, state.partner).checks:
        if stop.milestone != draft.milestone or (rule := stop.rule_for(state)) is None:
            continue
        if rule.spec.check is None or rule.spec.check.kind != kind:
            continue
        found = rule.spec.check.find(state, stop.milestone, stop.ordinal, rule.setting)
        if found is None:
            return Verdict(rule.row.slug, True, False, state.opened_at, None, "")
        facts = {**found.facts, "rule": rule.row.name, "version": rule.row.version, "zone": rule.told["zone"]}
        label = stop.labels.get(stop.milestone, stop.milestone)
        told = check_words.sentence(kind, label, facts, stop.labels) if words else ""
        return Verdict(rule.row.slug, True, True, found.at, None, told)
    return None


def _note(result: Backtest, state: FlowState, found: Verdict | None, known: Verdict | None, slug: str) -> None:
    """found: by the book with the draft in it; known: by today's."""
    late, was_late = found is not None and found.late, known is not None and known.late
    if found is not None and found.slug == slug:
        result.measured += 1
        result.judged += found.judged
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


def _firing(state: FlowState, found: Verdict) -> Firing:
    return Firing(state.flow_id, state.label, state.partner, found.due_at, found.met_at)


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
    flow_slug: str, names: Sequence[str] | None, now: datetime, days: int, most: int = MOST_FLOWS
) -> Iterator[FlowState]:
    """The flows as they stand, newest first, with the milestones of these names (None: all)."""
    with raw_cursor() as cursor:
        cursor.execute(_FLOWS, [flow_slug, now - timedelta(days=days), now, most], binary=True)
        rows = cursor.fetchall()
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            yield from states_of(cursor, batch, names)
