"""Scorecards: what is counted, the anonymous median, and that a partner sees its own only."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.accounts.models import User
from apps.core.scoping import partner_scope
from apps.flows.models import Milestone
from apps.integrations.models import Partner, PartnerAccess
from apps.reports import scores
from apps.reports.models import DayCell, Delta, MonthCell, PeerMedian, ScoreCell
from tests.dashboard.network import DAY, HOUR, NOW, definitions, flow, partner, person, promise, rule

pytestmark = pytest.mark.django_db
MARCH = date(2026, 3, 1)


def shipped(who: Partner, states: list[str], sent: timedelta = HOUR) -> None:
    for number, state in enumerate(states):
        order = flow(f"SO-{who.slug}-{number}", who)
        promise(order, state, NOW - HOUR, met_at=NOW)
        Milestone.objects.create(
            flow=order, name="shipped", ordinal=1, actual_at=NOW, sent_at=NOW + sent, received_at=NOW + sent + HOUR / 6
        )


def test_what_a_card_says() -> None:
    acme = partner()
    shipped(acme, ["MET", "MET", "MET_LATE", "BREACHED", "SUSPENDED", "PENDING", "WAIVED"], 2 * HOUR)
    invoice = rule(slug="invoice", milestone="invoiced")
    promise(flow("SO-I", acme), "MET", NOW - HOUR, met_at=NOW, rule=invoice, milestone="invoiced")
    for number in range(3):
        flow(f"SO-old-{number}", acme, opened_at=NOW - (20 + 30 * number) * DAY)
    scores.refresh(MARCH, NOW)
    card = scores.card(acme.pk, acme.kind, MARCH)
    told = {one.metric.key: (one.value, one.n) for one in card.figures if one.value is not None}
    assert told == {
        "kept": (3 / 5, 5),
        "complete": (4 / 5, 5),
        "on_time_ship": (0.5, 4),
        "on_time_invoice": (1, 1),
        "partner_p50": (7200, 7),
        "partner_p95": (7200, 7),
        "transport_p50": (600, 7),
        "transport_p95": (600, 7),
        "volume": (8, 8),
        "usual": (1, 3),
    }
    assert card.value("partner_p50").words == "2 h"
    assert card.value("kept").verdict == ""
    assert scores.refresh(MARCH, NOW) == len(told)


def test_peers_stay_anonymous() -> None:
    for number in range(scores.LEAST_PEERS - 1):
        shipped(partner(f"P{number}"), ["MET"] * number + ["BREACHED"] * (4 - number))
    scores.refresh(MARCH, NOW)
    assert not PeerMedian.objects.exists()
    shipped(partner("P4"), ["MET"])
    shipped(partner("Another kind", kind="carrier"), ["MET"])
    scores.refresh(MARCH, NOW)
    kept = PeerMedian.objects.get(metric="kept")
    assert (kept.kind, kept.value, kept.peers) == ("3pl", 0.5, 5)
    assert not PeerMedian.objects.filter(metric__in=("volume", "usual")).exists()
    best = partner("P4")
    assert scores.card(best.pk, best.kind, MARCH).value("kept").verdict == "better"
    assert scores.card(partner("P0").pk, "3pl", MARCH).value("kept").verdict == "worse"
    assert [one.slug for one, _ in scores.cards(MARCH, Partner.objects.all())][0:2] == ["p0", "p1"]


@pytest.mark.parametrize("model", [ScoreCell, DayCell, MonthCell, Delta])
def test_in_its_scope_a_partner_sees_its_own_cells(model: Any) -> None:
    acme, oak = partner(), partner("Oak Works")
    shipped(acme, ["MET"])
    scores.refresh(MARCH, NOW)
    if model is not Delta:
        scores.rollups.fold()
    shipped(oak, ["MET", "BREACHED"])
    scores.refresh(MARCH, NOW)
    if model is not Delta:
        scores.rollups.fold()
    assert set(model.objects.values_list("partner_id", flat=True)) >= {oak.pk}
    with partner_scope(oak.pk):
        assert set(model.objects.values_list("partner_id", flat=True)) == {oak.pk}
    with partner_scope(partner("Nobody").pk):
        assert not model.objects.exists()


def test_pages(client: Client) -> None:
    definitions()
    acme, oak = partner(), partner("Oak Works")
    shipped(acme, ["MET"] * 3)
    shipped(oak, ["BREACHED"] * 7)
    scores.refresh(MARCH, NOW)
    with time_machine.travel(NOW, tick=False):
        client.force_login(person("manager"))
        page = client.get("/scorecards/").content.decode()
        assert page.index("Oak Works") < page.index("Acme Metals")
        assert "100.0 %" in client.get("/scorecards/acme-metals/").content.decode()
        assert "No figures for this month" in client.get("/scorecards/?month=2025-01").content.decode()
        assert client.get("/scorecards/nobody/").status_code == 404
        theirs = User.objects.create(username="acme", role="partner")
        PartnerAccess.objects.create(partner=acme, user=theirs)
        client.force_login(theirs, backend="django.contrib.auth.backends.ModelBackend")
        assert client.get("/scorecards/").status_code == 404
        own = client.get("/status/scorecard/?month=2026-03").content.decode()
        assert "Acme Metals" in own
        assert "100.0 %" in own
        assert "Oak Works" not in own
        assert client.get("/status/scorecard/?month=rubbish").status_code == 200
