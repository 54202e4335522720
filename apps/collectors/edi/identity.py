"""Whose number is it? Interchange addresses to partners, and the issuer of every reference. Pure.

A reference is unique together with who issued it (`flows.catalogue`): a despatch advice number is its sender's, a PRO
or bill of lading its carrier's, a purchase order ours unless the settings say that the partner numbers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: who issues the values of a reference kind; kinds that are not here are unique in the world or of our own house
SENDER, RECEIVER, BUYER, CARRIER, PARTNER = "sender", "receiver", "buyer", "carrier", "partner"
ISSUED_BY = {
    "despatch_advice": SENDER,
    "receiving_advice": SENDER,
    "invoice": SENDER,
    "channel_order": PARTNER,
    "warehouse_order": PARTNER,
    "purchase_order": BUYER,
    "bill_of_lading": CARRIER,
    "pro_number": CARRIER,
    "load": CARRIER,
    "control_number": PARTNER,
    "functional_group": PARTNER,
    "interchange": PARTNER,
    "stock_report": SENDER,
}


@dataclass(frozen=True, slots=True)
class Correspondent:
    """The two ends of one interchange. outbound: it is a copy of what we sent, so its sender's numbers are ours.

    buying: we are the buyer, so the orders it names are ours; else we sell, and they are the partner's.
    """

    partner: str
    outbound: bool
    buying: bool

    def issuer(self, kind: str, scac: str, settings: Identity, issued: Mapping[str, str]) -> str:
        """Issuer of a reference of this kind; scac: the carrier's code in the message, '' if it names none;
        issued: what the message's table says otherwise."""
        by = issued.get(kind) or ISSUED_BY.get(kind, "")
        if by == SENDER:
            return "" if self.outbound else self.partner
        if by == RECEIVER:
            return self.partner if self.outbound else ""
        if by == BUYER:
            return "" if self.buying else self.partner
        if by == CARRIER and scac:
            return settings.carriers.get(scac.upper(), f"scac:{scac.upper()}")[:64]
        return self.partner if by else ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Settings of the integration that say who is who.

    own: our interchange addresses (``ZZ:OURS`` or ``OURS``); partners: addresses -> partner slug; carriers: SCAC ->
    partner slug; default_partner: for every other address; direction: ``outbound`` or ``inbound`` when all files of the
    integration go one way, whatever their addresses; '' when the addresses tell.
    """

    default_partner: str = ""
    own: frozenset[str] = frozenset()
    partners: Mapping[str, str] = field(default_factory=dict)
    carriers: Mapping[str, str] = field(default_factory=dict)
    orders_are_ours: bool = True
    direction: str = ""

    @classmethod
    def of(cls, settings: Mapping[str, Any], default_partner: str) -> Identity:
        return cls(
            default_partner=str(settings.get("default_partner") or default_partner)[:64],
            own=frozenset(lines(settings.get("own_ids"))),
            partners=pairs(settings.get("partners")),
            carriers={scac.upper(): slug for scac, slug in pairs(settings.get("carriers")).items()},
            orders_are_ours=settings.get("purchase_order_issuer") != "partner",
            direction=str(settings.get("direction") or ""),
        )

    def correspondent(self, sender: str, receiver: str, sent_by: str) -> Correspondent:
        """sender and receiver: ``qualifier:id`` of the interchange header; sent_by: what the message's sender is in the
        trade (``buyer``, ``seller``, '' if neither). When we know which way it went, that tells whose orders they are."""
        outbound = self.direction == "outbound" if self.direction else self._found(sender, self.own)
        other = receiver if outbound else sender
        partner = self.partners.get(other) or self.partners.get(other.partition(":")[2]) or self.default_partner
        known = (self.own or self.direction) and sent_by
        return Correspondent(
            partner[:64], outbound, outbound == (sent_by == "buyer") if known else self.orders_are_ours
        )

    @staticmethod
    def _found(address: str, known: frozenset[str]) -> bool:
        return address in known or address.partition(":")[2] in known


def lines(value: Any) -> list[str]:
    """Values of a setting written as lines, commas or a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.replace(",", "\n").splitlines() if part.strip()]
    if isinstance(value, list | tuple):
        return [str(part).strip() for part in value if str(part).strip()]
    return []


def pairs(value: Any) -> dict[str, str]:
    """``name = value`` lines, or a mapping. Lines without ``=`` are left out; the form refuses them."""
    if isinstance(value, Mapping):
        return {str(name).strip(): str(one).strip() for name, one in value.items()}
    found = (line.partition("=") for line in lines(value))
    return {name.strip(): one.strip() for name, sign, one in found if sign and name.strip() and one.strip()}


def control_number(label: str, number: str) -> str:
    """``GS 12``: as the reference of what we sent is written; group numbers are numbers, others are text."""
    return f"{label} {number.lstrip('0') or '0'}" if label == "GS" and number.isdecimal() else f"{label} {number}"


def sent_as(label: str, *parts: str) -> str:
    """``GS PO 57``, ``ISA 201``, ``UNB R-7``: a group or interchange by what its acknowledgment repeats of it."""
    *before, number = parts
    plain = number.lstrip("0") or "0" if number.isdecimal() and label != "UNB" else number
    return " ".join((label, *before, plain))
