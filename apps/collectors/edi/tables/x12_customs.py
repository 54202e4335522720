"""X12 transaction sets of customs: status of cargo (350) and what was wrong with a manifest (355); ASC X12 004010.

Disposition codes (element 35) are an agency and an action; the actions are those of the element's first releases, which
U.S. customs' own list (Automated Manifest Interface Requirements, appendix D) still follows.
"""

from __future__ import annotations

from apps.collectors.edi.tables import x12_codes as codes
from apps.collectors.edi.tables.model import Date, Datum, Fact, Loop, Meaning, Message, Note, Ref, Rule, Status
from apps.collectors.edi.tables.x12_messages import COMMON

_AGENCIES = {"1": "customs", "2": "agriculture", "3": "another agency"}
_ACTIONS = {
    "A": ("customs.held", "Entered, examination required"),
    "B": ("customs.released", "Released, examination completed"),
    "C": ("customs.released", "Entered and released"),
    "G": ("customs.held", "Hold placed at the in-bond destination"),
    "H": ("customs.held", "Hold placed"),
    "T": ("customs.held", "Seized"),
    # what follows changes quantities or permits, and says nothing about whether the goods may go
    "D": ("", "In-bond movement authorised"),
    "F": ("", "Hold removed at the in-bond destination"),
    "I": ("", "Hold removed"),
    "J": ("", "In-bond movement authorised"),
    "N": ("", "Overage"),
    "O": ("", "Shortage"),
    "P": ("", "Shortage within a case"),
    "Q": ("", "Lay order extended"),
    "R": ("", "Soon eligible for general order"),
    "S": ("", "Ordered to general order"),
    "U": ("", "Sent to general order"),
    "V": ("", "Extension of the lay order rejected"),
    "X": ("", "Entered quantity changed"),
    "Y": ("", "Released quantity changed"),
    "Z": ("", "Held quantity changed"),
}
#: 35 Bill of Lading Disposition Code
DISPOSITIONS: dict[str, Meaning] = {
    **{
        f"{agency}{action}": Meaning(event, f"{words} ({who})", stop="customs")
        for agency, who in _AGENCIES.items()
        for action, (event, words) in _ACTIONS.items()
    },
    "19": Meaning("transport.arrived", "Conveyance arrived", stop="customs"),
}

_CUSTOMS_KEYS = frozenset({"bill_of_lading", "customs_declaration", "container"})
_MANIFEST: tuple[Fact, ...] = (
    *COMMON,
    Ref("N7", (1, 2), kind="container", when={11: codes.CONTAINERS | {""}}),
    Datum("M10", "scac", (1,)),
    Datum("M10", "vessel", (5,)),
    Datum("M10", "voyage", (6,)),
    Datum("M10", "manifest", (7,)),
    Datum("P4", "location", (1,)),
)

CUSTOMS_STATUS = Message(
    type="350",
    name="Customs status information",
    loops=(Loop("P4"), Loop("BA1"), Loop("X4", level=2, members=frozenset({"X4", "K1", "N9", "N7"}))),
    facts=(
        *_MANIFEST,
        Ref("X4", (1,), kind="bill_of_lading"),
        Ref("X4", (8,), kind="bill_of_lading"),
        Ref("X4", (4,), kind="customs_declaration"),
        Ref("X4", (11, 12), kind="container"),
        Date("X4", value=5, time=6, zone=17, name="status"),
        Datum("X4", "quantity", (2,), "number"),
        Datum("X4", "entry_type", (3,)),
        Datum("K1", "text", (1, 2)),
    ),
    rules=(
        Rule(
            status=Status("X4", 7, "X407", DISPOSITIONS),
            at=("X4",),
            times=("status", "sent"),
            needs=_CUSTOMS_KEYS,
        ),
    ),
)

#: every line it repeats has an error in it; what was accepted is not repeated
MANIFEST_REJECTED = Message(
    type="355",
    name="Customs acceptance or rejection",
    loops=(Loop("P4"), Loop("LX", level=2)),
    facts=(
        *_MANIFEST,
        Ref("M11", (1,), kind="bill_of_lading"),
        Ref("M13", (4,), kind="bill_of_lading"),
        Ref("VID", (2, 3), kind="container", when={1: codes.CONTAINERS}),
        Note("K1", "errors", 1, {}, fields=(("text", 2),)),
    ),
    rules=(Rule("customs.rejected", at=("LX",), times=("sent",), needs=_CUSTOMS_KEYS),),
)

MESSAGES = (CUSTOMS_STATUS, MANIFEST_REJECTED)
