"""Bodies for the parse bench, in real formats about companies that do not exist; the same bytes on every run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

START = datetime(2026, 3, 10, 8, 0, tzinfo=UTC)

#: the bench's mapping of `parcels`
MAPPING: dict[str, Any] = {
    "events": [
        {
            "each": "$.parcels[*].scans[*]",
            "type": {
                "path": "code",
                "values": {
                    "P10": "transport.picked_up",
                    "T20": "transport.in_transit",
                    "Z50": "delivery.completed",
                },
            },
            "happened_at": {"path": "at"},
            "references": [
                {"kind": "tracking_number", "path": "^.barcode"},
                {"kind": "sales_order", "path": "^.shipper_ref"},
            ],
            "id": {"path": ["^.barcode", "seq"]},
            "data": {"place": "depot"},
        }
    ]
}


def _interchange(identifier: str, sets: list[tuple[str, list[str]]]) -> bytes:
    header = f"ISA*00*{'':10}*00*{'':10}*ZZ*{'NORDWIND':15}*ZZ*{'HARBOURSIDE':15}*260310*0900*U*00401*000000001*0*P*>"
    lines = [header, f"GS*{identifier}*NORDWIND*HARBOURSIDE*20260310*0900*1*X*004010"]
    for number, (kind, body) in enumerate(sets, 1):
        lines += [f"ST*{kind}*{number:04d}", *body, f"SE*{len(body) + 2}*{number:04d}"]
    lines += [f"GE*{len(sets)}*1", "IEA*1*000000001"]
    return "".join(line + "~" for line in lines).encode()


def x12_orders(count: int = 200, lines: int = 20) -> bytes:
    """200 orders of 20 lines with descriptions, as a wholesaler sends them at night."""
    sets = []
    for number in range(count):
        body = [f"BEG*00*SA*PO-{number:06d}**20260310", "REF*DP*041", "DTM*002*20260320", "N1*BY*HARBOURSIDE*92*H1"]
        body += ["N1*ST*HARBOURSIDE DC 2*92*DC02", "N3*1 QUAY ROAD", "N4*NEWARK*NJ*07105*US"]
        for line in range(1, lines + 1):
            body += [
                f"PO1*{line}*{line * 6}*EA*4.10**VN*NW-{line}*UP*614141{line:06d}",
                "PID*F****WHEAT FLOUR TYPE 550",
            ]
        sets.append(("850", [*body, f"CTT*{lines}"]))
    return _interchange("PO", sets)


def x12_ship_notice(notices: int = 10, cartons: int = 40) -> bytes:
    """Ten ship notices of one order and 40 labelled cartons each."""
    sets = []
    for number in range(notices):
        body = [f"BSN*00*ASN-{number:05d}*20260310*0910*0001", "HL*1**S", "TD1*CTN*40****G*812.5*LB"]
        body += ["TD5**2*GLDW*M", f"REF*BM*BOL-{number}", "DTM*011*20260310*1130*CT", "N1*SF*NORDWIND MILLS*92*N1"]
        body += ["HL*2*1*O", f"PRF*PO-{number:06d}***20260301"]
        for carton in range(cartons):
            serial = f"{number * cartons + carton:09d}"
            digits = f"06141410{serial}"
            check = -sum(int(digit) * (1 if place % 2 else 3) for place, digit in enumerate(digits)) % 10
            body += [f"HL*{carton + 3}*2*P", f"MAN*GM*00{digits}{check}"]
            body += [f"LIN**UP*614141{carton:06d}*VN*NW-{carton}", "SN1**24*EA"]
        sets.append(("856", [*body, f"CTT*{cartons + 2}"]))
    return _interchange("SH", sets)


def x12_statuses(count: int = 200) -> bytes:
    """200 shipment status messages of three statuses each."""
    sets = []
    for number in range(count):
        body = [f"B10*{77000000 + number}*LD-{number}*GLDW", f"L11*PO-{number:06d}*PO", f"L11*BOL-{number}*BM"]
        body += [
            "N1*SH*NORDWIND MILLS",
            "N4*DULUTH*MN*55802*US",
            "N1*CN*HARBOURSIDE DC 2",
            "N4*NEWARK*NJ*07105*US",
            "LX*1",
        ]
        for code, hour in (("X3", 8), ("AF", 9), ("X6", 14)):
            body += [f"AT7*{code}*NS***20260310*{hour:02d}15*CT", "MS1*DULUTH*MN*US", "MS2*GLDW*TRL8812"]
        sets.append(("214", body))
    return _interchange("QM", sets)


def desadv(units: int = 400) -> bytes:
    """One despatch advice of 400 labelled pallets."""
    body = ["BGM+351+LS-2026-0815+9", "DTM+137:202603100815:203", "RFF+ON:B-44871", "NAD+SU+4012345000009::9++Muehle"]
    body += ["NAD+BY+4098765000004::9", "TDT+20++30+31", "CPS+1"]
    for unit in range(units):
        digits = f"34012345{unit:09d}"
        check = -sum(int(digit) * (1 if place % 2 else 3) for place, digit in enumerate(digits)) % 10
        body += [f"CPS+{unit + 2}+1", "PAC+1++201::9", "PCI+33E", f"GIN+BJ+{digits}{check}"]
        body += [f"LIN+{unit + 1}++4012345000016:SRV", "QTY+12:40:PCE"]
    lines = ["UNB+UNOC:3+4012345000009:14+4098765000004:14+260310:0830+DA0000812", "UNH+1+DESADV:D:01B:UN:EAN007"]
    lines += [*body, f"UNT+{len(body) + 2}+1", "UNZ+1+DA0000812"]
    return ("UNA:+.? '" + "".join(line + "'" for line in lines)).encode()


def plain_json(count: int = 100) -> bytes:
    """100 events in our own form."""
    return orjson.dumps(
        [
            {
                "id": f"evt-{number}",
                "type": "pick.completed",
                "happened_at": (START + timedelta(seconds=number)).isoformat(),
                "references": [
                    {"kind": "sales_order", "value": f"SO-{number}"},
                    {"kind": "picking", "value": f"WH/OUT/{number:05d}"},
                ],
                "dates": {"ship_by": "2026-03-12T17:00:00+01:00"},
                "parties": {"warehouse": "quaystore", "carrier": "golden-way"},
                "data": {"lines": 3, "zone": "A", "operator": "p-17", "weight_kg": 12.5},
            }
            for number in range(count)
        ]
    )


def parcels(count: int = 100) -> bytes:
    """100 parcels of three scans, a carrier's own form."""
    scans = [("P10", 0), ("T20", 3), ("Z50", 26)]
    return orjson.dumps(
        {
            "message_id": "m-1",
            "parcels": [
                {
                    "barcode": f"WP{number:012d}",
                    "shipper_ref": f"SO-{number}",
                    "to": {"name": "Green Grocer", "city": "Albany", "gln": "4098765000103"},
                    "scans": [
                        {
                            "seq": place,
                            "code": code,
                            "at": (START + timedelta(hours=hours, seconds=number)).isoformat(),
                            "depot": {"city": "Newark", "id": 17},
                        }
                        for place, (code, hours) in enumerate(scans)
                    ],
                }
                for number in range(count)
            ],
        }
    )


def epcis_xml(count: int = 100) -> bytes:
    """100 receiving events of EPCIS 1.2."""
    event = (
        "<ObjectEvent><eventTime>2026-03-10T08:{:02d}:{:02d}.000Z</eventTime><eventTimeZoneOffset>+01:00"
        "</eventTimeZoneOffset><epcList><epc>urn:epc:id:sscc:9521234.{:010d}</epc></epcList><action>OBSERVE</action>"
        "<bizStep>urn:epcglobal:cbv:bizstep:receiving</bizStep><disposition>urn:epcglobal:cbv:disp:in_progress"
        "</disposition><readPoint><id>urn:epc:id:sgln:9529999.00010.DOOR7</id></readPoint><bizTransactionList>"
        '<bizTransaction type="urn:epcglobal:cbv:btt:desadv">urn:epcglobal:cbv:bt:9521234000013:DA-{}</bizTransaction>'
        "</bizTransactionList></ObjectEvent>"
    )
    events = "".join(event.format(number // 60, number % 60, number, number) for number in range(count))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:1" '
        'schemaVersion="1.2" creationDate="2026-03-10T09:00:00Z"><EPCISBody><EventList>'
        f"{events}</EventList></EPCISBody></epcis:EPCISDocument>"
    ).encode()


def epcis_json(count: int = 100) -> bytes:
    """The same in EPCIS 2.0 JSON-LD."""
    events = [
        {
            "type": "ObjectEvent",
            "eventTime": f"2026-03-10T08:{number // 60:02d}:{number % 60:02d}.000Z",
            "eventTimeZoneOffset": "+01:00",
            "epcList": [f"urn:epc:id:sscc:9521234.{number:010d}"],
            "action": "OBSERVE",
            "bizStep": "receiving",
            "disposition": "in_progress",
            "readPoint": {"id": "urn:epc:id:sgln:9529999.00010.DOOR7"},
            "bizTransactionList": [
                {"type": "desadv", "bizTransaction": f"urn:epcglobal:cbv:bt:9521234000013:DA-{number}"}
            ],
        }
        for number in range(count)
    ]
    return orjson.dumps(
        {
            "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
            "type": "EPCISDocument",
            "schemaVersion": "2.0",
            "creationDate": "2026-03-10T09:00:00Z",
            "epcisBody": {"eventList": events},
        }
    )
