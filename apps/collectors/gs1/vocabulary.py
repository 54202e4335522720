"""What the words of the Core Business Vocabulary (CBV 2.0, sections 7 and 8) mean to the tower. Tables; pure.

A word may be written bare (``receiving``), as a URN (``urn:epcglobal:cbv:bizstep:receiving``) or as a web URI
(``https://ref.gs1.org/cbv/BizStep-receiving``). Words that are in no table are reported, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

#: kept on the flow's timeline, reaches no milestone
OBSERVED = "goods.observed"
#: a source said that an event it told before was wrong
WITHDRAWN = "event.withdrawn"

BIZ_STEPS = frozenset(
    [
        "accepting",
        "arriving",
        "assembling",
        "collecting",
        "commissioning",
        "consigning",
        "creating_class_instance",
        "cycle_counting",
        "decommissioning",
        "departing",
        "destroying",
        "disassembling",
        "dispensing",
        "encoding",
        "entering_exiting",
        "holding",
        "inspecting",
        "installing",
        "killing",
        "loading",
        "other",
        "packing",
        "picking",
        "receiving",
        "removing",
        "repackaging",
        "repairing",
        "replacing",
        "reserving",
        "retail_selling",
        "sampling",
        "sensor_reporting",
        "shipping",
        "staging_outbound",
        "stock_taking",
        "stocking",
        "storing",
        "transporting",
        "unloading",
        "unpacking",
        "void_shipping",
    ]
)
DISPOSITIONS = frozenset(
    [
        "active",
        "available",
        "completeness_inferred",
        "completeness_verified",
        "conformant",
        "container_closed",
        "container_open",
        "damaged",
        "destroyed",
        "dispensed",
        "disposed",
        "encoded",
        "expired",
        "in_progress",
        "in_transit",
        "inactive",
        "mismatch_class",
        "mismatch_instance",
        "mismatch_quantity",
        "needs_replacement",
        "no_pedigree_match",
        "non_conformant",
        "non_sellable_other",
        "partially_dispensed",
        "recalled",
        "reserved",
        "retail_sold",
        "returned",
        "sellable_accessible",
        "sellable_not_accessible",
        "stolen",
        "unavailable",
        "unknown",
    ]
)

#: (business step, disposition or '') -> event type; the pair wins over the step alone. Steps of the vocabulary that
#: are not here are no milestone of a flow: `OBSERVED`.
MEANINGS: Mapping[tuple[str, str], str] = {
    ("picking", ""): "pick.completed",
    ("packing", ""): "pack.completed",
    ("shipping", ""): "shipment.dispatched",
    ("shipping", "returned"): OBSERVED,
    ("departing", ""): "transport.departed",
    ("transporting", ""): "transport.in_transit",
    ("transporting", "damaged"): "transport.exception",
    ("transporting", "destroyed"): "transport.exception",
    ("transporting", "stolen"): "transport.exception",
    ("arriving", ""): "goods.arrived",
    ("unloading", ""): "goods.unloaded",
    ("accepting", ""): "goods.received",
    ("receiving", ""): "goods.received",
    ("receiving", "returned"): "return.received",
    ("storing", ""): "goods.put_away",
    ("", "in_transit"): "transport.in_transit",
}

#: business transaction type -> reference kind; '' is known and no key of ours
TRANSACTIONS: Mapping[str, str] = {
    "po": "purchase_order",
    "desadv": "despatch_advice",
    "inv": "invoice",
    "bol": "bill_of_lading",
    "rma": "return_order",
    **dict.fromkeys(["cert", "pedigree", "poc", "prodorder", "recadv", "testprd", "testres", "upevt"], ""),
}

#: (source or destination, its type) -> role of the party
ROLES: Mapping[tuple[str, str], str] = {
    ("source", "owning_party"): "supplier",
    ("source", "possessing_party"): "shipper",
    ("source", "location"): "ship_from",
    ("destination", "owning_party"): "buyer",
    ("destination", "possessing_party"): "consignee",
    ("destination", "location"): "ship_to",
}

#: kind of GS1 key -> reference kind; others (GDTI, GSRN, coupons ...) and a company's own identifiers are ``epc``
REFERENCES: Mapping[str, str] = {
    "sscc": "sscc",
    "container": "container",
    "grai": "grai",
    "giai": "giai",
    "gsin": "gsin",
    "ginc": "ginc",
    "sgtin": "item",
    "lgtin": "batch",
}
OTHER = "epc"

_WORD = re.compile(
    r"(?:urn:epcglobal:cbv:(?:bizstep|disp|btt|sdt|er):"
    r"|(?:https?://(?:www\.)?(?:ref\.)?gs1\.org/(?:voc/)?(?:cbv/)?|cbv:|gs1:)(?:bizstep|disp|btt|sdt|er)-)([a-z_]+)",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def word(text: str) -> str:
    """The bare form of a word of the vocabulary; anything else as it came."""
    found = _WORD.fullmatch(text)
    return found[1].lower() if found else text


def meaning(step: str, disposition: str, own: Mapping[tuple[str, str], str]) -> str | None:
    """The event type of a business step and disposition (bare words); None if nobody has said what the step means.

    own: the integration's own meanings, which win. An event without a step means what its disposition says.
    """
    for table in (own, MEANINGS):
        found = table.get((step, disposition)) or table.get((step, ""))
        if found:
            return found
    return OBSERVED if not step or step in BIZ_STEPS else None
