"""A log file followed while it is written, over its rotations: by renaming, and by copying and cutting off.

The cursor says which file (inode) was read how far, and is committed with the receipt of what was read. What is kept of a
line is the call alone (`Call.as_json`) and where it stood: no query string, id, header or address reaches the receipt.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings

from apps.collectors.contract import Polled, PollFailed
from apps.collectors.folder_settings import relative_path
from apps.collectors.gateway.lines import NoCall, Reading, read_call
from apps.collectors.gateway.reading import LONGEST, REDUCED
from apps.collectors.gateway.routes import route_of

CHUNK = 1024 * 1024
CONTENT_TYPE = "application/x-ndjson"
Write = Callable[[bytes], dict[str, Any]]
HEADERS = {REDUCED: "yes"}


def tail(name: str, reading: Reading, patterns: Sequence[str], cursor: Mapping[str, Any]) -> Iterator[Polled]:
    """What was written since the cursor, in whole lines. Raises `PollFailed`."""
    path = _path(name)
    write = partial(_line, reading=reading, patterns=patterns)
    known, offset = cursor.get("inode"), cursor.get("offset")
    offset = offset if isinstance(offset, int) and offset >= 0 else 0
    found = _stat(path)
    if found is None:
        raise PollFailed(
            f"The log file {name} does not exist below the drop root. Let the gateway write it there, or mount it."
        )
    if known is not None and known != found.st_ino:
        # renamed away: what it holds beyond our offset comes first
        old = _renamed(path, known)
        if old is not None:
            yield from _read(old, known, offset, write, whole=True)
        offset = 0
    elif found.st_size < offset:
        offset = 0  # cut off
    yield from _read(path, found.st_ino, offset, write, whole=False)


def _path(name: str) -> Path:
    try:
        relative = relative_path(name)
    except ValueError as error:
        raise PollFailed(str(error).replace("A watched folder", "The file"), permanent=True) from None
    root = settings.DROP_ROOT.resolve()
    path: Path = root / relative
    if root not in path.parent.resolve().parents and path.parent.resolve() != root:
        raise PollFailed(f"The file {name} leads out of the drop root by a link.", permanent=True)
    return path


def _stat(path: Path) -> os.stat_result | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise PollFailed(f"{path.name} is no file (a link, a folder or a pipe). Name the file itself.", permanent=True)
    return found


def _renamed(path: Path, inode: int) -> Path | None:
    """The file of that inode beside ours; compressed ones have another."""
    for other in path.parent.iterdir():
        try:
            found = other.lstat()
        except OSError:
            continue
        if found.st_ino == inode and stat.S_ISREG(found.st_mode):
            return other
    return None


def _read(path: Path, inode: int, offset: int, write: Write, *, whole: bool) -> Iterator[Polled]:
    """whole: nobody writes it any more, so its last line needs no line end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise PollFailed(
            f"{path.name} cannot be read: {error.strerror}. Give the tower the right to read it."
        ) from None
    with open(descriptor, "rb") as file:
        if os.fstat(descriptor).st_ino != inode:
            return  # rotated between two looks: the next round finds it
        file.seek(offset)
        while chunk := file.read(CHUNK):
            end = chunk.rfind(b"\n") + 1
            if not end:
                if len(chunk) < CHUNK and not whole:
                    return  # a line that is still being written
                end = len(chunk)
            elif whole and len(chunk) < CHUNK:
                end = len(chunk)
            body = _reduced(chunk[:end], f"{inode}:", offset, write)
            offset += end
            file.seek(offset)
            yield Polled(body, CONTENT_TYPE, {"inode": inode, "offset": offset}, HEADERS)


def _reduced(chunk: bytes, file: str, offset: int, write: Write) -> bytes:
    """The lines as they are kept. Each says where it stood: two calls alike in one second are two calls."""
    kept = []
    for line in chunk.split(b"\n"):
        if text := line.strip():
            kept.append(orjson.dumps({**write(text), "place": f"{file}{offset}"}))
        offset += len(line) + 1
    return b"".join(one + b"\n" for one in kept)


def _line(line: bytes, reading: Reading, patterns: Sequence[str]) -> dict[str, Any]:
    try:
        call = read_call(line[:LONGEST], reading)
    except NoCall as problem:
        # kept as far as it can hold no query string, so that somebody can see what it was
        return {"unreadable": line.partition(b"?")[0][:120].decode("utf-8", "replace"), "why": str(problem)}
    return replace(call, path=route_of(call.path, patterns)).as_json()
