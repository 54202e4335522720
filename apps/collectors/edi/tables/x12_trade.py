"""X12 transaction sets of payments and stock (ASC X12 004010)."""

from __future__ import annotations

from apps.collectors.edi.tables import x12_codes as codes
from apps.collectors.edi.tables.model import Codes, Date, Datum, Loop, Message, Note, Purpose, Ref, Rule, Status
from apps.collectors.edi.tables.x12_messages import COMMON

#: 305 Transaction Handling Code (BPR01)
HANDLING: Codes = {
    "C": "payment accompanies remittance advice",
    "D": "make payment only",
    "I": "remittance information only",
    "P": "prenotification of future transfers",
    "U": "split payment and remittance",
    "X": "handling party's option to split payment and remittance",
}
#: 128 Reference Identification Qualifier of an open item (RMR01)
OPEN_ITEMS: Codes = {"IV": "invoice", "IK": "invoice", "PO": "purchase_order", "BM": "bill_of_lading"}

REMITTANCE = Message(
    type="820",
    name="Payment order / remittance advice",
    sent_by="buyer",
    # the invoices are those of who is paid
    issued={"invoice": "receiver"},
    purpose=Purpose("BPR", 1, HANDLING, instead={"P": {"invoice.paid": ""}}),
    loops=(
        Loop("ENT", members=frozenset({"NM1", "N2", "N3", "N4", "REF", "PER"})),
        Loop("RMR", level=2, members=frozenset({"NTE", "REF", "DTM", "IT1", "SLN", "ADX"})),
    ),
    facts=(
        *COMMON,
        Ref("RMR", (2,), qualifier=1, codes=OPEN_ITEMS),
        # when the money moves: often the next banking day, so it is a date of the advice, not when it happened
        Date("BPR", value=16, name="value_date"),
        Datum("BPR", "payment_amount", (2,), "number"),
        Datum("BPR", "payment_method", (4,)),
        Datum("TRN", "payment_reference", (2,)),
        Datum("RMR", "amount_paid", (4,), "number"),
        Datum("RMR", "amount_invoiced", (5,), "number"),
    ),
    rules=(Rule("invoice.paid", per="invoice", times=("sent",), needs=frozenset({"invoice", "purchase_order"})),),
)

STOCK_REPORT = Message(
    type="846",
    name="Inventory inquiry / advice",
    purpose=Purpose("BIA", 1, codes.PURPOSES, instead={"01": {"stock.reported": ""}}),
    loops=(Loop("LIN"),),
    facts=(
        *COMMON,
        Ref("BIA", (3,), kind="stock_report"),
        Date("BIA", value=4, time=5, name="document"),
        Datum("BIA", "report_type", (2,)),
        Datum("CTT", "lines", (1,), "number", top=True),
        # 673 Quantity Qualifier
        Datum("QTY", "on_hand", (2,), "sum", unit=3, when={1: frozenset({"17"})}),
        Datum("QTY", "available", (2,), "sum", unit=3, when={1: frozenset({"33"})}),
        Datum("QTY", "on_order", (2,), "sum", unit=3, when={1: frozenset({"63"})}),
    ),
    rules=(Rule("stock.reported", times=("document", "sent"), needs=frozenset({"stock_report"})),),
)

APPLICATION_ADVICE = Message(
    type="824",
    name="Application advice",
    loops=(Loop("OTI"),),
    facts=(
        *COMMON,
        # what it names besides is by the qualifiers of REF
        Ref("OTI", (3,), qualifier=2, codes={**codes.REFERENCES, "IV": "invoice"}),
        Datum("OTI", "acknowledged_message", (10,)),
        Datum("OTI", "acknowledged_group", (8,)),
        Datum("OTI", "acknowledged_transaction", (9,)),
        Note("TED", "errors", 1, {}, (("text", 2), ("value", 7))),
    ),
    # the invoice it judges is that of who gets the advice
    issued={"invoice": "receiver"},
    rules=(
        Rule(
            status=Status("OTI", 1, "OTI01", codes.APPLICATION_ACK),
            at=("OTI",),
            times=("sent",),
            needs=frozenset({"invoice", *codes.REFERENCES.values()}),
        ),
    ),
)

MESSAGES = (APPLICATION_ADVICE, REMITTANCE, STOCK_REPORT)
