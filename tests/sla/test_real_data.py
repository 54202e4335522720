"""Real logs through the collector, the fold and the rules: what is late equals the ground truth, item by item.

The whole of each set goes the pure way (parse, fold, derive: no database); a slice of each also the real one, through
`import_log` and the pipeline into the ledger.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.models import DeadLetter
from apps.flows.canonical import CanonicalEvent, key_of
from apps.flows.definitions import compile_definition
from apps.flows.folding import FoldEvent, fold
from apps.flows.states import FlowState, MilestoneState
from apps.incidents.models import Finding
from apps.integrations.models import Integration, Partner
from apps.integrations.models import Mapping as MappingRow
from apps.sla.derivation import BREACHED, MET, MET_LATE, PENDING, WAIVED, Draft, derive
from apps.sla.models import Expectation, SlaRule
from apps.sla.rules import Book, PartnerRow, RuleRow, book_of
from tests.flows.builders import catalogue, load_definitions

DATA = settings.BASE_DIR.parent / "shared" / "data"
LONG_AGO = datetime(1990, 1, 1, tzinfo=UTC)
READ_AT = datetime(2026, 1, 1, tzinfo=UTC)
SLICE = 150
Row = dict[str, str]
Rule = tuple[str, str, dict[str, Any]]


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (DATA / name).exists(), reason=f"needs shared/data/{name}")


def truth(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / name / "ground_truth.json").read_text())
    return found


def rows_of(path: str) -> list[Row]:
    with gzip.open(DATA / path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def text_of(rows: Iterable[Row]) -> str:
    rows = list(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


# -- the sets: rows, how they are read, and what is agreed ---------------------


@cache
def scms() -> tuple[list[Row], dict[str, Any], list[Rule]]:
    """Deliveries with a scheduled day: late when delivered on a later one."""
    day = "%d-%b-%y"
    mapping = {
        "zone": "UTC",
        "defaults": {"references": [{"kind": "purchase_order", "path": "ID", "required": True}]},
        "events": [
            {
                "type": "purchase_order.created",
                "happened_at": {"path": "Scheduled Delivery Date", "format": day},
                "dates": {"expected_receipt": {"path": "Scheduled Delivery Date", "format": day, "date_only": True}},
            },
            {"type": "goods.received", "happened_at": {"path": "Delivered to Client Date", "format": day}},
        ],
    }
    rule = {"due": {"date": "expected_receipt", "end_of_day": True}, "zone": "UTC"}
    return rows_of("scms/scms_delivery_history.csv.gz"), mapping, [("purchase", "received", rule)]


@cache
def olist() -> tuple[list[Row], dict[str, Any], list[Rule]]:
    """The second promise: handed over to the carrier by the limit of the order's last item, to the second."""
    limits: dict[str, str] = {}
    for item in rows_of("olist/order_items.csv.gz"):
        limits[item["order_id"]] = max(limits.get(item["order_id"], ""), item["shipping_limit_date"])
    rows = [{**row, "limit": limits.get(row["order_id"], "")} for row in rows_of("olist/orders.csv.gz")]
    mapping = {
        "zone": "America/Sao_Paulo",
        "defaults": {
            "id": {"path": "order_id"},
            "references": [{"kind": "sales_order", "path": "order_id", "required": True}],
        },
        "events": [
            {"columns": {"order_purchase_timestamp": "order.placed"}, "dates": {"ship_by": {"path": "limit"}}},
            {"columns": {"order_delivered_carrier_date": "transport.picked_up"}},
        ],
    }
    return rows, mapping, [("order-to-ship", "first_scan", {"due": {"date": "ship_by"}})]


@cache
def dataco() -> tuple[list[Row], dict[str, Any], list[Rule]]:
    """So many days after the order, by shipping mode; what was cancelled was never shipped."""
    names = {"order date (DateOrders)": "ordered", "shipping date (DateOrders)": "shipped", "Order Item Id": "id"}
    names |= {"Days for shipment (scheduled)": "days", "Delivery Status": "status"}
    rows = [{names[k]: v for k, v in row.items() if k in names} for row in rows_of("dataco/dataco_orders.csv.gz")]
    for row in rows:
        row["cancelled"] = row["shipped"] if row["status"] == "Shipping canceled" else ""
        row["shipped"] = "" if row["cancelled"] else row["shipped"]
    clock = "%m/%d/%Y %H:%M"
    mapping = {
        "zone": "UTC",
        "defaults": {"id": {"path": "id"}, "references": [{"kind": "sales_order", "path": "id", "required": True}]},
        "events": [
            {
                "columns": {"ordered": "order.placed"},
                "happened_at": {"format": clock},
                "data": {"service": "days"},
            },
            {
                "columns": {"shipped": "shipment.dispatched", "cancelled": "order.cancelled"},
                "happened_at": {"format": clock},
            },
        ],
    }
    rules: list[Rule] = [
        (
            "order-to-ship",
            "shipped",
            {
                "when": {"service": [days]},
                "due": {"after": {"milestone": "placed", "duration": f"P{days}D", "kind": "calendar_days"}},
                "zone": "UTC",
            },
        )
        for days in ("0", "1", "2", "4")
    ]
    return rows, mapping, rules


SETS = {"scms": scms, "olist": olist, "dataco": dataco}


# -- the pure way -------------------------------------------------------------


def book(rules: list[Rule], definitions: Any) -> Book:
    rows = [
        RuleRow(n, f"rule-{n}", 1, f"Rule {n}", flow, milestone, n, spec, "active", LONG_AGO)
        for n, (flow, milestone, spec) in enumerate(rules, 1)
    ]
    partner = PartnerRow(1, "source", "Source", "UTC", "")
    shelf = book_of(rows, partners=[partner], definitions=definitions)
    assert shelf.problems == []
    return shelf


def parse(rows: list[Row], mapping: Mapping[str, Any]) -> Iterator[CanonicalEvent]:
    for start in range(0, len(rows), 2_000):
        body = text_of(rows[start : start + 2_000]).encode()
        result = COLLECTORS.get("eventlog").parse(
            RawDelivery(body, "text/csv", {}, READ_AT), SourceContext("source", "source", "UTC", {}, dict(mapping))
        )
        assert result.issues == ()
        yield from result.events


def folded(event: CanonicalEvent, number: int) -> FoldEvent:
    key = key_of(event.source_event_id or event.position, event.type)
    return FoldEvent(
        id=number,
        type=event.type,
        happened_at=event.happened_at,
        sent_at=None,
        received_at=READ_AT,
        booked_at=None,
        references=tuple((ref.kind, ref.issuer, ref.value) for ref in event.references),
        dates=event.dates,
        parties=event.parties,
        data=event.data,
        integration_id=1,
        partner="source",
        source_key=key,
        content_key=key,
        suspect=False,
        backfill=True,
    )


@cache
def judged(name: str) -> dict[str, Draft]:
    """Item -> what is expected of it."""
    rows, mapping, rules = SETS[name]()
    events: dict[str, list[FoldEvent]] = defaultdict(list)
    kinds = {}
    for number, event in enumerate(parse(rows, mapping)):
        ref = event.references[0]
        kinds[ref.value] = (ref.kind, ref.issuer, ref.value)
        events[ref.value].append(folded(event, number))
    known = catalogue()
    shelf = book(rules, [one for versions in known.versions.values() for one in versions])
    found = {}
    for item, told in events.items():
        state = fold(known, rules[0][0], frozenset([kinds[item]]), told, lambda party: "")
        assert state is not None
        for draft in derive(state, shelf):
            found[item] = draft
    return found


def items(found: Mapping[str, Draft], *states: str) -> set[str]:
    return {item for item, draft in found.items() if draft.state in states}


@needs("scms")
def test_scms() -> None:
    rows, found = scms()[0], judged("scms")

    def day(text: str) -> datetime:
        return datetime.strptime(text, "%d-%b-%y")

    late = {row["ID"] for row in rows if day(row["Delivered to Client Date"]) > day(row["Scheduled Delivery Date"])}
    assert len(found) == truth("scms")["rows"]
    assert items(found, MET_LATE) == late
    assert len(late) == truth("scms")["late"] == 602
    assert len(items(found, MET)) == len(rows) - len(late)


@needs("olist")
def test_olist_handed_over_by_the_limit() -> None:
    rows, found = olist()[0], judged("olist")
    late = {
        row["order_id"]
        for row in rows
        if row["limit"] and row["order_delivered_carrier_date"] and row["order_delivered_carrier_date"] > row["limit"]
    }
    known = truth("olist")["orders"]
    assert len(rows) == known["orders"]
    assert len(found) == known["orders_with_items"]
    assert items(found, MET_LATE) == late
    assert len(late) == known["handed_over_after_shipping_limit"] == 402
    waiting = {row["order_id"] for row in rows if row["limit"] and not row["order_delivered_carrier_date"]}
    assert items(found, PENDING, BREACHED) == waiting


@needs("dataco")
def test_dataco() -> None:
    rows, found = dataco()[0], judged("dataco")
    known = truth("dataco")
    assert len(found) == known["rows"]
    late = {row["id"] for row in rows if row["status"] == "Late delivery"}
    assert items(found, MET_LATE) == late
    assert len(late) == known["late_risk"]
    cancelled = {row["id"] for row in rows if row["cancelled"]}
    assert items(found, WAIVED, BREACHED) == cancelled
    assert len(cancelled) == known["delivery_status"]["Shipping canceled"]
    # of what was cancelled, so many would have been late: with them it is every row later than scheduled
    assert len(late) + len(items(found, BREACHED)) == known["real_gt_sched"]


FLIGHT = {
    "identified_by": ["load"],
    "completed_by": ["arrived"],
    "milestones": [
        {"name": "departed", "label": "Departed", "reached_by": ["transport.departed"]},
        {"name": "arrived", "label": "Arrived", "reached_by": ["transport.arrived"], "planned_from": "eta"},
    ],
}


def flights() -> Iterator[tuple[int, Any, FlowState]]:
    """(row, its columns, the flight as a flow). Local times; the plan's day is the first after the planned departure."""
    parquet = pytest.importorskip("pyarrow.parquet")
    names = [
        "year",
        "month",
        "day",
        "dep_time",
        "sched_dep_time",
        "dep_delay",
        "arr_time",
        "sched_arr_time",
        "arr_delay",
    ]
    table = parquet.read_table(DATA / "nycflights13" / "flights.parquet", columns=names)
    columns = [table[name].to_pylist() for name in names]
    key = key_of("flight")
    minute, whole_day = timedelta(minutes=1), timedelta(days=1)
    for number, row in enumerate(zip(*columns, strict=True)):
        year, month, day, dep_time, sched_dep, dep_delay, arr_time, sched_arr, arr_delay = row
        midnight = datetime(year, month, day, tzinfo=UTC)
        opens = midnight + minute * (sched_dep // 100 * 60 + sched_dep % 100)
        planned = midnight + minute * (sched_arr // 100 * 60 + sched_arr % 100)
        planned += whole_day if planned < opens else timedelta(0)
        actual = None
        if arr_delay is not None:
            actual = planned + minute * int(arr_delay)
            assert (actual.hour * 60 + actual.minute) == (int(arr_time) // 100 % 24 * 60 + int(arr_time) % 100)
        elif arr_time is not None:
            actual = planned  # came down elsewhere: nobody says how late
        milestones = {"arrived": MilestoneState("arrived", 1, planned, None, actual, None, actual)}
        if dep_time is not None:
            departed = opens + minute * int(dep_delay)
            milestones["departed"] = MilestoneState("departed", 0, None, None, departed, None, departed)
        yield (
            number,
            row,
            FlowState(
                definition_id=1,
                definition_slug="flight",
                key=key,
                label=str(number),
                partner="source",
                status="open" if actual is None else "completed",
                stage="",
                awaiting="",
                opened_at=opens,
                closed_at=actual,
                last_happened_at=opens,
                last_received_at=opens,
                milestones=milestones,
                attributes={"diverted": arr_time is not None and arr_delay is None},
                flow_id=number,
            ),
        )


@needs("nycflights13")
def test_flights() -> None:
    """15 minutes of grace after the planned arrival; what came down elsewhere is not measured, what never left not awaited."""
    definition = compile_definition(id=1, slug="flight", version=1, name="Flight", since=LONG_AGO, spec=FLIGHT)
    due = {"before": {"milestone": "arrived", "duration": "PT0S"}}
    shelf = book(
        [
            (
                "flight",
                "arrived",
                {"when": {"attributes": {"diverted": ["True"]}}, "measure": False, "reason": "Diverted"},
            ),
            ("flight", "arrived", {"due": due, "grace": "PT15M"}),
        ],
        [definition],
    )
    rows, late, late_truth, never, never_truth = 0, set(), set(), set(), set()
    for number, row, state in flights():
        rows += 1
        dep_time, arr_time, arr_delay = row[3], row[6], row[8]
        for draft in derive(state, shelf):
            if draft.state == MET_LATE:
                late.add(number)
            elif draft.state == PENDING and "departed" in state.milestones:
                never.add(number)
        if arr_delay is not None and arr_delay > 15:
            late_truth.add(number)
        if dep_time is not None and arr_time is None:
            never_truth.add(number)
    known = truth("nycflights13")
    assert rows == known["rows"]
    assert late == late_truth
    assert len(late) == known["arr_late_gt15"] == 40_011
    assert never == never_truth
    assert len(never) == known["departed_no_arrival"] == 218


# -- the real way -------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in ("scms", "olist", "dataco")])
def test_the_ledger_says_the_same_of_a_slice(name: str, tmp_path: Path) -> None:
    rows, mapping, rules = SETS[name]()
    rows = rows[:: len(rows) // SLICE][:SLICE]
    ids = {next(row[column] for column in ("ID", "order_id", "id") if column in row) for row in rows}
    expected = {item: draft for item, draft in judged(name).items() if item in ids}
    load_definitions()
    for number, (flow, milestone, spec) in enumerate(rules, 1):
        SlaRule.objects.create(
            slug=f"rule-{number}",
            name=f"Rule {number}",
            flow_slug=flow,
            milestone=milestone,
            position=number,
            spec=spec,
        )
    partner = Partner.objects.create(slug="source", name="Source", kind="marketplace")
    made = MappingRow.objects.create(slug="source", spec=mapping)
    Integration.objects.create(slug="source", name="Source", kind="eventlog", partner=partner, mapping=made)
    file = tmp_path / "log.csv"
    file.write_text(text_of(rows), encoding="utf-8")
    call_command("import_log", str(file), integration="source", stdout=io.StringIO())
    assert DeadLetter.objects.count() == 0
    ledger = {
        label: (state, due_at)
        for label, state, due_at in Expectation.objects.values_list("flow__label", "state", "due_at")
    }
    assert ledger == {item: (draft.state, draft.due_at) for item, draft in expected.items()}
    assert any(state == MET_LATE for state, _ in ledger.values())
    assert not Finding.objects.exists()
