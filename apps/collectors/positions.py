"""Where in the bytes a dead letter's position points, so that the place can be marked. Pure.

Positions are words of the collectors: ``line 3, column 7``, ``byte 12``, ``item 2, ...``, ``row 4``, ``$.events[3].at``.
What no rule finds is looked for by the fragment kept with it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_LINE = re.compile(r"line (\d{1,9})(?:, column (\d{1,9}))?")
_BYTE = re.compile(r"byte (\d{1,12})")
_CHARACTER = re.compile(r"character (\d{1,12})")
_ROW = re.compile(r"row (\d{1,9})")
_ITEM = re.compile(r"item (\d{1,6})\b")
_PATH = re.compile(r"\$[^\s,;]*(?: [^\s]+)*?(?=$|, | or )")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d{1,9})\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_BLANK = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,\]}]+', re.S)
#: deeper documents are not searched, and not searched for longer than so many characters
_DEPTH = 64
_MOST = 2_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of the text, end exclusive."""

    start: int
    end: int


def locate(text: str, position: str, fragment: str = "", raw: bytes = b"") -> Span | None:
    """The span of a position in a text (the decoded body), None when it cannot be told. raw: for byte offsets."""
    if len(text) > _MOST:
        text = text[:_MOST]
    base = 0
    item = _ITEM.match(position)
    if item:
        inner = _element(text, int(item[1]) - 1)
        if inner is None:
            return _by_fragment(text, fragment)
        base, text_of_item, position = inner.start, text[inner.start : inner.end], position[item.end() :].lstrip(", ")
        found = _located(text_of_item, position, raw) if position else Span(0, inner.end - inner.start)
        return Span(base + found.start, base + found.end) if found else inner
    return _located(text, position, raw) or _by_fragment(text, fragment)


def _located(text: str, position: str, raw: bytes) -> Span | None:
    if match := _LINE.search(position):
        return _at_line(text, int(match[1]), int(match[2]) if match[2] else None)
    if match := _BYTE.search(position):
        at = len(raw[: int(match[1])].decode("utf-8", "replace")) if raw else int(match[1])
        return Span(min(at, len(text)), min(at + 1, len(text)))
    if match := _CHARACTER.search(position):
        at = int(match[1]) - 1
        return Span(at, min(at + 1, len(text))) if 0 <= at <= len(text) else None
    if position.startswith("$"):
        match = _PATH.match(position)
        return _at_path(text, (match[0] if match else position).strip())
    if match := _ROW.search(position):
        return _at_row(text, int(match[1]))
    return None


def _at_line(text: str, line: int, column: int | None) -> Span | None:
    at = 0
    for _ in range(line - 1):
        at = text.find("\n", at) + 1
        if at == 0:
            return None
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    if column is None:
        return Span(at, end)
    start = min(at + column - 1, end)
    return Span(start, min(start + 1, end) if start < end else end)


def _at_row(text: str, row: int) -> Span | None:
    """Rows of a table count without its header and blank lines; JSON lines have no header."""
    wanted = row if not text.lstrip().startswith("{") else row - 1
    at = number = 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            if number == wanted:
                return Span(at, at + len(line.rstrip("\r\n")))
            number += 1
        at += len(line)
    return None


def _by_fragment(text: str, fragment: str) -> Span | None:
    """Where the fragment stands; its end may have been cut off."""
    wanted = fragment.removesuffix("…").strip()
    if len(wanted) < 2:
        return None
    at = text.find(wanted)
    return Span(at, at + len(wanted)) if at >= 0 else None


# -- JSON -----------------------------------------------------------------------------------------------------------


def _element(text: str, index: int) -> Span | None:
    """One item of a batch: an element of a list, or a line."""
    if text.lstrip().startswith("["):
        return _at_path(text, f"$[{index}]")
    number = at = 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            if number == index:
                return Span(at, at + len(line.rstrip("\r\n")))
            number += 1
        at += len(line)
    return None


def _at_path(text: str, path: str) -> Span | None:
    """The value a path leads to, or the nearest one around it that exists. None when the text is no JSON that far."""
    steps: list[str | int] = [int(m[2]) if m[2] else (m[1] or m[3] or m[4] or "") for m in _STEP.finditer(path, 1)]
    try:
        at = _skip(text, 1 if text.startswith("\ufeff") else 0)
        for step in steps[:_DEPTH]:
            inner = _child(text, at, step)
            if inner is None:
                break
            at = inner
        return Span(at, _end(text, at, 0))
    except (IndexError, ValueError):
        return None


def _child(text: str, at: int, step: str | int) -> int | None:
    """Where the member or element begins; None if there is none."""
    if text[at] not in "[{" or isinstance(step, int) != (text[at] == "["):
        return None
    number, at = 0, _skip(text, at + 1)
    while text[at] not in "]}":
        if isinstance(step, str):
            end = _end(text, at, 0)
            name = json.loads(text[at:end])
            at = _skip(text, end)
            if text[at] != ":":
                raise ValueError("no colon")
            at = _skip(text, at + 1)
            if name == step:
                return at
        elif number == step:
            return at
        at = _skip(text, _end(text, at, 0))
        if text[at] == ",":
            at = _skip(text, at + 1)
        number += 1
    return None


def _end(text: str, at: int, depth: int) -> int:
    """The first character after the value that begins here, found by counting brackets."""
    if text[at] not in "[{":
        match = _SCALAR.match(text, at)
        if match is None:
            raise ValueError("no value")
        return match.end()
    while True:
        if text[at] in "[{":
            depth += 1
        elif text[at] in "]}":
            depth -= 1
            if depth == 0:
                return at + 1
        elif text[at] == '"':
            match = _SCALAR.match(text, at)
            if match is None:
                raise ValueError("no end")
            at = match.end()
            continue
        at += 1


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at
