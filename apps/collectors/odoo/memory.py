"""What the tower remembers of an Odoo's records: the only part of this collector that touches the database.

Written in the transaction that stores the batch in which a record changed (`Polled.remember`), so that a crash can
neither lose a change nor tell it twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from apps.collectors.models import OdooRecord, Receipt
from apps.flows.canonical import Key
from apps.flows.sets import columns, raw_cursor
from apps.integrations.models import Credential, Integration

#: deliveries of hints looked at in one round, the newest first
MOST_HINTS = 1000

KEEP = """
INSERT INTO collectors_odoorecord
    (integration_id, model, seen_at, record_id, content_hash, write_date, facts, deleted_at)
SELECT %b::bigint, %b::text, %b::timestamptz, record_id, content_hash, write_date, facts::jsonb, deleted_at
FROM unnest(%b::bigint[], %b::uuid[], %b::timestamptz[], %b::text[], %b::timestamptz[])
  AS t (record_id, content_hash, write_date, facts, deleted_at)
ON CONFLICT (integration_id, model, record_id) DO UPDATE SET
    content_hash = EXCLUDED.content_hash, write_date = EXCLUDED.write_date, facts = EXCLUDED.facts,
    seen_at = EXCLUDED.seen_at, deleted_at = EXCLUDED.deleted_at
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """What to remember of one record."""

    record_id: int
    content_hash: uuid.UUID
    write_date: datetime
    facts: Mapping[str, Any]
    deleted: bool = False


class Memory:
    """The records of one integration."""

    def __init__(self, integration_id: int, now: datetime, slug: str = "") -> None:
        self.integration_id = integration_id
        self.now = now
        self.slug = slug

    def of(self, model: str, ids: Iterable[int]) -> dict[int, OdooRecord]:
        """What is known of these records."""
        rows = OdooRecord.objects.filter(integration_id=self.integration_id, model=model, record_id__in=list(ids))
        return {row.record_id: row for row in rows}

    def between(self, model: str, after: int, up_to: int | None) -> dict[int, OdooRecord]:
        """Records known and not deleted with after < id <= up_to (None: to the end)."""
        rows = OdooRecord.objects.filter(
            integration_id=self.integration_id, model=model, record_id__gt=after, deleted_at__isnull=True
        )
        if up_to is not None:
            rows = rows.filter(record_id__lte=up_to)
        return {row.record_id: row for row in rows}

    def open_of(self, model: str) -> set[int]:
        """Ids of records that were remembered as open (``facts.open``), at most 1,000."""
        rows = OdooRecord.objects.filter(
            integration_id=self.integration_id, model=model, facts__open=True, deleted_at__isnull=True
        )
        return set(rows.values_list("record_id", flat=True)[:1000])

    def hints(self, kind: str, source: str, since: datetime) -> list[tuple[datetime, bytes]]:
        """What came through the doors of that kind that name this source, after ``since``: (received, body)."""
        doors = Integration.objects.filter(kind=kind, enabled=True, settings__source=source)
        rows = Receipt.objects.filter(
            integration_id__in=list(doors.values_list("id", flat=True)), received_at__gt=since
        )
        newest = rows.order_by("-received_at", "-id").values_list("received_at", "body")[:MOST_HINTS]
        return [(received_at, bytes(body)) for received_at, body in newest]

    def integration(self) -> Integration:
        return Integration.objects.get(pk=self.integration_id)

    def doors(self, kind: str, source: str) -> list[str]:
        """Names of the enabled integrations of a kind that give hints for this source."""
        doors = Integration.objects.filter(kind=kind, enabled=True, settings__source=source)
        return list(doors.values_list("name", flat=True))

    def credential_end(self) -> datetime | None:
        """When the newest live credential ends by the tower's own record."""
        newest = Credential.objects.live(self.now).filter(integration_id=self.integration_id).first()
        return newest.expires_at if newest else None

    def keep(self, model: str, marks: Sequence[Mark]) -> None:
        """Inserts or overwrites, in key order."""
        rows = [
            (
                mark.record_id,
                Key(mark.content_hash.bytes),
                mark.write_date,
                orjson.dumps(dict(mark.facts)).decode(),
                self.now if mark.deleted else None,
            )
            for mark in sorted(marks, key=lambda mark: mark.record_id)
        ]
        with raw_cursor() as cursor:
            cursor.execute(KEEP, [self.integration_id, model, self.now, *columns(rows, 5)], binary=True)


def memory_of(integration: str, now: datetime) -> Memory:
    """The memory of an integration by its slug."""
    return Memory(Integration.objects.values_list("id", flat=True).get(slug=integration), now, integration)
