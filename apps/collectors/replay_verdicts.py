"""What a replay would do to each receipt, found by doing it and rolling it back: applied, superseded, safe, changes, fails.

applied: all it tells is known; superseded: it tells something new, but what flows say was overtaken already; safe: it
only adds (a milestone not reached yet, a new flow, an event that waits for its flow); changes: something told before
would say otherwise; fails: nothing can be read from it still.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from apps.collectors import processing
from apps.collectors.models import ReceiptState, ReplayItem
from apps.collectors.outcomes import Outcome
from apps.flows.canonical import Reference
from apps.flows.models import Event, Flow, FlowReference, Milestone
from apps.flows.sets import raw_cursor

Verdict = ReplayItem.Verdict
#: flows named in one sentence
_NAMED = 2


@dataclass(frozen=True, slots=True)
class Judged:
    """One receipt: verdict, why in words, flows it would touch (those that exist now)."""

    receipt_id: int
    verdict: str
    sentence: str
    flow_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Mark:
    planned: datetime | None
    estimated: datetime | None
    actual: datetime | None
    event_id: int | None


_NOTHING = _Mark(None, None, None, None)


@dataclass(frozen=True, slots=True)
class _Told:
    """A flow as it stands."""

    label: str
    status: str
    marks: Mapping[str, _Mark]


@dataclass(slots=True)
class _Seen:
    """What the rolled-back work left: new events of each receipt with the flows of each event, and those flows."""

    events: dict[int, dict[int, tuple[int, ...]]] = field(default_factory=lambda: defaultdict(dict))
    flows: dict[int, _Told] = field(default_factory=dict)


def judge(receipt_ids: Sequence[int], now: datetime) -> list[Judged]:
    """A verdict for each receipt, in their order. Nothing is written; rows are locked while it looks: few at a time."""
    states = dict(ReceiptState.objects.filter(pk__in=receipt_ids).values_list("pk", "status"))
    ready = [pk for pk in receipt_ids if states.get(pk) in (ReceiptState.Status.DONE, ReceiptState.Status.DEAD)]
    last, seen = last_event(), _Seen()

    def look(outcomes: Sequence[Outcome]) -> None:
        telling = [one.kept.receipt_id for one in outcomes if one.events or one.conflicts]
        if telling:
            _look(telling, last, seen)

    found = {one.kept.receipt_id: one for one in processing.rehearse(ready, now, look)} if ready else {}
    before = _flows(seen.flows)
    judged = []
    for pk in receipt_ids:
        if pk in found:
            judged.append(_judge(found[pk], seen.events.get(pk, {}), before, seen.flows))
        else:
            waits = "It waits to be processed anyway." if pk in states else "Its bytes are no longer kept."
            judged.append(Judged(pk, Verdict.GONE, waits))
    return judged


def last_event() -> int:
    """A number that every event recorded from now on lies above."""
    with raw_cursor() as cursor:
        cursor.execute("SELECT nextval('flows_event_id_seq')")
        row = cursor.fetchone()
        return int(row[0]) if row else 0


def new_events(
    receipt_ids: Sequence[int], after: int, since: datetime | None = None
) -> dict[int, dict[int, tuple[int, ...]]]:
    """receipt -> event -> flows it belongs to, for events recorded above `after` (and received since then)."""
    found_events = Event.objects.filter(pk__gt=after, receipt_id__in=receipt_ids)
    if since is not None:  # lets PostgreSQL skip what is older
        found_events = found_events.filter(received_at__gte=since)
    rows = list(found_events.order_by("pk").values_list("pk", "receipt_id", "references"))
    keys = {pk: [Reference(kind, value, issuer).id for kind, issuer, value in told] for pk, _, told in rows}
    owners: dict[object, list[int]] = defaultdict(list)
    links = FlowReference.objects.filter(reference_id__in={key for own in keys.values() for key in own}, own=True)
    for key, flow_id in links.exclude(flow__status=Flow.Status.MERGED).values_list("reference_id", "flow_id"):
        owners[key].append(flow_id)
    found: dict[int, dict[int, tuple[int, ...]]] = defaultdict(dict)
    for pk, receipt_id, _ in rows:
        found[receipt_id or 0][pk] = tuple(sorted({flow for key in keys[pk] for flow in owners.get(key, ())}))
    return found


def _look(receipt_ids: Sequence[int], after: int, seen: _Seen) -> None:
    events = new_events(receipt_ids, after)
    for receipt_id, own in events.items():
        seen.events[receipt_id].update(own)
    seen.flows.update(_flows({flow for own in events.values() for flows in own.values() for flow in flows}))


def _flows(ids: Iterable[int]) -> dict[int, _Told]:
    wanted = sorted(ids)
    marks: dict[int, dict[str, _Mark]] = defaultdict(dict)
    rows = Milestone.objects.filter(flow_id__in=wanted)
    for one in rows:
        marks[one.flow_id][one.name] = _Mark(one.planned_at, one.estimated_at, one.actual_at, one.event_id)
    flows = Flow.objects.filter(pk__in=wanted).values_list("pk", "label", "status")
    return {pk: _Told(label, status, marks.get(pk, {})) for pk, label, status in flows}


def _judge(
    outcome: Outcome,
    events: Mapping[int, tuple[int, ...]],
    before: Mapping[int, _Told],
    after: Mapping[int, _Told],
) -> Judged:
    pk = outcome.kept.receipt_id
    errors = [issue for issue in outcome.issues if issue.severity == "error"]
    if outcome.is_dead:
        return Judged(pk, Verdict.FAILS, errors[0].sentence[:300])
    left = f" {len(errors)} part{'s' * (len(errors) != 1)} of it still cannot be read." if errors else ""
    touched = tuple(sorted({flow for flows in events.values() for flow in flows}))
    known = tuple(flow for flow in touched if flow in before)
    if outcome.conflicts:
        words = f"It tells {outcome.conflicts} event{'s' * (outcome.conflicts != 1)} otherwise than before, under the same id."
        return Judged(pk, Verdict.CHANGES, words + left, known)
    if not outcome.events:
        words = "All it tells is known." if outcome.incoming else "There is nothing in it to tell."
        return Judged(pk, Verdict.APPLIED, words + left, known)
    changes, gains = _moves(touched, set(events), before, after)
    waiting = sum(not flows for flows in events.values())
    if waiting:
        gains.append(f"{waiting} event{'s' * (waiting != 1)} will wait for {'their' if waiting != 1 else 'its'} flow")
    if changes:
        return Judged(pk, Verdict.CHANGES, _sentence(changes) + left, known)
    if gains:
        return Judged(pk, Verdict.SAFE, _sentence(gains) + left, known)
    return Judged(pk, Verdict.SUPERSEDED, "What it tells was overtaken: no milestone moves." + left, known)


def _moves(
    touched: Sequence[int], own: set[int], before: Mapping[int, _Told], after: Mapping[int, _Told]
) -> tuple[list[str], list[str]]:
    """(what would say otherwise, what would only come to it) in the flows these events touch."""
    changes, gains = [], []
    for flow_id in touched:
        new, old = after.get(flow_id), before.get(flow_id)
        if new is None:
            continue
        if old is None:
            gains.append(f"opens {new.label}")
            continue
        if old.status != Flow.Status.OPEN and new.status != old.status:
            changes.append(f"{new.label} becomes {new.status} again")
        for name, mark in new.marks.items():
            was = old.marks.get(name, _NOTHING)
            words = name.replace("_", " ")
            if was == mark:
                continue
            if mark.event_id in own and mark.actual != was.actual:
                target, verb = (gains, "reaches") if was.actual is None else (changes, "moves")
                target.append(f"{verb} “{words}” of {new.label}")
            elif (was.planned and mark.planned != was.planned) or (was.estimated and mark.estimated != was.estimated):
                changes.append(f"moves the expected time of “{words}” of {new.label}")
    return changes, gains


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts[:_NAMED])
    more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    return f"{text[0].upper()}{text[1:]}{more}."[:280]
