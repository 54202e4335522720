"""Files taken in by the same way as the doors: kept byte for byte, committed, then processed."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from apps.collectors.contract import COLLECTORS, Collector
from apps.collectors.models import DeadLetter, ReceiptState
from apps.collectors.processing import process
from apps.collectors.receiving import NewReceipt, store
from apps.integrations.models import Integration

#: bytes of one file, unless the collector takes more
MOST_BYTES = 16 * 1024 * 1024
#: files kept by one commit, and their bytes
BATCH_FILES = 200
BATCH_BYTES = 32 * 1024 * 1024

#: seconds to wait for a worker that holds one of our files
PATIENCE = 60.0


class CannotTake(Exception):
    """A file or folder that cannot be taken in; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One file and what became of it."""

    file: str
    receipt: int
    status: str
    events: int
    duplicates: int
    conflicts: int
    letters: tuple[DeadLetter, ...]

    @property
    def has_dead_letters(self) -> bool:
        return any(letter.severity == "error" for letter in self.letters)


def collector_of(integration: Integration) -> Collector:
    collector = COLLECTORS.plugins.get(integration.kind)
    if collector is None:
        raise CannotTake(f"The kind {integration.kind!r} of {integration.slug} is not installed.")
    return collector


def files_of(paths: Iterable[Path], collector: Collector) -> Iterator[Path]:
    """The files named, and those below the folders named: sorted, without hidden ones, of suffixes the kind takes."""
    for path in paths:
        if path.is_dir():
            below = sorted(one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
            for one in below:
                hidden = any(part.startswith(".") for part in one.relative_to(path).parts)
                if not hidden and (not collector.content_types or one.suffix.lower() in collector.content_types):
                    yield one
        elif path.is_file():
            yield path
        else:
            raise CannotTake(f"{path} is no file and no folder.")


def take_in(
    integration: Integration, files: Iterable[Path], clock: Callable[[], datetime], *, backfill: bool = False
) -> Iterator[Taken]:
    """Keeps and processes files, and tells of each. Files whose bytes came before give duplicates, not events."""
    collector = collector_of(integration)
    batch: list[tuple[Path, NewReceipt]] = []
    size = 0
    for path in files:
        body = _bytes_of(path, collector)
        headers = {"file-name": path.name}
        receipt = NewReceipt(
            integration.pk, "file", body, content_type_of(path, collector), headers, "", clock(), backfill
        )
        batch.append((path, receipt))
        size += len(body)
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
            yield from _settle(batch, clock)
            batch, size = [], 0
    if batch:
        yield from _settle(batch, clock)


def _settle(batch: list[tuple[Path, NewReceipt]], clock: Callable[[], datetime]) -> Iterator[Taken]:
    ids = store([receipt for _, receipt in batch])
    _process(ids, clock)
    states = ReceiptState.objects.in_bulk(ids)
    letters: dict[int, list[DeadLetter]] = {}
    for letter in DeadLetter.objects.filter(receipt_id__in=ids).order_by("id"):
        letters.setdefault(letter.receipt_id, []).append(letter)
    for (path, _), receipt_id in zip(batch, ids, strict=True):
        state = states[receipt_id]
        yield Taken(
            str(path),
            receipt_id,
            state.status,
            state.events,
            state.duplicates,
            state.conflicts,
            tuple(letters.get(receipt_id, ())),
        )


def _process(ids: list[int], clock: Callable[[], datetime]) -> None:
    """Until all are settled or put off. A worker may be faster than we are: what it holds is waited for."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        if process(clock(), only=ids).moved:
            continue
        if not ReceiptState.objects.filter(pk__in=ids, status="waiting", next_at__lte=clock()).exists():
            return
        time.sleep(0.1)


def _bytes_of(path: Path, collector: Collector) -> bytes:
    limit = max(collector.max_body, MOST_BYTES)
    try:
        size = path.stat().st_size
        if size > limit:
            raise CannotTake(
                f"{path} has {size:,} bytes; at most {limit:,} are taken in one delivery. Split it, or use import_log"
                " for an event log."
            )
        return path.read_bytes()
    except OSError as error:
        raise CannotTake(f"{path} cannot be read: {error.strerror or error}.") from None


def content_type_of(path: Path, collector: Collector) -> str:
    """The content type of a file by its suffix, as the kind or else everybody knows it."""
    known = collector.content_types.get(path.suffix.lower())
    return known or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
