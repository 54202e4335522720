"""Access logs: every format gives the same calls, counts add up over any cut, and no id or secret gets into a summary."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.gateway import summaries
from apps.collectors.gateway.routes import path_of, route_of
from apps.collectors.models import DeadLetter, Receipt
from apps.collectors.processing import process
from apps.collectors.receiving import NewReceipt, store
from apps.flows.canonical import ParseFailure, ParseResult
from apps.integrations.models import Integration
from tests.dashboard.network import person

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)


def parse(*lines: bytes | str, headers: dict[str, str] | None = None, **settings_: Any) -> ParseResult:
    body = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    delivery = RawDelivery(body, "text/plain", headers or {}, NOW)
    return COLLECTORS.get("gateway_log").parse(delivery, SourceContext("gateway", "acme", "UTC", settings_))


def combined(
    path: str = "/orders/17", status: int = 200, user: str = "nordlager", at: str = "14:04:05", rest: str = "0.042"
) -> str:
    return (
        f'198.51.100.7 - {user} [19/Jan/2026:{at} +0000] "GET {path} HTTP/1.1" {status} 5 "-" "agent/1.0 0.999" {rest}'
    )


SAME = {
    "nginx": combined(),
    "apache common": '198.51.100.7 - nordlager [19/Jan/2026:14:04:05 +0000] "GET /orders/17 HTTP/1.1" 200 5 rt=0.042',
    "traefik common": '198.51.100.7 - nordlager [19/Jan/2026:15:04:05 +0100] "GET /orders/17 HTTP/1.1" 200 5 "-" "-" 12 "orders@docker" "http://10.0.0.2:80" 42ms',
    "nginx json": {"time_local": "19/Jan/2026:15:04:05 +0100", "remote_user": "nordlager", "request": "GET /orders/17 HTTP/1.1", "status": 200, "request_time": 0.042},
    "nginx msec": {"msec": "1768831445.123", "remote_user": "nordlager", "request_method": "GET", "request_uri": "/orders/17?a=b", "status": "200", "request_time": "0.042"},
    "traefik": {"StartUTC": "2026-01-19T14:04:05.123456789Z", "ClientUsername": "nordlager", "RequestMethod": "GET", "RequestPath": "/orders/17", "DownstreamStatus": 200, "Duration": 42_000_000},
    "envoy": {"start_time": "2026-01-19T14:04:05.123Z", "user": "nordlager", "method": "GET", "path": "/orders/17?x=1", "response_code": 200, "duration": 42},
    "kong": {"started_at": 1768831445123, "consumer": {"username": "nordlager"}, "request": {"method": "GET", "uri": "/orders/17"}, "response": {"status": 200}, "latencies": {"request": 42, "proxy": 40, "kong": 2}},
    "shipped text": {"@timestamp": "2026-01-19T14:04:09Z", "message": combined()},
    "shipped json": {"log": json.dumps({"time": "2026-01-19T14:04:05Z", "consumer": "nordlager", "method": "get", "url": "https://gw/orders/17#x", "status": 200, "latency_ms": 42})},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SAME))
def test_every_format_tells_the_same_call(name: str) -> None:
    line = SAME[name]
    [event] = parse(line if isinstance(line, str) else json.dumps(line)).events
    assert event.happened_at == datetime(2026, 1, 19, 14, 4, tzinfo=UTC)
    assert {key: event.data[key] for key in ("consumer", "method", "route", "calls", "statuses")} == {
        "consumer": "nordlager",
        "method": "GET",
        "route": "/orders/{id}",
        "calls": 1,
        "statuses": {"200": 1},
    }
    assert event.data["latency_ms"]["p95"] == 42


def test_what_detectors_ask_for_is_counted() -> None:
    codes = [200, 201, 304, 401, 401, 403, 404, 429, 429, 429, 500, 503]
    [event] = parse(*(combined(status=code) for code in codes)).events
    assert {key: event.data[key] for key in ("calls", "unauthorized", "forbidden", "limited", "errors")} == {
        "calls": 12,
        "unauthorized": 2,
        "forbidden": 1,
        "limited": 3,
        "errors": 2,
    }


CALLS = st.builds(
    combined,
    path=st.sampled_from(["/orders/17", "/orders/18", "/rates", "/rates?key=secret"]),
    status=st.sampled_from([200, 401, 503]),
    user=st.sampled_from(["nordlager", "-"]),
    at=st.integers(0, 119).map(lambda second: f"14:0{second // 60}:{second % 60:02d}"),
)


@given(st.lists(CALLS, max_size=25), st.lists(st.integers(0, 25), max_size=3))
@settings(deadline=None)
def test_parts_add_up_to_the_whole(lines: list[str], cuts: list[int]) -> None:
    whole = totals(parse(*lines).events)
    edges = [0, *sorted(cuts), len(lines)]
    parts = [parse(*lines[start:end]).events for start, end in pairwise(edges) if start < end]
    assert sum(map(totals, parts), Counter()) == whole
    assert sum(count for (_, what), count in whole.items() if what == "calls") == len(lines)


def totals(events: Any) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for event in events:
        cell = (event.happened_at, event.data["consumer"], event.data["route"])
        found[(cell, "calls")] += event.data["calls"]
        for status, count in event.data["statuses"].items():
            found[(cell, status)] += count
        for bound, count in event.data["latency_ms"]["histogram"].items():
            found[(cell, f"up to {bound}")] += count
    return found


def test_the_same_lines_are_the_same_event_in_any_order_and_others_are_not() -> None:
    lines = [combined(at=f"14:04:{second:02d}") for second in range(20)]
    shuffled = list(lines)
    random.Random(4).shuffle(shuffled)
    ids = [parse(*some).events[0].source_event_id for some in (lines, lines, shuffled, lines[1:])]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert parse(*lines).events[0].content_key() == parse(*shuffled).events[0].content_key()


@given(st.text(max_size=60))
@settings(max_examples=300)
def test_routes_hold_no_query_no_digit_ids_and_are_stable(path: str) -> None:
    route = route_of(path_of(path))
    assert route.startswith("/")
    assert "?" not in route
    assert route_of(route) == route
    assert len(route.split("/")) <= 10


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/orders/4711", "/orders/{id}"),
        ("/orders/S00042/lines", "/orders/{id}/lines"),
        ("/api/v2.1/get_rates", "/api/v2.1/get_rates"),
        ("/admin/api/2024-01/orders.json", "/admin/api/2024-01/orders.json"),
        ("/admin/api/2024-01/orders/4711.json", "/admin/api/2024-01/orders/{id}.json"),
        ("/oauth2/token", "/oauth2/token"),
        ("/a/5f7d0c6e-8f5f-4c0e-9df2-1b2c3d4e5f60/b", "/a/{id}/b"),
        ("/in/XgZ4q_tQ8m2b1w0vN7s5Ag", "/in/{id}"),
        ("/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "/t/{id}"),
        ("/u/jane%40example.com", "/u/{id}"),
        ("/pick/WH%2FOUT%2F00042", "/pick/{id}"),
        ("https://gw.example/orders?x", "/orders"),
        ("*", "/{id}"),
        ("", "/"),
        ("//", "/"),
        ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/…"),
    ],
)
def test_routes(path: str, route: str) -> None:
    assert route_of(path_of(path)) == route


def test_routes_and_consumers_by_the_settings() -> None:
    settings_: dict[str, Any] = {"routes": ["/shops/{shop}/orders"], "consumers": {"app-7f3": "nordlager"}}
    [event] = parse(combined("/shops/nord/orders", user="app-7f3"), **settings_).events
    assert (event.data["route"], event.data["consumer"]) == ("/shops/{shop}/orders", "nordlager")


def test_callers_without_a_name_are_one_unless_told_otherwise() -> None:
    line = json.dumps({"time": 1768831445, "path": "/x", "status": 200, "remote_addr": "203.0.113.9:51234"})
    for given_ in (line, combined(user="-")):
        assert parse(given_).events[0].data["consumer"] == "anonymous"
    assert parse(line, by_address=True).events[0].data["consumer"] == "203.0.113.9"
    assert parse(combined(user="-"), by_address=True).events[0].data["consumer"] == "198.51.100.7"


def test_own_places_of_json_lines() -> None:
    line = json.dumps(
        {"when": "2026-01-19T14:04:05Z", "st": 500, "target": "/x?k=1", "http": {"client": "wp"}, "took": 1.5}
    )
    places = {"time": "when", "status": "st", "path": "target", "consumer": "http.client", "seconds": "took"}
    [event] = parse(line, places=places).events
    assert (event.data["consumer"], event.data["errors"], event.data["latency_ms"]["max"]) == ("wp", 1, 1500)


SECRET = "s3cr3tvalue"


@pytest.mark.parametrize(
    "line",
    [
        combined(f"/orders?token={SECRET}"),
        combined(f"/orders/{SECRET}"),
        f'1.2.3.4 - - [19/Jan/2026:14:04:05 +0000] "GET /x HTTP/1.1" 200 5 "https://a/?t={SECRET}" "{SECRET}"',
        json.dumps({"time": 1768831445, "uri": f"/x?a={SECRET}", "status": 200, "request_body": SECRET, "headers": {"authorization": SECRET}}),
        f'GET /x?token={SECRET} is no log line',
        f'{{"status": 200, "uri": "/x?token={SECRET}", "time": ',
    ],
)  # fmt: skip
def test_no_secret_gets_into_an_event_or_a_message(line: str) -> None:
    assert SECRET not in str(parse(line))


def test_lines_with_queries_are_pointed_out() -> None:
    issues = parse(combined("/a?b"), combined("/a"), combined("/a?c")).issues
    assert [(issue.code, issue.severity) for issue in issues] == [("gateway.query_string", "warning")]
    assert issues[0].sentence.startswith("2 calls")


def test_lines_that_are_none_are_counted_by_reason() -> None:
    result = parse("x", combined(), "y", "z", '{"status": "many"}', "{")
    assert sum(event.data["calls"] for event in result.events) == 1
    assert [(issue.code, issue.position) for issue in result.issues] == [
        ("gateway.format", "line 1"),
        ("gateway.status", "line 5"),
        ("gateway.json", "line 6"),
    ]
    assert "2 more" in result.issues[0].sentence


def test_arrays_and_objects_over_several_lines() -> None:
    one = {"time": 1768831445, "path": "/x", "status": 200}
    assert parse(json.dumps([one, combined(), 7, None])).events[0].position == "item 1"
    assert sum(event.data["calls"] for event in parse(json.dumps([one, combined()])).events) == 2
    assert len(parse(json.dumps(one, indent=2)).events) == 1
    with pytest.raises(ParseFailure) as failure:
        parse("[1, ")
    assert failure.value.issue.code == "json.syntax"
    assert failure.value.issue.position.startswith("line 1, column ")


def test_a_log_of_many_callers_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "MOST", 10)
    result = parse(*(combined(user=f"user-{number}") for number in range(50)))
    assert len(result.events) == 11
    assert sum(event.data["calls"] for event in result.events) == 50
    assert [issue.code for issue in result.issues] == ["gateway.folded"]


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_calls_or_reasons(body: bytes) -> None:
    try:
        result = parse(body)
    except ParseFailure as failure:
        result = ParseResult((), (failure.issue,))
    assert result.events or result.issues
    assert {issue.code.partition(".")[0] for issue in result.issues} <= {"gateway", "json"}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_latency_by_ranks(values: list[float]) -> None:
    told = summaries.latency(values)
    assert told["measured"] == len(values) == sum(told["histogram"].values())
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        assert sum(value <= told[name] for value in values) >= share * len(values)
        assert sum(value < told[name] for value in values) < share * len(values)


@pytest.mark.parametrize(
    "wrong",
    [
        {"routes": '["orders"]'},
        {"routes": "{}x"},
        {"consumers": '["a"]'},
        {"places": '{"consumer": "http_x_api_key"}'},
        {"places": '{"colour": "x"}'},
        {"places": '{"status": 7}'},
    ],
)
def test_the_form_names_what_it_wants(wrong: dict[str, str]) -> None:
    form = COLLECTORS.get("gateway_log").ConfigForm
    assert form({}).is_valid()
    assert form({"routes": '["/a/{b}"]', "consumers": '{"a": "b"}', "places": '{"consumer": "x"}'}).is_valid()
    assert not form(wrong).is_valid()


@pytest.mark.parametrize(
    "line",
    [
        '198.51.100.7 - a [02/Mar/2026:08:00:00 +0100] "GET /x?token=hunter2&n=1 HTTP/1.1" 200 5 "-" "c" rt=0.1',
        '{"path": "/x?token=hunter2", "status": 200}',
        r'{"path": "/x?next=\/home&token=hunter2", "status": 200}',
        '{"request": {"uri": "/x", "querystring": "token=hunter2"}, "upstream": "a"}',
        '{"uri": "/x", "args": "token=hunter2&q=\\"a\\"", "status": 200}',
    ],
)
def test_pages_show_no_query_strings_and_places_stay(line: str) -> None:
    shown = COLLECTORS.get("gateway_log").shown(line)
    assert "hunter2" not in shown
    assert "token" not in shown
    assert len(shown) == len(line)
    assert shown.replace("•", "") != shown
    assert COLLECTORS.get("webhook").shown(line) == line


@given(st.text("?&=/ab\"\\ \n{}:,'argsquery", max_size=80))
def test_masking_keeps_the_length_and_everything_before_a_question(text: str) -> None:
    shown = COLLECTORS.get("gateway_log").shown(text)
    assert len(shown) == len(text)
    assert all(one == other or other == "•" for one, other in zip(text, shown, strict=True))


@pytest.mark.django_db
def test_a_receipts_page_masks_what_the_receipt_keeps(client: Client) -> None:
    source = Integration.objects.create(slug="edge", name="Edge", kind="gateway_log")
    body = b'1.2.3.4 - a [02/Mar/2026:08:00:00 +0100] "GET /x?token=hunter2 HTTP/1.1" 200 5 "-" "c" rt=0.1\nno call?key=hunter3\n'
    now = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    [pk] = store([NewReceipt(source.pk, "http", body, "text/plain", {}, "", now)])
    process(now)
    client.force_login(person("operations"))
    letters = DeadLetter.objects.filter(receipt_id=pk)
    pages = [f"/receipts/{pk}/", *(f"/dead-letters/{letter.pk}/" for letter in letters)]
    assert len(pages) > 1
    for path in pages:
        text = client.get(path).content.decode()
        assert "hunter" not in text, path
        assert "?•••" in text, path
    assert bytes(Receipt.objects.get(pk=pk).body) == body
