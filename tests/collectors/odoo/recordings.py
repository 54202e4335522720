"""The recorded life cycles of real Odoo 19.0 and 18.0 as a store that moves step by step.

17 was never recorded: 18's records are told as 17 tells them (its version, its protocols; the fields the tower asks for
are the same in both, but for the end of an API key).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.simulator.odoo_store import FORMAT, OdooStore

FOLDER = Path(settings.BASE_DIR).parent / "shared" / "data" / "odoo"
MODELS = ("sale.order", "purchase.order", "stock.picking", "stock.move", "account.move")
EXTRAS = ("sale.order.line", "purchase.order.line", "stock.move.line", "stock.quant", "delivery.carrier", "res.partner")
LOGIN, KEY = "tower", "recorded-key"


def folder(major: int) -> Path:
    path = FOLDER / f"odoo{major}"
    if not path.is_dir():
        pytest.skip(f"the recordings are absent: {path}")
    return path


class Recording:
    """Plays the steps of one version into a store. The store's clock stands a second after the last write."""

    def __init__(self, major: int) -> None:
        self.major = major
        self.folder = folder(max(major, 18))
        self.steps = sorted(path for path in (self.folder / "03_lifecycle").glob("*.json") if path.name[:2] != "00")
        self.store = OdooStore(major, f"lab{major}", {KEY: LOGIN})
        for model in (*MODELS, *EXTRAS, "stock.warehouse"):
            self.store.define(model, self._fields(model))
        self.now = datetime(2026, 11, 23, 6, 40, tzinfo=UTC)
        self.store.clock = lambda: self.now
        self.store.put("stock.warehouse", {"id": 3, "pick_type_id": self._pick_type(), "write_date": self.now})

    def _fields(self, model: str) -> dict[str, Any]:
        found = json.loads((self.folder / "02_fields" / f"{model}.json").read_text())
        return found["response"]["body"] if "response" in found else found

    def _pick_type(self) -> Any:
        """The second warehouse's own type "Pick", as the two-step transfers name it."""
        for path in self.steps:
            for row in json.loads(path.read_text())["records_changed_since_previous_step"].get("stock.picking", []):
                if "/PICK/" in row["name"]:
                    return row["picking_type_id"]
        raise AssertionError("no two-step transfer recorded")

    def play(self, path: Path) -> str:
        """Applies one step; returns its name (``A_sale__confirmed``)."""
        step = json.loads(path.read_text())
        written = [self.now]
        for model, rows in step["records_changed_since_previous_step"].items():
            if model not in self.store.records:
                continue
            for row in rows:
                self.store.put(model, row)
                written.append(datetime.strptime(row["write_date"], FORMAT).replace(tzinfo=UTC))
        for call in step["action_calls"]:
            self._unlink(call["request"])
        self.now = max(written) + timedelta(seconds=1)
        return path.stem[3:]

    def _unlink(self, request: dict[str, Any]) -> None:
        body = request["body"]
        if request["path"].endswith("/stock.picking/unlink"):
            ids = body["ids"]
        elif request["path"] == "/jsonrpc" and body["params"]["args"][3:5] == ["stock.picking", "unlink"]:
            ids = body["params"]["args"][5][0]
        else:
            return
        for id_ in ids:
            self.store.unlink("stock.picking", id_)
