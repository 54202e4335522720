"""Envelopes: interchanges, groups and transactions, and whether what their trailers say is so. Pure.

One machine for both syntaxes; a `Level` says which segments open and close it and where reference and count stand.

What is wrong inside a transaction (count of segments, control number, no trailer) stops that transaction: it may have
lost lines. What is wrong around it (group, interchange) is a warning: its transactions are whole by their own trailer.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field

from apps.collectors.edi.segments import MAX_SEGMENTS, Cut, IssueList, Segment, excerpt
from apps.flows.canonical import ParseFailure

#: careful: as above. strict: any problem stops every transaction of its interchange. lenient: wrong counts and
#: numbers only warn (a missing trailer still stops its transaction)
CAREFUL, STRICT, LENIENT = "careful", "strict", "lenient"
_STOPPING = frozenset({"edi.control_number", "edi.count", "edi.missing_trailer"})


@dataclass(frozen=True, slots=True)
class Level:
    """One layer: its header and trailer tags, where the reference stands in each and the count in the trailer."""

    header: str
    trailer: str
    header_ref: int
    trailer_ref: int
    trailer_count: int
    duplicate: str


@dataclass(frozen=True, slots=True)
class Syntax:
    """A syntax: its layers from the outside in, and how to find a transaction's type and the sender in their headers.

    between: service segments that may stand between transactions; alone: those that are a message by themselves;
    needs_group: every transaction stands in a group.
    """

    name: str
    interchange: Level
    group: Level
    transaction: Level
    between: frozenset[str]
    alone: frozenset[str]
    needs_group: bool
    type_of: Callable[[Segment], str]
    sender_of: Callable[[Segment], str]
    service: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        levels = (self.interchange, self.group, self.transaction)
        object.__setattr__(self, "service", frozenset(tag for one in levels for tag in (one.header, one.trailer)))


@dataclass(slots=True)
class Part:
    """An interchange, group or transaction: header, control number as written, what it stands in, what it holds.

    types: of the transactions that began in it.
    """

    level: Level
    header: Segment
    reference: str
    outer: Part | None
    groups: int = 0
    transactions: int = 0
    problems: int = 0
    seen: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)

    @property
    def position(self) -> str:
        """``ISA 000000263 / GS 1 / ST 0001``."""
        own = f"{self.level.header} {excerpt(self.reference, 40) or '(no number)'}"
        return f"{self.outer.position} / {own}" if self.outer else own


@dataclass(slots=True)
class Transaction:
    """One transaction or message: the segments between its header and its trailer, as spans of the interchange's."""

    syntax: Syntax
    type: str
    part: Part
    group: Part | None
    interchange: Part
    cut: Cut
    spans: list[tuple[int, int]] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(end - start for start, end in self.spans)

    def segments(self, wanted: Container[str] | None = None) -> list[Segment]:
        """In order; wanted: only the first and those of these tags."""
        cut = self.cut
        raws, tags, first, separators = cut.raws, cut.tags, cut.first, cut.separators
        places = [place for start, end in self.spans for place in range(start, end)]
        if wanted is not None:
            places = [*places[:1], *(place for place in places[1:] if tags[place] in wanted)]
        return [Segment(raws[place], first + place, separators, tags[place]) for place in places]

    @property
    def position(self) -> str:
        return self.part.position


class EnvelopeReader:
    """Reads a file's segments in order and keeps the transactions that are whole."""

    def __init__(self, issues: IssueList, policy: str = CAREFUL) -> None:
        self.issues = issues
        self.policy = policy
        self.segments = 0
        self.transactions = 0
        #: groups and interchanges in the order they stood
        self.parts: list[tuple[Syntax, Part]] = []
        self._whole: list[Transaction] = []
        self._interchanges: set[tuple[str, str, str]] = set()

    def read(self, syntax: Syntax, cut: Cut) -> None:
        """One run of segments that begins with an interchange header."""
        run = _Run(self, syntax, cut)
        tags, service = cut.tags, syntax.service
        self.segments += len(tags)
        if self.segments > MAX_SEGMENTS:
            raise too_many_segments()
        # only headers and trailers are looked at; by far the most stand between them, inside a transaction
        done = 0
        for place in [place for place, tag in enumerate(tags) if tag in service]:
            if done < place:
                run.between(done, place)
            run.take(cut.segment(place), place)
            done = place + 1
        if done < len(tags):
            run.between(done, len(tags))
        run.finish()

    def result(self) -> list[Transaction]:
        """The transactions that may be interpreted, in the order they stood."""
        return [one for one in self._whole if self.policy != STRICT or not one.interchange.problems]

    def accept(self, transaction: Transaction) -> None:
        self._whole.append(transaction)

    def is_known(self, syntax: Syntax, header: Segment, reference: str) -> bool:
        """Whether this sender's control number was already used in this file."""
        key = (syntax.name, syntax.sender_of(header), reference)
        known = key in self._interchanges
        self._interchanges.add(key)
        return known


def too_many_segments() -> ParseFailure:
    return ParseFailure(
        "edi.too_many_segments",
        f"The file has more than {MAX_SEGMENTS:,} segments; split it into smaller files and send it again.",
    )


class _Run:
    """The state while reading one interchange (or what follows it)."""

    def __init__(self, reader: EnvelopeReader, syntax: Syntax, cut: Cut) -> None:
        self.reader = reader
        self.syntax = syntax
        self.cut = cut
        self.interchange: Part | None = None
        self.group: Part | None = None
        self.transaction: Transaction | None = None
        self.outside: list[Segment] = []
        self.outside_count = 0

    def between(self, start: int, end: int) -> None:
        """Segments that are no headers and no trailers: of the open transaction, if there is one."""
        if self.transaction is not None:
            self.transaction.spans.append((start, end))
            return
        for place in range(start, end):
            self.take(self.cut.segment(place), place)

    def take(self, segment: Segment, place: int) -> None:
        syntax, tag = self.syntax, segment.tag
        for level in (syntax.transaction, syntax.group, syntax.interchange):
            if tag == level.header:
                return self._open(level, segment)
            if tag == level.trailer:
                return self._close(level, segment)
        if tag in syntax.alone and self.interchange is not None:
            part = Part(Level(tag, tag, 1, 1, 1, tag), segment, segment.get(1), self.interchange)
            alone = Transaction(syntax, tag, part, None, self.interchange, self.cut, [(place, place + 1)])
            self.reader.accept(alone)
        elif tag not in syntax.between or self.interchange is None:
            self.outside_count += 1
            if not self.outside:
                self.outside.append(segment)
        return None

    def finish(self) -> None:
        """The end of the run: whatever is still open has lost its trailer."""
        self._report_outside()
        if self.cut.tags:
            last = self.cut.segment(len(self.cut.tags) - 1)
            self._end_open(self.syntax.interchange, last, "the file ends before its {trailer}")

    def _open(self, level: Level, segment: Segment) -> None:
        syntax = self.syntax
        self._report_outside()
        self._end_open(level, segment, "the next {header} comes before its {trailer}")
        reference = segment.get(level.header_ref)
        if level is syntax.interchange:
            part = self.interchange = Part(level, segment, reference, None)
            self.reader.parts.append((syntax, part))
            if self.reader.is_known(syntax, segment, reference):
                self._problem(
                    part, "edi.duplicate", f"{level.duplicate} {reference} stands in this file twice", segment
                )
            return
        if self.interchange is None:
            self._lost(level.header, segment, f"{level.header} stands outside of any {syntax.interchange.header}")
            return
        if level is syntax.group:
            part = self.group = Part(level, segment, reference, self.interchange)
            self.reader.parts.append((syntax, part))
            self.interchange.groups += 1
            around = self.interchange
        else:
            around = self.group or self.interchange
            part = Part(level, segment, reference, around)
            self.reader.transactions += 1
            around.transactions += 1
            if self.group is not None:
                self.interchange.transactions += 1
            kind = syntax.type_of(segment)
            around.types.add(kind)
            self.interchange.types.add(kind)
            self.transaction = Transaction(syntax, kind, part, self.group, self.interchange, self.cut)
            if self.group is None and syntax.needs_group:
                self._problem(part, "edi.no_group", f"stands outside of any {syntax.group.header}", segment)
        if reference in around.seen:
            self._problem(
                part, "edi.duplicate", f"{level.duplicate} {reference} was used before in the same place", segment
            )
        around.seen.add(reference)

    def _close(self, level: Level, segment: Segment) -> None:
        self._report_outside()
        part = self._part(level)
        if part is None:
            self._lost(level.trailer, segment, f"{level.trailer} comes without {level.header}")
            return
        self._end_inner(level, segment)
        sound = self._same_reference(part, segment) & self._same_count(part, segment)
        if level is self.syntax.transaction:
            if sound and self.transaction is not None:
                self.reader.accept(self.transaction)
            self.transaction = None
        elif level is self.syntax.group:
            self.group = None
        else:
            self.interchange = None

    def _part(self, level: Level) -> Part | None:
        if level is self.syntax.transaction:
            return self.transaction.part if self.transaction else None
        return self.group if level is self.syntax.group else self.interchange

    def _same_reference(self, part: Part, trailer: Segment) -> bool:
        level = part.level
        closing = trailer.get(level.trailer_ref)
        if closing == part.reference:
            return True
        sentence = (
            f"{_name(level.trailer, level.trailer_ref)} says {excerpt(closing, 40) or 'nothing'}, "
            f"but {_name(level.header, level.header_ref)} said {excerpt(part.reference, 40) or 'nothing'}"
        )
        alike = closing.isdecimal() and part.reference.isdecimal() and closing.lstrip("0") == part.reference.lstrip("0")
        return not self._problem(part, "edi.control_number", sentence, trailer, harmless=alike)

    def _same_count(self, part: Part, trailer: Segment) -> bool:
        level, syntax = part.level, self.syntax
        if level is syntax.transaction:
            assert self.transaction is not None
            counted, what = self.transaction.count + 2, "segments"
        elif level is syntax.group or not (part.groups or syntax.needs_group):
            counted, what = part.transactions, f"{syntax.transaction.header} parts"
        else:
            counted, what = part.groups, f"{syntax.group.header} groups"
        said = trailer.get(level.trailer_count)
        if said.isdecimal() and len(said) < 10 and int(said) == counted:
            return True
        shown = excerpt(said, 20) or "nothing"
        sentence = f"{_name(level.trailer, level.trailer_count)} says {shown}, counted {counted} {what}"
        return not self._problem(part, "edi.count", sentence, trailer)

    def _end_inner(self, level: Level, segment: Segment) -> None:
        """A trailer of an outer part closes what is still open inside it."""
        if level is self.syntax.transaction:
            return
        inner = self.syntax.transaction if level is self.syntax.group else self.syntax.group
        self._end_open(inner, segment, f"{segment.tag} comes before its {{trailer}}")

    def _end_open(self, level: Level, segment: Segment, why: str) -> None:
        """Ends every open part of this level and inside it without a trailer."""
        syntax = self.syntax
        if self.transaction is not None:
            self._missing(self.transaction.part, segment, why)
            self.transaction = None
        if level is not syntax.transaction and self.group is not None:
            self._missing(self.group, segment, why)
            self.group = None
        if level is syntax.interchange and self.interchange is not None:
            self._missing(self.interchange, segment, why)
            self.interchange = None

    def _missing(self, part: Part, segment: Segment, why: str) -> None:
        level = part.level
        reason = why.format(header=segment.tag, trailer=level.trailer)
        self._problem(
            part, "edi.missing_trailer", f"{level.header} has no {level.trailer}: {reason}", segment, cut=True
        )

    def _report_outside(self) -> None:
        if self.outside:
            first, count = self.outside[0], self.outside_count
            header = self.syntax.transaction.header
            what = "1 segment stands" if count == 1 else f"{count} segments stand"
            sentence = f"From {excerpt(first.tag, 20)} on, {what} outside of any {header}"
            self._lost(first.tag, first, sentence)
            self.outside, self.outside_count = [], 0

    def _lost(self, tag: str, segment: Segment, sentence: str) -> None:
        """Something that belongs to no part: it gives no events."""
        if self.interchange is not None:
            self.interchange.problems += 1
        where = f"{self.interchange.position} / " if self.interchange else ""
        self.reader.issues.add("edi.outside", f"{sentence}.", f"{where}segment {segment.number}", segment.text)

    def _problem(
        self, part: Part, code: str, sentence: str, segment: Segment, *, harmless: bool = False, cut: bool = False
    ) -> bool:
        """Reports a problem of a part's envelope. True: the transaction it is about gives no events."""
        policy = self.reader.policy
        outermost = part
        while outermost.outer is not None:
            outermost = outermost.outer
        outermost.problems += 1
        judged = part.level is self.syntax.transaction and code in (
            "edi.control_number",
            "edi.count",
            "edi.missing_trailer",
        )
        stops = judged and not harmless and (cut or policy != LENIENT)
        consequence = "it gives no events" if stops or policy == STRICT else "its transactions are read all the same"
        if part.level is self.syntax.transaction and not (stops or policy == STRICT):
            consequence = "it is read all the same"
        self.reader.issues.add(
            code,
            f"{part.level.header} {excerpt(part.reference, 40)}: {sentence}; {consequence}.",
            f"{part.position} / segment {segment.number}",
            segment.text,
            "error" if stops or policy == STRICT else "warning",
        )
        return stops


def _name(tag: str, element: int) -> str:
    return f"{tag}{element:02d}"
