"""Closed months, frozen: one document of figures and its files, kept as they were. Never computed again."""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction

from apps.accounts import audit
from apps.accounts.models import ApiClient, User
from apps.core.calendars import instant
from apps.integrations.models import Partner
from apps.reports import document, penalties, rollups, scores
from apps.reports.cells import after
from apps.reports.models import Archive, ArchiveFile
from apps.reports.pdf import pdf_bytes
from apps.reports.spreadsheet import csv_bytes, xlsx_bytes

KINDS = ("month", "scorecard")
#: kind of file -> (its type, how it is written)
FILES = {
    "pdf": ("application/pdf", pdf_bytes),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", xlsx_bytes),
    "csv": ("text/csv; charset=utf-8", csv_bytes),
}


class NotClosed(Exception):
    """The month is not over yet."""

    def __init__(self, first: date) -> None:
        super().__init__(f"{first:%B %Y} is not over yet: what is still open would change its figures.")


def is_closed(first: date, now: datetime) -> bool:
    """Whether the month is over in the zone of reports."""
    return instant(after(first), datetime.min.time(), ZoneInfo(rollups.zone())) <= now


def last_closed(now: datetime) -> date:
    """The first day of the month before."""
    return last_closed_before(now.astimezone(ZoneInfo(rollups.zone())).date().replace(day=1))


def last_closed_before(first: date) -> date:
    return (first - timedelta(days=1)).replace(day=1)


def find(first: date, kind: str = "month", partner: Partner | None = None) -> Archive | None:
    """Without its document, which is read when somebody asks for it."""
    return Archive.objects.filter(kind=kind, month=first, partner=partner).defer("document").first()


def freeze(
    first: date,
    now: datetime,
    *,
    kind: str = "month",
    partner: Partner | None = None,
    actor: User | ApiClient | None = None,
) -> Archive:
    """The frozen report of a closed month: the one there is, else made now. Raises `NotClosed`, ValueError for a kind."""
    if kind not in KINDS or (kind == "scorecard" and partner is None):
        raise ValueError(f"{kind!r} of {partner} is no report")
    if (there := find(first, kind, partner)) is not None:
        return there
    if not is_closed(first, now):
        raise NotClosed(first)
    penalties.refresh(first, now)
    scores.refresh(first, now)
    if kind == "scorecard" and partner is not None:
        told = document.scorecard(first, now, partner)
    else:
        told = document.month(first, now, partner)
    told = json.loads(json.dumps(told))
    try:
        with transaction.atomic():
            made = Archive.objects.create(
                kind=kind,
                month=first,
                partner=partner,
                zone=told["zone"],
                frozen_at=now,
                frozen_by=audit.name_of(actor) if actor else "",
                document=told,
                sha256=digest(told),
            )
            ArchiveFile.objects.bulk_create(
                ArchiveFile(archive=made, kind=name, body=body, sha256=hashlib.sha256(body).hexdigest())
                for name, body in ((name, write(told)) for name, (_, write) in FILES.items())
            )
            audit.record(actor, "report.frozen", f"report:{file_name(made)}", None, {"sha256": made.sha256}, now)
    except IntegrityError:  # somebody else froze it at the same moment
        there = find(first, kind, partner)
        if there is None:
            raise
        return there
    return made


def digest(told: dict[str, Any]) -> str:
    """SHA-256 of the document in its one canonical form."""
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def is_intact(archive: Archive) -> bool:
    """Whether document and files are the ones that were frozen."""
    files = all(hashlib.sha256(bytes(one.body)).hexdigest() == one.sha256 for one in archive.files.all())
    return files and digest(archive.document) == archive.sha256


def file_name(archive: Archive) -> str:
    """``sla-2026-03``, ``scorecard-2026-03-acme``."""
    lead = "sla" if archive.kind == "month" else archive.kind
    return "-".join(
        part for part in (lead, f"{archive.month:%Y-%m}", archive.partner.slug if archive.partner else "") if part
    )
