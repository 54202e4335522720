"""What the rows of XES and OCEL logs mean without a mapping: cases and objects become references, activities types.

Pure. Nothing is guessed: an activity nobody named is kept under its own name as `activity.recorded`, an object type
that is none of our reference kinds as `object`. Our own exports are read back as what they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from apps.collectors import jsonbody
from apps.collectors.logs import own
from apps.collectors.mapping import Context
from apps.collectors.mapping_rules import plain
from apps.collectors.paths import Scope
from apps.collectors.times import ISO, TimeError, read_time, zone_of
from apps.flows.canonical import CanonicalEvent, ParseIssue, ParseResult, Reference
from apps.flows.catalogue import REFERENCE_KINDS

ACTIVITY, CASE, OBJECT = "activity.recorded", "case", "object"
IGNORE = "ignore"
#: how logs write times that are not ISO 8601, the usual ones
_FORMS = (ISO, "%Y/%m/%d %H:%M:%S.%f", "%Y/%m/%d %H:%M:%S", "%d-%m-%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f %z")
_STANDARD = frozenset({"concept:name", "time:timestamp", "identity:id", "lifecycle:transition"})
_MOST_OBJECTS = 30
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


@dataclass(frozen=True)
class Defaults:
    """The settings of a log integration.

    case_kind: reference kind of an XES case; activities: name (or name/transition, or *) -> event type or `ignore`;
    objects: OCEL object type -> reference kind or `ignore`; integration: slug, the issuer of cases and objects.
    """

    integration: str
    case_kind: str = CASE
    activities: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Mapping[str, Any], integration: str) -> Defaults:
        kind = str(settings.get("case_kind") or CASE)
        return cls(integration, kind, pairs(settings.get("activities")), pairs(settings.get("objects")))


class _Unreadable(Exception):
    """This row gives no event."""

    def __init__(self, code: str, sentence: str, place: str = "") -> None:
        super().__init__(sentence)
        self.code, self.place = code, place


def pairs(text: Any) -> dict[str, str]:
    """'a = b' lines, or a mapping, as a mapping; lines without a sign are left out."""
    if isinstance(text, Mapping):
        return {str(name): str(value) for name, value in text.items()}
    found = {}
    for line in str(text or "").splitlines():
        name, sign, value = line.rpartition("=")
        if sign and name.strip() and value.strip():
            found[name.strip()] = value.strip()
    return found


def apply(defaults: Defaults, rows: Iterable[Scope], context: Context) -> ParseResult:
    """Every event of every row, in order, as `mapping.apply` gives them."""
    reader = _Reader(defaults, context)
    events = []
    for scope in rows:
        try:
            event = reader.event(scope.nodes[0], scope.position)
        except _Unreadable as problem:
            place = f"{scope.position}{scope.joint}{problem.place}" if problem.place else scope.position
            reader.issues.append(ParseIssue(problem.code, str(problem), place, jsonbody.excerpt(scope.nodes[0])))
            continue
        except (ValueError, TypeError) as error:
            sentence = f"The event is from an export of ours, which was changed: {jsonbody.excerpt(str(error), 120)}."
            reader.issues.append(ParseIssue("eventlog.changed_export", sentence, scope.position))
            continue
        if event is not None:
            events.append(event)
    return ParseResult(tuple(events), tuple(reader.issues))


class _Reader:
    def __init__(self, defaults: Defaults, context: Context) -> None:
        self.defaults = defaults
        self.context = context
        self.issues: list[ParseIssue] = []
        self.unnamed: set[str] = set()
        self.case: tuple[Reference, ...] = ()
        try:
            zone_of(context.zone)
            self.zone = context.zone
        except TimeError:
            self.zone = "UTC"

    def event(self, row: Mapping[str, Any], position: str) -> CanonicalEvent | None:
        is_xes = isinstance(row.get("event"), dict)
        if not is_xes:
            row = _unfolded(row)
            is_xes = isinstance(row.get("event"), dict)
        found = self._xes(row, position) if is_xes else self._ocel(row, position)
        return self._timed(found) if found is not None else None

    def _xes(self, row: Mapping[str, Any], position: str) -> CanonicalEvent | None:
        event = row["event"]
        case: Mapping[str, Any] = row["case"] if isinstance(row.get("case"), dict) else {}
        happened_at = self._time(event.get("time:timestamp"), "time:timestamp")
        if own.is_ours(event):
            return own.decoded(event, str(event.get("concept:name")), happened_at, own.named(event), position)
        activity = plain(event.get("concept:name"))
        kind = self._type(activity, plain(event.get("lifecycle:transition")), position)
        if kind is None:
            return None
        case_id = plain(case.get("concept:name")) or plain(event.get("case:concept:name"))
        if not case_id:
            raise _Unreadable("eventlog.no_case", "The event belongs to no case: its trace has no concept:name.")
        number = row.get("number")
        data: dict[str, Any] = {"activity": activity}
        if len(event) > 2 or len(case) > 1:
            data |= {name: value for name, value in event.items() if name not in _STANDARD}
            data |= {f"case:{name}": value for name, value in case.items() if name != "concept:name"}
            if transition := event.get("lifecycle:transition"):
                data["transition"] = transition
        return CanonicalEvent(
            type=kind,
            happened_at=happened_at,
            references=self._case(case_id),
            source_event_id=plain(event.get("identity:id")) or (f"{case_id}:{number}" if number else ""),
            received_at=self._received(happened_at),
            zone=self.zone,
            data=data,
            position=position,
        )

    def _ocel(self, row: Mapping[str, Any], position: str) -> CanonicalEvent | None:
        happened_at = self._time(row.get("time"), "time")
        attributes: Mapping[str, Any] = row["attributes"] if isinstance(row.get("attributes"), dict) else {}
        objects: Mapping[str, Any] = row["objects"] if isinstance(row.get("objects"), dict) else {}
        named = [
            (kind, one["id"] if isinstance(one.get("id"), str) else plain(one.get("id")) or "")
            for kind, ones in objects.items()
            for one in (ones if isinstance(ones, list) else ())
            if isinstance(one, dict)
        ]
        activity = plain(row.get("type"))
        if own.is_ours(attributes):
            return own.decoded(attributes, str(row.get("type")), happened_at, own.referenced(named), position)
        kind = self._type(activity, None, position)
        if kind is None:
            return None
        return CanonicalEvent(
            type=kind,
            happened_at=happened_at,
            references=self._objects(named, position),
            source_event_id=plain(row.get("id")) or "",
            received_at=self._received(happened_at),
            zone=self.zone,
            data={"activity": activity, **attributes},
            position=position,
        )

    def _type(self, activity: str | None, transition: str | None, position: str) -> str | None:
        if not activity:
            raise _Unreadable("eventlog.no_activity", "The event has no name, so nobody knows what happened.")
        known = self.defaults.activities
        kind = known.get(f"{activity}/{transition}") or known.get(activity) or known.get("*")
        if kind is None:
            if known and activity not in self.unnamed:
                self.unnamed.add(activity)
                sentence = (
                    f"The activity “{jsonbody.excerpt(activity, 60)}” is not in the integration's list; its events are "
                    f"kept as {ACTIVITY}."
                )
                self.issues.append(ParseIssue("eventlog.unmapped", sentence, position, severity="warning"))
            return ACTIVITY
        return None if kind == IGNORE else kind

    def _objects(self, named: list[tuple[str, str]], position: str) -> tuple[Reference, ...]:
        found: dict[Reference, None] = {}
        for object_type, object_id in named:
            kind = self.defaults.objects.get(object_type) or (object_type if object_type in REFERENCE_KINDS else OBJECT)
            object_id = object_id.strip()
            if kind == IGNORE or not object_id:
                continue
            value = f"{object_type} {object_id}".strip() if kind == OBJECT else object_id
            found[self._reference(kind, value)] = None
        if not found:
            raise _Unreadable("eventlog.no_object", "The event names no object, so it belongs to nothing.")
        if len(found) > _MOST_OBJECTS:
            sentence = f"The event names {len(found)} objects; the first {_MOST_OBJECTS} are kept."
            self.issues.append(ParseIssue("eventlog.many_objects", sentence, position, severity="warning"))
        return tuple(found)[:_MOST_OBJECTS]

    def _case(self, case_id: str) -> tuple[Reference, ...]:
        """The reference of a case; its events follow each other, so the last one is kept at hand."""
        if not self.case or self.case[0].value != case_id:
            self.case = (self._reference(self.defaults.case_kind, case_id),)
        return self.case

    def _reference(self, kind: str, value: str) -> Reference:
        if kind in (CASE, OBJECT):
            return Reference(kind, value, self.defaults.integration[:64])
        return Reference(kind, value, self.context.partner if REFERENCE_KINDS.get(kind, ("", False))[1] else "")

    def _time(self, value: Any, place: str) -> datetime:
        if value is None or value == "":
            raise _Unreadable("eventlog.no_time", "The event has no time.", place)
        try:
            return moment_of(value, self.zone) if isinstance(value, str) else read_time(value, ISO, zone_of(self.zone))
        except TimeError as error:
            sentence = f"The event's time “{jsonbody.excerpt(value, 60)}” {error}."
            raise _Unreadable("eventlog.bad_time", sentence, place) from None

    def _received(self, happened_at: datetime) -> datetime | None:
        """History counts as received when it happened; a replay moves it first (`own.moved`)."""
        return happened_at if self.context.backfill and self.context.replay is None else None

    def _timed(self, event: CanonicalEvent) -> CanonicalEvent | None:
        """The event as history or as told anew; None when it lies outside of the part."""
        context = self.context
        told = event.happened_at
        if (context.after and told <= context.after) or (context.until and told > context.until):
            return None
        if context.replay is None and (event.received_at is not None or not context.backfill):
            return event
        return own.moved(event, context.replay, context.backfill)


def knows(row: Mapping[str, Any]) -> bool:
    """Whether a row of a table is one of an event log by the names of its columns, as process mining writes them."""
    return {"concept:name", "time:timestamp"} <= row.keys() or {"ocel:activity", "ocel:timestamp"} <= row.keys()


def _unfolded(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A table's row as a row of XES or OCEL 1.0; others as they are."""
    if not knows(row):
        return row
    filled = {name: value for name, value in row.items() if value not in (None, "", " ")}
    if "time:timestamp" in row:
        case = {name[5:]: value for name, value in filled.items() if name.startswith("case:")}
        return {"case": case, "event": {name: value for name, value in filled.items() if not name.startswith("case:")}}
    return {
        "id": plain(filled.get("ocel:eid")),
        "type": filled.get("ocel:activity"),
        "time": filled.get("ocel:timestamp"),
        "attributes": {name: value for name, value in filled.items() if not name.startswith("ocel:")},
        "objects": {
            name[10:]: [{"id": one} for one in _cell(value)]
            for name, value in filled.items()
            if name.startswith("ocel:type:")
        },
    }


def _cell(value: Any) -> list[Any]:
    """The objects in a cell: a list, or a list written as text."""
    if isinstance(value, list):
        return value
    text = str(value).strip()
    if not text.startswith("["):
        return [text]
    return [first or second for first, second in _QUOTED.findall(text)]


@lru_cache(maxsize=20_000)
def moment_of(text: str, zone: str) -> datetime:
    """A log's time in UTC: ISO 8601, or one of the usual other ways. Raises `TimeError`."""
    first: TimeError | None = None
    for form in _FORMS:
        try:
            return read_time(text.strip(), form, zone_of(zone))
        except TimeError as error:
            first = first or error
    raise first or TimeError("is no ISO 8601 time")
