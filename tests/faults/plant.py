"""Towers of real processes over one durable embedded cluster: started, killed with SIGKILL, started again, all by pid."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
from django.conf import settings
from psycopg import sql

from controltower import embedded, installation
from controltower.home import prepare_broker
from controltower.plan import children_of, environment_of, options_from
from controltower.processes import MARKER, kill_group, stop_leftovers
from tests.e2e.tower import DEFINITIONS, eventually, free_port
from tests.faults.traffic import SECRET

ROOT: Path = settings.BASE_DIR
WSGI = "controltower.wsgi:application"
TEMPLATE = "plant"
REGISTER = """
partners:
  - {slug: shop, name: Fjord Shop, kind: marketplace}
  - {slug: carrier, name: Otter Parcel, kind: carrier}
integrations:
  - {slug: shop, name: Fjord Shop orders, kind: webhook, partner: shop}
  - {slug: carrier, name: Otter Parcel scans, kind: webhook, partner: carrier}
"""


class Plant:
    """One cluster with a migrated, configured database that the towers get copies of (with the same ids in them)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        self.pgdata = folder / "postgresql"
        self.cluster = embedded.start(self.pgdata)
        self.keys = installation.keys(folder)
        installation.prepare_database(self.owner_url("postgres"), TEMPLATE)
        register = folder / "register.yaml"
        register.write_text(REGISTER)
        environment = environment_of(self._options(0, folder), self.keys, self.cluster, "localhost", _inherited())
        environment["DATABASE_URL"] = self.owner_url(TEMPLATE)
        said = run(environment, folder, "tests.faults.steps", "prepare", SECRET, *map(str, DEFINITIONS), str(register))
        self.endpoints = dict(line.split("=") for line in said.split() if "=" in line)

    def owner_url(self, database: str) -> str:
        return self.cluster.url(embedded.OWNER, database)

    def query(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(installation.conninfo(self.owner_url(database)), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def copy(self, database: str) -> str:
        """A new database like the template; its name."""
        with psycopg.connect(installation.conninfo(self.owner_url("postgres")), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(database), sql.Identifier(TEMPLATE))
            )
        return database

    def restart_database(self) -> None:
        embedded.start(self.pgdata)

    def kill_database(self, *, backend_of: str = "") -> None:
        """SIGKILL for the postmaster, or for one session of a database (PostgreSQL then restarts all by itself)."""
        postmaster = embedded.postmaster(self.pgdata)
        assert postmaster is not None
        victim = postmaster
        if backend_of:
            sessions = [one for one in postmaster.children() if f" {backend_of} " in " ".join(one.cmdline())]
            assert sessions, "no session to kill"
            victim = sessions[0]
        os.kill(victim.pid, signal.SIGKILL)

    def lose_database(self) -> None:
        """SIGKILL for the postmaster, and the end of its sessions awaited: for a moment they still commit, durably."""
        postmaster = embedded.postmaster(self.pgdata)
        assert postmaster is not None
        processes = [postmaster, *postmaster.children()]
        self.kill_database()
        gone, alive = psutil.wait_procs(processes, timeout=20)
        assert not alive, f"{len(alive)} of {len(gone) + len(alive)} PostgreSQL processes outlived their postmaster"

    def stop(self) -> None:
        """At once: nothing in it is wanted any more."""
        if (postmaster := embedded.postmaster(self.pgdata)) is not None:
            processes = [postmaster, *postmaster.children()]
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(processes, timeout=10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _options(self, port: int, home: Path) -> Any:
        chosen = {"CONTROLTOWER_HOME": str(home), "PORT": str(port or 1), "DEMO": "0", "WEB_WORKERS": "1"}
        return options_from({**chosen, "WEB_THREADS": "8"}, uid=1)


class Tower:
    """Web, worker and beat as `make run` starts them, on a database and in a folder of their own."""

    def __init__(
        self, plant: Plant, name: str, *, application: str = WSGI, given: Mapping[str, str] | None = None
    ) -> None:
        self.plant = plant
        self.database = plant.copy(name)
        self.folder = plant.folder / name
        for part in ("run/metrics", "log"):
            (self.folder / part).mkdir(parents=True)
        self.port = free_port()
        options = plant._options(self.port, self.folder)
        self.environment = {
            **environment_of(options, plant.keys, plant.cluster, "localhost", _inherited()),
            "DATABASE_URL": plant.cluster.url(installation.APPLICATION_ROLE, self.database),
            "PYTHONPATH": str(ROOT),
            **(given or {}),
        }
        self.broker = Path(self.environment["BROKER_FOLDER"])
        prepare_broker(self.broker)
        self.children = {one.name: one for one in children_of(options, self.environment)}
        web = self.children["web"]
        web.command = [application if part == WSGI else part for part in web.command]

    def start(self, *names: str) -> None:
        for name in names:
            self.children[name].start(self.folder, time.monotonic())
        if "web" in names:
            self.eventually(lambda: self.get("/readyz?part=web")[0] == 200, 60, "web being ready")

    def eventually(self, condition: Callable[[], Any], seconds: float, what: str) -> None:
        try:
            eventually(condition, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def get(self, path: str, **headers: str) -> tuple[int, Mapping[str, str], str]:
        """Status, headers (names in lower case) and text of a page; (0, {}, "") while nobody answers."""
        return ask(self.port, path, {name.replace("_", "-"): value for name, value in headers.items()})

    def kill(self, name: str, *, child_only: bool = False) -> None:
        """SIGKILL for a process of ours and its group, or for one of its children only, which its parent must mend."""
        process = self.children[name].process
        assert process is not None
        if child_only:
            victims = psutil.Process(process.pid).children()
            assert victims, f"{name} has no child to kill"
            os.kill(victims[-1].pid, signal.SIGKILL)
            return
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kill_group(process.pid)
        self.children[name].process = None

    def ended(self, name: str, seconds: float) -> None:
        """Waits until a process of ours has ended by itself."""
        process = self.children[name].process
        assert process is not None
        self.eventually(lambda: process.poll() is not None, seconds, f"the end of {name}")
        kill_group(process.pid)

    def heartbeat_after(self, name: str, moment: float, seconds: float = 60) -> None:
        """Waits until a heartbeat (seconds since 1970) is younger than `moment`."""
        statement = f"SELECT extract(epoch FROM at) FROM core_heartbeat WHERE name = '{name}'"

        def beaten() -> bool:
            rows = self.rows(statement)
            return bool(rows) and float(rows[0][0]) > moment

        self.eventually(beaten, seconds, f"a heartbeat of {name}")

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self.plant.query(self.database, statement)

    def manage(self, *command: str) -> str:
        return run(self.environment, self.folder, "manage", *command).strip()

    def steps(self, *command: str) -> str:
        return run(self.environment, self.folder, "tests.faults.steps", *command).strip()

    def recorded(self) -> dict[str, int]:
        return dict(self.rows("SELECT source_event_id, count(*) FROM flows_event GROUP BY 1"))

    def kept(self) -> dict[int, bytes]:
        return {number: bytes(sha) for number, sha in self.rows("SELECT id, sha256 FROM collectors_receipt")}

    def waiting(self) -> int:
        return int(self.rows("SELECT count(*) FROM collectors_receiptstate WHERE status = 'waiting'")[0][0])

    def tend(self) -> None:
        """Starts again what has ended by itself, as the launcher does."""
        for name, child in self.children.items():
            if child.process is not None and child.process.poll() is not None:
                kill_group(child.process.pid)
                self.start(name)

    def stop(self) -> None:
        """At once: whoever survives kill -9 needs no farewell."""
        for name, child in self.children.items():
            if child.process is not None:
                self.kill(name)
        stop_leftovers(self.folder, seconds=1.0)

    def logs(self) -> str:
        return "\n".join(f"== {p.name}\n{p.read_text()[-3000:]}" for p in sorted((self.folder / "log").glob("*.log")))


def ask(port: int, path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, {}, ""
    finally:
        connection.close()


def run(environment: Mapping[str, str], folder: Path, module: str, *arguments: str) -> str:
    """Runs a module of the project to its end; its output. AssertionError with what it said when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**environment, MARKER: str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{module} {arguments[0]}: {done.stdout}{done.stderr}"[-4000:]
    return done.stdout


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "LANG", "HOME", "TMPDIR") if name in os.environ}
