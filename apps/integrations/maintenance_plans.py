"""What people do to maintenance windows and mutes: plan, change, cancel, and take the cancelling back. Audited."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from apps.accounts import audit
from apps.accounts.models import ApiClient, User
from apps.core.zones import zone_names
from apps.integrations.maintenance_models import MaintenanceWindow
from apps.integrations.models import Integration, Partner
from apps.integrations.recurrence import RecurrenceError, check

#: a person or a machine
Actor = User | ApiClient
LONGEST_ONE = timedelta(days=31)
LONGEST_REPEATED = timedelta(days=7)
#: so long after cancelling it can be taken back
UNDO_FOR = timedelta(hours=1)


class NotPossible(Exception):
    """It cannot be done; the message is for people. field: of the form, "" if it is about no single one."""

    def __init__(self, text: str, field: str = "") -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True, slots=True)
class Wanted:
    """A window as somebody wants it. rules: slugs."""

    kind: str
    starts_at: datetime
    ends_at: datetime
    reason: str
    recurrence: str = ""
    time_zone: str = "UTC"
    everything: bool = False
    integrations: Collection[Integration] = ()
    partners: Collection[Partner] = ()
    rules: Collection[str] = ()
    announce_to_partners: bool = False
    announcement: str = ""


def _check(wanted: Wanted, now: datetime, begun: bool = False) -> None:
    if not wanted.reason.strip():
        raise NotPossible("Say why: whoever is woken by its end reads it.", "reason")
    if wanted.kind not in MaintenanceWindow.Kind.values:
        raise NotPossible("It is a maintenance or a mute.", "kind")
    if wanted.ends_at <= wanted.starts_at:
        raise NotPossible("The end comes after the beginning.", "ends_at")
    if wanted.time_zone not in zone_names():
        raise NotPossible("Choose a time zone such as Europe/Berlin.", "time_zone")
    longest = LONGEST_REPEATED if wanted.recurrence else LONGEST_ONE
    if wanted.ends_at - wanted.starts_at > longest:
        raise NotPossible(f"At most {longest.days} days at once: longer silence would be forgotten.", "ends_at")
    if not wanted.recurrence and wanted.ends_at <= now:
        raise NotPossible("It would be over already: choose a time that lies ahead.", "ends_at")
    if not begun and not wanted.recurrence and wanted.starts_at < now - timedelta(hours=24):
        raise NotPossible("It may begin at most a day ago: what was judged earlier stays judged.", "starts_at")
    places = bool(wanted.integrations or wanted.partners)
    if wanted.everything and (places or wanted.rules):
        raise NotPossible("Either everything, or what you name: not both.", "everything")
    if not wanted.everything and not places and not wanted.rules:
        raise NotPossible("Say what it covers: integrations, partners, rules, or everything.", "everything")
    if wanted.announce_to_partners and not (places or wanted.everything):
        raise NotPossible("A window of rules alone has no partners to tell: name partners or integrations.", "announce")
    if wanted.announce_to_partners and not wanted.announcement.strip():
        raise NotPossible("Write what partners read on their page.", "announcement")
    if wanted.recurrence:
        try:
            check(wanted.recurrence, wanted.starts_at, wanted.time_zone)
        except RecurrenceError as error:
            raise NotPossible(str(error), "recurrence") from None


@transaction.atomic
def plan(wanted: Wanted, actor: Actor, now: datetime) -> MaintenanceWindow:
    """Makes a window. Raises NotPossible."""
    _check(wanted, now)
    person = actor if isinstance(actor, User) else None
    row = MaintenanceWindow(author=person, author_name=_name(actor), created_at=now)
    _fill(row, wanted)
    audit.record(actor, "maintenance.planned", f"maintenance:{row.pk}", None, facts(row), now)
    return row


@transaction.atomic
def change(window_id: int, wanted: Wanted, actor: User, now: datetime) -> MaintenanceWindow:
    """Changes a window. One that has begun keeps its beginning and its scope: what it has done stays explained."""
    row = _locked(window_id)
    if row.cancelled_at is not None:
        raise NotPossible("It is cancelled: take that back first, or plan a new one.")
    if not row.recurrence and row.ends_at <= now:
        raise NotPossible("It is over: plan a new one.")
    begun = row.starts_at <= now
    if abs(wanted.starts_at - row.starts_at) < timedelta(minutes=1):  # forms know no seconds
        wanted = replace(wanted, starts_at=row.starts_at)
    _check(wanted, now, begun)
    before = facts(row)
    if begun and (
        wanted.starts_at != row.starts_at or wanted.recurrence != row.recurrence or _scope(wanted) != _scope_of(row)
    ):
        raise NotPossible(
            "It has begun: only its end, its reason and its announcement can change. Cancel it and plan another."
        )
    if begun and not row.recurrence and wanted.ends_at < now:
        raise NotPossible("It can end now at the earliest: cancel it to end it now.", "ends_at")
    _fill(row, wanted)
    audit.record(actor, "maintenance.changed", f"maintenance:{row.pk}", before, facts(row), now)
    return row


@transaction.atomic
def cancel(window_id: int, actor: Actor, now: datetime) -> MaintenanceWindow:
    """Ends it now (and all its repeats); what is still open calls within a minute."""
    row = _locked(window_id)
    if row.cancelled_at is not None:
        raise NotPossible("It is cancelled already.")
    if not row.recurrence and row.ends_at <= now:
        raise NotPossible("It is over already.")
    row.cancelled_at, row.cancelled_by_name = now, _name(actor)
    row.save(update_fields=["cancelled_at", "cancelled_by_name"])
    audit.record(actor, "maintenance.cancelled", f"maintenance:{row.pk}", None, {"at": now.isoformat()}, now)
    return row


@transaction.atomic
def restore(window_id: int, actor: User, now: datetime) -> MaintenanceWindow:
    """Takes the cancelling back, within an hour of it."""
    row = _locked(window_id)
    if row.cancelled_at is None:
        raise NotPossible("It is not cancelled.")
    if now - row.cancelled_at > UNDO_FOR:
        raise NotPossible("It was cancelled more than an hour ago: plan a new one.")
    row.cancelled_at, row.cancelled_by_name = None, ""
    row.save(update_fields=["cancelled_at", "cancelled_by_name"])
    audit.record(actor, "maintenance.restored", f"maintenance:{row.pk}", None, {"at": now.isoformat()}, now)
    return row


def _locked(window_id: int) -> MaintenanceWindow:
    row = MaintenanceWindow.objects.select_for_update(of=("self",)).filter(pk=window_id).first()
    if row is None:
        raise NotPossible("This window is not there any more.")
    return row


def _fill(row: MaintenanceWindow, wanted: Wanted) -> None:
    plain = (
        "kind", "starts_at", "ends_at", "recurrence", "time_zone", "everything", "announce_to_partners",
    )  # fmt: skip
    for name in plain:
        setattr(row, name, getattr(wanted, name))
    row.reason, row.announcement = wanted.reason.strip()[:300], wanted.announcement.strip()[:300]
    row.rules = sorted(set(wanted.rules))
    row.save()
    row.integrations.set(wanted.integrations)
    row.partners.set(wanted.partners)


def _name(actor: Actor) -> str:
    return actor.display_name if isinstance(actor, User) else actor.name


def _scope(wanted: Wanted) -> tuple[Any, ...]:
    integrations = sorted(one.pk for one in wanted.integrations)
    partners = sorted(one.pk for one in wanted.partners)
    return (wanted.kind, wanted.everything, integrations, partners, sorted(set(wanted.rules)))


def _scope_of(row: MaintenanceWindow) -> tuple[Any, ...]:
    integrations = sorted(row.integrations.values_list("pk", flat=True))
    partners = sorted(row.partners.values_list("pk", flat=True))
    return (row.kind, row.everything, integrations, partners, sorted(row.rules))


def facts(row: MaintenanceWindow) -> dict[str, Any]:
    """The window as plain values, for the audit."""
    return {
        "kind": row.kind,
        "from": row.starts_at.isoformat(),
        "to": row.ends_at.isoformat(),
        "recurrence": row.recurrence,
        "reason": row.reason,
        "everything": row.everything,
        "integrations": sorted(row.integrations.values_list("slug", flat=True)),
        "partners": sorted(row.partners.values_list("slug", flat=True)),
        "rules": row.rules,
        "announced": row.announce_to_partners,
    }
