"""What a promise for every period would have said of the past: its occasions of the last days as flows nobody opened.

A new promise has no flows yet, so trying it on those that exist would always find nothing. Here its occasions are counted
out from the messages that came, from the feed's first message on: before it nobody owed any. Nothing is written.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import connection

from apps.flows.definitions import Definition
from apps.flows.folding import flow_key
from apps.flows.models import Flow
from apps.flows.states import FlowState, MilestoneState
from apps.sla import promises
from apps.sla.occasions import DUE_BY, PROMISE, Occasion
from apps.sla.rules import Book

_MESSAGES = f"SELECT {promises.CAME} AS came, data ->> %s {promises.TOLD} ORDER BY came"


def states(book: Book, slug: str, now: datetime, days: int) -> list[FlowState]:
    """The occasions of the promise with this slug, as the book has it, whose window opened in these days; newest first.

    A flow's id is 0 where the occasion was never opened as a flow.
    """
    definition = next((one for one in book.definitions.values() if one.slug == promises.FLOW), None)
    if definition is None:
        return []
    begin = now - timedelta(days=days)
    found = []
    for one in promises.in_force(book, definition):
        if one.rule.row.slug == slug:
            came = _came(one, begin, now)
            found += [_state(definition, one, each, _kept(one, each, came)) for each in _owed(one, came, begin, now)]
    known = dict(Flow.objects.filter(key__in=[state.key for state in found]).values_list("key", "id"))
    found = [replace(state, flow_id=known.get(state.key, 0)) for state in found]
    return sorted(found, key=lambda state: state.opened_at, reverse=True)


def _came(promise: promises.Promise, begin: datetime, now: datetime) -> list[tuple[datetime, str | None]]:
    types = list(promise.every.messages)
    with connection.cursor() as cursor:
        since = begin - promises.NAMED_EARLY
        cursor.execute(_MESSAGES, [promise.every.named_by, promise.feed.pk, since, now, types, types])
        return [(came, name) for came, name in cursor.fetchall()]


def _owed(
    promise: promises.Promise, came: Sequence[tuple[datetime, str | None]], begin: datetime, now: datetime
) -> list[Occasion]:
    if not came:
        return []
    first = max(begin, came[0][0])
    every = promise.every.occasions(begin, now, promise.rule.setting)
    return [one for one in every if begin <= one.opens_at and one.due_at > first]


def _kept(promise: promises.Promise, one: Occasion, came: Sequence[tuple[datetime, str | None]]) -> datetime | None:
    """When the last of the wanted messages came, by name or by the window they came in."""
    every = promise.every
    if not every.named_by:
        place = bisect_left(came, one.opens_at, key=lambda pair: pair[0]) + every.wanted - 1
        return came[place][0] if place < len(came) and came[place][0] < one.closes_at else None
    names = promises.names(one.label, len(every.times) == 1)
    begin, end = one.opens_at - promises.NAMED_EARLY, max(one.closes_at, one.due_at + promises.NAMED_WAIT)
    place = bisect_left(came, begin, key=lambda pair: pair[0])
    left = every.wanted
    while place < len(came) and came[place][0] <= end:
        left -= came[place][1] in names
        if not left:
            return came[place][0]
        place += 1
    return None


def _state(definition: Definition, promise: promises.Promise, one: Occasion, kept_at: datetime | None) -> FlowState:
    value = f"{promise.rule.row.slug}/{one.label}"
    key, label = flow_key(definition, {(promises.KIND, "", value)})
    kept = next(spec for spec in definition.milestones if spec.name == promises.KEPT)
    feed = promise.feed
    milestone = MilestoneState(
        kept.name, kept.ordinal, planned_at=one.due_at, actual_at=kept_at, received_at=kept_at, integration_id=feed.pk
    )
    return FlowState(
        definition_id=definition.id,
        definition_slug=definition.slug,
        key=key,
        label=label,
        partner=feed.partner.slug if feed.partner else "",
        status="completed" if kept_at else "open",
        stage=kept.name if kept_at else "",
        awaiting="" if kept_at else kept.name,
        opened_at=one.opens_at,
        closed_at=kept_at,
        last_happened_at=kept_at or one.opens_at,
        last_received_at=kept_at or one.opens_at,
        milestones={kept.name: milestone},
        dates={DUE_BY: one.due_at},
        attributes={PROMISE: promise.rule.row.slug, "occasion": one.label, "wanted": promise.every.wanted},
        sources=(feed.pk,),
    )
