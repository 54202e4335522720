"""A folder that is watched for files: a partner's drop folder, or where an SFTP or AS2 gateway puts what it received.

Any integration may name one in its settings. A file is taken only when it is complete, kept as a receipt, and moved to
``done/`` after the commit. The cursor, committed with the receipt, remembers what was taken: after a crash between the
two a file is only moved. What can never be taken goes to ``failed/`` and is told.

No file is touched outside of the folder, no symbolic link is followed, and folders lie below `settings.DROP_ROOT` only.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from apps.collectors.contract import Collector, Polled, PollFailed
from apps.collectors.folder_settings import MARKER, RENAME, STABLE, relative_path
from apps.collectors.intake import MOST_BYTES, content_type_of

DONE, FAILED = "done", "failed"
#: names of files that are still being written, whatever was agreed
UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", ".uploading", "~")
SETTLE = 10
#: files of one look; the rest waits for the next
MOST_FILES = 200
_LONGEST_NAME = 255


def folder_of(root: Path, name: str) -> Path:
    """The folder of an integration, which exists. Raises `PollFailed`."""
    try:
        relative = relative_path(name)
    except ValueError as error:
        raise PollFailed(str(error), permanent=True) from None
    try:
        top = root.resolve(strict=True)
        folder = (top / relative).resolve(strict=True)
    except (OSError, RuntimeError):
        raise PollFailed(
            f"The watched folder {name} does not exist below {root}. Create it there, or mount it again; the tower must"
            " be allowed to write in it."
        ) from None
    if top not in folder.parents:
        raise PollFailed(
            f"The watched folder {name} leads out of {root} by a link; name the folder itself.", permanent=True
        )
    if not folder.is_dir():
        raise PollFailed(f"The watched folder {name} is a file; name the folder it lies in.", permanent=True)
    return folder


@dataclass(frozen=True, slots=True)
class _Found:
    """A file in the folder and what it looked like. mtime in nanoseconds; inode: tells it from one sent again."""

    name: str
    size: int
    mtime: int
    inode: int

    @property
    def looks(self) -> list[int]:
        return [self.size, self.mtime, self.inode]

    @property
    def modified_at(self) -> datetime:
        try:
            return datetime.fromtimestamp(self.mtime / 1e9, UTC)
        except (OverflowError, ValueError, OSError):
            return datetime.fromtimestamp(0, UTC)

    def is_like(self, remembered: Any) -> bool:
        return isinstance(remembered, list) and remembered[:3] == self.looks


@dataclass
class Watch:
    """One look into a folder. Use `run`, once."""

    collector: Collector
    settings: Mapping[str, Any]
    folder: Path
    cursor: Mapping[str, Any]
    now: datetime
    troubles: list[str] = field(default_factory=list)
    taken: dict[str, list[int]] = field(default_factory=dict)
    seen: dict[str, list[Any]] = field(default_factory=dict)

    def run(self) -> Iterator[Polled]:
        """A batch for each file that is complete, the oldest first; the last one, without a body, remembers the look.

        Raises `PollFailed` (partial) in the end when files could not be taken or moved.
        """
        remembered = self._table("taken")
        for found in self._look():
            if found.is_like(remembered.get(found.name)):
                # committed by a look that did not come to move it
                self.taken[found.name] = found.looks
                self._put_away(found, DONE)
            elif self._is_complete(found):
                yield from self._take(found)
        yield Polled(b"", "", self._remember())
        if self.troubles:
            raise PollFailed(" ".join(self.troubles[:5]), partial=True)

    def _take(self, found: _Found) -> Iterator[Polled]:
        limit = max(self.collector.max_body, MOST_BYTES)
        if found.size > limit or len(found.name) > _LONGEST_NAME:
            self.troubles.append(
                f"{found.name} has {found.size:,} bytes; at most {limit:,} are taken in one delivery. It lies in {FAILED}/:"
                " split it, or import it as an event log."
            )
            self._put_away(found, FAILED)
            return
        body = self._read(found)
        if body is None:
            return
        headers = {
            "file-name": found.name,
            "file-modified": found.modified_at.isoformat(),
            "file-arrived": self._arrived_at(found).isoformat(),
        }
        content_type = content_type_of(Path(found.name), self.collector)
        # an empty body would keep no receipt, and an empty file is a thing to be told
        if not body:
            self.troubles.append(f"{found.name} is empty; it lies in {FAILED}/. Ask its sender for the file.")
            self._put_away(found, FAILED)
            return
        self.seen.pop(found.name, None)
        self.taken[found.name] = found.looks
        yield Polled(body, content_type, self._remember(), headers, committed=lambda: self._put_away(found, DONE))

    def _look(self) -> list[_Found]:
        """Files that may be taken, the oldest first."""
        pattern = str(self.settings.get("folder_files") or "*")
        marker = self._marker()
        found: list[_Found] = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith(".") or name.lower().endswith(UNFINISHED) or (marker and name.endswith(marker)):
                        continue
                    if not fnmatch.fnmatchcase(name.lower(), pattern.lower()):
                        continue
                    try:
                        known = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue  # taken away in this moment
                    if stat.S_ISREG(known.st_mode):
                        found.append(_Found(name, known.st_size, known.st_mtime_ns, known.st_ino))
        except OSError as error:
            raise PollFailed(f"The watched folder cannot be read: {error.strerror or error}.") from None
        found.sort(key=lambda one: (one.mtime, one.name))
        return found[:MOST_FILES]

    def _is_complete(self, found: _Found) -> bool:
        agreed = self.settings.get("folder_complete") or STABLE
        if agreed == RENAME:
            return True
        if agreed == MARKER:
            return (self.folder / f"{found.name}{self._marker()}").is_file()
        before = self._table("seen").get(found.name)
        if isinstance(before, list) and len(before) == 5 and found.is_like(before):
            self.seen[found.name] = before
            return self.now - _moment(before[3], self.now) >= timedelta(seconds=SETTLE)
        self.seen[found.name] = [*found.looks, self.now.isoformat(), self.cursor.get("looked_at")]
        return False

    def _arrived_at(self, found: _Found) -> datetime:
        """When it came to lie there: when it was written last, but not before a look that did not see it, since senders
        may keep the time of their own file, and not after the look that did."""
        first = self.seen.get(found.name) or [None, None, None, None, self.cursor.get("looked_at")]
        looked_at = _moment(first[4], found.modified_at)
        return min(max(found.modified_at, looked_at), _moment(first[3], self.now))

    def _read(self, found: _Found) -> bytes | None:
        """The bytes; None when it is no longer the file that was seen, which the next look will."""
        try:
            handle = os.open(self.folder / found.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.troubles.append(f"{found.name} cannot be read: {error.strerror or error}.")
            return None
        try:
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return None
                body = file.read(found.size + 1)
                known = os.fstat(file.fileno())
        except OSError as error:
            self.troubles.append(f"{found.name} cannot be read: {error.strerror or error}.")
            return None
        same = (known.st_size, known.st_mtime_ns, len(body)) == (found.size, found.mtime, found.size)
        return body if same else None

    def _put_away(self, found: _Found, where: str) -> None:
        """Moves a file to done/<day>/ or failed/<day>/. If it became another one meanwhile, it goes back and is taken."""
        source = self.folder / found.name
        target = self.folder / where / f"{self.now:%Y-%m-%d}"
        try:
            target.mkdir(parents=True, exist_ok=True)
            place = _free(target / found.name)
            os.rename(source, place)
            moved = place.stat(follow_symlinks=False)
            if (moved.st_size, moved.st_mtime_ns) != (found.size, found.mtime) and not source.exists():
                os.rename(place, source)
                return
            if marker := self._marker():
                (self.folder / f"{found.name}{marker}").unlink(missing_ok=True)
        except FileNotFoundError:
            return
        except OSError as error:
            self.troubles.append(
                f"{found.name} was {'taken' if where == DONE else 'refused'} but cannot be moved to {where}/: "
                f"{error.strerror or error}. Let the tower write in the folder."
            )

    def _remember(self) -> dict[str, Any]:
        return {"looked_at": self.now.isoformat(), "taken": dict(self.taken), "seen": dict(self.seen)}

    def _marker(self) -> str:
        if self.settings.get("folder_complete") != MARKER:
            return ""
        return str(self.settings.get("folder_marker") or ".done")

    def _table(self, name: str) -> Mapping[str, Any]:
        table = self.cursor.get(name)
        return table if isinstance(table, Mapping) else {}


def watch(
    collector: Collector, settings: Mapping[str, Any], root: Path, cursor: Mapping[str, Any], now: datetime
) -> Iterator[Polled]:
    """One look into the folder an integration names. Raises `PollFailed`."""
    folder = folder_of(root, str(settings["folder"]))
    yield from Watch(collector, settings, folder, cursor, now).run()


def _free(place: Path) -> Path:
    """The place itself, or the first beside it with a number that nobody has."""
    number, found = 2, place
    while found.exists():
        found = place.with_name(f"{place.stem}-{number}{place.suffix}")
        number += 1
    return found


def _moment(text: Any, otherwise: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return otherwise
    return moment if moment.tzinfo else otherwise
