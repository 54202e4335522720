"""The pages of causes, declared pairs and risk: empty, full, and with a bounded number of queries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.anomalies.causes_models import CauseGroup, FlowRisk, IncidentPriority, ReconciliationRule, RiskModel
from apps.flows.models import FlowDefinition
from apps.incidents.models import Finding
from apps.incidents.workflow import raise_findings
from tests.incidents.builders import draft, flow, person, uid

pytestmark = pytest.mark.django_db
SPEC = {
    "key": "picking",
    "left": {"name": "Warehouse", "events": ["shipment.dispatched"]},
    "right": {"name": "Odoo", "events": ["invoice.posted"]},
    "check": "follows",
}
PARCEL = {
    "identified_by": ["tracking_number"],
    "opened_by": ["label.created"],
    "milestones": [{"name": "delivered", "label": "Delivered", "reached_by": ["delivery.completed"]}],
}
PAGES = ("/causes/", "/reconciliation/", "/risk/")


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(person("ada"))
    return client


def side(name: str, at: str, *, silent: bool = False) -> dict[str, Any]:
    word = {
        "event": 1,
        "type": "shipment.dispatched",
        "happened_at": at,
        "received_at": at,
        "integration": 1,
        "amount": "100 EA",
        "mark": "",
        "who": "3PL North WMS",
    }
    return {"name": name, "total": "" if silent else "100 EA", "words": [] if silent else [word]}


def fill(n: int) -> list[Finding]:
    now = timezone.now()
    FlowDefinition.objects.get_or_create(slug="parcel", defaults={"name": "Parcel", "spec": PARCEL})
    ReconciliationRule.objects.get_or_create(slug="pair", defaults={"name": "Shipped, not invoiced", "spec": SPEC})
    model, _ = RiskModel.objects.get_or_create(
        flow_slug="parcel", milestone="delivered", version=1,
        defaults={
            "fitted_at": now, "flows": 900, "promoted": True, "law": {},
            "record": {
                "why": "Ahead of the plain rule in each of the last 2 quarters, by 0.098 in AUC.", "label": "Parcel: Delivered",
                "table": [{"part": "all", "flows": 7585, "late": 550, **{one: {"auc": 0.61, "ap": 0.12, "p5": 0.19} for one in ("rule", "simple", "model")}}],
                "bins": [{"from": 0.0, "n": 5000, "said": 0.05, "came": 0.06}, {"from": 0.1, "n": 1600, "said": 0.14, "came": 0.1}],
            },
        },
    )  # fmt: skip
    made = []
    for number in range(n):
        one = flow(f"P{n}-{number}", value=100 + number, currency="EUR")
        FlowRisk.objects.create(
            flow=one, milestone="delivered", due_at=now + timedelta(hours=9), chance=0.4 + 0.5 * number / n,
            expected_at=now + timedelta(hours=20), basis="model", model=model, scored_at=now,
            reasons=[{"text": "Swift Parcel this week", "hours": 19.4}],
        )  # fmt: skip
        evidence = {
            "rule": "pair",
            "version": 1,
            "key": f"Picking OUT{number}",
            "left": side("Warehouse", now.isoformat()),
            "right": side("Odoo", now.isoformat(), silent=True),
        }
        [finding] = raise_findings(
            [
                draft(
                    f"{n}/{number}", f"c{n}/{number}", kind="reconciliation.follows", flow_id=one.pk, evidence=evidence
                )
            ],
            now,
        )
        made.append(finding)
        CauseGroup.objects.create(
            fingerprint=uid("group", n, number), incident_id=finding.incident_id, name=f"Lane PL to DE since 09:0{number % 10}",
            sentence="40 late events explained by: Lane PL to DE (covers 97 %, 41 times as likely)", shape=[["lane", "PL>DE"]],
            findings=40, units=41, elsewhere=0.024, gain=80.0, since=now - timedelta(hours=5), found_at=now, seen_at=now,
            facts={"counts": [1, 4, 9, 12, 14], "lift": 41.0, "also": ["carrier Swift"], "others": [{"said": "Acme", "findings": 20, "units": 50}]},
        )  # fmt: skip
        IncidentPriority.objects.create(
            incident_id=finding.incident_id, amount=4200, currency="EUR", reckoned_at=now, deadline_at=now + timedelta(hours=2),
            factors={"value": "8000.00", "flows": 3, "chance": 0.7, "helps": 0.75, "others": {}, "top": [{"flow": one.pk, "label": one.label, "value": "100.00", "chance": 1.0, "helps": 0.5, "part": "50.00"}]},
        )  # fmt: skip
    return made


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("/causes/", "No common cause"),
        ("/reconciliation/", "No pairs are declared"),
        ("/risk/", "Nothing is scored yet"),
    ],
)
def test_an_empty_page_says_what_will_be_there(staff: Client, page: str, words: str) -> None:
    assert words in staff.get(page).content.decode()


def test_full_pages_say_what_is_known(staff: Client) -> None:
    [finding] = fill(1)
    causes = staff.get("/causes/").content.decode()
    assert "covers 97 %, 41 times as likely" in causes
    assert "97.6 %" in causes
    assert "carrier Swift" in causes
    pairs = staff.get("/reconciliation/?rule=pair").content.decode()
    assert "has said nothing" in pairs
    assert "Picking OUT0" in pairs
    assert "100 EA" in pairs
    risk = staff.get("/risk/").content.decode()
    assert "+19 h" in risk
    assert "the model speaks" in risk
    incident = staff.get(f"/incidents/{finding.incident_id}/").content.decode()
    assert "Probable cause" in incident
    assert "What acting now can save" in incident
    assert "4,200 EUR" in incident
    page = staff.get(f"/flows/{finding.flow_id}/").content.decode()
    assert "Risk of being late" in page
    assert "Swift Parcel this week" in page


@pytest.mark.parametrize("page", PAGES)
def test_queries_do_not_grow_with_the_rows(staff: Client, page: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert staff.get(page).status_code == 200
        return len(seen)

    fill(1)
    staff.get(page)
    few = queries()
    fill(25)
    assert queries() <= few + 1


def test_the_board_counts_what_is_likely_late(staff: Client) -> None:
    fill(4)
    assert "Likely late" in staff.get("/").content.decode()


def test_the_inbox_can_be_ordered_by_what_can_be_saved(staff: Client) -> None:
    made = fill(3)
    for place, amount in enumerate((10, 3000, 200)):
        IncidentPriority.objects.filter(incident=made[place].incident_id).update(amount=amount)
    page = staff.get("/incidents/?sort=worth").content.decode()
    places = [page.index(f"/incidents/{one.incident_id}/") for one in made]
    assert places[1] < places[2] < places[0]
    assert staff.get("/incidents/?sort=nonsense").status_code == 200
