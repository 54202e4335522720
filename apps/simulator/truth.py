"""The truth of a simulated network, worked out from its stories and never from the tower: what was due, when it really
happened, whether it was told, and by which hop it went wrong. `scoring` holds the tower's ledger against it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from apps.simulator.carrying import DELIVERED, LATE, LOST, Carried, Journey
from apps.simulator.faults import BERLIN
from apps.simulator.wire import stamp
from apps.simulator.world import Message

ON_TIME, TOO_LATE, MISSING = "on_time", "late", "missing"
PROCESS, PARTNER, TRANSPORT = "process", "partner", "transport"
#: faults of a story -> the hop that is to blame
HOPS = {
    "odoo_slow": PROCESS,
    "order_stuck": TRANSPORT,
    "shop_batch": PARTNER,
    "shipped_late": PROCESS,
    "delivered_late": PROCESS,
    "asn_late": PROCESS,
    "never_scanned": PARTNER,
    "asn_missing": PARTNER,
    "ack_missing": PARTNER,
    "broken_envelope": PARTNER,
}
IN_ODOO = timedelta(minutes=15)
ASN_BEFORE = timedelta(hours=6)
FIRST_SCAN = timedelta(hours=24)
#: messages that tell of a first scan
SCANS = ("picked_up", "in_transit")


@dataclass(frozen=True, slots=True)
class Awaited:
    """One milestone that was due. happened_at: in the pretend world (None: never); told_at: when the tower could know.

    verdict: on_time, late, or missing (never happened, or was never told). hop: who is to blame; '' if on time.
    """

    flow: str
    label: str
    milestone: str
    due_at: datetime
    happened_at: datetime | None
    told_at: datetime | None
    verdict: str
    hop: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.flow, self.milestone, self.label


def awaited(journeys: Iterable[Journey]) -> list[Awaited]:
    """Every milestone whose deadline the tower could know of; what lost messages hid from it is left out."""
    return [one for journey in journeys for one in (_order(journey) if _is_order(journey) else _purchase(journey))]


def _is_order(journey: Journey) -> bool:
    return journey.story.key.startswith("S")


def _end_of(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(23, 59, 59), tzinfo=BERLIN)


def _judge(
    journey: Journey, flow: str, label: str, milestone: str, due: datetime, happened: Message | None, told: bool
) -> Awaited:
    fault = journey.story.fault
    if happened is None or not told:
        hop = HOPS.get(fault, TRANSPORT) if happened is None else TRANSPORT
        at = happened.at if happened else None
        return Awaited(flow, label, milestone, due, at, None, MISSING, hop)
    late = happened.at.replace(microsecond=0) > due
    verdict, hop = (TOO_LATE, HOPS.get(fault, PROCESS)) if late else (ON_TIME, "")
    return Awaited(flow, label, milestone, due, happened.at, happened.arrives_at, verdict, hop)


def _happened(journey: Journey, what: str, **facts: object) -> list[Carried]:
    return [
        one
        for one in journey.carried
        if one.message.what == what and all(one.message.facts.get(name) == value for name, value in facts.items())
    ]


def _first(journey: Journey, what: str) -> Message | None:
    """What really happened, told or not."""
    return next((one.message for one in _happened(journey, what)), None)


def _order(journey: Journey) -> Iterator[Awaited]:
    label = journey.story.key
    facts = journey.story.messages[0].facts
    placed, created = journey.told("order"), journey.told("order.created")
    if created is None:
        # nothing ever tied the shop's number to Odoo's: the tower knows the order by its channel number
        label = facts["channel"]
    if placed is not None:
        happened = _first(journey, "order.created")
        told = created is not None
        yield _judge(journey, "order-to-ship", label, "in_odoo", placed.at + IN_ODOO, happened, told)
    if placed is None or created is None:
        return  # the promises stand in the shop's words; without them, or without the tie, they are not known
    shipped, told = _first(journey, "shipped"), journey.told("shipped") is not None
    yield _judge(journey, "order-to-ship", label, "shipped", _end_of(facts["ship_by"]), shipped, told)
    yield from _parcels(journey, label, facts)


def _parcels(journey: Journey, label: str, facts: dict[str, Any]) -> Iterator[Awaited]:
    shipped = journey.told("shipped")
    leaving = _first(journey, "shipped")
    parcels: list[str] = leaving.facts["parcels"] if leaving is not None else []
    known = [parcel for parcel in parcels if journey.told("packed", parcel=parcel)]
    if shipped is None or len(known) < len(parcels):
        return  # a parcel nobody tied to its order
    ends = []
    for parcel in parcels:
        scans = [one for what in SCANS for one in _happened(journey, what, parcel=parcel)]
        told = [one for one in scans if one.fate != LOST]
        first = min((one.message for one in told or scans), key=lambda message: message.at, default=None)
        yield _judge(journey, "parcel", parcel, "first_scan", shipped.at + FIRST_SCAN, first, bool(told))
        ends.append(next(iter(_happened(journey, "delivered", parcel=parcel)), None))
    last = max((one for one in ends if one), key=lambda one: one.message.at, default=None)
    whole = all(one is not None and one.fate != LOST for one in ends)
    happened = last.message if last is not None and all(ends) else None
    yield _judge(journey, "order-to-ship", label, "delivered", _end_of(facts["promise"]), happened, whole)


def _purchase(journey: Journey) -> Iterator[Awaited]:
    sent = journey.told("purchase.sent")
    if sent is None:
        return
    facts = sent.facts
    expected = datetime.fromisoformat(facts["expected"])
    advice = _first(journey, "advice")
    readable = journey.told("advice") is not None and journey.story.fault != "broken_envelope"
    due = (expected - ASN_BEFORE).replace(microsecond=0)
    yield _judge(journey, "purchase", journey.story.key, "asn", due, advice, readable)
    received = _first(journey, "goods.received")
    end = _end_of(expected.astimezone(BERLIN).date().isoformat())
    told = journey.told("goods.received") is not None
    yield _judge(journey, "purchase", journey.story.key, "received", end, received, told)


def as_json(journeys: Iterable[Journey], verdicts: Iterable[Awaited], header: dict[str, Any]) -> dict[str, Any]:
    """The truth file: what was asked for, every story with the fate of each message, every milestone that was due."""
    return {
        **header,
        "stories": [
            {
                "key": journey.story.key,
                "fault": journey.story.fault,
                "messages": [_message(one) for one in journey.carried],
            }
            for journey in journeys
        ],
        "awaited": [
            {name: stamp(value) if isinstance(value, datetime) else value for name, value in asdict(one).items()}
            for one in verdicts
        ],
    }


def _message(one: Carried) -> dict[str, Any]:
    message = one.message
    told: dict[str, Any] = {
        "integration": message.integration,
        "what": message.what,
        "happened_at": stamp(message.at),
        "sent_at": stamp(message.sent_at),
        "arrived_at": [stamp(arrival.arrives_at) for arrival in one.arrives],
        "fate": one.fate,
    }
    if one.fate != DELIVERED:
        told["hop"] = TRANSPORT
    if one.fate == LATE:
        told["late_by_seconds"] = round((message.arrives_at - message.sent_at).total_seconds())
    return told
