"""What messages say. `tell` words one piece of news; `compose` makes the message of one or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.db.models import Count
from django.template.loader import render_to_string

from apps.accounts.models import User
from apps.core.wording import money
from apps.incidents import links
from apps.incidents.models import Finding, Incident, IncidentEvent, Resolution, Severity
from apps.incidents.selectors import value_at_stake
from apps.incidents.transitions import PAGE_KINDS
from apps.notifications.contract import Message, News
from apps.notifications.models import Delivery

Kind = IncidentEvent.Kind
SUBJECT_LENGTH = 300
HITS = "Hits"
#: facts worth their room in a text message
TELLING = (HITS, "Next breach", "Late since")
#: how the subject of a piece of news begins, after the severity
OPENINGS = {
    Kind.OPENED: "",
    Kind.REOPENED: "Back again: ",
    Kind.SEVERITY: "Worse: ",
    Kind.UNACKNOWLEDGED: "Nobody works on it: ",
    Kind.WOKEN: "Snooze over: ",
    Kind.ASSIGNED: "Assigned to you: ",
    Kind.UNMERGED: "Taken out again: ",
    "escalated": "Still nobody has it: ",
    "reminded": "Still yours: ",
}


def message_id(event_id: int, channel: str, recipient: str) -> str:
    """The same for the same news to the same recipient, however often it is worked out."""
    return own_id(f"event/{event_id}/{channel}/{recipient}")


def thread_id(incident_id: int) -> str:
    return own_id(f"incident/{incident_id}")


def own_id(path: str) -> str:
    return (
        f"<{uuid5(NAMESPACE_URL, f'{settings.BASE_URL}/{path}')}@{urlsplit(settings.BASE_URL).hostname or 'localhost'}>"
    )


def tell(event: IncidentEvent) -> tuple[str, str]:
    """Subject and one or two sentences for an event that must be sent; the incident is read from `event.incident`."""
    incident = event.incident
    who = event.actor_name or "The tower"
    if event.kind == Kind.RESOLVED:
        how = event.data.get("resolution", "")
        how = "" if how in ("", Resolution.BY_ITSELF) else f": {Resolution(how).label.lower()}"
        text = f"Resolved by {event.actor_name}{how}." if event.actor_name else "Resolved by itself."
        return _cut(f"[RESOLVED] {incident.title}"), _and(text, event.text)
    if event.kind == Kind.MERGED:
        return _cut(f"[MERGED] {incident.title}"), _and(f"It is worked in #{event.data.get('into')} now.", event.text)
    subject = _cut(f"[{incident.severity.upper()}] {OPENINGS.get(event.kind, '')}{incident.title}")
    first, n = event.data.get("first", ""), event.data.get("findings", 1)
    if event.kind == Kind.SEVERITY:
        return subject, _and(f"{event.text}.", first)
    if event.kind == Kind.ACKNOWLEDGED:
        return subject, _and(f"Acknowledged by {who}.", event.text)
    if event.kind == Kind.UNACKNOWLEDGED:
        return subject, _and(f"{who} gave it back.", event.text)
    if event.kind == Kind.ASSIGNED:
        return subject, _and(f"{who} assigned it to {event.data.get('to', 'you')}.", event.text)
    if event.kind == Kind.REOPENED and event.actor_name:
        return subject, _and(f"{who} reopened it.", event.text)
    if event.kind == Kind.WOKEN:
        return subject, f"The snooze is over; {incident.open_findings:,} findings are still open."
    if not first:
        return subject, event.text
    return subject, first if n == 1 else _and(first, f"And {n - 1:,} more.")


def _and(first: str, second: str) -> str:
    return f"{first} {second}".strip()


def _cut(subject: str) -> str:
    subject = " ".join(subject.split())
    return subject if len(subject) <= SUBJECT_LENGTH else subject[: SUBJECT_LENGTH - 1] + "…"


def compose(deliveries: Sequence[Delivery], now: datetime) -> Message:
    """The message of the first delivery, carrying the news of all; needs event, incident, team and user loaded.

    Links are made here and kept nowhere: whoever holds one can acknowledge.
    """
    head = deliveries[0]
    zone = _zone(head)
    hurt = whom_it_hurts([delivery.event.incident_id for delivery in deliveries])
    items = [_item(delivery, zone, now, hurt) for delivery in deliveries]
    subject, worst = items[0].subject, items[0].severity
    if len(items) > 1:
        worst = min((item.severity for item in items), key=list(Severity.values).index)
        subject = _cut(f"[{worst.upper()}] {len(items)} messages: {_bare(subject)} and {len(items) - 1} more")
    context = {"subject": subject, "items": items, "single": len(items) == 1, "zone": str(zone)}
    return Message(
        message_id=head.message_id,
        thread=thread_id(head.event.incident_id),
        recipient=head.recipient,
        subject=subject,
        text=render_to_string("notifications/message.txt", context),
        html=render_to_string("notifications/message.html", context),
        short=_short(subject, items),
        spoken=_spoken(subject, items, worst),
        severity=worst,
        news=tuple(items),
    )


def _short(subject: str, items: Sequence[News]) -> str:
    """For a telephone: what, whom, when, and one link."""
    one = items[0]
    if len(items) > 1:
        return f"{subject[:200]}. {settings.BASE_URL.rstrip('/')}/incidents/"
    facts = ". ".join(f"{name}: {value}" for name, value in one.facts if name in TELLING)
    words = subject if len(subject) <= 160 else subject[:159] + "…"
    return f"{words}. {facts[:140]}{'. ' if facts else ''}{one.acknowledge_url or one.url}"


def _spoken(subject: str, items: Sequence[News], worst: str) -> str:
    """To be read aloud: no marks, no links."""
    one = items[0]
    said = _bare(subject) if len(items) == 1 else f"{len(items)} messages. The first: {_bare(one.subject)}"
    hits = "".join(f" {name}: {value}." for name, value in one.facts if name == HITS)
    return f"This is the control tower. {worst.capitalize()}. {said}. {one.text[:300]}{hits}"


def _bare(subject: str) -> str:
    return subject.split("] ", 1)[-1]


def _zone(delivery: Delivery) -> ZoneInfo:
    team = delivery.event.incident.team
    name = delivery.user.time_zone if delivery.user else team.time_zone if team else "UTC"
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def _item(delivery: Delivery, zone: ZoneInfo, now: datetime, hurt: Mapping[int, str]) -> News:
    event = delivery.event
    incident = event.incident
    to_acknowledge = event.kind in PAGE_KINDS and incident.state in (Incident.State.OPEN, Incident.State.SNOOZED)
    link = links.acknowledge_url(incident.pk, delivery.user.pk, now) if to_acknowledge and delivery.user else ""
    return News(
        subject=delivery.subject,
        text=delivery.text,
        at=_when(event.at, zone),
        state=_state(incident),
        facts=tuple(_facts(incident, zone, now, hurt.get(incident.pk, ""))),
        url=links.incident_url(incident.pk),
        acknowledge_url=link,
        kind=event.kind,
        severity=incident.severity,
        title=incident.title,
        incident_id=incident.pk,
        key=thread_id(incident.pk).strip("<>").split("@", 1)[0],
        moment=event.at,
        given_back=event.kind in (Kind.UNACKNOWLEDGED, Kind.WOKEN) or bool(event.data.get("taken_before")),
        held=incident.state == Incident.State.ACKNOWLEDGED,
    )


def _facts(incident: Incident, zone: ZoneInfo, now: datetime, hurt: str) -> list[tuple[str, str]]:
    """How it stands at the moment of sending, which may be later than the news."""
    facts = [("Severity", incident.get_severity_display())]
    if incident.next_breach_at and incident.next_breach_at > now:
        facts.append(("Next breach", _when(incident.next_breach_at, zone)))
    if incident.first_breach_at and incident.first_breach_at <= now:
        facts.append(("Late since", _when(incident.first_breach_at, zone)))
    if hurt:
        facts.append((HITS, hurt))
    facts.append(("Findings", f"{incident.open_findings:,} open of {incident.total_findings:,}"))
    if incident.whom:
        facts.append(("Partner", incident.whom))
    facts.append(("Opened", _when(incident.opened_at, zone)))
    return facts


def whom_it_hurts(incident_ids: Sequence[int]) -> dict[int, str]:
    """Incident -> ``12 flows, 41,200 EUR``, in two statements for all; nothing for those that hurt no flow."""
    ours = Finding.objects.filter(incident_id__in=incident_ids, flow__isnull=False, cleared_at=None)
    counts = dict(ours.values_list("incident_id").annotate(flows=Count("flow_id", distinct=True)).order_by())
    stakes = value_at_stake(list(counts)) if counts else {}
    return {
        pk: ", ".join(
            [f"{flows:,} flow{'' if flows == 1 else 's'}", *(money(one.amount, one.currency) for one in stakes[pk])]
        )
        for pk, flows in counts.items()
    }


def _state(incident: Incident) -> str:
    by: User | None = incident.acknowledged_by
    if incident.state == Incident.State.ACKNOWLEDGED and by is not None:
        return f"Acknowledged by {by.display_name}"
    return incident.get_state_display()


def _when(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%a %d %b %Y, %H:%M %Z}"
