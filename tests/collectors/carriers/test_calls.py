"""The API-call log: hops with what is counted, labels, and a label made twice."""

from __future__ import annotations

import json
from collections import Counter
from statistics import quantiles
from typing import Any

import pytest

from apps.collectors.kinds.api_calls import ApiCallsForm
from apps.flows.canonical import ParseResult, Reference
from tests.collectors.carriers.parsing import codes, read

KIND = "api_calls"
CALL = {
    "id": "c1",
    "time": "2026-01-16T09:00:00Z",
    "service": "hub",
    "operation": "rate",
    "status": 200,
    "duration_ms": 12,
}


def lines(*rows: Any) -> ParseResult:
    return read(KIND, "\n".join(json.dumps({**CALL, **row}) for row in rows).encode())


def label(number: str, **more: Any) -> dict[str, Any]:
    references = {"picking": "WH/OUT/1", "tracking_number": number}
    return {"id": f"c-{number}", "operation": "create_label", "status": 201, "references": references, **more}


def test_what_is_counted_stands_in_the_hops() -> None:
    """Count, errors and latency of each service and purpose, from the events' data alone."""
    rows = [{"id": f"c{n}", "duration_ms": n * 10, "status": 503 if n % 10 == 0 else 200} for n in range(1, 101)]
    hops = [event for event in lines(*rows).events if event.type.startswith("hop.")]
    counted = Counter((event.data["service"], event.data["purpose"], event.type) for event in hops)
    assert counted == {("hub", "rate", "hop.completed"): 90, ("hub", "rate", "hop.failed"): 10}
    assert Counter(event.data["status"] for event in hops) == {"200": 90, "503": 10}
    assert quantiles((event.data["duration_ms"] for event in hops), n=20)[-1] == pytest.approx(950, abs=15)


@pytest.mark.parametrize(
    ("row", "failed"),
    [
        ({"status": 200}, False),
        ({"status": "302"}, False),
        ({"status": 429}, True),
        ({"status": 0}, True),
        ({"status": "timeout"}, True),
        ({"status": "Succeeded"}, False),
        ({"status": None, "error": "reset by peer"}, True),
        ({"status": 200, "error": {"code": "E1", "message": "no rates"}}, True),
        ({"status": 500, "ok": True}, False),
        ({"status": 200, "ok": False}, True),
        ({"status": 200, "error": None, "error_message": ""}, False),
    ],
)
def test_what_failed(row: dict[str, Any], failed: bool) -> None:
    event = lines(row).events[0]
    assert event.type == ("hop.failed" if failed else "hop.completed")


def test_a_label_is_one_only_if_it_came() -> None:
    made = lines(label("T1"))
    assert [event.type for event in made.events] == ["hop.completed", "label.created"]
    assert made.events[1].references == (Reference("tracking_number", "T1"), Reference("picking", "WH/OUT/1"))
    assert made.events[1].data["label_key"] == "WH/OUT/1/1"
    assert [event.type for event in lines(label("T1", status=500)).events] == ["hop.failed"]
    without = {**label("T1"), "references": {"picking": "WH/OUT/1"}}
    assert [event.type for event in lines(without).events] == ["hop.completed"]


def test_a_second_label_for_one_picking_is_seen() -> None:
    """Within one delivery by an issue; over deliveries by two labels of one label_key (or picking)."""
    result = lines(label("T1"), label("T2"))
    assert codes(result) == ["api_calls.duplicate_label"]
    assert "T1, T2" in result.issues[0].sentence
    assert result.issues[0].position == "line 2"
    apart = [
        event for row in (label("T1"), label("T2")) for event in lines(row).events if event.type == "label.created"
    ]
    assert {event.data["label_key"] for event in apart} == {"WH/OUT/1/1"}
    assert len({event.source_event_id for event in apart}) == 2


@pytest.mark.parametrize(
    "rows",
    [
        [label("T1"), label("T1", id="again")],
        [label("T1", parcel=1, parcels=2), label("T2", parcel=2, parcels=2)],
        [label("T1"), label("T2"), {"id": "v", "operation": "void", "tracking_number": "T1"}],
        [label("T1"), label("T2", status=500)],
        [label("T1"), {**label("T2"), "references": {"picking": "WH/OUT/2", "tracking_number": "T2"}}],
        [
            {**label("T1"), "references": {"tracking_number": "T1"}},
            {**label("T2"), "references": {"tracking_number": "T2"}},
        ],
    ],
)
def test_no_duplicate_where_there_is_none(rows: list[dict[str, Any]]) -> None:
    assert codes(lines(*rows)) == []


def test_keys_of_many_parcels_join_nothing() -> None:
    numbers = {"tracking_number": ["T1", "T2", "T3"], "sales_order": "S1"}
    result = lines({"operation": "manifest", "references": numbers})
    hop, *parcels = result.events
    assert hop.references == (Reference("sales_order", "S1"),)
    assert hop.data["not_linked"] == {"tracking_number": ["T1", "T2", "T3"]}
    assert [event.references for event in parcels] == [(Reference("tracking_number", n),) for n in ("T1", "T2", "T3")]
    assert {event.type for event in parcels} == {"shipment.manifested"}


def test_nothing_secret_is_kept() -> None:
    event = lines(
        {
            "route": "https://user:pass@api.example/v1/rates/{id}?api_key=hidden#x",
            "headers": {"k": "hidden"},
            "body": "hidden",
        }
    ).events[0]
    assert event.data["route"] == "/v1/rates/{id}"
    assert "hidden" not in str(event)
    assert "pass@" not in str(event)


def test_sending_again_is_harmless() -> None:
    rows = [label("T1"), {"operation": "void", "tracking_number": "T9"}]
    assert {event.source_event_id for event in lines(*rows).events} == {
        event.source_event_id for event in lines(*rows).events
    }
    assert len({event.source_event_id for event in lines(*rows).events}) == 4
    unnamed = [{**row, "id": None} for row in rows]
    assert [event.content_key() for event in lines(*unnamed).events] == [
        event.content_key() for event in lines(*unnamed).events
    ]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"time": None}, "no_time"),
        ({"time": "2026-01-16"}, "bad_time"),
        ({"time": "noon"}, "bad_time"),
        ({"service": ""}, "no_service"),
        ({"operation": None}, "no_operation"),
        ({"status": None}, "no_outcome"),
    ],
)
def test_a_line_that_is_no_call_costs_only_itself(row: dict[str, Any], code: str) -> None:
    result = lines({"id": "a"}, row, {"id": "b"})
    assert len(result.events) == 2
    assert codes(result) == [f"api_calls.{code}"]
    assert result.issues[0].position.startswith("line 2")


def test_durations() -> None:
    assert lines({"duration_ms": None, "duration": 1.5}).events[0].data["duration_ms"] == 1500
    assert lines({"duration_ms": "12.25"}).events[0].data["duration_ms"] == 12.25
    for bad in (-1, "NaN", "inf", 1e300, [1]):
        result = lines({"duration_ms": bad})
        assert "duration_ms" not in result.events[0].data
        assert codes(result) == ["api_calls.bad_duration"]


def test_lists_and_single_documents_are_read_too() -> None:
    many = read(KIND, [CALL, {**CALL, "id": "c2"}])
    assert [event.position for event in many.events] == ["$[0]", "$[1]"]
    assert [event.position for event in read(KIND, json.dumps(CALL, indent=2).encode()).events] == ["$"]
    pasted = json.dumps(CALL).replace(", ", ",\n ").encode()
    assert [event.position for event in read(KIND, pasted).events] == ["$"]
    assert codes(read(KIND, b"")) == ["api_calls.empty"]
    assert codes(read(KIND, [])) == ["api_calls.empty"]


def test_times_without_a_zone_are_the_integrations() -> None:
    event = lines({"time": "2026-01-16T10:00:00"}).events[0]
    assert (event.happened_at.hour, event.zone, event.data["zone_assumed"]) == (
        9,
        "Europe/Berlin",
        {"happened_at": "Europe/Berlin"},
    )
    assert lines({"time": 1768554000}).events[0].happened_at == lines({"time": 1768554000000}).events[0].happened_at


def test_operations_have_names_of_their_own() -> None:
    row = {**CALL, **label("T1"), "operation": "Etikett"}
    assert len(read(KIND, [row]).events) == 1
    assert len(read(KIND, [row], operations="etikett = label").events) == 2
    assert ApiCallsForm({"operations": "etikett = label"}).is_valid()
    assert not ApiCallsForm({"operations": "etikett = sticker"}).is_valid()
