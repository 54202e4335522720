"""When each part of the tower last finished its round; readiness and metrics read it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from apps.core.models import Heartbeat


def beat(name: str, now: datetime, detail: Mapping[str, Any] | None = None) -> None:
    """Writes that the part `name` finished a round at `now`. One statement, last writer wins."""
    Heartbeat.objects.bulk_create(
        [Heartbeat(name=name, at=now, detail=dict(detail or {}))],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["at", "detail"],
    )


def ages(now: datetime) -> dict[str, timedelta]:
    """name -> time since its last beat; a beat from the future (a clock that was set back) counts as age zero."""
    return {
        name: max(now - at, timedelta(0)) for name, at in Heartbeat.objects.order_by("name").values_list("name", "at")
    }


def detail(name: str) -> dict[str, Any]:
    """What the part `name` said with its last beat; empty when it never did."""
    found = Heartbeat.objects.filter(name=name).values_list("detail", flat=True).first()
    return dict(found) if isinstance(found, dict) else {}
