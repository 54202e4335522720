"""EPCIS: the capture interface (EPCIS 2.0, section 8.2.7) at the real door, and what becomes of what it takes."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, override_settings

from apps.collectors import doors
from apps.collectors.models import DeadLetter, ReceiptState
from apps.collectors.processing import process
from apps.core import clock
from apps.flows.models import Event
from apps.integrations import credentials
from apps.integrations.models import Integration, Partner
from tests.collectors.gs1.writing import as_json, as_xml
from tests.collectors.kinds.test_epcis import PLAIN, event

SECRET = "a-secret-of-the-epcis-feed"


@pytest.fixture
def integration(db: None) -> Integration:
    partner = Partner.objects.create(slug="acme", name="Acme", kind="3pl")
    made = Integration.objects.create(slug="acme-epcis", name="EPCIS", kind="epcis", partner=partner)
    credentials.issue(made, clock.now(), None, secret=SECRET)
    return made


def ask(integration: Integration, path: str, body: bytes | None = None, secret: str = SECRET, **headers: str) -> Any:
    client, address = Client(), path if path.startswith("/") else f"/in/{integration.endpoint_id}/{path}"
    sent = {"authorization": f"Bearer {secret}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is None:
        return client.get(address, headers=sent)
    return client.post(address, body, content_type="application/ld+json", headers=sent)


@pytest.mark.parametrize("path", ["capture", "events"])
def test_a_capture_is_a_job_that_can_be_asked_for(integration: Integration, path: str) -> None:
    answer = ask(integration, path, as_json(event(), event(eventTime="soon")), gs1_capture_error_behaviour="proceed")
    assert answer.status_code == 202
    location = answer["Location"]
    number = answer.json()["receipt"]
    assert location == f"/in/{integration.endpoint_id}/{path}/{number}"
    waiting = ask(integration, location).json()
    assert (waiting["running"], waiting["success"], waiting["captureErrorBehaviour"]) == (True, True, "proceed")
    assert "finishedAt" not in waiting
    process(clock.now())
    done = ask(integration, location).json()
    assert (done["captureID"], done["running"], done["success"]) == (str(number), False, False)
    assert done["createdAt"] <= done["finishedAt"]
    [problem] = done["errors"]
    assert (problem["title"], problem["instance"]) == ("epcis.bad_time", "$.epcisBody.eventList[1].eventTime")
    assert Event.objects.get().type == "shipment.dispatched"


def test_a_capture_rolled_back_is_a_dead_letter_that_says_which(integration: Integration) -> None:
    location = ask(integration, "capture", as_json(event(), event(action="PUT")))["Location"]
    process(clock.now())
    assert not Event.objects.exists()
    assert ReceiptState.objects.get().status == "dead"
    letters = {one.code: one.position for one in DeadLetter.objects.all()}
    assert letters == {
        "epcis.rolled_back": "$.epcisBody.eventList[1].action",
        "epcis.bad_action": "$.epcisBody.eventList[1].action",
    }
    job = ask(integration, location).json()
    assert (job["success"], job["captureErrorBehaviour"], len(job["errors"])) == (False, "rollback", 2)


def test_a_sound_capture_succeeds_and_remarks_are_no_errors(integration: Integration) -> None:
    location = ask(integration, "capture", as_xml(event(), event(bizStep="holding")))["Location"]
    odd = ask(integration, "capture", as_json(event(bizStep="acme:odd")))["Location"]
    process(clock.now())
    assert DeadLetter.objects.filter(severity="warning").count() == 1
    for one in (location, odd):
        job = ask(integration, one).json()
        assert (job["running"], job["success"], job["errors"]) == (False, True, [])


def test_jobs_are_told_to_their_own_sender_only(integration: Integration) -> None:
    other = Integration.objects.create(slug="other", name="Other", kind="epcis", partner=integration.partner)
    credentials.issue(other, clock.now(), None, secret="another-secret-of-epcis")
    location = ask(integration, "capture", as_json(event()))["Location"]
    number = location.rpartition("/")[2]
    refusals = [
        ask(integration, location, secret="wrong"),
        ask(integration, f"/in/AAAAAAAAAAAAAAAAAAAAAA/capture/{number}"),
        ask(other, f"capture/{number}"),
    ]
    assert {one.status_code for one in refusals} == {401}
    assert len({one.content for one in refusals}) == 1
    foreign = ask(other, f"capture/{number}", secret="another-secret-of-epcis")
    missing = ask(other, f"capture/{10**17}", secret="another-secret-of-epcis")
    assert (foreign.status_code, foreign.content) == (404, missing.content)
    assert [ask(integration, path).status_code for path in ("capture", "", "capture/x", f"batch/{number}")] == [
        405,
        405,
        405,
        401,
    ]


def test_asking_for_a_job_gives_its_connection_back(integration: Integration, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one thread writes all deliveries, the others hold no connection, and a question must leave none behind."""
    given_back: list[str] = []
    monkeypatch.setattr(doors, "close_old_connections", lambda: given_back.append("back"))
    path = f"/in/{integration.endpoint_id}/capture/1"
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_AUTHORIZATION": f"Bearer {SECRET}"}
    statuses: list[str] = []
    with override_settings(GROUP_COMMIT=True):
        for _ in range(2):
            given_back.clear()
            doors.Doors(lambda *_: [])(dict(environ), lambda status, _: statuses.append(status))
            assert given_back == ["back", "back"]
    assert statuses == ["404 Not Found"] * 2


def test_an_event_sent_in_every_way_is_recorded_once(integration: Integration) -> None:
    """The same goods movement as XML, as JSON-LD, with Digital Links and captured twice: one event."""
    linked = event(epcList=[f"https://id.gs1.org/00/{PLAIN}"], bizStep="https://ref.gs1.org/cbv/BizStep-shipping")
    for body in (as_json(event()), as_json(linked), as_xml(event()), as_xml(event(), version=1), as_json(event())):
        ask(integration, "capture", body)
    process(clock.now())
    assert Event.objects.count() == 1
    assert sum(ReceiptState.objects.values_list("duplicates", flat=True)) == 4
    assert not ReceiptState.objects.filter(conflicts__gt=0).exists()


def test_events_that_belong_to_no_flow_are_kept(integration: Integration) -> None:
    ask(integration, "capture", as_json(event(epcList=[], bizStep="sensor_reporting")))
    process(clock.now())
    assert Event.objects.get().references == []
