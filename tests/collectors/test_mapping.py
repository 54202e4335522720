"""The mapping engine: what a rule reads, and that whatever it cannot read is named, never guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors import mapping
from apps.collectors.mapping import Context, MappingError, compile_mapping
from apps.collectors.paths import Scope
from apps.flows.canonical import CanonicalEvent, ParseIssue, Reference

SHIPMENTS = yaml.safe_load("""
zone: Europe/Berlin
null_values: ["-", "N/A"]
defaults:
  each: $.shipments[*]
  happened_at: at
  references:
    - {kind: tracking_number, path: tracking}
    - {kind: sales_order, path: $.order.number}
events:
  - when: {$.kind: status}
    type:
      path: status.code
      values: {PU: transport.picked_up, DL: delivery.completed}
      ignore: [NOTE]
    sent_at: {path: $.sent, format: epoch_ms}
    id: {path: [$.message, tracking, status.code]}
    dates: {promised_delivery: {path: due, date_only: true}, eta: {path: eta, zone: America/New_York}}
    parties: {carrier: {path: $.carrier, scheme: scac}, warehouse: {fixed: hub-1}}
    data: {place: status.place, weights: "parcels[*].kg", order: $.order}
    trace: $.traceparent
""")


def message(**changes: Any) -> dict[str, Any]:
    shipment = {
        "tracking": "1Z9",
        "at": "2026-01-15 10:00",
        "status": {"code": "PU", "place": "Hamburg"},
        "due": "2026-01-18",
        "eta": "2026-01-17 09:00",
        "parcels": [{"kg": 1.5}, {"kg": 2}],
    }
    document = {
        "kind": "status",
        "message": 17,
        "sent": 1768467900000,
        "carrier": "DHLX",
        "order": {"number": 4711.0},
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "shipments": [{**shipment, **changes}],
    }
    return {**document, **{name[1:]: value for name, value in changes.items() if name.startswith("_")}}


def run(
    spec: dict[str, Any], document: Any, **context: Any
) -> tuple[tuple[CanonicalEvent, ...], tuple[ParseIssue, ...]]:
    result = mapping.apply(compile_mapping(spec), [Scope((document,))], Context(**{"partner": "acme", **context}))
    return result.events, result.issues


def test_reads_a_whole_event() -> None:
    events, issues = run(SHIPMENTS, message())
    assert issues == ()
    assert events == (
        CanonicalEvent(
            type="transport.picked_up",
            happened_at=datetime(2026, 1, 15, 9, tzinfo=UTC),
            references=(
                Reference("tracking_number", "1Z9"),
                Reference("sales_order", "4711"),
                Reference("trace", "4bf92f3577b34da6a3ce929d0e0e4736"),
            ),
            source_event_id="17:1Z9:PU",
            sent_at=datetime(2026, 1, 15, 9, 5, tzinfo=UTC),
            zone="Europe/Berlin",
            dates={
                "promised_delivery": datetime(2026, 1, 17, 23, tzinfo=UTC),
                "eta": datetime(2026, 1, 17, 14, tzinfo=UTC),
            },
            parties={"carrier": "scac:DHLX", "warehouse": "hub-1"},
            data={"place": "Hamburg", "weights": [1.5, 2], "order": {"number": 4711.0}},
            position="$.shipments[0]",
            trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        ),
    )


@pytest.mark.parametrize(
    ("changes", "code", "position"),
    [
        ({"status": {"code": "XX"}}, "mapping.unknown_code", "$.shipments[0].status.code"),
        ({"status": {"code": "-"}}, "mapping.missing", "$.shipments[0].status.code"),
        ({"status": {"code": {"deep": 1}}}, "mapping.not_a_value", "$.shipments[0].status.code"),
        ({"at": "N/A"}, "mapping.missing", "$.shipments[0].at"),
        ({"at": "soon"}, "mapping.bad_time", "$.shipments[0].at"),
        ({"at": "2026-01-15"}, "mapping.bad_time", "$.shipments[0].at"),
        ({"at": None}, "mapping.missing", "$.shipments[0].at"),
        ({"tracking": ["a"], "_order": {}}, "mapping.not_a_value", "$.shipments[0].tracking"),
        (
            {"tracking": "", "_order": {}, "_traceparent": ""},
            "mapping.no_reference",
            "$.shipments[0].tracking or $.order.number",
        ),
    ],
)
def test_what_cannot_be_read_gives_no_event_but_a_named_issue(
    changes: dict[str, Any], code: str, position: str
) -> None:
    events, issues = run(SHIPMENTS, message(**changes))
    assert events == ()
    assert [(issue.code, issue.position, issue.severity) for issue in issues] == [(code, position, "error")]
    assert "1Z9" in issues[0].fragment or "tracking" in issues[0].fragment


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"due": "asap"}, "promised_delivery"),
        ({"eta": "2026-02-30 00:00"}, "eta"),
        ({"eta": "9999-12-31 00:00"}, "eta"),
    ],
)
def test_a_bad_time_beside_keeps_the_event(changes: dict[str, Any], missing: str) -> None:
    events, issues = run(SHIPMENTS, message(**changes))
    assert len(events) == 1
    assert missing not in events[0].dates
    assert [(issue.code, issue.severity) for issue in issues] == [("mapping.bad_time", "warning")]
    assert issues[0].sentence.endswith("The event was kept without it.")


def test_ignored_codes_and_other_kinds() -> None:
    assert run(SHIPMENTS, message(status={"code": "NOTE"})) == ((), ())
    events, issues = run(SHIPMENTS, message(_kind="invoice"))
    assert events == ()
    assert [(issue.code, issue.severity) for issue in issues] == [("mapping.nothing_matched", "warning")]
    assert run({**SHIPMENTS, "otherwise": "ignore"}, message(_kind="invoice")) == ((), ())


def test_conditions() -> None:
    spec = {
        "events": [
            {
                "when": {"a": [1, "x"], "b": "exists", "c": "missing", "d": True},
                "type": "order.placed",
                "happened_at": "t",
                "references": [{"kind": "sales_order", "path": "id"}],
            }
        ],
        "otherwise": "ignore",
    }
    good = {"a": 1, "b": 0, "d": True, "t": "2026-01-01T00:00:00Z", "id": "S1"}
    assert len(run(spec, good)[0]) == 1
    assert len(run(spec, {**good, "a": " x "})[0]) == 1
    for change in ({"a": 2}, {"a": None}, {"b": ""}, {"b": None}, {"c": 0}, {"d": False}, {"d": "yes"}):
        assert run(spec, {**good, **change}) == ((), ()), change


def test_own_types_are_taken_and_unknown_names_said() -> None:
    spec = {
        "events": [
            {"type": {"path": "type"}, "happened_at": "t", "references": [{"kind": "load", "path": "load[*]"}]},
        ]
    }
    document = {"type": "pick.completed", "t": "2026-01-01T00:00:00Z", "load": ["L1", "L2", "L1"]}
    events, issues = run(spec, document)
    assert events[0].references == (Reference("load", "L1", "acme"), Reference("load", "L2", "acme"))
    assert issues == ()
    events, issues = run(spec, {**document, "type": "pick.juggled"})
    assert len(events) == 1
    assert [(issue.code, issue.severity) for issue in issues] == [("event.unknown_type", "warning")]
    for name in ("PickCompleted", "pick", "pick.", "pick completed", "a." + "b" * 70):
        events, issues = run(spec, {**document, "type": name})
        assert events == ()
        assert issues[0].code == "mapping.unknown_code"


def test_wide_rows_give_an_event_for_each_time_there_is() -> None:
    spec = {
        "zone": "America/Sao_Paulo",
        "defaults": {
            "id": "order",
            "references": [{"kind": "sales_order", "path": "order"}],
            "happened_at": {"format": "%Y-%m-%d %H:%M:%S"},
        },
        "events": [
            {"columns": {"bought": "order.placed", "given away": "transport.picked_up", "there": "delivery.completed"}}
        ],
    }
    row = {"order": "A", "bought": "2018-01-02 10:00:00", "given away": "", "there": "2018-01-09 12:30:00"}
    rules = compile_mapping(spec)
    result = mapping.apply(rules, [Scope((row,), ("row 17",), ", ")], Context(backfill=True))
    assert [(event.type, event.happened_at.isoformat(), event.source_event_id) for event in result.events] == [
        ("order.placed", "2018-01-02T12:00:00+00:00", "A:order.placed"),
        ("delivery.completed", "2018-01-09T14:30:00+00:00", "A:delivery.completed"),
    ]
    assert all(event.received_at == event.happened_at and event.position == "row 17" for event in result.events)
    result = mapping.apply(rules, [Scope(({**row, "there": "x"},), ("row 18",), ", ")], Context())
    assert [(issue.code, issue.position) for issue in result.issues] == [("mapping.bad_time", "row 18, there")]
    assert result.events[0].received_at is None


def test_a_window_takes_each_event_of_a_row_once() -> None:
    spec = {
        "events": [
            {
                "columns": {"a": "order.placed", "b": "order.released"},
                "references": [{"kind": "sales_order", "path": "n"}],
            }
        ]
    }
    row = {"n": 1, "a": "2018-01-01T00:00:00Z", "b": "2018-01-02T00:00:00Z"}
    cut = datetime(2018, 1, 1, tzinfo=UTC)
    assert [event.type for event in run(spec, row, until=cut)[0]] == ["order.placed"]
    assert [event.type for event in run(spec, row, after=cut)[0]] == ["order.released"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"events": []}, "events"),
        ({"evnts": []}, ""),
        ({"zone": "Mars/Base"}, "zone"),
        ({"events": [{}]}, "events[0]"),
        ({"events": [{"type": "Nope", "happened_at": "a"}]}, "events[0].type"),
        ({"events": [{"type": "a.b", "happened_at": "a..b"}]}, "events[0]"),
        ({"events": [{"type": "a.b", "happened_at": {"path": "a", "format": "dd.mm.yy"}}]}, "events[0].happened_at"),
        ({"events": [{"type": "a.b", "happened_at": {"path": "a", "zone": "CEST!"}}]}, "events[0].happened_at"),
        ({"events": [{"type": "a.b", "columns": {"a": "a.b"}, "happened_at": "a"}]}, "events[0]"),
        ({"events": [{"columns": {"a": "a.b"}, "happened_at": "a"}]}, "events[0].happened_at"),
        ({"events": [{"type": "a.b"}], "defaults": {}}, "events[0]"),
        ({"events": [{"type": "a.b", "happened_at": {"format": "iso"}}]}, "events[0].happened_at"),
    ],
)
def test_a_wrong_mapping_says_where(change: dict[str, Any], place: str) -> None:
    spec = {
        "defaults": {"references": [{"kind": "load", "path": "x"}]},
        "events": [{"type": "a.b", "happened_at": "a"}],
    }
    with pytest.raises(MappingError) as error:
        compile_mapping({**spec, **change})
    assert error.value.place.startswith(place)
    assert error.value.sentence


def test_remarks_name_what_the_catalogue_lacks() -> None:
    spec = {
        "events": [
            {
                "type": {"path": "x", "values": {"1": "order.placed", "2": "order.vanished"}},
                "happened_at": "a",
                "references": [{"kind": "waybill", "path": "x"}],
            }
        ]
    }
    assert mapping.remarks(spec) == [
        "events[0]: the event type order.vanished is not in the catalogue",
        "events[0]: the reference kind waybill is unknown",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "shipments", "order", "at"]), inner)
    ),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*message(), "x"], JSON)), st.data())
@settings(max_examples=300, deadline=None)
def test_any_document_gives_events_or_issues(changes: dict[str, Any], data: st.DataObject) -> None:
    document = {**message(), **changes}
    if data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(message()["shipments"][0])))
        document = message(**{key: data.draw(JSON)})
    events, issues = run(SHIPMENTS, document)
    wanted = document.get("kind") == "status" and isinstance(document.get("shipments"), list)
    assert events or issues or (wanted and not document["shipments"])
    for event in events:
        assert event.happened_at.tzinfo is UTC
