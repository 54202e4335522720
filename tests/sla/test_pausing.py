"""Clocks that stand still: what moves a deadline and by how much, and a row for every excluded minute."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.calendars import WorkingCalendar
from apps.flows.canonical import key_of
from apps.flows.folding import FoldEvent, fold
from apps.flows.states import FlowState
from apps.integrations.maintenance_models import MaintenanceWindow
from apps.sla import sweep
from apps.sla.deadlines import Setting, compile_due, first_due
from apps.sla.expectations import refresh
from apps.sla.explaining import sentence, steps
from apps.sla.models import Expectation, Pause
from apps.sla.pausing import MAINTENANCE, Standstill, Stopped, stop
from apps.sla.pausing import told as spans_told
from tests.flows.builders import catalogue
from tests.sla.builders import FRANCE, HOUR, T0, World, flow_state, reached

PARIS = Setting(ZoneInfo("Europe/Paris"), WorkingCalendar.from_spec(FRANCE), "France")
MINUTE = timedelta(minutes=1)
HOLD = frozenset({"hold"})
AFTER = {"after": {"milestone": "sent", "duration": "PT4H"}}


def held(*spans: tuple[datetime, datetime | None], kind: str = "hold", label: str = "On hold") -> dict[str, Any]:
    return {
        "pauses": [[kind, label, begin.isoformat(), until.isoformat() if until else None] for begin, until in spans]
    }


def maintenance(*spans: tuple[datetime, datetime]) -> Standstill:
    def within(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        return [(max(a, start), min(b, end)) for a, b in spans if a < end and b > start]

    return Standstill(T0, "New translator", lambda integration, partner, rule: True, within)


def stopped(due: dict[str, Any], state: FlowState, *windows: Standstill, ended_at: datetime | None = None) -> Stopped:
    found = first_due(compile_due(due), state, PARIS)
    assert found is not None
    return stop(found, state, PARIS, HOLD, windows, ended_at)


def paris(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=ZoneInfo("Europe/Paris"))


def test_a_span_moves_by_what_stood_still() -> None:
    state = flow_state(reached("sent", T0), attributes=held((T0 + HOUR, T0 + 3 * HOUR), (T0 + 2 * HOUR, T0 + 4 * HOUR)))
    found = stopped(AFTER, state)
    assert found.at == T0 + 7 * HOUR, "two that overlap count once"
    assert [(one.begin, one.until) for one in found.pauses] == [
        (T0 + HOUR, T0 + 3 * HOUR),
        (T0 + 3 * HOUR, T0 + 4 * HOUR),
    ]
    # what begins after the deadline has passed comes too late
    assert stopped(AFTER, flow_state(reached("sent", T0), attributes=held((T0 + 5 * HOUR, None)))).open is None
    # another kind than the rule names
    other = flow_state(reached("sent", T0), attributes=held((T0, None), kind="backorder"))
    assert stopped(AFTER, other) == Stopped(T0 + 4 * HOUR, (), None)


def test_working_hours_and_days() -> None:
    # Monday 10:00 to Tuesday 10:00 are 8 working hours of days from 8 to 16
    state = flow_state(reached("sent", paris(2, 9)), attributes=held((paris(2, 10), paris(3, 10))))
    hours = {"after": {"milestone": "sent", "duration": "PT4H", "kind": "working_hours"}}
    assert stopped(hours, state).at == paris(3, 13)
    days = {"after": {"milestone": "sent", "duration": "P2D", "kind": "working_days", "time": "closing"}}
    assert stopped(days, state).at == paris(5, 16)
    # over a weekend one working day
    weekend = flow_state(reached("sent", paris(5, 9)), attributes=held((paris(6, 10), paris(9, 9))))
    assert stopped(days, weekend).at == paris(10, 16)
    calendar_days = {"after": {"milestone": "sent", "duration": "P2D", "kind": "calendar_days"}}
    assert stopped(calendar_days, weekend).at == paris(10, 23, 59) + timedelta(seconds=59)


def test_a_pause_that_lasts_leaves_it_open_and_what_happens_meanwhile_is_in_time() -> None:
    state = flow_state(reached("sent", T0), attributes=held((T0 + HOUR, None)))
    found = stopped(AFTER, state)
    assert found.open is not None
    assert found.pauses[-1].until is None
    came = stopped(AFTER, state, ended_at=T0 + 90 * HOUR)
    assert came.open is None
    assert came.at >= T0 + 90 * HOUR
    days = {"after": {"milestone": "sent", "duration": "P1D", "kind": "working_days", "time": "closing"}}
    friday = flow_state(reached("sent", paris(5, 9)), attributes=held((paris(6, 10), None)))
    assert stopped(days, friday, ended_at=paris(7, 12)).at == paris(7, 12), (
        "a Saturday is no working day, yet it stood still"
    )


def test_maintenance_moves_a_span_by_its_length_and_a_date_only_when_it_covers_it() -> None:
    state = flow_state(reached("sent", T0), dates={"promised": T0 + 4 * HOUR})
    early, covering = maintenance((T0 + HOUR, T0 + 2 * HOUR)), maintenance((T0 + 3 * HOUR, T0 + 6 * HOUR))
    assert stopped(AFTER, state, early).at == T0 + 5 * HOUR
    assert stopped({"date": "promised"}, state, early) == Stopped(T0 + 4 * HOUR, (), None)
    assert stopped({"date": "promised"}, state, covering).at == T0 + 6 * HOUR
    assert stopped({"date": "promised"}, state, covering).pauses[0].kind == MAINTENANCE


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-300, 900), st.integers(1, 400)), max_size=6),
    st.integers(1, 600),
)
def test_a_clock_that_is_stopped_by_hand(spans: list[tuple[int, int]], minutes: int) -> None:
    """Minute by minute: the clock runs in every minute that no pause covers, until so many have run."""
    pauses = [(T0 + MINUTE * a, T0 + MINUTE * (a + n)) for a, n in spans]
    left, moment = minutes, T0
    while left:
        left -= not any(a <= moment < b for a, b in pauses)
        moment += MINUTE
    # the very second of the deadline belongs to it: a pause that begins then is counted too
    while (beyond := max((b for a, b in pauses if a <= moment < b), default=None)) is not None:
        moment = beyond
    due = {"after": {"milestone": "sent", "duration": f"PT{minutes}M"}}
    found = stopped(due, flow_state(reached("sent", T0), attributes=held(*pauses)))
    assert found.at == moment
    ends = [T0, *(one.until for one in found.pauses if one.until)]
    assert ends == sorted(ends)


# -- in the database ----------------------------------------------------------

SPEC = {"due": AFTER, "pause": ["hold"]}


def take(state: FlowState, now: datetime) -> Expectation:
    with transaction.atomic():
        refresh([state], now)
    return Expectation.objects.get(flow_id=state.flow_id)


@pytest.fixture
def world(db: None) -> World:
    found = World(stale_after=timedelta(hours=2))
    found.rule(SPEC)
    found.heard(T0)
    return found


def test_a_hold_suspends_and_its_end_moves_the_deadline(world: World) -> None:
    sent = reached("sent", T0)
    row = take(world.flow("PO-1", sent, attributes=held((T0 + HOUR, None))), T0 + HOUR)
    assert (row.state, row.paused, row.suspended_at) == ("SUSPENDED", "On hold", T0 + HOUR)
    assert "paused since Mon 2 Mar 11:00 (On hold)" in sentence(row.origin, row.due_at)
    world.heard(T0 + 9 * HOUR)
    summary = sweep.run(T0 + 9 * HOUR)
    assert summary.breached == summary.resumed == summary.unknown == 0
    row = take(world.flow("PO-1", sent, attributes=held((T0 + HOUR, T0 + 9 * HOUR))), T0 + 9 * HOUR)
    assert (row.state, row.paused, row.due_at) == ("PENDING", "", T0 + 12 * HOUR)
    assert "moved from Mon 2 Mar 14:00 by a pause (On hold)" in sentence(row.origin, row.due_at)
    assert ("The clock stood still: On hold", "Mon 2 Mar 11:00 to Mon 2 Mar 19:00") in steps(row.origin, row.due_at)
    assert list(Pause.objects.values_list("kind", "begin", "until", "reason")) == [
        ("hold", T0 + HOUR, T0 + 9 * HOUR, "On hold")
    ]
    world.heard(T0 + 13 * HOUR)
    assert sweep.run(T0 + 13 * HOUR).breached == 1
    # the hold turns out to have been a mistake of the source
    row = take(world.flow("PO-1", sent), T0 + 13 * HOUR)
    assert row.due_at == T0 + 4 * HOUR
    assert not Pause.objects.exists()


def test_maintenance_is_a_pause_with_its_reason(world: World) -> None:
    window = MaintenanceWindow.objects.create(
        starts_at=T0 + HOUR, ends_at=T0 + 3 * HOUR, reason="New translator", created_at=T0
    )
    window.integrations.add(world.feed)
    row = take(world.flow("PO-1", reached("sent", T0)), T0)
    assert row.due_at == T0 + 6 * HOUR
    assert list(Pause.objects.values_list("kind", "begin", "until", "reason")) == [
        ("maintenance", T0 + HOUR, T0 + 3 * HOUR, "Maintenance: New translator")
    ]


def test_every_minute_that_could_not_be_heard_has_its_row(world: World) -> None:
    take(world.flow("PO-1", reached("sent", T0)), T0)
    assert sweep.run(T0 + 3 * HOUR).suspended == 1
    pause = Pause.objects.get()
    assert (pause.kind, pause.begin, pause.until) == ("unheard", T0 + 3 * HOUR, None)
    assert pause.reason == "Nothing heard for more than 2 h"
    world.heard(T0 + 5 * HOUR)
    sweep.run(T0 + 5 * HOUR + MINUTE)
    came = reached("asn", T0 + 4 * HOUR, received_at=T0 + 5 * HOUR + 2 * MINUTE)
    row = take(world.flow("PO-1", reached("sent", T0), came), T0 + 5 * HOUR + 2 * MINUTE)
    assert row.state == "MET"
    pause.refresh_from_db()
    assert pause.until is not None
    assert T0 + 5 * HOUR <= pause.until <= T0 + 5 * HOUR + 2 * MINUTE
    assert Pause.objects.count() == 1


# -- what events say ----------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["order.held", "order.resumed", "order.changed", "order.confirmed"]), st.integers(0, 20)
        ),
        max_size=8,
        unique_by=lambda told: told[1],
    ),
    st.randoms(),
)
def test_pauses_are_told_by_events_in_any_order(told: list[tuple[str, int]], shuffled: Random) -> None:
    events = [fold_event("order.placed", -1, {}), *(fold_event(kind, hour, {}) for kind, hour in told)]
    shuffled.shuffle(events)
    state = fold(KNOWN, "order-to-ship", frozenset([REF]), events, lambda party: "")
    assert state is not None
    running, expected = None, []
    for kind, hour in sorted(told, key=lambda one: one[1]):
        at = T0 + HOUR * hour
        if kind == "order.held" and running is None:
            running = at
        elif kind == "order.resumed" and running is not None:
            expected.append(("hold", running, at))
            running = None
    expected += [("hold", running, None)] if running else []
    # a change that nobody says the customer asked for pauses nothing
    assert [
        (one.kind, one.begin, one.until) for one in spans_told(state, frozenset({"hold", "customer_change"}))
    ] == expected


def test_a_change_by_the_customer_pauses_until_it_is_confirmed() -> None:
    events = [
        fold_event("order.placed", 0, {}),
        fold_event("order.changed", 1, {"changed_by": "customer"}),
        fold_event("order.confirmed", 5, {}),
    ]
    state = fold(KNOWN, "order-to-ship", frozenset([REF]), events, lambda party: "")
    assert state is not None
    found = spans_told(state, frozenset({"customer_change"}))
    assert found == [("customer_change", "Changed by the customer", T0 + HOUR, T0 + 5 * HOUR)]


REF = ("sales_order", "", "S1")
KNOWN = catalogue()


def fold_event(kind: str, hour: int, data: dict[str, Any]) -> FoldEvent:
    key = key_of(kind, str(hour))
    at = T0 + HOUR * hour
    return FoldEvent(hour, kind, at, None, at, None, (REF,), {}, {}, data, 1, "", key, key, False, False)
