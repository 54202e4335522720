"""What `make run` will start, worked out from the environment: no process, no clock, no disk."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controltower.embedded import Cluster
from controltower.home import home_of
from controltower.installation import APPLICATION_ROLE
from controltower.processes import Child

PROJECT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
EVERYWHERE = ("0.0.0.0", "::")


class CannotRun(Exception):
    """Something about this machine or its settings; the message says what and what to do."""


@dataclass(frozen=True)
class Options:
    home: Path
    port: int
    bind: str
    demo: bool
    web_workers: int
    web_threads: int
    concurrency: int

    @property
    def database(self) -> str:
        """The demo has a database of its own: a real tower never starts with invented data or known sign-ins."""
        return "controltower_demo" if self.demo else "controltower"

    @property
    def address(self) -> str:
        host = "127.0.0.1" if self.bind in EVERYWHERE else self.bind
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def options_from(environment: Mapping[str, str], uid: int) -> Options:
    """Reads the settings of this start; CannotRun names the variable that is wrong."""

    def number(name: str, default: int, lowest: int, highest: int) -> int:
        text = environment.get(name) or str(default)
        if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
            raise CannotRun(f"{name} is {text!r}; a number from {lowest} to {highest} is expected.")
        return int(text)

    demo = environment.get("DEMO") or "1"
    if demo.lower() not in ("0", "1", "no", "yes", "false", "true"):
        raise CannotRun(f"DEMO is {demo!r}; 1 starts the demo, 0 an empty tower.")
    return Options(
        home=home_of(environment, uid),
        port=number("PORT", 8000, 1, 65535),
        bind=environment.get("BIND") or "127.0.0.1",
        demo=demo.lower() in ("1", "yes", "true"),
        web_workers=number("WEB_WORKERS", 2, 1, 64),
        web_threads=number("WEB_THREADS", 16, 1, 256),
        concurrency=number("WORKER_CONCURRENCY", 2, 1, 64),
    )


def environment_of(
    options: Options, keys: Mapping[str, str], cluster: Cluster, hostname: str, base: Mapping[str, str]
) -> dict[str, str]:
    """What every process of the tower is told. `base` is the caller's environment; what it sets itself stays, save the
    database: `make run` always uses the embedded one."""
    folder = options.home / ("broker-demo" if options.demo else "broker")
    hosts = ["localhost", "127.0.0.1", "[::1]", hostname]
    if options.bind not in EVERYWHERE:
        hosts.append(options.bind)
    ours = {
        "ALLOWED_HOSTS": ",".join(dict.fromkeys(hosts)),
        "BASE_URL": options.address,
        "BROKER_URL": "filesystem://",
        "BROKER_FOLDER": str(folder),
        "EMAIL_URL": f"filemail://{options.home / 'mail'}",
        **keys,
    }
    fixed = {
        "DJANGO_SETTINGS_MODULE": "controltower.settings.dev",
        "CONTROLTOWER_HOME": str(options.home),
        "DATABASE_URL": cluster.url(APPLICATION_ROLE, options.database),
        "DEMO": "1" if options.demo else "0",
        "PORT": str(options.port),
        "PYTHONUNBUFFERED": "1",
    }
    return {**ours, **{key: value for key, value in base.items() if value}, **fixed}


def children_of(options: Options, environment: Mapping[str, str]) -> list[Child]:
    """Web, worker, beat and, in the demo, the network that sends messages."""
    web = {
        **environment,
        "DATABASE_POOL": str(options.web_threads),
        "GROUP_COMMIT": "1",
        "PROMETHEUS_MULTIPROC_DIR": str(options.home / "run" / "metrics"),
    }
    granian = [
        *(PYTHON, "-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws"),
        *("--host", options.bind, "--port", str(options.port)),
        *("--workers", str(options.web_workers), "--blocking-threads", str(options.web_threads)),
        *("--respawn-failed-workers", "--respawn-interval", "0.5", "--workers-kill-timeout", "8"),
        *("--log-config", str(PROJECT / "controltower" / "granian.json"), "controltower.wsgi:application"),
    ]
    celery = [PYTHON, "-m", "celery", "--quiet", "-A", "controltower"]
    worker = [
        *(*celery, "worker", "--loglevel", "INFO", "--concurrency", str(options.concurrency)),
        *("--queues", "ingest,assess,notify", "--without-gossip", "--without-mingle"),
    ]
    group = [
        Child("web", granian, web),
        Child("worker", worker, environment, grace=20.0),
        Child("beat", [*celery, "beat", "--loglevel", "INFO", "--pidfile="], environment),
    ]
    if options.demo:
        group.append(Child("simulate", [PYTHON, "manage.py", "simulate"], environment))
    return group
