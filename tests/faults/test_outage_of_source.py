"""A source is away for three hours and then tells everything at once: never a false green, never a false breach, and
nobody is called for the catching up. Through the real pipeline: receipts, processing, sweep, detectors, notifications.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.db import transaction
from django.test import Client

from apps.accounts import tokens
from apps.accounts.models import ApiClient, User
from apps.anomalies import feeds
from apps.anomalies.models import FeedCount
from apps.collectors.processing import process
from apps.collectors.receiving import NewReceipt, store
from apps.core import clock
from apps.dashboard.selectors import flow_list
from apps.dashboard.selectors.board import board
from apps.flows import registry
from apps.flows.models import FlowDefinition
from apps.incidents.models import Finding, Incident
from apps.integrations.models import Integration
from apps.notifications import dispatch
from apps.notifications.models import Delivery
from apps.portal import selectors as portal
from apps.reports import figures, objectives
from apps.reports.models import Objective
from apps.sla import sweep
from apps.sla.models import Expectation
from tests.sla.builders import HOUR, SPEC, T0, World

pytestmark = pytest.mark.django_db
STEP = timedelta(minutes=5)
#: an order every two minutes; its ASN comes an hour before it is due
EVERY = timedelta(minutes=2)
ORDERS = 300
DUE_AFTER, COMES_AFTER = 4 * HOUR, 3 * HOUR
OUT, BACK, END = T0 + HOUR, T0 + 4 * HOUR, T0 + 7 * HOUR
#: ASNs told in one step of catching up
PORTION = 12


@dataclass
class Seen:
    """What the drill saw: labels that were green although overdue and unheard, that were called late although they had
    been sent in time, and the subjects of messages sent before and since the source came back."""

    false_green: set[str] = field(default_factory=set)
    false_breach: set[str] = field(default_factory=set)
    unknown_most: int = 0
    elsewhere_green: list[str] = field(default_factory=list)
    board_wrong: list[str] = field(default_factory=list)
    pages_while_away: list[str] = field(default_factory=list)
    pages_since: list[str] = field(default_factory=list)


class Network:
    """One supplier that answers every order with an ASN, on time."""

    def __init__(self, *, stale_after: timedelta | None, wired: bool) -> None:
        world = World(stale_after=stale_after, criticality="high")
        world.rule({"due": {"after": {"milestone": "sent", "duration": "PT4H"}}, "warn": {"before": "PT30M"}})
        if not wired:
            bare = [{key: value for key, value in one.items() if key != "source"} for one in SPEC["milestones"]]
            FlowDefinition.objects.update(spec={**SPEC, "milestones": bare})
        registry.load()
        self.feed = world.feed
        self.bus = Integration.objects.create(slug="bus", name="Our own bus", kind="webhook", partner=world.partner)
        User.objects.create_user("nora", email="nora@tower.example", role="on_call")
        # five weeks of its own history: as many an hour as it tells today
        FeedCount.objects.bulk_create(
            FeedCount(integration=self.feed, event_type="asn.received", hour=T0 - back * HOUR, n=30)
            for back in range(1, 35 * 24)
        )
        issued = tokens.issue("probe", ["flows:read"], None, T0)
        self.token = issued.token
        ApiClient.objects.update(last_used_at=clock.now() + HOUR)
        self.sent: dict[str, datetime] = {f"PO-{n}": T0 - DUE_AFTER + n * EVERY for n in range(ORDERS)}
        self.told: set[str] = set()
        self.ordered: set[str] = set()

    def due(self, label: str) -> datetime:
        return self.sent[label] + DUE_AFTER

    def tell(self, now: datetime) -> None:
        """What arrives in this step; while the source is away it keeps its ASNs back."""
        new = [label for label, at in self.sent.items() if at <= now and label not in self.ordered]
        self._store(self.bus, "purchase_order.sent", {label: self.sent[label] for label in new}, now)
        self.ordered |= set(new)
        if OUT <= now < BACK:
            return
        ready = [label for label, at in self.sent.items() if at + COMES_AFTER <= now and label not in self.told]
        portion = ready if now < OUT else ready[:PORTION]
        self._store(self.feed, "asn.received", {label: self.sent[label] + COMES_AFTER for label in portion}, now)
        self.told |= set(portion)

    def _store(self, integration: Integration, kind: str, events: dict[str, datetime], now: datetime) -> None:
        if not events:
            return
        body = [
            {
                "id": f"{kind} {label}",
                "type": kind,
                "happened_at": at.isoformat(),
                "references": [{"kind": "purchase_order", "value": label}],
            }
            for label, at in events.items()
        ]
        raw = json.dumps(body).encode()
        store([NewReceipt(integration.pk, "http", raw, "application/json", {}, f"{kind} {now}", now)])
        process(now)


def drill(network: Network) -> Seen:
    seen = Seen()
    now = T0 - STEP
    while now < END:
        now += STEP
        network.tell(now)
        feeds.tick(now)
        sweep.run(now)
        sent = len(mail.outbox)
        dispatch.run(now)
        subjects = [str(message.subject) for message in mail.outbox[sent:]]
        (seen.pages_while_away if now < BACK else seen.pages_since).extend(subjects)
        _look(network, seen, now)
    return seen


def _look(network: Network, seen: Seen, now: datetime) -> None:
    states = dict(Expectation.objects.values_list("flow__label", "state"))
    missing = {label for label in network.ordered - network.told if network.due(label) < now}
    seen.false_green |= {label for label in missing if states[label] not in ("SUSPENDED", "BREACHED")}
    seen.false_breach |= {label for label, state in states.items() if state in ("BREACHED", "MET_LATE")}
    suspended = sum(state == "SUSPENDED" for state in states.values())
    seen.unknown_most = max(seen.unknown_most, suspended)
    shown = [
        cell for section in board(now).sections for row in section.rows for cell in row.cells if cell.milestone == "asn"
    ]
    late, unknown = sum(cell.late for cell in shown), sum(cell.unknown for cell in shown)
    if late != len([1 for state in states.values() if state == "BREACHED"]) or unknown != suspended:
        seen.board_wrong.append(f"{now}: late {late}, unknown {unknown} of {suspended}")
    if suspended and not (now - T0) % HOUR:  # these read all there is
        seen.elsewhere_green += [f"{now}: {where}" for where in _green_elsewhere(network, now, suspended)]


def _green_elsewhere(network: Network, now: datetime, suspended: int) -> list[str]:
    """Where what nobody knows does not show as unknown: objective, flow list, partner's page, API, month report."""
    found = []
    standing = objectives.standing(Objective(slug="x", name="X", target=99, days=7), now)
    if standing.state == "on-time" or standing.unknown != suspended:
        found.append(f"objective {standing.state}, {standing.unknown} unknown")
    lines = flow_list.page(flow_list.Asked(state="unknown"), now).lines
    if len(lines) != min(suspended, flow_list.PAGE) or {line.state for line in lines} != {"unknown"}:
        found.append(f"flow list: {len(lines)}")
    with transaction.atomic():
        own = portal.status(network.feed.partner_id or 0, now)
    if (
        portal.sentence_of(own)[0] in ("done", "at-risk")
        or own.unknown != suspended
        or len(own.not_known) != len(lines)
    ):
        found.append(f"partner's page: {portal.sentence_of(own)}, {own.unknown}")
    answer = Client(headers={"authorization": f"Bearer {network.token}"}).get(
        "/api/v1/flows/?state=unknown&page_size=200"
    )
    states = [one["state"] for one in answer.json()["results"]]
    if len(states) != min(suspended, 200) or set(states) != {"unknown"}:
        found.append(f"API: {len(states)}")
    months = {now.astimezone(UTC).date().replace(day=1), (now + DUE_AFTER).astimezone(UTC).date().replace(day=1)}
    told = sum(figures.total(figures.month(first.year, first.month, "UTC")).unknown for first in months)
    if told != suspended:
        found.append(f"report: {told}")
    return found


@pytest.mark.parametrize(
    "stale_after", [timedelta(minutes=30), 2 * HOUR, None], ids=["agreed", "agreed late", "history"]
)
def test_three_hours_away_and_back(stale_after: timedelta | None) -> None:
    network = Network(stale_after=stale_after, wired=True)
    seen = drill(network)
    assert seen.false_green == set()
    assert seen.false_breach == set()
    assert seen.board_wrong == []
    assert seen.elsewhere_green == []
    assert seen.unknown_most >= 60, "nothing was suspended: the outage was not noticed"
    assert len(seen.pages_while_away) == 1, "one finding stands for the feed, and it calls once"
    assert "Late" not in "".join(seen.pages_since)
    assert not [subject for subject in seen.pages_since if "resolved" not in subject.lower()], seen.pages_since
    states = dict(Expectation.objects.values_list("flow__label", "state"))
    assert {states[label] for label in network.told} == {"MET"}
    assert {states[label] for label in network.ordered - network.told} == {"PENDING"}
    assert set(Finding.objects.values_list("kind", flat=True)) <= {"source.stale", "feed.silent"}
    assert not Finding.objects.filter(cleared_at=None).exists()
    assert not Incident.objects.exclude(state="resolved").exists()
    assert not Delivery.objects.filter(state="waiting").exists()


def test_the_drill_can_fail() -> None:
    """The control: a milestone that nobody said who tells it is called late as soon as its source falls silent."""
    seen = drill(Network(stale_after=timedelta(minutes=30), wired=False))
    assert len(seen.false_breach) > 20
    assert len(seen.pages_while_away) > 1
