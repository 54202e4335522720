"""The records behind the pretend Odoo, and what its API says about them. See `odoo_server`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

FORMAT = "%Y-%m-%d %H:%M:%S"
Record = dict[str, Any]


class PretendError(Exception):
    """An Odoo exception: its Python name, the status JSON-2 gives it and the fault code of XML-RPC."""

    def __init__(self, name: str, message: str, status: int, fault: int) -> None:
        super().__init__(message)
        self.name, self.message, self.status, self.fault = name, message, status, fault


class OdooStore:
    """Models, their fields and records. Rows hold values as the API shows them; write_date and create_date are times."""

    def __init__(self, major: int = 19, database: str = "demo", keys: Mapping[str, str] | None = None) -> None:
        self.major = major
        self.database = database
        #: API key -> login
        self.keys = dict(keys or {"demo-key": "tower"})
        self.fields: dict[str, dict[str, Record]] = {}
        self.records: dict[str, dict[int, Record]] = {}
        self.denied: set[str] = set()
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.lock = threading.RLock()

    def define(self, model: str, fields: Mapping[str, Record]) -> None:
        """Adds a model with its fields as fields_get describes them (type, selection, ..)."""
        self.fields[model] = {"id": {"type": "integer"}, **fields}
        self.records.setdefault(model, {})

    def put(self, model: str, row: Mapping[str, Any]) -> None:
        """Inserts or overwrites a record as it is shown; its write_date may be text or a time with microseconds."""
        with self.lock:
            kept = dict(row)
            for name in ("write_date", "create_date"):
                if isinstance(kept.get(name), str):
                    kept[name] = datetime.strptime(kept[name], FORMAT).replace(tzinfo=UTC)
            self.records[model][kept["id"]] = {**self.records[model].get(kept["id"], {}), **kept}

    def create(self, model: str, values: Mapping[str, Any]) -> int:
        """Creates a record now and returns its id."""
        with self.lock:
            id_ = max(self.records[model], default=0) + 1
            now = self.clock()
            self.put(model, {"id": id_, "create_date": now, "write_date": now, **values})
            return id_

    def write(self, model: str, id_: int, values: Mapping[str, Any]) -> None:
        """Changes a record now."""
        with self.lock:
            self.records[model][id_] |= {"write_date": self.clock(), **values}

    def unlink(self, model: str, id_: int) -> None:
        with self.lock:
            del self.records[model][id_]

    # -- what the API offers -------------------------------------------------------------------------------------------

    def call(self, model: str, method: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """Runs a method by its API name. Raises `PretendError`."""
        with self.lock:
            if model == "res.users" and method == "context_get":
                return {"lang": "en_US", "tz": "UTC", "uid": 2}
            if model not in self.fields:
                raise self._no_model(model)
            if model in self.denied:
                message = f"You are not allowed to access '{model}' ({model}) records.\n\nContact your administrator."
                raise PretendError("odoo.exceptions.AccessError", message, 403, 4)
            values = {**dict(zip(("domain", "fields"), args, strict=False)), **named}
            if method == "fields_get":
                return self._fields_get(model, named.get("allfields") or [], named.get("attributes") or [])
            if method == "search_read":
                return self._search_read(model, values)
            message = f"The method '{model}.{method}' does not exist"
            raise PretendError("werkzeug.exceptions.NotFound", message, 404, 1)

    def _no_model(self, model: str) -> PretendError:
        if self.major >= 19:
            return PretendError("werkzeug.exceptions.NotFound", f"the model '{model}' does not exist", 404, 2)
        return PretendError("odoo.exceptions.UserError", f"Object {model} doesn't exist", 422, 2)

    def _fields_get(self, model: str, wanted: Sequence[str], attributes: Sequence[str]) -> Record:
        return {
            name: {key: value for key, value in spec.items() if not attributes or key in attributes}
            for name, spec in self.fields[model].items()
            if not wanted or name in wanted
        }

    def _search_read(self, model: str, values: Mapping[str, Any]) -> list[Record]:
        fields = values.get("fields") or list(self.fields[model])
        conditions = [tuple(one) for one in values.get("domain") or []]
        for name in [*fields, *(str(one[0]) for one in conditions)]:
            if name not in self.fields[model]:
                message = f"Invalid field '{name}' on '{model}'"
                raise PretendError("builtins.ValueError", message, 500, 1)
        rows = [row for row in self.records[model].values() if all(self._holds(row, *one) for one in conditions)]
        for part in reversed([part.split() for part in (values.get("order") or "id").split(",")]):
            rows.sort(key=lambda row, name=part[0]: row.get(name), reverse=part[-1] == "desc")  # type: ignore[misc]
        limit = values.get("limit")
        return [self._shown(row, fields) for row in (rows[:limit] if limit else rows)]

    def _shown(self, row: Record, fields: Iterable[str]) -> Record:
        shown: Record = {"id": row["id"]}
        for name in fields:
            value = row.get(name, False)
            shown[name] = value.strftime(FORMAT) if isinstance(value, datetime) else value
        return shown

    def _holds(self, row: Record, name: str, operator: str, operand: Any) -> bool:
        value = row.get(name, False)
        if isinstance(value, list) and len(value) == 2 and isinstance(value[1], str):
            value = value[0]
        if isinstance(value, datetime):
            operand = self._moment(str(operand))
            if self.major >= 19:
                value, operand = value.replace(microsecond=0), operand.replace(microsecond=0)
        if operator in ("in", "not in"):
            return (value in operand) == (operator == "in")
        tests: dict[str, Callable[[Any, Any], bool]] = {
            "=": lambda a, b: a == b,
            "!=": lambda a, b: a != b,
            ">": lambda a, b: a > b,
            ">=": lambda a, b: a >= b,
            "<": lambda a, b: a < b,
            "<=": lambda a, b: a <= b,
        }
        return tests[operator](value, operand)

    @staticmethod
    def _moment(text: str) -> datetime:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            message = f"expecting only datetimes with no timezone: '{text}'"
            raise PretendError("builtins.ValueError", message, 500, 1)
        return moment.replace(tzinfo=UTC)


def _selection(*pairs: tuple[str, str]) -> Record:
    return {"type": "selection", "selection": [list(pair) for pair in pairs]}


def _fields(text: str = "", time: str = "", link: str = "", number: str = "", flag: str = "", **more: Record) -> dict:
    kinds = (("char", text), ("datetime", time), ("many2one", link), ("float", number), ("boolean", flag))
    return {name: {"type": kind} for kind, names in kinds for name in names.split()} | more


#: what the collector may ask for, as a plain installation of 19 describes it
STANDARD_FIELDS: dict[str, dict[str, Record]] = {
    "sale.order": _fields(
        text="name client_order_ref origin delivery_status invoice_status",
        time="date_order commitment_date effective_date create_date write_date",
        link="partner_id warehouse_id currency_id company_id",
        number="amount_total",
        flag="locked",
        state=_selection(
            ("draft", "Quotation"), ("sent", "Quotation Sent"), ("sale", "Sales Order"), ("cancel", "Cancelled")
        ),
        order_line={"type": "one2many"},
    ),
    "purchase.order": _fields(
        text="name partner_ref origin receipt_status",
        time="date_order date_approve date_planned effective_date create_date write_date",
        link="partner_id currency_id company_id",
        number="amount_total",
        flag="locked acknowledged",
        state=_selection(
            ("draft", "RFQ"),
            ("sent", "RFQ Sent"),
            ("to approve", "To Approve"),
            ("purchase", "Purchase Order"),
            ("cancel", "Cancelled"),
        ),
        order_line={"type": "one2many"},
    ),
    "stock.picking": _fields(
        text="name origin carrier_tracking_ref",
        time="scheduled_date date_deadline date_done create_date write_date",
        link="picking_type_id partner_id backorder_id return_id sale_id purchase_id carrier_id company_id",
        state=_selection(
            ("draft", "Draft"),
            ("waiting", "Waiting Another Operation"),
            ("confirmed", "Waiting"),
            ("assigned", "Ready"),
            ("done", "Done"),
            ("cancel", "Cancelled"),
        ),
        picking_type_code=_selection(
            ("incoming", "Receipt"), ("outgoing", "Delivery"), ("internal", "Internal Transfer")
        ),
        backorder_ids={"type": "one2many"},
    ),
    "stock.move": _fields(
        text="state",
        time="create_date write_date",
        link="picking_id product_id",
        number="product_uom_qty quantity",
        flag="picked",
    ),
    "account.move": _fields(
        text="name move_type invoice_origin invoice_date invoice_date_due",
        time="create_date write_date",
        link="partner_id currency_id company_id",
        number="amount_total",
        state=_selection(("draft", "Draft"), ("posted", "Posted"), ("cancel", "Cancelled")),
        payment_state=_selection(("not_paid", "Not Paid"), ("in_payment", "In Payment"), ("paid", "Paid")),
    ),
    "stock.warehouse": _fields(text="name code", link="pick_type_id pack_type_id store_type_id"),
}


def standard_store(major: int = 19, database: str = "demo", keys: Mapping[str, str] | None = None) -> OdooStore:
    """An empty store with the models the collector reads."""
    store = OdooStore(major, database, keys)
    for model, fields in STANDARD_FIELDS.items():
        store.define(model, fields)
    return store
