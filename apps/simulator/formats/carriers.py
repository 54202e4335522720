"""Tracking messages of carriers Swift Parcel hands some parcels on to: FedEx, UPS and DHL, pushed. One scan a message.

Sources: FedEx Track API (Advanced Integrated Visibility); UPS Track Alert; DHL Unified Push.
"""

from __future__ import annotations

from datetime import UTC
from typing import Any

from apps.simulator.faults import BERLIN
from apps.simulator.formats.model import PLACES, Format, local, parcel
from apps.simulator.world import Message

FEDEX = {
    "picked_up": ("PU", "Picked up"),
    "in_transit": ("IT", "In transit"),
    "out_for_delivery": ("OD", "On vehicle for delivery"),
    "delivered": ("DL", "Delivered"),
    "unknown": ("Q7", "Impounded"),
}
UPS = {
    "picked_up": ("P", "PU", "Pickup Scan"),
    "in_transit": ("I", "IT", "Processing at UPS Facility"),
    "out_for_delivery": ("I", "OT", "Out for Delivery"),
    "delivered": ("D", "FS", "Delivered"),
    "unknown": ("Q", "Q7", "Impounded"),
}
#: status code of the unified interface, checkpoint of the division
DHL = {
    "picked_up": ("transit", "PU", "Shipment picked up"),
    "in_transit": ("transit", "TR", "Processed for transit"),
    "out_for_delivery": ("transit", "WC", "With delivery courier"),
    "delivered": ("delivered", "OK", "Delivered"),
    "unknown": ("impounded", "Q7", "Held at depot"),
}


def fedex(message: Message) -> dict[str, Any]:
    code, words = FEDEX[message.what]
    city, state, postcode = PLACES[message.what]
    scan = {
        "date": local(message.at),
        "eventType": code,
        "eventDescription": words,
        "exceptionCode": "",
        "exceptionDescription": "",
        "scanLocation": {"city": city, "stateOrProvinceCode": state, "postalCode": postcode, "countryCode": "DE"},
        "derivedStatusCode": code,
        "derivedStatus": words,
    }
    result = {
        "trackingNumberInfo": {"trackingNumber": parcel(message), "carrierCode": "FDXE"},
        "additionalTrackingInfo": {
            "packageIdentifiers": [{"type": "CUSTOMER_REFERENCE", "values": [message.facts["order"]]}]
        },
        "latestStatusDetail": {"code": code, "derivedCode": code, "description": words},
        "scanEvents": [scan],
    }
    return {
        "transactionId": f"{parcel(message)}-{message.what}",
        "output": {"completeTrackResults": [{"trackingNumber": parcel(message), "trackResults": [result]}]},
    }


def ups(message: Message) -> dict[str, Any]:
    kind, code, words = UPS[message.what]
    city, state, postcode = PLACES[message.what]
    there, gmt = message.at.astimezone(BERLIN), message.at.astimezone(UTC)
    offset = f"{there:%z}"
    return {
        "trackingNumber": parcel(message),
        "localActivityDate": f"{there:%Y%m%d}",
        "localActivityTime": f"{there:%H%M%S}",
        "activityLocation": {"city": city, "stateProvince": state, "postalCode": postcode, "country": "DE"},
        "activityStatus": {"type": kind, "code": code, "description": words},
        "gmtActivityDate": f"{gmt:%Y%m%d}",
        "gmtActivityTime": f"{gmt:%H%M%S}",
        "gmtOffset": f"{offset[:3]}.{offset[3:]}",
    }


def dhl(message: Message) -> dict[str, Any]:
    status, checkpoint, words = DHL[message.what]
    city, _, postcode = PLACES[message.what]
    event = {
        "timestamp": local(message.at),
        "location": {"address": {"countryCode": "DE", "postalCode": postcode, "addressLocality": city}},
        "statusCode": status,
        "status": checkpoint,
        "description": words,
    }
    return {
        "shipments": [
            {
                "id": parcel(message),
                "service": "express",
                "status": event,
                "details": {"references": [{"number": message.facts["order"], "type": "customer-reference"}]},
                "events": [event],
            }
        ]
    }


FORMATS = {
    "fedex-tracking": Format(fedex, "fedex"),
    "ups-tracking": Format(ups, "ups"),
    "dhl-tracking": Format(dhl, "bearer"),
}
