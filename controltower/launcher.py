"""`make run`: the whole tower on one machine, from nothing to an address to open, until Ctrl-C.

Environment: PORT (8000), BIND (127.0.0.1), DEMO (1; 0 starts an empty tower), CONTROLTOWER_HOME, BROKER_URL,
WEB_WORKERS, WEB_THREADS, WORKER_CONCURRENCY. Everything it starts runs below one folder and stops with it; what a
killed launcher left behind is found and ended by the next one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from controltower import embedded, installation
from controltower.home import prepare_broker, write_environment
from controltower.plan import PROJECT, PYTHON, CannotRun, Options, children_of, environment_of, options_from
from controltower.processes import MARKER, Child, shorten, stop_all, stop_leftovers

READY_SECONDS = 180.0
DATABASE_PAUSE = 5.0
#: (sign-in, what the person does), in the order they are printed
DEMO_SIGN_INS = {
    "operations": "works the flow board and the incidents",
    "oncall": "is on call and gets the pages",
    "manager": "reads the SLA reports",
    "partner": "sees one partner's status page only",
}


class Launcher:
    def __init__(self, options: Options, environment: Mapping[str, str]) -> None:
        self.options = options
        self.base = environment
        self.pgdata = options.home / "postgresql"
        self.children: list[Child] = []
        self.stopping = False

    def run(self) -> int:
        """Starts everything, watches it until a signal, stops everything. Returns the exit code."""
        os.umask(0o077)
        home = self.options.home
        for name in ("", "log", "run", "mail"):
            (home / name).mkdir(parents=True, exist_ok=True)
        lock = self._only_one(home / "run" / "launcher.lock")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            self._start()
            self._watch()
            return 0
        except (CannotRun, embedded.CannotStart) as problem:
            say(f"\nThe control tower did not start: {problem}")
            return 1
        except KeyboardInterrupt:
            return 0
        finally:
            self._stop()
            lock.close()

    def _start(self) -> None:
        options = self.options
        if ended := stop_leftovers(options.home, seconds=3.0):
            say(f"Ended {len(ended)} processes that an earlier start had left behind.")
        self._check_port()
        started = time.monotonic()
        cluster = embedded.start(self.pgdata)
        say(f"Database ready ({time.monotonic() - started:.1f} s), data in {options.home}")
        environment = environment_of(options, installation.keys(options.home), cluster, socket.gethostname(), self.base)
        prepare_broker(Path(environment["BROKER_FOLDER"]))
        owner = cluster.url(embedded.OWNER, options.database)
        write_environment(options.home, {**self._ours(environment), "DATABASE_OWNER_URL": owner})
        installation.prepare_database(cluster.url(embedded.OWNER, "postgres"), options.database)
        self._set_up(environment, owner)
        shutil.rmtree(options.home / "run" / "metrics", ignore_errors=True)
        (options.home / "run" / "metrics").mkdir()
        self.children = children_of(options, environment)
        for child in self.children:
            child.start(options.home, time.monotonic())
        self._wait_until_ready()
        self._welcome(environment)

    def _ours(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The part of the environment that commands in another terminal need."""
        names = (
            *("DATABASE_URL", "SECRET_KEY", "SECRETS_KEYS", "BROKER_URL", "BROKER_FOLDER", "BASE_URL", "ALLOWED_HOSTS"),
            *("EMAIL_URL", "DEMO", "PORT"),
        )
        return {name: environment[name] for name in names}

    def _set_up(self, environment: Mapping[str, str], owner: str) -> None:
        """Migrations, catalogue, and in the demo its configuration and history: each only when something is new."""
        steps = installation.Steps(owner)
        as_owner = {**environment, "DATABASE_URL": owner}
        apps = PROJECT / "apps"
        steps.once(
            "migrate",
            installation.hash_of([*apps.glob("*/migrations/*.py"), PROJECT / "requirements" / "base.txt"]),
            lambda: self._manage("Migrating", as_owner, "migrate", "--noinput", "--verbosity", "0"),
        )
        catalogue = sorted((apps / "flows" / "definition_files").glob("*.yaml"))
        steps.once(
            "catalogue",
            installation.hash_of(catalogue),
            lambda: self._manage("Loading the catalogue", environment, "load_config", *map(str, catalogue)),
        )
        if not self.options.demo:
            return
        demo = sorted((apps / "simulator" / "demo").glob("*.yaml"))
        steps.once(
            "demo",
            installation.hash_of(demo),
            lambda: self._manage("Loading the demo network", environment, "load_config", *map(str, demo)),
        )
        passwords = installation.demo_passwords(self.options.home, list(DEMO_SIGN_INS))
        steps.once(
            "demo sign-ins",
            installation.hash_of([passwords]),
            lambda: self._manage("Making the demo sign-ins", environment, "demo_users", "--passwords", str(passwords)),
        )
        steps.once(
            "demo history",
            "30 days",
            lambda: self._manage("Writing 30 days of history", environment, "demo_backfill", "--days", "30"),
        )

    def _manage(self, doing: str, environment: Mapping[str, str], *command: str) -> None:
        """One command of manage.py. `migrate` checks the whole project, pages and all; the others need not again."""
        say(f"{doing} …", end=" ")
        started = time.monotonic()
        log = self.options.home / "log" / "setup.log"
        shorten(log)
        with log.open("ab") as output:
            begin = output.tell()
            process = subprocess.Popen(
                [PYTHON, "manage.py", *command, *(() if command[0] == "migrate" else ("--skip-checks",))],
                cwd=PROJECT,
                env={**environment, MARKER: str(self.options.home)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            code = process.wait()
        if code:
            with log.open("rb") as text:
                text.seek(begin)
                end = text.read().decode(errors="replace").strip().splitlines()[-20:]
            raise CannotRun(f"`manage.py {' '.join(command)}` failed (exit {code}):\n" + "\n".join(end))
        say(f"{time.monotonic() - started:.1f} s")

    def _check_port(self) -> None:
        options = self.options
        family = socket.AF_INET6 if ":" in options.bind else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options.bind, options.port))
            except OSError as problem:
                raise CannotRun(
                    f"cannot listen on {options.bind} port {options.port}: {problem.strerror}. "
                    "Another port: PORT=8001 make run"
                ) from problem

    def _only_one(self, path: Path) -> IO[str]:
        """Holds the lock for as long as this process lives; the kernel gives it back however the process ends."""
        lock = path.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            say(f"The control tower is running already (process {lock.read().strip()}) on {self.options.home}.")
            say("Stop it first (Ctrl-C there), or start a second one with its own CONTROLTOWER_HOME and PORT.")
            raise SystemExit(1) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock

    def _wait_until_ready(self) -> None:
        say("Starting web, worker, beat" + (" and the demo network" if self.options.demo else "") + " …", end=" ")
        started = time.monotonic()
        told = started
        while not self.stopping and time.monotonic() - started < READY_SECONDS:
            ready, problem = ask_ready(self.options.address)
            if ready:
                say(f"{time.monotonic() - started:.1f} s")
                return
            self._tend()
            if time.monotonic() - told > 20:
                told = time.monotonic()
                say(f"\n  not ready yet: {problem}", end=" ")
            time.sleep(0.3)
        if not self.stopping:
            say(f"\nNot ready after {READY_SECONDS:.0f} s; it goes on trying. Logs: {self.options.home / 'log'}")

    def _watch(self) -> None:
        while not self.stopping:
            self._tend()
            time.sleep(0.5)

    def _tend(self) -> None:
        """One round: the database first, then the children. One that ends is started again, the others go on."""
        if embedded.postmaster(self.pgdata) is None and not self.stopping:
            say(f"{clock()} the database has ended; starting it again")
            try:
                embedded.start(self.pgdata)
            except embedded.CannotStart as problem:  # a full disk, say: what is up goes on, and it is tried again
                say(f"{clock()} {problem}")
                time.sleep(DATABASE_PAUSE)
        now = time.monotonic()
        for child in self.children:
            code = child.ended(now)
            if code is not None and child.restart_at is not None:
                log = self.options.home / "log" / f"{child.name}.log"
                say(f"{clock()} {child.name} ended ({code}); starts again in {child.restart_at - now:.0f} s, see {log}")
            if child.is_due(now):
                child.start(self.options.home, now)
            shorten(self.options.home / "log" / f"{child.name}.log")

    def _welcome(self, environment: Mapping[str, str]) -> None:
        if self.stopping:
            return
        say(f"\n  The control tower is at {self.options.address}\n")
        if self.options.demo:
            passwords = json.loads(installation.demo_passwords(self.options.home, list(DEMO_SIGN_INS)).read_text())
            for name, does in DEMO_SIGN_INS.items():
                say(f"    {name:<12} password {passwords[name]:<16} {does}")
            say("\n  This is the demo: an invented network sends real messages. DEMO=0 make run starts an empty tower.")
        else:
            done = subprocess.run(
                [PYTHON, "manage.py", "first_admin_link"],
                cwd=PROJECT,
                env=dict(environment),
                capture_output=True,
                text=True,
                check=False,
            )
            say("  " + (done.stdout.strip() or f"No link for the first administrator: {done.stderr.strip()[-500:]}"))
        say("  Ctrl-C stops everything.\n")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.stopping:
            return
        self.stopping = True
        raise KeyboardInterrupt

    def _stop(self) -> None:
        self.stopping = True
        say("\nStopping …", end=" ")
        for child in self.children:
            child.restart_at = None
        killed = stop_all(self.children, self.options.home / "run")
        stop_leftovers(self.options.home, seconds=5.0)
        embedded.stop(self.pgdata)
        say("stopped." + (f" ({', '.join(killed)} did not end by itself and was killed.)" if killed else ""))


def ask_ready(address: str) -> tuple[bool, str]:
    """Whether /readyz says yes, and otherwise what is missing."""
    try:
        with urlopen(f"{address}/readyz", timeout=5):
            return True, ""
    except HTTPError as answer:
        try:
            checks = json.loads(answer.read())["checks"]
            return False, "; ".join(f"{name}: {check['says']}" for name, check in checks.items() if not check["ok"])
        except (ValueError, KeyError, TypeError):
            return False, f"/readyz answers {answer.code}"
    except (URLError, OSError):
        return False, "the web process does not answer yet"


def clock() -> str:
    return time.strftime("%H:%M:%S")


def say(text: str, end: str = "\n") -> None:
    with suppress(OSError):  # the terminal may be gone; stopping goes on
        print(text, end=end, flush=True)


def main() -> int:
    try:
        options = options_from(os.environ, os.geteuid())
    except CannotRun as problem:
        say(str(problem))
        return 2
    return Launcher(options, dict(os.environ)).run()


if __name__ == "__main__":
    os.chdir(PROJECT)
    sys.exit(main())
