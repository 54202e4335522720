"""The one JSON reader of the collectors: strict RFC 8259 with limits, clear errors, and no way to crash a worker.

What Python's own reader lets through or falls over (NaN, lone surrogates, repeated keys, deep nesting, endless
numbers) is refused or reported here, so that every kind treats a poisoned body alike.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import orjson

from apps.flows.canonical import ParseFailure, ParseIssue

#: bytes of one body, after decompression
MAX_BYTES = 16 * 1024 * 1024
#: arrays and objects inside each other
MAX_DEPTH = 64
#: characters of one number as written
MAX_NUMBER = 64
#: events one delivery may hold
MAX_EVENTS = 10_000
#: characters kept of a bad part
EXCERPT = 200

#: integers with more digits than a 64-bit column is sure to hold stay text, digit by digit
_INTEGER_DIGITS = 18
#: the closing quote is optional, so that an endless string is scanned once and not from every quote in it
_STRINGS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKETS = re.compile(r"[^\[\]{}]+")
_STRUCTURE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u([dD][89a-fA-F][0-9a-fA-F]{2})")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """A body as Python values (dict, list, str, int, float, bool, None) and what was odd about it."""

    value: Any
    warnings: tuple[ParseIssue, ...] = ()


#: digits as 0, all else as blanks: a long number is a run of zeros
_DIGITS = bytes(48 if 48 <= one <= 57 else 32 for one in range(256))
_LONG_NUMBER = b"0" * (_INTEGER_DIGITS + 1)
#: bytes of a body that is small even when each of its values stands on a line of its own, however deep
_SMALL = 64 * 1024
#: written with indents of two: what stands deeper than this begins its line so
_DEEP = b"\n" + b"  " * MAX_DEPTH


class _Duplicate(Exception):
    """A key stands twice in one object: read again, slowly, and name it."""


def excerpt(value: Any, limit: int = EXCERPT) -> str:
    """A short printable form of a bad part, safe to store and to show: no control characters, no lone surrogates."""
    if isinstance(value, bytes | bytearray | memoryview):
        text = bytes(value[: limit * 4]).decode("utf-8", "replace")
    elif isinstance(value, str):
        text = value[: limit * 4]
    else:
        text = json.dumps(value, default=str, ensure_ascii=False)[: limit * 4]
    text = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def read(body: bytes, max_bytes: int = MAX_BYTES) -> Document:
    """The JSON document of a body. Raises `ParseFailure` (code ``json.*``, position), never RecursionError."""
    if len(body) > max_bytes:
        raise ParseFailure("json.too_large", f"The body has {len(body):,} bytes; at most {max_bytes:,} are read.")
    quick = _quickly(body)
    if quick is not None:
        return quick
    text = _decoded(body)
    if not text.strip(" \t\r\n"):
        raise ParseFailure("json.empty", "The body is empty; a JSON document was expected.")
    _check_depth(text)
    warnings: list[ParseIssue] = []
    try:
        value = _decode(text, warnings)
    except json.JSONDecodeError as error:
        raise ParseFailure(
            "json.syntax",
            f"The body is not valid JSON: {error.msg.lower()}.",
            _place(text, error.pos),
            excerpt(text[max(0, error.pos - 20) : error.pos + 60]),
        ) from None
    _check_surrogates(text)
    return Document(value, tuple(warnings))


def _quickly(body: bytes) -> Document | None:
    """The document if a fast reader takes it and nothing in it can be odd; None: read it carefully and say why.

    That reader refuses all that RFC 8259 does and lone surrogates. The rest is told by writing its document again, which
    costs less than looking at every value: a key that stood twice is missing then, and its quotes with it.
    """
    try:
        value = orjson.loads(body)
        written = orjson.dumps(value, option=orjson.OPT_INDENT_2 if len(body) <= _SMALL else 0)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    if _DEEP in written or written.count(b'"') != body.count(b'"'):
        return None
    if b"\\" in body and b"\\u0022" in body:
        # a quote that is written as another character than it is read as: they cannot be counted
        return None
    if len(body) > _SMALL:
        _check_depth(body.decode())
    return None if _LONG_NUMBER in body.translate(_DIGITS) and _has_long_number(body) else Document(value)


def _has_long_number(body: bytes) -> bool:
    """Whether a number of many digits stands outside of texts (a tracking number in a text is none)."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    return _LONG_NUMBER in b" ".join(plain.split(b'"')[::2]).translate(_DIGITS)


def _decoded(body: bytes) -> str:
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ParseFailure("json.encoding", "The body is UTF-16; JSON must be sent as UTF-8.", "byte 0")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParseFailure(
            "json.encoding",
            f"The body is not valid UTF-8: {error.reason} at byte {error.start}.",
            f"byte {error.start}",
            excerpt(body[max(0, error.start - 20) : error.start + 40]),
        ) from None


def _check_depth(text: str) -> None:
    """Depth is counted before anything recursive runs, in linear time: without strings and all else, brackets remain."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    brackets = _NO_BRACKETS.sub("", _STRINGS.sub("", text)).replace("{", "[").replace("}", "]")
    for _ in range(MAX_DEPTH):
        # each pass takes the innermost level away
        outer = brackets.replace("[]", "")
        if not outer:
            return
        if len(outer) == len(brackets):
            break
        brackets = outer
    _find_too_deep(text)


def _find_too_deep(text: str) -> None:
    """Too deep, or not balanced (which the reader will say): looks bracket by bracket."""
    depth = 0
    for match in _STRUCTURE.finditer(text):
        token = match.group()[0]
        if token in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ParseFailure(
                    "json.too_deep",
                    f"Objects and lists are nested deeper than {MAX_DEPTH} levels.",
                    _place(text, match.start()),
                )
        elif token in "]}":
            depth -= 1


def _decode(text: str, warnings: list[ParseIssue]) -> Any:
    try:
        return _STRICT.decode(text)
    except _Duplicate:
        names: dict[str, None] = {}
        value = _decoder(_noting(names)).decode(text)
    for name in list(names)[:10]:
        warnings.append(
            ParseIssue(
                "json.duplicate_key",
                f"The key “{excerpt(name, 60)}” stands more than once in one object; its last value was used.",
                f"key {excerpt(name, 60)}",
                severity="warning",
            )
        )
    return value


def _check_surrogates(text: str) -> None:
    """Half of a surrogate pair is no character: nothing could store or send it on."""
    position = 0
    while match := _SURROGATE.search(text, position):
        position = match.end()
        if _escaped(text, match.start()):
            continue
        high = match.group(1)[1] in "89abAB"
        follower = _SURROGATE.match(text, position) if high else None
        if follower is not None and follower.group(1)[1] in "cdefCDEF":
            position = follower.end()
            continue
        raise ParseFailure(
            "json.lone_surrogate",
            f"The text holds half a character (\\u{match.group(1)}): a surrogate without its partner.",
            _place(text, match.start()),
            excerpt(text[max(0, match.start() - 20) : match.end() + 20]),
        )


def _escaped(text: str, at: int) -> bool:
    """Whether the backslash at `at` is itself escaped: an odd number of backslashes stands before it."""
    start = at
    while start > 0 and text[start - 1] == "\\":
        start -= 1
    return (at - start) % 2 == 1


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return f"line {line}, column {column}"


def _integer(written: str) -> int | str:
    if len(written) > _INTEGER_DIGITS + written.startswith("-"):
        _check_number(written)
        return written
    return int(written)


def _float(written: str) -> float:
    _check_number(written)
    value = float(written)
    if math.isinf(value):
        raise ParseFailure(
            "json.number", f"The number {excerpt(written)} is too large to be read.", "", excerpt(written)
        )
    return value


def _check_number(written: str) -> None:
    if len(written) > MAX_NUMBER:
        raise ParseFailure(
            "json.number",
            f"A number of {len(written):,} characters; at most {MAX_NUMBER} are read.",
            "",
            excerpt(written, 80),
        )


def _constant(written: str) -> Any:
    raise ParseFailure("json.number", f"{written} is no JSON value; send null or leave the field out.", "", written)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Duplicate
    return found


def _noting(names: dict[str, None]) -> Any:
    def hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                names[name] = None
            found[name] = value
        return found

    return hook


def _decoder(hook: Any) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=hook, parse_int=_integer, parse_float=_float, parse_constant=_constant, strict=True
    )


_STRICT = _decoder(_unique)
