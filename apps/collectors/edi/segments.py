"""Segments and their separators: what both syntaxes have in common. Pure text, linear time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from apps.flows.canonical import ParseIssue

#: limits of one delivery
MAX_BYTES = 10 * 1024 * 1024
MAX_SEGMENTS = 200_000
MAX_INTERCHANGES = 10_000
MAX_EVENTS = 10_000
#: issues reported for one delivery; what is beyond is counted
MAX_ISSUES = 200
#: a reference, party or code longer than this cannot be stored (flows.Reference.value)
MAX_VALUE = 200

#: what may stand between segments. Not str.strip(): that would eat the separators 1C to 1F of EDIFACT level B
BLANK = " \t\r\n"
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160), 65279))


def clean(text: str) -> str:
    """Without padding and control characters (PostgreSQL cannot store NUL); what is printable stays as it is."""
    return (text if text.isprintable() else text.translate(_CONTROLS)).strip()


def excerpt(text: str, limit: int = 120) -> str:
    """The beginning of a raw part, printable, for people."""
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join(char if char.isprintable() else "\N{MIDDLE DOT}" for char in shown)
    return shown + ("..." if len(text) > limit else "")


@dataclass(frozen=True, slots=True)
class Separators:
    """The service characters of one interchange. ``newline``: segments end with the line. '' = not in use."""

    element: str
    component: str
    segment: str
    release: str = ""
    repetition: str = ""
    decimal: str = "."
    newline: bool = False


def split(text: str, separator: str, release: str) -> list[str]:
    """Splits at separators that no release character takes the meaning of; release characters stay in the parts."""
    parts = text.split(separator)
    if not release or release not in text:
        return parts
    joined: list[str] = []
    open_parts: list[str] = []
    for part in parts:
        open_parts.append(part)
        # an odd number of release characters before the separator: the last one releases it
        if (len(part) - len(part.rstrip(release))) % 2:
            continue
        joined.append(separator.join(open_parts))
        open_parts = []
    if open_parts:
        joined.append(separator.join(open_parts))
    return joined


class Segment:
    """One segment: tag, raw elements (element 1 of the standard is index 1), its number in the file (from 1).

    Its elements are cut when first asked for: most segments of a large order are never looked into.
    """

    __slots__ = ("_composites", "_elements", "number", "raw", "separators", "tag")

    def __init__(self, raw: str, number: int, separators: Separators, tag: str) -> None:
        self.raw = raw
        self.number = number
        self.separators = separators
        self.tag = tag
        self._elements: list[str] | None = None
        self._composites: dict[int, list[str]] | None = None

    @property
    def elements(self) -> list[str]:
        found = self._elements
        if found is None:
            using = self.separators
            if using.release and using.release in self.raw:
                found = split(self.raw, using.element, using.release)
            else:
                found = self.raw.split(using.element)
            self._elements = found
        return found

    def get(self, element: int, component: int = 1) -> str:
        """The value at element and component (both from 1), released, unpadded; '' if it is not there."""
        elements = self._elements or self.elements
        if element >= len(elements):
            return ""
        raw = elements[element]
        # most values are one word: no separator, no padding
        if not raw or raw.isalnum():
            return raw if component == 1 else ""
        using = self.separators
        if (
            (using.component and using.component in raw)
            or (using.repetition and using.repetition in raw)
            or (using.release and using.release in raw)
        ):
            known = self._composites
            if known is None:
                known = self._composites = {}
            values = known.get(element)
            if values is None:
                values = known[element] = self.components(element)
            return values[component - 1] if component <= len(values) else ""
        return clean(raw) if component == 1 else ""

    def components(self, element: int) -> list[str]:
        """All components of an element (of its first repetition)."""
        if element >= len(self.elements):
            return []
        raw, using = self.elements[element], self.separators
        if not raw:
            return []
        if using.repetition and using.repetition in raw:
            raw = split(raw, using.repetition, using.release)[0]
        parts = split(raw, using.component, using.release) if using.component and using.component in raw else [raw]
        if using.release and using.release in raw:
            parts = [unreleased(part, using.release) for part in parts]
        return [clean(part) for part in parts]

    def whole(self, element: int) -> str:
        """The element as written, components and all (ISA carries its separators as values)."""
        return clean(self.elements[element]) if element < len(self.elements) else ""

    @property
    def text(self) -> str:
        return excerpt(self.raw)


class Cut:
    """The segments of one interchange: cut apart, their tags known, each made a `Segment` only when it is asked for.

    raws: without blank ones; first: the number of the first of them.
    """

    __slots__ = ("first", "raws", "separators", "tags")

    def __init__(self, raws: list[str], separators: Separators, first: int) -> None:
        self.separators = separators
        self.first = first
        self.raws = raws = [kept for raw in raws if (kept := raw.strip(BLANK))]
        element = separators.element
        self.tags = tags = [raw.partition(element)[0] for raw in raws]
        odd = {tag for tag in set(tags) if not tag.isalnum()}
        if odd:
            self.tags = [self._odd_tag(raw) if tag in odd else tag for raw, tag in zip(raws, tags, strict=True)]

    def _odd_tag(self, raw: str) -> str:
        """A tag that is padded, qualified by components (EDIFACT tags may be), or damaged."""
        tag = Segment(raw, 0, self.separators, "").elements[0]
        if self.separators.component and self.separators.component in tag:
            tag = tag.split(self.separators.component, 1)[0]
        return clean(tag)

    def segment(self, place: int) -> Segment:
        """The one at this place, from 0."""
        return Segment(self.raws[place], self.first + place, self.separators, self.tags[place])


def unreleased(text: str, release: str) -> str:
    """Text without its release characters; a released release character stays as one."""
    return re.sub(re.escape(release) + "(.?)", lambda found: found[1], text, flags=re.DOTALL)


@dataclass(slots=True)
class IssueList:
    """Collects issues up to a limit, then only counts, so that garbage cannot grow a report without bound."""

    issues: list[ParseIssue] = field(default_factory=list)
    dropped: int = 0

    def add(self, code: str, sentence: str, position: str = "", fragment: str = "", severity: str = "error") -> None:
        if len(self.issues) < MAX_ISSUES:
            self.issues.append(ParseIssue(code, sentence, position, fragment, severity))
        else:
            self.dropped += 1

    def warn(self, code: str, sentence: str, position: str = "", fragment: str = "") -> None:
        self.add(code, sentence, position, fragment, "warning")

    @property
    def count(self) -> int:
        return len(self.issues) + self.dropped

    def all(self) -> tuple[ParseIssue, ...]:
        if not self.dropped:
            return tuple(self.issues)
        more = ParseIssue(
            "edi.more_issues",
            f"{self.dropped} more problems of this file are not listed; solve the first {MAX_ISSUES}, then replay it.",
        )
        return (*self.issues, more)
