"""Test databases as clones of one migrated template: made once per set of migrations, then copied in half a second."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import django
import psycopg
from psycopg import sql

PREFIX = "tower_template_"
#: templates of older migrations that are kept (other branches, other checkouts); the oldest go first
KEPT = 8
LOCK = 7_203_114_509


def template_for(root: Path, settings: dict[str, Any]) -> str:
    """Name of the template for the migrations below `root`, made now if it is not there; safe in many processes."""
    name = PREFIX + _migrations_hash(root)
    parameters = {
        "host": settings["OPTIONS"].get("host") or settings.get("HOST") or None,
        "port": settings["OPTIONS"].get("port") or settings.get("PORT") or None,
        "user": settings.get("USER") or None,
        "password": settings.get("PASSWORD") or None,
        "dbname": "postgres",
    }
    with psycopg.connect(**parameters, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return name
        part = sql.Identifier(name + "_part")
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(part))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(part))
        _migrate(root, parameters, name + "_part")
        connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(part, sql.Identifier(name)))
        _drop_old(connection, name)
    return name


def _migrations_hash(root: Path) -> str:
    digest = hashlib.sha256(django.__version__.encode())
    for path in sorted(root.glob("apps/*/migrations/*.py")):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    digest.update((root / "requirements" / "base.txt").read_bytes())  # other packages bring migrations too
    return digest.hexdigest()[:16]


def _migrate(root: Path, parameters: dict[str, Any], name: str) -> None:
    where = "&".join(f"{key}={parameters[key]}" for key in ("host", "port") if parameters[key])
    who = parameters["user"] or ""
    if parameters["password"]:
        who += f":{parameters['password']}"
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--noinput", "--verbosity", "0"],
        cwd=root,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "controltower.settings.test",
            "TEST_DATABASE_URL": f"postgres://{who}@/{name}?{where}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the migrations failed:\n{done.stderr[-4000:]}")


def _drop_old(connection: psycopg.Connection[Any], newest: str) -> None:
    rows = connection.execute(
        "SELECT datname FROM pg_database WHERE datname LIKE %s AND datname <> %s ORDER BY oid DESC OFFSET %s",
        [PREFIX + "%", newest, KEPT],
    ).fetchall()
    for (old,) in rows:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(old)))
