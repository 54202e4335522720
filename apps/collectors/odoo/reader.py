"""Follows the changes of an Odoo by the rules of polling it (observed on 18 and 19):

- write_date is the start of a transaction and shows up only after its commit, so every window begins an overlap before
  the end of the last one; what is read twice is recognised by its content;
- within a window, records are paged by id only: keyset paging by write_date loses records that share a second;
- the windows' ends are taken from Odoo's own clock, as whole seconds, and are exclusive: 18 compares microseconds;
- a move's quantity does not touch its picking, so moves are followed too and lead to a new reading of their pickings;
- deletions leave no trace: now and then all ids are compared, which also finds what was committed after the overlap;
- one unknown field fails a whole call, so only fields that exist are asked for.

The cursor: {"windows": {model: {"since", "from", "to", "after", "first"} or {"since", "done"}},
             "reconcile": {"model", "after"} or {"done"}}, times as Odoo writes them.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson

from apps.collectors.contract import Polled
from apps.collectors.models import OdooRecord
from apps.collectors.odoo.ahead import is_ahead
from apps.collectors.odoo.answers import OdooError, Trouble
from apps.collectors.odoo.client import OdooClient
from apps.collectors.odoo.interpretation import lens_of, read
from apps.collectors.odoo.invoices import INVOICE_FIELDS
from apps.collectors.odoo.memory import Mark, Memory
from apps.collectors.odoo.orders import PURCHASE_FIELDS, SALE_FIELDS
from apps.collectors.odoo.pickings import MOVE_FIELDS, PICKING_FIELDS
from apps.collectors.odoo.rows import BadRow, content_hash, time_of
from apps.collectors.odoo.settings import OdooSettings

FIELDS: dict[str, tuple[str, ...]] = {
    "sale.order": SALE_FIELDS,
    "purchase.order": PURCHASE_FIELDS,
    "stock.picking": PICKING_FIELDS,
    "stock.move": MOVE_FIELDS,
    "account.move": INVOICE_FIELDS,
}
#: picking types of a warehouse that the tower knows the meaning of
ROLES = {"pick_type_id": "pick", "pack_type_id": "pack", "store_type_id": "store"}
CONTENT_TYPE = "application/json; profile=odoo-batch"
#: moves read at once
MOVES = 1000
#: ids compared at once, and how often in one round
COMPARED = 1000
COMPARISONS = 5
#: so many known records gone at once, and more than half: rather lost rights than deletions
MANY = 10
#: an open record that was due this long ago at most is still awaited when a first load finds it
RECENT = timedelta(days=1)
FORMAT = "%Y-%m-%d %H:%M:%S"
SECOND = timedelta(seconds=1)
#: body, model, what to remember
Batch = tuple[bytes, str, list[Mark]]


@dataclass(frozen=True, slots=True)
class Schema:
    """What a model has of the fields we want, and the labels of its selections."""

    fields: tuple[str, ...]
    labels: dict[str, dict[str, str]]


class OdooReader:
    """One round of reading. ``refused``: models that could not be read, with the sentence why."""

    def __init__(
        self, client: OdooClient, settings: OdooSettings, memory: Memory, cursor: Mapping[str, Any], now: datetime
    ) -> None:
        self.client = client
        self.settings = settings
        self.memory = memory
        self.cursor: dict[str, Any] = copy.deepcopy(dict(cursor))
        self.windows: dict[str, dict[str, Any]] = self.cursor.setdefault("windows", {})
        self.now = now
        self.limit = settings.page_size
        self.schemas: dict[str, Schema] = {}
        self.roles: dict[str, str] = {}
        self.refused: dict[str, OdooError] = {}

    def run(self) -> Iterator[Polled]:
        """Batches of changed records, a page of each model in turn. Raises `OdooError`."""
        self._prepare()
        turns = deque(model for model in self.settings.models if model not in self.refused)
        while turns:
            model = turns.popleft()
            try:
                batches, more = self._fitting(partial(self._page, model))
            except OdooError as error:
                if error.trouble is not Trouble.RIGHTS:
                    raise
                self.refused[model] = error
                continue
            if more:
                turns.append(model)
            yield from batches
        yield from self._reconcile()
        yield self._polled(b"")

    # -- windows -------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        for model in dict.fromkeys((*self.settings.models, *_attached(self.settings.models))):
            try:
                found = self.client.fields_of(model, FIELDS[model])
            except OdooError as error:
                if error.trouble not in (Trouble.RIGHTS, Trouble.MODEL):
                    raise
                self.refused[model] = error
                continue
            self.schemas[model] = Schema(tuple(found), {name: _labels(spec) for name, spec in found.items()})
        if "stock.picking" in self.schemas:
            self.roles = self._roles()

    def _roles(self) -> dict[str, str]:
        try:
            fields = list(self.client.fields_of("stock.warehouse", list(ROLES)))
            warehouses = self.client.search_read("stock.warehouse", [], fields, COMPARED)
        except OdooError as error:
            if error.trouble not in (Trouble.RIGHTS, Trouble.MODEL):
                raise
            return {}  # steps inside the warehouse are then told without their meaning
        links = [(one.get(field), ROLES[field]) for one in warehouses for field in fields]
        return {str(link[0]): role for link, role in links if isinstance(link, list) and link}

    def _fitting(self, work: Callable[[], tuple[list[Polled], bool]]) -> tuple[list[Polled], bool]:
        """Runs a page; when Odoo's reply is too large, again with a smaller one."""
        while True:
            try:
                return work()
            except OdooError as error:
                if error.trouble is not Trouble.LARGE or self.limit == 1:
                    raise
                self.limit = max(1, self.limit // 4)

    def _window(self, model: str) -> dict[str, Any]:
        """The window being read, or a new one that ends with the running second of Odoo's clock."""
        window = self.windows.setdefault(model, {})
        if "to" in window:
            return window
        end = self._server_time() + SECOND
        if "done" in window:
            start = min(_time(window["done"]), end) - timedelta(seconds=self.settings.overlap)
            window.pop("done")
        else:
            start = end - timedelta(days=self.settings.history_days)
            window |= {"since": start.strftime(FORMAT), "first": True}
        window |= {"from": start.strftime(FORMAT), "to": end.strftime(FORMAT), "after": 0}
        return window

    def _page(self, model: str) -> tuple[list[Polled], bool]:
        """Reads the next page of a model's window: (batches, whether the window has more)."""
        window = self._window(model)
        first = bool(window.get("first"))
        rows: list[dict[str, Any]] = []
        if not (model == "stock.move" and first):  # the first load of pickings brings their moves along
            domain = [
                ["write_date", ">=", window["from"]],
                ["write_date", "<", window["to"]],
                ["id", ">", window["after"]],
            ]
            fields = ["picking_id"] if model == "stock.move" else self.schemas[model].fields
            rows = self.client.search_read(model, domain, fields, self.limit)
            _check_page(model, rows, window["after"])
        more = len(rows) >= self.limit
        if model == "stock.move":
            model_read = "stock.picking"
            records = self._by_ids(model_read, sorted({_linked(row, "picking_id") for row in rows} - {0}))
        else:
            model_read, records = model, self._completed(model, rows)
        batches: list[Polled] = []
        if first:
            # what is over pages nobody; what is still to come is awaited like anything else
            since = (self._server_time() - RECENT).strftime(FORMAT)
            over = [one for one in records if not is_ahead(model_read, one, since)]
            records = [one for one in records if is_ahead(model_read, one, since)]
            body, marks = self._changed(model_read, over)
            if marks:  # with the cursor as it was: the page is done only with its second half
                batches.append(self._polled(body, model_read, marks, backfill=True))
        body, marks = self._changed(model_read, records)
        if more:
            window["after"] = rows[-1]["id"]
        else:
            self.windows[model] = {"since": window.get("since"), "done": window["to"]}
        if body or marks or more or batches:
            batches.append(self._polled(body, model_read, marks))
        return batches, more

    # -- records -------------------------------------------------------------------------------------------------------

    def _by_ids(self, model: str, ids: Sequence[int]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for at in range(0, len(ids), self.limit):
            chunk = list(ids[at : at + self.limit])
            rows = self.client.search_read(model, [["id", "in", chunk]], self.schemas[model].fields, len(chunk))
            found += self._completed(model, rows)
        return found

    def _completed(self, model: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Attaches its moves to each picking."""
        if model != "stock.picking" or not rows or "stock.move" not in self.schemas:
            return rows
        by_id: dict[int, dict[str, Any]] = {row["id"]: {**row, "moves": []} for row in rows}
        after, fields = 0, self.schemas["stock.move"].fields
        while True:
            domain = [["picking_id", "in", list(by_id)], ["id", ">", after]]
            moves = self.client.search_read("stock.move", domain, fields, MOVES)
            _check_page("stock.move", moves, after)
            for move in moves:
                picking = by_id.get(_linked(move, "picking_id"))
                if picking is not None:
                    picking["moves"].append(move)
            if len(moves) < MOVES:
                return list(by_id.values())
            after = moves[-1]["id"]

    def _changed(self, model: str, records: Sequence[dict[str, Any]]) -> tuple[bytes, list[Mark]]:
        """The batch of those records that are not as remembered (b"" if none), and what to remember."""
        known = self.memory.of(model, [record["id"] for record in records])
        changed: list[dict[str, Any]] = []
        marks: list[Mark] = []
        hashes = {record["id"]: content_hash(record) for record in records}
        for record in records:
            before = known.get(record["id"])
            if before is None or before.content_hash != hashes[record["id"]] or before.deleted_at is not None:
                changed.append(record)
            elif before.write_date != self._written(record):
                marks.append(Mark(record["id"], before.content_hash, self._written(record), before.facts))
        if not changed:
            return b"", marks
        previous = {str(one["id"]): (known[one["id"]].facts or None) if one["id"] in known else None for one in changed}
        document = self._document(model) | {"records": changed, "previous": previous, "names": self._names(changed)}
        lens = lens_of(document, self.settings.telling)
        for record in changed:
            reading = read(model, record, previous[str(record["id"])], lens)
            marks.append(Mark(record["id"], hashes[record["id"]], self._written(record), reading.facts))
        return orjson.dumps(document), marks

    def _document(self, model: str) -> dict[str, Any]:
        labels = {name: found for name, found in self.schemas[model].labels.items() if found}
        return {
            "odoo": self.client.server.version,
            "protocol": self.client.server.protocol,
            "model": model,
            "server_time": self._server_time().strftime(FORMAT),
            "labels": labels,
            "roles": self.roles if model == "stock.picking" else {},
        }

    def _names(self, records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
        """Names of linked orders: a display name may carry more than the name."""
        found: dict[str, dict[str, str]] = {}
        for field, model in (("sale_id", "sale.order"), ("purchase_id", "purchase.order")):
            ids = sorted({_linked(record, field) for record in records} - {0})
            if not ids:
                continue
            try:
                rows = self.client.search_read(model, [["id", "in", ids]], ["name"], len(ids))
            except OdooError as error:
                if error.trouble not in (Trouble.RIGHTS, Trouble.MODEL):
                    raise
                continue  # the display name stands in
            found[model] = {str(row["id"]): row["name"] for row in rows if isinstance(row.get("name"), str)}
        return found

    # -- reconciling ---------------------------------------------------------------------------------------------------

    def _reconcile(self) -> Iterator[Polled]:
        """Compares ids and write_dates with what is remembered, a few pages in each round, all models in turn."""
        state = self.cursor.setdefault("reconcile", {"done": self._server_time().strftime(FORMAT)})
        models = [m for m in self.settings.models if m != "stock.move" and m not in self.refused and m in self.schemas]
        if "done" in state:
            due = _time(state["done"]) + timedelta(hours=self.settings.reconcile_hours)
            if self._server_time() < due or not models:
                return
            state = self.cursor["reconcile"] = {"model": models[0], "after": 0}
        for _ in range(COMPARISONS):
            model, last = state["model"], None
            batches: list[Batch] = []
            if model in models:
                batches, last = self._compare(model, state["after"])
            for batch in batches[:-1]:
                yield self._polled(*batch)
            # only the last batch of a range moves on: a round that stops before it compares the range again
            following = models[models.index(model) + 1 :] if model in models else []
            if last is not None:
                state["after"] = last
            elif following:
                state |= {"model": following[0], "after": 0}
            else:
                state = self.cursor["reconcile"] = {"done": self._server_time().strftime(FORMAT)}
            if batches:
                yield self._polled(*batches[-1])
            if "done" in state:
                return

    def _compare(self, model: str, after: int) -> tuple[list[Batch], int | None]:
        """Batches of what differs in the next range of ids, and the id the range ended with (None: it was the last)."""
        since = self.windows.get(model, {}).get("since") or "1970-01-01 00:00:00"
        domain = [["id", ">", after], ["write_date", ">=", since]]
        rows = self.client.search_read(model, domain, ["write_date"], COMPARED)
        _check_page(model, rows, after)
        last = rows[-1]["id"] if len(rows) >= COMPARED else None
        known = self.memory.between(model, after, last)
        missed = [
            row["id"] for row in rows if row["id"] not in known or known[row["id"]].write_date != self._written(row)
        ]
        batches: list[Batch] = []
        for at in range(0, len(missed), self.limit):
            body, marks = self._changed(model, self._by_ids(model, missed[at : at + self.limit]))
            batches.append((body, model, marks))
        shown = {row["id"] for row in rows}
        gone = [record for id_, record in sorted(known.items()) if id_ not in shown]
        if len(gone) > MANY and len(gone) * 2 > len(known) and not self.settings.accept_mass_deletion:
            self.refused[model] = OdooError(
                Trouble.RIGHTS,
                f"Odoo no longer shows {len(gone)} of {len(known)} known records: the tower's user has probably lost "
                "rights. Nothing was noted as deleted; if they really were deleted, allow it in the settings.",
            )
        elif gone:
            batches.append(self._deletions(model, gone))
        return batches, last

    def _deletions(self, model: str, gone: Sequence[OdooRecord]) -> Batch:
        deleted = [{"id": record.record_id, "known": record.facts} for record in gone]
        marks = [
            Mark(one.record_id, one.content_hash, one.write_date, {**one.facts, "deleted": True}, deleted=True)
            for one in gone
        ]
        return orjson.dumps(self._document(model) | {"records": [], "deleted": deleted}), model, marks

    # -- small things --------------------------------------------------------------------------------------------------

    def _polled(self, body: bytes, model: str = "", marks: Sequence[Mark] = (), *, backfill: bool = False) -> Polled:
        memory = self.memory

        def remember() -> None:
            memory.keep(model, marks)

        return Polled(
            body=body,
            content_type=CONTENT_TYPE,
            cursor=copy.deepcopy(self.cursor),
            headers={"odoo-model": model, "odoo-version": self.client.server.version},
            backfill=backfill,
            remember=remember if marks else None,
        )

    def _server_time(self) -> datetime:
        return (self.client.server_time or self.now).replace(microsecond=0)

    def _written(self, record: Mapping[str, Any]) -> datetime:
        try:
            return time_of("write_date", str(record.get("write_date")))
        except BadRow:
            return self._server_time()


def _attached(models: Sequence[str]) -> tuple[str, ...]:
    return ("stock.picking", "stock.move") if {"stock.picking", "stock.move"} & set(models) else ()


def _labels(spec: Mapping[str, Any]) -> dict[str, str]:
    pairs = spec.get("selection")
    if not isinstance(pairs, list):
        return {}
    return {str(pair[0]): str(pair[1]) for pair in pairs if isinstance(pair, list) and len(pair) == 2}


def _linked(record: Mapping[str, Any], field: str) -> int:
    """The id of a many2one, 0 without one or when it is unreadable."""
    value = record.get(field)
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _check_page(model: str, rows: Sequence[Mapping[str, Any]], after: int) -> None:
    for row in rows:
        if row["id"] <= after:
            raise OdooError(
                Trouble.ANSWER,
                f"Odoo gave records of {model} twice or out of order while paging; the page is read again later.",
            )
        after = row["id"]


def _time(text: str) -> datetime:
    return datetime.strptime(text, FORMAT).replace(tzinfo=UTC)
