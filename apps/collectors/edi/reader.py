"""Bytes to transactions: decode, find the interchanges of either syntax, read their envelopes. Pure, linear time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from apps.collectors.edi import edifact, x12
from apps.collectors.edi.envelopes import CAREFUL, EnvelopeReader, Part, Syntax, Transaction
from apps.collectors.edi.segments import BLANK, MAX_BYTES, MAX_INTERCHANGES, IssueList, excerpt
from apps.flows.canonical import ParseFailure

_BOM16 = (b"\xff\xfe", b"\xfe\xff")
_LEVEL = re.compile(rb"UNB.(UN[A-Z]{2})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reading:
    """A file as read. transactions: those whose envelope is sound; counted: all that began; issues: what was wrong;
    parts: its groups and interchanges."""

    transactions: list[Transaction]
    counted: int
    segments: int
    issues: IssueList
    parts: list[tuple[Syntax, Part]]


def read(body: bytes, policy: str = CAREFUL) -> Reading:
    """Raises `ParseFailure` (edi.empty, edi.too_large, edi.too_many_segments, edi.not_text, edi.no_envelope)."""
    if len(body) > MAX_BYTES:
        raise ParseFailure("edi.too_large", f"The file has {len(body):,} bytes; at most {MAX_BYTES:,} are read.")
    text = decode(body)
    if not text.strip(BLANK):
        raise ParseFailure("edi.empty", "The file is empty; ask the sender to send it again.")
    issues = IssueList()
    found: list[x12.Start | edifact.Start] = [
        *islice(x12.starts(text, issues), MAX_INTERCHANGES + 1),
        *islice(edifact.starts(text, issues), MAX_INTERCHANGES + 1),
    ]
    if len(found) > MAX_INTERCHANGES:
        raise ParseFailure(
            "edi.too_many_interchanges",
            f"The file holds more than {MAX_INTERCHANGES:,} interchanges; split it into smaller files.",
        )
    found.sort(key=lambda start: start.at)
    if not found:
        raise _no_envelope(text, issues)
    before = text[: found[0].at].strip(BLANK)
    if before:
        issues.warn(
            "edi.skipped",
            f"{len(before):,} characters before the first interchange header were skipped.",
            "before segment 1",
            excerpt(before),
        )
    reader = EnvelopeReader(issues, policy)
    for start, following in zip(found, [*found[1:], None], strict=True):
        end = following.at if following else len(text)
        if isinstance(start, x12.Start):
            reader.read(x12.SYNTAX, x12.segments(text, start, end, reader.segments + 1))
        else:
            reader.read(edifact.SYNTAX, edifact.segments(text, start, end, reader.segments + 1))
    return Reading(reader.result(), reader.transactions, reader.segments, issues, reader.parts)


def decode(body: bytes) -> str:
    """Text of the file: by its byte order mark, else UTF-8, else the character set UNB names, else ISO 8859-1."""
    if body.startswith(_BOM16):
        try:
            return body.decode("utf-16")
        except UnicodeDecodeError as error:
            raise ParseFailure(
                "edi.not_text", "The file begins like UTF-16 but is not; it was damaged on its way."
            ) from error
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        level = _LEVEL.search(body[:2000])
        charset = edifact.CHARSETS.get(level[1].decode("ascii"), "latin-1") if level else "latin-1"
        return body.removeprefix(b"\xef\xbb\xbf").decode(charset, "replace")


def _no_envelope(text: str, issues: IssueList) -> ParseFailure:
    if issues.issues:
        first = issues.issues[0]
        return ParseFailure(first.code, first.sentence, first.position, first.fragment)
    beginning = text.lstrip(BLANK)
    return ParseFailure(
        "edi.no_envelope",
        "There is no interchange header: neither ISA (X12) nor UNA or UNB (EDIFACT) was found. "
        f"The file begins with {excerpt(beginning, 40)!r}; ask the sender for the whole interchange.",
        "segment 1",
        excerpt(beginning),
    )
