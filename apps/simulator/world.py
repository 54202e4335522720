"""The pretend trading network: who is in it, and the stories of its orders. Pure and reproducible from a seed.

A shop ("Bright Shop") sells furniture of the house "Harbor & Pine", whose Odoo runs orders and purchases; two 3PLs
ship, two carriers deliver, three suppliers send goods and EDI; a part of it is told by other systems in formats of their
own (`formats`). Every company is fictional. A `Story` is one order or one
purchase with all its messages, and what was broken in it on purpose (`fault`), so that what the tower says can be
held against what is true.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from apps.simulator.faults import BERLIN, DEMO, Faults
from apps.simulator.formats import asides, choosing

ORDERS_PER_WEEKDAY = 220
PURCHASES_PER_WEEKDAY = 12
#: orders by local hour
DAY_SHAPE = [1, 1, 1, 1, 1, 2, 4, 8, 12, 14, 14, 12, 12, 12, 12, 12, 11, 11, 12, 14, 14, 10, 6, 3]
WAREHOUSES = {"north-3pl": "WH-N", "rhein-3pl": "WH-R"}
CARRIERS = {"swift-parcel": "SWFT", "blue-freight": "BLFR"}
NO_TIME = timedelta(0)
SUPPLIERS = ("metalworks", "oakline", "nordtex")


@dataclass(frozen=True, slots=True)
class Message:
    """One message on the wire: when it happened, was sent and arrives; which integration; what it says.

    facts are the sender's own words: `simulator.wire` writes them in that sender's format.
    """

    at: datetime
    sent_at: datetime
    arrives_at: datetime
    integration: str
    what: str
    facts: dict[str, Any]


@dataclass(slots=True)
class Story:
    """All messages of one order or purchase, in the order they arrive. fault: '' or what was broken on purpose."""

    key: str
    fault: str
    messages: list[Message] = field(default_factory=list)

    @property
    def ends_at(self) -> datetime:
        return max(m.arrives_at for m in self.messages)


def stories_of(day: date, seed: int, faults: Faults = DEMO) -> Iterator[Story]:
    """Every story that begins on a local day."""
    chance = random.Random(f"{seed}/{day.isoformat()}")
    weekend = day.weekday() >= 5
    for number in range(round(ORDERS_PER_WEEKDAY * (0.6 if weekend else 1) * chance.uniform(0.9, 1.1))):
        yield _order(day, number, random.Random(f"{seed}/{day.isoformat()}/order/{number}"), faults)
    if not weekend:
        for number in range(PURCHASES_PER_WEEKDAY):
            yield _purchase(day, number, random.Random(f"{seed}/{day.isoformat()}/purchase/{number}"), faults)
    yield _background(day, random.Random(f"{seed}/{day.isoformat()}/background"), faults)


class _Teller:
    """Collects a story's messages with the delays of its senders."""

    def __init__(self, chance: random.Random, key: str, fault: str, faults: Faults) -> None:
        self.chance = chance
        self.story = Story(key, fault)
        self.faults = faults

    def tell(
        self,
        integration: str,
        what: str,
        at: datetime,
        facts: dict[str, Any],
        *,
        delay: float = 20.0,
        unsent: timedelta = NO_TIME,
        stuck: timedelta = NO_TIME,
    ) -> None:
        """delay: seconds until it is sent, on average; unsent: kept so much longer; stuck: so much longer on its way."""
        sent = at + timedelta(seconds=self.chance.expovariate(1 / delay) + 0.4) + unsent
        arrives = sent + timedelta(seconds=self.chance.expovariate(1 / 1.5) + 0.1) + stuck
        if ends := self.faults.silent_until(integration, arrives):
            arrives = ends.astimezone(UTC) + timedelta(seconds=self.chance.uniform(5, 240))
        self.story.messages.append(Message(at, sent, arrives, integration, what, facts))

    def tell_aside(self, told: Iterable[asides.Aside]) -> None:
        for one in told:
            self.tell(one.integration, one.what, one.at, one.facts)

    def done(self) -> Story:
        self.story.messages.sort(key=lambda m: m.arrives_at)
        return self.story


def _local(day: date, hour: float) -> datetime:
    whole = timedelta(hours=hour)
    return (datetime.combine(day, time(0), tzinfo=BERLIN) + whole).astimezone(UTC)


def next_workday(day: date) -> date:
    day += timedelta(days=1)
    while day.weekday() >= 5:
        day += timedelta(days=1)
    return day


def _workday(day: date) -> date:
    return day if day.weekday() < 5 else next_workday(day)


def _fault(chance: random.Random, shares: Mapping[str, float]) -> str:
    roll = chance.random()
    for name, share in shares.items():
        roll -= share
        if roll < 0:
            return name
    return ""


def _order(day: date, number: int, chance: random.Random, faults: Faults) -> Story:
    fault = _fault(chance, faults.orders)
    placed = _local(day, chance.choices(range(24), DAY_SHAPE)[0] + chance.random())
    stem = f"{day:%y%m%d}{number:03d}"
    shop, issuer = choosing.shop_of(stem)
    order, channel, picking = f"S{stem}", choosing.channel_number(stem, shop), f"OUT{stem}"
    warehouse = "north-3pl" if chance.random() < 0.6 else "rhein-3pl"
    carrier = "swift-parcel" if chance.random() < 0.7 else "blue-freight"
    express = chance.random() < 0.25
    teller = _Teller(chance, order, fault, faults)
    value = round(min(4000.0, chance.lognormvariate(4.6, 0.8)), 2)
    cut_off = placed.astimezone(BERLIN)
    ship_day = _workday(cut_off.date()) if cut_off.hour < 13 else next_workday(cut_off.date())
    promise = ship_day
    for _ in range(1 if express else 3):
        promise = next_workday(promise)
    facts = {
        "order": order,
        "channel": channel,
        "shop": shop,
        "issuer": issuer,
        "picking": f"{WAREHOUSES[warehouse]}/{picking}",
        "warehouse": warehouse,
        "carrier": carrier,
        "service": "express" if express else "standard",
        "value": value,
        "country": chance.choices(["DE", "FR", "NL", "AT", "PL"], [60, 14, 10, 9, 7])[0],
        "lines": chance.randint(1, 6),
        "ship_by": ship_day.isoformat(),
        "promise": promise.isoformat(),
    }
    held = timedelta(minutes=chance.uniform(80, 200)) if fault in ("order_stuck", "shop_batch") else NO_TIME
    teller.tell(
        shop,
        "order",
        placed,
        facts,
        delay=2,
        unsent=held if fault == "shop_batch" else NO_TIME,
        stuck=held if fault == "order_stuck" else NO_TIME,
    )
    if fault == "told_twice":
        again = teller.story.messages[-1]
        later = again.arrives_at + timedelta(seconds=chance.uniform(10, 90))
        teller.story.messages.append(Message(again.at, again.sent_at, later, again.integration, "order", facts))
    minutes = chance.uniform(80, 200) if fault == "odoo_slow" else chance.uniform(0.3, 4)
    created = placed + held + timedelta(minutes=minutes)
    _transfer(teller, facts, placed, created, failed=fault == "failed_hop")
    teller.tell("odoo-bus", "order.created", created, facts)
    released = created + timedelta(minutes=chance.uniform(3, 40))
    teller.tell("odoo-bus", "order.released", released, facts)
    leaves = _fulfil(teller, facts, released, ship_day, fault)
    teller.tell_aside(asides.of_order(facts, created, released, leaves))
    return teller.done()


def _transfer(teller: _Teller, facts: dict[str, Any], placed: datetime, created: datetime, *, failed: bool) -> None:
    """The middleware's trace of carrying the order from the shop to Odoo."""
    if not failed and teller.chance.random() > 0.3:
        return
    trace = teller.chance.randbytes(16).hex()
    if failed:
        teller.tell(
            "middleware-traces", "trace", placed + timedelta(seconds=3), {**facts, "trace": trace, "failed": True}
        )
    seconds = (created - placed).total_seconds()
    at = placed + timedelta(seconds=min(20.0, seconds / 2))
    teller.tell("middleware-traces", "trace", at, {**facts, "trace": trace, "failed": False})


def _fulfil(teller: _Teller, facts: dict[str, Any], released: datetime, ship_day: date, fault: str) -> datetime:
    """Returns when the goods leave the warehouse."""
    chance = teller.chance
    wms = "north-wms" if facts["warehouse"] == "north-3pl" else "rhein-wms"
    start = max(released, _local(ship_day, 6.5)) + timedelta(minutes=chance.uniform(2, 20))
    if fault == "shipped_late":
        start = max(start, _local(next_workday(ship_day), 8))
    teller.tell("odoo-bus", "stock.allocated", start, facts)
    teller.tell(wms, "accepted", start + timedelta(minutes=2), facts)
    picked = start + timedelta(minutes=chance.uniform(20, 150))
    teller.tell(wms, "picked", picked, facts)
    packed = picked + timedelta(minutes=chance.uniform(10, 45))
    parcels = [
        f"{CARRIERS[facts['carrier']]}{chance.randrange(10**11):011d}"
        for _ in range(2 if chance.random() < 0.15 else 1)
    ]
    for parcel in parcels:
        teller.tell(wms, "packed", packed, {**facts, "parcel": parcel})
    leaves = max(packed + timedelta(minutes=10), _local(packed.astimezone(BERLIN).date(), 17))
    teller.tell(wms, "shipped", leaves, {**facts, "parcels": parcels})
    teller.tell("odoo-bus", "invoice.posted", leaves + timedelta(minutes=chance.uniform(20, 90)), facts)
    for number, parcel in enumerate(parcels):
        if fault == "never_scanned" and number == 0:
            continue
        _deliver(teller, {**facts, "parcel": parcel}, leaves, fault)
    return leaves


def _deliver(teller: _Teller, facts: dict[str, Any], leaves: datetime, fault: str) -> None:
    chance = teller.chance
    by_swift = facts["carrier"] == "swift-parcel"
    feed = choosing.parcel_feed(facts["parcel"]) if by_swift else "blue-edi"
    delay = 40.0 if by_swift else 400.0
    scan = leaves + timedelta(hours=chance.uniform(1, 5))
    teller.tell(feed, "picked_up", scan, facts, delay=delay * 60 if fault == "out_of_order" else delay)
    hub = scan + timedelta(hours=chance.uniform(4, 9))
    teller.tell(feed, "in_transit", hub, facts, delay=delay)
    if fault == "unknown_code":
        teller.tell(feed, "unknown", hub + timedelta(hours=1), facts, delay=delay)
    day = leaves.astimezone(BERLIN).date()
    for _ in range(1 if facts["service"] == "express" or chance.random() < 0.6 else 2):
        day = next_workday(day)
    if fault == "delivered_late":
        for _ in range(chance.randint(2, 4)):
            day = next_workday(day)
    out = _local(day, chance.uniform(7, 9))
    if by_swift:
        teller.tell(feed, "out_for_delivery", out, facts, delay=delay)
    teller.tell(feed, "delivered", out + timedelta(hours=chance.uniform(1, 8)), facts, delay=delay)


def _purchase(day: date, number: int, chance: random.Random, faults: Faults) -> Story:
    fault = _fault(chance, faults.purchases)
    supplier = chance.choice(SUPPLIERS)
    stem = f"{day:%y%m%d}{number:02d}"
    scanner = choosing.arrival_feed(f"DA{stem}")
    ordered = _local(day, chance.uniform(8, 15))
    arrival_day = day
    for _ in range(chance.randint(3, 7)):
        arrival_day = next_workday(arrival_day)
    arrival = _local(arrival_day, chance.uniform(9, 14))
    teller = _Teller(chance, f"P{stem}", fault, faults)
    facts = {
        "purchase": f"P{stem}",
        "supplier": supplier,
        "advice": f"DA{stem}",
        "control": f"{day.toordinal() % 1000:03d}{number:04d}",
        "value": round(chance.lognormvariate(8.2, 0.6), 2),
        "expected": arrival.isoformat(),
        "packages": chance.randint(1, 4),
        "quantity": chance.randint(20, 400),
        "broken": fault == "broken_envelope",
    }
    teller.tell("odoo-bus", "purchase.sent", ordered, facts)
    if fault != "ack_missing":
        teller.tell(f"{supplier}-edi", "functional_ack", ordered + timedelta(minutes=chance.uniform(4, 50)), facts)
    teller.tell("odoo-bus", "purchase.acknowledged", ordered + timedelta(hours=chance.uniform(3, 26)), facts)
    departs = arrival - timedelta(hours=chance.uniform(18, 30))
    if fault == "asn_late":
        teller.tell(f"{supplier}-edi", "advice", arrival - timedelta(hours=chance.uniform(0.5, 4)), facts, delay=300)
    elif fault != "asn_missing":
        teller.tell(f"{supplier}-edi", "advice", departs, facts, delay=300)
    teller.tell(scanner, "goods_arrived", arrival, facts)
    received = arrival + timedelta(hours=chance.uniform(1, 4))
    teller.tell("odoo-bus", "goods.received", received, facts)
    teller.tell_aside(asides.of_purchase(facts, departs))
    return teller.done()


def _background(day: date, chance: random.Random, faults: Faults) -> Story:
    """What systems write of themselves on a day: it belongs to no order and no purchase."""
    teller = _Teller(chance, f"D{day:%y%m%d}", "", faults)
    for hour in asides.GATEWAY_HOURS:
        teller.tell("api-gateway", "access_log", _local(day, hour), {})
    if day.weekday() < 5:
        teller.tell("rhein-stock", "stock_list", _local(day, asides.STOCK_AT), {}, delay=120)
    teller.tell("returns-desk", "desk_log", _local(day, asides.DESK_AT), {}, delay=120)
    return teller.done()
