"""Says where a deadline came from: in one sentence, and step by step. Pure; reads only what the expectation stored.

The stored origin holds what was true when the deadline was worked out, so the words stay right after rules and
calendars have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, tzinfo
from typing import Any

from apps.core.wording import zone
from apps.sla.durations import in_words


def sentence(origin: Mapping[str, Any], due_at: datetime) -> str:
    """ "Due Wed 4 Mar 16:00 Europe/Paris: 2 working days after released (Fri 27 Feb 15:10, after the 14:00 cut-off, so
    counted as Mon 2 Mar), rule 'B2B standard' v3, calendar France".
    """
    if not origin:
        return f"Due {in_zone(due_at, zone('UTC'), due_at)} UTC"
    where = zone(origin.get("zone", "UTC"))
    parts = [f"Due {in_zone(due_at, where, due_at)} {origin.get('zone', 'UTC')}: {_how(origin, where, due_at)}"]
    if origin.get("instead_of"):
        parts[0] += f", since {_name(origin['instead_of'])} is not known"
    if origin.get("pauses"):
        parts.append(_paused(origin, where, due_at))
    if origin.get("grace"):
        parts.append(f"{in_words(origin['grace'])} of grace included")
    parts.append(f"rule '{origin.get('rule', '')}' v{origin.get('version', '')}")
    if origin.get("calendar"):
        parts.append(f"calendar {origin['calendar']}")
    return ", ".join(parts)


def steps(origin: Mapping[str, Any], due_at: datetime) -> list[tuple[str, str]]:
    """(what was done, what it gave) from the anchor to the deadline, for the page behind the sentence."""
    if not origin:
        return [("Due", f"{in_zone(due_at, zone('UTC'), due_at)} UTC")]
    where = zone(origin.get("zone", "UTC"))
    told = {"document": "as the document says"}.get(origin["clock"], origin["clock"])
    if origin["form"] == "every":
        found = [("Promised", str(origin["every"])), ("This time", in_zone(_time(origin["at"]), where, due_at))]
    else:
        found = [(f"{_subject(origin).capitalize()}, {told}", in_zone(_time(origin["at"]), where, due_at))]
    if origin.get("instead_of"):
        found.insert(0, (_name(origin["instead_of"]).capitalize(), "not known, so the next fallback counts"))
    if origin.get("counted"):
        found.append((_because(origin).capitalize(), f"counts as {_day(origin['counted'], due_at)}"))
    if origin.get("start"):
        found.append(("The clock starts", in_zone(_time(origin["start"]), where, due_at)))
    if origin.get("duration") or origin.get("days"):
        way = "before" if origin["form"] == "before" else "after"
        found.append((f"{_amount(origin).capitalize()} {way} that", ""))
    if origin.get("time"):
        found.append(
            ("Time of day", {"fixed": "as the rule says"}.get(origin["time"], origin["time"].replace("_", " ")))
        )
    for label, begin, until in origin.get("pauses", ()):
        found.append((f"The clock stood still: {label}", _span(begin, until, where, due_at)))
    if origin.get("pauses"):
        found.append(("Without pauses it was due", in_zone(_time(origin["unpaused"]), where, due_at)))
    if origin.get("grace"):
        found.append(("Grace", in_words(origin["grace"])))
    if origin.get("calendar"):
        found.append(("Calendar", str(origin["calendar"])))
    found.append((f"Rule '{origin.get('rule', '')}' v{origin.get('version', '')}", ""))
    found.append(("Due", f"{in_zone(due_at, where, due_at)} {origin.get('zone', 'UTC')}"))
    return found


def _how(origin: Mapping[str, Any], where: tzinfo, due_at: datetime) -> str:
    at = _time(origin["at"])
    subject = _subject(origin)
    if origin["form"] == "every":
        return str(origin["every"])
    if origin["form"] == "date":
        if not origin.get("day"):
            return f"{subject} of the document"
        when = {"end_of_day": "end of that day", "closing": "closing time of that day"}.get(origin["time"], "that day")
        return f"{subject} of the document ({_day(origin['day'], due_at)}, {when})"
    note = f" ({in_zone(at, where, due_at)}"
    if origin.get("counted"):
        note += f", {_because(origin)}, so counted as {_day(origin['counted'], due_at)}"
    note += ")"
    if origin["form"] == "at":
        days = abs(int(origin.get("days", 0)))
        lead = "on the day of" if not days else f"{_amount(origin)} after"
        return f"{lead} {subject}{note}"
    return f"{_amount(origin)} {origin['form']} {subject}{note}"


def _paused(origin: Mapping[str, Any], where: tzinfo, due_at: datetime) -> str:
    """'moved from Tue 3 Mar 12:00 by 2 pauses (On hold, Maintenance: ..)'."""
    told = origin["pauses"]
    labels = ", ".join(dict.fromkeys(str(label) for label, _, _ in told))
    if told[-1][2] is None:
        return f"paused since {in_zone(_time(told[-1][1]), where, due_at)} ({told[-1][0]})"
    count = "a pause" if len(told) == 1 else f"{len(told)} pauses"
    return f"moved from {in_zone(_time(origin['unpaused']), where, due_at)} by {count} ({labels})"


def _span(begin: Any, until: Any, where: tzinfo, due_at: datetime) -> str:
    end = in_zone(_time(until), where, due_at) if until else "now"
    return f"{in_zone(_time(begin), where, due_at)} to {end}"


def _amount(origin: Mapping[str, Any]) -> str:
    if "days" in origin:
        count = abs(int(origin["days"]))
        what = "working day" if origin["kind"] == "working_days" else "day"
        return f"{count} {what}{'' if count == 1 else 's'}"
    return in_words(origin["duration"], "working" if origin["kind"] == "working_hours" else "")


def _because(origin: Mapping[str, Any]) -> str:
    because = str(origin["because"])
    return f"after the {origin['cut_off']} cut-off" if because == "cut_off" else because


def _subject(origin: Mapping[str, Any]) -> str:
    """'planned arrival', 'released', 'promised delivery'."""
    label = str(origin.get("label") or _name(origin["anchor"]))
    label = label[:1].lower() + label[1:] if label[1:2].islower() or len(label) == 1 else label
    clock = origin["clock"]
    return f"{clock} {label}" if clock in ("planned", "estimated", "sent", "received", "booked") else label


def _name(anchor: Any) -> str:
    kind, name = anchor
    return "the opening" if kind == "opened" else str(name).replace("_", " ")


def _time(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def _day(value: Any, due_at: datetime) -> str:
    day = value if isinstance(value, date) else date.fromisoformat(value)
    return f"{day:%a} {day.day} {day:%b}" + ("" if day.year == due_at.year else f" {day.year}")


def in_zone(moment: datetime, where: tzinfo, due_at: datetime) -> str:
    """'Wed 4 Mar 16:00' on the wall clock of a zone; the year where it is another than the deadline's."""
    local = moment.astimezone(where)
    clock = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    return f"{_day(local.date(), due_at)} {clock}"
