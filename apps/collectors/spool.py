"""The future of a log, in order of time: sorted runs on disk, merged when read. Memory stays bounded."""

from __future__ import annotations

import heapq
import json
import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import IO, NamedTuple

#: entries held in memory before they are sorted and written out as a run
RUN = 100_000


class Later(NamedTuple):
    """An event to come: when by the log's own clock and by ours, the row it stands in, and the row's text."""

    told: datetime
    due: datetime
    number: int
    text: str


class Spool:
    def __init__(self, run: int = RUN) -> None:
        self._run = run
        self._fresh: list[Later] = []
        self._runs: list[IO[str]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, entry: Later) -> None:
        self._count += 1
        self._fresh.append(entry)
        if len(self._fresh) >= self._run:
            self._write()

    def in_order(self) -> Iterator[Later]:
        """Every entry once, the earliest first."""
        self._fresh.sort()
        yield from heapq.merge(self._fresh, *(_read(run) for run in self._runs))

    def close(self) -> None:
        for run in self._runs:
            run.close()

    def _write(self) -> None:
        run = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115
        for told, due, number, text in sorted(self._fresh):
            run.write(json.dumps([told.isoformat(), due.isoformat(), number, text]) + "\n")
        self._runs.append(run)
        self._fresh = []


def _read(run: IO[str]) -> Iterator[Later]:
    run.seek(0)
    for line in run:
        told, due, number, text = json.loads(line)
        yield Later(datetime.fromisoformat(told), datetime.fromisoformat(due), number, text)
