"""Real orders, imported as order-to-ship: what is late and what is missing equals the ground truth, order by order."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.models import DeadLetter, Receipt
from apps.core import clock
from apps.flows.canonical import CanonicalEvent
from apps.flows.models import Event, Flow, Milestone
from apps.incidents.models import Finding, Incident
from apps.integrations.models import Integration, Mapping, Partner
from apps.sla.models import Expectation, SlaRule
from tests.collectors.samples import FOLDER
from tests.flows.builders import load_definitions

OLIST = settings.BASE_DIR.parent / "shared" / "data" / "olist"
SETS = ["orders_head_minute", "orders"]
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
MAPPING: dict[str, Any] = yaml.safe_load((FOLDER / "eventlog" / "olist_like.yaml").read_text())
pytestmark = pytest.mark.skipif(not OLIST.exists(), reason="needs shared/data/olist")


@dataclass
class Verdicts:
    """Order ids by what is wrong with them."""

    orders: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    missing_approved: set[str] = field(default_factory=set)
    missing_carrier: set[str] = field(default_factory=set)
    missing_delivered: set[str] = field(default_factory=set)

    def counts(self) -> dict[str, int]:
        return {
            "orders": len(self.orders),
            "missing_approved": len(self.missing_approved),
            "missing_carrier": len(self.missing_carrier),
            "missing_delivered": len(self.missing_delivered),
            "delivered_after_estimate_day": len(self.late),
        }


def file_of(name: str) -> Path:
    return OLIST / f"{name}.csv.gz"


def rows_of(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(file_of(name), "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def told_by_the_file(name: str) -> Verdicts:
    """Straight from the columns, without any of our code."""
    found = Verdicts()
    for row in rows_of(name):
        order, delivered = row["order_id"], row["order_delivered_customer_date"]
        found.orders.add(order)
        if delivered and delivered[:10] > row["order_estimated_delivery_date"][:10]:
            found.late.add(order)
        for column, missing in [
            ("order_approved_at", found.missing_approved),
            ("order_delivered_carrier_date", found.missing_carrier),
            ("order_delivered_customer_date", found.missing_delivered),
        ]:
            if not row[column]:
                missing.add(order)
    return found


def truth(name: str) -> dict[str, int]:
    known = json.loads((OLIST / "ground_truth.json").read_text())[name]
    return {key: known[key] for key in Verdicts().counts()}


def told_by_events(events: list[CanonicalEvent]) -> Verdicts:
    orders: dict[str, dict[str, CanonicalEvent]] = defaultdict(dict)
    for event in events:
        orders[event.references[0].value][event.type] = event

    def day(moment: datetime) -> date:
        return moment.astimezone(SAO_PAULO).date()

    found = Verdicts(orders=set(orders))
    for order, told in orders.items():
        promise = day(told["order.placed"].dates["promised_delivery"])
        if "delivery.completed" in told and day(told["delivery.completed"].happened_at) > promise:
            found.late.add(order)
        found.missing_approved |= {order} - ({order} if "order.released" in told else set())
        found.missing_carrier |= {order} - ({order} if "transport.picked_up" in told else set())
        found.missing_delivered |= {order} - ({order} if "delivery.completed" in told else set())
    return found


@pytest.mark.parametrize("name", SETS)
def test_events_say_what_the_file_says(name: str) -> None:
    delivery = RawDelivery(
        gzip.decompress(file_of(name).read_bytes()), "text/csv", {}, datetime(2026, 1, 1, tzinfo=UTC)
    )
    lines = delivery.body.splitlines(keepends=True)
    events: list[CanonicalEvent] = []
    for start in range(1, len(lines), 2_000):
        part = RawDelivery(b"".join([lines[0], *lines[start : start + 2_000]]), "text/csv", {}, delivery.received_at)
        result = COLLECTORS.get("eventlog").parse(part, SourceContext("olist", "olist", "UTC", {}, MAPPING))
        assert result.issues == ()
        events += result.events
    told = told_by_events(events)
    assert told.counts() == truth(name)
    assert told == told_by_the_file(name)


def olist(db: None) -> Integration:
    load_definitions()
    SlaRule.objects.create(
        slug="delivered-as-promised",
        name="Delivered as promised",
        flow_slug="order-to-ship",
        milestone="delivered",
        spec={"due": {"date": "promised_delivery", "end_of_day": True}, "zone": "America/Sao_Paulo"},
    )
    partner = Partner.objects.create(slug="olist", name="Olist", kind="marketplace", time_zone="America/Sao_Paulo")
    mapping = Mapping.objects.create(slug="olist-orders", spec=MAPPING)
    return Integration.objects.create(
        slug="olist", name="Olist", kind="eventlog", partner=partner, mapping=mapping, time_zone="America/Sao_Paulo"
    )


def told_by_the_ledger() -> Verdicts:
    """From flows, milestones and expectations as the tower keeps them."""
    found = Verdicts()
    reached: dict[str, set[str]] = defaultdict(set)
    for label, milestone in Milestone.objects.filter(actual_at__isnull=False).values_list("flow__label", "name"):
        reached[label].add(milestone)
    found.orders = set(Flow.objects.values_list("label", flat=True))
    for order in found.orders:
        found.missing_approved |= set() if "released" in reached[order] else {order}
        found.missing_carrier |= set() if "first_scan" in reached[order] else {order}
        found.missing_delivered |= set() if "delivered" in reached[order] else {order}
    found.late = set(
        Expectation.objects.filter(milestone="delivered", state="MET_LATE").values_list("flow__label", flat=True)
    )
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("name", SETS)
def test_the_ledger_says_what_the_file_says(name: str, db: None) -> None:
    olist(db)
    out = StringIO()
    call_command("import_log", str(file_of(name)), integration="olist", stdout=out)
    told = told_by_the_ledger()
    assert told.counts() == truth(name)
    assert told == told_by_the_file(name)
    assert DeadLetter.objects.count() == 0
    assert {(event.backfill, event.flags) for event in Event.objects.only("backfill", "flags")} == {(True, 0)}
    assert Receipt.objects.filter(door="import").count() == -(-truth(name)["orders"] // 2_000)
    assert not Finding.objects.exists()
    assert not Incident.objects.exists()


@pytest.mark.django_db
def test_a_living_board_judges_its_past_as_it_was(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """--as-of 2018-01-15: the same orders are late as were then, though the clocks of Brazil have changed since."""
    name, now = "orders_head_minute", datetime(2026, 11, 23, 17, 30, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: now)
    olist(db)
    out = StringIO()
    call_command("import_log", str(file_of(name)), integration="olist", as_of="2018-01-15", stdout=out)
    turn = "2018-01-15 14:30:00"
    columns = [column for rule in MAPPING["events"] for column in rule["columns"]]
    times = [row[column] for row in rows_of(name) for column in columns if row[column]]
    past = sum(moment <= turn for moment in times)
    assert Event.objects.count() == past
    assert f"{len(times) - past:,} events lie after 2018-01-15; they were kept back" in out.getvalue()
    late = {
        row["order_id"]
        for row in rows_of(name)
        if row["order_delivered_customer_date"] <= turn
        and row["order_delivered_customer_date"][:10] > row["order_estimated_delivery_date"][:10]
    }
    assert told_by_the_ledger().late == late
    assert len(late) > 200
    assert Event.objects.latest("happened_at").happened_at <= now
    assert set(Event.objects.values_list("flags", flat=True)) == {0}
    assert not Incident.objects.exists()
