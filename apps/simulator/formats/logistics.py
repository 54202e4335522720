"""Goods and containers: EPCIS 2.0 (JSON-LD) and 1.2 (XML) of the warehouse North's scanners, DCSA of an ocean carrier.

Sources: GS1 EPCIS 2.0 and CBV; EPCIS 1.2; DCSA Track and Trace 2.2.
"""

from __future__ import annotations

import zlib
from typing import Any

from apps.simulator.edi_writer import sscc
from apps.simulator.faults import BERLIN
from apps.simulator.formats.model import Format, utc
from apps.simulator.formats.shops import id_of, millis
from apps.simulator.world import Message

#: global location numbers (GS1): ours and the suppliers', as the integrations' settings name them
OUR_GLN = "4099999100002"
GLNS = {"metalworks": "4099999200009", "oakline": "4099999300006", "nordtex": "4099999400003"}
#: laden out of the supplier's gate, then onto the vessel
CONTAINER_STEPS = {"container_left": "GTOT", "container_loaded": "LOAD"}
_LETTERS = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", (n for n in range(10, 40) if n % 11), strict=False))


def _handling_units(message: Message) -> list[str]:
    """The SSCCs of the despatch advice as EPC URNs: company prefix, extension and serial, no check digit."""
    written = (sscc(message, place) for place in range(message.facts["packages"]))
    return [f"urn:epc:id:sscc:{one[1:8]}.{one[0]}{one[8:17]}" for one in written]


def _transactions(message: Message) -> tuple[tuple[str, str], ...]:
    f = message.facts
    return (
        ("po", f"urn:epcglobal:cbv:bt:{OUR_GLN}:{f['purchase']}"),
        ("desadv", f"urn:epcglobal:cbv:bt:{GLNS[f['supplier']]}:{f['advice']}"),
    )


def epcis_json(message: Message) -> dict[str, Any]:
    when = message.at.astimezone(BERLIN)
    return {
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": utc(message.sent_at),
        "epcisBody": {
            "eventList": [
                {
                    "type": "ObjectEvent",
                    "eventID": f"urn:uuid:{id_of(message.facts['advice'], 'arriving')}",
                    "eventTime": when.isoformat(timespec="milliseconds"),
                    "eventTimeZoneOffset": _offset(message),
                    "epcList": _handling_units(message),
                    "action": "OBSERVE",
                    "bizStep": "arriving",
                    "disposition": "in_progress",
                    "readPoint": {"id": "urn:epc:id:sgln:4099999.10000.GATE"},
                    "bizTransactionList": [
                        {"type": kind, "bizTransaction": value} for kind, value in _transactions(message)
                    ],
                }
            ]
        },
    }


def _offset(message: Message) -> str:
    written = f"{message.at.astimezone(BERLIN):%z}"
    return f"{written[:3]}:{written[3:]}"


def epcis_xml(message: Message) -> bytes:
    when = message.at.astimezone(BERLIN)
    units = "".join(f"<epc>{one}</epc>" for one in _handling_units(message))
    transactions = "".join(
        f'<bizTransaction type="urn:epcglobal:cbv:btt:{kind}">{value}</bizTransaction>'
        for kind, value in _transactions(message)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:1" schemaVersion="1.2" creationDate="{utc(message.sent_at)}">
<EPCISBody><EventList><ObjectEvent>
<eventTime>{when.isoformat(timespec="milliseconds")}</eventTime>
<eventTimeZoneOffset>{_offset(message)}</eventTimeZoneOffset>
<baseExtension><eventID>urn:uuid:{id_of(message.facts["advice"], "arriving")}</eventID></baseExtension>
<epcList>{units}</epcList>
<action>OBSERVE</action>
<bizStep>urn:epcglobal:cbv:bizstep:arriving</bizStep>
<disposition>urn:epcglobal:cbv:disp:in_progress</disposition>
<readPoint><id>urn:epc:id:sgln:4099999.10000.GATE</id></readPoint>
<bizTransactionList>{transactions}</bizTransactionList>
</ObjectEvent></EventList></EPCISBody>
</epcis:EPCISDocument>
""".encode()


def container(purchase: str) -> str:
    """A container number: owner code, category U, six digits and the check digit of ISO 6346."""
    body = f"FJLU{zlib.crc32(purchase.encode()) % 10**6:06d}"
    total = sum((_LETTERS[one] if one.isalpha() else int(one)) * 2**place for place, one in enumerate(body))
    return f"{body}{total % 11 % 10}"


def dcsa(message: Message) -> dict[str, Any]:
    f = message.facts
    return {
        "eventID": id_of(f["purchase"], message.what),
        "eventType": "EQUIPMENT",
        "eventCreatedDateTime": millis(message.sent_at),
        "eventClassifierCode": "ACT",
        "eventDateTime": message.at.astimezone(BERLIN).isoformat(timespec="seconds"),
        "equipmentEventTypeCode": CONTAINER_STEPS[message.what],
        "equipmentReference": container(f["purchase"]),
        "ISOEquipmentCode": "22G1",
        "emptyIndicatorCode": "LADEN",
        "transportCall": {
            "transportCallID": f"TC-{f['purchase']}",
            "modeOfTransport": "VESSEL",
            "UNLocationCode": "DKAAR",
            "facilityTypeCode": "POTE",
            "vessel": {"vesselIMONumber": "9321483", "vesselName": "Fjord Runner"},
        },
        "references": [{"referenceType": "PO", "referenceValue": f["purchase"]}],
    }


FORMATS = {
    "north-epcis": Format(epcis_json, "bearer", "application/ld+json", bundles=False, path="capture"),
    "north-epcis-xml": Format(epcis_xml, "bearer", "application/xml", bundles=False, path="capture"),
    "fjord-line-containers": Format(dcsa, "dcsa"),
}
