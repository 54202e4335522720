"""The versions of escalation policies: an escalation under way keeps what its policy said when it began.

What a policy says becomes a version when an incident first follows it, whether a page or a configuration file said it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from apps.notifications.escalation_models import EscalationPolicy, EscalationVersion


def told(policy: EscalationPolicy) -> dict[str, Any]:
    """Plain values, for versions and the audit log; spans in seconds."""
    return {
        "slug": policy.slug,
        "name": policy.name,
        "steps": policy.steps,
        "repeat": policy.repeat,
        "pause": policy.pause.total_seconds(),
        "lapse_after": _seconds(policy.lapse_after),
        "remind_every": _seconds(policy.remind_every),
    }


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def versions_of(policies: Iterable[EscalationPolicy], now: datetime) -> dict[int, EscalationVersion]:
    """Policy -> its version of now, in one query when all of them are kept already."""
    rows = list({one.pk: one for one in policies}.values())
    newest = EscalationVersion.objects.filter(policy__in=rows).order_by("policy_id", "-version").distinct("policy_id")
    known = {one.policy_id: one for one in newest} if rows else {}
    return {
        row.pk: one if (one := known.get(row.pk)) and one.spec == told(row) else version_of(row, now) for row in rows
    }


def version_of(policy: EscalationPolicy, now: datetime) -> EscalationVersion:
    """What the policy says now, as a version; written when an incident first follows it."""
    said = told(policy)
    newest = policy.versions.order_by("-version").first()
    if newest is not None and newest.spec == said:
        return newest
    row = EscalationVersion(policy=policy, version=newest.version + 1 if newest else 1, spec=said, created_at=now)
    # of two who keep it at once one wins, and both go on with that row
    EscalationVersion.objects.bulk_create([row], ignore_conflicts=True)
    return EscalationVersion.objects.filter(policy=policy).order_by("-version")[0]
