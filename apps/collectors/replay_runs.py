"""Replays of many receipts, step by step: tried, approved where many are concerned, done, and what they reached.

A run is rows; a step takes what still waits in it. A worker that dies leaves a lease that runs out, and the next step goes
on. Repeating a step is harmless: events have keys (`replay`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Count, F, Q

from apps.accounts import audit
from apps.accounts.models import User
from apps.collectors import processing, replay, replay_verdicts
from apps.collectors.models import ReceiptState, ReplayItem, ReplayRun
from apps.collectors.replay_verdicts import Judged, Verdict
from apps.flows.models import Flow, Milestone
from apps.flows.sets import columns, raw_cursor

log = structlog.get_logger(__name__)

State = ReplayRun.State
#: receipts of one run
MOST = 10_000
#: receipts of one step: tried in one transaction that holds locks; done
TRY_STEP = 100
DO_STEP = 500
LEASE = timedelta(minutes=3)
#: rounds a step waits for receipts of its own that are put off
_ROUNDS = 50
_LISTED = 50


_ITEMS = """
INSERT INTO collectors_replayitem (run_id, receipt_id, verdict, sentence, flow_ids)
SELECT %b, one, '', '', '{}' FROM unnest(%b::bigint[]) AS one
"""
_JUDGED = """
UPDATE collectors_replayitem AS i SET verdict = t.verdict, sentence = t.sentence, flow_ids = t.flows::bigint[]
FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::text[]) AS t (receipt_id, verdict, sentence, flows)
WHERE i.run_id = %b AND i.receipt_id = t.receipt_id
"""


class NotAllowed(Exception):
    """A verb that this person, or this state of the run, does not allow. The text is a sentence for people."""


def threshold() -> int:
    """Above so many messages a second person must agree."""
    return int(settings.REPLAY_APPROVAL_ABOVE)


def ask(receipt_ids: Sequence[int], what: str, actor: User | None, now: datetime, reason: str = "") -> ReplayRun:
    """A new run over these receipts; it is tried next and changes nothing until it is started. At most `MOST`."""
    wanted = sorted(set(receipt_ids))
    if not wanted:
        raise NotAllowed("There is nothing to replay: choose messages that are still open.")
    if len(wanted) > MOST:
        raise NotAllowed(f"{len(wanted):,} messages; replay at most {MOST:,} at once.")
    with transaction.atomic():
        run = ReplayRun.objects.create(
            what=what[:300], total=len(wanted), asked_at=now, asked_by=actor, reason=reason[:300]
        )
        with raw_cursor() as cursor:
            cursor.execute(_ITEMS, [run.pk, wanted], binary=True)
        _audit(run, "replay.asked", actor, now)
    return run


def start(run_id: int, actor: User | None, now: datetime, reason: str = "") -> ReplayRun:
    """Begins a tried run, or, above the threshold, asks for a second person. Raises `NotAllowed`."""
    with transaction.atomic():
        run = _locked(run_id, State.TRIED)
        if run.total > threshold():
            run.state, run.asked_by, run.reason = State.ASKED, actor, reason[:300] or run.reason
            _audit(run, "replay.approval_asked", actor, now)
        else:
            run.state, run.started_at = State.RUNNING, now
            _audit(run, "replay.started", actor, now)
        run.save()
    return run


def approve(run_id: int, actor: User, now: datetime) -> ReplayRun:
    """The second person's yes. Raises `NotAllowed`, also for the one who asked."""
    with transaction.atomic():
        run = _locked(run_id, State.ASKED)
        if run.asked_by_id == actor.pk:
            raise NotAllowed("A second person must agree: somebody other than who asked for it.")
        run.state, run.approved_at, run.approved_by, run.started_at = State.RUNNING, now, actor, now
        run.save()
        _audit(run, "replay.approved", actor, now)
    return run


def cancel(run_id: int, actor: User, now: datetime) -> ReplayRun:
    """Ends a run that is not done; what was replayed stays replayed. Raises `NotAllowed`."""
    with transaction.atomic():
        run = _locked(run_id, State.TRYING, State.TRIED, State.ASKED, State.RUNNING)
        run.state, run.ended_at = State.CANCELLED, now
        run.save()
        _audit(run, "replay.cancelled", actor, now)
    return run


def _locked(run_id: int, *states: str) -> ReplayRun:
    run = ReplayRun.objects.select_for_update().get(pk=run_id)
    if run.state not in states:
        raise NotAllowed(f"This replay is {run.get_state_display().lower()}.")
    return run


def _audit(run: ReplayRun, action: str, actor: User | None, now: datetime) -> None:
    after = {"what": run.what, "receipts": run.total, "counts": run.counts, "reason": run.reason}
    audit.record(actor, action, f"replay:{run.pk}", None, after, now)


# -- steps ----------------------------------------------------------------------------------------------------------


def advance(now: datetime, only: int | None = None) -> bool:
    """One step of one run that has work (of `only`, if given). False when there is none, or others are at all of them."""
    run = _lease(now, only)
    if run is None:
        return False
    try:
        if run.state == State.TRYING:
            _try(run, now)
        else:
            _do(run, now)
    finally:
        ReplayRun.objects.filter(pk=run.pk).update(lease_until=None)
    return True


def _lease(now: datetime, only: int | None) -> ReplayRun | None:
    with transaction.atomic():
        rows = ReplayRun.objects.filter(Q(lease_until=None) | Q(lease_until__lte=now))
        rows = rows.filter(state__in=[State.TRYING, State.RUNNING]).order_by("pk")
        if only is not None:
            rows = rows.filter(pk=only)
        run = rows.select_for_update(skip_locked=True, of=("self",)).first()
        if run is not None:
            run.lease_until = now + LEASE
            run.save(update_fields=["lease_until"])
        return run


def _try(run: ReplayRun, now: datetime) -> None:
    items = list(ReplayItem.objects.filter(run=run, verdict="").order_by("receipt_id")[:TRY_STEP])
    judged = _judged([item.receipt_id for item in items], now)
    rows_of = [
        (one.receipt_id, str(one.verdict), one.sentence[:300], f"{{{','.join(map(str, one.flow_ids))}}}")
        for one in judged
    ]
    with transaction.atomic():
        with raw_cursor() as cursor:
            cursor.execute(_JUDGED, [*columns(rows_of, 4), run.pk], binary=True)
        rows = ReplayItem.objects.filter(run=run).exclude(verdict="").order_by().values_list("verdict")
        counts = dict(rows.annotate(n=Count("pk")))
        tried = sum(counts.values())
        state = State.TRIED if tried >= run.total else State.TRYING
        ReplayRun.objects.filter(pk=run.pk, state=State.TRYING).update(state=state, tried=tried, counts=counts)


def _judged(ids: Sequence[int], now: datetime) -> list[Judged]:
    """Verdicts; a receipt that no try survives is set apart, and the others are judged without it."""
    if not ids:
        return []
    try:
        return replay_verdicts.judge(ids, now)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if len(ids) > 1:
            half = len(ids) // 2
            return [*_judged(ids[:half], now), *_judged(ids[half:], now)]
        log.exception("replay_try_failed", receipt_id=ids[0])
        return [Judged(ids[0], Verdict.FAILS, f"Processing it fails ({type(error).__name__}); the log says where.")]


def _do(run: ReplayRun, now: datetime) -> None:
    items = list(ReplayItem.objects.filter(run=run, done_at=None).order_by("receipt_id")[:DO_STEP])
    ids = [item.receipt_id for item in items]
    after = replay_verdicts.last_event()
    put_back = replay.replay(ids, run.approved_by or run.asked_by, now).receipts
    for _ in range(_ROUNDS):
        if not put_back or not processing.process(now, only=put_back).moved:
            break
    states = dict(ReceiptState.objects.filter(pk__in=put_back).values_list("pk", "status"))
    events = replay_verdicts.new_events(ids, after)
    reached = _reached(events)
    with transaction.atomic():
        ReplayItem.objects.filter(pk__in=[item.pk for item in items]).update(done_at=now)
        fresh = ReplayRun.objects.select_for_update().get(pk=run.pk)
        fresh.done = ReplayItem.objects.filter(run=run).exclude(done_at=None).count()
        fresh.events = F("events") + sum(len(own) for own in events.values())
        fresh.failed = F("failed") + sum(status == ReceiptState.Status.DEAD for status in states.values())
        fresh.closed = _closed(fresh.closed, reached)
        if fresh.done >= fresh.total and fresh.state == State.RUNNING:
            fresh.state, fresh.ended_at = State.DONE, now
        fresh.save(update_fields=["done", "events", "failed", "closed", "state", "ended_at"])
        if fresh.state == State.DONE:
            _audit(fresh, "replay.done", run.approved_by or run.asked_by, now)


def _reached(events: dict[int, dict[int, tuple[int, ...]]]) -> list[tuple[int, str, str]]:
    """(flow, its label, milestone) of what these events reached, by the evidence the milestones name."""
    own = {pk for told in events.values() for pk in told}
    flows = {flow for told in events.values() for ids in told.values() for flow in ids}
    if not flows:
        return []
    rows = Milestone.objects.filter(flow_id__in=flows, event_id__in=own, actual_at__isnull=False)
    rows = rows.exclude(flow__status=Flow.Status.MERGED).order_by("flow__label", "flow_id", "ordinal")
    return list(rows.values_list("flow_id", "flow__label", "name"))


def _closed(before: dict[str, object], reached: Sequence[tuple[int, str, str]]) -> dict[str, object]:
    """names: milestone -> how often it was reached; first: [flow, label, milestone] of the first ones."""
    old = before.get("names")
    names = Counter(old if isinstance(old, dict) else {})
    names.update(name for _, _, name in reached)
    first = before.get("first")
    listed = [*(first if isinstance(first, list) else []), *([flow, label, name] for flow, label, name in reached)]
    return {"names": dict(sorted(names.items())), "count": sum(names.values()), "first": listed[:_LISTED]}
