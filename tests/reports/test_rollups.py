"""The rollups equal a recount after whatever was done to the ledger, folded or not, in any zone."""

from __future__ import annotations

import math
import threading
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.flows.models import Flow
from apps.reports import rollups
from apps.reports.models import DayCell, Delta
from apps.sla.models import Expectation
from tests.dashboard.network import DAY, HOUR, NOW, definitions, flow, partner, promise, rule

pytestmark = pytest.mark.django_db
STATES = ["PENDING", "MET", "MET_LATE", "BREACHED", "WAIVED", "SUSPENDED"]
LANES: list[dict[str, Any]] = [{}, {"lane": "DE>FR", "service": "express"}, {"lane_from": "DE", "lane_to": "PL"}]
FIRST, AFTER = date(2026, 2, 1), date(2026, 6, 1)
WHOLE = {"first": FIRST, "after": AFTER}


def lane_of(attributes: dict[str, Any]) -> str:
    ends = "lane_from" in attributes or "lane_to" in attributes
    both = f"{attributes.get('lane_from', '')}>{attributes.get('lane_to', '')}"
    return str(attributes.get("lane", both if ends else ""))


def recount(zone: str = "UTC") -> dict[tuple[Any, ...], tuple[int, int, Decimal]]:
    """Month, and everything a month's cell is told apart by -> (n, late seconds, value); in plain Python."""
    found: dict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0, 0, Decimal(0)])
    for one in Expectation.objects.select_related("flow"):
        state = "AT_RISK" if one.state == "PENDING" and one.at_risk else one.state
        costs = state in ("AT_RISK", "MET_LATE", "BREACHED") and one.flow.value is not None
        waived = state == "WAIVED"
        key = (
            one.due_at.astimezone(ZoneInfo(zone)).date().replace(day=1),
            *(one.partner_id, one.rule_id, lane_of(one.flow.attributes), one.flow.attributes.get("service", ""), state),
            *(one.waived_reason if waived else "", False, one.flow.currency if costs else ""),
        )
        late = one.met_at - one.due_at if state == "MET_LATE" and one.met_at else timedelta(0)
        cell = found[key]
        cell[0] += 1
        cell[1] += int(max(late, timedelta(0)).total_seconds())
        cell[2] += one.flow.value if costs and one.flow.value is not None else 0
    return {key: (cell[0], cell[1], cell[2]) for key, cell in found.items()}


def kept() -> dict[tuple[Any, ...], tuple[int, int, Decimal]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT month, partner_id, rule_id, lane, service, state, reason, by_hand, currency, sum(n), "
            f"sum(late_seconds), sum(value) FROM {rollups.CELLS_OF_MONTHS} AS cells GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9 "
            "HAVING sum(n) <> 0 OR sum(late_seconds) <> 0 OR sum(value) <> 0",
            WHOLE,
        )
        return {row[:9]: (int(row[9]), int(row[10]), row[11]) for row in cursor.fetchall()}


def late_kept() -> Counter[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT late_bucket, sum(n) FROM {rollups.LATE_OF_MONTHS} AS cells GROUP BY 1 HAVING sum(n) <> 0", WHOLE
        )
        return Counter({bucket: int(n) for bucket, n in cursor.fetchall()})


def change(picked: Expectation, what: str, state: str, lane: int, hours: int) -> None:
    due = NOW + timedelta(hours=hours)
    if what == "state":
        picked.state = state
        picked.met_at = due + timedelta(seconds=37 * abs(hours)) if state == "MET_LATE" else None
        picked.due_at = due
        picked.waived_reason = "Strike" if state == "WAIVED" else ""
        picked.at_risk = state == "PENDING" and hours % 2 == 0
        picked.save()
    elif what == "flow":
        Flow.objects.filter(pk=picked.flow_id).update(
            attributes=LANES[lane], value=Decimal(hours * hours), currency="EUR" if hours % 2 else "PLN"
        )
    elif what == "together":
        Expectation.objects.filter(flow__currency="EUR").update(state=state, met_at=due, due_at=due - HOUR)
    elif what == "gone":
        picked.delete()


STEP = st.tuples(
    st.sampled_from(["state", "flow", "together", "gone", "fold"]),
    *(st.integers(0, 5), st.sampled_from(STATES), st.integers(0, 2), st.integers(-900, 900)),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=12))
def test_rollups_equal_a_recount_after_anything(steps: list[tuple[str, int, str, int, int]]) -> None:
    with transaction.atomic():
        for number in range(6):
            who = partner(f"P{number % 2}") if number % 3 else None
            order = flow(f"SO-{number}", who, attributes=LANES[number % 3])
            promise(order, STATES[number], NOW + number * DAY, met_at=NOW + number * DAY + HOUR)
        for what, index, state, lane, hours in steps:
            rows = list(Expectation.objects.order_by("pk"))
            if what == "fold":
                rollups.fold()
            elif rows:
                change(rows[index % len(rows)], what, state, lane, hours)
        assert kept() == recount()
        assert rollups.differences(FIRST, AFTER) == 0
        rollups.fold()
        assert Delta.objects.count() == 0
        assert kept() == recount()
        late = [one.met_at - one.due_at for one in Expectation.objects.filter(state="MET_LATE") if one.met_at]
        whole = [max(round(one.total_seconds()), 1) for one in late if one > timedelta(0)]
        assert late_kept() == Counter(math.floor(math.log(seconds) / math.log(1.05)) for seconds in whole)
        transaction.set_rollback(True)


def test_days_are_counted_in_the_zone_of_reports() -> None:
    promise(flow("SO-1"), "MET", datetime(2026, 3, 31, 23, 30, tzinfo=UTC), met_at=NOW)
    rollups.fold()
    assert DayCell.objects.get().day == date(2026, 3, 31)
    rollups.rebuild("Europe/Berlin")
    assert DayCell.objects.get().day == date(2026, 4, 1)
    assert kept() == recount("Europe/Berlin")
    promise(flow("SO-2"), "BREACHED", datetime(2026, 3, 31, 22, 0, tzinfo=UTC))
    assert kept() == recount("Europe/Berlin")
    assert rollups.keep_zone() is True
    assert rollups.zone() == "UTC"
    assert rollups.keep_zone() is False


def test_what_went_wrong_is_found_and_mended() -> None:
    promise(flow("SO-1"), "MET", NOW, met_at=NOW)
    rollups.fold()
    DayCell.objects.update(n=5)
    assert rollups.differences(FIRST, AFTER) == 2
    with pytest.raises(CommandError, match="2 cells differ"):
        call_command("report_rollups", since="2026-02-01", until="2026-06-01")
    call_command("report_rollups", rebuild=True)
    assert rollups.differences(FIRST, AFTER) == 0


@pytest.mark.django_db(transaction=True)
def test_a_flow_that_moves_while_the_sweep_judges_is_counted_once() -> None:
    """Two transactions at once: one moves the lane of a flow, the other makes its promise late."""
    definitions()
    rule()
    order = flow("SO-1", partner(), attributes={"lane": "DE>FR"})
    row = promise(order, "PENDING", NOW)
    done = threading.Event()

    def judge() -> None:
        try:
            with transaction.atomic():
                Expectation.objects.filter(pk=row.pk).update(state="BREACHED")
        finally:
            connection.close()
            done.set()

    with transaction.atomic():
        Flow.objects.filter(pk=order.pk).update(attributes={"lane": "DE>PL"})
        other = threading.Thread(target=judge)
        other.start()
        assert not done.wait(0.3), "the judge waits for the flow's promises"
    other.join(10)
    assert kept() == recount()
    assert [key[3] for key in kept()] == ["DE>PL"]
