"""Which integration stands behind a door, with its live secrets, read from the database at most once a second.

A revoked credential or a disabled integration is therefore refused everywhere within one second.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from apps.collectors.contract import COLLECTORS, Collector
from apps.core.secrets import decrypt
from apps.integrations.models import Credential, Integration

log = structlog.get_logger(__name__)

#: seconds after which an answer is read anew, by one thread while the others still use it, and after which by nobody
FRESH = 0.5
STALE = 0.95
#: addresses remembered at most, so that guessing fills no memory
MOST = 10_000
#: seconds to wait for another thread that asks the database
PATIENCE = 3.0

_ENDPOINT_ID = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_CLOSED = (Integration.Lifecycle.PLANNED, Integration.Lifecycle.RETIRED)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An open door. credentials: (secret, expires_at or None) of every credential that is not revoked."""

    integration_id: int
    slug: str
    collector: Collector
    settings: Mapping[str, Any]
    credentials: tuple[tuple[str, datetime | None], ...]

    def secrets(self, now: datetime) -> list[str]:
        return [secret for secret, expires_at in self.credentials if expires_at is None or expires_at > now]


class Busy(Exception):
    """Another thread has been asking the database for too long."""


class Directory:
    """endpoint id -> open door; None for what is unknown, disabled, closed or of a kind without a door."""

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._known: dict[str, tuple[float, Endpoint | None]] = {}
        #: how often the database was asked
        self.reads = 0

    def find(self, endpoint_id: str, now: datetime) -> Endpoint | None:
        """Raises `django.db.Error` or `Busy` when the database does not answer."""
        found = self._known.get(endpoint_id)
        age = time.monotonic() - found[0] if found is not None else STALE
        if found is not None and age < FRESH:
            return found[1]
        if not _ENDPOINT_ID.fullmatch(endpoint_id):
            return None
        if not self._reading.acquire(blocking=age >= STALE, timeout=PATIENCE if age >= STALE else -1):
            if found is not None and age < STALE:
                return found[1]
            raise Busy("the directory of doors is busy")
        try:
            found = self._known.get(endpoint_id)
            started = time.monotonic()
            if found is not None and started - found[0] < FRESH:
                return found[1]
            self.reads += 1
            endpoint = _read(endpoint_id, now)
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[endpoint_id] = (started, endpoint)
            return endpoint
        finally:
            self._reading.release()

    def forget(self) -> None:
        """Everything is read anew."""
        self._known.clear()


def _read(endpoint_id: str, now: datetime) -> Endpoint | None:
    integration = (
        Integration.objects.filter(endpoint_id=endpoint_id, enabled=True).exclude(lifecycle__in=_CLOSED).first()
    )
    if integration is None:
        return None
    collector = COLLECTORS.plugins.get(integration.kind)
    if collector is None or not collector.has_door:
        return None
    credentials = []
    for credential in Credential.objects.live(now).filter(integration=integration, purpose="signing"):
        try:
            credentials.append((decrypt(bytes(credential.ciphertext)), credential.expires_at))
        except Exception as error:  # a key was lost: the other credentials still open the door
            log.error("credential_unreadable", credential_id=credential.pk, error=type(error).__name__)
    return Endpoint(integration.pk, integration.slug, collector, integration.settings, tuple(credentials))


#: the directory of this process
DIRECTORY = Directory()
