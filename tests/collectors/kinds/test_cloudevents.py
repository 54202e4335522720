"""CloudEvents: the specification's examples, and what the official SDK writes, in every mode."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from django.conf import settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.flows.canonical import ParseFailure, ParseResult, Reference

EXAMPLES = settings.BASE_DIR.parent / "shared" / "data" / "standards" / "cloudevents"
NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
COLLECTOR = COLLECTORS.get("cloudevents")
MAPPING: dict[str, Any] = {
    "events": [
        {
            "when": {"type": ["com.example.someevent", "com.example.someotherevent"]},
            "type": "order.changed",
            "happened_at": "time",
            "references": [{"kind": "channel_order", "path": "id"}],
            "data": {"data": "data", "extension": "comexampleothervalue"},
        }
    ]
}


def parse(body: bytes, headers: dict[str, str], mapping: dict[str, Any] | None = None) -> ParseResult:
    headers = {name.lower(): value for name, value in headers.items()}
    source = SourceContext("ce", "acme", "UTC", {}, mapping or {})
    return COLLECTOR.parse(RawDelivery(body, headers.get("content-type", ""), headers, NOW), source)


def examples() -> list[Any]:
    if not EXAMPLES.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="needs shared/data/standards/cloudevents"))]
    return [pytest.param(path, id=path.stem) for path in sorted(EXAMPLES.glob("json_format_*.json"))]


@pytest.mark.parametrize("path", examples())
def test_examples_of_the_specification(path: Path) -> None:
    document = json.loads(path.read_text())
    batch = isinstance(document, list)
    kind = "application/cloudevents-batch+json" if batch else "application/cloudevents+json"
    result = parse(path.read_bytes(), {"content-type": kind}, MAPPING)
    originals = document if batch else [document]
    timed = [one for one in originals if "time" in one]
    assert [event.source_event_id for event in result.events] == [f"{one['source']} {one['id']}" for one in timed]
    errors = [issue.code for issue in result.issues if issue.severity == "error"]
    assert errors == ["mapping.missing"] * (len(originals) - len(timed))
    for event, one in zip(result.events, timed, strict=True):
        assert event.happened_at.isoformat() == one["time"].replace("Z", "+00:00")
        assert event.data["extension"] == 5
        if "data" in one:
            assert event.data["data"] == one["data"]
    without = parse(path.read_bytes(), {"content-type": kind})
    assert without.events == ()
    assert without.issues


def in_every_mode(one: dict[str, Any]) -> dict[str, ParseResult]:
    """One event of the specification, sent structured, batched and binary (HTTP binding 1.0.2, section 3)."""
    body = json.dumps(one).encode()
    sent = {
        "structured": parse(body, {"content-type": "application/cloudevents+json; charset=UTF-8"}, MAPPING),
        "batched": parse(b"[" + body + b"]", {"content-type": "application/cloudevents-batch+json"}, MAPPING),
    }
    unset = ("data", "data_base64", "datacontenttype")
    headers = {
        f"ce-{name}": quote(str(value)) for name, value in one.items() if value is not None and name not in unset
    }
    media_type = one.get("datacontenttype", "application/json")
    if "data_base64" in one:
        raw = base64.b64decode(one["data_base64"])
    else:
        raw = json.dumps(one["data"]).encode() if media_type.endswith("json") else one["data"].encode()
    sent["binary"] = parse(raw, {**headers, "content-type": media_type}, MAPPING)
    return sent


@pytest.mark.parametrize("path", examples())
def test_examples_of_the_specification_are_alike_in_every_mode(path: Path) -> None:
    document = json.loads(path.read_text())
    for one in document if isinstance(document, list) else [document]:
        if "..." in one.get("data_base64", ""):
            # the specification leaves the bytes out
            one = {**one, "data_base64": base64.b64encode(b"\x00thrift\xff").decode()}
        if "time" not in one:
            one = {**one, "time": "2018-04-05T17:31:00Z"}
        results = in_every_mode({"comexampleothervalue": 5, **one})
        for result in results.values():
            assert result.issues == ()
            [found] = result.events
            [wanted] = results["structured"].events
            # a header is a text, whatever it was before
            assert int(found.data["extension"]) == 5
            assert found.data.get("data") == wanted.data.get("data")
            assert (found.source_event_id, found.happened_at, found.references) == (
                wanted.source_event_id,
                wanted.happened_at,
                wanted.references,
            )


TEXT = st.text(st.characters(codec="utf-8", exclude_characters='"', min_codepoint=33), min_size=1, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | TEXT, lambda inner: st.dictionaries(TEXT, inner, max_size=3), max_leaves=5
)


@given(identity=TEXT.filter(str.strip), source=TEXT, data=st.dictionaries(TEXT, JSON, min_size=1, max_size=3))
@hypothesis_settings(deadline=None)
def test_reads_what_the_sdk_writes_alike_in_every_mode(identity: str, source: str, data: dict[str, Any]) -> None:
    event = CloudEvent(
        {
            "id": identity,
            "source": source,
            "type": "com.example.someevent",
            "time": datetime(2026, 1, 19, 8, 30, tzinfo=UTC),
            "datacontenttype": "application/json",
            "comexampleothervalue": "5",
        },
        data,
    )
    structured, binary = to_structured(event, JSONFormat()), to_binary(event, JSONFormat())
    results = [parse(message.body, dict(message.headers), MAPPING) for message in (structured, binary)]
    batched = parse(b"[" + structured.body + b"]", {"content-type": "application/cloudevents-batch+json"}, MAPPING)
    for result in (*results, batched):
        assert result.issues == ()
        [one] = result.events
        assert one.references == (Reference("channel_order", identity.strip(), "acme"),)
        assert one.happened_at == datetime(2026, 1, 19, 8, 30, tzinfo=UTC)
        assert one.source_event_id == f"{source} {identity}"
        assert one.data == {"data": data, "extension": "5"}


def test_several_events_of_one_cloudevent_have_ids_of_their_own() -> None:
    rule = MAPPING["events"][0]
    twice = {"events": [rule, {**rule, "type": "order.confirmed"}]}
    body = {
        "specversion": "1.0",
        "id": "1",
        "source": "s",
        "type": "com.example.someevent",
        "time": "2026-01-01T00:00:00Z",
    }
    events = parse(json.dumps(body).encode(), {"content-type": "application/cloudevents+json"}, twice).events
    assert [event.source_event_id for event in events] == ["s 1 1", "s 1 2"]


@pytest.mark.parametrize("media_type", ["application/cloudevents+avro", "application/cloudevents+protobuf"])
def test_other_formats_are_named(media_type: str) -> None:
    with pytest.raises(ParseFailure, match="is not read"):
        parse(b"{}", {"content-type": media_type})


def test_unreadable_data_leaves_the_event() -> None:
    headers = {"ce-specversion": "1.0", "ce-type": "com.example.someevent", "ce-source": "s", "ce-id": "1"}
    headers |= {"ce-time": "2026-01-01T00:00:00Z", "content-type": "application/json"}
    result = parse(b'{"a": ', headers, MAPPING)
    assert len(result.events) == 1
    assert [(issue.code, issue.severity) for issue in result.issues] == [("json.syntax", "warning")]


def test_bearer_is_the_default_and_signatures_are_possible() -> None:
    bearer = {"authorization": "Bearer k"}
    assert COLLECTOR.authenticate(bearer, b"", ["k"], NOW, {}).accepted
    assert not COLLECTOR.authenticate(bearer, b"", ["k"], NOW, {"scheme": "standard"}).accepted
    form = COLLECTOR.ConfigForm({"subject_kind": "picking"})
    assert form.is_valid()
    assert form.cleaned_data["scheme"] == "bearer"
