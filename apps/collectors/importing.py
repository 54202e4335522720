"""Takes a whole log in: cut into receipts, each kept and processed like any delivery, as history or told anew.

History (`backfill`) is judged but pages nobody. A replay moves the log in time so that one of its moments is now:
what is earlier becomes history, what is later waits in a spool and can be told live, in order, at its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from apps.collectors import mapping
from apps.collectors.contract import SourceContext
from apps.collectors.kinds.eventlog import EventLog, LogReader, Part, reader_of
from apps.collectors.logfiles import CannotRead, LogFile, LogRow
from apps.collectors.models import DeadLetter, ReceiptState
from apps.collectors.paths import Scope
from apps.collectors.processing import process
from apps.collectors.receiving import NewReceipt, store
from apps.collectors.sources import load
from apps.collectors.spool import Later, Spool
from apps.collectors.times import Replay, zone_of
from apps.flows.canonical import ParseFailure
from apps.integrations.models import Integration

#: rows of one receipt, fewer if each gives many events
ROWS = 2_000
EVENTS = 10_000
_BYTES = 4 * 1024 * 1024
#: receipts kept by one commit
_TOGETHER = 4
#: seconds to wait for a worker that holds one of our receipts
_PATIENCE = 60.0
#: the longest nap while the future is told, so that a stop is heard
_NAP = 30.0


@dataclass(slots=True)
class Imported:
    """What became of a log. kept_back: events that lie in its future; letters: dead letters it gave."""

    rows: int = 0
    receipts: int = 0
    events: int = 0
    duplicates: int = 0
    conflicts: int = 0
    letters: int = 0
    kept_back: int = 0
    told: int = 0


@dataclass(slots=True)
class Importer:
    """One import. clock: reads the present; sleep: waits so many seconds; on_progress: called after every receipt."""

    integration: Integration
    path: Path
    clock: Callable[[], datetime]
    replay: Replay | None = None
    sleep: Callable[[float], None] = time.sleep
    on_progress: Callable[[float, Imported], None] = lambda share, done: None
    done: Imported = field(default_factory=Imported)
    spool: Spool = field(default_factory=Spool)
    _log: LogFile = field(init=False)
    _source: SourceContext = field(init=False)
    _reader: LogReader = field(init=False)
    _broken: CannotRead | None = None

    def __post_init__(self) -> None:
        if self.integration.kind != EventLog.kind:
            raise CannotRead(f"{self.integration.slug} is of the kind {self.integration.kind}, not {EventLog.kind}.")
        self._source = load([self.integration.pk])[self.integration.pk].context
        self._log = LogFile(self.path, self._source.settings)
        if not self._source.mapping and not self._log.explains_itself():
            raise CannotRead(f"{self.integration.slug} has no mapping; it says what the columns mean.")
        try:
            self._reader = reader_of(self._source)
        except ParseFailure as failure:
            raise CannotRead(failure.issue.sentence) from None

    def history(self) -> Imported:
        """The log, or of a replay its past, as history. Raises `CannotRead`, after what stood before the broken place."""
        size = max(1, min(ROWS, EVENTS // self._reader.most))
        parts: list[list[LogRow]] = []
        for part in _cut(self._past(), size):
            parts.append(part)
            if len(parts) == _TOGETHER:
                self._take_history(parts)
                parts = []
        self._take_history(parts)
        self.done.kept_back = len(self.spool)
        if self._broken is not None:
            before = f" The {self.done.rows:,} rows before it were imported." if self.done.rows else ""
            raise CannotRead(f"{self._broken}{before}")
        return self.done

    def future(self, replay: Replay) -> Iterator[Imported]:
        """Tells what was kept back, when its time comes; yields after every receipt. Ends with the log."""
        after = replay.as_of
        waiting = _Ahead(self.spool.in_order())
        while (first := waiting.peek()) is not None:
            now = self.clock()
            if first.due > now:
                self.sleep(min(_NAP, (first.due - now).total_seconds()))
                continue
            entries = waiting.take(now)
            rows = {entry.number: entry.text for entry in entries}
            part = Part(_spans(sorted(rows)), after, entries[-1].told, replay)
            self._take([self._new([rows[number] for number in sorted(rows)], part, now)])
            after = entries[-1].told
            self.done.told += len(entries)
            yield self.done

    def _past(self) -> Iterator[LogRow]:
        try:
            for row in self._log.rows():
                self.done.rows += 1
                if self.replay is None or self._is_past(row, self.replay):
                    yield row
        except CannotRead as error:
            self._broken = error

    def _is_past(self, row: LogRow, replay: Replay) -> bool:
        """Whether something of a row has happened; what has not goes to the spool. A row that gives nothing is past."""
        if row.row.values is None:
            return True
        scope = Scope((row.row.values,), (f"row {row.number}",), ", ")
        context = mapping.Context(self._source.partner, self._source.zone)
        events = self._reader.read([scope], context).events
        later = [event for event in events if event.happened_at > replay.as_of]
        for event in later:
            due = replay.move(event.happened_at, zone_of(event.zone))
            self.spool.add(Later(event.happened_at, due, row.number, row.text))
        return len(later) < len(events) or not events

    def _take_history(self, parts: list[list[LogRow]]) -> None:
        now = self.clock()
        until = self.replay.as_of if self.replay else None
        receipts = []
        for rows in parts:
            part = Part(_spans([row.number for row in rows]), None, until, self.replay, backfill=True)
            receipts.append(self._new([row.text for row in rows], part, now))
        self._take(receipts)
        self.on_progress(self._log.progress, self.done)

    def _new(self, texts: list[str], part: Part, now: datetime) -> NewReceipt:
        headers: Mapping[str, str] = {"file-name": self.path.name, **part.headers()}
        body = self._log.body(texts)
        return NewReceipt(
            self.integration.pk, "import", body, self._log.content_type, headers, "", now, backfill=part.backfill
        )

    def _take(self, receipts: list[NewReceipt]) -> None:
        """Keeps receipts and processes them. What a worker takes before us is waited for and counted all the same."""
        ids = store(receipts)
        ends = time.monotonic() + _PATIENCE
        while time.monotonic() < ends:
            if process(self.clock(), only=ids).moved:
                continue
            if not ReceiptState.objects.filter(pk__in=ids, status="waiting", next_at__lte=self.clock()).exists():
                break
            self.sleep(0.05)
        self.done.receipts += len(ids)
        for state in ReceiptState.objects.filter(pk__in=ids):
            self.done.events += state.events
            self.done.duplicates += state.duplicates
            self.done.conflicts += state.conflicts
        self.done.letters += DeadLetter.objects.filter(receipt_id__in=ids, severity="error").count()


class _Ahead:
    """Events in order, seen one ahead."""

    def __init__(self, entries: Iterator[Later]) -> None:
        self._entries = entries
        self._next = next(entries, None)

    def peek(self) -> Later | None:
        return self._next

    def take(self, now: datetime) -> list[Later]:
        """What is due, at most a receipt's worth, but never only a part of what happened at one moment."""
        taken: list[Later] = []
        while self._next is not None and self._next.due <= now:
            if len(taken) >= ROWS and self._next.told != taken[-1].told:
                break
            taken.append(self._next)
            self._next = next(self._entries, None)
        while self._next is not None and taken and self._next.told == taken[-1].told:
            taken.append(self._next)
            self._next = next(self._entries, None)
        return taken


def _cut(rows: Iterable[LogRow], size: int) -> Iterator[list[LogRow]]:
    part: list[LogRow] = []
    length = 0
    for row in rows:
        part.append(row)
        length += len(row.text)
        if len(part) >= size or length >= _BYTES:
            yield part
            part, length = [], 0
    if part:
        yield part


def _spans(numbers: list[int]) -> str:
    """Numbers in order as '1-3,7'."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
