"""A batch body cut into its deliveries: a JSON array, or one JSON document a line. Pure.

Items are cut out as they were written, not read and written again, so that each kind sees the sender's own digits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from json.decoder import JSONDecodeError

from apps.collectors.contract import Collector
from apps.collectors.jsonbody import excerpt
from apps.flows.canonical import ParseFailure, ParseIssue

#: the door of batches, and the last part of its address
BATCH = "batch"
#: bytes of a batch body, unless the collector takes more in a single one
BATCH_BODY = 10 * 1024 * 1024
#: deliveries in one batch
MOST_ITEMS = 100

_WHITESPACE = " \t\r\n"
#: finds where a value ends; numbers are not computed, so that no number is too long
_SCANNER = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len)


@dataclass(frozen=True, slots=True)
class Item:
    """One delivery of a batch. position: ``item 3`` (from 1)."""

    position: str
    body: bytes


def body_limit(collector: Collector, door: str) -> int:
    """Bytes one request may have, before and after decompression."""
    return max(collector.max_body, BATCH_BODY) if door == BATCH else collector.max_body


def split(body: bytes) -> tuple[list[Item], list[ParseIssue]]:
    """The items of a batch, and what could not be cut: a broken array gives the items before the break.

    Raises `ParseFailure` when it is no batch at all, or one with more than `MOST_ITEMS` items.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParseFailure(
            "batch.encoding",
            f"The batch is not valid UTF-8 at byte {error.start}.",
            f"byte {error.start}",
            excerpt(body[max(0, error.start - 20) : error.start + 40]),
        ) from None
    start = _skip(text, 0)
    if start == len(text):
        raise ParseFailure("batch.empty", "The batch is empty; a JSON array or one JSON document a line was expected.")
    items, issues = _array(text, start) if text[start] == "[" else (_lines(text), [])
    if len(items) > MOST_ITEMS:
        raise ParseFailure(
            "batch.too_many_items",
            f"The batch holds more than {MOST_ITEMS} items; none was taken. Send it in several requests.",
        )
    return items, issues


def _lines(text: str) -> list[Item]:
    found = ((number, line.strip(_WHITESPACE)) for number, line in enumerate(text.split("\n"), start=1))
    return [Item(f"line {number}", line.encode()) for number, line in found if line]


def _array(text: str, start: int) -> tuple[list[Item], list[ParseIssue]]:
    items: list[Item] = []
    place = _skip(text, start + 1)
    if text[place : place + 1] == "]":
        return items, _after(text, place + 1)
    while len(items) <= MOST_ITEMS:
        try:
            _, end = _SCANNER.raw_decode(text, place)
        except (JSONDecodeError, RecursionError, ValueError) as error:
            why = "nested too deeply" if isinstance(error, RecursionError) else "not valid JSON"
            return items, [_broken(text, place, len(items), why)]
        items.append(Item(f"item {len(items) + 1}", text[place:end].encode()))
        place = _skip(text, end)
        separator = text[place : place + 1]
        if separator == "]":
            return items, _after(text, place + 1)
        if separator != ",":
            return items, [_broken(text, place, len(items), "not followed by a comma or the end of the array")]
        place = _skip(text, place + 1)
    return items, []


def _broken(text: str, place: int, taken: int, why: str) -> ParseIssue:
    return ParseIssue(
        "batch.broken",
        f"The array breaks off after {taken} items: what comes there is {why}. The rest of the batch was not read.",
        f"item {taken + 1}, character {place}",
        excerpt(text[place : place + 80]),
    )


def _after(text: str, place: int) -> list[ParseIssue]:
    place = _skip(text, place)
    if place == len(text):
        return []
    return [
        ParseIssue(
            "batch.trailing",
            "There is more after the end of the array; it was not read.",
            f"character {place}",
            excerpt(text[place : place + 80]),
        )
    ]


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _WHITESPACE:
        place += 1
    return place
