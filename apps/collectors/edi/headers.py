"""What the envelope of a transaction says about it: who sent it to whom, when, and whether it is a test. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apps.collectors.edi import times
from apps.collectors.edi.envelopes import Transaction
from apps.collectors.edi.identity import control_number
from apps.collectors.edi.segments import Segment

Report = Callable[[str, str, Segment], None]


@dataclass(frozen=True, slots=True)
class Header:
    """sender, receiver: ``qualifier:id``; sent: of the interchange; grouped: of the group; stamp: the interchange's
    date and time as written (control numbers come round again, together with it they do not)."""

    standard: str
    version: str
    sender: str
    receiver: str
    sent: times.Moment | None
    grouped: times.Moment | None
    stamp: str
    interchange: str
    group: str
    transaction: str
    test: bool

    def controls(self) -> list[str]:
        """What an acknowledgment of the message will call it: its group or interchange, and itself."""
        x12 = self.standard == "X12"
        around = [] if x12 else [control_number("UNB", self.interchange)]
        if self.group:
            around.append(control_number("GS" if x12 else "UNG", self.group))
        around.append(control_number("ST" if x12 else "UNH", self.transaction))
        return [" / ".join(around[: place + 1]) for place in range(len(around))] if len(around) > 1 else []

    def data(self, message: str) -> dict[str, Any]:
        """The part of every event's data that says which message it came from."""
        found: dict[str, Any] = {
            "standard": self.standard,
            "message": message,
            "version": self.version,
            "sender": self.sender,
            "receiver": self.receiver,
            "interchange": self.interchange,
            "group": self.group,
            "transaction": self.transaction,
            "test": self.test,
        }
        return {name: value for name, value in found.items() if value != ""}


def header_of(transaction: Transaction, zone: str, report: Report) -> Header:
    """Reads the three headers. A time that cannot be read is reported and left out."""
    outer, group = transaction.interchange.header, transaction.group
    part = transaction.part.header
    inner = group.header if group else None
    x12 = transaction.syntax.name == "X12"
    if x12:
        sender, receiver = f"{outer.get(5)}:{outer.get(6)}", f"{outer.get(7)}:{outer.get(8)}"
        stamp, clock = outer.get(9), outer.get(10)
        grouped = (inner.get(4), inner.get(5)) if inner else ("", "")
        version, test = (inner.get(8) if inner else "") or outer.get(12), outer.get(15) == "T"
    else:
        sender, receiver = f"{outer.get(2, 2)}:{outer.get(2)}", f"{outer.get(3, 2)}:{outer.get(3)}"
        stamp, clock = outer.get(4), outer.get(4, 2)
        grouped = (inner.get(4), inner.get(4, 2)) if inner else ("", "")
        version, test = ":".join(part.components(2)[1:3]), outer.get(11) == "1"
    return Header(
        standard=transaction.syntax.name,
        version=version,
        sender=sender,
        receiver=receiver,
        sent=_moment(stamp, clock, zone, outer, report),
        grouped=_moment(*grouped, zone, inner, report) if inner else None,
        stamp=f"{stamp}{clock}",
        interchange=transaction.interchange.reference,
        group=group.reference if group else "",
        transaction=transaction.part.reference,
        test=test,
    )


def _moment(date: str, time: str, zone: str, segment: Segment, report: Report) -> times.Moment | None:
    if not date:
        return None
    try:
        return times.x12(date, time, "", zone)
    except times.BadTime as error:
        report("edi.bad_time", f"The time of {segment.tag} cannot be read: {error}", segment)
        return None
