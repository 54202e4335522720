"""DCSA Track & Trace: the standard's examples, what happened against what is expected, signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.ocean import codes
from apps.flows.canonical import ParseFailure, ParseResult, Reference
from apps.flows.catalogue import EVENT_TYPES, REFERENCE_KINDS
from tests.collectors.samples import samples_of
from tests.collectors.test_contract import mutilated, well_formed

EXAMPLES = settings.BASE_DIR.parent / "shared" / "data" / "standards" / "dcsa"
COLLECTOR = COLLECTORS.get("dcsa")
NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
CREATED, HAPPENS = "2026-01-10T08:00:00Z", "2026-02-01T06:30:00+01:00"
MILESTONES = set(EVENT_TYPES) - {"goods.observed", "transport.eta_changed", "event.withdrawn"}


def read(document: Any, **given_settings: Any) -> ParseResult:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    source = SourceContext("d", "nordlicht", "Europe/Berlin", given_settings)
    return COLLECTOR.parse(RawDelivery(body, "application/json", {}, NOW), source)


def event(kind: str = "TRANSPORT", code: str = "ARRI", classifier: str = "ACT", **fields: Any) -> dict[str, Any]:
    base = {
        "eventID": "e-1",
        "eventCreatedDateTime": CREATED,
        "eventType": kind,
        "eventClassifierCode": classifier,
        "eventDateTime": HAPPENS,
        codes.CODES.get(kind, "x"): code,
        "documentReferences": [{"documentReferenceType": "BKG", "documentReferenceValue": "NHB1"}],
    }
    return {name: value for name, value in (base | fields).items() if value is not None}


def examples() -> list[Any]:
    if not EXAMPLES.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="needs shared/data/standards/dcsa"))]
    return [pytest.param(path, id=path.stem) for path in sorted(EXAMPLES.glob("*.json"))]


@pytest.mark.parametrize("path", examples())
def test_examples_of_the_standard(path: Path) -> None:
    document = json.loads(path.read_text())
    originals = document if isinstance(document, list) else [document]
    result = read(path.read_bytes())
    assert not [issue for issue in result.issues if issue.severity == "error"]
    assert [one.source_event_id for one in result.events] == [one["metadata"]["eventID"] for one in originals]
    well_formed(result)
    for found, one in zip(result.events, originals, strict=True):
        created = datetime.fromisoformat(one["metadata"]["eventCreatedDateTime"]).astimezone(UTC)
        assert found.sent_at == created
        if "payload" not in one:
            assert found.type == "event.withdrawn"
            continue
        payload = one["payload"]
        expected = datetime.fromisoformat(payload["eventDateTime"]).astimezone(UTC)
        named = {entry["value"] for entry in payload["relatedDocumentReferences"] + payload["references"]}
        assert named <= {one.value for one in found.references}
        if payload["eventClassifierCode"] == "ACT":
            assert (found.happened_at, dict(found.dates)) == (expected, {})
        else:
            assert (found.type, found.happened_at) == ("transport.eta_changed", created)
            assert list(found.dates.values()) == [expected]


def test_the_tables_name_what_there_is() -> None:
    meanings = [*codes.TRANSPORT.values(), *codes.EQUIPMENT.values()]
    assert {one.event for one in meanings} | set(codes.SHIPMENT.values()) <= set(EVENT_TYPES)
    assert set(codes.REFERENCES.values()) <= set(REFERENCE_KINDS)
    dates = [one.date for one in meanings]
    assert all(dates)
    assert len(set(dates)) == len(dates)
    assert {code for _, code in codes.SHIPMENT} <= set(codes.SHIPMENT_WORDS)


@pytest.mark.parametrize(
    ("given_event", "kind"),
    [
        (event(), "transport.arrived"),
        (event(code="DEPA"), "transport.departed"),
        (event("EQUIPMENT", "LOAD"), "transport.in_transit"),
        (event("EQUIPMENT", "GTIN", emptyIndicatorCode="LADEN"), "transport.arrived"),
        (event("EQUIPMENT", "GTIN", emptyIndicatorCode="EMPTY"), "goods.observed"),
        (event("EQUIPMENT", "PICK"), "transport.picked_up"),
        (event("SHIPMENT", "CONF", documentTypeCode="BKG", documentID="NHB1"), "load.accepted"),
        (event("SHIPMENT", "HOLD", documentTypeCode="CUS", documentID="C1"), "customs.held"),
        (event("SHIPMENT", "ISSU", documentTypeCode="TRD", documentID="BL1"), "goods.observed"),
        (event(transportEventTypeCode=None, eventTypeCode="DEPA"), "transport.departed"),
    ],
)
def test_what_happened(given_event: dict[str, Any], kind: str) -> None:
    [found], issues = (result := read(given_event)).events, result.issues
    assert (found.type, issues, dict(found.dates)) == (kind, (), {})
    assert found.happened_at == datetime(2026, 2, 1, 5, 30, tzinfo=UTC)
    assert found.zone == "Etc/GMT-1"


@given(
    st.sampled_from(
        [("TRANSPORT", code) for code in codes.TRANSPORT] + [("EQUIPMENT", code) for code in codes.EQUIPMENT]
    ),
    st.sampled_from(["EST", "PLN"]),
    st.integers(-2_000, 2_000),
)
@hypothesis_settings(deadline=None)
def test_what_is_only_expected_reaches_no_milestone(what: tuple[str, str], classifier: str, hours: int) -> None:
    """However far in the past or future the expected time lies: it is a date, told when it was told."""
    expected = datetime(2026, 1, 10, 8, tzinfo=UTC) + timedelta(hours=hours)
    [found] = read(event(*what, classifier, eventDateTime=expected.isoformat())).events
    assert found.type not in MILESTONES
    assert found.happened_at == datetime(2026, 1, 10, 8, tzinfo=UTC)
    assert list(found.dates.values()) == [expected]


@pytest.mark.parametrize(
    ("given_event", "name"),
    [
        (event(classifier="EST"), "eta"),
        (event(code="DEPA", classifier="EST"), "etd"),
        (event(classifier="EST", shipmentLocationType="POD"), "eta"),
        (event(classifier="EST", shipmentLocationType="POL"), "eta_terminal"),
        (event(classifier="EST", isTransshipmentMove=True), "eta_terminal"),
        (event(classifier="PLN"), "planned_arrival"),
        (event("EQUIPMENT", "DISC", "EST"), "estimated_discharge"),
        (event("EQUIPMENT", "GTIN", "PLN", emptyIndicatorCode="EMPTY"), "planned_empty_gate_in"),
    ],
)
def test_names_of_dates(given_event: dict[str, Any], name: str) -> None:
    assert list(read(given_event).events[0].dates) == [name]


def test_references_and_their_issuers() -> None:
    told = event(
        "EQUIPMENT",
        "LOAD",
        equipmentReference=" nhlu 305438-3",
        documentReferences=[
            {"documentReferenceType": "TRD", "documentReferenceValue": "BL1"},
            {"documentReferenceType": "CBR", "documentReferenceValue": "REQ1"},
        ],
        references=[
            {"referenceType": "PO", "referenceValue": "P1"},
            {"referenceType": "FF", "referenceValue": "F1"},
            {"type": "EQ", "value": "NHLU3054383"},
            "odd",
            {"type": "PO"},
            {"type": "PO", "value": "x" * 300},
        ],
        publisher={"carrierCode": "nhlx", "carrierCodeListProvider": "NMFTA"},
        publisherRole="CA",
    )
    result = read(told)
    [found] = result.events
    assert set(found.references) == {
        # what its source calls it, for a retraction that names nothing else
        Reference("told_event", "e-1", "d"),
        Reference("container", "NHLU3054383"),
        Reference("bill_of_lading", "BL1", "nordlicht"),
        Reference("load", "REQ1", "nordlicht"),
        Reference("purchase_order", "P1"),
    }
    assert found.data["references"] == {"FF": "F1"}
    assert found.parties == {"carrier": "scac:NHLX"}
    assert [one.code for one in result.issues] == ["dcsa.too_long"]
    [mapped] = read(told, carriers="NHLX = sea-partner\nMSC = other").events
    assert Reference("bill_of_lading", "BL1", "sea-partner") in mapped.references
    assert mapped.parties == {"carrier": "sea-partner"}


@pytest.mark.parametrize(
    ("fields", "code", "name"),
    [
        ({"eventType": "OPERATIONS"}, "dcsa.unknown_type", ".eventType"),
        ({"eventType": None}, "dcsa.unknown_type", ".eventType"),
        ({"eventClassifierCode": "XYZ"}, "dcsa.classifier", ".eventClassifierCode"),
        ({"eventDateTime": None}, "dcsa.missing", ".eventDateTime"),
        ({"eventDateTime": "2026-02-31T00:00:00Z"}, "dcsa.bad_time", ".eventDateTime"),
        ({"eventDateTime": "2026-02-01"}, "dcsa.bad_time", ".eventDateTime"),
        ({"transportEventTypeCode": None}, "dcsa.missing", ".transportEventTypeCode"),
        ({"eventClassifierCode": "EST", "eventCreatedDateTime": None}, "dcsa.missing", ".eventCreatedDateTime"),
        ({"eventCreatedDateTime": []}, "dcsa.bad_time", ".eventCreatedDateTime"),
        ({"eventClassifierCode": {"a": 1}}, "dcsa.classifier", ".eventClassifierCode"),
    ],
)
def test_a_bad_event_costs_itself(fields: dict[str, Any], code: str, name: str) -> None:
    result = read([event(), event(eventID="e-2", **fields)])
    assert [one.source_event_id for one in result.events] == ["e-1"]
    assert [(one.code, one.position) for one in result.issues] == [(code, f"$[1]{name}")]


def test_unknown_codes_are_named() -> None:
    for told in (event(code="HOVER"), event("EQUIPMENT", "FLY"), event("SHIPMENT", "LOST", documentTypeCode="BKG")):
        [found], [issue] = (result := read(told)).events, result.issues
        assert (found.type, issue.code, issue.severity) == ("goods.observed", "dcsa.unmapped", "warning")
        assert issue.sentence.count(told[codes.CODES[told["eventType"]]]) == 1


def test_documents_that_are_something_else() -> None:
    assert [one.code for one in read([]).issues] == ["delivery.empty"]
    with pytest.raises(ParseFailure, match="neither an object nor a list"):
        read("text")
    with pytest.raises(ParseFailure, match="at most 10,000"):
        read([{}] * 10_001)


# --- who sent it


def test_notification_signatures_cover_the_body() -> None:
    """``sha256=<hex>`` with the key of the subscription: base64 of it is its secret (event domain 1.1)."""
    key = bytes(range(32))
    secret, body = base64.b64encode(key).decode(), b'[{"a": 1}]'
    for used in (key, secret.encode()):
        signature = hmac.new(used, body, hashlib.sha256).hexdigest()
        headers = {"notification-signature": f"sha256={signature}"}
        assert COLLECTOR.authenticate(headers, body, ["old", secret], NOW, {}).accepted
        assert not COLLECTOR.authenticate(headers, body + b" ", [secret], NOW, {}).accepted
        assert not COLLECTOR.authenticate(headers, body, ["another"], NOW, {}).accepted
        assert not COLLECTOR.authenticate(
            {"notification-signature": f"md5={signature}"}, body, [secret], NOW, {}
        ).accepted
    # a wrong signature is not made good by a right token
    both = {"notification-signature": "sha256=00", "authorization": f"Bearer {secret}"}
    assert not COLLECTOR.authenticate(both, body, [secret], NOW, {}).accepted
    assert COLLECTOR.authenticate({"authorization": f"Bearer {secret}"}, body, [secret], NOW, {}).accepted


def test_the_form_refuses_what_cannot_be_read() -> None:
    assert COLLECTOR.ConfigForm({"carriers": "MSC = msc\nNHLX=nordlicht"}).is_valid()
    assert "carriers" in COLLECTOR.ConfigForm({"carriers": "MSC"}).errors


# --- anything at all


def test_500_mutilated_deliveries_raise_nothing() -> None:
    chance = random.Random("dcsa")
    bodies = [one.path.read_bytes() for one in samples_of("dcsa")]
    started = time.process_time()
    gave_events = 0
    for number in range(500):
        try:
            result = read(mutilated(bodies[number % len(bodies)], chance))
        except ParseFailure as failure:
            result = ParseResult((), (failure.issue,))
        well_formed(result)
        assert result.events or result.issues
        gave_events += bool(result.events)
    assert time.process_time() - started < 60
    assert 25 < gave_events < 475


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*event(), "metadata", "payload", "references", "transportCall"]), ANYTHING))
@hypothesis_settings(deadline=None)
def test_fields_of_any_shape_raise_nothing(fields: dict[str, Any]) -> None:
    well_formed(read({**event(), **fields}))
    well_formed(read({"metadata": event(), "payload": fields}))
