"""Is the tower alive, is it ready, and if not: what is missing, in one sentence each. Nothing here raises."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.utils import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.core import heartbeats
from apps.core.policies import policy

logger = structlog.get_logger(__name__)

#: what a web process alone needs to take in messages; /readyz?part=web asks only this, for load balancers: a broker or
#: worker that is away delays work and must not close the doors
WEB_PARTS = ("database", "migrations")
COUNT_LIMIT = 100_000


@dataclass(frozen=True)
class Check:
    """One answer; `says` is for people, `facts` for machines (seconds, counts)."""

    ok: bool
    says: str
    facts: dict[str, Any] = field(default_factory=dict)


def check_database() -> Check:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), pg_is_in_recovery()")
        version, standby = cursor.fetchone()
    if standby:
        return Check(False, "the database is a standby and takes no writes", {"version": version})
    return Check(True, "the database answers", {"version": version})


@lru_cache(maxsize=1)
def _known_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)


def check_migrations() -> Check:
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations")
        applied = set(cursor.fetchall())
    missing = sorted(_known_migrations() - applied)
    if missing:
        names = ", ".join(f"{app}.{name}" for app, name in missing[:3])
        return Check(False, f"{len(missing)} migrations are not applied: {names}", {"missing": len(missing)})
    return Check(True, "all migrations are applied", {"missing": 0})


def check_broker() -> Check:
    """Opens a connection to the broker and closes it; seconds at most (settings.CELERY_BROKER_CONNECTION_TIMEOUT)."""
    with current_app.connection_for_write(settings.CELERY_BROKER_URL) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=2)
        folder = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("data_folder_out")
        if folder and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            return Check(False, f"the broker's folder {folder} cannot be written")
        return Check(True, "the broker answers", {"transport": broker.transport_cls})


def check_sweep(now: datetime) -> Check:
    age = heartbeats.ages(now).get("sweep")
    if age is None:
        return Check(False, "no sweep has run yet; worker and beat must be running")
    limit: timedelta = settings.READY_SWEEP_MAX_AGE
    facts = {"age_seconds": round(age.total_seconds(), 1), "limit_seconds": limit.total_seconds()}
    if age > limit:
        return Check(False, f"the last sweep was {age.total_seconds():.0f} s ago; are worker and beat running?", facts)
    return Check(True, f"the last sweep was {age.total_seconds():.0f} s ago", facts)


def check_backlog(now: datetime) -> Check:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), min(next_at) FROM"
            " (SELECT next_at FROM collectors_receiptstate WHERE status = 'waiting' ORDER BY next_at LIMIT %s) AS w",
            [COUNT_LIMIT],
        )
        waiting, oldest = cursor.fetchone()
    age = max(now - oldest, timedelta(0)) if oldest is not None else timedelta(0)
    limit: timedelta = settings.READY_BACKLOG_MAX_AGE
    facts = {
        "waiting": waiting,
        "oldest_seconds": round(age.total_seconds(), 1),
        "limit_seconds": limit.total_seconds(),
    }
    many = f"{waiting}{' or more' if waiting == COUNT_LIMIT else ''} receipts wait"
    if age > limit:
        return Check(False, f"{many}, the oldest for {age.total_seconds():.0f} s: workers do not keep up", facts)
    return Check(True, many, facts)


def readiness(now: datetime, parts: tuple[str, ...] | None = None) -> dict[str, Check]:
    """name -> Check; what cannot be asked (the database is away) is not ok and says so."""
    checks: dict[str, Callable[[], Check]] = {
        "database": check_database,
        "migrations": check_migrations,
        "broker": check_broker,
        "sweep": lambda: check_sweep(now),
        "backlog": lambda: check_backlog(now),
    }
    answers: dict[str, Check] = {}
    for name in parts or tuple(checks):
        if name != "broker" and "database" in answers and not answers["database"].ok and name != "database":
            answers[name] = Check(False, "not known while the database is away")
            continue
        answers[name] = _asked(name, checks[name])
    return answers


def _asked(name: str, check: Callable[[], Check]) -> Check:
    try:
        if name == "broker":
            return check()
        with transaction.atomic():  # a failing query must not spoil a transaction around it
            return check()
    except Error as problem:
        logger.warning("readiness_check_failed", check=name, error=type(problem).__name__)
        return Check(False, f"the database does not answer ({type(problem).__name__})")
    except Exception as problem:  # every kind of broker has errors of its own
        logger.warning("readiness_check_failed", check=name, error=type(problem).__name__)
        return Check(False, f"the {name} does not answer ({type(problem).__name__})")


@policy("public")
@require_safe
@never_cache
def live(request: HttpRequest) -> HttpResponse:
    """The process serves requests. Touches nothing else: a restart would not help a database that is away."""
    return HttpResponse("ok\n", content_type="text/plain")


@policy("public")
@require_safe
@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """200 when the whole tower works, else 503, as JSON {"ready", "checks": {name: {"ok", "says", "facts"}}}."""
    parts = WEB_PARTS if request.GET.get("part") == "web" else None
    answers = readiness(timezone.now(), parts)
    well = all(check.ok for check in answers.values())
    response = JsonResponse(
        {"ready": well, "checks": {name: asdict(check) for name, check in answers.items()}},
        status=HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE,
    )
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django would log each "no" as an error of ours
    return response
