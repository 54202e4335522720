"""Carriers' kinds on the vendors' own examples, their credentials, and what each vendor does in its own way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings

from apps.collectors.contract import COLLECTORS
from apps.flows.canonical import CanonicalEvent, ParseResult
from tests.collectors.carriers.parsing import changed, codes, read, sample, told

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
PAYLOADS = settings.BASE_DIR.parent / "shared" / "data" / "webhooks" / "payloads"
BODY = b'{"a": 1}'


def payload(name: str) -> Any:
    path = PAYLOADS / f"{name}.json"
    if not path.exists():
        pytest.skip(f"needs shared/data/webhooks/payloads/{name}.json")
    return json.loads(path.read_text())


def types(result: ParseResult) -> list[str]:
    return [event.type.partition(".")[2] for event in result.events]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


# --- the vendors' own examples


def test_easypost() -> None:
    result = read("easypost", payload("easypost_tracker_updated"))
    assert types(result) == [
        "created",
        "arrived",
        "arrived",
        "departed",
        "in_transit",
        "in_transit",
        "arrived",
        "eta_changed",
    ]
    assert result.issues == ()
    eta = result.events[-1]
    assert eta.happened_at == utc(2024, 8, 2, 19, 26, 51)
    assert eta.data["days"] == ["eta"]


def test_sendcloud() -> None:
    """No tracking number yet, but the picking; an id that is in no list, but its words are."""
    result = read("sendcloud", payload("sendcloud_parcel_status_changed"))
    event = result.events[0]
    assert event.type == "label.created"
    assert ("picking", "WH/OUT/00524") in {(one.kind, one.value) for one in event.references}
    assert event.happened_at == utc(2024, 6, 25, 7, 10, 39, 635000)
    assert codes(result) == ["sendcloud.unmapped_status"]


def test_shipengine() -> None:
    result = read("shipengine", payload("shipengine_api_track"))
    assert types(result) == ["in_transit", "eta_changed"]
    assert result.events[0].happened_at == utc(2025, 10, 22, 20)
    assert result.events[0].parties == {"carrier": "carrier:ups"}
    assert result.issues == ()


def test_ups_alert() -> None:
    result = read("ups", payload("ups_track_alert_1"))
    assert types(result) == ["out_for_delivery"]
    event = result.events[0]
    assert (event.happened_at, event.zone) == (utc(2024, 4, 23, 13, 15, 19), "America/New_York")
    assert event.dates == {"eta": utc(2024, 4, 23, 4)}
    assert result.issues == ()


def test_ups_polled() -> None:
    result = read("ups", payload("carrier_ups_tracking_response"))
    assert types(result) == ["completed", "created", "proof_received"]
    assert result.events[0].happened_at == utc(2022, 1, 26, 21, 30)
    assert "image" not in str(result.events)


def test_fedex() -> None:
    result = read("fedex", payload("carrier_fedex_tracking_response"))
    assert types(result) == ["picked_up", "eta_changed"]
    assert result.events[0].happened_at == utc(2018, 2, 2, 19, 1)
    assert codes(result) == ["fedex.carrier_error"]


def test_dhl() -> None:
    """Its status and its only event are one scan, written once with and once without a zone."""
    result = read("dhl", payload("carrier_dhl_universal_tracking"))
    assert types(result) == ["manifested", "eta_changed"]
    assert {(one.kind, one.value) for one in result.events[0].references} == {
        ("tracking_number", "7777777770"),
        ("sales_order", "YZ3892406173"),
    }
    assert "Doe" not in str(result.events)


# --- who sent it


def base64_hmac(key: bytes) -> str:
    return base64.b64encode(hmac.digest(key, BODY, "sha256")).decode()


CREDENTIALS: dict[str, dict[str, str]] = {
    "easypost": {"x-hmac-signature": "hmac-sha256-hex=" + hmac.digest(b"k", BODY, "sha256").hex()},
    "aftership": {"aftership-hmac-sha256": base64_hmac(b"k")},
    "fedex": {"fdx-signature": base64_hmac(b"k")},
    "sendcloud": {"sendcloud-signature": hmac.digest(b"k", BODY, "sha256").hex()},
    "seventeentrack": {"sign": hashlib.sha256(BODY + b"/k").hexdigest()},
    "shippo": {"shippo-auth-signature": "t=1768910400,v1=" + hmac.digest(b"k", b"1768910400." + BODY, "sha256").hex()},
    "ups": {"credential": "k"},
    "karrio": {"x-event-id": "k"},
    "dhl": {"authorization": "Bearer k"},
}
SIGNED = ("easypost", "aftership", "fedex", "sendcloud", "seventeentrack", "shippo")


@pytest.mark.parametrize("kind", sorted(CREDENTIALS))
def test_each_kind_believes_its_own_sender_only(kind: str) -> None:
    collector, headers = COLLECTORS.get(kind), CREDENTIALS[kind]
    assert collector.authenticate(headers, BODY, ["old", "k"], NOW, {}).accepted
    assert not collector.authenticate(headers, BODY, ["other"], NOW, {}).accepted
    assert not collector.authenticate({}, BODY, ["k"], NOW, {}).accepted
    assert collector.authenticate(headers, BODY + b" ", ["k"], NOW, {}).accepted is (kind not in SIGNED)
    for other in CREDENTIALS.keys() - {kind}:
        # UPS, like DHL, takes a bearer token
        if {kind, other} != {"ups", "dhl"} or "authorization" not in CREDENTIALS[other]:
            assert not collector.authenticate(CREDENTIALS[other], BODY, ["k"], NOW, {}).accepted, other


def test_dhl_takes_the_header_of_the_subscription() -> None:
    dhl = COLLECTORS.get("dhl")
    assert dhl.authenticate({"x-our-hook": "k"}, BODY, ["k"], NOW, {"token_header": "X-Our-Hook"}).accepted
    assert not dhl.authenticate({"x-our-hook": "k"}, BODY, ["k"], NOW, {}).accepted
    assert not dhl.ConfigForm({"token_header": "a b"}).is_valid()


# --- each in its own way


def only(result: ParseResult, kind: str) -> CanonicalEvent:
    found = [event for event in result.events if event.type == kind]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [
        ("easypost", "updated", lambda one: one["result"].update(is_return=True)),
        ("aftership", "delivered", lambda one: one["msg"].update(shipment_type="return")),
        ("sendcloud", "status_changed", lambda one: one["parcel"].update(is_return=True)),
    ],
)
def test_a_return_is_none_of_the_orders_parcels(kind: str, name: str, change: Any) -> None:
    """Linked to the order it would have to be delivered too, before the order counts as delivered."""
    forth, back = read(kind, sample(kind, name)), read(kind, changed(sample(kind, name), change))
    assert {one.kind for event in back.events for one in event.references} <= {"tracking_number", "return_order"}
    assert "delivery.completed" not in {event.type for event in back.events}
    assert not {"label.created", "shipment.manifested"} & {event.type for event in back.events}
    assert all(event.data["return"] for event in back.events)
    if any(event.type == "delivery.completed" for event in forth.events):
        assert only(back, "shipment.returned").happened_at == only(forth, "delivery.completed").happened_at


def test_aftership_knows_the_return_by_its_rma() -> None:
    document = changed(
        sample("aftership", "delivered"), lambda one: one["msg"].update(shipment_type="return", rma_number="RMA-7")
    )
    assert ("return_order", "RMA-7") in {
        (one.kind, one.value) for one in read("aftership", document).events[0].references
    }


def test_two_orders_on_one_parcel_are_not_made_one() -> None:
    identifiers = [
        {"type": "CUSTOMER_REFERENCE", "values": ["SO-1", "SO-2"]},
        {"type": "PURCHASE_ORDER", "value": "PO-1"},
    ]
    document = sample("fedex", "pushed")
    document["output"]["completeTrackResults"][0]["trackResults"][0]["additionalTrackingInfo"]["packageIdentifiers"] = (
        identifiers
    )
    event = read("fedex", document).events[0]
    assert [(one.kind, one.value) for one in event.references] == [
        ("tracking_number", "990011223344"),
        ("purchase_order", "PO-1"),
    ]
    assert event.data["not_linked"] == {"sales_order": ["SO-1", "SO-2"]}


def test_ups_by_its_local_clock() -> None:
    pushed = sample("ups", "alert")
    gmt = read("ups", pushed).events[0]
    for name in ("gmtActivityDate", "gmtActivityTime"):
        pushed.pop(name)
    offset = read("ups", pushed).events[0]
    pushed.pop("gmtOffset")
    local = read("ups", pushed).events[0]
    assert gmt.happened_at == offset.happened_at == local.happened_at == utc(2026, 1, 16, 15, 15, 19)
    assert "happened_at" not in offset.data.get("zone_assumed", {})
    assert local.data["zone_assumed"]["happened_at"] == "America/Denver"
    assert gmt.source_event_id == offset.source_event_id == local.source_event_id
    pushed["activityLocation"] = {"country": "US"}
    assert read("ups", pushed).events[0].data["zone_assumed"]["happened_at"] == "Europe/Berlin"


def test_ups_pushed_and_polled_tell_one_scan() -> None:
    pushed = {
        "trackingNumber": "1ZEX00010399999999",
        "gmtActivityDate": "20260116",
        "gmtActivityTime": "043000",
        "activityLocation": {"city": "Chicago", "stateProvince": "IL", "country": "US"},
        "activityStatus": {"type": "I", "code": "DP", "description": "Departed from Facility "},
    }
    polled = read("ups", sample("ups", "polled")).events[0]
    assert read("ups", pushed).events[0].source_event_id == polled.source_event_id


def test_names_and_pictures_are_not_kept() -> None:
    document = changed(
        sample("ups", "delivered"), lambda one: one.update(deliveryPhoto="/9j/4AAQ", receivedBy="JANE EXAMPLE")
    )
    result = read("ups", document)
    assert only(result, "delivery.proof_received").data["signed"] is True
    assert "JANE" not in str(result.events)
    assert "/9j/" not in str(result.events)


def test_a_proof_needs_a_delivery() -> None:
    document = changed(
        sample("dhl", "delivered"), lambda one: one["shipments"][0]["status"].update(statusCode="transit", status="PL")
    )
    assert "delivery.proof_received" not in {event.type for event in read("dhl", document).events}
    assert "delivery.proof_received" in {event.type for event in read("dhl", sample("dhl", "delivered")).events}


def test_what_is_delivered_has_no_eta() -> None:
    assert "transport.eta_changed" not in {
        event.type for event in read("aftership", sample("aftership", "delivered")).events
    }
    before = changed(sample("aftership", "delivered"), lambda one: one["msg"]["checkpoints"].pop())
    assert only(read("aftership", before), "transport.eta_changed").dates["promised_delivery"] == utc(2026, 1, 17, 23)


def test_seventeentrack_tags_are_ours_to_explain() -> None:
    document = sample("seventeentrack", "updated")
    document["data"]["order_no"] = None
    assert {one.kind for one in read("seventeentrack", document).events[0].references} == {"tracking_number"}
    explained = read("seventeentrack", document, references="tag = sales_order").events[0]
    assert {one.kind for one in explained.references} == {"tracking_number", "sales_order"}


def test_platforms_pass_on_a_carriers_own_code() -> None:
    """FedEx writes DE for a delivery exception, ShipEngine for delivered."""
    document = sample("shipengine", "without_codes")
    document["data"]["events"][1]["event_code"] = "DE"
    attempted = only(read("shipengine", document), "delivery.attempted")
    assert attempted.happened_at == utc(2026, 1, 16, 14)
    assert only(read("shipengine", document), "delivery.completed").happened_at == utc(2026, 1, 16, 18)


def test_shippo_labels_that_failed_are_none() -> None:
    document = changed(sample("shippo", "label"), lambda one: one["data"].update(status="ERROR", tracking_number=""))
    result = read("shippo", document)
    assert (result.events, codes(result)) == ((), ["shippo.no_label"])


def test_trackers_told_alone_or_in_lists_are_the_same() -> None:
    tracker = sample("easypost", "updated")["result"]
    assert told(read("easypost", tracker)) == told(read("easypost", {"trackers": [tracker], "has_more": False}))
    assert told(read("easypost", tracker)) == told(read("easypost", [tracker, tracker]))
    karrio = sample("karrio", "tracker")["data"]
    assert (
        told(read("karrio", karrio))
        == told(read("karrio", {"results": [karrio]}))
        == told(read("karrio", sample("karrio", "tracker")))
    )
    msg = sample("aftership", "delivered")["msg"]
    msg.pop("ts", None)
    assert told(read("aftership", {"data": {"tracking": msg}})) == told(
        read("aftership", {"data": {"trackings": [msg]}})
    )


def test_shipengine_as_it_was_before() -> None:
    """The carrier in the path of the address, and events with no more than a date."""
    data = {
        "tracking_number": "9361000000000000000001",
        "status_code": "DE",
        "events": [{"event_date": "2026-01-12T17:45:26.734Z"}],
    }
    message = {
        "resource_url": "https://api.example/v1/tracking/usps/9361000000000000000001",
        "resource_type": "API_TRACK",
        "data": data,
    }
    event = read("shipengine", message).events[0]
    assert (event.type, event.happened_at) == ("delivery.completed", utc(2026, 1, 12, 17, 45, 26, 734000))
    assert event.parties == {"carrier": "carrier:usps"}


@pytest.mark.parametrize(
    ("estimate", "day"),
    [
        ({"expected_delivery": "2026-01-22T00:00:00"}, 21),
        ({"latest_estimated_delivery": {"type": "specific", "datetime": "2026-01-23"}}, 22),
        ({"aftership_estimated_delivery_date": {"estimated_delivery_date": "2026-01-24"}}, 23),
        (
            {
                "courier_estimated_delivery_date": {"estimated_delivery_date": "2026-01-25"},
                "expected_delivery": "2026-01-22",
            },
            24,
        ),
        ({"latest_estimated_delivery": {"type": "range", "datetime": None, "datetime_max": "2026-01-26"}}, 25),
    ],
)
def test_aftership_tells_estimates_in_many_places(estimate: dict[str, Any], day: int) -> None:
    document = changed(
        sample("aftership", "returned"), lambda one: one["msg"].update({"expected_delivery": None, **estimate})
    )
    assert only(read("aftership", document), "transport.eta_changed").dates["eta"] == utc(2026, 1, day, 23)


def test_dhl_notes_on_the_subscription_point_to_the_secret_and_do_not_show_it() -> None:
    note = {
        "scope": "subscription.confirmation",
        "note": "Subscription confirmation",
        "secret": "s3cr3t",
        "self": "https://x.example",
    }
    result = read("dhl", note)
    assert (result.events, codes(result)) == ((), ["dhl.not_tracking"])
    assert "activate" in result.issues[0].sentence
    assert "s3cr3t" not in str(result.issues)
