"""Odoo's own webhooks are hints: what they say is never believed, only where they point is looked at, and not too often."""

from __future__ import annotations

import base64
import io
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors import doors
from apps.collectors.contract import COLLECTORS
from apps.collectors.models import Receipt
from apps.collectors.odoo.hints import MOST_RECORDS, gathered, hints_of
from apps.collectors.polling import poll_due
from apps.collectors.processing import process
from apps.collectors.receiving import NewReceipt
from apps.collectors.receiving import store as keep
from apps.core.secrets import encrypt
from apps.flows.models import Event
from apps.integrations.models import Credential, Integration, SourceState
from apps.simulator.odoo_store import OdooStore
from tests.collectors.odoo.conftest import START, Clock, Tower
from tests.collectors.odoo.recordings import folder
from tests.collectors.odoo.test_following import order, picking, types


@pytest.fixture
def hook(tower: Tower) -> Integration:
    settings = {"source": tower.integration.slug}
    return Integration.objects.create(slug="odoo-hook", name="Odoo's webhooks", kind="odoo_hook", settings=settings)


def post(hook: Integration, at: datetime, *documents: Any) -> None:
    """What came through the door, processed."""
    for document in documents:
        body = json.dumps(document).encode()
        keep([NewReceipt(hook.pk, "http", body, "application/json", {}, "", at)])
    while process(at).moved:
        pass


def reads(tower: Tower, since: int) -> list[dict[str, Any]]:
    """Searches by id since then."""
    found = [json.loads(body) for path, body in tower.server.requests[since:] if path.endswith("/search_read")]
    return [one for one in found if one["domain"] and one["domain"][0][:2] == ["id", "in"]]


@pytest.mark.django_db
def test_a_hinted_record_is_read_at_once_and_only_odoo_is_believed(
    tower: Tower, store: OdooStore, clock: Clock, hook: Integration
) -> None:
    sale = order(store)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    clock.forward(hours=1)
    tower.poll(clock.now)
    old = clock.now - timedelta(minutes=30)  # committed so late that no window finds it
    store.records["sale.order"][sale] |= {"state": "sale", "write_date": old}
    forged = {"_model": "sale.order", "_id": sale, "state": "cancel", "name": "S66666", "amount_total": 0}
    post(hook, clock.forward(seconds=20), forged)
    assert [one.slug for one in poll_due(clock.now)] == [tower.integration.slug], "due before its time"
    tower.read()
    (event,) = tower.take()
    assert (event.type, event.data["value"]) == ("order.confirmed", "10")
    assert {ref.value for ref in event.references} == {f"S{sale:05}"}
    assert not Event.objects.filter(integration=hook).exists()
    asked = len(tower.server.requests)
    tower.poll(clock.forward(seconds=60))
    assert reads(tower, asked) == [], "looked at once"


@pytest.mark.django_db
def test_a_hint_for_a_move_leads_to_its_transfer(
    tower: Tower, store: OdooStore, clock: Clock, hook: Integration
) -> None:
    out = picking(store, order(store, state="sale"))
    tower.poll(clock.forward(seconds=60))
    tower.take()
    clock.forward(hours=1)
    tower.poll(clock.now)
    store.records["stock.move"][1] |= {"quantity": 2.0}
    post(hook, clock.now, {"_model": "stock.move", "_id": 1}, {"_model": "stock.picking", "_id": out})
    tower.poll(clock.forward(seconds=10))
    assert types(tower) == ["stock.unallocated"]


@pytest.mark.django_db
def test_a_flood_of_hints_costs_a_bounded_number_of_readings(
    tower: Tower, store: OdooStore, clock: Clock, hook: Integration
) -> None:
    for _ in range(5):
        order(store)
    tower.poll(clock.forward(seconds=60))
    post(hook, clock.forward(seconds=10), [{"_model": "sale.order", "_id": id_} for id_ in range(1, 5_000)])
    post(hook, clock.now, [{"_model": "res.users", "_id": id_} for id_ in range(1, 500)], *[
        {"_model": "sale.order", "_id": 3}] * 20)  # fmt: skip
    asked = len(tower.server.requests)
    tower.poll(clock.forward(seconds=1))
    ids = [id_ for one in reads(tower, asked) for id_ in one["domain"][0][2]]
    assert 0 < len(ids) <= MOST_RECORDS
    assert not [path for path, _ in tower.server.requests if "/res.users/search_read" in path]
    assert len(Receipt.objects.filter(integration=tower.integration)) == 1, "what is known gives no receipt"


@pytest.mark.django_db
def test_hints_leave_a_source_its_breath(tower: Tower, clock: Clock, hook: Integration) -> None:
    post(hook, clock.forward(seconds=1), {"_model": "sale.order", "_id": 1})
    assert poll_due(clock.forward(seconds=1)) == [], "read two seconds ago"
    post(hook, clock.forward(seconds=10), {"_model": "sale.order", "_id": 1})
    assert len(poll_due(clock.now)) == 1
    assert poll_due(clock.forward(seconds=6)) == [], "a hint brings it forward once"
    SourceState.objects.filter(integration=tower.integration).update(failures=2)
    post(hook, clock.forward(seconds=10), {"_model": "sale.order", "_id": 1})
    assert poll_due(clock.now) == [], "a source that fails keeps its pace"
    SourceState.objects.filter(integration=tower.integration).update(failures=0)
    Integration.objects.filter(pk=hook.pk).update(settings={"source": "another"})
    assert poll_due(clock.now) == []


def test_the_secret_stands_in_the_address() -> None:
    """requests sends ``https://any:SECRET@host/`` as HTTP Basic; Odoo can set no header."""
    collector = COLLECTORS.get("odoo_hook")

    def accepted(headers: dict[str, str], secrets: list[str], **settings: str) -> bool:
        return collector.authenticate(headers, b"{}", secrets, START, settings).accepted

    basic = "Basic " + base64.b64encode(b"odoo:s3cret:with colon").decode()
    assert accepted({"authorization": basic}, ["other", "s3cret:with colon"])
    assert accepted({"authorization": "Bearer s3cret"}, ["s3cret"])
    assert accepted({"x-token": "s3cret"}, ["s3cret"], token_header="X-Token")
    for headers in (
        {"authorization": basic},
        {"authorization": "Basic !!"},
        {"x-token": "s3cret"},
        {"x-token": ""},
        {},
    ):
        assert not accepted(headers, ["s3cret"])
        assert not accepted(headers, [""], token_header="X-Token")
        assert not accepted(headers, [], token_header="X-Token")


def test_recorded_posts_name_their_records() -> None:
    at = folder(19) / "05_webhooks" / "received_posts.json"
    if not at.exists():
        pytest.skip(f"the recording is absent: {at}")
    posts = [one for many in json.loads(at.read_text()).values() if isinstance(many, list) for one in many]
    assert len(posts) > 50
    for one in posts:
        assert hints_of(json.dumps(one["body"]).encode()) == [(one["body"]["_model"], one["body"]["_id"])]


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["_model", "_id", "model", "id", "x"]), inner, max_size=3), max_leaves=8)  # fmt: skip


def test_only_models_that_are_read_count() -> None:
    posts = [{"_model": "res.users", "_id": 2}, {"_model": "sale.order", "_id": 7}, {"_model": "sale.order", "_id": 7}]
    bodies = [json.dumps(one).encode() for one in posts] + [json.dumps(posts).encode(), b"{"]
    assert gathered(bodies, ["sale.order", "stock.picking"]) == {"sale.order": [7]}


@given(st.lists(st.binary(max_size=30) | JSON.map(lambda value: json.dumps(value).encode()), max_size=8))
def test_whatever_comes_only_ids_of_models_we_read_come_out(bodies: list[bytes]) -> None:
    found = gathered(bodies, ["sale.order"])
    assert set(found) <= {"sale.order"}
    assert all(isinstance(id_, int) and id_ > 0 for ids in found.values() for id_ in ids)


@pytest.mark.django_db
def test_through_the_door(tower: Tower, store: OdooStore, clock: Clock, hook: Integration) -> None:
    """As Odoo sends it: the secret of the address as HTTP Basic, which no receipt keeps."""
    Credential.objects.create(integration=hook, ciphertext=encrypt("s3cret"), hint="cret", created_at=START)
    tower.poll(clock.forward(seconds=60))
    order(store)
    body = json.dumps({"_action": "Tell the tower(#490)", "_id": 1, "_model": "sale.order"}).encode()

    def knock(password: str) -> int:
        basic = base64.b64encode(f"odoo:{password}".encode()).decode()
        environ = {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_AUTHORIZATION": f"Basic {basic}",
            "HTTP_USER_AGENT": "python-requests/2.31.0",
            "wsgi.input": io.BytesIO(body),
        }
        return doors.answer(environ, hook.endpoint_id, "", clock.now).status

    clock.forward(seconds=10)
    assert knock("wrong") == 401
    assert knock("s3cret") == 202
    receipt = Receipt.objects.get(integration=hook)
    assert bytes(receipt.body) == body
    assert "s3cret" not in json.dumps(receipt.headers)
    assert base64.b64encode(b"odoo:s3cret").decode() not in json.dumps(receipt.headers)
    while process(clock.now).moved:
        pass
    assert len(poll_due(clock.now)) == 1
    tower.read()
    assert types(tower) == ["order.created"]
