"""A pretend Odoo: records in memory behind the real wire formats (JSON-2, JSON-RPC, XML-RPC), for tests and the demo.

Answers, errors and the comparison of write_date have the shapes recorded from Odoo 19.0 and 18.0: 19 compares whole
seconds, 18 microseconds; both show whole seconds only. It listens on the loopback interface only.
"""

from __future__ import annotations

import json
import threading
import xmlrpc.client
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from apps.simulator.odoo_store import UID, OdooStore, PretendError, Record


@dataclass(frozen=True, slots=True)
class Canned:
    """A reply given instead of the true one, once. path: only for requests whose path holds it; broken: hang up after."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    announced: int | None = None


class _Handler(BaseHTTPRequestHandler):
    server: OdooServer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests carry keys."""

    def version_string(self) -> str:
        return "Werkzeug/3.0.1 Python/3.12.1"

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(self.server.store.clock().astimezone(UTC), usegmt=True)

    def do_GET(self) -> None:
        if self._canned():
            return
        store = self.server.store
        if self.path == "/web/version" and store.major >= 19:
            info = [store.major, 0, 0, "final", 0, ""]
            self._json(200, {"version_info": info, "version": f"{store.major}.0"})
        else:
            self._redirect()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.requests.append((self.path, body))
        if self.server.before is not None:
            self.server.before(self.path)
        if self._canned():
            return
        parts = self.path.strip("/").split("/")
        if parts[:2] == ["json", "2"] and len(parts) == 4 and self.server.store.major >= 19:
            self._json2(parts[2], parts[3], body)
        elif parts == ["jsonrpc"]:
            self._jsonrpc(body)
        elif parts[:2] == ["xmlrpc", "2"]:
            self._xmlrpc(parts[-1], body)
        else:
            self._redirect()

    # -- protocols -----------------------------------------------------------------------------------------------------

    def _json2(self, model: str, method: str, body: bytes) -> None:
        store = self.server.store
        if self.headers.get("x-odoo-database", store.database) != store.database:
            page = (
                b"<!DOCTYPE html>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>No database is selected.</p>\n"
            )
            self._send(404, page, "text/html; charset=utf-8")
            return
        scheme, _, key = (self.headers.get("authorization") or "").partition(" ")
        try:
            if scheme.lower() != "bearer" or key not in store.keys:
                raise PretendError("werkzeug.exceptions.Unauthorized", "Invalid apikey", 401, 3)
            self._json(200, store.call(model, method, [], json.loads(body)))
        except PretendError as error:
            self._json(error.status, _error_body(error))

    def _jsonrpc(self, body: bytes) -> None:
        asked = json.loads(body)
        answer: Record = {"jsonrpc": "2.0", "id": asked.get("id")}
        try:
            params = asked["params"]
            answer["result"] = self._service(params["service"], params["method"], params["args"])
        except PretendError as error:
            code = 0 if self.server.store.major >= 19 else 200
            answer["error"] = {"code": code, "message": "Odoo Server Error", "data": _error_body(error)}
        self._json(200, answer)

    def _xmlrpc(self, service: str, body: bytes) -> None:
        args, method = xmlrpc.client.loads(body)
        try:
            result = (self._service(service, str(method), list(args)),)
            text = xmlrpc.client.dumps(result, methodresponse=True)
        except PretendError as error:
            lines = f'Traceback (most recent call last):\n  File "odoo", line 1\n{error.name}: {error.message}\n'
            fault = xmlrpc.client.Fault(error.fault, lines if error.fault == 1 else error.message)
            text = xmlrpc.client.dumps(fault, methodresponse=True)
        self._send(200, text.encode(), "text/xml; charset=utf-8")

    def _service(self, service: str, method: str, args: list[Any]) -> Any:
        store = self.server.store
        if (service, method) == ("common", "version"):
            info = [store.major, 0, 0, "final", 0, ""]
            return {"server_version": f"{store.major}.0", "server_version_info": info, "protocol_version": 1}
        if args[0] != store.database:
            message = f'connection to server failed: FATAL:  database "{args[0]}" does not exist\n'
            raise PretendError("psycopg2.OperationalError", message, 500, 1)
        if (service, method) == ("common", "authenticate"):
            return UID if store.keys.get(args[2]) == args[1] else False
        if args[2] not in store.keys or args[1] != UID:
            raise PretendError("odoo.exceptions.AccessDenied", "Access Denied", 403, 3)
        return store.call(args[3], args[4], args[5], args[6] if len(args) > 6 else {})

    # -- replies -------------------------------------------------------------------------------------------------------

    def _canned(self) -> bool:
        for canned in list(self.server.canned):
            if canned.path in self.path:
                self.server.canned.remove(canned)
                self._send(canned.status, canned.body, canned.content_type, canned.headers, canned.announced)
                return True
        return False

    def _json(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), "application/json; charset=utf-8")

    def _redirect(self) -> None:
        page = b"<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n"
        self._send(303, page, "text/html; charset=utf-8", {"Location": "/web/login?redirect=%2F"})

    def _send(
        self,
        status: int,
        body: bytes,
        content_type: str,
        headers: Mapping[str, str] | None = None,
        announced: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _error_body(error: PretendError) -> Record:
    return {
        "name": error.name,
        "message": error.message,
        "arguments": [error.message],
        "context": {},
        "debug": f"Traceback (most recent call last):\n  ...\n{error.name}: {error.message}\n",
    }


class OdooServer(ThreadingHTTPServer):
    """Serves a store on 127.0.0.1. ``canned``: replies to give instead; ``before``: called ahead of every POST."""

    daemon_threads = True

    def __init__(self, store: OdooStore, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.store = store
        self.canned: deque[Canned] = deque()
        self.before: Callable[[str], None] | None = None
        self.requests: list[tuple[str, bytes]] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> OdooServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(5)
