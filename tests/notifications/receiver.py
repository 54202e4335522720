"""A real HTTP server on the loopback that takes messages, with a memory and moods."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from apps.core import outbound
from apps.notifications.contract import Door

LOOPBACK = "127.0.0.0/8"


@dataclass(frozen=True)
class Taken:
    """One request as it came. headers: names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """status, headers and reply: the next answers. mood: called with each request instead, if set; None hangs up."""

    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    status: int = 200
    reply: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    mood: Callable[[Taken], tuple[int, bytes] | None] | None = None
    server: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def keys(self) -> list[str]:
        return [one.headers["idempotency-key"] for one in self.taken]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver: Receiver = self.server.receiver  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        one = Taken(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        receiver.taken.append(one)
        answer = receiver.mood(one) if receiver.mood else (receiver.status, receiver.reply)
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer[0])
        for name, value in receiver.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    do_GET = do_PATCH = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    receiver = Receiver(server.server_address[1], server=server)
    server.receiver = receiver  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


def door_to(addresses: list[str], **more: Any) -> Door:
    """The real door, whose names all stand for these addresses."""
    return partial(outbound.request, resolver=lambda host, port: addresses, **more)
