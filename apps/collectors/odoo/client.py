"""Talks to one Odoo over JSON-2 (19 and later), JSON-RPC or XML-RPC, always through the outbound door.

Every answer is distrusted: it must have the content type its protocol prescribes, fit a size, come in time and hold the
expected kind of value. What Odoo says about an error is cut to its first line; its tracebacks are dropped here, and the
key never leaves the request. See docs/adr/0004-odoo-client.md for why this is not odoo-client-lib.
"""

from __future__ import annotations

import re
import time
import xmlrpc.client
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from apps.collectors.odoo.answers import (
    OdooError,
    Trouble,
    date_of,
    http_error,
    is_id,
    json2_error,
    json_of,
    refused_key,
    result_of_jsonrpc,
    xml_of,
)
from apps.collectors.odoo.settings import OdooSettings
from apps.core.outbound import OutboundFailed, OutboundRefused, RedirectRefused, ReplyTooLarge, Response, request

#: first version with JSON-2
JSON2_SINCE = 19

Send = Callable[..., Response]


@dataclass(frozen=True, slots=True)
class Server:
    """What answers: version as text ("19.0"), its major number, the protocol spoken with it."""

    version: str
    major: int
    protocol: str


class Patience:
    """Sends through the outbound door until a time is used up: a slow Odoo holds no worker for long."""

    def __init__(self, send: Send, seconds: float) -> None:
        self._send = send
        self._seconds = seconds
        self._ends = time.monotonic() + seconds

    def __call__(self, method: str, url: str, *, timeout: float, **rest: Any) -> Response:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise OutboundFailed(f"Odoo answers so slowly that a round took longer than {self._seconds:g} s.")
        return self._send(method, url, timeout=min(timeout, left), **rest)


class OdooClient:
    """Calls model methods with named arguments. ``server_time``: Odoo's clock at its last answer (HTTP Date header)."""

    def __init__(self, settings: OdooSettings, key: str, server: Server, send: Send = request) -> None:
        self.settings = settings
        self.server = server
        self.server_time: datetime | None = None
        self._key = key
        self._send = send
        self._uid = 0

    @property
    def uid(self) -> int:
        """The tower's user in Odoo, once signed in; 0 if Odoo did not tell."""
        return self._uid

    def sign_in(self) -> None:
        """Proves the key. Raises `OdooError`."""
        if self.server.protocol == "json2":
            found = self.call("res.users", "context_get")
            uid = found.get("uid") if isinstance(found, dict) else None
            self._uid = uid if isinstance(uid, int) and is_id(uid) else 0
            return
        arguments = [self.settings.database, self.settings.login, self._key, {}]
        uid = self._rpc("common", "authenticate", arguments)
        if isinstance(uid, bool) or not isinstance(uid, int) or uid <= 0:
            raise refused_key("login or key unknown")
        self._uid = uid

    def call(self, model: str, method: str, **named: Any) -> Any:
        """The bare result of a model method. Raises `OdooError`."""
        if self.server.protocol == "json2":
            return self._json2(model, method, named)
        args = [named.pop("domain")] if "domain" in named else []
        path = [self.settings.database, self._uid, self._key, model, method, args, named]
        return self._rpc("object", "execute_kw", path)

    def search_read(
        self, model: str, domain: Sequence[Any], fields: Sequence[str], limit: int, order: str = "id"
    ) -> list[dict[str, Any]]:
        """Records as dictionaries with an integer ``id`` each. Raises `OdooError`."""
        rows = self.call(
            model,
            "search_read",
            domain=list(domain),
            fields=list(fields),
            limit=limit,
            order=order,
            context=self.settings.context,
        )
        if not isinstance(rows, list) or not all(isinstance(row, dict) and is_id(row.get("id")) for row in rows):
            raise OdooError(
                Trouble.ANSWER, f"Odoo answered a search in {model} with something that is no list of records."
            )
        return rows

    def fields_of(self, model: str, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Those of the wanted fields that exist, with type and selection (code, label) pairs. Raises `OdooError`."""
        found = self.call(
            model, "fields_get", allfields=list(wanted), attributes=["type", "selection"], context=self.settings.context
        )
        if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
            raise OdooError(
                Trouble.ANSWER, f"Odoo answered the question for the fields of {model} with something else."
            )
        return {name: found[name] for name in wanted if name in found}

    # -- the three protocols -------------------------------------------------------------------------------------------

    def _json2(self, model: str, method: str, named: Mapping[str, Any]) -> Any:
        headers = {"authorization": f"bearer {self._key}"}
        if self.settings.database:
            headers["x-odoo-database"] = self.settings.database
        reply = self._post(f"/json/2/{model}/{method}", orjson.dumps(named), "application/json; charset=utf-8", headers)
        if reply.status == 200:
            return json_of(reply)
        raise json2_error(reply, model)

    def _rpc(self, service: str, method: str, arguments: list[Any]) -> Any:
        if self.server.protocol == "xmlrpc":
            return self._xmlrpc(service, method, arguments)
        body = {
            "jsonrpc": "2.0",
            "method": "call",
            "params": {"service": service, "method": method, "args": arguments},
            "id": 1,
        }
        reply = self._post("/jsonrpc", orjson.dumps(body), "application/json", {})
        if reply.status != 200:
            raise http_error(reply)
        return result_of_jsonrpc(json_of(reply))

    def _xmlrpc(self, service: str, method: str, arguments: list[Any]) -> Any:
        body = xmlrpc.client.dumps(tuple(arguments), method, allow_none=False).encode()
        reply = self._post(f"/xmlrpc/2/{service}", body, "text/xml", {})
        if reply.status != 200:
            raise http_error(reply)
        return xml_of(reply)

    def _post(self, path: str, body: bytes, content_type: str, headers: Mapping[str, str]) -> Response:
        reply = exchange(self.settings, "POST", path, body, {"content-type": content_type, **headers}, self._send)
        self.server_time = date_of(reply) or self.server_time
        return reply


def connect(settings: OdooSettings, keys: Sequence[str], send: Send = request) -> OdooClient:
    """A signed-in client; of several live keys the first that Odoo takes. Raises `OdooError`."""
    if not keys:
        raise OdooError(Trouble.KEY, "No API key of Odoo is stored for this integration: add one as its credential.")
    server = detect(settings, send)
    refused: OdooError | None = None
    for key in keys:
        client = OdooClient(settings, key, server, send)
        try:
            client.sign_in()
        except OdooError as error:
            if error.trouble is not Trouble.KEY:
                raise
            refused = error
        else:
            return client
    raise refused or OdooError(Trouble.KEY, "Odoo took none of the stored keys.")


def detect(settings: OdooSettings, send: Send = request) -> Server:
    """Finds Odoo's version and chooses the protocol, unless the settings fix it. Raises `OdooError`."""
    info = _version_by_page(settings, send) or _version_by_rpc(settings, send)
    if not isinstance(info, list) or not info or isinstance(info[0], bool):
        raise OdooError(
            Trouble.ANSWER, "What answers at this address does not tell an Odoo version: check the base address."
        )
    # "saas~18" is how Odoo Online writes the major number of its releases in between
    match = re.search(r"\d+", str(info[0]))
    major = int(match.group()) if match else 0
    version = ".".join(str(part) for part in info[:2])
    protocol = settings.protocol
    if protocol == "auto":
        protocol = "json2" if major >= JSON2_SINCE else "jsonrpc"
    elif protocol == "json2" and major < JSON2_SINCE:
        raise OdooError(Trouble.REQUEST, f"This is Odoo {version}, which knows no JSON-2: set the protocol to auto.")
    return Server(version, major, protocol)


def _version_by_page(settings: OdooSettings, send: Send) -> Any:
    try:
        reply = exchange(settings, "GET", "/web/version", b"", {}, send)
        found = json_of(reply) if reply.status == 200 else None
    except OdooError as error:
        if error.trouble is Trouble.DOWN:
            raise
        return None
    return found.get("version_info") if isinstance(found, dict) else None


def _version_by_rpc(settings: OdooSettings, send: Send) -> Any:
    client = OdooClient(replace(settings, protocol="jsonrpc"), "", Server("", 0, "jsonrpc"), send)
    if settings.protocol == "xmlrpc":
        client.server = Server("", 0, "xmlrpc")
    found = client._rpc("common", "version", [])
    return found.get("server_version_info") if isinstance(found, dict) else None


def exchange(
    settings: OdooSettings, method: str, path: str, body: bytes, headers: Mapping[str, str], send: Send = request
) -> Response:
    """One request through the outbound door, its troubles as `OdooError`."""
    try:
        return send(
            method,
            settings.base_url + path,
            headers={"accept": "application/json, text/xml", **headers},
            body=body,
            timeout=settings.timeout,
            max_bytes=settings.reply_limit,
            allow=settings.allow,
        )
    except ReplyTooLarge as error:
        raise OdooError(Trouble.LARGE, str(error)) from None
    except RedirectRefused:
        raise OdooError(
            Trouble.ANSWER,
            "Odoo answered with a redirect, which is not followed: check the base address (https, no path).",
        ) from None
    except OutboundRefused as error:
        raise OdooError(Trouble.REQUEST, str(error)) from None
    except OutboundFailed as error:
        raise OdooError(Trouble.ANSWER if error.permanent else Trouble.DOWN, str(error)) from None
