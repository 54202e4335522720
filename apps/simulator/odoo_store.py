"""The records behind the pretend Odoo, and what its API says about them. See `odoo_server`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from apps.simulator.odoo_models import fields_of_version

FORMAT = "%Y-%m-%d %H:%M:%S"
Record = dict[str, Any]
#: the one user of a pretend Odoo
UID = 8


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
        #: models whose fields are described, but whose records the user may not read
        self.hidden: set[str] = set()
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
                return {"lang": "en_US", "tz": "UTC", "uid": UID}
            if model not in self.fields:
                raise self._no_model(model)
            if model in self.denied or (model in self.hidden and method != "fields_get"):
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
        conditions = [(name, op, set(to) if "in" in op else to) for name, op, to in values.get("domain") or []]
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
        if isinstance(value, list) and len(value) == 2 and isinstance(value[1], str | bool):
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


def standard_store(major: int = 19, database: str = "demo", keys: Mapping[str, str] | None = None) -> OdooStore:
    """An empty store with the models the collector reads, as a plain installation of 17, 18 or 19 describes them."""
    store = OdooStore(major, database, keys)
    for model, fields in fields_of_version(major).items():
        store.define(model, fields)
    store.hidden.add("mail.tracking.value")  # administrators only, unless granted
    return store
