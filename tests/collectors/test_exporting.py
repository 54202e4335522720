"""manage.py export_log: what the tower knows goes out as a log, whole, and comes back as the same events."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from jsonschema import Draft202012Validator

from apps.collectors.exporting import canonical_of
from apps.flows import pipeline
from apps.flows.canonical import CanonicalEvent, Reference
from apps.flows.models import Event, Flow
from apps.flows.recording import IncomingEvent
from apps.integrations.models import Integration
from tests.collectors.logs.test_round_trip import OCEL_SCHEMA, facts, read
from tests.flows.builders import T0, event, load_definitions, load_register

NOW = datetime(2026, 3, 9, 8, tzinfo=UTC)
SUFFIX = {"ocel-json": "json", "ocel-xml": "xml", "ocel-sqlite": "sqlite", "xes": "xes"}
STORY = [
    event("order.placed", 0, "co:1", "so:1", id="a", dates={"promised_delivery": T0}, data={"value": "12.50", "n": 3}),
    event("label.created", 50, "pick:1", "trk:1", data={"service": "express", "n": 2.5, "sizes": [1, {"x": None}]}),
    event("label.created", 51, "pick:1", "trk:2", data={"service": 7}),
    event("shipment.dispatched", 60, "so:1", "pick:1", parties={"carrier": "swift-parcel"}),
    event("transport.picked_up", 90, "trk:1", id="scan/1"),
    event("delivery.completed", 200, "trk:1", booked_at=T0),
    event("order.placed", 5, "so:2", "trace:9"),
    event("transport.in_transit", 7, "trk:99"),
]


@pytest.fixture
def told(db: None) -> list[CanonicalEvent]:
    load_definitions()
    feed = load_register()["odoo"]
    incoming = [IncomingEvent(one, feed.pk, "", None, NOW) for one in STORY]
    pipeline.take(incoming, NOW)
    return [canonical_of(one) for one in Event.objects.order_by("happened_at")]


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., tuple[bytes, str]]:
    def call(form: str, **options: Any) -> tuple[bytes, str]:
        out, path = StringIO(), tmp_path / f"log.{SUFFIX[form]}"
        call_command("export_log", form=form, out=path, stdout=out, **options)
        return path.read_bytes(), out.getvalue()

    return call


@pytest.mark.parametrize("form", ["ocel-json", "ocel-xml", "ocel-sqlite"])
def test_all_events_go_out_and_come_back(told: list[CanonicalEvent], export: Any, form: str) -> None:
    body, text = export(form)
    found = sorted(read(body, form), key=lambda one: one.happened_at)
    assert list(map(facts, found)) == list(map(facts, told))
    assert "8 events" in text


def test_references_and_flows_are_objects(told: list[CanonicalEvent], export: Any) -> None:
    document = json.loads(export("ocel-json")[0])
    Draft202012Validator(OCEL_SCHEMA).validate(document)
    objects = {one["id"]: one for one in document["objects"]}
    flows = {f"flow {flow.definition.slug}/{flow.key}": flow for flow in Flow.objects.select_related("definition")}
    assert {one["type"] for one in objects.values() if one["id"] in flows} == {
        "flow order-to-ship",
        "flow shipment",
        "flow parcel",
    }
    references = {one for event_ in told for one in event_.references}
    assert len(objects) == len(flows) + len(references)
    label = {
        one["id"]: next(each["value"] for each in one["attributes"] if each["name"] == "label")
        for one in objects.values()
        if one["id"] in flows
    }
    by_label = {text: objects[one] for one, text in label.items()}
    related = {
        (label.get(one["objectId"], one["objectId"]), one["qualifier"]) for one in by_label["PICK-1"]["relationships"]
    }
    assert related == {("picking//PICK-1", "identified by"), ("TRK-1", "has"), ("TRK-2", "has")}
    scan = next(one for one in document["events"] if one["type"] == "transport.picked_up")
    told_of = {label[one["objectId"]] for one in scan["relationships"] if one["qualifier"] == "tells of"}
    assert told_of == {"TRK-1", "PICK-1", "SO-1"}
    assert {"objectId": "tracking_number//TRK-1", "qualifier": "names"} in scan["relationships"]
    # the scan of TRK-1 is not a scan of TRK-2, though they share a shipment
    assert "TRK-2" not in told_of


def test_xes_has_a_trace_for_each_flow(told: list[CanonicalEvent], export: Any) -> None:
    body, text = export("xes", flow="order-to-ship")
    assert "2 traces" in text
    mine = [one for one in told if one.references != (Reference("tracking_number", "TRK-99"),)]
    found = read(body, "xes")
    assert sorted(map(repr, map(facts, found))) == sorted(map(repr, map(facts, mine)))
    parcels, _ = export("xes", flow="parcel")
    assert {one.references[-1].value for one in read(parcels, "xes")} >= {"TRK-1", "TRK-2"}


@pytest.mark.parametrize(
    ("options", "types"),
    [
        ({"flow": "parcel"}, {"label.created", "transport.picked_up", "delivery.completed"}),
        ({"partner": "swift-parcel"}, None),
        ({"since": "2026-03-02T09:00:00Z", "until": "2026-03-02T09:30:00Z"}, {"shipment.dispatched"}),
        ({"integration": "odoo", "until": "2026-03-02"}, set()),
    ],
)
def test_filters(told: list[CanonicalEvent], export: Any, options: dict[str, str], types: set[str] | None) -> None:
    found = {one.type for one in read(export("ocel-json", **options)[0], "ocel-json")}
    if types is None:
        types = {one.type for one in told} if Flow.objects.filter(partner__slug="swift-parcel").exists() else set()
        assert found <= types
    else:
        assert found == types


def test_an_export_is_imported_as_history_into_the_same_flows(
    told: list[CanonicalEvent], export: Any, tmp_path: Path
) -> None:
    body, _ = export("ocel-json")
    keys = set(Flow.objects.values_list("key", flat=True))
    Integration.objects.create(slug="log", name="Log", kind="eventlog")
    path = tmp_path / "again.json"
    path.write_bytes(body)
    text = StringIO()
    call_command("import_log", str(path), integration="log", stdout=text)
    assert "8 rows, 1 receipts, 8 events, 0 duplicates" in text.getvalue()
    assert set(Flow.objects.values_list("key", flat=True)) == keys
    call_command("import_log", str(path), integration="log", stdout=text)
    assert "0 events, 8 duplicates" in text.getvalue()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"form": "xes"}, "--flow"),
        ({"form": "ocel-json", "flow": "nothing"}, "no flow 'nothing'"),
        ({"form": "ocel-json", "since": "yesterday"}, "--since: 'yesterday' is not a time"),
    ],
)
def test_wrong_calls_are_told(db: None, tmp_path: Path, options: dict[str, str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("export_log", out=tmp_path / "log", **options)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told(db: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("export_log", form="ocel-json", out=tmp_path / "missing" / "log.json")
