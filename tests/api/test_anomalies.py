"""Anomalies, causes, declared pairs and risks through the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apps.accounts.models import AuditEntry
from apps.anomalies.causes_models import CauseGroup, CauseMember, FlowRisk, ReconciliationTally, RiskModel
from apps.anomalies.models import Anomaly, DetectorSwitch, KnownSpan
from apps.core import clock
from apps.incidents.models import Finding
from tests.api.world import World, machine, person
from tests.dashboard.network import HOUR, NOW
from tests.dashboard.test_anomalies import anomaly

pytestmark = pytest.mark.django_db
READER = "anomalies:read"
JSON = "application/json"


def test_the_list_narrows_and_one_shows_its_evidence(world: World) -> None:
    first = anomaly(1, detector="feed")
    second = anomaly(2, detector="drift", suppressed="too small", raised_at=NOW + HOUR)
    client = machine(READER)
    assert [one["id"] for one in client.get("/api/v1/anomalies/").json()["results"]] == [second.pk, first.pk]
    for asked, found in (
        ("detector=drift", [second.pk]), ("held_back=false", [first.pk]), ("held_back=true", [second.pk]),
        ("state=over", []), ("partner=acme-metals", [second.pk, first.pk]), ("partner=nobody", []),
    ):  # fmt: skip
        assert [one["id"] for one in client.get(f"/api/v1/anomalies/?{asked}").json()["results"]] == found, asked
    assert "evidence" not in client.get("/api/v1/anomalies/").json()["results"][0]
    assert client.get(f"/api/v1/anomalies/{first.pk}/").json()["evidence"] == first.evidence
    assert client.get("/api/v1/anomalies/?detektor=x").status_code == 400
    assert client.get("/api/v1/anomalies/999999/").status_code == 404


def test_an_answer_is_given_once_and_taken_back(world: World) -> None:
    one = anomaly(1)
    path = f"/api/v1/anomalies/{one.pk}/"
    assert machine(READER).post(f"{path}answer/", {"verdict": "real"}, JSON).status_code == 403
    client = machine(READER, "anomalies:write")
    assert client.post(f"{path}answer/", {"verdict": "perhaps"}, JSON).status_code == 400

    def send() -> Any:
        return client.post(f"{path}answer/", {"verdict": "real"}, JSON, headers={"Idempotency-Key": "a-1"})

    first, again = send(), send()
    assert (first.status_code, first.json()["factor"] < 1) == (200, True)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    assert AuditEntry.objects.filter(action="anomaly.judged").count() == 1
    one.refresh_from_db()
    assert (one.verdict, one.verdict_by) == ("real", None)
    assert KnownSpan.objects.get(undone_at=None).author_name
    back = client.post(f"{path}take-back/", {}, JSON)
    assert back.json()["factor"] == 1
    assert not KnownSpan.objects.filter(undone_at=None).exists()
    assert client.post(f"{path}take-back/", {}, JSON).status_code == 409
    assert client.post("/api/v1/anomalies/999999/take-back/", {}, JSON).status_code == 404


def test_detectors_are_switched_by_who_may(world: World) -> None:
    off = {"detector": "path", "enabled": False, "partner": world.own.partner.slug}
    assert machine(READER, "anomalies:write").post("/api/v1/anomalies/switches/", off, JSON).status_code == 403
    client = machine(READER, "anomalies:switch")
    assert client.post("/api/v1/anomalies/switches/", off, JSON).status_code == 400, "it asks for a reason"
    assert client.post("/api/v1/anomalies/switches/", {**off, "reason": "Stocktaking"}, JSON).status_code == 200
    assert client.post("/api/v1/anomalies/switches/", {**off, "partner": "nobody"}, JSON).status_code == 400
    assert DetectorSwitch.objects.get().reason == "Stocktaking"
    (shown,) = client.get("/api/v1/anomalies/switches/").json()
    assert (shown["detector"], shown["enabled"], shown["partner"]) == ("path", False, world.own.partner.slug)


def test_health_says_what_was_promised_and_what_happened(world: World) -> None:
    now = clock.now()
    anomaly(1, detector="drift", raised_at=now, began_at=now, verdict="not_useful", verdict_at=now)
    anomaly(2, detector="drift", raised_at=now, began_at=now, suppressed="too small")
    told = machine(READER).get("/api/v1/anomalies/health/").json()
    drift = next(one for one in told["detectors"] if one["detector"] == "drift")
    assert (drift["told"], drift["judged"], drift["false_share"], drift["held_back"]) == (1, 1, 1.0, 1)
    (held,) = told["held_back"]
    assert (held["reason"], held["findings"]) == ("too small", 1)


def test_causes_pairs_and_risks_are_read(world: World) -> None:
    now, flow, finding = clock.now(), world.own.flow, world.own.finding
    cause = CauseGroup.objects.create(
        fingerprint="11111111-1111-1111-1111-111111111111", name="DESADV of P silent", sentence="2 late", gain=9, units=2,
        shape=[["partner", "p"]], findings=1, elsewhere=0.1, since=now, found_at=now, seen_at=now,
    )  # fmt: skip
    CauseMember.objects.create(group=cause, finding=finding)
    model = RiskModel.objects.create(
        flow_slug="order", milestone="shipped", version=1, fitted_at=now, flows=9, promoted=False, law={},
        record={"bins": [{"said": 0.1, "came": 0.2, "n": 5}]},
    )  # fmt: skip
    FlowRisk.objects.create(
        flow=flow, milestone="shipped", due_at=now + HOUR, chance=0.7, basis="law", model=model, scored_at=now
    )
    evidence = {"rule": "ship-pick", "key": "SO-1", "left": {"name": "WMS"}, "right": {"name": "Odoo"}}
    Finding.objects.filter(pk=finding.pk).update(kind="reconciliation.missing", evidence=evidence, cleared_at=None)
    client = machine(READER)
    assert client.get("/api/v1/causes/?state=open").json()["results"][0]["name"] == "DESADV of P silent"
    assert client.get("/api/v1/causes/?state=ended").json()["results"] == []
    assert client.get(f"/api/v1/causes/{cause.pk}/").json()["finding_ids"] == [finding.pk]
    (pair,) = client.get("/api/v1/reconciliation/disagreements/?rule=ship-pick").json()["results"]
    assert (pair["key"], pair["left"]["name"], pair["right"]["name"]) == ("SO-1", "WMS", "Odoo")
    assert client.get("/api/v1/reconciliation/rules/").json() == [], "none is declared here"
    (risk,) = client.get("/api/v1/risks/?least_chance=0.5").json()["results"]
    assert (risk["flow"], risk["chance"]) == (flow.pk, 0.7)
    assert client.get("/api/v1/risks/?least_chance=0.9").json()["results"] == []
    (stage,) = client.get("/api/v1/risks/calibration/").json()
    assert stage["record"]["bins"][0]["came"] == 0.2
    assert ReconciliationTally.objects.count() == 0


def test_people_may_by_session_what_they_may_on_the_pages(world: World) -> None:
    one, off = anomaly(1), {"detector": "path", "enabled": False, "reason": "Stocktaking"}
    for role, switched in (("on_call", 403), ("operations", 403), ("manager", 200), ("admin", 200)):
        client = person(role)
        assert client.post(f"/api/v1/anomalies/{one.pk}/answer/", {"verdict": "real"}, JSON).status_code == 200
        assert client.post("/api/v1/anomalies/switches/", off, JSON).status_code == switched, role


PATHS = [
    "anomalies/", "anomalies/health/", "anomalies/switches/", "causes/", "reconciliation/rules/",
    "reconciliation/disagreements/", "risks/", "risks/calibration/",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_none_of_it_exists_for_a_partner(world: World, path: str) -> None:
    assert machine(partner=world.own.partner).get(f"/api/v1/{path}").status_code == 404
    assert machine("flows:read").get(f"/api/v1/{path}").status_code == 403
    assert person("manager").get(f"/api/v1/{path}").status_code == 200


def test_a_list_of_anomalies_goes_on_where_it_stopped(world: World) -> None:
    for number in range(3):
        anomaly(number, raised_at=NOW + timedelta(hours=number))
    client = machine(READER)
    first = client.get("/api/v1/anomalies/?page_size=2").json()
    second = client.get(first["next"]).json()
    seen = [one["id"] for one in (*first["results"], *second["results"])]
    assert seen == list(Anomaly.objects.order_by("-raised_at", "-id").values_list("pk", flat=True))
    assert second["next"] is None
