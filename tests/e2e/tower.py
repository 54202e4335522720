"""A tower of real processes for tests: its own database and folder, web and worker, started and stopped by pid."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.conf import settings
from psycopg import sql
from standardwebhooks import Webhook

from controltower.installation import conninfo
from controltower.plan import children_of, options_from
from controltower.processes import MARKER, Child, stop_all

ROOT: Path = settings.BASE_DIR
SECRET = "whsec_" + base64.b64encode(b"a key for the tower of the tests").decode()
DEFINITIONS = sorted((ROOT / "apps" / "flows" / "definition_files").glob("*.yaml"))
INTEGRATION = """
partners:
  - {slug: warehouse, name: Nordlager, kind: 3pl}
integrations:
  - {slug: warehouse-events, name: Nordlager events, kind: webhook, partner: warehouse}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {seconds:.0f} s")


class Tower:
    """`admin_url`: a PostgreSQL superuser over TCP; `environment`: what differs, such as BROKER_URL."""

    def __init__(self, folder: Path, admin_url: str, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.admin_url = admin_url
        self.port = free_port()
        self.database = f"tower_e2e_{os.getpid()}_{self.port}"
        parts = urlsplit(admin_url)
        where = f"{parts.hostname}:{parts.port}/{self.database}"
        self.owner_url = f"postgres://controltower_owner:e2e@{where}"
        for name in ("run", "log", "run/metrics"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        inherited = ("PATH", "LANG", "HOME", "TMPDIR")
        self.environment = {
            **{name: os.environ[name] for name in inherited if name in os.environ},
            "DJANGO_SETTINGS_MODULE": "controltower.settings.prod",
            "SECRET_KEY": "e2e-" + "k9!x" * 15,
            "SECRETS_KEYS": base64.urlsafe_b64encode(b"k" * 32).decode(),
            "DATABASE_URL": f"postgres://controltower_app:e2e@{where}",
            "ALLOWED_HOSTS": "127.0.0.1",
            "BASE_URL": f"https://127.0.0.1:{self.port}",
            "TRUSTED_PROXIES": "1",
            "CONTROLTOWER_HOME": str(folder),
            "STATIC_ROOT": str(folder / "static"),
            **environment,
        }
        self.children: list[Child] = []
        self.endpoint = ""

    def create(self) -> None:
        """Database, roles, migrations, flow definitions and one webhook integration with a known secret."""
        with psycopg.connect(conninfo(self.admin_url), autocommit=True) as connection:
            # as docs/operations.md says: an owner that is no superuser
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'controltower_owner'").fetchone() is None:
                connection.execute("CREATE ROLE controltower_owner LOGIN CREATEROLE PASSWORD 'e2e'")
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER controltower_owner TEMPLATE template0").format(
                    sql.Identifier(self.database)
                )
            )
        self.manage("migrate", "--noinput", "--verbosity", "0", DATABASE_URL=self.owner_url)
        with psycopg.connect(conninfo(self.admin_url), autocommit=True) as connection:
            connection.execute("ALTER ROLE controltower_app LOGIN PASSWORD 'e2e'")
        path = self.folder / "integration.yaml"
        path.write_text(INTEGRATION)
        self.manage("load_config", *map(str, DEFINITIONS), str(path))
        self.endpoint = self.manage(
            "shell",
            "--no-imports",
            "--command",
            "from apps.integrations.credentials import issue; from apps.integrations.models import Integration;"
            " from apps.core.clock import now; i = Integration.objects.get();"
            f" issue(i, now(), None, secret='{SECRET}'); print(i.endpoint_id)",
        ).strip()

    def manage(self, *command: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env={**self.environment, MARKER: str(self.folder), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"manage.py {command[0]}: {done.stdout}{done.stderr}"[-4000:]
        return done.stdout

    def start(self, *names: str) -> None:
        """Starts these of web, worker and beat, as the launcher would."""
        chosen = {"CONTROLTOWER_HOME": str(self.folder), "PORT": str(self.port), "DEMO": "0", "WEB_WORKERS": "1"}
        for child in children_of(options_from(chosen, uid=1), {**self.environment, "PYTHONPATH": str(ROOT)}):
            if child.name in names:
                child.start(self.folder, time.monotonic())
                self.children.append(child)

    def stop(self) -> None:
        stop_all(self.children, self.folder / "run")
        with psycopg.connect(conninfo(self.admin_url), autocommit=True) as connection:
            name = sql.Identifier(self.database)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """As the TLS proxy would pass it on; (0, b"") while nothing listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, {"X-Forwarded-Proto": "https", **given})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def send(self, number: int, event: Mapping[str, Any], sent_at: float) -> int:
        """One signed webhook; the status of the answer. `sent_at`: seconds since 1970."""
        body = json.dumps(event).encode()
        name = f"msg_{number}"
        moment = datetime.fromtimestamp(int(sent_at), UTC)
        return self.request(
            "POST",
            f"/in/{self.endpoint}/",
            body,
            Content_Type="application/json",
            webhook_id=name,
            webhook_timestamp=str(int(sent_at)),
            webhook_signature=Webhook(SECRET).sign(name, moment, body.decode()),
        )[0]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(conninfo(self.owner_url)) as connection:
            return connection.execute(statement.encode()).fetchall()

    def logs(self) -> str:
        return "\n".join(f"== {p.name}\n{p.read_text()[-3000:]}" for p in sorted((self.folder / "log").glob("*.log")))
