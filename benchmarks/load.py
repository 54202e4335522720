"""A load generator: prebuilt requests over keep-alive connections on loopback, bounded in time. One process, no threads."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Load:
    """What a round did. accepted: 2xx answers; refused: all others; broken: connections lost."""

    accepted: int = 0
    refused: int = 0
    broken: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return self.accepted / self.seconds


def request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Bytes of one POST."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, *(f"{k}: {v}" for k, v in headers.items()), "", ""]).encode() + body


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def answer(self) -> int | None:
        """Status of a complete answer, else None."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        if len(rest) < length:
            return None
        self.buffer = b""
        return int(head[9:12])


def run(port: int, requests: Iterator[bytes], seconds: float, connections: int = 16) -> Load:
    """Keeps every connection busy for so long; stops when the requests run out."""
    load = Load()
    selector = selectors.DefaultSelector()
    begin = time.perf_counter()
    open_ = 0
    for _ in range(connections):
        one = _Connection(port)
        raw = next(requests, None)
        if raw is None:
            break
        one.socket.sendall(raw)
        selector.register(one.socket, selectors.EVENT_READ, one)
        open_ += 1
    while open_:
        for key, _ in selector.select(timeout=10):
            one = key.data
            try:
                status = one.answer()
            except (ConnectionError, OSError):
                load.broken += 1
                selector.unregister(one.socket)
                open_ -= 1
                continue
            if status is None:
                continue
            if 200 <= status < 300:
                load.accepted += 1
            else:
                load.refused += 1
            raw = next(requests, None) if time.perf_counter() - begin < seconds else None
            if raw is None:
                selector.unregister(one.socket)
                one.socket.close()
                open_ -= 1
            else:
                one.socket.sendall(raw)
    load.seconds = time.perf_counter() - begin
    selector.close()
    return load
