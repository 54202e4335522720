"""The doors: authenticate, commit the bytes, answer; never a 500, never a hint to strangers."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client

from apps.collectors import directory, doors
from apps.collectors.contract import COLLECTORS, Collector
from apps.collectors.directory import DIRECTORY
from apps.collectors.models import DoorRefusal, Receipt, ReceiptState
from apps.collectors.processing import process
from apps.collectors.refusals import Refusals
from apps.core import clock
from apps.flows.models import Event
from apps.integrations import credentials
from apps.integrations.models import Credential, Integration
from tests.collectors.conftest import NOW, SECRET, Probe
from tests.collectors.knocking import BODY, environ, post, say

pytestmark = pytest.mark.django_db


def test_a_delivery_is_committed_then_accepted(integration: Integration) -> None:
    answer = post(integration, idempotency_key="k-1", user_agent="probe/1")
    assert (answer.status_code, answer["content-type"]) == (202, "application/json")
    receipt = Receipt.objects.get()
    assert answer.json() == {"receipt": receipt.pk, "status": "accepted"}
    assert (bytes(receipt.body), receipt.door, receipt.delivery_id) == (BODY, "http", "k-1")
    assert receipt.headers["user-agent"] == "probe/1"
    assert SECRET not in json.dumps(receipt.headers)
    assert ReceiptState.objects.get().status == "waiting"
    process(clock.now())
    assert Event.objects.get().receipt_id == receipt.pk


def test_nothing_is_parsed_before_the_answer(integration: Integration, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*args: Any) -> None:
        raise AssertionError("parsed at the door")

    monkeypatch.setattr(Probe, "parse", parse)
    assert post(integration, b"\xff\x00 anything").status_code == 202


def test_a_secret_in_any_header_is_not_kept(integration: Integration) -> None:
    post(integration, x_event_id=SECRET, x_other=f"key={SECRET};v=1", x_plain="plain")
    headers = Receipt.objects.get().headers
    assert SECRET not in json.dumps(headers)
    assert headers["x-plain"] == "plain"


def test_headers_of_the_server_itself_are_not_the_senders(
    integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "_NOT_HEADERS", frozenset({"HTTP_PROXY"}))
    post(integration, proxy="http://me:hush@proxy")
    assert "proxy" not in Receipt.objects.get().headers


@pytest.mark.parametrize("path", ["", "batch", "batch/", "v1/traces"])
def test_paths_of_a_door(integration: Integration, path: str) -> None:
    assert post(integration, path=path).status_code == 202
    assert Receipt.objects.get().door == ("batch" if "batch" in path else "http")


def test_an_address_without_its_slash_is_the_same_door(integration: Integration) -> None:
    answer = Client().post(
        f"/in/{integration.endpoint_id}", BODY, "application/json", headers={"authorization": f"Bearer {SECRET}"}
    )
    assert answer.status_code == 202


def test_a_batch_gives_many_events(integration: Integration) -> None:
    rows = [{"id": str(n), "order": "A"} for n in range(100)]
    assert post(integration, json.dumps(rows).encode(), "batch").status_code == 202
    assert process(clock.now()).events == 100


def test_other_methods(integration: Integration) -> None:
    for method in ("get", "head", "put", "delete", "patch", "options"):
        answer = getattr(Client(), method)(f"/in/{integration.endpoint_id}/")
        unknown = getattr(Client(), method)("/in/nobody/")
        assert (answer.status_code, answer["allow"]) == (405, "POST")
        assert (unknown.status_code, unknown.content) == (405, answer.content)


def test_a_protocols_own_answer(integration: Integration) -> None:
    answer = post(integration, x_want="teapot")
    assert (answer.status_code, answer["content-type"], answer.content) == (200, "application/x-tea", b"tea")
    assert post(integration, x_want="crash").status_code == 202
    assert Receipt.objects.count() == 2


# --- strangers


def test_all_refusals_look_the_same_and_keep_nothing(integration: Integration, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Integration.objects.create(slug="b", name="b", kind="probe")
    credentials.issue(other, NOW, None, secret="secret-of-b")
    disabled = Integration.objects.create(slug="c", name="c", kind="probe", enabled=False)
    retired = Integration.objects.create(slug="d", name="d", kind="probe", lifecycle="retired")
    foreign = Integration.objects.create(slug="e", name="e", kind="not-installed")

    class Silent(Probe):
        kind = "silent"
        has_door = False

    monkeypatch.setitem(COLLECTORS.plugins, "silent", Silent())
    doorless = Integration.objects.create(slug="f", name="f", kind="silent")
    for one in (disabled, retired, foreign, doorless):
        credentials.issue(one, NOW, None, secret=SECRET)
    naked = Integration.objects.create(slug="g", name="g", kind="probe")
    expired = Integration.objects.create(slug="h", name="h", kind="probe")
    credentials.issue(expired, NOW, None, secret=SECRET)
    Credential.objects.filter(integration=expired).update(expires_at=clock.now())

    refused = [post(one) for one in (disabled, retired, foreign, doorless, naked, expired, other)]
    refused += [post(integration, secret="wrong"), post(integration, secret=""), post(integration, path="v1/other")]
    refused += [post(integration, secret="é\u20ac".encode().decode("latin-1"))]
    stranger = Integration(endpoint_id="A" * 22)
    refused += [post(stranger), post(Integration(endpoint_id="%00")), post(Integration(endpoint_id="x" * 500))]
    refused += [post(Integration(endpoint_id="%ff%fe")), post(Integration(endpoint_id="..%2f"))]
    told = {
        (answer.status_code, answer.content, tuple(sorted(i for i in answer.items() if i[0] != "X-Request-ID")))
        for answer in refused
    }
    assert len(told) == 1
    assert next(iter(told))[0] == 401
    assert not Receipt.objects.exists()


def test_refusals_are_counted_not_kept(integration: Integration, monkeypatch: pytest.MonkeyPatch) -> None:
    counters = Refusals(interval=0)
    monkeypatch.setattr(doors, "REFUSALS", counters)
    for _ in range(3):
        post(integration, secret="wrong")
    post(Integration(endpoint_id="nobody"))
    cells = {(row.integration_id, row.reason): row.count for row in DoorRefusal.objects.all()}
    assert cells == {(integration.pk, "not_authentic"): 3, (None, "no_such_door"): 1}


def test_refusal_counters_are_capped_and_survive_an_outage(
    integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = Refusals(interval=0)
    for number in range(1_500):
        counters.count(number, "not_authentic", NOW)
    assert len(counters._counts) == 1_001
    with monkeypatch.context() as patched:

        def away(*args: Any) -> None:
            raise OperationalError

        patched.setattr("apps.collectors.refusals.raw_cursor", away)
        counters.write()
    assert counters._counts.total() == 1_500
    counters.write()
    assert sum(DoorRefusal.objects.values_list("count", flat=True)) == 1_500
    assert not counters.due()


def test_what_makes_authentication_crash_is_not_authentic(
    integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*args: Any) -> None:
        raise UnicodeEncodeError("utf-8", "x", 0, 1, "no")

    monkeypatch.setattr(Probe, "authenticate", crash)
    assert post(integration).status_code == 401


def test_keys_rotate_and_a_revoked_one_ends_within_a_second(
    integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [100.0]
    monkeypatch.setattr(directory.time, "monotonic", lambda: seconds[0])
    old = Credential.objects.get()
    _, new = credentials.issue(integration, clock.now(), None)
    assert post(integration, secret=new).status_code == 202
    assert post(integration).status_code == 202, "the old key overlaps"
    credentials.revoke(old, clock.now(), None)
    seconds[0] += 1.0
    assert post(integration).status_code == 401
    assert post(integration, secret=new).status_code == 202
    Integration.objects.update(enabled=False)
    seconds[0] += 1.0
    assert post(integration, secret=new).status_code == 401


def test_while_one_thread_reads_anew_the_others_go_on_for_less_than_a_second(
    integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [100.0]
    monkeypatch.setattr(directory.time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(directory, "PATIENCE", 0.01)
    known = DIRECTORY.find(integration.endpoint_id, clock.now())
    DIRECTORY._reading.acquire()
    try:
        seconds[0] += 0.9
        assert DIRECTORY.find(integration.endpoint_id, clock.now()) is known
        seconds[0] += 0.1
        with pytest.raises(directory.Busy):
            DIRECTORY.find(integration.endpoint_id, clock.now())
    finally:
        DIRECTORY._reading.release()
    assert DIRECTORY.find(integration.endpoint_id, clock.now()) is not known


def test_an_expired_key_ends_even_while_remembered(integration: Integration) -> None:
    soon = clock.now() + timedelta(hours=1)
    Credential.objects.update(expires_at=soon)
    endpoint = DIRECTORY.find(integration.endpoint_id, clock.now())
    assert endpoint is not None
    assert endpoint.secrets(soon - timedelta(seconds=1)) == [SECRET]
    assert endpoint.secrets(soon) == []


def test_an_unreadable_credential_does_not_close_the_door(integration: Integration) -> None:
    Credential.objects.create(integration=integration, ciphertext=b"lost key", hint="", created_at=NOW)
    assert post(integration).status_code == 202


def test_the_database_is_asked_once_a_second_not_once_a_request(
    integration: Integration, django_assert_num_queries: Any
) -> None:
    post(integration)
    with django_assert_num_queries(0):  # the INSERT goes past Django's own cursors
        doors.answer(environ(integration, BODY), integration.endpoint_id, "", clock.now())
    post(Integration(endpoint_id="nobody"))
    with django_assert_num_queries(0):
        doors.answer(environ(integration, BODY), "nobody", "", clock.now())


# --- what fails before the commit


@pytest.mark.parametrize("where", ["apps.collectors.doors.store", "apps.collectors.directory._read"])
@pytest.mark.parametrize("error", [OperationalError("away"), RuntimeError("a defect"), MemoryError()])
def test_cannot_commit_is_503_with_retry_after(
    integration: Integration, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr(where, fail)
    answer = post(integration)
    assert (answer.status_code, answer["retry-after"]) == (503, "5")
    assert not Receipt.objects.exists()


def test_a_busy_directory_is_503(integration: Integration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "PATIENCE", 0.01)
    DIRECTORY._reading.acquire()
    try:
        assert post(integration).status_code == 503
    finally:
        DIRECTORY._reading.release()


def test_a_read_only_database_is_503(integration: Integration) -> None:
    post(integration)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL transaction_read_only = on")
        assert say(integration, BODY).status == 503
        transaction.set_rollback(True)


# --- in front of Django


def test_the_wsgi_layer_takes_only_its_own_paths(integration: Integration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "close_old_connections", lambda: None)  # it would end the test's own transaction
    seen: list[str] = []

    def django(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ["PATH_INFO"])
        return [b"django"]

    started: list[Any] = []
    layer = doors.Doors(django)
    for path in ("/", "/in/", "/inbox", "/incidents/", ""):
        assert list(layer({"PATH_INFO": path}, started.append)) == [b"django"]
    assert len(seen) == 5
    body = layer(environ(integration, BODY), lambda status, headers: started.append((status, dict(headers))))
    status, headers = started[0]
    assert status == "202 Accepted"
    assert headers["Content-Length"] == str(len(b"".join(body)))
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_every_kind_with_a_door_has_a_limit_below_the_ceiling() -> None:
    for kind, collector in COLLECTORS.plugins.items():
        assert isinstance(collector, Collector)
        if collector.has_door:
            assert 0 < collector.max_body <= doors.ceiling(), kind
