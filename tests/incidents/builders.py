"""Drafts, people and threads for the tests of incidents and of what is sent about them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from apps.accounts.models import Role, Team, User
from apps.flows.models import Flow, FlowDefinition
from apps.incidents.models import Incident
from apps.incidents.raising import FindingDraft
from apps.incidents.transitions import TABLE
from apps.integrations.models import Integration, Partner

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def uid(*parts: object) -> uuid.UUID:
    """The same UUID for the same words."""
    return uuid.uuid5(uuid.NAMESPACE_OID, "/".join(str(part) for part in parts))


def draft(key: object, cause: object = "carrier", **changes: Any) -> FindingDraft:
    values: dict[str, Any] = {
        "key": uid("key", key),
        "kind": "late_milestone",
        "cause": uid("cause", cause),
        "incident_title": f"No scans from {cause}",
        "severity": "normal",
        "sentence": f"Parcel {key} has no first scan, due 18:00.",
        "evidence": {"rule": "scan v2", "at": NOW},
    }
    return FindingDraft(**(values | changes))


def person(name: str, **changes: Any) -> User:
    values: dict[str, Any] = {
        "username": name,
        "first_name": name.capitalize(),
        "email": f"{name}@tower.example",
        "role": Role.OPERATIONS,
    }
    return User.objects.create(**(values | changes))


def team(slug: str = "night", **changes: Any) -> Team:
    return Team.objects.create(**({"slug": slug, "name": slug.capitalize()} | changes))


def partner(slug: str = "northwind-parcels") -> Partner:
    return Partner.objects.create(slug=slug, name=slug.title(), kind=Partner.Kind.CARRIER)


def integration(slug: str = "northwind-scans", **changes: Any) -> Integration:
    return Integration.objects.create(**({"slug": slug, "name": slug, "kind": "webhook"} | changes))


def flow(label: str, **changes: Any) -> Flow:
    definition, _ = FlowDefinition.objects.get_or_create(slug="parcel", defaults={"name": "Parcel", "spec": {}})
    values: dict[str, Any] = {
        "key": uid("flow", label),
        "definition": definition,
        "label": label,
        "opened_at": NOW,
        "last_happened_at": NOW,
        "last_received_at": NOW,
        "digest": uid("digest", label),
    }
    return Flow.objects.create(**(values | changes))


def at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Runs each in its own thread and database connection, all let go at one moment; results, or the errors raised."""
    results: list[Any] = [None] * len(works)
    barrier = threading.Barrier(len(works))

    def run(place: int) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET ROLE controltower_app")
            barrier.wait(timeout=30)
            results[place] = works[place]()
        except Exception as error:
            results[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive(), "a thread hangs: a deadlock that PostgreSQL does not see?"
    return results


def consistent() -> None:
    """Counters equal the findings, one unresolved incident per cause, every timeline a legal walk to its state."""
    for incident in Incident.objects.all():
        assert incident.total_findings == incident.findings.count()
        assert incident.open_findings == incident.findings.filter(cleared_at=None).count()
        state = ""
        for row in incident.timeline.order_by("id"):
            after = {step.moves[state] for step in TABLE.values() if step.kind == row.kind and state in step.moves}  # type: ignore[index]
            if row.kind == "opened":
                assert state == "", "opened twice"
                after = {Incident.State.OPEN}
            assert len(after) == 1, f"{row.kind} cannot follow {state!r}"
            [state] = after
        assert state == incident.state
        assert (incident.resolved_at is not None) == (state == "resolved") == bool(incident.resolution)
    open_causes = list(Incident.objects.unresolved().values_list("fingerprint", flat=True))
    assert len(open_causes) == len(set(open_causes))
