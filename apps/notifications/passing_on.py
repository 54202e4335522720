"""What is passed on to alerting tools and other machines, which keep an alert of their own per incident.

An alert is one incident in one place. A call opens it; the end of the incident, or its merging into another, closes it;
a merge taken back opens again what that merge had closed. Deliveries of one alert go out in the order of the timeline
rows they tell of (`dispatch`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apps.incidents.models import IncidentEvent
from apps.incidents.transitions import PAGE_KINDS
from apps.notifications.contract import CHANNELS
from apps.notifications.models import Channel, Delivery
from apps.notifications.ways import Recipient

Kind = IncidentEvent.Kind
#: rows of the outbox that machines get and no person does
PASSED_ON = frozenset({Kind.ACKNOWLEDGED, Kind.MERGED, Kind.UNMERGED})
#: rows of the outbox that say something about an alert that is there
TURNS = PASSED_ON | {Kind.RESOLVED}
ENDS = frozenset({Kind.RESOLVED, Kind.MERGED})
#: (slug of the channel, address)
Place = tuple[str, str]


def walk(calls: Iterable[tuple[int, Place]], turns: Iterable[tuple[int, str]]) -> dict[int, list[Place]]:
    """Turn -> the places that hear of it, for one incident. Pure.

    calls: (id of the row that called, where); turns: (id of the row, its kind, one of TURNS). Ids are in the order in
    which things happened.
    """
    calling: dict[int, list[Place]] = {}
    for pk, place in calls:
        calling.setdefault(pk, []).append(place)
    kinds = dict(turns)
    open_: dict[Place, None] = {}
    merged_away: dict[Place, None] = {}
    found: dict[int, list[Place]] = {}
    for pk in sorted({*calling, *kinds}):
        open_ |= dict.fromkeys(calling.get(pk, ()))
        kind = kinds.get(pk)
        if kind is None:
            continue
        if kind == Kind.UNMERGED:
            open_ |= merged_away
            found[pk] = list(merged_away)
            merged_away = {}
            continue
        found[pk] = list(open_)
        if kind in ENDS:
            merged_away = open_ if kind == Kind.MERGED else {}
            open_ = {}
    return found


def alerts_of(events: Sequence[IncidentEvent]) -> dict[int, list[Recipient]]:
    """Event (of TURNS) -> the machines that have, or may yet get, an alert of its incident. Three queries however many.

    A call that still waits counts, and so does one that was given up: it may have arrived all the same, and somebody may
    send it again. A channel that is switched off is not told of acknowledgments; the end is planned all the same, so
    that it is seen as unsent and can be sent later.
    """
    if not events:
        return {}
    rows = {row.slug: row for row in Channel.objects.filter(kind__in=machines())}
    if not rows:
        return {}
    incidents = {event.incident_id for event in events}
    turns: dict[int, list[tuple[int, str]]] = {}
    for one, pk, kind in IncidentEvent.objects.filter(incident__in=incidents, kind__in=TURNS, notify=True).values_list(
        "incident_id", "id", "kind"
    ):
        turns.setdefault(one, []).append((pk, kind))
    calls: dict[int, list[tuple[int, Place]]] = {}
    told = (
        Delivery.objects.filter(
            incident_event__incident__in=incidents, incident_event__kind__in=PAGE_KINDS, channel__in=rows
        )
        .exclude(state=Delivery.State.DROPPED)
        .order_by("channel", "recipient")
        .values_list("incident_event__incident_id", "incident_event_id", "channel", "recipient")
    )
    for one, call, channel, address in told:
        if call is not None:
            calls.setdefault(one, []).append((call, (channel, address)))
    found: dict[int, list[Place]] = {}
    for one in incidents:
        found |= walk(calls.get(one, ()), turns.get(one, ()))
    return {
        event.pk: [Recipient(*place) for place in found.get(event.pk, ()) if _told(rows[place[0]], event.kind)]
        for event in events
    }


def machines() -> list[str]:
    """Kinds of channels that get each piece of news by itself, in its order."""
    return [kind for kind, plugin in CHANNELS.plugins.items() if not plugin.paced]


def _told(row: Channel, kind: str) -> bool:
    return kind != Kind.ACKNOWLEDGED or (row.enabled and CHANNELS.plugins[row.kind].acknowledges)
