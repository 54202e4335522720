"""A delivery of access-log lines: cut, read and counted. What is no call is told by its reason, with count and place. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from apps.collectors import jsonbody
from apps.collectors.contract import RawDelivery, SourceContext
from apps.collectors.gateway.lines import NoCall, Reading, read_call
from apps.collectors.gateway.summaries import Seen, summarise
from apps.collectors.times import TimeError, zone_of
from apps.flows.canonical import ParseFailure, ParseIssue, ParseResult

#: header of deliveries whose lines were reduced to what is needed before they were kept (`gateway.tail`)
REDUCED = "tower-reduced"
#: bytes of one line that are looked at
LONGEST = 64 * 1024
#: stands for each character nobody should read
MASK = "\N{BULLET}"
_QUERY = re.compile(r'\?(?:[^\s"\\]|\\.)+')
_QUERY_FIELD = re.compile(r'("[\w.-]*(?:args|query(?:_?string)?|querystring)"\s*:\s*")((?:[^"\\]|\\.)+)', re.IGNORECASE)


@dataclass(slots=True)
class _Trouble:
    """Lines of one kind that gave no call: the first one stands for them."""

    sentence: str
    position: str
    fragment: str
    count: int = 1


def reading_of(settings: Mapping[str, Any], zone: str) -> Reading:
    """How the lines of an integration are read. Raises `ParseFailure` for a zone that is none."""
    try:
        return Reading(zone_of(zone), settings.get("places") or {}, bool(settings.get("by_address")))
    except TimeError as error:
        raise ParseFailure("gateway.zone", f"The integration's time zone {error}; correct it, then replay.") from None


def read_calls(delivery: RawDelivery, source: SourceContext) -> ParseResult:
    """Summaries and issues of a body of lines, or of a JSON array of objects or lines."""
    reading = reading_of(source.settings, source.zone)
    if delivery.headers.get(REDUCED) == "yes":  # in our own form, whatever the gateway's is
        reading = Reading(reading.zone, {})
    troubles: dict[str, _Trouble] = {}
    issues: list[ParseIssue] = []
    queries = 0
    seen: list[Seen] = []
    for position, line in lines_of(delivery.body):
        try:
            if len(line) > LONGEST:
                raise NoCall("long", f"is longer than {LONGEST:,} bytes")
            call = read_call(line, reading)
        except NoCall as problem:
            if trouble := troubles.get(problem.reason):
                trouble.count += 1
            else:
                troubles[problem.reason] = _Trouble(str(problem), position, _without_query(line))
            continue
        queries += call.had_query
        seen.append(Seen(call, line, position))
    for reason, trouble in troubles.items():
        several = f"; so do {trouble.count - 1:,} more" if trouble.count > 1 else ""
        sentence = f"The line {trouble.sentence}, and gives no call{several}."
        issues.append(ParseIssue(f"gateway.{reason}", sentence, trouble.position, trouble.fragment))
    if not seen and not troubles:
        issues.append(ParseIssue("gateway.empty", "The delivery holds no line.", severity="warning"))
    if queries:
        sentence = (
            f"{queries:,} calls came with query strings. They are in no event, but the receipt keeps the lines as they "
            "came: let the gateway log the path alone."
        )
        issues.append(ParseIssue("gateway.query_string", sentence, severity="warning"))
    settings = source.settings
    events = summarise(seen, settings.get("routes") or (), settings.get("consumers") or {}, issues)
    return ParseResult(tuple(events), tuple(issues))


def lines_of(body: bytes) -> Iterator[tuple[str, bytes]]:
    """(position, line): ``line 3`` of a body of lines, ``item 3`` of a JSON array. Raises `ParseFailure`."""
    head = body[:200].lstrip()
    if head[:1] == b"[":
        found = jsonbody.read(body).value
        for number, one in enumerate(found, 1):
            yield f"item {number}", one.encode("utf-8", "replace") if isinstance(one, str) else _dumped(one)
        return
    lines = [(f"line {number}", one) for number, line in enumerate(body.split(b"\n"), 1) if (one := line.strip())]
    if head[:1] == b"{" and len(lines) > 1 and not _is_json(lines[0][1]) and _is_json(body):
        lines = [("line 1", _dumped(jsonbody.read(body).value))]  # one object, written over several lines
    yield from lines


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # nested deeper than any log line
        return b"{"


def _without_query(line: bytes) -> str:
    """The beginning of a line, cut before anything that could be a query string."""
    return jsonbody.excerpt(line.partition(b"?")[0][:120])


def without_queries(text: str) -> str:
    """The text with every query string masked, as long as it was: behind a question mark, and in fields of its own."""
    text = _QUERY_FIELD.sub(lambda found: found[1] + MASK * len(found[2]), text)
    return _QUERY.sub(lambda found: "?" + MASK * (len(found[0]) - 1), text)
