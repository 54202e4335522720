"""A rule in words: what it asks of whom, before any flow is held against it. Pure; `explaining` does it for one deadline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.sla import check_words, occasions
from apps.sla.durations import in_words, parse_days

_SEASONS = {"peak": "a peak period", "freeze": "a freeze period", "usual": "neither peak nor freeze"}
_TIMES = {"end_of_day": "at the end of that day", "closing": "by closing time", "same": "at the same time of day"}
_DAYS = {"mon": "Monday", "tue": "Tuesday", "wed": "Wednesday", "thu": "Thursday"}
_DAYS |= {"fri": "Friday", "sat": "Saturday", "sun": "Sunday"}


def rule(spec: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """ "2 working days after released (after 14:00 counts as the next day); warned 2 hours before". labels: of milestones."""
    if spec.get("measure") is False:
        return f"Not measured: {spec.get('reason', '')}"
    if "check" in spec:
        words = _check(spec["check"], labels)
        return words[:1].upper() + words[1:]
    due = spec.get("due") or {}
    words = occasions.words(due["every"], str(spec.get("calendar") or "none")) if "every" in due else _due(due, labels)
    if spec.get("pause"):
        words += f"; the clock stops while {_any(name.replace('_', ' ') for name in spec['pause'])}"
    if spec.get("grace"):
        words += f", with {in_words(spec['grace'])} of grace"
    warn = spec.get("warn") or {}
    if "before" in warn:
        words += f"; at risk {in_words(warn['before'])} before"
    elif "share" in warn:
        words += f"; at risk for the last {warn['share']:.0%} of the time"
    return words[:1].upper() + words[1:]


def conditions(spec: Mapping[str, Any], partners: Mapping[str, str]) -> str:
    """For which flows: "partner Oakline, lane FR>DE, from 1000 EUR"; '' for all. partners: slug -> name."""
    when = spec.get("when") or {}
    found = []
    if when.get("partner"):
        found.append("partner " + _any(partners.get(slug, slug) for slug in when["partner"]))
    if when.get("integration"):
        found.append("told by " + _any(when["integration"]))
    if when.get("service"):
        found.append("service " + _any(when["service"]))
    for name, values in (when.get("attributes") or {}).items():
        found.append(f"{name.replace('_', ' ')} {_any(str(value) for value in values)}")
    if when.get("weekday"):
        found.append("opened on " + _any(_DAYS[day] for day in when["weekday"]))
    if when.get("lane"):
        found.append("lane " + _any(when["lane"]))
    if value := when.get("value"):
        low, high = value.get("at_least"), value.get("below")
        found.append(
            " and ".join(
                part
                for part in (
                    f"from {low:,} {value['currency']}" if low is not None else "",
                    f"below {high:,} {value['currency']}" if high is not None else "",
                )
                if part
            )
            or f"in {value['currency']}"
        )
    if when.get("season"):
        found.append("opened in " + _any(_SEASONS[one] for one in when["season"]))
    valid = spec.get("valid") or {}
    if valid:
        span = [
            f"from {valid['from']}" if "from" in valid else "",
            f"until {valid['until']}" if "until" in valid else "",
        ]
        found.append("opened " + " ".join(part for part in span if part))
    return ", ".join(found)


def _check(check: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    due = ""
    if "early" in check:
        due = _due(check["early"]["than"], labels)
    elif "too_long" in check:
        due = _due({"after": check["too_long"]["since"]}, labels)
    return check_words.rule(check, labels, due)


def _any(values: Any) -> str:
    return " or ".join(values)


def _due(due: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    if "date" in due:
        words = f"by the document's {due['date'].replace('_', ' ')}"
        if due.get("end_of_day"):
            words += ", end of that day"
        elif due.get("time"):
            words += f", {_clock(due['time'])}"
    elif "at" in due:
        at = due["at"]
        days = at.get("days", 0)
        what = "working day" if at.get("kind") == "working_days" else "day"
        lead = f"{days} {what}{'' if days == 1 else 's'} after" if days else "on the day of"
        words = f"{_clock(at['time'])} {lead} {_anchor(at['day_of'], labels)}{_cut_off(at)}"
    elif "after" in due or "before" in due:
        way = "after" if "after" in due else "before"
        span = due[way]
        words = f"{_length(span)} {way} {_anchor(span, labels)}{_cut_off(span)}"
        if span.get("time") and span["time"] != "same":
            words += f", {_clock(span['time'])}"
    else:
        return ""
    fallback = due.get("else")
    for other in fallback if isinstance(fallback, list) else [fallback] if fallback else []:
        words += f"; where that is not known, {_due(other, labels)}"
    return words


def _length(span: Mapping[str, Any]) -> str:
    kind = span.get("kind", "continuous")
    if kind in ("working_days", "calendar_days"):
        count = parse_days(span["duration"])
        return f"{count} {'working day' if kind == 'working_days' else 'day'}{'' if count == 1 else 's'}"
    return in_words(span["duration"], "working" if kind == "working_hours" else "")


def _anchor(anchor: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    if anchor.get("opened"):
        return "the opening"
    if "date" in anchor:
        return f"the document's {anchor['date'].replace('_', ' ')}"
    name = labels.get(anchor["milestone"], anchor["milestone"].replace("_", " "))
    clock = anchor.get("clock", "")
    return f"“{name}”" + (f" ({clock})" if clock and clock != "happened" else "")


def _cut_off(span: Mapping[str, Any]) -> str:
    return f" (after {span['cut_off']} counts as the next day)" if span.get("cut_off") else ""


def _clock(time: str) -> str:
    return _TIMES.get(time, f"at {time}")
