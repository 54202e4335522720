"""What is expected of a flow, and how that differs from what is written. Pure.

`derive` judges every measured milestone by the facts alone: met, met late, missing at the end of the flow, or pending.
Whether a pending deadline has passed is the sweep's to say, since only the sweep knows what time it is.
`compare` sets the drafts against the stored rows, so that a batch writes only what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from apps.core.clock import whole_second
from apps.flows.states import FlowState
from apps.sla import pausing
from apps.sla.deadlines import Due, first_due
from apps.sla.pausing import Pause
from apps.sla.rules import Book, BoundRule, LaneStop

PENDING, MET, MET_LATE, BREACHED, WAIVED, SUSPENDED = (
    "PENDING",
    "MET",
    "MET_LATE",
    "BREACHED",
    "WAIVED",
    "SUSPENDED",
)
#: so many columns of a row decide whether it must be written again
DECIDING = 17
STALE, CATCHING_UP = "stale", "catching_up"
SKIPPED = "Skipped: the flow completed without it"


class Draft(NamedTuple):
    """What one milestone's expectation should be by the facts. settled_at None: still awaited."""

    milestone: str
    rule: BoundRule
    due: Due
    due_at: datetime
    warn_at: datetime | None
    state: str
    met_at: datetime | None
    settled_at: datetime | None
    reason: str
    label: str
    pauses: tuple[Pause, ...] = ()
    paused: str = ""


class Existing(NamedTuple):
    """A stored expectation, as much of it as decides whether it must be written again."""

    flow_id: int
    milestone: str
    rule_id: int
    definition_id: int
    partner_id: int | None
    source_id: int | None
    due_at: datetime
    warn_at: datetime | None
    state: str
    at_risk: bool
    anchor: str
    anchor_at: datetime | None
    met_at: datetime | None
    settled_at: datetime | None
    waived_reason: str
    backfill: bool
    paused: str
    id: int
    as_of: datetime | None
    suspended_at: datetime | None
    finding_id: int | None
    waived_by_id: int | None


class Write(NamedTuple):
    """A row to insert or update, columns in the order of `expectations.COLUMNS`."""

    flow_id: int
    milestone: str
    rule_id: int
    definition_id: int
    partner_id: int | None
    source_id: int | None
    due_at: datetime
    warn_at: datetime | None
    state: str
    at_risk: bool
    anchor: str
    anchor_at: datetime | None
    met_at: datetime | None
    settled_at: datetime | None
    waived_reason: str
    backfill: bool
    paused: str
    as_of: datetime | None
    suspended_at: datetime | None
    origin: str


class Change(NamedTuple):
    """What one flow asks of the ledger. gone: ids to delete; waived: (id, reason) of told breaches not expected now;

    pauses: (milestone, pause) of clocks that stood still.
    """

    writes: list[Write]
    gone: list[int]
    waived: list[tuple[int, str]]
    pauses: list[tuple[str, Pause]]


def derive(state: FlowState, book: Book) -> list[Draft]:
    """The drafts of one flow, in the definition's order."""
    found = []
    for stop in book.lane(state.definition_id, state.partner):
        draft = draft_of(stop, state)
        if draft is not None:
            found.append(draft)
    return found


def draft_of(stop: LaneStop, state: FlowState) -> Draft | None:
    """What the first matching rule expects of one milestone; None when it does not measure or its anchor is unknown."""
    rule = stop.rule_for(state)
    if rule is None or rule.spec.unmeasured:
        return None
    due = first_due(rule.spec.forms, state, rule.setting)
    if due is None:
        return None
    milestone = state.milestones.get(stop.milestone)
    actual = milestone.actual_at if milestone is not None else None
    pauses: tuple[Pause, ...] = ()
    paused = ""
    if rule.pausing:
        ended_at = actual if actual is not None else state.closed_at
        stopped = pausing.stop(due, state, rule.setting, rule.spec.pauses, rule.standstills, ended_at)
        pauses, paused = stopped.pauses, stopped.open.label if stopped.open else ""
        if pauses:
            due = _as_paused(due, stopped)
    due_at = due.at + rule.spec.grace if rule.spec.grace_text else due.at
    if actual is not None:
        judged = MET if whole_second(actual) <= due_at else MET_LATE
        settled_at, reason = milestone.received_at or actual, ""  # type: ignore[union-attr]
    else:
        judged, settled_at, reason = _unmet(state, due_at, stop.optional)
        if judged == PENDING and paused:
            judged = SUSPENDED
    anchor = due.origin["anchor"]
    label = stop.labels.get(anchor[1], "") if anchor[0] == "milestone" else ""
    warn_at = _warn_at(rule, due, due_at, state)
    return Draft(stop.milestone, rule, due, due_at, warn_at, judged, actual, settled_at, reason, label, pauses, paused)


def _as_paused(due: Due, stopped: pausing.Stopped) -> Due:
    """The deadline with what moved it in its origin."""
    told = [[one.label, one.begin, one.until] for one in stopped.pauses]
    return due._replace(at=stopped.at, origin={**due.origin, "unpaused": due.at, "pauses": told})


def _unmet(state: FlowState, due_at: datetime, optional: bool) -> tuple[str, datetime | None, str]:
    """(state, settled_at, reason) of a milestone that has not come."""
    closed_at = state.closed_at
    if state.status == "open" or closed_at is None:
        return PENDING, None, ""
    if whole_second(closed_at) > due_at:
        return BREACHED, closed_at, ""
    if state.status == "cancelled":
        return WAIVED, closed_at, "The flow was cancelled"
    if optional:
        return WAIVED, closed_at, SKIPPED
    return PENDING, None, ""


def _warn_at(rule: BoundRule, due: Due, due_at: datetime, state: FlowState) -> datetime | None:
    spec = rule.spec
    if spec.warn_before is not None:
        return due_at - spec.warn_before
    if spec.warn_share is None:
        return None
    begin = due.anchor_at if due.anchor_at < due_at and due.origin["form"] in ("after", "at") else state.opened_at
    if begin >= due_at:
        return None
    share: timedelta = (due_at - begin) * spec.warn_share
    return whole_second(due_at - share)


def compare(
    state: FlowState,
    book: Book,
    rows: Mapping[str, Existing],
    silent: Mapping[int, str],
    now: datetime,
) -> Change:
    """The difference between what is written of a flow and what should be.

    rows: its stored expectations by milestone. silent: sources we cannot hear (`STALE`) or that are catching up.
    A settled row is judged by the book of its time (`as_of`); a live one by today's. A waiver by hand stands.
    """
    change = Change([], [], [], [])
    if state.status == "merged":
        change.gone.extend(row.id for row in rows.values())
        return change
    lane = book.lane(state.definition_id, state.partner)
    seen = set()
    for stop in lane:
        row = rows.get(stop.milestone) if rows else None
        if row is None:
            draft = draft_of(stop, state)
            if draft is not None:
                change.writes.append(_write(draft, state, None, book, silent, now))
                change.pauses.extend((draft.milestone, one) for one in draft.pauses)
            continue
        seen.add(stop.milestone)
        if row.waived_by_id is None:
            _set_against(row, stop, state, book, silent, now, change)
    for milestone, row in rows.items():
        if milestone not in seen and row.waived_by_id is None:
            _set_against(row, None, state, book, silent, now, change)
    return change


def _set_against(
    row: Existing,
    stop: LaneStop | None,
    state: FlowState,
    book: Book,
    silent: Mapping[int, str],
    now: datetime,
    change: Change,
) -> None:
    draft, by = _draft_for(row, stop, state, book)
    if draft is None:
        if row.finding_id is None:
            change.gone.append(row.id)
        elif row.state != WAIVED:
            change.waived.append((row.id, book.why_not(state, row.milestone)))
        return
    write = _write(draft, state, row, by, silent, now)
    if write[:DECIDING] != row[:DECIDING]:
        change.writes.append(write)
    change.pauses.extend((draft.milestone, one) for one in draft.pauses)


def _draft_for(row: Existing, stop: LaneStop | None, state: FlowState, book: Book) -> tuple[Draft | None, Book]:
    """The draft a stored row is held against, and the book it was made by."""
    if row.settled_at is None or row.as_of == book.stamp:
        return (draft_of(stop, state) if stop else None), book
    then = book.as_of(row.as_of)
    past = then.stop(state.definition_id, state.partner, row.milestone)
    draft = draft_of(past, state) if past else None
    if draft is not None and draft.settled_at is not None:
        return draft, then
    today = draft_of(stop, state) if stop else None
    if draft is None and today is not None and today.settled_at is not None:
        return None, book  # its own time expected nothing; a rule made since does not judge what had ended
    return today, book


def _write(
    draft: Draft, state: FlowState, row: Existing | None, book: Book, silent: Mapping[int, str], now: datetime
) -> Write:
    judged, settled_at = draft.state, draft.settled_at
    source_id = draft.rule.source_id
    if source_id is None and row is not None and row.state in (SUSPENDED, BREACHED):
        source_id = row.source_id  # the sweep found whom the children wait for
    if draft.met_at is None and judged in (PENDING, BREACHED):
        judged, settled_at = _unheard(draft, row, source_id, silent.get(source_id) if source_id else None, now)
    same_clock = row is not None and judged == PENDING and row.warn_at == draft.warn_at
    return Write(
        state.flow_id,
        draft.milestone,
        draft.rule.row.id,
        state.definition_id,
        state.partner_id,
        source_id,
        draft.due_at,
        draft.warn_at,
        judged,
        row.at_risk if row is not None and same_clock else False,
        draft.due.anchor,
        draft.due.anchor_at,
        draft.met_at,
        settled_at,
        draft.reason,
        state.backfill,
        draft.paused if judged == SUSPENDED else "",
        book.stamp,
        _suspended_at(draft, row, now) if judged == SUSPENDED else None,
        "" if row is not None and _same_origin(row, draft) else origin_json(draft),
    )


def _suspended_at(draft: Draft, row: Existing | None, now: datetime) -> datetime | None:
    if draft.paused:
        return draft.pauses[-1].begin
    return row.suspended_at if row is not None and row.state == SUSPENDED and not row.paused else now


def _unheard(
    draft: Draft, row: Existing | None, source_id: int | None, silence: str | None, now: datetime
) -> tuple[str, datetime | None]:
    """(state, settled_at) of what has not come, as far as we can hear and as far as the sweep has judged already."""
    passed = draft.due_at < whole_second(now)
    if row is not None and passed and row.due_at == draft.due_at:
        if row.state == SUSPENDED and row.source_id == source_id and not row.paused:
            return SUSPENDED, None  # the sweep takes it up again
        if row.state == BREACHED:
            return BREACHED, draft.settled_at  # judged already; silence that came later does not unsay it
    if silence == STALE or (silence == CATCHING_UP and passed):
        return SUSPENDED, None
    if row is not None and row.state == BREACHED and draft.state == PENDING and passed:
        return BREACHED, None
    return draft.state, draft.settled_at


def _same_origin(row: Existing, draft: Draft) -> bool:
    return (
        row.due_at == draft.due_at
        and row.rule_id == draft.rule.row.id
        and row.anchor == draft.due.anchor
        and row.anchor_at == draft.due.anchor_at
    )


def origin_json(draft: Draft) -> str:
    """Where the deadline came from, as stored: the facts that `explaining` turns into words."""
    told: dict[str, Any] = {**draft.due.origin, **draft.rule.told}
    if draft.label:
        told["label"] = draft.label
    return orjson.dumps(told, option=orjson.OPT_UTC_Z).decode()


def by_flow(rows: Sequence[Existing]) -> dict[int, dict[str, Existing]]:
    """flow id -> milestone -> row."""
    found: dict[int, dict[str, Existing]] = {}
    for row in rows:
        found.setdefault(row.flow_id, {})[row.milestone] = row
    return found
