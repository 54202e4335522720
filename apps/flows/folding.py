"""The fold: a flow's state as a pure function of the set of its events (invariant 3).

Events are put into one total order (happened_at, content key), so the order of arrival, repetition and batching cannot
show. Of events that share a source's own id but differ in content, the one with the lowest content key speaks and the
others are counted as conflicts: an arbitrary choice, but the same one everywhere.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import orjson

from apps.flows.canonical import FUTURE_TOLERANCE, PAST_TOLERANCE, WITHDRAWN, Key, key_of, source_key_of
from apps.flows.definitions import Catalogue, Definition, MilestoneSpec
from apps.flows.states import PAUSES, FlowState, MilestoneState
from apps.flows.totals import Totals

#: (kind, issuer, value)
RefTuple = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class FoldEvent:
    """A recorded event as the fold reads it. dates hold aware datetimes; partner is the slug of its source's partner."""

    id: int
    type: str
    happened_at: datetime
    sent_at: datetime | None
    received_at: datetime
    booked_at: datetime | None
    references: tuple[RefTuple, ...]
    dates: Mapping[str, datetime]
    parties: Mapping[str, str]
    data: Mapping[str, Any]
    integration_id: int
    partner: str
    source_key: Key
    content_key: Key
    suspect: bool
    backfill: bool


def is_suspect(happened_at: datetime, received_at: datetime, backfill: bool) -> bool:
    """Dated so far into the future, or (live) into the past, that it must not move a deadline."""
    if happened_at > received_at + FUTURE_TOLERANCE:
        return True
    return not backfill and happened_at < received_at - PAST_TOLERANCE


_key_of = lru_cache(maxsize=65536)(key_of)


def flow_key(definition: Definition, own: Collection[RefTuple]) -> tuple[uuid.UUID, str]:
    """Key and label of the flow that these identity references name."""
    first = next(iter(own)) if len(own) == 1 else min(own, key=lambda ref: (definition.rank[ref[0]], ref[1], ref[2]))
    return _key_of(definition.slug, *first), first[2]


def belongs(definition: Definition, own: Collection[RefTuple], references: Sequence[RefTuple]) -> bool:
    """An event that names flows of this definition belongs to those only; one that names none belongs by its links."""
    named = False
    for ref in references:
        if ref[0] in definition.rank:
            if ref in own:
                return True
            named = True
    return not named


class _Fold:
    """Mutable state of one fold."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.reached: dict[str, FoldEvent] = {}
        self.booked: dict[str, datetime] = {}
        self.children: dict[str, dict[RefTuple, bool]] = {}
        self.child_reached: dict[str, dict[RefTuple, FoldEvent]] = {}
        self.dates: dict[str, datetime] = {}
        self.attributes: dict[str, Any] = {}
        self.value: Decimal | None = None
        self.currency = ""
        self.party = ""
        self.source_partner = ""
        self.cancelled_at: datetime | None = None
        self.failed_hops = 0
        self.pauses: list[list[str | None]] = []
        pers = (*(one.per for one in definition.milestones), *(one.per for one in definition.totals))
        self.per_kinds = set(filter(None, pers))
        self.totals = Totals(definition.totals) if definition.totals else None

    def apply(self, event: FoldEvent) -> None:
        definition = self.definition
        if self.per_kinds:
            self._note_children(event)
        for milestone in definition.undoing.get(event.type, ()):
            self.reached.pop(milestone.name, None)
            self.child_reached.pop(milestone.name, None)
        for milestone in definition.reaching.get(event.type, ()):
            if not milestone.when or milestone.holds(event.data):
                self._reach(milestone, event)
        if definition.pauses:
            self._note_pauses(event)
        if event.type in definition.cancelled_by:
            self.cancelled_at = event.happened_at
        elif event.type in definition.reopened_by:
            self.cancelled_at = None
        if event.dates:
            self.dates.update(event.dates)
        data = event.data
        if event.type.startswith("hop."):
            self.failed_hops += event.type == "hop.failed"
        elif data:
            for name in definition.attributes:
                if name in data:
                    self.attributes[name] = data[name]
            if "value" in data:
                self._take_value(data)
            if self.totals is not None:
                self.totals.note(event.type, data, event.references, str(event.source_key))
        if not self.party and definition.partner_role:
            self.party = event.parties.get(definition.partner_role, "")
        if not self.source_partner:
            self.source_partner = event.partner

    def _take_value(self, data: Mapping[str, Any]) -> None:
        try:
            value = Decimal(str(data["value"])).quantize(Decimal("0.01"))
        except (InvalidOperation, ValueError):
            return
        if abs(value) < Decimal("1e15"):
            self.value = value
            self.currency = str(data.get("currency", self.currency))[:3]

    def _note_children(self, event: FoldEvent) -> None:
        for ref in event.references:
            if ref[0] in self.per_kinds:
                void = event.type in self.definition.void_by.get(ref[0], ())
                self.children.setdefault(ref[0], {})[ref] = not void

    def _note_pauses(self, event: FoldEvent) -> None:
        """A pause runs from the first event that begins it to the next that ends it."""
        at = event.happened_at.astimezone(UTC).isoformat()
        for spec in self.definition.pauses:
            running = next((one for one in self.pauses if one[0] == spec.name and one[3] is None), None)
            if running is not None and event.type in spec.ended_by:
                running[3] = at
            elif running is None and spec.begins(event.type, event.data):
                self.pauses.append([spec.name, spec.label, at, None])

    def _reach(self, milestone: MilestoneSpec, event: FoldEvent) -> None:
        if event.booked_at is not None:
            known = self.booked.get(milestone.name)
            if known is None or event.booked_at < known:
                self.booked[milestone.name] = event.booked_at
        if milestone.per and milestone.need == "all":
            named = [ref for ref in event.references if ref[0] == milestone.per]
            table = self.child_reached.setdefault(milestone.name, {})
            for ref in named:
                if milestone.take == "last" or ref not in table:
                    table[ref] = event
            if named:
                return  # told of children; what names none speaks for the whole flow
        if milestone.take == "last" or milestone.name not in self.reached:
            self.reached[milestone.name] = event

    def settle_children(self) -> None:
        """A milestone that needs all children is reached with the last of them that is not void."""
        for milestone in self.definition.milestones:
            if not milestone.per or milestone.need != "all":
                continue
            known = [ref for ref, live in self.children.get(milestone.per, {}).items() if live]
            table = self.child_reached.get(milestone.name, {})
            if known and all(ref in table for ref in known):
                events = [table[ref] for ref in known]
                self.reached[milestone.name] = max(events, key=_order)
            if len(known) > 1:
                self.attributes[f"{milestone.name}_count"] = [sum(ref in table for ref in known), len(known)]


def _order(event: FoldEvent) -> tuple[datetime, Key, Key]:
    return event.happened_at, event.content_key, event.source_key


def effective(events: Sequence[FoldEvent]) -> tuple[list[FoldEvent], int]:
    """Events in total order, one per source key, and how many were left out as conflicting."""
    chosen: dict[Key, FoldEvent] = {}
    conflicts = 0
    for event in events:
        known = chosen.get(event.source_key)
        if known is None:
            chosen[event.source_key] = event
        elif known.content_key != event.content_key:
            conflicts += 1
            if event.content_key < known.content_key:
                chosen[event.source_key] = event
    return sorted(chosen.values(), key=_order), conflicts


def without_withdrawn(ordered: Sequence[FoldEvent]) -> list[FoldEvent]:
    """Events in total order, one per source key, without those their own source took back.

    A taking back may be taken back itself, by a later one. It names the identity of its event; or a type and a moment,
    which are those events of the same source of which the one names every reference that the other does.
    """
    gone: set[int] = set()
    by_key = {event.source_key: place for place, event in enumerate(ordered)}
    by_moment: dict[tuple[int, str, str], list[int]] = {}
    for place, event in enumerate(ordered):
        moment = event.happened_at.astimezone(UTC).isoformat()
        by_moment.setdefault((event.integration_id, event.type, moment), []).append(place)
    for place in range(len(ordered) - 1, -1, -1):
        event = ordered[place]
        told = event.data.get("withdrawn")
        if event.type != WITHDRAWN or place in gone or not isinstance(told, Mapping):
            continue
        if told.get("event_id"):
            named = by_key.get(source_key_of(event.integration_id, str(told["event_id"])), place)
            gone.update({named} - {place})
            continue
        refs = set(event.references)
        for other in by_moment.get((event.integration_id, str(told.get("type")), str(told.get("happened_at"))), ()):
            if other != place and (
                refs.issuperset(ordered[other].references) or refs <= set(ordered[other].references)
            ):
                gone.add(other)
    return [event for place, event in enumerate(ordered) if place not in gone]


def fold(
    catalogue: Catalogue,
    slug: str,
    own: frozenset[RefTuple],
    events: Sequence[FoldEvent],
    resolve: Callable[[str], str],
    flow_id: int = 0,
    partner_ids: Mapping[str, int] | None = None,
) -> FlowState | None:
    """Folds the events of one flow; None when none of them belongs to it.

    own: the flow's identity references; resolve: partner slug for a party as an event names it ('' when unknown);
    flow_id and partner_ids: surrogate ids to note in the state.
    """
    newest = catalogue.active[slug]
    mine = {(e.source_key, e.content_key): e for e in events if belongs(newest, own, e.references)}
    ordered, conflicts = effective(list(mine.values()))
    sound = [e for e in ordered if not e.suspect]
    told = sound or ordered
    if not told:
        return None
    # correlation opens a flow on any opening event; if that one lost a conflict, the flow still stands
    opening = [e for e in told if e.type in newest.opened_by] or told
    opened_at = opening[0].happened_at
    definition = catalogue.at(slug, opened_at)
    state = _Fold(definition)
    for event in without_withdrawn(sound) if any(e.type == WITHDRAWN for e in sound) else sound:
        state.apply(event)
    state.settle_children()
    if state.totals is not None:
        void = {ref for table in state.children.values() for ref, live in table.items() if not live}
        state.attributes.update(state.totals.settle(void))
    if state.pauses:
        state.attributes[PAUSES] = state.pauses
    counts = (conflicts, len(ordered) - len(sound))
    return _state(definition, own, state, ordered, opened_at, counts, resolve, flow_id, partner_ids or {})


def _milestones(definition: Definition, fold_: _Fold) -> dict[str, MilestoneState]:
    found: dict[str, MilestoneState] = {}
    for spec in definition.milestones:
        event = fold_.reached.get(spec.name)
        planned = fold_.dates.get(spec.planned_from) if spec.planned_from else None
        estimated = fold_.dates.get(spec.estimated_from) if spec.estimated_from else None
        if event is None and planned is None and estimated is None:
            continue
        if event is None:
            found[spec.name] = MilestoneState(spec.name, spec.ordinal, planned, estimated)
        else:
            found[spec.name] = MilestoneState(
                spec.name,
                spec.ordinal,
                planned,
                estimated,
                event.happened_at,
                event.sent_at,
                event.received_at,
                fold_.booked.get(spec.name),
                event.id,
                event.integration_id,
            )
    return found


def _progress(definition: Definition, milestones: Mapping[str, MilestoneState]) -> tuple[str, str]:
    """(stage, awaiting). awaiting: the required milestone after the last required one that was reached;
    stage: the last milestone reached before it (an early invoice does not make a parcel delivered).
    """
    reached = {name for name, m in milestones.items() if m.actual_at is not None}
    required = [spec for spec in definition.milestones if not spec.optional]
    done = max((spec.ordinal for spec in required if spec.name in reached), default=-1)
    awaiting = next((spec for spec in required if spec.ordinal > done), None)
    before = len(definition.milestones) if awaiting is None else awaiting.ordinal
    stage = [spec.name for spec in definition.milestones[:before] if spec.name in reached]
    return stage[-1] if stage else "", awaiting.name if awaiting else ""


def _state(
    definition: Definition,
    own: frozenset[RefTuple],
    fold_: _Fold,
    ordered: Sequence[FoldEvent],
    opened_at: datetime,
    counts: tuple[int, int],
    resolve: Callable[[str], str],
    flow_id: int,
    partner_ids: Mapping[str, int],
) -> FlowState:
    milestones = _milestones(definition, fold_)
    stage, awaiting = _progress(definition, milestones)
    key, label = flow_key(definition, own)
    status, closed_at = "open", None
    ends = [milestones[name].actual_at if name in milestones else None for name in definition.completed_by]
    if fold_.cancelled_at is not None:
        status, closed_at = "cancelled", fold_.cancelled_at
    elif ends and all(end is not None for end in ends):
        status, closed_at = "completed", max(end for end in ends if end is not None)
    conflicts, suspects = counts
    partner = (resolve(fold_.party) if fold_.party else "") or fold_.source_partner
    return FlowState(
        definition_id=definition.id,
        definition_slug=definition.slug,
        key=key,
        label=label,
        partner=partner,
        status=status,
        stage=stage,
        awaiting=awaiting if status == "open" else "",
        opened_at=opened_at,
        closed_at=closed_at,
        last_happened_at=max(e.happened_at for e in ordered),
        last_received_at=max(e.received_at for e in ordered),
        milestones=milestones,
        dates=fold_.dates,
        attributes=fold_.attributes,
        value=fold_.value,
        currency=fold_.currency,
        sources=tuple(sorted({e.integration_id for e in ordered})),
        event_count=len(ordered) + conflicts,
        failed_hops=fold_.failed_hops,
        conflicts=conflicts,
        suspects=suspects,
        backfill=all(e.backfill for e in ordered),
        flow_id=flow_id,
        partner_id=partner_ids.get(partner),
    )


def digest_of(state: FlowState) -> Key:
    """Hash of everything the events say. Our own surrogate ids and receipt times are left out: they are not theirs."""
    body = [
        str(state.key),
        state.definition_slug,
        state.label,
        state.partner,
        state.status,
        state.stage,
        state.awaiting,
        state.opened_at,
        state.closed_at,
        state.last_happened_at,
        [
            [m.name, m.planned_at, m.estimated_at, m.actual_at, m.sent_at, m.booked_at]
            for m in state.milestones.values()
        ],
        sorted(state.dates.items()),
        state.attributes,
        None if state.value is None else str(state.value),
        state.currency,
        state.event_count,
        state.failed_hops,
        state.conflicts,
        state.suspects,
    ]
    raw = orjson.dumps(body, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)
    return Key(hashlib.sha256(raw).digest()[:16])
