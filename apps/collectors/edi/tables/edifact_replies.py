"""EDIFACT messages to and from customs (CUSDEC, CUSRES), that answer (APERAK) or report (INVRPT, CODECO, COARRI); UNTDID D.95B to D.21A."""

from __future__ import annotations

from apps.collectors.edi.tables import edifact_codes as codes
from apps.collectors.edi.tables.edifact_messages import COMMON, DATES, REFERENCES, REFERENCES_OF_OTHERS
from apps.collectors.edi.tables.model import (
    Codes,
    Date,
    Datum,
    Loop,
    Meaning,
    Message,
    Note,
    Purpose,
    Ref,
    Rule,
    Status,
)

#: 1153 Reference qualifier of a customs declaration
DECLARATIONS: Codes = dict.fromkeys(("ABT", "AAE", "ABA", "ABE"), "customs_declaration")
_CUSTOMS_KEYS = frozenset(
    {"customs_declaration", "bill_of_lading", "pro_number", "container", "load", "purchase_order"}
)
_CONTAINER_KEYS = frozenset({"container", "bill_of_lading", "load"})

_ACKNOWLEDGED = Meaning("message.acknowledged", "Acknowledged, no application error reported")

APPLICATION_ACKNOWLEDGMENT = Message(
    type="APERAK",
    name="Application error and acknowledgement",
    facts=(
        *COMMON,
        REFERENCES_OF_OTHERS,
        # the document it answers, by the number of that document's BGM
        Ref("RFF", ((1, 2),), kind="control_number", when={(1, 1): frozenset({"ACW"})}),
        DATES,
        Datum("BGM", "response_number", ((2, 1),)),
        Datum("FTX", "text", ((4, 1), (4, 2))),
        Note("ERC", "errors", (1, 1), {}),
    ),
    rules=(
        Rule(
            status=Status(
                "BGM",
                4,
                "BGM 4343",
                codes.RESPONSE_ACTIONS,
                else_=Status(
                    "BGM",
                    3,
                    "BGM 1225",
                    codes.FUNCTION_ACTIONS,
                    else_=Status(
                        "BGM",
                        (1, 1),
                        "BGM 1001",
                        codes.DOCUMENT_ACTIONS,
                        else_=Status("ERC", (1, 1), "ERC 9321", {}, absent=_ACKNOWLEDGED),
                    ),
                ),
            ),
            times=("sent", "document"),
            needs=frozenset({"control_number", *codes.REFERENCES.values()}),
        ),
    ),
)

CUSTOMS_DECLARATION = Message(
    type="CUSDEC",
    name="Customs declaration",
    # 1225: one that is cancelled or deleted declares nothing
    purpose=Purpose("BGM", 3, codes.FUNCTIONS, instead={code: {"customs.declared": ""} for code in ("1", "3")}),
    facts=(
        *COMMON,
        Ref("RFF", ((1, 2),), qualifier=(1, 1), codes={**codes.REFERENCES, **DECLARATIONS}),
        DATES,
        # the declarant's own number, by which customs answers until it has given one
        Ref("BGM", ((2, 1),), kind="customs_declaration"),
        Datum("CST", "procedure", ((2, 1),), top=True),
        Datum("LOC", "location", ((2, 1),)),
        Datum("CNT", "items", ((1, 2),), "number", when={(1, 1): frozenset({"5"})}, top=True),
    ),
    rules=(Rule("customs.declared", times=("sent", "document"), needs=_CUSTOMS_KEYS),),
)

CUSTOMS_RESPONSE = Message(
    type="CUSRES",
    name="Customs response",
    facts=(
        *COMMON,
        Ref("RFF", ((1, 2),), qualifier=(1, 1), codes={**codes.REFERENCES, **DECLARATIONS}),
        Date(
            "DTM",
            value=(1, 2),
            form=(1, 3),
            qualifier=(1, 1),
            # 9 processing, 58 clearance: when customs decided
            codes={"9": "executed", "58": "executed", "137": "document", "132": "eta"},
        ),
        Datum("BGM", "response_number", ((2, 1),)),
        Datum("LOC", "location", ((2, 1),)),
        Datum("FTX", "text", ((4, 1), (4, 2))),
        Note("GIS", "indicators", (1, 1), {code: one.words for code, one in codes.CUSTOMS_STATUS.items()}),
        Note("ERC", "errors", (1, 1), {}),
    ),
    rules=(
        Rule(
            status=Status(
                "GIS",
                (1, 1),
                "GIS 7365",
                codes.CUSTOMS_STATUS,
                code_list={(1, 2): frozenset({"", "109"}), (1, 3): frozenset({"", "6"})},
                # GEI took the place of GIS from D.99A on
                else_=Status(
                    "GEI",
                    (2, 1),
                    "GEI 7365",
                    codes.CUSTOMS_STATUS,
                    code_list={(2, 2): frozenset({"", "109"}), (2, 3): frozenset({"", "6"})},
                ),
            ),
            times=("executed", "document", "sent"),
            needs=_CUSTOMS_KEYS,
        ),
    ),
)

STOCK_REPORT = Message(
    type="INVRPT",
    name="Inventory report",
    purpose=Purpose("BGM", 3, codes.FUNCTIONS, instead={code: {"stock.reported": ""} for code in ("1", "3")}),
    loops=(Loop("LIN"),),
    facts=(
        *COMMON,
        REFERENCES_OF_OTHERS,
        DATES,
        Ref("BGM", ((2, 1),), kind="stock_report"),
        Datum("CNT", "lines", ((1, 2),), "number", when={(1, 1): frozenset({"2"})}, top=True),
        # 6063 Quantity qualifier
        Datum("QTY", "on_hand", ((1, 2),), "sum", unit=(1, 3), when={(1, 1): frozenset({"17", "145"})}),
        Datum("QTY", "available", ((1, 2),), "sum", unit=(1, 3), when={(1, 1): frozenset({"33"})}),
    ),
    rules=(Rule("stock.reported", times=("document", "sent"), needs=frozenset({"stock_report"})),),
)

_CONTAINER_FACTS = (
    *COMMON,
    REFERENCES,
    # 7 effective, 203 executed: when the container moved
    Date(
        "DTM",
        value=(1, 2),
        form=(1, 3),
        qualifier=(1, 1),
        codes={"7": "executed", "203": "executed", "137": "document", "132": "eta", "133": "etd"},
    ),
    Datum("EQD", "size_type", ((3, 1),)),
    Datum("EQD", "full_or_empty", (6,)),
    Datum("LOC", "location", ((2, 1), (3, 1)), when={1: frozenset({"165"})}),
    Datum("LOC", "port_of_loading", ((2, 1),), when={1: frozenset({"9"})}),
    Datum("LOC", "port_of_discharge", ((2, 1),), when={1: frozenset({"11"})}),
)
#: 1225: a report that is cancelled or deleted was wrong, the containers did not move then
_MOVES = Purpose("BGM", 3, codes.FUNCTIONS, withdraws=frozenset({"1", "3"}))
_MOVED = (
    Rule(
        status=Status("BGM", (1, 1), "BGM 1001", codes.CONTAINER_REPORTS, above=True),
        at=("EQD",),
        times=("executed",),
        needs=_CONTAINER_KEYS,
    ),
)

GATE_REPORT = Message(
    type="CODECO",
    name="Container gate-in/gate-out report",
    purpose=_MOVES,
    loops=(Loop("EQD", id=(2, 1)),),
    facts=_CONTAINER_FACTS,
    rules=_MOVED,
)

LOADING_REPORT = Message(
    type="COARRI",
    name="Container discharge/loading report",
    purpose=_MOVES,
    loops=(Loop("EQD", id=(2, 1)),),
    facts=_CONTAINER_FACTS,
    rules=_MOVED,
)

MESSAGES = (
    APPLICATION_ACKNOWLEDGMENT,
    CUSTOMS_DECLARATION,
    CUSTOMS_RESPONSE,
    STOCK_REPORT,
    GATE_REPORT,
    LOADING_REPORT,
)
