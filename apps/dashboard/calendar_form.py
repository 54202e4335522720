"""The editor's form of a working calendar: fields and lines people can type, read into a spec, and a spec as such lines.

Hours        08:00-12:00, 13:00-17:00   (nothing: closed; 22:00-06:00 runs over midnight; 00:00-24:00 is the whole day)
Exceptions   2026-12-24 08:00-12:00 Christmas Eve    2026-08-03..2026-08-14 closed Summer closing    2026-05-01 open
Periods      peak 2026-11-20..2026-12-23 mon-sat 07:00-22:00 Black Friday    freeze 2026-12-15..2027-01-02
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from apps.core.calendars import CALENDAR_SCHEMA, WEEKDAYS, CalendarError, WorkingCalendar

TEXTS = ("name", "slug", "zone", "country", "subdivision", *WEEKDAYS, "exceptions", "periods", "lanes")
MOST_TEXT = 20_000
RESERVED = ("add", "new", "progress")
_DATES = r"(?P<first>\d{4}-\d{2}-\d{2})(?:\s*(?:\.\.|…)\s*(?P<last>\d{4}-\d{2}-\d{2}))?"
_LINE = re.compile(rf"^{_DATES}\s+(?P<rest>.+)$")
_PERIOD = re.compile(rf"^(?P<kind>[A-Za-z]+)\s+{_DATES}(?:\s+(?P<rest>.*))?$")
_SHIFT = r"\d{2}:\d{2}\s*[-–]\s*\d{2}:\d{2}"
_HOURS = re.compile(rf"^(?P<hours>{_SHIFT}(?:\s*,\s*{_SHIFT})*)(?:\s+(?P<name>.*))?$")
_DAYS = re.compile(rf"^(?P<days>[a-z]{{3}}(?:\s*[-–]\s*[a-z]{{3}})?)\s+(?P<hours>{_SHIFT}(?:\s*,\s*{_SHIFT})*)[\s;,]*")
_VALIDATOR = Draft202012Validator(CALENDAR_SCHEMA)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong. field: the field it stands in; line: of its text, 0 when it has one only."""

    field: str
    line: int
    sentence: str


@dataclass(slots=True)
class CalendarForm:
    """What was typed, read. spec is None while there are troubles."""

    values: dict[str, str]
    troubles: list[Trouble] = field(default_factory=list)
    spec: dict[str, Any] | None = None


def read(posted: Mapping[str, str]) -> CalendarForm:
    """The form as typed. Whether the short name is free is the caller's to say."""
    values = {name: posted.get(name, "")[:MOST_TEXT].replace("\r\n", "\n").strip() for name in TEXTS}
    form = CalendarForm(values)
    if not values["name"]:
        form.troubles.append(Trouble("name", 0, "Give the calendar a name that people know it by."))
    weekly = {}
    for day in WEEKDAYS:
        try:
            if shifts := read_hours(values[day]):
                weekly[day] = shifts
        except ValueError as error:
            form.troubles.append(Trouble(day, 0, str(error)))
    spec: dict[str, Any] = {"zone": values["zone"] or "UTC", "weekly": weekly}
    if values["country"]:
        spec["country"] = values["country"].upper()
    if values["subdivision"]:
        spec["subdivision"] = values["subdivision"].upper()
    for name, reader in (("exceptions", read_exception), ("periods", read_period)):
        if lines := _lines(values[name], name, reader, form.troubles):
            spec[name] = lines
    if lanes := [lane.strip() for lane in re.split(r"[,\n]", values["lanes"]) if lane.strip()]:
        spec["lanes"] = lanes
    if not form.troubles:
        _check(spec, form)
    return form


def _check(spec: dict[str, Any], form: CalendarForm) -> None:
    problem = best_match(_VALIDATOR.iter_errors(spec))
    if problem is not None:
        place = [str(part) for part in problem.absolute_path]
        known = next((part for part in place if part in TEXTS), place[0] if place else "")
        form.troubles.append(Trouble(known, 0, _sentence(problem.message)))
        return
    try:
        WorkingCalendar.from_spec(spec)
    except CalendarError as error:
        about = {"time zone": "zone", "holidays": "country", "exception": "exceptions", "peak": "periods"}
        known = next((name for word, name in about.items() if word in str(error)), "")
        form.troubles.append(Trouble(known, 0, _sentence(str(error))))
        return
    form.spec = spec


def _lines(text: str, name: str, reader: Any, troubles: list[Trouble]) -> list[dict[str, Any]]:
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found.append(reader(line.strip()))
        except ValueError as error:
            troubles.append(Trouble(name, number, str(error)))
    return found


def read_hours(text: str) -> list[list[str]]:
    """'08:00-12:00, 13:00-17:00'; ValueError says what is expected."""
    text = text.strip()
    if not text or text.lower() == "closed":
        return []
    found = []
    for part in text.split(","):
        if not re.fullmatch(_SHIFT, part.strip()):
            raise ValueError(f"“{part.strip()}” are no hours; write them like 08:00-12:00, 13:00-17:00.")
        found.append([one.strip() for one in re.split("[-–]", part)])
    return found


def read_exception(line: str) -> dict[str, Any]:
    match = _LINE.match(line)
    if match is None:
        raise ValueError(
            f"“{line}”: begin with a date, then closed, open or hours: 2026-12-24 08:00-12:00 Christmas Eve."
        )
    found = _dates(match)
    rest = match["rest"].strip()
    word, _, name = rest.partition(" ")
    if word.lower() in ("closed", "open"):
        found[word.lower()] = True
    elif hours := _HOURS.match(rest):
        found["hours"], name = read_hours(hours["hours"]), hours["name"] or ""
    else:
        raise ValueError(f"“{line}”: after the date say closed, open or hours such as 08:00-12:00.")
    if name.strip():
        found["name"] = name.strip()
    return found


def read_period(line: str) -> dict[str, Any]:
    match = _PERIOD.match(line)
    if match is None or match["kind"].lower() not in ("peak", "freeze"):
        raise ValueError(f"“{line}”: write peak or freeze and its days: peak 2026-11-20..2026-12-23 Black Friday.")
    first, last = match["first"], match["last"] or match["first"]
    found: dict[str, Any] = {"kind": match["kind"].lower(), "from": first, "until": last}
    rest, weekly = (match["rest"] or "").strip(), dict[str, Any]()
    while days := _DAYS.match(rest):
        for day in _weekdays(days["days"]):
            weekly[day] = read_hours(days["hours"])
        rest = rest[days.end() :]
    if weekly:
        found["weekly"] = {day: weekly[day] for day in WEEKDAYS if day in weekly}
    if rest:
        found["name"] = rest
    return found


def _weekdays(text: str) -> Iterable[str]:
    first, _, last = (part.strip() for part in text.replace("–", "-").partition("-"))
    for day in (first, last or first):
        if day not in WEEKDAYS:
            raise ValueError(f"“{day}” is no weekday; they are {', '.join(WEEKDAYS)}.")
    begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    return WEEKDAYS[begin : end + 1] if begin <= end else (*WEEKDAYS[begin:], *WEEKDAYS[: end + 1])


def _dates(match: re.Match[str]) -> dict[str, Any]:
    if match["last"] is None:
        return {"date": match["first"]}
    return {"from": match["first"], "until": match["last"]}


# -- a spec as lines ----------------------------------------------------------


def values_of(slug: str, name: str, spec: Mapping[str, Any]) -> dict[str, str]:
    """The form's values of a stored calendar; `read` of them gives the same spec."""
    weekly = spec.get("weekly") or {}
    return {
        "slug": slug,
        "name": name,
        "zone": str(spec.get("zone", "UTC")),
        "country": str(spec.get("country") or ""),
        "subdivision": str(spec.get("subdivision") or ""),
        **{day: hours_text(weekly.get(day) or ()) for day in WEEKDAYS},
        "exceptions": "\n".join(exception_text(one) for one in spec.get("exceptions") or ()),
        "periods": "\n".join(period_text(one) for one in spec.get("periods") or ()),
        "lanes": ", ".join(spec.get("lanes") or ()),
    }


def hours_text(shifts: Sequence[Sequence[str]]) -> str:
    return ", ".join(f"{start}-{end}" for start, end in shifts)


def exception_text(one: Mapping[str, Any]) -> str:
    days = str(one["date"]) if "date" in one else f"{one['from']}..{one['until']}"
    if one.get("closed") or one.get("hours") == []:
        what = "closed"
    else:
        what = hours_text(one["hours"]) if "hours" in one else "open"
    return " ".join(part for part in (days, what, str(one.get("name", ""))) if part)


def period_text(one: Mapping[str, Any]) -> str:
    hours = " ".join(f"{day} {hours_text(shifts)};" for day, shifts in (one.get("weekly") or {}).items() if shifts)
    parts = (one["kind"], f"{one['from']}..{one['until']}", hours.rstrip(";"), str(one.get("name", "")))
    return " ".join(part for part in parts if part)


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
