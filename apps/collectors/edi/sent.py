"""What we sent and want acknowledged: one `message.sent` for each X12 group and each EDIFACT interchange. Pure.

The unit is what the partner acknowledges: a 997 names a functional group by its identifier and number, a CONTRL an
interchange. A TA1 or the MDN of the transmission is about all groups of the interchange, so each names it as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apps.collectors.edi import times
from apps.collectors.edi.envelopes import Part, Syntax
from apps.collectors.edi.identity import Correspondent, Identity, control_number, sent_as
from apps.collectors.edi.segments import IssueList
from apps.flows.canonical import CanonicalEvent, Reference

#: what is acknowledged: what the standard or the envelope asks for; also every EDIFACT interchange; nothing
ASKED, ALWAYS, NEVER = "asked", "always", "never"
#: acknowledgments are not acknowledged themselves (X12.5; ISO 9735 part 4)
_ACKNOWLEDGMENTS = frozenset({"FA", "CONTRL"})
#: types of messages named in one event
_MOST_TYPES = 20


def events(
    parts: list[tuple[Syntax, Part]],
    identity: Identity,
    zone: str,
    headers: Mapping[str, str],
    policy: str,
    issues: IssueList,
) -> Iterator[CanonicalEvent]:
    """parts: groups and interchanges in the order they stood.

    headers: of the delivery; an AS2 transmission is known by its Message-ID there. policy: ASKED, ALWAYS or NEVER.
    """
    if policy == NEVER:
        return
    for syntax, part in parts:
        x12 = syntax.name == "X12"
        outer = part.outer or part
        sender, receiver = _ends(outer, x12)
        ends = identity.correspondent(sender, receiver, "")
        # the unit of X12 is the group, of EDIFACT the interchange
        if not ends.outbound or x12 is (part.outer is None) or not part.transactions:
            continue
        told = _told(part, outer, x12, policy)
        if told["awaits"] or told.get("interchange_awaits"):
            yield from _event(part, outer, ends, {**told, **_transmission(headers)}, headers, zone, issues)


def _ends(outer: Part, x12: bool) -> tuple[str, str]:
    header = outer.header
    if x12:
        return f"{header.get(5)}:{header.get(6)}", f"{header.get(7)}:{header.get(8)}"
    return f"{header.get(2, 2)}:{header.get(2)}", f"{header.get(3, 2)}:{header.get(3)}"


def _told(part: Part, outer: Part, x12: bool, policy: str) -> dict[str, Any]:
    """Data of the event, most of all which acknowledgments are awaited."""
    identifier = part.header.get(1) if x12 else ""
    answered = (identifier not in _ACKNOWLEDGMENTS) if x12 else part.types != {"CONTRL"}
    asked = x12 or outer.header.get(9) == "1" or policy == ALWAYS
    found: dict[str, Any] = {
        "standard": "X12" if x12 else "EDIFACT",
        "message": "GS" if x12 else "UNB",
        "awaits": ("997" if x12 else "CONTRL") if answered and asked else "",
        "interchange": outer.reference,
        "messages": part.transactions,
        "types": sorted(part.types)[:_MOST_TYPES],
        "test": outer.header.get(15) == "T" if x12 else outer.header.get(11) == "1",
    }
    if x12:
        found |= {"group": part.reference, "identifier": identifier}
        if answered and outer.header.get(14) == "1":
            found["interchange_awaits"] = "TA1"
    return found


def _transmission(headers: Mapping[str, str]) -> dict[str, Any]:
    asked = "as2-to" in headers and bool(headers.get("message-id")) and "disposition-notification-to" in headers
    return {"transmission_awaits": "MDN"} if asked else {}


def _event(
    part: Part,
    outer: Part,
    ends: Correspondent,
    data: dict[str, Any],
    headers: Mapping[str, str],
    zone: str,
    issues: IssueList,
) -> Iterator[CanonicalEvent]:
    x12 = data["standard"] == "X12"
    sender, receiver = _ends(outer, x12)
    header, whole = part.header, outer.header
    sent = _moment(whole.get(9 if x12 else 4), whole.get(10) if x12 else whole.get(4, 2), zone)
    happened = (_moment(header.get(4), header.get(5), zone) if x12 else None) or sent
    if happened is None:
        sentence = "When this was sent cannot be read, so nobody is told when its acknowledgment is late."
        issues.warn("edi.no_time", sentence, part.position, header.text)
        return
    if x12:
        named = [("functional_group", sent_as("GS", header.get(1), part.reference))]
        named += [("interchange", sent_as("ISA", outer.reference))]
    else:
        named = [("functional_group", sent_as("UNB", outer.reference))]
    if "as2-to" in headers and headers.get("message-id"):
        named.append(("interchange", transmission(headers["message-id"])))
    stamp = f"{whole.get(9)}{whole.get(10)}" if x12 else f"{whole.get(4)}{whole.get(4, 2)}"
    label = control_number("GS", part.reference) if x12 else control_number("UNB", outer.reference)
    identity = (
        data["standard"],
        f"{sender}>{receiver}",
        stamp,
        outer.reference,
        str(data.get("identifier", "")),
        label,
    )
    yield CanonicalEvent(
        type="message.sent",
        happened_at=happened.at,
        references=tuple(Reference(kind, value, ends.partner) for kind, value in named),
        source_event_id=":".join(("edi", *identity, "message.sent")),
        sent_at=sent.at if sent else None,
        zone=happened.zone,
        parties={"sender": f"edi:{sender}", "receiver": ends.partner or f"edi:{receiver}"},
        data=data,
        position=part.position,
    )


def transmission(message_id: str) -> str:
    """An AS2 transmission: its Message-ID, which its MDN repeats, without the angle brackets."""
    return message_id.strip().removeprefix("<").removesuffix(">")[:200]


def _moment(date: str, time: str, zone: str) -> times.Moment | None:
    try:
        return times.x12(date, time, "", zone)
    except times.BadTime:
        return None
