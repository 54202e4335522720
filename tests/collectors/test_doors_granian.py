"""The doors behind the real server: what HTTP framing can get wrong leaves no half receipt and no 5xx."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

from apps.collectors.doors import ceiling
from apps.collectors.kinds.webhook import Webhook
from apps.collectors.models import Receipt
from apps.core import clock
from apps.integrations import credentials
from apps.integrations.models import Integration

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "of-the-real-server"
BODY = b'{"type": "order.created", "references": {}}'


@dataclass(frozen=True)
class Server:
    port: int
    path: str

    def send(self, raw: bytes, *, finish: bool = False, timeout: float = 10) -> bytes:
        """Sends raw bytes and returns everything that comes back until the server closes or pauses."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as link:
            try:
                link.sendall(raw)
                if finish:
                    link.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the server has answered and hung up before it read everything
            return _answer(link)

    def head(self, *headers: str) -> bytes:
        lines = [f"POST {self.path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {SECRET}", *headers]
        return "\r\n".join([*lines, "", ""]).encode()


def _answer(link: socket.socket) -> bytes:
    """One response: head and as much body as Content-Length says."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            part = link.recv(65536)
            if not part:
                return data
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                missing = int(line.partition(b":")[2]) - len(body)
                while missing > 0 and (part := link.recv(missing)):
                    data += part
                    missing -= len(part)
    except OSError:
        pass
    return data


def status(answer: bytes) -> int:
    """0: closed without a word."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


@pytest.fixture
def server() -> Iterator[Server]:
    integration = Integration.objects.create(slug="real", name="real", kind="webhook", settings={"scheme": "bearer"})
    credentials.issue(integration, clock.now(), None, secret=SECRET)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    database = connection.get_connection_params()
    url = f"postgres://{database['user']}:{quote(database.get('password', ''))}@/{database['dbname']}"
    url += f"?host={quote(database['host'])}" + (f"&port={database['port']}" if database.get("port") else "")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "controltower.settings.test",
        "TEST_DATABASE_URL": url,
        "GROUP_COMMIT": "1",
    }
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws"),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--blocking-threads", "4"),
            "controltower.wsgi:application",
        ],
        cwd=settings.BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait(process, port)
        yield Server(port, f"/in/{integration.endpoint_id}/")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        assert process.poll() is None, process.communicate()[0].decode()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not start")


def bodies() -> list[bytes]:
    return [bytes(row.body) for row in Receipt.objects.order_by("id")]


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end


def test_framing(server: Server) -> None:
    """One server for all cases: starting it is what takes the time."""
    length = server.head(f"Content-Length: {len(BODY)}")
    streamed = server.head("Transfer-Encoding: chunked")
    packed = gzip.compress(BODY)
    streamed_packed = server.head("Transfer-Encoding: chunked", "Content-Encoding: gzip")

    assert status(server.send(length + BODY)) == 202
    assert status(server.send(streamed_packed + chunked(packed[:7], packed[7:]))) == 202
    assert bodies() == [BODY, packed]

    assert status(server.send(streamed + chunked(BODY))) == 411
    for cut in (b"ff\r\n" + packed[:5], chunked(packed[:5], end=b""), chunked(packed[:5], end=b"zz\r\n"), b"zz\r\nxx"):
        assert status(server.send(streamed_packed + cut, finish=True)) in (0, 400)
        assert status(server.send(streamed + cut, finish=True)) in (0, 400, 411)
    assert status(server.send(length + BODY[:-5], finish=True)) in (0, 400)
    assert status(server.send(server.head("Content-Length: -5") + BODY)) == 400
    assert status(server.send(server.head("Content-Length: 5", "Content-Length: 6") + BODY)) == 400
    both = server.head(f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked")
    assert status(server.send(both + chunked(BODY[:5]))) in (400, 411)
    assert bodies() == [BODY, packed]

    limit = Webhook.max_body
    for size, expected in ((limit, 202), (limit + 1, 413), (ceiling() + 1, 413), (50_000_000, 413)):
        assert status(server.send(server.head(f"Content-Length: {size}") + b"x" * size)) == expected
    endless = chunked(*[b"x" * 1_000_000] * 30)
    assert status(server.send(streamed + endless)) == 413
    assert [len(body) for body in bodies()] == [len(BODY), len(packed), limit]


def test_many_at_once(server: Server) -> None:
    raw = server.head(f"Content-Length: {len(BODY)}") + BODY
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.send(raw), range(200)))
    assert {status(answer) for answer in answers} == {202}
    assert len({answer.rpartition(b"receipt")[2] for answer in answers}) == 200
    assert bodies() == [BODY] * 200
