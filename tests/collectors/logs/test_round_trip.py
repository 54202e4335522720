"""What we write in any format we read back as it was; and it is OCEL 2.0 as others understand it."""

from __future__ import annotations

import gzip
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from apps.collectors.contract import RawDelivery, SourceContext
from apps.collectors.kinds.eventlog import EventLog
from apps.collectors.logs import own
from apps.collectors.logs.formats import OCEL_JSON, OCEL_SQLITE, OCEL_XML, XES
from apps.collectors.logs.writers import FORMATS, LogEvent, LogObject, Schema, Xes, sqlite_file, text_file
from apps.flows.canonical import CanonicalEvent, Reference

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
MEDIA = {"ocel-json": OCEL_JSON, "ocel-xml": OCEL_XML, "ocel-sqlite": OCEL_SQLITE, "xes": XES}
_TYPED = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "attributes"],
        "properties": {
            "name": {"type": "string"},
            "attributes": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "type"],
                    "properties": {
                        "name": {"type": "string"},
                        "type": {"enum": ["string", "time", "integer", "float", "boolean"]},
                    },
                },
            },
        },
    },
}
_RELATED = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["objectId", "qualifier"],
        "properties": {"objectId": {"type": "string"}, "qualifier": {"type": "string"}},
    },
}
#: the shape of OCEL 2.0 JSON by its specification (section on the JSON format), written by us
OCEL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["eventTypes", "objectTypes", "events", "objects"],
    "additionalProperties": False,
    "properties": {
        "eventTypes": _TYPED,
        "objectTypes": _TYPED,
        "events": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "type", "time"],
                "properties": {
                    "id": {"type": "string"},
                    "type": {"type": "string"},
                    "time": {"type": "string", "format": "date-time"},
                    "attributes": {
                        "type": "array",
                        "items": {"type": "object", "required": ["name", "value"]},
                    },
                    "relationships": _RELATED,
                },
            },
        },
        "objects": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "type"],
                "properties": {
                    "id": {"type": "string"},
                    "type": {"type": "string"},
                    "attributes": {
                        "type": "array",
                        "items": {"type": "object", "required": ["name", "value", "time"]},
                    },
                    "relationships": _RELATED,
                },
            },
        },
    },
}

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=8)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x17F, exclude_characters="\x7f"), min_size=1, max_size=8)
SCALARS = TEXT | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(NAMES, SCALARS, max_size=2) | st.none()
MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC)).map(
    lambda at: at.replace(fold=0)
)
REFERENCES = st.builds(Reference, st.sampled_from(["sales_order", "load", "case"]), KEYS, KEYS | st.just(""))
EVENTS = st.builds(
    CanonicalEvent,
    type=st.sampled_from(["order.placed", "hop.failed"]),
    happened_at=MOMENTS,
    references=st.lists(REFERENCES, min_size=1, max_size=3, unique=True).map(tuple),
    source_event_id=TEXT,
    sent_at=st.none() | MOMENTS,
    booked_at=st.none() | MOMENTS,
    received_at=st.none() | MOMENTS,
    zone=st.sampled_from(["UTC", "Europe/Berlin"]),
    dates=st.dictionaries(NAMES, MOMENTS, max_size=2),
    parties=st.dictionaries(NAMES, TEXT.filter(bool), max_size=2),
    data=st.dictionaries(NAMES, VALUES, max_size=4),
    trace_id=st.sampled_from(["", "4bf92f3577b34da6a3ce929d0e0e4736"]),
)


def types_of(events: list[CanonicalEvent]) -> dict[str, dict[str, str]]:
    """As an export declares them: a name whose values are all of one type."""
    found: dict[str, dict[str, str]] = {}
    for event in events:
        attributes = found.setdefault(
            event.type, dict.fromkeys(own.attributes_of(CanonicalEvent("", NOW, ()), "", {}), "string")
        )
        attributes[own.MORE] = "string"
        for name in own.CLOCKS:
            attributes[f"tower.{name}"] = "time"
        attributes["tower.trace_id"] = "string"
        for part, values in (("data", event.data), ("party", event.parties)):
            for name, value in values.items():
                if own.type_of(value) and name.lower() == name:
                    attributes.setdefault(f"{part}.{name}", own.type_of(value))
    return found


def written(events: list[CanonicalEvent], form: str, path: Path) -> bytes:
    types = types_of(events)
    rows = [
        LogEvent(
            f"e{number}",
            event.type,
            own.iso(event.happened_at),
            own.attributes_of(event, "shop", types[event.type]),
            [(own.object_id(one), "names") for one in event.references],
        )
        for number, event in enumerate(events)
    ]
    if form == "xes":
        with text_file(path) as file:
            xes = Xes(file)
            xes.trace({"concept:name": "one"})
            for row, event in zip(rows, events, strict=True):
                xes.event(row, {own.REFERENCES: [own.object_id(one) for one in event.references]})
            xes.end_trace()
            xes.end()
        return path.read_bytes()
    objects = {own.object_id(one): one.kind for event in events for one in event.references}
    opened: Any = sqlite_file(path) if form == "ocel-sqlite" else text_file(path)
    with opened as target:
        writer = FORMATS[form](target)
        writer.begin(Schema(types, {kind: {"value": "string"} for kind in objects.values()}))
        for object_id, kind in objects.items():
            writer.object(LogObject(object_id, kind, {"value": object_id}))
        for row in rows:
            writer.event(row)
        writer.end()
    return path.read_bytes()


def read(body: bytes, form: str) -> list[CanonicalEvent]:
    delivery = RawDelivery(body, MEDIA[form], {}, NOW)
    result = EventLog().parse(delivery, SourceContext("log", "acme", "Asia/Tokyo"))
    assert result.issues == ()
    return list(result.events)


def facts(event: CanonicalEvent) -> tuple[Any, ...]:
    return (
        *(event.type, event.happened_at, sorted(event.references), event.source_event_id, event.sent_at),
        *(
            event.booked_at,
            event.received_at,
            event.zone,
            sorted(event.dates.items()),
            sorted(event.parties.items()),
            event.trace_id,
        ),
        json.dumps(event.data, sort_keys=True),
    )


@pytest.mark.parametrize("form", MEDIA)
@given(events=st.lists(EVENTS, max_size=3))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_events_survive_every_format(form: str, events: list[CanonicalEvent], tmp_path: Path) -> None:
    found = read(written(events, form, tmp_path / "log"), form)
    order = sorted(events, key=lambda event: event.type) if form == "ocel-sqlite" else events
    if form == "ocel-sqlite":  # by type, then by id
        assert sorted(map(repr, map(facts, found))) == sorted(map(repr, map(facts, order)))
    else:
        assert list(map(facts, found)) == list(map(facts, order))


@given(events=st.lists(EVENTS, max_size=3))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_is_of_the_form_of_the_standard(events: list[CanonicalEvent], tmp_path: Path) -> None:
    document = json.loads(written(events, "ocel-json", tmp_path / "log"))
    Draft202012Validator(OCEL_SCHEMA).validate(document)
    declared = {
        kind["name"]: {one["name"]: one["type"] for one in kind["attributes"]} for kind in document["eventTypes"]
    }
    fits = {"string": str, "time": str, "integer": int, "float": float, "boolean": bool}
    for event in document["events"]:
        for one in event["attributes"]:
            assert type(one["value"]) is fits[declared[event["type"]][one["name"]]]
    objects = {one["id"] for one in document["objects"]}
    assert {one["objectId"] for event in document["events"] for one in event["relationships"]} <= objects


def test_sqlite_has_the_tables_of_the_standard(tmp_path: Path) -> None:
    event = CanonicalEvent("order.placed", NOW, (Reference("sales_order", "S1"),), data={"a b": 1, "A B": 2})
    path = tmp_path / "log.sqlite"
    written([event], "ocel-sqlite", path)
    database = sqlite3.connect(path)
    tables = dict(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    assert {"event", "object", "event_object", "object_object", "event_map_type", "object_map_type"} <= set(tables)
    ((name,),) = database.execute("SELECT ocel_type_map FROM event_map_type")
    assert "ocel_time" in tables[f"event_{name}"]
    ((name,),) = database.execute("SELECT ocel_type_map FROM object_map_type")
    assert "ocel_changed_field" in tables[f"object_{name}"]
    assert list(database.execute("SELECT * FROM event_object")) == [("e0", "sales_order//S1", "names")]


@pytest.mark.parametrize("opened", [text_file, sqlite_file])
def test_a_log_that_is_not_whole_never_has_its_name(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("the one before")
    with pytest.raises(RuntimeError), opened(path):
        raise RuntimeError("full")
    assert path.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_with_gz_is_packed(tmp_path: Path) -> None:
    with text_file(tmp_path / "log.xes.gz") as file:
        Xes(file).end()
    assert gzip.decompress((tmp_path / "log.xes.gz").read_bytes()).startswith(b"<?xml")


@pytest.mark.parametrize("change", [{"date.eta": "soon"}, {own.MORE: "{"}, {own.MORE: "[1]"}, {"tower.sent_at": "x"}])
def test_an_export_that_somebody_changed_gives_an_issue(change: dict[str, str]) -> None:
    attributes = [
        {"name": name, "value": value} for name, value in {own.ID: "1", own.INTEGRATION: "s", **change}.items()
    ]
    log = {
        "eventTypes": [],
        "objectTypes": [],
        "events": [{"id": "e1", "type": "order.placed", "time": "2026-03-02T08:00:00Z", "attributes": attributes}],
        "objects": [],
    }
    delivery = RawDelivery(json.dumps(log).encode(), OCEL_JSON, {}, NOW)
    result = EventLog().parse(delivery, SourceContext("log", "acme", "UTC"))
    assert [issue.code for issue in result.issues] == ["eventlog.changed_export"]
