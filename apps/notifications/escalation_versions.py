"""The versions of escalation policies: an escalation under way keeps what its policy said when it began.

What a page saves is a version at once, with its author. What a configuration file said becomes one when an incident
first follows it, or before a page replaces it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from apps.accounts import audit
from apps.accounts.models import User
from apps.notifications.escalation_models import EscalationPolicy, EscalationVersion
from apps.oncall.redrawing import Overtaken, fingerprint

#: characters of a note
NOTE = 300
FIELDS = ("name", "steps", "repeat", "pause", "lapse_after", "remind_every")


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


def version_of(policy: EscalationPolicy, now: datetime, author: str = "", note: str = "") -> EscalationVersion:
    """What the policy says now, as a version; written if the newest one says something else."""
    said = told(policy)
    newest = policy.versions.order_by("-version").first()
    if newest is not None and newest.spec == said:
        return newest
    row = EscalationVersion(
        policy=policy,
        version=newest.version + 1 if newest else 1,
        spec=said,
        author_name=author[:200],
        note=note[:NOTE],
        created_at=now,
    )
    # of two who keep it at once one wins, and both go on with that row
    EscalationVersion.objects.bulk_create([row], ignore_conflicts=True)
    return EscalationVersion.objects.filter(policy=policy).order_by("-version")[0]


def of_version(kept: EscalationVersion, slug: str) -> EscalationPolicy:
    """The other way round: a policy that says what this version said; not saved."""
    values = {name: getattr(kept, name) for name in FIELDS}
    return EscalationPolicy(slug=slug, **values)


def base_of(policy: EscalationPolicy | None) -> str:
    """Tells what a policy says from what it said when an edit began; "" for one that is not there yet."""
    return fingerprint(told(policy) if policy is not None else None)


@transaction.atomic
def save(wanted: EscalationPolicy, actor: User, now: datetime, *, base: str, note: str = "") -> EscalationPolicy:
    """Keeps what `wanted` (not saved) says under its slug, as a version. base: `base_of` what the edit began with.

    What says the same as before changes nothing. Raises Overtaken when somebody else changed or removed it meanwhile.
    """
    row = EscalationPolicy.objects.select_for_update().filter(slug=wanted.slug).first()
    if row is None and base:
        raise Overtaken("This policy was removed meanwhile: what you wrote is not kept.")
    if base_of(row) != base:
        raise Overtaken("Somebody changed this policy since you opened it. Open it again to see what it says now.")
    before, after = None if row is None else told(row), told(wanted)
    if row is not None:
        if before == after:
            return row
        version_of(row, now)
        for name in FIELDS:
            setattr(row, name, getattr(wanted, name))
    else:
        row = wanted
    row.save()
    version_of(row, now, actor.display_name, note)
    action = "escalation.added" if before is None else "escalation.changed"
    audit.record(actor, action, f"escalation:{row.slug}", before, after | {"note": note[:NOTE]}, now)
    return row


@transaction.atomic
def remove(row: EscalationPolicy, actor: User, now: datetime) -> None:
    """The policy and the lines that lead to it; escalations under way go on by their version."""
    audit.record(actor, "escalation.removed", f"escalation:{row.slug}", told(row), None, now)
    row.delete()
