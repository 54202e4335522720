"""What is wrong with the tower itself, for the banner on every page."""

from __future__ import annotations

from datetime import datetime, timedelta

from apps.core.wording import duration, number
from apps.integrations.models import Integration, SourceState
from apps.notifications import auditing

#: part -> how late its round may be, and what does not happen meanwhile
PARTS = {
    "dispatch": (timedelta(minutes=3), "The dispatcher", "messages about incidents are not sent"),
    "escalation": (timedelta(minutes=3), "Escalation", "nobody further is called"),
    "processing": (timedelta(minutes=3), "Processing", "what comes in waits"),
    "polling": (timedelta(minutes=5), "Polling", "sources are not read"),
    auditing.BEAT: (timedelta(minutes=5), "The auditor", "nobody watches over the messages"),
}
#: a source that should have been asked so long ago is late
POLL_LATE = timedelta(minutes=10)


LOG = ("dashboard:deliveries", "Log of messages")
CHANNELS = ("dashboard:channels", "Channels")
SOURCES = ("dashboard:integrations", "Integrations")


def troubles(now: datetime, ages: dict[str, timedelta]) -> list[tuple[str, str, str]]:
    """Sentence, page that shows more and its name, the worst first; empty while all runs on time.

    A part that never ran is not late yet.
    """
    found = [
        (f"{name} last ran {duration(ages[part])} ago: {meanwhile}.", "", "")
        for part, (limit, name, meanwhile) in PARTS.items()
        if part in ages and ages[part] > limit
    ]
    found += [(one.sentence, *(CHANNELS if one.kind.startswith("channel:") else LOG)) for one in auditing.look(now)]
    return found + _late_sources(now)


def _late_sources(now: datetime) -> list[tuple[str, str, str]]:
    live = Integration.Lifecycle.LIVE, Integration.Lifecycle.ONBOARDING, Integration.Lifecycle.DEPRECATED
    late = SourceState.objects.filter(
        next_poll_at__lt=now - POLL_LATE, integration__enabled=True, integration__lifecycle__in=live
    )
    rows = list(late.select_related("integration").order_by("next_poll_at", "pk")[:3])
    if not rows:
        return []
    names = ", ".join(row.integration.name for row in rows)
    first = rows[0].next_poll_at
    waited = duration(now - first) if first else ""
    many = "One source is" if len(rows) == 1 else f"{number(late.count())} sources are"
    return [(f"{many} not read on time, since {waited}: {names}.", *SOURCES)]
