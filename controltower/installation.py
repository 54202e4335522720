"""What belongs to one installation and is made once: keys, roles, the database, and which set-up steps are done."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psycopg
from psycopg import sql

APPLICATION_ROLE = "controltower_app"


def keys(home: Path) -> dict[str, str]:
    """SECRET_KEY and SECRETS_KEYS of this installation, made at the first start (mode 600). Who loses them loses the
    stored credentials: they belong into the backup, apart from the database."""
    path = home / "keys.json"
    if not path.exists():
        fernet = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        write_private(path, {"SECRET_KEY": secrets.token_urlsafe(50), "SECRETS_KEYS": fernet})
    known: dict[str, str] = json.loads(path.read_text())
    return known


def demo_passwords(home: Path, names: Iterable[str]) -> Path:
    """File with the passwords of the demo sign-ins: made per installation, so that no known password exists."""
    path = home / "demo-sign-ins.json"
    if not path.exists():
        write_private(path, {name: secrets.token_urlsafe(9) for name in names})
    return path


def write_private(path: Path, values: Mapping[str, str]) -> None:
    """Writes JSON that only the owner can read, on disk before it counts, never half there."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(dict(values), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def prepare_database(admin_url: str, database: str) -> None:
    """Makes the application's role, allowed to sign in, and the database. Doing it again changes nothing."""
    with psycopg.connect(conninfo(admin_url), autocommit=True) as connection:
        role = sql.Identifier(APPLICATION_ROLE)
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APPLICATION_ROLE]).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(role))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(database)))


class Steps:
    """Which set-up steps are done and with which input, kept in the database itself: a restored or new database is
    set up again by what it holds, not by what a file beside it says."""

    def __init__(self, owner_url: str) -> None:
        self.url = conninfo(owner_url)
        with psycopg.connect(self.url) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS launcher")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS launcher.step"
                " (name text PRIMARY KEY, input text NOT NULL, done_at timestamptz NOT NULL DEFAULT now())"
            )

    def once(self, name: str, given: str, do: Callable[[], None]) -> bool:
        """Runs `do` unless it was done with the same input; what fails is not marked. Says whether it ran."""
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT input FROM launcher.step WHERE name = %s", [name]).fetchone()
        if row is not None and row[0] == given:
            return False
        do()
        with psycopg.connect(self.url) as connection:
            connection.execute(
                "INSERT INTO launcher.step (name, input) VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET input = excluded.input, done_at = now()",
                [name, given],
            )
        return True


def hash_of(paths: Iterable[Path]) -> str:
    """One hash over names and contents."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        digest.update(f"{path.parent.name}/{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def conninfo(url: str) -> str:
    """psycopg's spelling of a URL."""
    return url.replace("postgres://", "postgresql://", 1)
