"""Files beside comments: what may be kept, and how it is given out again (a download that no browser runs)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum

from apps.incidents.models import IncidentEvent, IncidentFile
from apps.incidents.workflow import NotPossible

#: bytes of one file, of all files of an incident; files of one comment
LARGEST = 5 * 1024 * 1024
MOST_OF_INCIDENT = 50 * 1024 * 1024
MOST_AT_ONCE = 5
#: what people show each other of messages and screens; nothing that runs
ENDINGS = frozenset(
    [
        "png",
        "jpg",
        "jpeg",
        "gif",
        "webp",
        "pdf",
        "txt",
        "log",
        "csv",
        "tsv",
        "json",
        "jsonl",
        "xml",
        "edi",
        "edifact",
        "x12",
        "yaml",
        "yml",
        "eml",
        "msg",
        "zip",
        "gz",
        "xlsx",
        "docx",
        "ods",
    ]
)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file as it was sent; name: as its sender calls it."""

    name: str
    body: bytes


def check(files: Sequence[NewFile]) -> None:
    """Raises NotPossible with the file's name and the limit."""
    if len(files) > MOST_AT_ONCE:
        raise NotPossible(f"{len(files)} files: add at most {MOST_AT_ONCE} with one comment.")
    for one in files:
        name = safe_name(one.name)
        if not one.body:
            raise NotPossible(f"{name} is empty.")
        if len(one.body) > LARGEST:
            raise NotPossible(f"{name} is larger than {LARGEST // 1024 // 1024} MB: share a link to it instead.")
        ending = name.rpartition(".")[2].lower() if "." in name else ""
        if ending not in ENDINGS:
            raise NotPossible(f"{name} cannot be kept: allowed are {', '.join(sorted(ENDINGS))}. Zip it if it must be.")


def keep(event: IncidentEvent, files: Sequence[NewFile], now: datetime) -> list[IncidentFile]:
    """Stores the files of a comment, in its transaction. Raises NotPossible when the incident has too many already."""
    if not files:
        return []
    check(files)
    used = IncidentFile.objects.filter(incident_id=event.incident_id).aggregate(n=Sum("size"))["n"] or 0
    if used + sum(len(one.body) for one in files) > MOST_OF_INCIDENT:
        raise NotPossible(f"The files of this incident would be more than {MOST_OF_INCIDENT // 1024 // 1024} MB.")
    return IncidentFile.objects.bulk_create(
        IncidentFile(
            incident_id=event.incident_id,
            event=event,
            name=safe_name(one.name),
            size=len(one.body),
            sha256=hashlib.sha256(one.body).hexdigest(),
            body=one.body,
            at=now,
            user_name=event.actor_name,
        )
        for one in files
    )


def safe_name(name: str) -> str:
    """The last part of a path, printable, at most 120 characters with its ending kept. Never empty."""
    last = name.replace("\\", "/").rpartition("/")[2]
    clean = "".join(letter if letter.isprintable() and letter not in '<>:"|?*;%' else "_" for letter in last).strip(
        " ."
    )
    if len(clean) > 120:
        stem, dot, ending = clean.rpartition(".")
        clean = f"{stem[: 119 - len(ending)]}.{ending}" if dot and len(ending) <= 10 else clean[:120]
    return clean or "file"
