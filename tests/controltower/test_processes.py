"""Processes are restarted, stopped with all they started, and found again after their launcher was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from controltower import processes
from controltower.processes import Child, leftovers, record, shorten, stop_all, stop_leftovers

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
#: starts a child of its own, says so, and both ignore a polite request
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    " print(p.pid, flush=True); time.sleep(600)",
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "run").mkdir()
    (tmp_path / "log").mkdir()
    yield tmp_path
    for process in leftovers(tmp_path):
        process.kill()


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def start(folder: Path, command: list[str], name: str = "web", grace: float = 5.0) -> tuple[Child, int]:
    child = Child(name, command, dict(os.environ), grace=grace)
    child.start(folder, time.monotonic())
    assert child.process is not None
    return child, child.process.pid


def grandchild(folder: Path) -> psutil.Process:
    log = folder / "log" / "web.log"
    eventually(lambda: log.exists() and log.read_text().endswith("\n"))
    return psutil.Process(int(log.read_text()))


def test_stopping_ends_the_whole_group_even_when_it_will_not(folder: Path) -> None:
    child, pid = start(folder, STUBBORN, grace=0.5)
    below = grandchild(folder)
    assert stop_all([child], folder / "run") == ["web"]
    eventually(lambda: not processes.is_alive(below))
    assert not psutil.pid_exists(pid)
    assert not list((folder / "run").iterdir())


def test_a_killed_child_starts_again_later_each_time_and_takes_its_group_along(folder: Path) -> None:
    child, pid = start(folder, STUBBORN)
    below = grandchild(folder)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: child.ended(now=child.started_at + 1) is not None)
    eventually(lambda: not processes.is_alive(below))
    assert child.restart_at == child.started_at + 1 + processes.RESTART_SECONDS[1]
    assert not child.is_due(child.restart_at - 0.1)
    assert child.is_due(child.restart_at)


def test_a_child_that_ran_well_starts_again_at_once(folder: Path) -> None:
    child, _ = start(folder, [sys.executable, "-c", ""])
    child.failures = 5
    eventually(lambda: child.ended(now=child.started_at + processes.HEALTHY_SECONDS) is not None)
    assert child.failures == 0


def test_leftovers_of_a_killed_launcher_are_found_and_ended(folder: Path) -> None:
    launcher = (
        "import os, sys, time; from pathlib import Path; from controltower.processes import Child;"
        f" c = Child('web', {STUBBORN!r}, dict(os.environ)); c.start(Path({str(folder)!r}), 0); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", launcher])
    below = grandchild(folder)
    process.kill()
    process.wait()
    found = {one.pid for one in leftovers(folder)}
    assert below.pid in found
    assert len(found) == 2
    assert set(stop_leftovers(folder, seconds=0.5)) == found
    assert leftovers(folder) == []
    assert not list((folder / "run").iterdir())


def test_a_pid_that_another_program_has_now_is_left_alone(folder: Path) -> None:
    stranger = subprocess.Popen(SLEEP)
    try:
        record(folder / "run", "web", stranger.pid)
        path = folder / "run" / "web.json"
        known = json.loads(path.read_text())
        assert [one.pid for one in leftovers(folder)] == [stranger.pid]
        path.write_text(json.dumps({**known, "started": known["started"] - 60}))
        assert leftovers(folder) == []
        for torn in ("", "{", '{"pid": 1}', '{"pid": "x", "started": 1}'):
            path.write_text(torn)
            assert leftovers(folder) == []
    finally:
        stranger.kill()
        stranger.wait()


def test_another_installation_is_left_alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    start(folder, SLEEP)
    assert leftovers(tmp_path_factory.mktemp("other")) == []
    assert len(leftovers(folder)) == 1


def test_a_large_log_is_moved_while_it_is_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT", 10)
    log = folder / "log" / "web.log"
    with log.open("ab") as output:
        output.write(b"x" * 11)
        output.flush()
        shorten(log)
        output.write(b"y")
    assert log.read_bytes() == b"y"
    assert log.with_suffix(".log.1").read_bytes() == b"x" * 11
