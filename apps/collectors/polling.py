"""Reads the sources that do not send: claims who is due, polls, keeps each batch as a receipt with the cursor after it.

The claim is a lease in `SourceState`, taken with SKIP LOCKED, so any number of workers may call `poll_due`. Every batch
is one transaction: receipt, cursor and what the poller remembers, and only while the lease is still ours. A worker that
dies leaves a cursor that stands exactly behind the last receipt; whoever comes after its lease goes on from there.

A source that cannot be read is marked as unheard since its last word (invariant 7), at once when only a person can help
and else with the third failure in a row: one finding stands for it, its clocks are suspended, and what was judged in
between is taken back. The sweep notices when it speaks again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q, Value
from django.db.models.functions import Coalesce, Greatest

from apps.collectors import folders
from apps.collectors.contract import COLLECTORS, Polled, PollFailed
from apps.collectors.folder_settings import is_named
from apps.collectors.receiving import NewReceipt, store
from apps.collectors.sources import context_of
from apps.core.secrets import SecretUnreadable, decrypt
from apps.flows.canonical import key_of
from apps.incidents.workflow import FindingDraft, clear_findings, raise_findings
from apps.integrations.models import SIGNING, Credential, Integration, SourceState

log = structlog.get_logger(__name__)

#: longer than a round can take; a worker that dies delays its source by at most so long
LEASE = timedelta(minutes=5)
#: hints bring a source forward, but leave it so long between two readings
HURRY = timedelta(seconds=5)
#: seconds a round of one source lasts before it makes room and is due again at once
ROUND = 20.0
INTERVAL = 60
#: after failures in a row: twice the interval, four times .. at last
LAST_PAUSE = timedelta(minutes=15)
#: while there is more to read, what is overdue stays unknown for so long after each round
CATCH_UP = timedelta(minutes=5)
#: failures in a row after which a source counts as unheard
UNHEARD_AFTER = 3
OPEN = (Integration.Lifecycle.ONBOARDING, Integration.Lifecycle.LIVE, Integration.Lifecycle.DEPRECATED)


@dataclass(slots=True)
class PollSummary:
    """What a round of one source did. error: a sentence, '' when all was read; more: it stopped with more to read."""

    slug: str
    batches: int = 0
    receipts: int = 0
    more: bool = False
    error: str = ""


class LeaseLost(Exception):
    """Another worker holds the source now; the batch was not kept, that worker reads it again."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A claimed source: only who holds the lease may write its cursor."""

    integration: Integration
    until: datetime
    cursor: Mapping[str, Any]
    failures: int


def poll_due(now: datetime, limit: int = 20, round_seconds: float = ROUND) -> list[PollSummary]:
    """Polls up to ``limit`` sources that are due, one after the other, the longest waiting first; takes no further one
    after three rounds' time."""
    found: list[PollSummary] = []
    ends = time.monotonic() + 3 * round_seconds
    _ensure_states()
    _hurry(now)
    while len(found) < limit and time.monotonic() < ends:
        lease = _claim(now, Q(next_poll_at__isnull=True) | Q(next_poll_at__lte=now))
        if lease is None:
            break
        found.append(_round(lease, now, round_seconds))
    return found


def poll_one(slug: str, now: datetime, round_seconds: float = ROUND) -> PollSummary | None:
    """Polls one source now, due or not. None when another worker is at it. Raises Integration.DoesNotExist."""
    integration = Integration.objects.get(slug=slug)
    SourceState.objects.get_or_create(integration=integration)
    lease = _claim(now, Q(integration=integration))
    return _round(lease, now, round_seconds) if lease else None


def polling_kinds() -> list[str]:
    return sorted(kind for kind, collector in COLLECTORS.plugins.items() if collector.polls)


def reading() -> Q:
    """Integrations that do not wait to be sent to: their kind reads by itself and they say where, or they name a
    watched folder."""
    found = _filled("folder")
    for kind in polling_kinds():
        needs = COLLECTORS.get(kind).poll_needs
        says_where = reduce(or_, map(_filled, needs)) if needs else Q()
        found |= Q(kind=kind) & says_where
    return found


def _filled(setting: str) -> Q:
    return Q(settings__has_key=setting) & ~Q(**{f"settings__{setting}": ""})


def _due() -> Q:
    return Q(integration__in=Integration.objects.filter(reading(), enabled=True, lifecycle__in=OPEN))


def _ensure_states() -> None:
    missing = Integration.objects.filter(reading(), state__isnull=True)
    SourceState.objects.bulk_create([SourceState(integration=one) for one in missing], ignore_conflicts=True)


def _hurry(now: datetime) -> None:
    """Makes sources due that a hint came for since they were read (`Collector.hints_for`). A source that fails keeps its
    pace, and nobody can have one read more often than every few seconds."""
    kinds = {kind: one.hints_for for kind, one in COLLECTORS.plugins.items() if one.hints_for}
    doors = Integration.objects.filter(kind__in=kinds, enabled=True, state__last_received_at__isnull=False)
    for kind, own, hinted_at in doors.values_list("kind", "settings", "state__last_received_at"):
        if hinted_at is None:
            continue
        SourceState.objects.filter(
            integration__slug=str(own.get("source") or ""),
            integration__kind=kinds[kind],
            failures=0,
            next_poll_at__gt=now,
            last_success_at__lt=min(hinted_at, now - HURRY),
        ).update(next_poll_at=now)


def _claim(now: datetime, which: Q) -> Lease | None:
    with transaction.atomic():
        state = (
            SourceState.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("integration__partner", "integration__mapping")
            .filter(_due(), which, Q(poll_lease_until__isnull=True) | Q(poll_lease_until__lte=now))
            .order_by("next_poll_at", "integration_id")
            .first()
        )
        if state is None:
            return None
        until = now + LEASE
        SourceState.objects.filter(pk=state.pk).update(poll_lease_until=until)
    return Lease(state.integration, until, state.cursor, state.failures)


def _round(lease: Lease, now: datetime, round_seconds: float) -> PollSummary:
    """One round of one source; whatever happens, the lease is given back with the time of the next one."""
    summary = PollSummary(lease.integration.slug)
    try:
        _read(lease, now, time.monotonic() + round_seconds, summary)
    except LeaseLost:
        summary.error = "Another worker took this source over."
        return summary
    except PollFailed as error:
        summary.error = str(error)
        _failed(lease, summary.error, now, permanent=error.permanent, partial=error.partial)
        return summary
    except Exception as error:
        summary.error = f"The collector failed on a defect of its own ({type(error).__name__}); the log says more."
        log.exception("poll_defect", integration=summary.slug)
        _failed(lease, summary.error, now)
        return summary
    _succeeded(lease, summary.more, now)
    return summary


def _read(lease: Lease, now: datetime, ends: float, summary: PollSummary) -> None:
    collector = COLLECTORS.get(lease.integration.kind)
    source = context_of(lease.integration)
    if is_named(source.settings):
        batches = folders.watch(collector, source.settings, settings.DROP_ROOT, lease.cursor, now)
    else:
        batches = collector.poll(source, _secrets(lease.integration, now), lease.cursor, now)
    try:
        for batch in batches:
            _keep(lease, batch, now)
            summary.batches += 1
            summary.receipts += bool(batch.body)
            if (batch.body or batch.remember) and time.monotonic() >= ends:
                summary.more = True
                return
    finally:
        close: Callable[[], None] | None = getattr(batches, "close", None)
        if close:
            close()


def _keep(lease: Lease, batch: Polled, now: datetime) -> None:
    """Receipt, cursor and memory in one commit. Raises LeaseLost, and then nothing is kept."""
    with transaction.atomic():
        held = SourceState.objects.filter(pk=lease.integration.pk, poll_lease_until=lease.until)
        if not held.update(cursor=dict(batch.cursor)):
            raise LeaseLost
        if batch.remember is not None:
            batch.remember()
        if batch.body:
            receipt = NewReceipt(
                integration_id=lease.integration.pk,
                door="poll",
                body=batch.body,
                content_type=batch.content_type,
                headers=batch.headers,
                delivery_id="",
                received_at=now,
                backfill=batch.backfill,
            )
            store([receipt])
    if batch.committed is not None:
        batch.committed()


def _secrets(integration: Integration, now: datetime) -> list[str]:
    """Live secrets, what was stored to read with before what proves who sends, the newest first."""
    rows = Credential.objects.live(now).filter(integration=integration)
    try:
        return [decrypt(one.ciphertext) for one in sorted(rows, key=lambda one: one.purpose == SIGNING)]
    except SecretUnreadable:
        raise PollFailed(
            "The stored credential cannot be opened: the tower's SECRETS_KEYS have changed. Store the credential anew.",
            permanent=True,
        ) from None


def _interval(integration: Integration) -> timedelta:
    try:
        return timedelta(seconds=max(1, int(integration.settings.get("poll_seconds") or INTERVAL)))
    except (TypeError, ValueError):
        return timedelta(seconds=INTERVAL)


def _succeeded(lease: Lease, more: bool, now: datetime) -> None:
    """Heard in full. That it speaks again after a silence, the sweep says: it takes up the clocks with it."""
    changes: dict[str, Any] = {"catching_up_until": now + CATCH_UP} if more else {}
    SourceState.objects.filter(pk=lease.integration.pk, poll_lease_until=lease.until).update(
        poll_lease_until=None,
        next_poll_at=now if more else now + _interval(lease.integration),
        last_success_at=now,
        failures=0,
        last_error="",
        **changes,
    )
    if lease.failures:
        clear_findings([_partly(lease.integration)], f"{lease.integration.name} is read in full again", now)


def _failed(lease: Lease, sentence: str, now: datetime, *, permanent: bool = False, partial: bool = False) -> None:
    """Asks again later, ever more seldom; what only a person can heal at the slowest pace at once. A source that was
    read in part keeps its pace."""
    interval, failures = _interval(lease.integration), lease.failures + 1
    pause = LAST_PAUSE if permanent else min(interval * 2 ** min(lease.failures, 10), LAST_PAUSE)
    with transaction.atomic():
        SourceState.objects.filter(pk=lease.integration.pk, poll_lease_until=lease.until).update(
            poll_lease_until=None,
            next_poll_at=now + (interval if partial else pause),
            last_error_at=now,
            last_error=sentence,
            failures=failures,
        )
        if partial:
            raise_findings([_finding(lease.integration, sentence, now, None)], now)
        elif permanent or failures >= UNHEARD_AFTER:
            _unheard(lease.integration, sentence, now)
    log.warning("poll_failed", integration=lease.integration.slug, failures=failures, permanent=permanent)


def _unheard(integration: Integration, sentence: str, now: datetime) -> None:
    """Its clocks are suspended from its last word on; one finding stands for the feed until the sweep hears it again."""
    heard_at = Greatest("last_received_at", "last_success_at")
    SourceState.objects.filter(pk=integration.pk, stale_since__isnull=True).update(
        stale_since=Coalesce(heard_at, Value(now)), stale_reason=sentence[:200], catching_up_until=None
    )
    since = SourceState.objects.values_list("stale_since", flat=True).get(pk=integration.pk) or now
    raise_findings([_finding(integration, sentence, now, since)], now)


def _finding(integration: Integration, sentence: str, now: datetime, since: datetime | None) -> FindingDraft:
    """since: when it was last heard; None when it is read in part."""
    key = key_of("source.stale", integration.slug) if since else _partly(integration)
    heard = f"{integration.name} was last read {since:%Y-%m-%d %H:%M} UTC. " if since else ""
    title = f"{integration.name} cannot be read" if since else f"{integration.name} is read only in part"
    return FindingDraft(
        key=key,
        kind="source.stale" if since else "source.partial",
        cause=key,
        incident_title=title,
        severity=integration.criticality,
        sentence=heard + sentence,
        evidence={"error": sentence} | ({"last_heard_at": since.isoformat()} if since else {}),
        integration_id=integration.pk,
        partner_id=integration.partner_id,
        team_id=integration.team_id,
    )


def _partly(integration: Integration) -> uuid.UUID:
    return key_of("source.partial", integration.slug)
