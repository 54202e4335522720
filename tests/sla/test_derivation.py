"""What the facts say of each milestone, and what of the stored rows must change. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.flows.states import FlowState
from apps.sla.derivation import CATCHING_UP, SKIPPED, STALE, Change, Draft, Existing, Write, compare, derive
from apps.sla.rules import Book
from tests.sla.builders import ASN_SPEC, HOUR, LONG_AGO, T0, book, flow_state, reached, rule_row

SENT = reached("sent", T0)
DUE = T0 + 4 * HOUR
SHELF = book(rule_row(ASN_SPEC, slug="asn"))


def only(state: FlowState, shelf: Book = SHELF) -> Draft:
    (draft,) = derive(state, shelf)
    return draft


def stored(change: Change, **more: Any) -> dict[str, Existing]:
    """The writes of a change as they would be read back."""
    rows = {}
    for number, write in enumerate(change.writes, 1):
        values = dict(zip(Write._fields, write, strict=True))
        del values["origin"]
        rows[write.milestone] = Existing(**{**values, "id": number, "finding_id": None, "waived_by_id": None, **more})
    return rows


@pytest.mark.parametrize(
    ("late_by", "state"),
    [
        (timedelta(seconds=-1), "MET"),
        (timedelta(0), "MET"),
        (timedelta(microseconds=999_999), "MET"),  # within that very second
        (timedelta(seconds=1), "MET_LATE"),
    ],
)
def test_a_deadline_is_met_by_an_event_at_that_very_second(late_by: timedelta, state: str) -> None:
    draft = only(flow_state(SENT, reached("asn", DUE + late_by)))
    assert (draft.state, draft.met_at, draft.due_at) == (state, DUE + late_by, DUE)
    assert draft.warn_at == DUE - HOUR


def test_grace_belongs_to_the_deadline() -> None:
    shelf = book(rule_row({**ASN_SPEC, "grace": "PT15M"}))
    draft = only(flow_state(SENT, reached("asn", DUE + timedelta(minutes=15))), shelf)
    assert (draft.state, draft.due_at) == ("MET", DUE + timedelta(minutes=15))


def test_settled_at_is_when_we_heard() -> None:
    heard = DUE + 9 * HOUR
    draft = only(flow_state(SENT, reached("asn", DUE, received_at=heard)))
    assert (draft.state, draft.settled_at) == ("MET", heard)


def test_without_its_anchor_nothing_is_expected() -> None:
    assert derive(flow_state(), SHELF) == []
    assert derive(flow_state(SENT), book()) == []
    assert derive(flow_state(SENT), book(rule_row({"measure": False, "reason": "trial"}))) == []


def test_warn_share_of_the_time_between() -> None:
    shelf = book(rule_row({**ASN_SPEC, "warn": {"share": 0.25}}))
    assert only(flow_state(SENT), shelf).warn_at == DUE - HOUR
    dated = book(rule_row({"due": {"date": "eta"}, "warn": {"share": 0.5}}))
    assert only(flow_state(dates={"eta": T0 + 10 * HOUR}), dated).warn_at == T0 + 5 * HOUR
    assert only(flow_state(dates={"eta": T0 - HOUR}), dated).warn_at is None


@pytest.mark.parametrize(
    ("status", "closed", "milestone", "state", "reason"),
    [
        ("cancelled", DUE, "asn", "WAIVED", "The flow was cancelled"),
        ("cancelled", DUE + HOUR, "asn", "BREACHED", ""),
        ("completed", DUE + timedelta(seconds=1), "asn", "BREACHED", ""),
        ("completed", DUE, "asn", "PENDING", ""),  # the promise still runs
        ("completed", DUE, "arrived", "WAIVED", SKIPPED),
        ("completed", DUE + HOUR, "arrived", "BREACHED", ""),
    ],
)
def test_the_end_of_a_flow(status: str, closed: datetime, milestone: str, state: str, reason: str) -> None:
    shelf = book(rule_row(ASN_SPEC, milestone=milestone))
    draft = only(flow_state(SENT, status=status, closed_at=closed), shelf)
    assert (draft.state, draft.reason) == (state, reason)
    assert draft.settled_at == (None if state == "PENDING" else closed)


def test_what_came_after_the_end_is_still_judged() -> None:
    draft = only(flow_state(SENT, reached("asn", DUE + HOUR), status="completed", closed_at=DUE))
    assert draft.state == "MET_LATE"


# -- against stored rows --------------------------------------------------------


def test_the_second_look_changes_nothing() -> None:
    state = flow_state(SENT)
    first = compare(state, SHELF, {}, {}, T0)
    assert [write.state for write in first.writes] == ["PENDING"]
    assert compare(state, SHELF, stored(first), {}, T0 + 99 * HOUR) == Change([], [], [], [])


def test_a_judged_breach_stays_until_the_event_comes_or_the_deadline_moves_ahead() -> None:
    state = flow_state(SENT)
    rows = stored(compare(state, SHELF, {}, {}, T0), state="BREACHED", finding_id=5)
    now = DUE + HOUR
    assert compare(state, SHELF, rows, {}, now) == Change([], [], [], [])
    came = compare(flow_state(SENT, reached("asn", now)), SHELF, rows, {}, now)
    assert [write.state for write in came.writes] == ["MET_LATE"]
    in_time = compare(flow_state(SENT, reached("asn", DUE)), SHELF, rows, {}, now)
    assert [write.state for write in in_time.writes] == ["MET"]
    later = flow_state(reached("sent", T0 + 2 * HOUR))
    assert [(w.state, w.due_at) for w in compare(later, SHELF, rows, {}, now).writes] == [("PENDING", DUE + 2 * HOUR)]
    a_bit_later = flow_state(reached("sent", T0 + timedelta(minutes=5)))
    assert [w.state for w in compare(a_bit_later, SHELF, rows, {}, now).writes] == ["BREACHED"]


def test_a_breach_of_a_flow_that_ends_is_settled() -> None:
    rows = stored(compare(flow_state(SENT), SHELF, {}, {}, T0), state="BREACHED", finding_id=5)
    ended = flow_state(SENT, status="completed", closed_at=DUE + HOUR)
    (write,) = compare(ended, SHELF, rows, {1: STALE}, DUE + 2 * HOUR).writes
    assert (write.state, write.settled_at) == ("BREACHED", DUE + HOUR)
    again = {"asn": rows["asn"]._replace(settled_at=DUE + HOUR)}
    assert compare(ended, SHELF, again, {70: STALE}, DUE + 3 * HOUR).writes == []


@pytest.mark.parametrize(
    ("silence", "now", "state"),
    [
        (STALE, T0, "SUSPENDED"),
        (STALE, DUE + HOUR, "SUSPENDED"),
        (CATCHING_UP, T0, "PENDING"),
        (CATCHING_UP, DUE + HOUR, "SUSPENDED"),
        (None, DUE + HOUR, "PENDING"),  # the sweep judges
    ],
)
def test_what_cannot_be_heard_is_unknown(silence: str | None, now: datetime, state: str) -> None:
    (write,) = compare(flow_state(SENT), SHELF, {}, {70: silence} if silence else {}, now).writes
    assert write.state == state
    assert (write.suspended_at is not None) == (state == "SUSPENDED")


def test_what_came_is_judged_however_silent_the_source() -> None:
    (write,) = compare(flow_state(SENT, reached("asn", DUE)), SHELF, {}, {70: STALE}, DUE + HOUR).writes
    assert write.state == "MET"


def test_a_flow_that_ends_while_its_source_is_silent_stays_unknown() -> None:
    ended = flow_state(SENT, status="completed", closed_at=DUE + HOUR)
    (write,) = compare(ended, SHELF, {}, {70: STALE}, DUE + 2 * HOUR).writes
    assert (write.state, write.settled_at) == ("SUSPENDED", None)
    cancelled = flow_state(SENT, status="cancelled", closed_at=T0 + HOUR)
    (write,) = compare(cancelled, SHELF, {}, {70: STALE}, DUE + 2 * HOUR).writes
    assert write.state == "WAIVED"


def test_a_suspended_clock_is_left_to_the_sweep_unless_its_deadline_moved() -> None:
    state = flow_state(SENT)
    rows = stored(compare(state, SHELF, {}, {70: STALE}, T0))
    assert compare(state, SHELF, rows, {}, DUE + HOUR).writes == []
    assert [w.state for w in compare(state, SHELF, rows, {}, T0).writes] == ["PENDING"]


def test_a_waiver_by_hand_stands() -> None:
    rows = stored(compare(flow_state(SENT), SHELF, {}, {}, T0), state="WAIVED", waived_by_id=3)
    assert compare(flow_state(SENT, reached("asn", DUE)), SHELF, rows, {}, DUE) == Change([], [], [], [])
    assert compare(flow_state(), book(), rows, {}, DUE) == Change([], [], [], [])


def test_what_is_not_expected_any_more_leaves_unless_it_was_told() -> None:
    rows = stored(compare(flow_state(SENT), SHELF, {}, {}, T0))
    assert compare(flow_state(), SHELF, rows, {}, T0).gone == [1]
    assert compare(flow_state(SENT), book(), rows, {}, T0).gone == [1]
    assert compare(flow_state(status="merged"), SHELF, rows, {}, T0).gone == [1]
    told = {"asn": rows["asn"]._replace(state="BREACHED", finding_id=9)}
    assert compare(flow_state(SENT), book(), told, {}, T0) == Change([], [], [(1, "No rule applies any more")], [])
    trial = book(rule_row({"measure": False, "reason": "trial"}))
    assert compare(flow_state(SENT), trial, told, {}, T0).waived == [(1, "Not measured: trial")]


def test_history_is_judged_by_the_rule_of_its_time_and_the_present_by_todays() -> None:
    old = rule_row(ASN_SPEC, slug="asn", version=1)
    new_at = LONG_AGO + timedelta(days=1)
    strict = {"due": {"after": {"milestone": "sent", "duration": "PT1H"}}}
    new = rule_row(strict, slug="asn", version=2, created_at=new_at)
    before, after = book(old), book(old, new)
    met = flow_state(SENT, reached("asn", T0 + 2 * HOUR))
    rows = stored(compare(met, before, {}, {}, T0))
    assert rows["asn"].state == "MET"
    assert compare(met, after, rows, {}, T0) == Change([], [], [], [])
    # a correction of the facts is judged by the old rule too
    corrected = flow_state(SENT, reached("asn", T0 + 5 * HOUR))
    (write,) = compare(corrected, after, rows, {}, T0).writes
    assert (write.state, write.rule_id, write.as_of) == ("MET_LATE", old.id, LONG_AGO)
    # what is still awaited takes the new version
    waiting = flow_state(SENT)
    live = stored(compare(waiting, before, {}, {}, T0))
    (write,) = compare(waiting, after, live, {}, T0).writes
    assert (write.due_at, write.rule_id, write.as_of) == (T0 + HOUR, new.id, new_at)
    # and what was settled and is awaited again, too; then nothing more changes
    (write,) = compare(waiting, after, rows, {}, T0).writes
    assert (write.state, write.rule_id) == ("PENDING", new.id)
    assert compare(waiting, after, stored(Change([write], [], [], [])), {}, T0) == Change([], [], [], [])


def test_a_new_rule_does_not_judge_what_had_ended() -> None:
    cancelled = flow_state(SENT, status="cancelled", closed_at=T0 + HOUR)
    rows = stored(compare(cancelled, SHELF, {}, {}, T0), finding_id=4)
    retired = rule_row(ASN_SPEC, slug="asn", version=2, lifecycle="retired", created_at=LONG_AGO + timedelta(days=1))
    assert compare(cancelled, book(*SHELF.rules, retired), rows, {}, T0) == Change([], [], [], [])


TIMES = st.integers(0, 12).map(lambda n: T0 + n * HOUR)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["sent", "asn", "arrived", "received"]), TIMES), max_size=6),
    st.sampled_from([None, "completed", "cancelled"]),
    TIMES,
    st.permutations(range(6)),
)
def test_the_ledger_does_not_depend_on_the_way(
    facts: list[tuple[str, datetime]], end: str | None, closed: datetime, order: list[int]
) -> None:
    """Whatever states a flow went through, its rows end as if only the last state had ever been seen."""
    shelf = book(
        rule_row(ASN_SPEC, slug="asn"),
        rule_row(
            {"due": {"before": {"milestone": "received", "clock": "actual", "duration": "PT2H"}}}, milestone="arrived"
        ),
        rule_row(
            {"when": {"attributes": {"n": ["4", "5", "6"]}}, "measure": False, "reason": "big"}, milestone="received"
        ),
        rule_row({"due": {"after": {"milestone": "arrived", "duration": "PT3H"}}}, milestone="received", position=200),
    )

    def state_of(known: list[tuple[str, datetime]], ended: bool) -> FlowState:
        found = dict(sorted(known, reverse=True))
        return flow_state(
            *(reached(name, at) for name, at in found.items()),
            status=end if ended and end else "open",
            closed_at=closed if ended and end else None,
            attributes={"n": len(known)},
        )

    path = [n for n in order if n < len(facts)]
    steps = [state_of([facts[n] for n in path[: i + 1]], False) for i in range(len(path))]
    last = state_of(facts, True)
    rows: dict[str, Existing] = {}
    for state in [*steps, last, last]:
        change = compare(state, shelf, rows, {}, T0)
        gone = set(change.gone)
        rows = {name: row for name, row in rows.items() if row.id not in gone}
        base = max((row.id for row in rows.values()), default=0)
        for name, row in stored(change).items():
            rows[name] = row._replace(id=rows[name].id if name in rows else base + row.id)
    assert change == Change([], [], [], [])
    direct = stored(compare(last, shelf, {}, {}, T0))
    assert {n: r._replace(id=0) for n, r in rows.items()} == {n: r._replace(id=0) for n, r in direct.items()}


def test_a_rule_made_since_does_not_take_over_what_its_time_no_longer_expects() -> None:
    rows = stored(compare(flow_state(SENT, reached("asn", DUE)), SHELF, {}, {}, T0))
    by_opening = {"due": {"after": {"opened": True, "duration": "PT4H"}}}
    new = rule_row(by_opening, slug="asn", version=2, created_at=LONG_AGO + timedelta(days=1))
    anchor_gone = flow_state(reached("asn", DUE))
    change = compare(anchor_gone, book(*SHELF.rules, new), rows, {}, T0)
    assert (change.writes, change.gone) == ([], [1])


def test_at_risk_holds_while_the_warning_stands() -> None:
    rows = stored(compare(flow_state(SENT), SHELF, {}, {}, T0), at_risk=True)
    assert compare(flow_state(SENT), SHELF, rows, {}, T0).writes == []
    (moved,) = compare(flow_state(reached("sent", T0 + HOUR)), SHELF, rows, {}, T0).writes
    assert moved.at_risk is False
    (met,) = compare(flow_state(SENT, reached("asn", DUE)), SHELF, rows, {}, T0).writes
    assert met.at_risk is False
