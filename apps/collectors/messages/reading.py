"""A delivery of message-log lines: hops, depths of queues, and the rest counted. Pure.

A line is a hop when it tells an outcome and carries a correlation id or a business key. Lines that tell neither are
counted by application and minute (``log.summary``); what nobody told us the meaning of is named.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from apps.collectors import jsonbody
from apps.collectors.contract import RawDelivery, SourceContext
from apps.collectors.gateway.reading import lines_of
from apps.collectors.mapping_rules import plain
from apps.collectors.messages import fields as known
from apps.collectors.messages.fields import Fields
from apps.collectors.times import EPOCH, EPOCH_MS, ISO, TimeError, read_time, zone_of
from apps.collectors.tracing import trace_id_of
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult, Reference
from apps.flows.catalogue import REFERENCE_KINDS

_TEXT = 300
#: a correlation id shorter than this is unique only within its own system
_UNIQUE = 16
_ZERO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Line:
    fields: Fields
    at: datetime
    digest: str
    position: str


@dataclass(slots=True)
class _Cell:
    position: str
    counts: Counter[str] = field(default_factory=Counter)
    digests: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Reader:
    """One delivery's way from lines to events. troubles: what -> (the issue of its first line, how many lines)."""

    source: SourceContext
    zone: tzinfo
    kinds: Mapping[str, str]
    words: Mapping[str, str]
    troubles: dict[str, tuple[ParseIssue, int]] = field(default_factory=dict)
    cells: dict[tuple[str, int], _Cell] = field(default_factory=dict)

    def read(self, body: bytes) -> ParseResult:
        events = [event for position, text in lines_of(body) for event in self._line(position, text)]
        events += [_summary(key, cell) for key, cell in self.cells.items()]
        issues = [_told(issue, count) for issue, count in self.troubles.values()]
        if not events and not issues:
            issues.append(ParseIssue("message_log.empty", "The delivery holds no line.", severity="warning"))
        return ParseResult(tuple(events), tuple(issues))

    def _line(self, position: str, text: bytes) -> Iterator[CanonicalEvent]:
        try:
            document = jsonbody.read(text).value
        except ParseFailure as failure:
            self._trouble("json", f"The line is no JSON document: {failure.issue.sentence}", position, text)
            return
        if not isinstance(document, dict):
            self._trouble("object", "The line is no JSON object.", position, text)
            return
        fields = Fields(document)
        at = _time(document, fields, self.zone)
        if at is None:
            self._trouble("time", "The line has no time that can be read.", position, text)
            return
        line = _Line(fields, at, hashlib.sha256(text).hexdigest()[:32], position)
        depths = list(self._depths(line))
        yield from depths
        if not depths:
            yield from self._hop(line)

    def _hop(self, line: _Line) -> Iterator[CanonicalEvent]:
        found, word = known.outcome(line.fields)
        found = self.words.get(word, found)
        if not found and word:
            shown = jsonbody.excerpt(word, 60)
            sentence = f"Nobody has said what the status “{shown}” means; add it to the setting words as completed, failed or between."
            self._trouble(f"status {shown}", sentence, line.position, b"", "unknown_status", "warning")
        keys = self._keys(line.fields)
        if found in (known.COMPLETED, known.FAILED) and keys:
            yield self._event(line, found, keys)
        else:
            self._count(line, found or "other")

    def _event(self, line: _Line, found: str, keys: list[Reference]) -> CanonicalEvent:
        fields = line.fields
        failed = found == known.FAILED
        traces = [one.value for one in keys if one.kind == "trace" and len(one.value) == 32]
        data: dict[str, Any] = {
            "service": jsonbody.excerpt(fields.text(known.NAMES)),
            "operation": jsonbody.excerpt(fields.text(known.STEPS), _TEXT),
            "kind": "message",
            "status": "error" if failed else "ok",
            "duration_ms": _duration(fields),
            "message_id": jsonbody.excerpt(fields.text(known.MESSAGE_IDS)),
            "exception": jsonbody.excerpt(fields.text(known.ERRORS), _TEXT) if failed else "",
            "message": jsonbody.excerpt(fields.text(("message", "msg")), _TEXT) if failed else "",
        }
        return CanonicalEvent(
            type="hop.failed" if failed else "hop.completed",
            happened_at=line.at,
            references=tuple(dict.fromkeys(keys)),
            source_event_id=f"line:{line.digest}",
            data={name: value for name, value in data.items() if value not in ("", None)},
            position=line.position,
            trace_id=traces[0] if traces and re.fullmatch(r"[0-9a-f]{32}", traces[0]) else "",
        )

    def _keys(self, fields: Fields) -> list[Reference]:
        found = []
        for name, kind in self.kinds.items():
            value = plain(fields.values.get(name))
            if value and len(value) <= 200 and "\0" not in value:
                issuer = self.source.partner if REFERENCE_KINDS.get(kind, ("", False))[1] else ""
                found.append(Reference(kind, value, issuer))
        correlation = fields.text(known.CORRELATIONS)
        if correlation and len(correlation) <= 150 and "\0" not in correlation:
            trace = trace_id_of(correlation)
            own = correlation if len(correlation) >= _UNIQUE else f"{self.source.integration}:{correlation}"
            found.append(Reference("trace", trace or own))
        return found

    def _depths(self, line: _Line) -> Iterator[CanonicalEvent]:
        name = line.fields.text(known.QUEUES)
        if not name:
            return
        counts = {depth: _whole(line.fields.values.get(depth)) for depth in known.DEPTHS}
        told = {depth: count for depth, count in counts.items() if count is not None}
        for depth, count in told.items():
            is_dead = known.DEPTHS[depth]
            dead = is_dead or bool(known.DEAD_LETTER.search(name))
            data: dict[str, Any] = {
                "queue": jsonbody.excerpt(name),
                "messages": count,
                "dead_letter": dead,
                "oldest_seconds": _age(line, is_dead, len(told) == 1),
                "consumers": _whole(line.fields.values.get("consumers", line.fields.values.get("consumercount"))),
            }
            yield CanonicalEvent(
                type="queue.depth",
                happened_at=line.at,
                references=(),
                source_event_id=f"depth:{depth}:{line.digest}",
                data={key: value for key, value in data.items() if value is not None},
                position=line.position,
            )

    def _count(self, line: _Line, what: str) -> None:
        minute = int((line.at - _ZERO) // timedelta(minutes=1))
        cell = self.cells.setdefault((jsonbody.excerpt(line.fields.text(known.NAMES)), minute), _Cell(line.position))
        cell.counts[what] += 1
        cell.digests.append(line.digest)

    def _trouble(
        self, what: str, sentence: str, position: str, text: bytes, code: str = "", severity: str = "error"
    ) -> None:
        if what in self.troubles:
            issue, count = self.troubles[what]
            self.troubles[what] = (issue, count + 1)
        elif len(self.troubles) < 200:
            fragment = jsonbody.excerpt(text, 120) if text else ""
            self.troubles[what] = (ParseIssue(f"message_log.{code or what}", sentence, position, fragment, severity), 1)


def read_lines(delivery: RawDelivery, source: SourceContext) -> ParseResult:
    """Events and issues of a body of lines, or of a JSON array. Raises `ParseFailure`."""
    try:
        zone = zone_of(source.zone)
    except TimeError as error:
        raise ParseFailure(
            "message_log.zone", f"The integration's time zone {error}; correct it, then replay."
        ) from None
    own = source.settings.get("references") or {}
    kinds = {**known.REFERENCES, **{known.normal(name): kind for name, kind in own.items()}}
    return Reader(source, zone, kinds, source.settings.get("words") or {}).read(delivery.body)


def _told(issue: ParseIssue, count: int) -> ParseIssue:
    if count == 1:
        return issue
    sentence = f"{issue.sentence} {count - 1:,} more lines are the same."
    return ParseIssue(issue.code, sentence, issue.position, issue.fragment, issue.severity)


def _summary(key: tuple[str, int], cell: _Cell) -> CanonicalEvent:
    name, minute = key
    digest = hashlib.sha256("".join(sorted(cell.digests)).encode()).hexdigest()[:32]
    return CanonicalEvent(
        type="log.summary",
        happened_at=_ZERO + timedelta(minutes=minute),
        references=(),
        source_event_id=f"lines:{digest}",
        data={"service": name, "seconds": 60, "counts": dict(sorted(cell.counts.items()))},
        position=cell.position,
    )


def _time(document: Mapping[str, Any], fields: Fields, zone: tzinfo) -> datetime | None:
    instant = document.get("instant")
    if isinstance(instant, dict):  # log4j2's JSON layout
        seconds, nanoseconds = _whole(instant.get("epochSecond")), _whole(instant.get("nanoOfSecond")) or 0
        if seconds is not None and seconds < 7_000_000_000:
            return _ZERO + timedelta(seconds=seconds, microseconds=min(nanoseconds, 999_999_999) // 1000)
    for name in known.TIMES:
        value = fields.values.get(name)
        if value in (None, ""):
            continue
        try:
            return read_time(value, ISO, zone)
        except TimeError:
            pass
        try:
            number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
            if number > 0:
                return read_time(value, EPOCH_MS if number > 100_000_000_000 else EPOCH, zone)
        except (ValueError, TimeError):
            continue
    return None


def _whole(value: Any) -> int | None:
    """A count; None if it is none."""
    text = plain(value)
    return int(text) if text is not None and re.fullmatch(r"\d{1,15}", text) and not isinstance(value, bool) else None


def _duration(fields: Fields) -> float | None:
    value = fields.first(known.MILLISECONDS)
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except ValueError:
        return None
    return number if 0 <= number < 1e12 else None


def _age(line: _Line, is_dead: bool, alone: bool) -> int | None:
    """Seconds the oldest message waits. An age that does not say of which of several counts it is, is of none."""
    age = _whole(line.fields.first(known.DEAD_AGES)) if is_dead else None
    return _whole(line.fields.first(known.AGES)) if age is None and alone else age
