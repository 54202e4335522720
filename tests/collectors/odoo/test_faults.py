"""Odoo fails in every way it was seen to fail: a clear sentence each time, nothing lost, nothing doubled."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from apps.collectors.contract import PollFailed
from apps.collectors.kinds import odoo as kind
from apps.collectors.models import OdooRecord, Receipt
from apps.collectors.odoo.client import Patience
from apps.collectors.sources import context_of
from apps.core.outbound import OutboundFailed, Response
from apps.incidents.models import Finding
from apps.integrations.models import Credential
from apps.simulator.odoo_server import Canned
from apps.simulator.odoo_store import OdooStore
from apps.sla.sources import listen
from tests.collectors.odoo.conftest import Clock, Tower
from tests.collectors.odoo.test_following import open_findings, order, picking, types

pytestmark = pytest.mark.django_db

DEBUG = 'Traceback (most recent call last):\n  File "/opt/odoo/odoo/http.py", line 2273\n'


def error(status: int, name: str, message: str) -> Canned:
    body = {"name": name, "message": message, "arguments": [message], "context": {}, "debug": DEBUG}
    return Canned(status, json.dumps(body).encode(), path="sale.order/search_read")


HTML = "text/html; charset=utf-8"
FAULTS = {
    "401": (error(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey"), "refused the key"),
    "403": (error(403, "odoo.exceptions.AccessError", "You are not allowed to access 'Sales Order'"), "not allowed"),
    "422": (error(422, "odoo.exceptions.UserError", "Something is wrong"), "Something is wrong"),
    "500": (error(500, "builtins.ValueError", "Invalid field 'x' on 'sale.order'"), "Invalid field 'x'"),
    "html": (Canned(200, b"<html>Login</html>", HTML, path="sale.order/search_read"), "text/html"),
    "html 502": (Canned(502, b"<html>Bad gateway</html>", HTML, path="sale.order/search_read"), "502"),
    "html 404": (Canned(404, b"<html>none</html>", HTML, path="sale.order/search_read"), "database"),
    "303": (Canned(303, b"", HTML, {"Location": "/web/login"}, path="sale.order/search_read"), "redirect"),
    "truncated": (Canned(200, b'[{"id": 1, "na', announced=4_000, path="sale.order/search_read"), "broke off"),
    "cut json": (Canned(200, b'[{"id": 1, "na', path="sale.order/search_read"), "no valid JSON"),
    "wrong type": (Canned(200, b'{"id": 1}', path="sale.order/search_read"), "no list of records"),
    "text ids": (Canned(200, b'[{"id": "1"}]', path="sale.order/search_read"), "no list of records"),
    "repeated page": (
        Canned(
            200,
            b'[{"id": 2, "write_date": "2026-11-23 08:00:00"}, {"id": 2, "write_date": "2026-11-23 08:00:00"}]',
            path="sale.order/search_read",
        ),
        "twice",
    ),
    "bad fields": (Canned(200, b"[]", path="sale.order/fields_get"), "fields of sale.order"),
    "too large": (Canned(200, b"x", announced=10**9, path="sale.order/fields_get"), "larger than"),
    "no version": (Canned(200, b'{"version_info": []}', path="/web/version"), "version"),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_is_told_and_loses_nothing(tower: Tower, store: OdooStore, clock: Clock, fault: str) -> None:
    canned, words = FAULTS[fault]
    sale = order(store)
    picking(store, sale)
    cursor = tower.state.cursor
    tower.server.canned.append(canned)
    if fault == "no version":  # asked a second way before giving up
        tower.server.canned.append(Canned(200, b'{"jsonrpc": "2.0", "id": 1, "result": {}}', path="/jsonrpc"))
    summary = tower.poll(clock.forward(seconds=60))
    assert words in summary.error
    assert summary.error[-1] in ".…"
    state = tower.state
    assert state.last_error == summary.error
    assert state.failures == 1
    lasting = fault in ("401", "html 404")
    assert open_findings() == (["source.stale"] if lasting else ["source.partial"] if fault == "403" else [])
    assert (state.stale_since is not None) == lasting
    assert state.poll_lease_until is None
    if fault != "403":  # the others are read all the same
        assert state.cursor == cursor
    assert not tower.server.canned, "the fault was not met"

    assert tower.poll(clock.forward(minutes=20)).error == ""
    assert sorted(types(tower)) == ["order.created", "picking.created", "stock.allocated"]
    state = tower.state
    assert (state.failures, state.last_error) == (0, "")
    listen(clock.now)  # the sweep
    assert tower.state.stale_since is None
    assert open_findings() == []
    kept = "".join([*(bytes(one.body).decode() for one in Receipt.objects.all()), summary.error, str(state.cursor)])
    assert "Traceback" not in kept


def test_odoo_away_in_the_middle_of_a_round(tower: Tower, store: OdooStore, clock: Clock) -> None:
    """The pages before the failure stay; the next round goes on behind them."""
    tower.set(page_size=4)
    for _ in range(10):
        order(store)
    calls = 0

    def fail(path: str) -> None:
        nonlocal calls
        calls += path.endswith("sale.order/search_read")
        if calls == 3:
            calls += 1
            tower.server.canned.append(Canned(503, b"", HTML, path="sale.order/search_read"))

    tower.server.before = fail
    summary = tower.poll(clock.forward(seconds=60))
    assert "503" in summary.error
    assert len(tower.take()) == 8
    assert tower.state.cursor["windows"]["sale.order"]["after"] == 8
    assert tower.poll(clock.forward(minutes=5)).error == ""
    assert [event.data["odoo_id"] for event in tower.take()] == [9, 10]


def test_odoo_down_and_back(tower: Tower, store: OdooStore, clock: Clock) -> None:
    order(store)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = tower.integration.settings["base_url"]
    tower.set(base_url=f"http://127.0.0.1:{port}")
    pauses, heard_at = [], tower.state.last_success_at
    for _ in range(6):
        summary = tower.poll(clock.forward(minutes=1))
        assert "could not be reached (connection refused)" in summary.error
        next_poll_at = tower.state.next_poll_at
        assert next_poll_at is not None
        pauses.append((next_poll_at - clock.now).total_seconds())
    assert pauses == [60, 120, 240, 480, 900, 900]
    assert tower.state.stale_since == heard_at, "from its last word on"
    assert open_findings() == ["source.stale"]
    assert Finding.objects.get().sentence.startswith("Odoo was last read 2026-11-23 08:00 UTC. http://127.0.0.1:")
    tower.set(base_url=url)
    assert tower.poll(clock.forward(minutes=10)).error == ""
    assert types(tower) == ["order.created"]
    listen(clock.now)
    assert (tower.state.stale_since, open_findings()) == (None, [])


def test_an_internal_address_needs_an_allowance(tower: Tower, clock: Clock) -> None:
    tower.set(allow_networks=[])
    asked = len(tower.server.requests)
    assert "no public address" in tower.poll(clock.forward(minutes=1)).error
    assert len(tower.server.requests) == asked


def test_a_slow_drip_holds_no_worker(tower: Tower, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        sock, _ = listener.accept()
        try:
            while True:
                sock.sendall(b"H")
                time.sleep(0.05)
        except OSError:
            sock.close()

    threading.Thread(target=drip, daemon=True).start()
    monkeypatch.setattr(kind, "ROUND_SECONDS", 0.5)
    tower.set(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
    started = time.monotonic()
    assert "did not answer completely" in tower.poll(clock.forward(minutes=1)).error
    assert time.monotonic() - started < 5
    listener.close()


def test_patience_ends_for_the_whole_round() -> None:
    given: list[float] = []

    def send(method: str, url: str, *, timeout: float) -> Response:
        given.append(timeout)
        time.sleep(0.05)
        return Response(200, {}, b"")

    patient = Patience(send, 0.12)

    def ask_often() -> None:
        for _ in range(10):
            patient("GET", "/", timeout=10)

    with pytest.raises(OutboundFailed, match="so slowly"):
        ask_often()
    assert 1 <= len(given) <= 4
    assert max(given) <= 0.12


def test_a_damaged_record_is_an_issue_and_the_others_go_on(tower: Tower, store: OdooStore, clock: Clock) -> None:
    good, bad = order(store), order(store, name=["no", "text"])
    worse = order(store, write_date=clock.now)
    store.records["sale.order"][worse]["create_date"] = "yesterday"
    assert tower.poll(clock.forward(seconds=60)).error == ""
    assert [event.data["odoo_id"] for event in tower.take()] == [good]
    assert [issue.code for issue in tower.issues] == ["odoo.unreadable_record"] * 2
    assert f"sale.order {bad} " in tower.issues[0].sentence
    tower.poll(clock.forward(seconds=60))
    assert len(tower.issues) == 2, "told once"
    store.write("sale.order", bad, {"name": "S00002"})
    tower.poll(clock.forward(seconds=60))
    assert types(tower) == ["order.created"], "healed, and still new to us"


def test_unknown_states_are_kept_with_their_labels(tower: Tower, store: OdooStore, clock: Clock) -> None:
    sale = order(store, state="sale")
    out = picking(store, sale)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    store.fields["sale.order"]["state"]["selection"].append(["hold", "On hold"])
    store.write("sale.order", sale, {"state": "hold"})
    store.write("stock.picking", out, {"state": "frozen"})
    tower.poll(clock.forward(seconds=60))
    changed, frozen = tower.take()
    assert (changed.type, changed.data["state"], changed.data["state_label"]) == ("order.changed", "hold", "On hold")
    assert (frozen.type, frozen.data["state"]) == ("picking.changed", "frozen")
    assert [issue.code for issue in tower.issues] == ["odoo.unknown_value"] * 2
    store.write("sale.order", sale, {"state": "sale"})
    tower.poll(clock.forward(seconds=60))
    assert types(tower) == ["order.confirmed"]


def test_secrets_stay_secret(
    tower: Tower, store: OdooStore, clock: Clock, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "demo-key"
    caplog.set_level(logging.DEBUG)
    order(store)
    errors = [tower.poll(clock.forward(seconds=60)).error]
    store.keys.clear()
    errors.append(tower.poll(clock.forward(seconds=60)).error)
    for protocol in ("jsonrpc", "xmlrpc"):
        tower.set(protocol=protocol)
        errors.append(tower.poll(clock.forward(minutes=20)).error)
    assert all("refused the key" in one for one in errors[1:])
    state = tower.state
    shown = capsys.readouterr()
    everything = [*errors, caplog.text, shown.out, shown.err, str(state.cursor), state.last_error, state.stale_reason]
    everything += [str((bytes(one.body), one.headers)) for one in Receipt.objects.all()]
    everything += [str(one.facts) for one in OdooRecord.objects.all()]
    assert key not in "".join(everything)


def test_an_unreadable_credential_and_a_missing_one(tower: Tower, clock: Clock) -> None:
    Credential.objects.filter(integration=tower.integration).update(ciphertext=b"damaged")
    assert "cannot be opened" in tower.poll(clock.forward(minutes=1)).error
    Credential.objects.filter(integration=tower.integration).delete()
    assert "No API key" in tower.poll(clock.forward(minutes=20)).error


def test_poll_raises_poll_failed(tower: Tower, clock: Clock) -> None:
    for settings, permanent in (({"base_url": "nowhere"}, True), ({"overlap_seconds": "soon"}, True)):
        tower.set(**settings)
        with pytest.raises(PollFailed, match="not usable") as caught:
            list(kind.Odoo().poll(context_of(tower.integration), ["k"], {}, clock.now))
        assert caught.value.permanent is permanent


def test_a_damaged_cursor_starts_the_window_anew(connect: Callable[..., Tower], store: OdooStore, clock: Clock) -> None:
    tower: Any = connect(store, "demo-key", "tower")
    order(store)
    assert tower.poll(clock.forward(seconds=60)).error == ""
    tower.take()
    state = tower.state
    state.cursor = {}
    state.save()
    order(store)
    assert tower.poll(clock.forward(seconds=60)).error == ""
    assert types(tower) == ["order.created"], "what was known is remembered beside the cursor"
