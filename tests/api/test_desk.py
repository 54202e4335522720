"""Idempotency keys, change markers and alerts of other tools."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from apps.api.alert_formats import FORMATS, NotUnderstood, read
from apps.api.models import IdempotentAnswer
from apps.core import clock
from apps.incidents.models import Finding, Incident, IncidentEvent
from apps.integrations.models import ChangeMarker
from tests.api.world import World, build, machine
from tests.incidents.builders import at_once

ALERTMANAGER: dict[str, Any] = {
    "version": "4",
    "groupKey": '{}:{alertname="DiskFull"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "tower",
    "groupLabels": {"alertname": "DiskFull"},
    "commonLabels": {"alertname": "DiskFull", "severity": "critical", "job": "node"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager.example:9093",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "DiskFull", "instance": f"db{n}", "job": "node", "severity": "critical"},
            "annotations": {"summary": f"Disk of db{n} is full", "description": f"db{n} has 1 % left"},
            "startsAt": "2026-03-02T08:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example/graph?g0.expr=x",
            "fingerprint": f"c2f0e1d3b4a5960{n}",
        }
        for n in range(2)
    ],
}
GRAFANA: dict[str, Any] = {
    "receiver": "tower",
    "status": "firing",
    "orgId": 1,
    "alerts": [
        {
            "status": "firing",
            "labels": {
                "alertname": "Queue long",
                "grafana_folder": "Ops",
                "integration": "metalworks-feed",
                "priority": "P2",
            },
            "annotations": {"summary": "The queue is long"},
            "startsAt": "2026-03-02T08:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "values": {"B": 44.2, "C": 1},
            "valueString": "[ var='B' labels={} value=44.2 ]",
            "generatorURL": "https://grafana.example/alerting/grafana/x/view",
            "fingerprint": "57c6d9296de2ad39",
            "silenceURL": "https://grafana.example/alerting/silence/new",
            "dashboardURL": "",
            "panelURL": "",
        }
    ],
    "groupLabels": {"alertname": "Queue long"},
    "commonLabels": {"alertname": "Queue long", "grafana_folder": "Ops"},
    "commonAnnotations": {"summary": "The queue is long"},
    "externalURL": "https://grafana.example/",
    "version": "1",
    "groupKey": '{}/{}:{alertname="Queue long"}',
    "truncatedAlerts": 0,
    "title": "[FIRING:1] Queue long",
    "state": "alerting",
    "message": "**Firing**",
}


def post(client: Client, path: str, body: Any, key: str = "") -> Any:
    headers = {"idempotency-key": key} if key else {}
    return client.post(f"/api/v1/{path}/", body, content_type="application/json", headers=headers)


@pytest.mark.django_db
class TestIdempotency:
    def test_the_same_call_is_done_once_and_answered_alike(self, world: World, ours: Client) -> None:
        path = f"incidents/{world.own.incident.pk}/comment"
        first, again = (post(ours, path, {"text": "called them"}, "k-1") for _ in range(2))
        assert first.status_code == again.status_code == 200
        assert first.json() == again.json()
        assert again["Idempotency-Replayed"] == "true"
        assert world.own.incident.timeline.filter(kind="commented").count() == 1
        assert post(ours, path, {"text": "called them"}, "k-2").status_code == 200
        assert world.own.incident.timeline.filter(kind="commented").count() == 2

    def test_a_refusal_is_an_answer_too(self, world: World, ours: Client) -> None:
        path = f"incidents/{world.own.incident.pk}/reopen"
        first = post(ours, path, {}, "k")
        assert first.status_code == 409
        assert post(ours, f"incidents/{world.own.incident.pk}/resolve", {"resolution": "fixed"}).status_code == 200
        again = post(ours, path, {}, "k")
        assert (again.status_code, again.json()) == (409, first.json())

    @pytest.mark.parametrize("other", ["body", "address"])
    def test_another_call_with_the_key_is_a_conflict(self, world: World, ours: Client, other: str) -> None:
        pk = world.own.incident.pk
        post(ours, f"incidents/{pk}/comment", {"text": "one"}, "k")
        verb, text = ("comment", "two") if other == "body" else ("ask", "one")
        answer = post(ours, f"incidents/{pk}/{verb}", {"text": text}, "k")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_key_reused")

    def test_keys_are_the_callers_own_and_end_after_a_day(self, world: World, ours: Client) -> None:
        path = f"incidents/{world.own.incident.pk}/comment"
        post(ours, path, {"text": "one"}, "k")
        assert post(machine(), path, {"text": "two"}, "k").status_code == 200
        with time_machine.travel(clock.now() + timedelta(hours=24, minutes=1), tick=False):
            assert post(ours, path, {"text": "three"}, "k").status_code == 200
            assert IdempotentAnswer.objects.count() == 1, "the old ones are swept"

    @pytest.mark.parametrize("key", ["x" * 201, "with space", "ü"])
    def test_keys_of_no_use(self, world: World, ours: Client, key: str) -> None:
        answer = post(ours, f"incidents/{world.own.incident.pk}/comment", {"text": "x"}, key)
        assert answer.status_code == 400
        assert "Idempotency-Key" in answer.json()["error"]["sentence"]


@pytest.mark.django_db(transaction=True)
def test_twenty_calls_with_one_key_at_once_do_it_once() -> None:
    with transaction.atomic():  # links between new rows are checked at its end
        world = build()
    client = machine()
    path = f"incidents/{world.own.incident.pk}/comment"
    answers = at_once([partial(post, client, path, {"text": "x"}, "k")] * 20)
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({json.dumps(answer.json(), sort_keys=True) for answer in answers}) == 1
    assert world.own.incident.timeline.filter(kind="commented").count() == 1


@pytest.mark.django_db
def test_the_desks_verbs(world: World, ours: Client) -> None:
    own, foreign = world.own.incident.pk, world.foreign.incident.pk
    assert post(ours, f"incidents/{own}/severity", {"severity": "low", "text": "test order"}).json()["severity_by_hand"]
    assert post(ours, f"incidents/{own}/labels", {"add": ["Peak"]}).json()["labels"] == ["peak"]
    merged = post(ours, f"incidents/{own}/merge", {"into": foreign}).json()
    assert (merged["state"], merged["merged_into"]) == ("resolved", foreign)
    assert post(ours, f"incidents/{own}/merge", {"into": 999999}).json()["error"]["field"] == "into"
    assert post(ours, f"incidents/{own}/unmerge", {}).json()["state"] == "acknowledged"
    only = list(Finding.objects.filter(incident=own).values_list("pk", flat=True))
    assert post(ours, f"incidents/{own}/split", {"findings": only}).status_code == 409
    assert post(machine("incidents:read"), f"incidents/{own}/merge", {"into": foreign}).status_code == 403


@pytest.mark.django_db
def test_escalate_and_relate(world: World, ours: Client) -> None:
    own, foreign = world.own.incident.pk, world.foreign.incident.pk
    post(ours, f"incidents/{own}/acknowledge", {})
    for _ in range(2):
        assert post(ours, f"incidents/{own}/escalate", {"text": "out of my depth"}, "e1").json()["state"] == "open"
    assert world.own.incident.timeline.filter(kind="escalated").count() == 1, "one key, one call"
    assert post(ours, f"incidents/{own}/escalate", {}).json()["error"]["field"] == "text"
    for _ in range(2):
        assert post(ours, f"incidents/{own}/relate", {"to": foreign, "text": "one strike"}, "r1").status_code == 200
    assert post(ours, f"incidents/{foreign}/relate", {"to": own, "text": "again"}).status_code == 409
    [told] = ours.get(f"/api/v1/incidents/{foreign}/related/").json()
    assert (told["incident"], told["reason"], told["actor"]) == (own, "one strike", "probe")
    assert post(ours, f"incidents/{own}/relate", {"to": 999999, "text": "x"}).json()["error"]["field"] == "to"
    assert post(ours, f"incidents/{own}/unrelate", {"to": foreign}).status_code == 200
    assert ours.get(f"/api/v1/incidents/{own}/related/").json() == []
    assert post(machine("incidents:read"), f"incidents/{own}/escalate", {"text": "x"}).status_code == 403


@pytest.mark.django_db
def test_changes(world: World, ours: Client) -> None:
    made = post(ours, "changes", {"text": "Odoo 18", "integration": "metalworks-feed"}, "deploy-77")
    assert made.status_code == 201
    assert (
        post(ours, "changes", {"text": "Odoo 18", "integration": "metalworks-feed"}, "deploy-77").json() == made.json()
    )
    assert ChangeMarker.objects.get().actor_name == "probe"
    for wrong, field in (
        ({"integration": "gone"}, "integration"),
        ({"at": "2099-01-01T00:00:00Z"}, "at"),
        ({"text": ""}, "text"),
    ):
        assert post(ours, "changes", {"text": "x", **wrong}).json()["error"]["field"] == field
    assert [row["text"] for row in ours.get("/api/v1/changes/").json()["results"]] == ["Odoo 18"]
    assert machine("integrations:read", partner=world.own.partner).get("/api/v1/changes/").status_code == 404


@pytest.mark.django_db
class TestAlerts:
    def test_alertmanager_joins_by_group_and_clears(self, world: World) -> None:
        sender = machine("alerts:write")
        before = Incident.objects.count()
        assert post(sender, "alerts/alertmanager", ALERTMANAGER).json() == {
            "raised": 2,
            "repeated": 0,
            "cleared": 0,
            "skipped": [],
        }
        [one] = Incident.objects.filter(kind="alert.alertmanager")
        assert (one.severity, one.open_findings, one.title) == ("critical", 2, "DiskFull (job node)")
        assert Incident.objects.count() == before + 1
        assert one.timeline.filter(notify=True).count() == 1
        assert post(sender, "alerts/alertmanager", ALERTMANAGER).json()["repeated"] == 2
        over = {
            **ALERTMANAGER,
            "status": "resolved",
            "alerts": [{**row, "status": "resolved"} for row in ALERTMANAGER["alerts"]],
        }
        assert post(sender, "alerts/alertmanager", over).json()["cleared"] == 2
        one.refresh_from_db()
        assert (one.state, one.resolution) == ("resolved", "by itself")

    def test_grafana_names_our_integration(self, world: World) -> None:
        assert post(machine("alerts:write"), "alerts/grafana", GRAFANA).json()["raised"] == 1
        found = Finding.objects.get(kind="alert.grafana")
        assert (found.integration, found.partner, found.severity) == (world.own.integration, world.own.partner, "high")
        assert found.evidence["valueString"] == GRAFANA["alerts"][0]["valueString"]

    def test_two_senders_do_not_meet(self, world: World) -> None:
        one, other = machine("alerts:write"), machine("alerts:write")
        for sender in (one, other):
            assert post(sender, "alerts/generic", {"id": "x", "title": "X"}).json()["raised"] == 1
        assert post(one, "alerts/generic", {"id": "x", "status": "resolved"}).json()["cleared"] == 1
        assert Finding.objects.filter(kind="alert.generic", cleared_at=None).count() == 1

    def test_one_bad_alert_spoils_no_other(self, world: World) -> None:
        rows = [
            {"id": "a", "title": "A", "severity": "major"},
            {"title": "no id"},
            7,
            {"id": "b", "title": "B", "due_at": "soon"},
        ]
        answer = post(machine("alerts:write"), "alerts/generic", rows).json()
        assert (answer["raised"], [one["index"] for one in answer["skipped"]]) == (1, [1, 2, 3])

    @pytest.mark.parametrize("body", [{}, [], 7, "x", {"alerts": []}, {"alerts": 3}, [{"id": 1}] * 1001])
    def test_what_is_no_message_is_refused(self, world: World, body: Any) -> None:
        before = IncidentEvent.objects.count()
        answer = post(machine("alerts:write"), "alerts/generic", json.dumps(body))
        assert answer.status_code == 400
        assert IncidentEvent.objects.count() == before

    def test_who_may_not(self, world: World) -> None:
        assert post(machine("incidents:write"), "alerts/generic", {"id": "x", "title": "X"}).status_code == 403
        assert post(machine("alerts:write"), "alerts/nagios", {}).status_code == 404
        assert post(machine("alerts:write", partner=world.own.partner), "alerts/generic", {}).status_code == 404


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ALERTS = st.dictionaries(
    st.sampled_from(
        [
            "id",
            "title",
            "status",
            "severity",
            "text",
            "group",
            "url",
            "labels",
            "annotations",
            "fingerprint",
            "startsAt",
            "due_at",
            "partner",
        ]
    ),
    JSON | st.sampled_from(["firing", "resolved", "critical", "2026-03-02T08:00:00Z"]),
)


@given(
    st.sampled_from(sorted(FORMATS)),
    st.dictionaries(st.just("alerts"), st.lists(ALERTS | JSON, max_size=4)) | JSON | ALERTS,
)
def test_whatever_is_sent_is_read_or_refused_in_words(tool: str, body: Any) -> None:
    try:
        found = read(tool, body)
    except NotUnderstood:
        return
    for alert in found.alerts:
        assert alert.id
        assert alert.severity in ("critical", "high", "normal", "low")
        assert len(alert.title) <= 300
        assert "\x00" not in json.dumps([alert.title, alert.sentence, dict(alert.evidence)], default=str)
        assert "\\u0000" not in json.dumps(dict(alert.evidence))
