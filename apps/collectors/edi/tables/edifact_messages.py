"""The EDIFACT messages the tower reads (UNTDID D.96A to D.21A; EANCOM is a subset of them)."""

from __future__ import annotations

from apps.collectors.edi.tables import edifact_codes as codes
from apps.collectors.edi.tables.model import (
    Answer,
    Date,
    Datum,
    Fact,
    Loop,
    Message,
    Note,
    Party,
    Purpose,
    Ref,
    Rule,
    Status,
)

REFERENCES = Ref("RFF", ((1, 2),), qualifier=(1, 1), codes=codes.REFERENCES)
#: a party that is not the supplier quotes despatch advices of others: whose number it is cannot be told
REFERENCES_OF_OTHERS = Ref(
    "RFF",
    ((1, 2),),
    qualifier=(1, 1),
    codes={code: kind for code, kind in codes.REFERENCES.items() if kind != "despatch_advice"},
)
DATES = Date("DTM", value=(1, 2), form=(1, 3), qualifier=(1, 1), codes=codes.DATES)
_SSCC = Ref("GIN", ((2, 1),), kind="sscc", when={1: frozenset({"BJ"})}, repeat=5)
_CONTAINER = Ref("EQD", ((2, 1),), kind="container", when={1: frozenset({"CN"})})
_CANCELLED = {"asn.received": "asn.cancelled", "asn.packed": ""}

#: parties and transport mean the same in every message
COMMON: tuple[Fact, ...] = (
    Party(
        "NAD",
        role=1,
        codes=codes.ROLES,
        id=(2, 1),
        scheme=(2, 3),
        schemes=codes.SCHEMES,
        names=((4, 1), (4, 2)),
        city=(6, 9),
    ),
    Datum("TDT", "scac", ((5, 1),), when={(5, 3): frozenset({"182"})}),
    Datum("TDT", "carrier", ((5, 4),)),
    Datum("TDT", "conveyance", (2,)),
    _SSCC,
    _CONTAINER,
)

DESPATCH_ADVICE = Message(
    type="DESADV",
    name="Despatch advice",
    sent_by="seller",
    selling={"asn.received": "shipment.announced"},
    loops=(Loop("CPS", id=1, parent=2), Loop("LIN", level=2)),
    purpose=Purpose("BGM", 3, codes.FUNCTIONS, instead={"1": _CANCELLED, "3": _CANCELLED}),
    facts=(
        *COMMON,
        REFERENCES,
        DATES,
        # C106 document identification: element 2 of BGM, a composite since D.97A
        Ref("BGM", ((2, 1),), kind="despatch_advice"),
        Datum("PAC", "packages", (1,), "number", top=True),
        Datum("QTY", "quantity", ((1, 2),), "sum", unit=(1, 3), when={(1, 1): frozenset({"12"})}),
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
            own=frozenset({"packages"}),
            keep=frozenset({"despatch_advice", "purchase_order", "tracking_number"}),
            order_below=True,
            needs=frozenset({"despatch_advice"}),
        ),
    ),
)

_SHIPMENT_KEYS = frozenset(
    {"pro_number", "bill_of_lading", "load", "tracking_number", "purchase_order", "container", "sscc"}
)

TRANSPORT_STATUS = Message(
    type="IFTSTA",
    name="International multimodal status report",
    purpose=Purpose("BGM", 3, codes.FUNCTIONS, withdraws=frozenset({"1", "3"}), told=False),
    loops=(
        Loop("CNI"),
        Loop("STS", level=2, id=(2, 1)),
        Loop("TDT", level=3),
        Loop("EQD", level=3),
        Loop("GID", level=3),
    ),
    facts=(
        *COMMON,
        REFERENCES_OF_OTHERS,
        Date("DTM", value=(1, 2), form=(1, 3), qualifier=(1, 1), codes=codes.STATUS_DATES),
        Ref("CNI", ((2, 1),), kind="pro_number"),
        Datum("LOC", "location", ((2, 1), (2, 4))),
        Datum("FTX", "text", ((4, 1), (4, 2))),
    ),
    rules=(
        Rule(
            status=Status(
                "STS",
                (2, 1),
                "STS C555",
                codes.TRANSPORT_STATUS,
                reason=(3, 1),
                code_list={(1, 1): frozenset({"", "1"}), (2, 2): frozenset({""}), (2, 3): frozenset({"", "6", "9"})},
            ),
            at=("STS",),
            below=True,
            times=("status",),
            needs=_SHIPMENT_KEYS,
        ),
    ),
)

_INTERCHANGE = Answer("functional_group", "UNB", (("UCI", 1),))

SYNTAX_REPORT = Message(
    type="CONTRL",
    name="Syntax and service report",
    loops=(
        Loop("UCI"),
        Loop("UCF", level=2),
        Loop("UCM", level=3),
    ),
    facts=(
        Datum("UCM", "acknowledged_message", ((2, 1),)),
        Note("UCI", "interchange_errors", 5, codes.SYNTAX_ERRORS, (("segment", 6),)),
        Note("UCF", "group_errors", 5, codes.SYNTAX_ERRORS, (("segment", 6),)),
        Note("UCM", "errors", 4, codes.SYNTAX_ERRORS, (("segment", 5),)),
        Note("UCS", "segment_errors", 2, codes.SYNTAX_ERRORS, (("number", 1),)),
        Note("UCD", "element_errors", 1, codes.SYNTAX_ERRORS, (("element", (2, 1)), ("component", (2, 2)))),
    ),
    rules=(
        Rule(
            status=Status("UCM", 3, "UCM 0083", codes.ACTIONS),
            at=("UCM",),
            times=("sent",),
            control=(("UNB", "UCI", 1), ("UNG", "UCF", 1), ("UNH", "UCM", 1)),
            answers=_INTERCHANGE,
        ),
        Rule(
            status=Status("UCF", 4, "UCF 0083", codes.ACTIONS),
            at=("UCF",),
            times=("sent",),
            control=(("UNB", "UCI", 1), ("UNG", "UCF", 1)),
            answers=_INTERCHANGE,
        ),
        Rule(
            status=Status("UCI", 4, "UCI 0083", codes.ACTIONS),
            at=("UCI",),
            times=("sent",),
            control=(("UNB", "UCI", 1),),
            answers=_INTERCHANGE,
        ),
    ),
)

MESSAGES = (DESPATCH_ADVICE, TRANSPORT_STATUS, SYNTAX_REPORT)
