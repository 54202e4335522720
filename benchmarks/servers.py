"""Web servers of a bench: granian as the Procfile starts it, on a free port of this machine, stopped by process id."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress

from benchmarks.harness import Bench

START_SECONDS = 60


class Servers:
    """Every server that was started inside ``with``; each with 16 threads a worker process."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Servers:
        return self

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    def start(self, application: str, database_url: str = "", workers: int = 2) -> int:
        """Its port. database_url: the bench's database as the web's role, if none is given."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        environment = os.environ | {
            "DATABASE_URL": database_url or self.bench.url("controltower_app"),
            "GROUP_COMMIT": "1",
            "DATABASE_POOL": "16",
            "LOG_LEVEL": "WARNING",
        }
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers), "--blocking-threads", "16"]
        command += ["--log-level", "warning", application]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        self.processes.append(process)
        self.bench.watched.append(process.pid)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError, http.client.HTTPException):
                probe = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                probe.request("GET", "/")
                probe.getresponse()
                return port
            time.sleep(0.2)
        raise RuntimeError(f"{application} did not come up")

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            if process.poll() is None:
                process.kill()
