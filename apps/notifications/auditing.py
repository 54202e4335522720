"""The auditor: it trusts no dispatcher. It looks by itself at what should have been sent, and speaks by other ways.

What it finds is shown on every page (`apps.dashboard.pulse`), mailed straight to the administrators, and told to a
dead-man switch outside: a service that raises the alarm when our sign of life stops (DEAD_MAN_URL). While something is
wrong the sign of life stops, or goes to DEAD_MAN_FAIL_URL if that is set.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db.models import Count, Exists, Min, OuterRef, Q

from apps.accounts.models import Role, User
from apps.core import heartbeats, outbound
from apps.core.wording import duration, number
from apps.incidents.models import Incident, IncidentEvent
from apps.notifications.contract import Door
from apps.notifications.escalation_outlook import overdue as overdue_steps
from apps.notifications.models import Channel, Delivery
from apps.oncall.models import SwapNews

log = logging.getLogger(__name__)
#: what should be sent and is not, for so long, is a fault
UNSENT_AFTER = timedelta(minutes=5)
#: an incident that calls nobody is a fault of sending for so long; then it is one of the inbox
UNCALLED_FOR = timedelta(hours=24)
#: administrators are told at once, and of the same trouble again after
REPEAT_AFTER = timedelta(hours=6)
BEAT = "auditor"
TIMEOUT = 10
State = Delivery.State


@dataclass(frozen=True, slots=True)
class Trouble:
    """kind: the same while it is the same trouble; sentence: for people, with what to do."""

    kind: str
    sentence: str


def look(now: datetime) -> list[Trouble]:
    """What is wrong with sending at this moment. Seven small queries, by partial indexes; writes nothing."""
    found = []
    overdue = now - UNSENT_AFTER
    rows = IncidentEvent.objects.filter(notify=True, dispatched_at=None, at__lte=overdue).aggregate(first=Min("at"))
    swaps = SwapNews.objects.filter(dispatched_at=None, at__lte=overdue).aggregate(first=Min("at"))
    if waiting := [one for one in (rows["first"], swaps["first"]) if one is not None]:
        found.append(_unplanned(now - min(waiting)))
    late = Delivery.objects.filter(
        Q(held_until=None) | Q(held_until__lte=overdue),
        state__in=[State.WAITING, State.SENDING],
        created_at__lte=overdue,
    )
    if count := late.count():
        found.append(_unsent(count, late.order_by("created_at", "id").first(), now))
    if late_steps := overdue_steps(now):
        found.append(_unescalated(*late_steps, now))
    if uncalled := _nobody_called(now):
        found.append(_uncalled(*uncalled, now))
    for row in Channel.objects.filter(enabled=False).exclude(disabled_because="").order_by("id"):
        words = f"The channel “{row.name}” is switched off because it fails: mend it under Channels, then turn it on."
        found.append(Trouble(f"channel:{row.slug}", words))
    return found


def _nobody_called(now: datetime) -> tuple[int, datetime] | None:
    """How many open incidents last called nobody (`planning`), and since when; a call that was sent later ends it."""
    sent = Delivery.objects.filter(
        incident_event__incident=OuterRef("incident"), created_at__gt=OuterRef("at"), state=State.SENT
    )
    rows = IncidentEvent.objects.filter(
        ~Exists(sent),
        incident__state=Incident.State.OPEN,
        kind=IncidentEvent.Kind.NOTIFIED,
        data__nobody=True,
        at__gt=now - UNCALLED_FOR,
        at__lte=now,
    ).aggregate(n=Count("incident", distinct=True), first=Min("at"))
    return (rows["n"], rows["first"]) if rows["n"] else None


def _uncalled(count: int, first: datetime, now: datetime) -> Trouble:
    many = f"{number(count)} incident{' is open and calls' if count == 1 else 's are open and call'} nobody"
    words = f"{many}, the first for {duration(now - first)}: nobody whom its policy or team names can be reached."
    return Trouble("uncalled", f"{words} Take it, and see the timeline for who lacks an address that works.")


def _unplanned(age: timedelta) -> Trouble:
    words = f"News has waited for {duration(age)} and nobody was chosen to get it"
    return Trouble("unplanned", f"{words}: the dispatcher does not run. Check the worker and beat.")


def _unescalated(count: int, first: datetime, now: datetime) -> Trouble:
    many = f"{number(count)} step{' of an escalation is' if count == 1 else 's of escalations are'}"
    words = f"{many} overdue, the oldest by {duration(now - first)}: nobody is called next."
    return Trouble("escalation", f"{words} Check the worker and beat.")


def _unsent(count: int, first: Delivery | None, now: datetime) -> Trouble:
    age = duration(now - first.created_at) if first else ""
    why = f" The last answer: {first.error[:200]}" if first and first.error else ""
    many = f"{number(count)} message{' was' if count == 1 else 's were'}"
    return Trouble("unsent", f"{many} due and not sent, the oldest for {age}.{why} See the log of messages.")


def audit(now: datetime, door: Door = outbound.request) -> list[Trouble]:
    """Looks, speaks up and gives the sign of life; what it found. The next round comes in a minute."""
    troubles = look(now)
    spoken = _speak_up(troubles, heartbeats.detail(BEAT).get("spoken") or {}, now)
    alive = sign_of_life(troubles, door)
    detail = {"troubles": [one.sentence for one in troubles], "spoken": spoken, "sign_of_life": alive}
    heartbeats.beat(BEAT, now, detail)
    return troubles


def _speak_up(troubles: Sequence[Trouble], before: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Mails the administrators, past all queues, of what is new to them, and of the same again after REPEAT_AFTER.

    before, and what it returns: ``{"kinds": [..], "at": ".."}``, of what they were told last.
    """
    kinds = sorted(one.kind for one in troubles)
    if not troubles:
        return {}
    at = before.get("at")
    if at and set(kinds) <= set(before["kinds"]) and now - datetime.fromisoformat(at) < REPEAT_AFTER:
        return dict(before)
    people = User.objects.filter(Q(role=Role.ADMIN) | Q(is_superuser=True), is_active=True).exclude(email="")
    if not (to := sorted(set(people.values_list("email", flat=True)))):
        log.error("auditor found trouble and there is nobody to tell", extra={"kinds": kinds})
        return {}
    lines = "\n".join(f"* {one.sentence}" for one in troubles)
    mail = EmailMultiAlternatives(
        subject="The control tower does not get its messages out",
        body=f"The control tower's auditor says:\n\n{lines}\n\n{settings.BASE_URL.rstrip('/')}/deliveries/\n",
        bcc=to,
        headers={"Auto-Submitted": "auto-generated"},
        connection=get_connection(timeout=TIMEOUT),
    )
    try:
        mail.send()
    except Exception as error:  # the mail server may be the very trouble: the dead-man switch speaks then
        log.exception("auditor could not mail", extra={"error": type(error).__name__})
        return {}
    return {"kinds": kinds, "at": now.isoformat()}


def sign_of_life(troubles: Sequence[Trouble], door: Door = outbound.request) -> str:
    """Calls the dead-man switch; what came of it, in words."""
    url = settings.DEAD_MAN_FAIL_URL if troubles else settings.DEAD_MAN_URL
    if not url:
        return "withheld" if troubles and settings.DEAD_MAN_URL else "not set up"
    body = "\n".join(one.sentence for one in troubles).encode()
    try:
        reply = door(
            "POST",
            url,
            headers={"content-type": "text/plain; charset=utf-8"},
            body=body,
            timeout=TIMEOUT,
            max_bytes=64 * 1024,
            allow=[ip_network(one) for one in settings.DEAD_MAN_NETWORKS],
        )
    except (outbound.OutboundRefused, outbound.OutboundFailed) as error:
        log.warning("dead-man switch not reached", extra={"reason": str(error)})
        return str(error)
    return f"answered {reply.status}"
