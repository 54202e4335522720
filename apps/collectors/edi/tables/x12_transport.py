"""X12 transaction sets of freight bills, ocean carriers and terminals (ASC X12 004010)."""

from __future__ import annotations

from apps.collectors.edi.tables import x12_codes as codes
from apps.collectors.edi.tables.model import Date, Datum, Fact, Loop, Message, Ref, Rule, Status
from apps.collectors.edi.tables.x12_messages import COMMON

_OCEAN_KEYS = frozenset({"container", "bill_of_lading", "load", "pro_number", "tracking_number", "purchase_order"})
_CONTAINER_OR_NOTHING = codes.CONTAINERS | {""}

#: ports, estimates and the carrier mean the same at sea and at the terminal
_OCEAN: tuple[Fact, ...] = (
    *(fact for fact in COMMON if not (isinstance(fact, Date) and fact.tag == "DTM")),
    # 139 and 140 say estimated and actual without saying of what
    Date("DTM", value=2, time=3, zone=4, qualifier=1, codes={"371": "eta", "017": "eta", "369": "etd"}),
    Ref("N9", (2,), kind="container", when={1: frozenset({"EQ"})}),
    Datum("N9", "scac", (2,), when={1: frozenset({"SCA"})}),
    Datum("Q2", "voyage", (9,)),
    Datum("Q2", "vessel", (13,)),
    Datum("R4", "port_of_loading", (3,), when={1: frozenset({"L"})}, top=True),
    Datum("R4", "port_of_discharge", (3,), when={1: frozenset({"D"})}, top=True),
    Datum("R4", "place_of_delivery", (3,), when={1: frozenset({"E"})}, top=True),
)

FREIGHT_BILL = Message(
    type="210",
    name="Motor carrier freight details and invoice",
    sent_by="seller",
    selling={"invoice.received": "invoice.sent"},
    facts=(
        *COMMON,
        Ref("B3", (2,), kind="invoice"),
        # the shipper's number for the shipment, as in B10-02 of a 214
        Ref("B3", (3,), kind="load"),
        Ref("B3", (3,), kind="bill_of_lading"),
        Date("B3", value=6, name="document"),
        Date("B3", value=9, qualifier=10, codes=codes.DATES),
        # N2: two decimals are implied
        Datum("B3", "net_amount_in_hundredths", (7,), "number"),
        Datum("B3", "scac", (11,)),
        Datum("C3", "currency", (1,)),
    ),
    rules=(Rule("invoice.received", times=("sent", "document"), needs=frozenset({"invoice"})),),
)

OCEAN_STATUS = Message(
    type="315",
    name="Status details (ocean)",
    loops=(Loop("R4"),),
    facts=(
        *_OCEAN,
        Ref("B4", (7, 8, 13), kind="container"),
        Date("B4", value=4, time=5, name="status"),
        Datum("B4", "location", (6,)),
        Datum("B4", "equipment_status", (9,)),
    ),
    rules=(
        Rule(
            status=Status("B4", 3, "B403", codes.EQUIPMENT_STATUS),
            times=("status",),
            below=True,
            needs=_OCEAN_KEYS,
        ),
    ),
)

TERMINAL_ACTIVITY = Message(
    type="322",
    name="Terminal operations and intermodal ramp activity",
    loops=(Loop("N7"), Loop("R4", level=2, members=frozenset({"DTM"}))),
    facts=(
        *_OCEAN,
        Ref("N7", (1, 2, 18), kind="container", when={11: _CONTAINER_OR_NOTHING}),
        Date("Q5", value=2, time=3, zone=4, name="executed"),
        Datum("Q5", "location", (6, 7, 8)),
        Datum("W2", "equipment_status", (5,)),
    ),
    rules=(
        Rule(
            status=Status("Q5", 1, "Q501", codes.EQUIPMENT_STATUS, reason=5, above=True),
            at=("N7",),
            times=("executed",),
            below=True,
            needs=_OCEAN_KEYS,
        ),
    ),
)

MESSAGES = (FREIGHT_BILL, OCEAN_STATUS, TERMINAL_ACTIVITY)
