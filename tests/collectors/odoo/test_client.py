"""The client against recorded answers of real servers: every error a sentence, no traceback, no key."""

from __future__ import annotations

import json
import xmlrpc.client
from collections.abc import Callable
from typing import Any

import pytest

from apps.collectors.odoo.answers import OdooError, Trouble, first_line
from apps.collectors.odoo.client import OdooClient, Server, connect, detect
from apps.collectors.odoo.settings import OdooForm, OdooSettings, read_settings
from apps.core.outbound import OutboundFailed, OutboundRefused, RedirectRefused, Response
from tests.collectors.odoo.recordings import folder

KEY = "canary-key-0f9b"


def settings(**more: Any) -> OdooSettings:
    return OdooSettings("https://odoo.example", database="lab", login="tower", **more)


def reply(recorded: dict[str, Any]) -> Response:
    answer = recorded["response"]
    body = answer["body"]
    raw = body if isinstance(body, str) else json.dumps(body)
    return Response(answer["status"], {k.lower(): v for k, v in answer["headers"].items()}, raw.encode())


def playing(recorded: dict[str, Any]) -> Callable[..., Response]:
    def send(*args: Any, **kwargs: Any) -> Response:
        found = reply(recorded)
        if 300 <= found.status < 400:
            raise RedirectRefused("redirect", permanent=True)
        return found

    return send


def recording(major: int, name: str) -> dict[str, Any]:
    return json.loads((folder(major) / "01_protocol" / f"{name}.json").read_text())


ERRORS = [
    (19, "json2_err_bad_key", "json2", Trouble.KEY),
    (19, "json2_err_expired_key", "json2", Trouble.KEY),
    (19, "json2_err_no_auth", "json2", Trouble.KEY),
    (19, "json2_err_access_right_model", "json2", Trouble.RIGHTS),
    (19, "json2_err_access_right_stock_picking", "json2", Trouble.RIGHTS),
    (19, "json2_err_private_method", "json2", Trouble.RIGHTS),
    (19, "json2_err_unknown_model", "json2", Trouble.MODEL),
    (19, "json2_err_unknown_method", "json2", Trouble.REQUEST),
    (19, "json2_err_unknown_db", "json2", Trouble.DATABASE),
    (19, "json2_err_user_error_422", "json2", Trouble.REQUEST),
    (19, "json2_err_missing_kwarg", "json2", Trouble.REQUEST),
    (19, "json2_err_unknown_field_read", "json2", Trouble.REQUEST),
    (19, "json2_err_bad_date_value", "json2", Trouble.REQUEST),
    (19, "json2_err_invalid_json", "json2", Trouble.REQUEST),
    (19, "json2_err_wrong_content_type", "json2", Trouble.ANSWER),
    (18, "json2_absent_in_18", "json2", Trouble.ANSWER),
    (19, "jsonrpc_err_bad_key", "jsonrpc", Trouble.KEY),
    (19, "jsonrpc_err_bad_db", "jsonrpc", Trouble.DATABASE),
    (19, "jsonrpc_err_unknown_model", "jsonrpc", Trouble.MODEL),
    (18, "jsonrpc_err_access_right", "jsonrpc", Trouble.RIGHTS),
    (18, "jsonrpc_err_bad_key", "jsonrpc", Trouble.KEY),
    (18, "jsonrpc_err_bad_db", "jsonrpc", Trouble.DATABASE),
    (18, "jsonrpc_err_unknown_field", "jsonrpc", Trouble.REQUEST),
    (18, "jsonrpc_err_unknown_model", "jsonrpc", Trouble.MODEL),
    (18, "xmlrpc_err_access_right", "xmlrpc", Trouble.RIGHTS),
    (18, "xmlrpc_err_bad_key", "xmlrpc", Trouble.KEY),
    (18, "xmlrpc_err_unknown_field_read", "xmlrpc", Trouble.REQUEST),
    (18, "xmlrpc_err_unknown_model", "xmlrpc", Trouble.MODEL),
    (18, "xmlrpc_common_authenticate_bad_db", "xmlrpc", Trouble.DATABASE),
    (19, "xmlrpc_err_access_right", "xmlrpc", Trouble.RIGHTS),
    (19, "xmlrpc_err_unknown_field_domain", "xmlrpc", Trouble.REQUEST),
]


@pytest.mark.parametrize(("major", "name", "protocol", "trouble"), ERRORS)
def test_recorded_errors(major: int, name: str, protocol: str, trouble: Trouble) -> None:
    client = OdooClient(settings(), KEY, Server(f"{major}.0", major, protocol), playing(recording(major, name)))
    with pytest.raises(OdooError) as caught:
        client.call("sale.order", "search_read", domain=[], fields=["name"], limit=1)
    assert caught.value.trouble is trouble, str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert "File " not in str(caught.value)
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("major", "name", "protocol", "count"),
    [
        (19, "json2_search_read_ok", "json2", 2),
        (19, "jsonrpc_search_read_ok", "jsonrpc", 2),
        (19, "xmlrpc_search_read_ok", "xmlrpc", 2),
        (18, "jsonrpc_search_read_ok", "jsonrpc", 2),
        (18, "xmlrpc_search_read_ok", "xmlrpc", 2),
    ],
)
def test_recorded_readings(major: int, name: str, protocol: str, count: int) -> None:
    client = OdooClient(settings(), KEY, Server(f"{major}.0", major, protocol), playing(recording(major, name)))
    rows = client.search_read("sale.order", [], ["name"], 2)
    assert len(rows) == count
    assert client.server_time is not None
    assert client.server_time.isoformat().startswith("2026-11-23T06:39:")


@pytest.mark.parametrize("name", ["jsonrpc_authenticate_bad", "xmlrpc_common_authenticate_bad"])
def test_a_login_that_is_false_is_a_refused_key(name: str) -> None:
    protocol = name.partition("_")[0]
    client = OdooClient(settings(), KEY, Server("18.0", 18, protocol), playing(recording(18, name)))
    with pytest.raises(OdooError) as caught:
        client.sign_in()
    assert caught.value.trouble is Trouble.KEY


def test_versions() -> None:
    page, rpc = recording(19, "web_version"), recording(18, "jsonrpc_version")

    def nineteen(method: str, url: str, **kwargs: Any) -> Response:
        return reply(page)

    def eighteen(method: str, url: str, **kwargs: Any) -> Response:
        if url.endswith("/web/version"):
            raise RedirectRefused("redirect", permanent=True)
        return reply(rpc)

    def online(method: str, url: str, **kwargs: Any) -> Response:
        body = {"version_info": ["saas~19", 2, 0, "final", 0, ""], "version": "saas~19.2"}
        return Response(200, {"content-type": "application/json"}, json.dumps(body).encode())

    assert detect(settings(), nineteen) == Server("19.0", 19, "json2")
    assert detect(settings(), eighteen) == Server("18.0", 18, "jsonrpc")
    assert detect(settings(), online).protocol == "json2"
    assert detect(settings(protocol="xmlrpc"), nineteen).protocol == "xmlrpc"
    with pytest.raises(OdooError, match="knows no JSON-2"):
        detect(settings(protocol="json2"), eighteen)


def test_the_second_live_key_is_tried_when_the_first_is_refused() -> None:
    used: list[str] = []

    def send(method: str, url: str, *, headers: dict[str, str], **kwargs: Any) -> Response:
        if url.endswith("/web/version"):
            return Response(200, {"content-type": "application/json"}, b'{"version_info": [19, 0]}')
        used.append(headers["authorization"])
        status, body = (
            (200, b"{}") if headers["authorization"] == "bearer old" else (401, b'{"message": "Invalid apikey"}')
        )
        return Response(status, {"content-type": "application/json"}, body)

    connect(settings(), ["new", "old"], send)
    assert used == ["bearer new", "bearer old"]
    with pytest.raises(OdooError, match="refused the key"):
        connect(settings(), ["new"], send)
    with pytest.raises(OdooError, match="No API key"):
        connect(settings(), [], send)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html>login</html>"),
        ("application/json", b'[{"id": 1'),
        ("application/json", b"<html>"),
        ("application/json", b'[{"id": NaN}]'),
        ("application/json", b'["\\ud800"]'),
        ("application/json", b'[{"id": "1"}]'),
        ("application/json", b'[{"id": true}]'),
        ("application/json", b'[{"id": -1}]'),
        ("application/json", b'[{"name": "S1"}]'),
        ("application/json", b'{"id": 1}'),
        ("application/json", b"null"),
        ("application/json", b"[" * 100_000),
        ("application/json", b"\xff\xfe"),
        ("", b"[]"),
    ],
)
def test_answers_that_are_none_are_refused(content_type: str, body: bytes) -> None:
    client = OdooClient(
        settings(),
        KEY,
        Server("19.0", 19, "json2"),
        lambda *a, **k: Response(200, {"content-type": content_type}, body),
    )
    with pytest.raises(OdooError) as caught:
        client.search_read("sale.order", [], ["name"], 1)
    assert caught.value.trouble is Trouble.ANSWER


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<methodResponse>",
        b"<methodResponse><params><param><value><int>1</int></value>",
        b"<a/>",
        b"<methodResponse><params><param><value><int>"
        + b"9" * 5000
        + b"</int></value></param></params></methodResponse>",
        b"<methodResponse><params><param><value><base64>*</base64></value></param></params></methodResponse>",
    ],
)
def test_xml_that_is_no_answer_is_refused(body: bytes) -> None:
    client = OdooClient(
        settings(), KEY, Server("18.0", 18, "xmlrpc"), lambda *a, **k: Response(200, {"content-type": "text/xml"}, body)
    )
    with pytest.raises(OdooError) as caught:
        client.search_read("sale.order", [], ["name"], 1)
    assert caught.value.trouble is Trouble.ANSWER


def test_xml_with_a_document_type_is_refused_before_it_is_read() -> None:
    row = b"<struct><member><name>id</name><value><int>1</int></value></member></struct>"
    body = (
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><methodResponse><params><param><value><array><data><value>'
        + row
        + b"</value></data></array></value></param></params></methodResponse>"
    )
    client = OdooClient(
        settings(), KEY, Server("18.0", 18, "xmlrpc"), lambda *a, **k: Response(200, {"content-type": "text/xml"}, body)
    )
    with pytest.raises(OdooError, match="document type"):
        client.search_read("sale.order", [], ["name"], 1)


def test_nul_does_not_reach_the_database() -> None:
    body = b'[{"id": 1, "name": "S\\u00001"}]'
    client = OdooClient(
        settings(),
        KEY,
        Server("19.0", 19, "json2"),
        lambda *a, **k: Response(200, {"content-type": "application/json"}, body),
    )
    assert client.search_read("sale.order", [], ["name"], 1) == [{"id": 1, "name": "S\ufffd1"}]


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (OutboundFailed("not reached"), Trouble.DOWN),
        (OutboundFailed("bad certificate", permanent=True), Trouble.ANSWER),
        (OutboundRefused("no public address"), Trouble.REQUEST),
    ],
)
def test_troubles_of_the_way(error: Exception, trouble: Trouble) -> None:
    def send(*args: Any, **kwargs: Any) -> Response:
        raise error

    with pytest.raises(OdooError) as caught:
        OdooClient(settings(), KEY, Server("19.0", 19, "json2"), send).call("sale.order", "search_read")
    assert caught.value.trouble is trouble
    assert str(caught.value) == str(error)


def test_the_request_as_the_protocols_want_it() -> None:
    sent: list[tuple[str, dict[str, str], bytes]] = []

    def send(method: str, url: str, *, headers: dict[str, str], body: bytes, **kwargs: Any) -> Response:
        sent.append((url, headers, body))
        kind = "text/xml" if "xmlrpc" in url else "application/json"
        answer = xmlrpc.client.dumps(([],), methodresponse=True).encode() if "xmlrpc" in url else b"[]"
        return Response(200, {"content-type": kind}, answer if "jsonrpc" not in url else b'{"result": []}')

    for protocol in ("json2", "jsonrpc", "xmlrpc"):
        client = OdooClient(settings(), KEY, Server("19.0", 19, protocol), send)
        assert client.search_read("sale.order", [["id", ">", 5]], ["name"], 10) == []
    (url, headers, body), (_, _, rpc), (_, _, xml) = sent
    assert url == "https://odoo.example/json/2/sale.order/search_read"
    assert headers["authorization"] == f"bearer {KEY}"
    assert headers["x-odoo-database"] == "lab"
    assert json.loads(body)["domain"] == [["id", ">", 5]]
    assert json.loads(rpc)["params"]["args"][3:6] == ["sale.order", "search_read", [[["id", ">", 5]]]]
    assert xmlrpc.client.loads(xml)[0][5] == [[["id", ">", 5]]]


def test_first_line_is_short() -> None:
    assert first_line("\n  one\ntwo") == "one"
    assert len(first_line("x" * 1000)) == 200
    assert first_line("") == ""


def test_settings_as_the_form_and_as_configuration_write_them() -> None:
    typed = {"base_url": "https://odoo.example/", "company_ids": "1, 2", "allow_networks": "10.0.0.0/8\n192.168.1.0/24"}
    configured = {
        "base_url": "https://odoo.example",
        "company_ids": [1, 2],
        "allow_networks": ["10.0.0.0/8", "192.168.1.0/24"],
    }
    assert read_settings(typed) == read_settings(configured)
    assert read_settings(configured).company_ids == (1, 2)
    assert read_settings({**configured, "models": ["stock.picking"]}).models == ("stock.picking",)
    assert "company_ids" in OdooForm(initial=configured).as_p()


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ({}, "base_url"),
        ({"base_url": "odoo.example"}, "base_url"),
        ({"base_url": "https://user:secret@odoo.example"}, "base_url"),
        ({"base_url": "https://odoo.example/web"}, "base_url"),
        ({"base_url": "ftp://odoo.example"}, "base_url"),
        ({"base_url": "https://odoo.example", "overlap_seconds": 5}, "overlap_seconds"),
        ({"base_url": "https://odoo.example", "page_size": 5000}, "page_size"),
        ({"base_url": "https://odoo.example", "company_ids": ["main"]}, "company_ids"),
        ({"base_url": "https://odoo.example", "allow_networks": ["10.0.0.1/8"]}, "allow_networks"),
        ({"base_url": "https://odoo.example", "models": ["res.users"]}, "models"),
        ({"base_url": "https://odoo.example", "protocol": "soap"}, "protocol"),
    ],
)
def test_wrong_settings_are_named(raw: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}'"):
        read_settings(raw)
