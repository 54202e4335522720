"""The X12 transaction sets the tower reads (ASC X12 004010; later releases add, they do not move)."""

from __future__ import annotations

from apps.collectors.edi.tables import x12_codes as codes
from apps.collectors.edi.tables.model import (
    Answer,
    Date,
    Datum,
    Fact,
    Loop,
    Message,
    Note,
    Party,
    Place,
    Purpose,
    Ref,
    Rule,
    Status,
)

_N1 = Party("N1", role=1, codes=codes.ROLES, id=4, scheme=3, schemes=codes.SCHEMES, names=(2,))

#: references, dates and parties mean the same in every transaction set
COMMON: tuple[Fact, ...] = (
    Ref("REF", (2,), qualifier=1, codes=codes.REFERENCES),
    Ref("L11", (1,), qualifier=2, codes=codes.REFERENCES),
    Ref("N9", (2,), qualifier=1, codes=codes.REFERENCES),
    Ref("MAN", (2,), qualifier=1, codes=codes.MARKS),
    Ref("MAN", (5,), qualifier=4, codes=codes.MARKS),
    Ref("PRF", (1,), kind="purchase_order"),
    Ref("TD3", (2, 3), kind="container", when={1: codes.CONTAINERS}),
    Date("DTM", value=2, time=3, zone=4, qualifier=1, codes=codes.DATES),
    _N1,
    Place("N4", city=(1, 2)),
    Datum("TD1", "packages", (2,), "number"),
    Datum("TD1", "weight", (7,), "number"),
    Datum("TD1", "weight_unit", (8,)),
    Datum("TD5", "scac", (3,), when={2: frozenset({"2"})}),
    Datum("TD5", "routing", (5,)),
    Datum("TD3", "trailer", (2, 3), when={1: frozenset({"TL", "TF", "TV", "RT", "FT"})}),
)

SHIP_NOTICE = Message(
    type="856",
    name="Ship notice",
    sent_by="seller",
    selling={"asn.received": "shipment.announced"},
    loops=(Loop("HL", id=1, parent=2, name=3),),
    purpose=Purpose(
        "BSN",
        1,
        codes.PURPOSES,
        instead={
            "01": {"asn.received": "asn.cancelled", "asn.packed": ""},
            "03": {"asn.received": "asn.cancelled", "asn.packed": ""},
        },
    ),
    facts=(
        *COMMON,
        Ref("BSN", (2,), kind="despatch_advice"),
        Date("BSN", value=3, time=4, name="document"),
        Datum("SN1", "quantity", (2,), "sum", unit=3),
    ),
    rules=(
        Rule(
            "asn.received",
            per="purchase_order",
            keep=frozenset({"despatch_advice", "bill_of_lading", "pro_number", "container", "tracking_number", "load"}),
            needs=frozenset({"despatch_advice"}),
        ),
        Rule(
            "asn.packed",
            at=(),
            per="sscc",
            own=frozenset({"packages", "weight", "weight_unit"}),
            keep=frozenset({"despatch_advice", "purchase_order", "tracking_number"}),
            order_below=True,
            needs=frozenset({"despatch_advice"}),
        ),
    ),
)

_SHIPMENT_KEYS = frozenset(
    {"pro_number", "bill_of_lading", "load", "tracking_number", "purchase_order", "container", "sscc"}
)
_AT7_DATE = Date("AT7", value=5, time=6, zone=7, name="status")

SHIPMENT_STATUS = Message(
    type="214",
    name="Transportation carrier shipment status",
    loops=(Loop("LX"), Loop("AT7", level=2, members=frozenset({"MS1", "MS2", "M7"}))),
    facts=(
        *COMMON,
        Ref("B10", (1,), kind="pro_number"),
        # the shipper's number for the shipment: of its load tender, and on most bills of lading
        Ref("B10", (2,), kind="load"),
        Ref("B10", (2,), kind="bill_of_lading"),
        Ref("SPO", (1,), kind="purchase_order"),
        Datum("B10", "scac", (3,)),
        _AT7_DATE,
        Datum("MS1", "location", (1, 2, 3)),
        Datum("MS2", "equipment", (1, 2)),
    ),
    rules=(
        Rule(
            status=Status("AT7", 1, "AT701", codes.SHIPMENT_STATUS, reason=2),
            at=("AT7",),
            times=("status",),
            needs=_SHIPMENT_KEYS,
        ),
        Rule(
            status=Status("AT7", 3, "AT703", codes.APPOINTMENT_STATUS, reason=4),
            at=("AT7",),
            times=("status",),
            needs=_SHIPMENT_KEYS,
        ),
    ),
)

#: partners count their groups for each functional identifier (PO, IN), so the number alone is not enough
_GROUP = Answer("functional_group", "GS", (("AK1", 1), ("AK1", 2)))

FUNCTIONAL_ACKNOWLEDGMENT = Message(
    type="997",
    name="Functional acknowledgment",
    loops=(Loop("AK2", id=2, members=frozenset({"AK3", "AK4", "AK5"})), Loop("AK9")),
    facts=(
        Datum("AK1", "acknowledged_group", (1,)),
        Datum("AK2", "acknowledged_message", (1,)),
        Note("AK3", "segment_errors", 4, codes.SEGMENT_ERRORS, (("segment", 1), ("number", 2))),
        Note("AK4", "element_errors", 3, codes.ELEMENT_ERRORS, (("element", 1), ("number", 2), ("value", 4))),
        Note("AK5", "errors", 2, codes.TRANSACTION_ERRORS, repeat=5),
        Note("AK9", "errors", 5, codes.GROUP_ERRORS, repeat=5),
        Datum("AK9", "sets_included", (2,), "number"),
        Datum("AK9", "sets_received", (3,), "number"),
        Datum("AK9", "sets_accepted", (4,), "number"),
    ),
    rules=(
        Rule(
            status=Status("AK5", 1, "AK501", codes.TRANSACTION_ACK),
            at=("AK2",),
            times=("group", "sent"),
            control=(("GS", "AK1", 2), ("ST", "AK2", 2)),
            answers=_GROUP,
        ),
        Rule(
            status=Status("AK9", 1, "AK901", codes.GROUP_ACK),
            at=("AK9",),
            times=("group", "sent"),
            control=(("GS", "AK1", 2),),
            answers=_GROUP,
        ),
    ),
)

#: the same for a release that has its own segments for it
IMPLEMENTATION_ACKNOWLEDGMENT = Message(
    type="999",
    name="Implementation acknowledgment",
    loops=(Loop("AK2", id=2, members=frozenset({"IK3", "IK4", "IK5", "CTX"})), Loop("AK9")),
    facts=(
        *(fact for fact in FUNCTIONAL_ACKNOWLEDGMENT.facts if fact.tag in ("AK1", "AK2", "AK9")),
        Note("IK3", "segment_errors", 4, codes.SEGMENT_ERRORS, (("segment", 1), ("number", 2))),
        Note("IK4", "element_errors", 3, codes.ELEMENT_ERRORS, (("element", 1), ("number", 2), ("value", 4))),
        Note("IK5", "errors", 2, codes.TRANSACTION_ERRORS, repeat=5),
    ),
    rules=(
        Rule(
            status=Status("IK5", 1, "IK501", codes.TRANSACTION_ACK),
            at=("AK2",),
            times=("group", "sent"),
            control=(("GS", "AK1", 2), ("ST", "AK2", 2)),
            answers=_GROUP,
        ),
        FUNCTIONAL_ACKNOWLEDGMENT.rules[1],
    ),
)

INTERCHANGE_ACKNOWLEDGMENT = Message(
    type="TA1",
    name="Interchange acknowledgment",
    facts=(Note("TA1", "errors", 5, codes.INTERCHANGE_NOTES),),
    rules=(
        Rule(
            status=Status("TA1", 4, "TA104", codes.INTERCHANGE_ACK),
            times=("sent",),
            control=(("ISA", "TA1", 1),),
            answers=Answer("interchange", "ISA", (("TA1", 1),)),
        ),
    ),
)

MESSAGES = (
    SHIP_NOTICE,
    SHIPMENT_STATUS,
    FUNCTIONAL_ACKNOWLEDGMENT,
    IMPLEMENTATION_ACKNOWLEDGMENT,
    INTERCHANGE_ACKNOWLEDGMENT,
)
