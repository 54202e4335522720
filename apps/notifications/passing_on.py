"""What is passed on to alerting tools, which keep an alert of their own per incident, and told to no person."""

from __future__ import annotations

from collections.abc import Sequence

from apps.incidents.models import IncidentEvent
from apps.incidents.transitions import PAGE_KINDS
from apps.notifications.contract import CHANNELS
from apps.notifications.models import Channel, Delivery
from apps.notifications.ways import Recipient

Kind = IncidentEvent.Kind
#: rows of the outbox that only channels with `acknowledges` get
PASSED_ON = frozenset({Kind.ACKNOWLEDGED})


def alerts_of(events: Sequence[IncidentEvent]) -> dict[int, list[Recipient]]:
    """Event -> the tools that have, or are about to get, an alert of its incident. Three queries however many events.

    A call that still waits counts: machines get it whatever became of the incident, and must then hear the rest too.
    What ended before the incident was resolved the last time is a closed alert, and is left alone.
    """
    if not events:
        return {}
    able = [kind for kind, plugin in CHANNELS.plugins.items() if plugin.acknowledges]
    slugs = list(Channel.objects.filter(kind__in=able, enabled=True).values_list("slug", flat=True))
    if not slugs:
        return {}
    incidents = {event.incident_id for event in events}
    ended = list(
        IncidentEvent.objects.filter(incident__in=incidents, kind=Kind.RESOLVED).values_list("incident_id", "id")
    )
    calls = list(
        Delivery.objects.filter(
            incident_event__incident__in=incidents, incident_event__kind__in=PAGE_KINDS, channel__in=slugs
        )
        .exclude(state__in=[Delivery.State.DEAD, Delivery.State.DROPPED])
        .order_by("channel", "recipient")
        .values_list("incident_event__incident_id", "incident_event_id", "channel", "recipient")
    )
    found: dict[int, list[Recipient]] = {}
    for event in events:
        since = max((pk for one, pk in ended if one == event.incident_id and pk < event.pk), default=0)
        alerts = {
            (channel, address): Recipient(channel, address)
            for one, pk, channel, address in calls
            if one == event.incident_id and since < pk < event.pk
        }
        found[event.pk] = list(alerts.values())
    return found
