"""Tracking messages of the platforms shippers use: EasyPost, AfterShip, ShipEngine, Shippo, Sendcloud, 17TRACK, Karrio.

Each message tells one scan, the newest. Platforms repeat the history of a parcel; then a scan whose message was lost
would be told by the next one after all, and the truth would have to say when. Sources: the platforms' API references.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from apps.simulator.formats.model import PLACES, Format, local, parcel, utc
from apps.simulator.world import Message

CARRIER = "swift_parcel"
#: step -> status and status_detail; EasyPost has no word for "collected": it is on its way from then on
EASYPOST = {
    "picked_up": ("in_transit", "in_transit"),
    "in_transit": ("in_transit", "status_update"),
    "out_for_delivery": ("out_for_delivery", "out_for_delivery"),
    "delivered": ("delivered", "arrived_at_destination"),
    "unknown": ("impounded", "unknown"),
}
AFTERSHIP = {
    "picked_up": ("InTransit", "InTransit_002", "Acceptance scan"),
    "in_transit": ("InTransit", "InTransit_001", "In transit"),
    "out_for_delivery": ("OutForDelivery", "OutForDelivery_001", "Out for delivery"),
    "delivered": ("Delivered", "Delivered_001", "Delivered"),
    "unknown": ("Impounded", "Impounded_001", "Held at depot"),
}
SHIPENGINE = {
    "picked_up": ("AC", "COLLECTION_MADE"),
    "in_transit": ("IT", "HUB_PROCESSING"),
    "out_for_delivery": ("IT", "OUT_FOR_DELIVERY"),
    "delivered": ("DE", "DELIVERED"),
    "unknown": ("ZZ", "IMPOUNDED"),
}
SHIPPO = {
    "picked_up": ("TRANSIT", "package_accepted"),
    "in_transit": ("TRANSIT", "package_processed"),
    "out_for_delivery": ("TRANSIT", "out_for_delivery"),
    "delivered": ("DELIVERED", "delivered"),
    "unknown": ("IMPOUNDED", "impounded"),
}
SENDCLOUD = {
    "picked_up": (22, "Shipment picked up by driver"),
    "in_transit": (91, "Parcel en route"),
    "out_for_delivery": (92, "Driver en route"),
    "delivered": (11, "Delivered"),
    "unknown": (77123, "Impounded at depot"),
}
SEVENTEENTRACK = {
    "picked_up": ("InTransit", "InTransit_PickedUp", "PickedUp"),
    "in_transit": ("InTransit", "InTransit_Other", None),
    "out_for_delivery": ("OutForDelivery", "OutForDelivery_Other", "OutForDelivery"),
    "delivered": ("Delivered", "Delivered_Other", "Delivered"),
    "unknown": ("Impounded", "Impounded_Other", None),
}
#: Karrio's words are the steps' own
KARRIO = {"unknown": "impounded"}
WORDS = {
    "picked_up": "Collected from sender",
    "in_transit": "Processed at hub",
    "out_for_delivery": "Out for delivery",
    "delivered": "Delivered",
    "unknown": "Held at depot",
}


def easypost(message: Message) -> dict[str, Any]:
    status, detail = EASYPOST[message.what]
    city, state, postcode = PLACES[message.what]
    number, told = parcel(message), utc(message.sent_at)
    return {
        "id": f"evt_{number}_{message.what}",
        "object": "Event",
        "mode": "production",
        "description": "tracker.updated",
        "created_at": told,
        "previous_attributes": {},
        "result": {
            "id": f"trk_{number}",
            "object": "Tracker",
            "mode": "production",
            "tracking_code": number,
            "status": status,
            "status_detail": detail,
            "carrier": CARRIER,
            "created_at": told,
            "updated_at": told,
            "tracking_details": [
                {
                    "object": "TrackingDetail",
                    "message": WORDS[message.what],
                    "status": status,
                    "status_detail": detail,
                    "datetime": utc(message.at),
                    "source": CARRIER,
                    "tracking_location": {"city": city, "state": state, "country": "DE", "zip": postcode},
                }
            ],
        },
    }


def aftership(message: Message) -> dict[str, Any]:
    tag, subtag, words = AFTERSHIP[message.what]
    city, state, postcode = PLACES[message.what]
    return {
        "event": "tracking_update",
        "event_id": f"{parcel(message)}-{message.what}",
        "is_tracking_first_tag": True,
        "ts": int(message.sent_at.timestamp()),
        "msg": {
            "tracking_number": parcel(message),
            "slug": CARRIER,
            "active": message.what != "delivered",
            "tag": tag,
            "subtag": subtag,
            "subtag_message": words,
            "order_number": message.facts["order"],
            "updated_at": utc(message.sent_at),
            "checkpoints": [
                {
                    "slug": CARRIER,
                    "checkpoint_time": local(message.at),
                    "city": city,
                    "state": state,
                    "zip": postcode,
                    "country_region": "DEU",
                    "message": WORDS[message.what],
                    "tag": tag,
                    "subtag": subtag,
                }
            ],
        },
    }


def shipengine(message: Message) -> dict[str, Any]:
    code, detail = SHIPENGINE[message.what]
    city, state, postcode = PLACES[message.what]
    number = parcel(message)
    return {
        "resource_url": f"https://api.shipengine.example/v1/tracking?carrier_code={CARRIER}&tracking_number={number}",
        "resource_type": "API_TRACK",
        "data": {
            "tracking_number": number,
            "status_code": code,
            "status_detail_code": detail,
            "status_description": WORDS[message.what],
            "carrier_code": CARRIER,
            "events": [
                {
                    "occurred_at": utc(message.at),
                    "carrier_occurred_at": local(message.at)[:19],
                    "description": WORDS[message.what],
                    "city_locality": city,
                    "state_province": state,
                    "postal_code": postcode,
                    "country_code": "DE",
                    "status_code": code,
                    "status_detail_code": detail,
                }
            ],
        },
    }


def shippo(message: Message) -> dict[str, Any]:
    status, substatus = SHIPPO[message.what]
    city, state, postcode = PLACES[message.what]
    scan = {
        "object_id": f"{parcel(message)}-{message.what}",
        "object_created": utc(message.sent_at),
        "object_updated": utc(message.sent_at),
        "status": status,
        "status_details": WORDS[message.what],
        "status_date": utc(message.at),
        "substatus": {"code": substatus, "text": WORDS[message.what], "action_required": False},
        "location": {"city": city, "state": state, "zip": postcode, "country": "DE"},
    }
    return {
        "event": "track_updated",
        "test": False,
        "data": {
            "carrier": CARRIER,
            "tracking_number": parcel(message),
            "servicelevel": {"token": f"swift_{message.facts['service']}", "name": message.facts["service"]},
            "tracking_status": scan,
            "tracking_history": [scan],
        },
    }


def sendcloud(message: Message) -> dict[str, Any]:
    number, words = SENDCLOUD[message.what]
    at = int(message.at.timestamp() * 1000)
    return {
        "action": "parcel_status_changed",
        "timestamp": int(message.sent_at.timestamp() * 1000),
        "carrier_status_change_timestamp": at,
        "parcel": {
            "id": int(parcel(message)[4:]),
            "tracking_number": parcel(message),
            "status": {"id": number, "message": words},
            "carrier": {"code": CARRIER},
            "country": {"iso_2": message.facts["country"]},
            "is_return": False,
            "order_number": message.facts["order"],
            "external_reference": f"{message.facts['picking']},0",
        },
    }


def seventeentrack(message: Message) -> dict[str, Any]:
    status, sub_status, stage = SEVENTEENTRACK[message.what]
    city, state, postcode = PLACES[message.what]
    event = {
        "time_iso": local(message.at),
        "time_utc": utc(message.at),
        "description": WORDS[message.what],
        "location": f"{city}, DE",
        "stage": stage,
        "sub_status": sub_status,
        "address": {"country": "DE", "state": state, "city": city, "postal_code": postcode},
    }
    return {
        "event": "TRACKING_UPDATED",
        "data": {
            "number": parcel(message),
            "carrier": 990417,
            "tag": "demo",
            "track_info": {
                "latest_status": {"status": status, "sub_status": sub_status},
                "latest_event": event,
                "tracking": {
                    "providers": [
                        {
                            "provider": {"key": 990417, "name": "Swift Parcel", "alias": CARRIER},
                            "latest_sync_time": utc(message.sent_at - timedelta(seconds=1)),
                            "events": [event],
                        }
                    ]
                },
            },
        },
    }


def karrio(message: Message) -> dict[str, Any]:
    status = KARRIO.get(message.what, message.what)
    when = local(message.at)
    return {
        "event": "tracker_updated",
        "data": {
            "id": f"trk_{parcel(message)}",
            "object_type": "tracker",
            "carrier_name": CARRIER,
            "carrier_id": CARRIER,
            "tracking_number": parcel(message),
            "status": status,
            "delivered": message.what == "delivered",
            "test_mode": False,
            "info": {"shipment_destination_country": message.facts["country"]},
            "meta": {"reference": message.facts["order"]},
            "metadata": {},
            "messages": [],
            "events": [
                {
                    "date": when[:10],
                    "time": when[11:16],
                    "timestamp": when,
                    "code": message.what.upper(),
                    "status": status,
                    "description": WORDS[message.what],
                    "location": f"{PLACES[message.what][0]}, DE",
                }
            ],
        },
    }


FORMATS = {
    "easypost-tracking": Format(easypost, "easypost"),
    "aftership-tracking": Format(aftership, "aftership"),
    "shipengine-tracking": Format(shipengine, "shipengine"),
    "shippo-tracking": Format(shippo, "shippo"),
    "sendcloud-tracking": Format(sendcloud, "sendcloud"),
    "seventeentrack-tracking": Format(seventeentrack, "17track"),
    "karrio-tracking": Format(karrio, "karrio"),
}
