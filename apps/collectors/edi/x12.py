"""The X12 syntax (ASC X12.5, X12.6): where interchanges begin, their separators, their segments. Pure, linear time.

ISA is a segment of fixed widths, so its separators are read from it: element after the tag, component in ISA16, segment
right after ISA16, repetition in ISA11 from release 00402 on. Senders wrap lines, indent, end segments with a line
break or lose padding; what can still be read for sure is read, and said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from apps.collectors.edi.envelopes import Level, Syntax, too_many_segments
from apps.collectors.edi.segments import (
    BLANK,
    MAX_SEGMENTS,
    Cut,
    IssueList,
    Separators,
    clean,
    excerpt,
)

#: widths of ISA01 to ISA16
WIDTHS = (2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1)
#: 15 bounded elements behind one and the same separator: ISA of any width that can still be told apart from text
_HEADER = re.compile(
    r"ISA(?P<e>[^A-Za-z0-9 \t\r\n])"
    + "".join(r"((?:(?!(?P=e)).){0,32})(?P=e)" for _ in range(15))
    + r"(?P<c>.)(?P<s>.?)",
    re.DOTALL,
)

SYNTAX = Syntax(
    name="X12",
    interchange=Level("ISA", "IEA", 13, 2, 1, "interchange control number"),
    group=Level("GS", "GE", 6, 2, 1, "group control number"),
    transaction=Level("ST", "SE", 2, 2, 1, "transaction set control number"),
    between=frozenset({"ISB", "ISE"}),
    alone=frozenset({"TA1", "TA3"}),
    needs_group=True,
    type_of=lambda header: header.get(1),
    sender_of=lambda header: f"{header.get(5)}:{header.get(6)}>{header.get(7)}:{header.get(8)}",
)


@dataclass(frozen=True, slots=True)
class Start:
    """An interchange header found at offset ``at`` of the text; ``body`` is the offset behind it."""

    at: int
    body: int
    header: tuple[str, ...]
    separators: Separators
    #: segments end with any of these characters
    ends: str


def starts(text: str, issues: IssueList) -> Iterator[Start]:
    """Every ISA of the text, in order. A header whose separators make no sense is an issue and begins nothing."""
    for found in _HEADER.finditer(text):
        element = found["e"]
        fields = [field.replace("\r", "").replace("\n", "") for field in found.groups()[1:16]]
        exact = all(len(field) == width for field, width in zip(fields, WIDTHS, strict=False))
        before = text[found.start() - 1] if found.start() else "\n"
        if not exact and (before.isalnum() or before == element):
            continue
        component, segment = found["c"], found["s"]
        position = f"ISA {clean(fields[12])}"
        ends = "\r\n" if segment in ("\r", "\n") else segment
        if segment in ("\r", "\n") and _ends_line(text, found.end(), component):
            # ISA16 was left out: what stands in its place ends the segments, and so do the lines
            component, ends, exact = "", component + ends, False
        if not exact:
            issues.warn(
                "edi.header_width",
                "The ISA header is not 106 characters wide as X12 wants it; it was read by its separators.",
                position,
                excerpt(found[0]),
            )
        if not _usable(segment, element, component):
            issues.add(
                "edi.separators",
                f"The separators of the ISA header cannot be told apart (element {element!r}, component {component!r}, "
                f"segment {segment!r}); nothing of this interchange is read.",
                position,
                excerpt(found[0]),
            )
            continue
        if segment not in "~\r\n" and not segment.isascii():
            issues.warn(
                "edi.separators",
                f"The segment terminator {segment!r} is no character of the X12 character sets; it was taken as it is.",
                position,
                excerpt(found[0]),
            )
        repetition = fields[10] if fields[11] >= "00402" and len(fields[10]) == 1 and not fields[10].isalnum() else ""
        separators = Separators(
            element,
            "" if component.isalnum() or component.isspace() else component,
            segment,
            repetition="" if repetition in (element, component, " ") else repetition,
            newline=segment in "\r\n",
        )
        yield Start(found.start(), found.end(), (*fields, component), separators, ends)


def _ends_line(text: str, at: int, char: str) -> bool:
    """Whether the next line that is not blank ends with this character."""
    line = text[at : at + 4096].lstrip("\r\n").split("\n", 1)[0].rstrip(BLANK)
    return line.endswith(char)


def _usable(segment: str, element: str, component: str) -> bool:
    return len({segment, element, component}) == 3 and segment not in ("", " ", "\t") and not segment.isalnum()


def segments(text: str, start: Start, end: int, first: int) -> Cut:
    """The segments from this header up to offset ``end``, numbered from ``first``."""
    separators = start.separators
    header = separators.element.join(("ISA", *start.header))
    body = text[start.body : end]
    if body.count("\n" if separators.newline else separators.segment) > 2 * MAX_SEGMENTS:
        raise too_many_segments()
    if separators.newline:
        raws = re.split(f"[{re.escape(start.ends)}]+", body)
    else:
        raws = body.replace("\r", "").replace("\n", "").split(separators.segment)
    return Cut([header, *raws], separators, first)
