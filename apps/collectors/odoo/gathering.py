"""Reads records with what belongs to them, finds those that changed and makes a batch of them.

Only what is not as remembered goes into a batch, together with what is needed to tell its events again later: what was
known before, labels, names of linked documents, states entered. So a stored batch can be parsed alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from apps.collectors.odoo.answers import OdooError, Trouble
from apps.collectors.odoo.client import OdooClient
from apps.collectors.odoo.exchanges import JOB_WAITING, exchange_documents, job_documents, job_stamp
from apps.collectors.odoo.followed import FOLLOWED, HISTORY, JOBS, Schema
from apps.collectors.odoo.history import read_history
from apps.collectors.odoo.interpretation import lens_of, read
from apps.collectors.odoo.masters import identities, master_facts
from apps.collectors.odoo.memory import Mark, Memory
from apps.collectors.odoo.rows import BadRow, content_hash, time_of
from apps.collectors.odoo.settings import EXTRAS, OdooSettings

FORMAT = "%Y-%m-%d %H:%M:%S"
#: attached rows read at once
ATTACHED = 1000
#: picking types of a warehouse that the tower knows the meaning of
ROLES = {"pick_type_id": "pick", "pack_type_id": "pack", "store_type_id": "store"}
#: models whose states are tracked, and read with their history
TRACKED = frozenset({"sale.order", "purchase.order", "stock.picking", "account.move"})
#: links whose names events carry
NAMED = (("sale_id", "sale.order"), ("purchase_id", "purchase.order"))
DENIED = (Trouble.RIGHTS, Trouble.MODEL)


class Gatherer:
    """Reads for one round. ``limit``: records asked for at once; ``tracked``: whether state history may be read."""

    def __init__(self, client: OdooClient, settings: OdooSettings, memory: Memory, now: datetime) -> None:
        self.client = client
        self.settings = settings
        self.memory = memory
        self.now = now
        self.limit = settings.page_size
        self.schemas: dict[str, Schema] = {}
        self.roles: dict[str, str] = {}
        self.tracked = False
        #: what could not be read on the way, with the sentence why
        self.refused: dict[str, OdooError] = {}

    # -- reading -------------------------------------------------------------------------------------------------------

    def learn_roles(self) -> None:
        """Which picking types are steps inside a warehouse."""
        try:
            fields = list(self.client.fields_of("stock.warehouse", list(ROLES)))
            warehouses = self.client.search_read("stock.warehouse", [], fields, ATTACHED)
        except OdooError as error:
            if error.trouble not in DENIED:
                raise
            return  # steps inside the warehouse are then told without their meaning
        links = [(one.get(field), ROLES[field]) for one in warehouses for field in fields]
        self.roles = {str(link[0]): role for link, role in links if isinstance(link, list) and link}

    def by_ids(self, model: str, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Those of these records that Odoo shows, with what belongs to them."""
        found: list[dict[str, Any]] = []
        for at in range(0, len(ids), self.limit):
            chunk = list(ids[at : at + self.limit])
            rows = self.client.search_read(model, [["id", "in", chunk]], self.schemas[model].fields, len(chunk))
            found += self.completed(model, rows)
        return found

    def completed(self, model: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Attaches to each record the rows that belong to it; marks jobs that wait too long."""
        if model == JOBS:
            return [self._job(row) for row in rows]
        attached = [one for one in FOLLOWED[model].attached if one[1] in self.schemas]
        if not rows or not attached:
            return rows
        by_id: dict[int, dict[str, Any]] = {row["id"]: dict(row) for row in rows}
        for key, child, field in attached:
            try:
                belonging = list(self._belonging(child, field, list(by_id)))
            except OdooError as error:
                if error.trouble not in DENIED or child not in EXTRAS:
                    raise
                self.refuse(child, error)  # without its lines an order is still an order
                continue
            for record in by_id.values():
                record[key] = []
            for row in belonging:
                owner = by_id.get(linked(row, field))
                if owner is not None:
                    owner[key].append(row)
        return list(by_id.values())

    def refuse(self, model: str, error: OdooError) -> None:
        """Notes that a model cannot be read: it is asked no more in this round."""
        self.refused[model] = error
        self.schemas.pop(model, None)

    def _belonging(self, model: str, field: str, ids: list[int]) -> Iterator[dict[str, Any]]:
        after, fields = 0, self.schemas[model].fields
        while True:
            rows = self.client.search_read(model, [[field, "in", ids], ["id", ">", after]], fields, ATTACHED)
            check_page(model, rows, after)
            yield from rows
            if len(rows) < ATTACHED:
                return
            after = rows[-1]["id"]

    def _job(self, row: dict[str, Any]) -> dict[str, Any]:
        now = self.server_time()
        found = {**row, "write_date": job_stamp(row, now.strftime(FORMAT))}
        waits = [str(row[name]) for name in ("date_started", "date_enqueued", "eta", "date_created") if row.get(name)]
        limit = (now - timedelta(minutes=self.settings.job_minutes)).strftime(FORMAT)
        if row.get("state") in JOB_WAITING and waits and waits[0] < limit:
            found["waits_since"] = waits[0]
        return found

    # -- batches -------------------------------------------------------------------------------------------------------

    def changed(
        self,
        model: str,
        records: Sequence[dict[str, Any]],
        *,
        history: bool = True,
        names: Mapping[str, Mapping[str, str]] | None = None,
    ) -> tuple[bytes, list[Mark]]:
        """The batch of those records that are not as remembered (b"" if none), and what to remember.
        history: ask for the states they entered, where that may be read; names: of linked documents, if asked for."""
        known = self.memory.of(model, [record["id"] for record in records])
        changed: list[dict[str, Any]] = []
        marks: list[Mark] = []
        hashes = {record["id"]: content_hash(record) for record in records}
        for record in records:
            before = known.get(record["id"])
            if before is None or before.content_hash != hashes[record["id"]] or before.deleted_at is not None:
                changed.append(record)
            elif before.write_date != self.written(record):
                marks.append(Mark(record["id"], before.content_hash, self.written(record), before.facts))
        if not changed:
            return b"", marks
        if FOLLOWED[model].master:
            new = [(one["id"], hashes[one["id"]], self.written(one), master_facts(model, one)) for one in changed]
            return b"", [*marks, *(Mark(*one) for one in new)]
        previous = {str(one["id"]): (known[one["id"]].facts or None) if one["id"] in known else None for one in changed}
        named = self.names(changed) if names is None else names
        document = self.document(model) | {"records": changed, "previous": previous, "names": named}
        document |= self._companies(changed)
        if history and model in TRACKED:
            document |= self._history(model, changed, previous)
        lens = lens_of(document, self.settings.telling)
        for record in changed:
            reading = read(model, record, previous[str(record["id"])], lens)
            marks.append(Mark(record["id"], hashes[record["id"]], self.written(record), reading.facts))
        return orjson.dumps(document), marks

    def document(self, model: str) -> dict[str, Any]:
        """What every batch of a model says beside its records."""
        labels = {name: found for name, found in self.schemas[model].labels.items() if found}
        return {
            "odoo": self.client.server.version,
            "protocol": self.client.server.protocol,
            "model": model,
            "server_time": self.server_time().strftime(FORMAT),
            "labels": labels,
            "roles": self.roles if model == "stock.picking" else {},
        }

    def names(self, records: Sequence[dict[str, Any]]) -> dict[str, dict[str, str]]:
        """Names of linked documents: a display name may carry more than the name."""
        wanted: dict[str, set[int]] = {model: {linked(one, field) for one in records} for field, model in NAMED}
        for record in records:
            model, ids = job_documents(record) if "func_string" in record else exchange_documents(record)
            if ids:
                wanted.setdefault(model, set()).update(ids)
        found: dict[str, dict[str, str]] = {}
        for model, of_model in wanted.items():
            ids = sorted(of_model - {0})
            if not ids:
                continue
            try:
                rows = self.client.search_read(model, [["id", "in", ids]], ["name"], len(ids))
            except OdooError as error:
                if error.trouble not in DENIED:
                    raise
                continue  # the display name stands in
            found[model] = {str(row["id"]): row["name"] for row in rows if isinstance(row.get("name"), str)}
        return found

    def _companies(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Identities of the companies these records name, as remembered from their master data."""
        ids = {linked(record, "partner_id") for record in records} - {0}
        if not ids or "res.partner" not in self.schemas:
            return {}
        known = {id_: identities(one.facts) for id_, one in self.memory.of("res.partner", ids).items()}
        found = {str(id_): one for id_, one in sorted(known.items()) if one}
        return {"companies": found} if found else {}

    def _history(
        self, model: str, records: Sequence[Mapping[str, Any]], previous: Mapping[str, Mapping[str, Any] | None]
    ) -> dict[str, Any]:
        """States entered by those records whose state is another than the one known."""
        ids = [one["id"] for one in records if one.get("state") != (previous[str(one["id"])] or {}).get("state")]
        if not self.tracked or not ids:
            return {}
        try:
            found = read_history(self.client, model, ids, self.schemas[model].labels.get("state", {}))
        except OdooError as error:
            if error.trouble not in DENIED:
                raise
            self.tracked = False  # write_date stands in
            self.refused[HISTORY] = error
            return {}
        return {"history": found} if found else {}

    # -- times ---------------------------------------------------------------------------------------------------------

    def server_time(self) -> datetime:
        """Odoo's clock as of its last answer, in whole seconds; ours before the first."""
        return (self.client.server_time or self.now).replace(microsecond=0)

    def written(self, record: Mapping[str, Any]) -> datetime:
        try:
            return time_of("write_date", str(record.get("write_date")))
        except BadRow:
            return self.server_time()


def linked(record: Mapping[str, Any], field: str) -> int:
    """The id of a many2one, 0 without one or when it is unreadable."""
    value = record.get(field)
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def check_page(model: str, rows: Sequence[Mapping[str, Any]], after: int) -> None:
    """Raises `OdooError` when a page is not in the order of ids."""
    for row in rows:
        if row["id"] <= after:
            raise OdooError(
                Trouble.ANSWER,
                f"Odoo gave records of {model} twice or out of order while paging; the page is read again later.",
            )
        after = row["id"]


def at(text: str) -> datetime:
    """A time as Odoo writes it."""
    return datetime.strptime(text, FORMAT).replace(tzinfo=UTC)
