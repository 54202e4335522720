"""`make run` and production settings for real: what is started works, survives kills, and is gone afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.request import urlopen

import psutil
import pytest
from django.conf import settings

from controltower import embedded
from controltower.processes import leftovers
from tests.e2e.tower import eventually, free_port

ROOT: Path = settings.BASE_DIR
FIRST_START = 120.0

pytestmark = pytest.mark.faults


class Run:
    """One `make run` of an empty tower (the part after the virtual environment is there)."""

    def __init__(self, home: Path, port: int, output: IO[str]) -> None:
        self.home = home
        self.port = port
        self.output = output
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controltower.launcher"],
            cwd=ROOT,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "DATABASE"))},
                "CONTROLTOWER_HOME": str(home),
                "PORT": str(port),
                "DEMO": "0",
                "WEB_WORKERS": "1",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def said(self) -> str:
        return Path(self.output.name).read_text()

    def wait_until_up(self, seconds: float) -> float:
        started = time.monotonic()

        def up() -> bool:
            assert self.process.poll() is None, self.said()
            return "Ctrl-C stops everything" in self.said()

        eventually(up, seconds, f"the welcome (said: {self.said()})")
        return time.monotonic() - started

    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(json.loads(answer.read())["ready"])
        except OSError:
            return False

    def pid_of(self, name: str) -> int:
        if name == "postgresql":
            postmaster = embedded.postmaster(self.home / "postgresql")
            return postmaster.pid if postmaster else 0
        path = self.home / "run" / f"{name}.json"
        return int(json.loads(path.read_text())["pid"]) if path.exists() else 0

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    # as root the database's user must reach its folder, and pytest's own folders are closed
    base = Path("/var/tmp") if os.geteuid() == 0 else tmp_path_factory.mktemp("home")
    home = base / f"controltower-e2e-{os.getpid()}"
    yield home
    for process in leftovers(home):
        process.kill()
    embedded.stop(home / "postgresql")
    subprocess.run(["rm", "-rf", str(home)], check=True)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


def start(home: Path, port: int, folder: Path) -> Run:
    return Run(home, port, (folder / f"run-{time.monotonic_ns()}.txt").open("w"))


def nothing_is_left(home: Path, port: int) -> bool:
    listening = {one.laddr.port for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
    return not leftovers(home) and embedded.postmaster(home / "postgresql") is None and port not in listening


def test_an_empty_tower_starts_survives_kills_and_leaves_nothing(home: Path, port: int, tmp_path: Path) -> None:
    run = start(home, port, tmp_path)
    try:
        run.wait_until_up(FIRST_START)
        assert run.is_ready(), run.said()
        link = re.search(r"http://\S+/first-admin/\S+", run.said())
        assert link, run.said()
        with urlopen(link.group(), timeout=10) as page:
            assert b"The first administrator" in page.read()
        assert "password" not in run.said(), "demo sign-ins exist only in the demo"
        for name in ("web", "worker", "beat", "postgresql"):
            before = run.pid_of(name)
            os.kill(before, signal.SIGKILL)
            eventually(
                lambda name=name, before=before: run.pid_of(name) not in (0, before) and run.is_ready(),
                60,
                f"{name} coming back (said: {run.said()})",
            )
        for name in ("keys.json", "environment"):
            assert (home / name).stat().st_mode & 0o077 == 0
        second = start(home, port, tmp_path)
        assert second.process.wait(30) == 1
        assert "running already" in second.said()
    finally:
        code = run.stop(signal.SIGINT)
    assert code == 0
    assert nothing_is_left(home, port)


def test_after_kill_9_of_the_launcher_the_next_start_recovers(home: Path, port: int, tmp_path: Path) -> None:
    run = start(home, port, tmp_path)
    run.wait_until_up(FIRST_START)
    run.stop(signal.SIGKILL)
    assert leftovers(home), "the children of a killed launcher go on"
    again = start(home, port, tmp_path)
    try:
        again.wait_until_up(120)
        assert again.is_ready()
        assert "left behind" in again.said()
    finally:
        again.stop(signal.SIGTERM)
    assert nothing_is_left(home, port)


def test_a_taken_port_is_named(home: Path, tmp_path: Path) -> None:
    busy = free_port()
    server = subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(busy)])
    try:
        eventually(
            lambda: busy in {one.laddr.port for one in psutil.net_connections("tcp")}, 20, "the port being taken"
        )
        run = start(home, busy, tmp_path)
        assert run.process.wait(60) == 1
        assert f"port {busy}" in run.said()
        assert "PORT=" in run.said()
    finally:
        server.kill()
        server.wait()


def production(**changes: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "controltower.settings.prod",
        "SECRET_KEY": "check-" + "pq7z" * 15,
        "SECRETS_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "DATABASE_URL": "postgres://controltower_app@127.0.0.1:1/controltower",
        "BROKER_URL": "redis://127.0.0.1:1/0",
        "ALLOWED_HOSTS": "tower.example",
        "BASE_URL": "https://tower.example",
        "TRUSTED_PROXIES": "1",
        **changes,
    }


def manage(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=production(**environment),
        capture_output=True,
        text=True,
        check=False,
    )


def test_production_settings_pass_the_deployment_checks() -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout + done.stderr


def test_production_names_the_settings_that_are_missing() -> None:
    done = manage("check", SECRETS_KEYS="", BROKER_URL="")
    assert done.returncode != 0
    assert "SECRETS_KEYS, BROKER_URL" in done.stderr


def test_every_static_file_of_production_is_found(tmp_path: Path) -> None:
    done = manage("collectstatic", "--noinput", STATIC_ROOT=str(tmp_path / "static"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "static" / "staticfiles.json").exists()
