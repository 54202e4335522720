"""What only the passing of time and the money at stake say about incidents. Beat asks once a minute."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from apps.incidents.clearing import clear_findings
from apps.incidents.models import Finding, Incident, IncidentEvent, Resolution, Severity
from apps.incidents.raising import event, locked
from apps.incidents.selectors import value_at_stake
from apps.incidents.sets import worst_of
from apps.incidents.transitions import TABLE, Verb

State = Incident.State
#: kinds of incidents that other tools tell of begin so (`outside`)
ALERT = "alert."
#: incidents of one round
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Tended:
    """closed: quiet for long enough; over: findings of other tools that were not told again; worsened: by money."""

    closed: int = 0
    over: int = 0
    worsened: int = 0


def tend(now: datetime) -> Tended:
    """One round; each step is a transaction of its own, and doing it twice changes nothing."""
    return Tended(close_quiet(now), end_unheard(now), worsen_by_money(now))


@transaction.atomic
def close_quiet(now: datetime) -> int:
    """Resolves incidents whose last finding was cleared `settings.INCIDENT_QUIET` ago, and to which nothing came since."""
    waiting = Q(quiet_since__lte=now - settings.INCIDENT_QUIET, open_findings=0) & ~Q(state=State.RESOLVED)
    ids = [one.pk for one in locked(waiting).select_for_update(no_key=True, skip_locked=True)[:BATCH]]
    if ids:
        Incident.objects.filter(pk__in=ids).update(
            state=State.RESOLVED, resolved_at=now, resolution=Resolution.BY_ITSELF, back_at=None, quiet_since=None
        )
        said = {"resolution": Resolution.BY_ITSELF}
        IncidentEvent.objects.bulk_create(
            event(pk, Verb.CLOSE, now, text="Quiet since its last finding was cleared", data=said) for pk in ids
        )
    return len(ids)


def end_unheard(now: datetime) -> int:
    """Clears findings of other tools' alerts that were not told again for `settings.INCIDENT_ALERT_QUIET`: such tools
    repeat what goes on, and may die without saying that it is over."""
    if not settings.INCIDENT_ALERT_QUIET:
        return 0
    silent = Finding.objects.filter(
        kind__startswith=ALERT,
        cleared_at=None,
        incident__last_finding_at__lte=now - settings.INCIDENT_ALERT_QUIET,
    )
    keys = list(silent.order_by("id").values_list("key", flat=True)[:BATCH])
    return clear_findings(keys, "Not told again, so it counts as over", now)


def limits() -> dict[str, list[tuple[Decimal, str]]]:
    """Currency -> (amount, severity), the largest first. Raises ValueError with what is wrong in settings.INCIDENT_MONEY."""
    found: dict[str, list[tuple[Decimal, str]]] = {}
    for one in settings.INCIDENT_MONEY:
        try:
            currency, severity, amount = one.split(":")
            found.setdefault(currency.strip().upper(), []).append((Decimal(amount), Severity(severity.strip())))
        except (ValueError, InvalidOperation):
            raise ValueError(f"INCIDENT_MONEY: {one!r} is not CURRENCY:severity:amount, as EUR:high:20000") from None
    return {currency: sorted(rows, reverse=True) for currency, rows in found.items()}


@transaction.atomic
def worsen_by_money(now: datetime) -> int:
    """Raises the severity of incidents that hold up more money than settings.INCIDENT_MONEY allows for theirs; never
    lowers it, and leaves what a person has set."""
    known = limits()
    if not known:
        return 0
    wanted = ~Q(state=State.RESOLVED) & Q(severity_by_hand=False) & ~Q(severity=Severity.CRITICAL)
    found = list(locked(wanted).select_for_update(no_key=True, skip_locked=True)[:BATCH])
    stakes = value_at_stake([one.pk for one in found])
    changed: list[IncidentEvent] = []
    for one in found:
        for stake in stakes[one.pk]:
            limit = next((row for row in known.get(stake.currency, []) if stake.amount >= row[0]), None)
            if limit is None or worst_of([limit[1], one.severity]) == one.severity:
                continue
            text = f"{stake.amount:,.0f} {stake.currency} at stake: {limit[1]} from {limit[0]:,.0f} {stake.currency}"
            data = {"before": one.severity, "after": str(limit[1]), "first": ""}
            one.state, one.severity = TABLE[Verb.WORSEN].moves[State(one.state)], limit[1]
            changed.append(event(one.pk, Verb.WORSEN, now, text=text, data=data))
    dirty = {row.incident_id for row in changed}
    Incident.objects.bulk_update([one for one in found if one.pk in dirty], ["state", "severity"])
    IncidentEvent.objects.bulk_create(changed)
    return len(dirty)
