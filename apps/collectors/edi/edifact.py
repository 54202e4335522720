"""The EDIFACT syntax (ISO 9735, versions 1 to 4): where interchanges begin, their separators, their segments. Pure.

UNA names the service characters; without it they are the standard's. A release character takes the meaning from the
one after it. Line breaks between and inside segments are layout and dropped, unless they end the segments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from apps.collectors.edi.envelopes import Level, Syntax, too_many_segments
from apps.collectors.edi.segments import BLANK, MAX_SEGMENTS, Cut, IssueList, Segment, Separators, excerpt, split

#: written so that it begins with letters: the search then runs over a file at the speed of memory
_HEADER = re.compile(r"UN(?:A(?P<una>.{6})[ \t\r\n]*UN)?B(?P<e>[^A-Za-z0-9 \t\r\n])(?P<level>UN[A-Z]{2})?", re.DOTALL)
#: character sets by the syntax identifier of UNB (ISO 9735 annex); others are read as UTF-8 or ISO 8859-1
CHARSETS = {
    "UNOA": "latin-1",
    "UNOB": "latin-1",
    "UNOC": "latin-1",
    "UNOD": "iso8859-2",
    "UNOE": "iso8859-5",
    "UNOF": "iso8859-7",
    "UNOG": "iso8859-3",
    "UNOH": "iso8859-4",
    "UNOI": "iso8859-6",
    "UNOJ": "iso8859-8",
    "UNOK": "iso8859-9",
}


def _address(segment: Segment, element: int) -> str:
    return f"{segment.get(element, 2)}:{segment.get(element)}"


SYNTAX = Syntax(
    name="EDIFACT",
    interchange=Level("UNB", "UNZ", 5, 2, 1, "interchange control reference"),
    group=Level("UNG", "UNE", 5, 2, 1, "group reference number"),
    transaction=Level("UNH", "UNT", 1, 2, 1, "message reference number"),
    between=frozenset({"UNA"}),
    alone=frozenset(),
    needs_group=False,
    type_of=lambda header: header.get(2),
    sender_of=lambda header: f"{_address(header, 2)}>{_address(header, 3)}",
)


@dataclass(frozen=True, slots=True)
class Start:
    """An interchange header: ``at`` is where its UNA or UNB stands, ``body`` where its UNB stands."""

    at: int
    body: int
    separators: Separators


def starts(text: str, issues: IssueList) -> Iterator[Start]:
    """Every UNA or UNB of the text that begins an interchange, in order."""
    first = len(text) - len(text.lstrip(BLANK))
    for found in _HEADER.finditer(text):
        # without UNA or a syntax identifier it is a header only where nothing stands before it: "..+SEE UNB+1" is text
        if found["una"] is None and not found["level"] and found.start() != first:
            continue
        position = f"interchange at character {found.start() + 1}"
        separators = _separators(found, text)
        if separators is None:
            issues.add(
                "edi.separators",
                "The service characters of UNA cannot be told apart; nothing of this interchange is read.",
                position,
                excerpt(found[0]),
            )
            continue
        if found["una"] is None and (separators.newline or found["e"] not in "+\x1d"):
            issues.warn(
                "edi.separators",
                "The interchange does not use the standard's separators and names none in UNA; UNB shows them.",
                position,
                excerpt(text[found.start() : found.start() + 80]),
            )
        yield Start(found.start(), found.start("e") - 3, separators)


def _separators(found: re.Match[str], text: str) -> Separators | None:
    una, element = found["una"], found["e"]
    if una is None:
        if element == "\x1d":
            return Separators("\x1d", "\x1f", "\x1c")
        line_end = re.compile("[\r\n]").search(text, found.end())
        line = text[found.end() : line_end.start() if line_end else len(text)]
        newline = line_end is not None and "'" not in line
        return Separators(
            element, ":", "\n" if newline else "'", "?", newline=newline, repetition=_repetition(text, found, "*")
        )
    component, element, decimal, release, repetition, segment = list(una)
    newline = segment in "\r\n"
    release = "" if release == " " else release
    used = [char for char in (component, element, release, segment) if char]
    if len(set(used)) != len(used) or any(char.isalnum() or char in " \t" for char in used) or found["e"] != element:
        return None
    usable = repetition not in (" ", *used) and not repetition.isalnum()
    return Separators(
        element,
        component,
        "\n" if newline else segment,
        release,
        _repetition(text, found, repetition if usable else ""),
        decimal,
        newline,
    )


def _repetition(text: str, found: re.Match[str], char: str) -> str:
    """Elements repeat only from syntax version 4 on; before, the character is text."""
    version = text[found.end() + 1 : found.end() + 2] if found["level"] else ""
    return char if version == "4" else ""


def segments(text: str, start: Start, end: int, first: int) -> Cut:
    """The segments from this header up to offset ``end``, numbered from ``first`` (UNA is not counted)."""
    separators = start.separators
    body = text[start.body : end]
    if separators.newline:
        body = body.replace("\r", "\n")
    else:
        body = body.replace("\r", "").replace("\n", "")
    if body.count(separators.segment) > 2 * MAX_SEGMENTS:
        raise too_many_segments()
    return Cut(split(body, separators.segment, separators.release), separators, first)
