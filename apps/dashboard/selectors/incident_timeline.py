"""An incident's timeline in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from apps.core.wording import duration, short
from apps.incidents.models import IncidentEvent, IncidentFile, Resolution

KIND_ICONS = {
    "opened": "incident",
    "joined": "plus",
    "severity": "incident",
    "acknowledged": "check",
    "unacknowledged": "replay",
    "assigned": "user",
    "commented": "comment",
    "snoozed": "pause",
    "woken": "bell",
    "resolved": "check",
    "reopened": "replay",
    "cleared": "check",
    "notified": "mail",
    "asked": "mail",
    "rated": "incident",
    "labelled": "filter",
    "merged": "flow",
    "absorbed": "flow",
    "unmerged": "replay",
    "split": "flow",
    "related": "flow",
    "unrelated": "flow",
    "returned": "replay",
    "escalated": "bell",
    "reminded": "bell",
    "lapsed": "clock",
    "muted": "bell-off",
    "unmuted": "bell",
}


@dataclass(slots=True)
class Entry:
    """One line of the timeline, as partials/_timeline.html wants it."""

    key: str
    at: datetime
    who: str
    what: str
    said: str
    icon: str
    state: str = ""
    files: list[IncidentFile] = field(default_factory=list)


def entries(rows: Sequence[IncidentEvent], now: datetime, zone: tzinfo) -> list[Entry]:
    """The timeline in words, newest first; findings that joined one round after the other are one line."""
    told: list[Entry] = []
    joined: list[IncidentEvent] = []
    for row in rows:
        if row.kind == IncidentEvent.Kind.JOINED:
            joined.append(row)
            continue
        told += _joined(joined)
        joined = []
        told.append(_entry(row, now, zone))
    return told + _joined(joined)


def _joined(rows: Sequence[IncidentEvent]) -> list[Entry]:
    if not rows:
        return []
    n = sum(int(row.data.get("findings", 1)) for row in rows)
    over = f", over {duration(rows[0].at - rows[-1].at)}" if len(rows) > 1 else ""
    what = f"{n:,} {'finding' if n == 1 else 'findings'} joined{over}"
    return [Entry(f"t-{rows[-1].pk}", rows[0].at, "", what, "", KIND_ICONS["joined"])]


def _entry(row: IncidentEvent, now: datetime, zone: tzinfo) -> Entry:
    what, said = _words(row, now, zone)
    state = ""
    if row.data.get("failed"):
        state = "late"
    elif row.kind == IncidentEvent.Kind.RESOLVED:
        state = "done"
    who = row.actor_name
    icon = KIND_ICONS.get(row.kind, "info")
    what = what if who else what[:1].upper() + what[1:]
    return Entry(f"t-{row.pk}", row.at, who, what, said, icon, state, list(row.files.all()))


def _words(row: IncidentEvent, now: datetime, zone: tzinfo) -> tuple[str, str]:
    """(the deed, what was said with it). What the tower did says itself in its text."""
    kinds = IncidentEvent.Kind
    if row.kind == kinds.RESOLVED:
        how = dict(Resolution.choices).get(row.data.get("resolution", ""), "")
        return f"resolved it: {how.lower()}" if row.actor_name and how else "resolved by itself", row.text
    if not row.actor_name:
        return row.text or row.get_kind_display(), ""
    until = moment_in_words(row.data.get("until") or row.data.get("back_at"), now, zone)
    deed = {
        kinds.ACKNOWLEDGED: f"acknowledged{f', back at {until}' if until else ''}",
        kinds.UNACKNOWLEDGED: "gave it back",
        kinds.ASSIGNED: f"assigned it to {row.data.get('to', 'nobody')}",
        kinds.COMMENTED: "wrote",
        kinds.SNOOZED: f"snoozed it{f' until {until}' if until else ''}",
        kinds.REOPENED: "reopened it",
        kinds.ASKED: "asked the partner",
        kinds.RATED: f"set the severity from {row.data.get('before', '?')} to {row.data.get('after', '?')}",
        kinds.LABELLED: "changed the labels",
        kinds.MERGED: f"merged it into #{row.data.get('into', '?')}",
        kinds.ABSORBED: f"merged {_numbers(row.data.get('from'))} into it",
        kinds.UNMERGED: f"took it out of #{row.data.get('from', '?')} again",
        kinds.SPLIT: f"moved {row.data.get('findings', 'some')} findings to #{row.data.get('to', '?')}",
        kinds.ESCALATED: f"escalated it to {row.data.get('to') or 'whoever is on call'}{_step(row.data)}",
        kinds.RELATED: "related it to",
        kinds.UNRELATED: "took away the relation to",
        kinds.OPENED: f"split it off #{row.data.get('from', '?')}",
    }.get(kinds(row.kind), row.get_kind_display().lower())
    return deed, row.text


def _step(data: dict[str, Any]) -> str:
    return f", step {data['step']} of {data['steps']}" if data.get("step") and data.get("steps") else ""


def _numbers(ids: Any) -> str:
    return ", ".join(f"#{pk}" for pk in ids) if isinstance(ids, list) else "another"


def moment_in_words(iso: Any, now: datetime, zone: tzinfo) -> str:
    try:
        return short(datetime.fromisoformat(iso), zone, now) if iso else ""
    except (TypeError, ValueError):
        return ""
