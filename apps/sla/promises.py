"""Keeps what is promised for every period (`sla.occasions`): opens a flow for every occasion when its window opens, so that
what never comes has a deadline as well; says when what was promised is here; and ends what nobody will bring any more.

An event of ours has no receipt, since nobody sent it, and says nothing about whether the feed can be heard. What came is
counted by when it was sent, where its source says so, so that an outage of ours makes nobody late. All of it may be done
twice. After a standstill of the tower every occasion in between is opened; a new promise owes nothing of the past.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Min

from apps.core import heartbeats
from apps.core.models import Heartbeat
from apps.flows import pipeline, registry
from apps.flows.canonical import PAST_TOLERANCE, CanonicalEvent, Reference
from apps.flows.definitions import Definition
from apps.flows.folding import flow_key
from apps.flows.models import Flow, Milestone
from apps.flows.recording import IncomingEvent
from apps.integrations.models import Integration
from apps.sla import expectations, library
from apps.sla.lanes import BoundRule
from apps.sla.models import SlaRule
from apps.sla.occasions import DUE_BY, PROMISE, Every, Occasion
from apps.sla.rules import Book

BEAT = "promises"
#: the definition whose flows are occasions, its milestone, and the kind of reference that names one
FLOW, KEPT, KIND = "promised-messages", "kept", "promise"
#: what was sent in time may be read so much later; a message that names its occasion is waited for so long
READ_LATER = timedelta(hours=1)
NAMED_WAIT = timedelta(days=7)
NAMED_EARLY = timedelta(days=2)
CLOSED = (Integration.Lifecycle.PLANNED, Integration.Lifecycle.RETIRED)

#: when a message counts as here: when it was sent, where its source says so
CAME = "least(received_at, coalesce(sent_at, received_at))"
#: what a feed told of these types (none: of any); an event without a receipt is of our own making
TOLD = """FROM flows_event
WHERE integration_id = %s AND received_at >= %s AND received_at <= %s AND receipt_id IS NOT NULL
  AND (cardinality(%s::text[]) = 0 OR type = ANY(%s::text[]))"""
_ANSWERS = f"""
SELECT {CAME} AS came {TOLD}
  AND (CASE WHEN %s = '' THEN {CAME} >= %s AND {CAME} < %s ELSE data ->> %s = ANY(%s::text[]) END)
ORDER BY came LIMIT %s
"""


class Done(NamedTuple):
    """How many occasions were opened, kept, and ended unkept."""

    opened: int = 0
    kept: int = 0
    lapsed: int = 0


class Promise(NamedTuple):
    rule: BoundRule
    every: Every
    feed: Integration


def keep(now: datetime) -> Done:
    """One round over all promises in force."""
    definition = registry.load().catalogue.active.get(FLOW)
    if definition is None:
        return Done()
    shelf = library.load(now)
    promises = {one.rule.row.slug: one for one in in_force(shelf.book, definition)}
    since = Heartbeat.objects.filter(name=BEAT).values_list("at", flat=True).first()
    made = dict(SlaRule.objects.filter(slug__in=promises).values_list("slug").annotate(first=Min("created_at")))
    opened = sum(_open(one, definition, since, made[slug], now) for slug, one in sorted(promises.items()))
    kept = lapsed = 0
    for flow in Flow.objects.filter(definition__slug=FLOW, status="open").select_related("partner").order_by("pk"):
        promise = promises.get(str(flow.attributes.get(PROMISE)))
        if promise is None:
            lapsed += _end(flow, now)
            continue
        happened = _look(flow, promise, promise.feed.pk in shelf.silent, now)
        kept += happened == KEPT
        lapsed += happened == "lapsed"
    heartbeats.beat(BEAT, now, {"opened": opened, "kept": kept, "lapsed": lapsed})
    return Done(opened, kept, lapsed)


def in_force(book: Book, definition: Definition) -> Iterator[Promise]:
    """The promises in force, on the calendar and in the zone of their feed's partner; of a feed that is not in use none."""
    slugs = {
        str(row.spec["due"]["every"]["from"])
        for row in book.rules
        if row.flow_slug == FLOW and "every" in (row.spec.get("due") or {})
    }
    feeds = Integration.objects.filter(slug__in=slugs, enabled=True).exclude(lifecycle__in=CLOSED)
    for feed in feeds.select_related("partner").order_by("pk"):
        stop = book.stop(definition.id, feed.partner.slug if feed.partner else "", KEPT)
        for rule in stop.rules if stop else ():
            if rule.spec.every is not None and rule.spec.every.feed == feed.slug:
                yield Promise(rule, rule.spec.every, feed)


def _open(promise: Promise, definition: Definition, since: datetime | None, made: datetime, now: datetime) -> int:
    begin = max(now - PAST_TOLERANCE, min(since or now, now))
    wanted = {}
    for one in promise.every.occasions(begin, now, promise.rule.setting):
        if one.due_at > made and (since is None or one.opens_at > since or one.due_at > now):
            value = f"{promise.rule.row.slug}/{one.label}"
            wanted[flow_key(definition, {(KIND, "", value)})[0]] = (value, one)
    known = set(Flow.objects.filter(key__in=wanted).values_list("key", flat=True)) if wanted else set()
    fresh = [pair for key, pair in wanted.items() if key not in known]
    if fresh:
        partner = promise.feed.partner.slug if promise.feed.partner else ""
        events = [_opening(promise, value, one) for value, one in fresh]
        _take([IncomingEvent(event, promise.feed.pk, partner, None, now) for event in events], now)
    return len(fresh)


def _opening(promise: Promise, value: str, one: Occasion) -> CanonicalEvent:
    every = promise.every
    told: dict[str, Any] = {
        PROMISE: promise.rule.row.slug,
        "occasion": one.label,
        "wanted": every.wanted,
        "opens": one.opens_at.isoformat(),
        "closes": one.closes_at.isoformat(),
    }
    if every.messages:
        told["messages"] = list(every.messages)
    return _event(value, "opened", one.opens_at, told, {DUE_BY: one.due_at})


def _look(flow: Flow, promise: Promise, silent: bool, now: datetime) -> str:
    """What became of an open occasion: kept, lapsed, or '' for neither."""
    every, told = promise.every, flow.attributes
    opens_at, closes_at = datetime.fromisoformat(told["opens"]), datetime.fromisoformat(told["closes"])
    due_at = datetime.fromisoformat(flow.dates[DUE_BY]) if flow.dates.get(DUE_BY) else closes_at
    called = names(str(told["occasion"]), len(every.times) == 1)
    types, wanted = list(every.messages), int(told["wanted"])
    until = max(closes_at, due_at + NAMED_WAIT) if every.named_by else closes_at
    with connection.cursor() as cursor:
        begin = opens_at - NAMED_EARLY if every.named_by else opens_at
        values: list[Any] = [promise.feed.pk, begin, now, types, types, every.named_by, opens_at, closes_at]
        cursor.execute(_ANSWERS, [*values, every.named_by, called, wanted])
        came = [row[0] for row in cursor.fetchall()]
    if len(came) >= wanted:
        _tell(flow.label, KEPT, came[-1], {"got": len(came)}, promise, now)
        return KEPT
    if now > until + READ_LATER and not silent:
        _tell(flow.label, "lapsed", until, {"got": len(came)}, promise, now)
        return "lapsed"
    return ""


def _end(flow: Flow, now: datetime) -> bool:
    """Its feed is switched off, or nobody promises it any more: nobody expects it. Ended when its window is over, so that
    a feed that comes back soon finds its occasion as it was."""
    until = datetime.fromisoformat(flow.attributes["closes"])
    feed_id = Milestone.objects.values_list("integration_id", flat=True).get(flow=flow, name="opened")
    if feed_id is None or now <= until + READ_LATER:
        return False
    partner = flow.partner.slug if flow.partner else ""
    _take([IncomingEvent(_event(flow.label, "lapsed", until, {}, {}), feed_id, partner, None, now)], now)
    return True


def names(label: str, once_a_day: bool) -> list[str]:
    """How a message may name an occasion: '2026-03-02 04:00', with a T, or by its day where it is the only one."""
    return [label, label.replace(" ", "T"), *([label[:10]] if once_a_day else ())]


def _tell(label: str, what: str, at: datetime, data: dict[str, Any], promise: Promise, now: datetime) -> None:
    partner = promise.feed.partner.slug if promise.feed.partner else ""
    _take([IncomingEvent(_event(label, what, at, data, {}), promise.feed.pk, partner, None, now)], now)


def _event(value: str, what: str, at: datetime, data: dict[str, Any], dates: dict[str, datetime]) -> CanonicalEvent:
    return CanonicalEvent(
        type=f"promise.{what}",
        happened_at=at,
        references=(Reference(KIND, value),),
        source_event_id=f"promise:{value}:{what}",
        dates=dates,
        data=data,
        position="schedule",
    )


@transaction.atomic
def _take(incoming: list[IncomingEvent], now: datetime) -> None:
    taken = pipeline.take(incoming, now)
    expectations.refresh(taken.states, now)
