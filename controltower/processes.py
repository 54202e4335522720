"""Processes of one installation: started in groups of their own, recorded, restarted when they end, found again after
the launcher itself was killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

#: every process of an installation carries this in its environment, with the folder of the installation as value
MARKER = "CONTROLTOWER_RUN"
RESTART_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
HEALTHY_SECONDS = 60.0
LOG_LIMIT = 50_000_000


@dataclass
class Child:
    """One process of the group. `grace` is how long it may take to end after SIGTERM, in seconds."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    grace: float = 10.0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float | None = None
    failures: int = 0
    restarts: int = field(default=0)

    def start(self, folder: Path, now: float) -> None:
        """Starts it with its output in log/<name>.log; `now` is a monotonic time in seconds."""
        log = folder / "log" / f"{self.name}.log"
        shorten(log)
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env={**self.environment, MARKER: str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.started_at = now
        self.restart_at = None
        record(folder / "run", self.name, self.process.pid)

    def ended(self, now: float) -> int | None:
        """Exit code when it has just ended; plans the restart and ends what it left of its group. None while it runs
        or waits for its restart."""
        if self.process is None:
            return None
        code = self.process.poll()
        if code is None:
            return None
        kill_group(self.process.pid)
        self.process = None
        self.failures = 0 if now - self.started_at >= HEALTHY_SECONDS else self.failures + 1
        self.restart_at = now + RESTART_SECONDS[min(self.failures, len(RESTART_SECONDS) - 1)]
        self.restarts += 1
        return code

    def is_due(self, now: float) -> bool:
        return self.process is None and self.restart_at is not None and now >= self.restart_at


def stop_all(children: Iterable[Child], run: Path) -> list[str]:
    """Asks all to end, waits as long as each may take, then kills what is left. Returns the names it had to kill."""
    running = [child for child in children if child.process is not None]
    for child in running:
        assert child.process is not None
        with suppress(ProcessLookupError):
            os.kill(child.process.pid, signal.SIGTERM)
    started = time.monotonic()
    killed = []
    for child in running:
        assert child.process is not None
        try:
            child.process.wait(max(0.1, child.grace - (time.monotonic() - started)))
        except subprocess.TimeoutExpired:
            killed.append(child.name)
        kill_group(child.process.pid)
        child.process.wait()
        child.process = None
        (run / f"{child.name}.json").unlink(missing_ok=True)
    return killed


def kill_group(pid: int) -> None:
    """Ends at once whatever is left of the process group that `pid` led."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def record(run: Path, name: str, pid: int) -> None:
    """Writes run/<name>.json: the pid and when that process started (a pid alone may be another program's by now)."""
    with suppress(psutil.NoSuchProcess):
        part = run / f"{name}.part"
        part.write_text(json.dumps({"pid": pid, "started": psutil.Process(pid).create_time()}))
        part.replace(run / f"{name}.json")


def leftovers(folder: Path) -> list[psutil.Process]:
    """What still runs from an earlier start of this installation: what is recorded and all that carry its mark."""
    found: dict[int, psutil.Process] = {}
    for path in (folder / "run").glob("*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError, psutil.Error):
            known = json.loads(path.read_text())
            process = psutil.Process(known["pid"])
            if abs(process.create_time() - known["started"]) < 1.0:
                found[process.pid] = process
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARKER) == str(folder):
                found[process.pid] = process
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [process for pid, process in sorted(found.items()) if pid not in spared and is_alive(process)]


def stop_leftovers(folder: Path, seconds: float = 10.0) -> list[int]:
    """Ends the leftovers, kindly first. Returns their pids."""
    processes = leftovers(folder)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=seconds)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=5)
    for path in (folder / "run").glob("*.json"):
        path.unlink(missing_ok=True)
    return [process.pid for process in processes]


def shorten(log: Path) -> None:
    """Moves the text of a large log to <name>.1 and empties it; who has it open (appending) goes on writing to it."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)


def is_alive(process: psutil.Process) -> bool:
    """Running and not a zombie that nobody has reaped yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
