"""Feeds: counts what came by integration, type and hour, learns what is usual, and says when a feed falls silent.

A whole integration that fell silent also marks its source as unheard, so that the clocks that depend on it are suspended
(invariant 7); `sla.sources` takes that back as soon as it speaks again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction

from apps.anomalies.contract import DETECTORS
from apps.anomalies.detectors.feed import HOUR, Profile, SilentFeed, Verdict, hour_of_week
from apps.anomalies.models import FeedCount, FeedProfile
from apps.core.heartbeats import beat
from apps.flows.canonical import key_of
from apps.flows.catalogue import label_of_event
from apps.flows.recording import NewEvent
from apps.flows.sets import columns, raw_cursor
from apps.incidents.models import Finding
from apps.incidents.workflow import FindingDraft, clear_findings, raise_findings
from apps.integrations.models import Integration, SourceState

HISTORY = timedelta(weeks=8)
REFIT = timedelta(hours=20)
#: how late messages usually are when the integration says nothing about it
PATIENCE = timedelta(minutes=10)
PATIENCE_BATCH = timedelta(minutes=45)
PLOT_HOURS = 24

_COUNT = """
INSERT INTO anomalies_feedcount (integration_id, event_type, hour, n)
SELECT * FROM unnest(%b::bigint[], %b::text[], %b::timestamptz[], %b::bigint[])
ON CONFLICT (integration_id, event_type, hour) DO UPDATE SET n = anomalies_feedcount.n + excluded.n
"""


@dataclass(frozen=True, slots=True)
class Ticked:
    """What one round did. feeds: judged; silent: keys of feeds found silent; back: findings cleared; fitted: profiles."""

    feeds: int
    silent: list[str]
    back: int
    fitted: int


def count(events: Sequence[NewEvent]) -> None:
    """Counts newly recorded events, inside their transaction. Rows in one order: no deadlock."""
    cells: Counter[tuple[int, str, datetime]] = Counter()
    for new in events:
        hour = new.incoming.event.happened_at.replace(minute=0, second=0, microsecond=0)
        cells[(new.incoming.integration_id, new.type, hour)] += 1
    if not cells:
        return
    with raw_cursor() as cursor:
        cursor.execute(_COUNT, columns([(*cell, n) for cell, n in sorted(cells.items())], 4), binary=True)


def detector() -> SilentFeed:
    found = DETECTORS.get("feed")
    assert isinstance(found, SilentFeed)
    return found


def tick(now: datetime) -> Ticked:
    """Judges every feed of live integrations: each integration as a whole, and each of its event types."""
    integrations = {
        one.pk: one
        for one in Integration.objects.filter(enabled=True, lifecycle="live").select_related("partner", "team")
    }
    history = _history(integrations, now)
    fitted = _fit(integrations, history, now)
    explained = _explained(integrations, now)
    drafts: dict[str, FindingDraft] = {}
    judged = 0
    silent_whole: dict[int, Verdict] = {}
    profiles = FeedProfile.objects.filter(integration__in=integrations).order_by("event_type")
    for row in profiles:  # '' (the whole integration) comes first and speaks for its types
        integration = integrations[row.integration_id]
        if row.integration_id in explained or row.integration_id in silent_whole or "shares" not in row.state:
            continue
        counts = history.get((row.integration_id, row.event_type), {})
        profile, zone = Profile.from_json(row.state), ZoneInfo(integration.time_zone)
        verdict = detector().judge(profile, counts, now, zone, _patience(integration))
        judged += 1
        if verdict is None or not verdict.silent:
            continue
        if row.event_type == "":
            silent_whole[row.integration_id] = verdict
        draft = _draft(integration, row.event_type, verdict, profile, counts)
        drafts[str(draft.key)] = draft
    with transaction.atomic():
        if drafts:
            raise_findings(list(drafts.values()), now)
            _mark_unheard(integrations, silent_whole, history, now)
        still_open = Finding.objects.filter(kind="feed.silent", cleared_at=None).exclude(integration__in=explained)
        back = [key for key in still_open.values_list("key", flat=True) if str(key) not in drafts]
        clear_findings(back, "The feed brings its usual number of messages again", now)
    beat("anomalies", now, {"feeds": judged, "silent": len(drafts)})
    return Ticked(judged, sorted(drafts), len(back), fitted)


def _explained(integrations: Mapping[int, Integration], now: datetime) -> set[int]:
    """Integrations whose silence is told already: by the finding of a source unheard for longer than agreed, or because
    they are back and tell first what they kept back. Nothing is raised or cleared for them meanwhile."""
    told = Finding.objects.filter(kind="source.stale", cleared_at=None, integration__in=integrations)
    catching_up = SourceState.objects.filter(integration__in=integrations, catching_up_until__gt=now)
    found = {*told.values_list("integration_id", flat=True), *catching_up.values_list("integration_id", flat=True)}
    return {one for one in found if one is not None}


def _history(integrations: Mapping[int, Integration], now: datetime) -> dict[tuple[int, str], dict[datetime, int]]:
    """(integration, type) -> hour -> count; type '' sums all types."""
    rows = FeedCount.objects.filter(integration__in=integrations, hour__gte=now - HISTORY, hour__lte=now)
    found: dict[tuple[int, str], dict[datetime, int]] = {}
    for integration_id, event_type, hour, n in rows.values_list("integration_id", "event_type", "hour", "n"):
        found.setdefault((integration_id, event_type), {})[hour] = n
        whole = found.setdefault((integration_id, ""), {})
        whole[hour] = whole.get(hour, 0) + n
    return found


def _fit(
    integrations: Mapping[int, Integration], history: Mapping[tuple[int, str], dict[datetime, int]], now: datetime
) -> int:
    """Fits profiles that are missing or older than a day. Hours of a feed found silent are not learnt from."""
    fresh = set(FeedProfile.objects.filter(fitted_at__gt=now - REFIT).values_list("integration_id", "event_type"))
    muted = set(Finding.objects.filter(kind="feed.silent", cleared_at=None).values_list("integration_id", flat=True))
    fitted = 0
    for (integration_id, event_type), counts in history.items():
        if (integration_id, event_type) in fresh or integration_id in muted:
            continue
        profile = detector().fit(counts, now, ZoneInfo(integrations[integration_id].time_zone))
        FeedProfile.objects.update_or_create(
            integration_id=integration_id,
            event_type=event_type,
            defaults={"fitted_at": now, "state": profile.as_json() if profile else {}},
        )
        fitted += profile is not None
    return fitted


def _patience(integration: Integration) -> timedelta:
    if integration.latency_tolerance:
        return integration.latency_tolerance
    return PATIENCE_BATCH if integration.latency_class == Integration.LatencyClass.BATCH else PATIENCE


def _draft(
    integration: Integration, event_type: str, verdict: Verdict, profile: Profile, counts: Mapping[datetime, int]
) -> FindingDraft:
    zone = ZoneInfo(integration.time_zone)
    what = label_of_event(event_type) if event_type else "messages"
    since, until = verdict.since.astimezone(zone), verdict.until.astimezone(zone)
    start = f"{since:%H:%M}" if since.date() == until.date() else f"{since:%a %H:%M}"
    sentence = (
        f"{integration.name}: expected {verdict.expected:.0f} ± {verdict.spread:.0f} ({what}) between {start} and {until:%H:%M} "
        f"{integration.time_zone}, saw {verdict.seen}. So few would come about once in {1 / max(verdict.p, 1e-12):,.0f} such windows "
        f"({profile.days} days of its own history)."
    )
    cause = key_of("feed", integration.slug)
    return FindingDraft(
        key=key_of("feed", integration.slug, event_type),
        kind="feed.silent",
        cause=cause,
        incident_title=f"{integration.name} has gone quiet",
        severity=integration.criticality,
        sentence=sentence,
        evidence=_evidence(verdict, profile, counts, zone),
        integration_id=integration.pk,
        partner_id=integration.partner_id,
        team_id=integration.team_id,
    )


def _evidence(verdict: Verdict, profile: Profile, counts: Mapping[datetime, int], zone: ZoneInfo) -> dict[str, object]:
    """The numbers behind the sentence, hour by hour, enough to draw and to judge again."""
    last = verdict.until.replace(minute=0, second=0, microsecond=0)
    hours = [last - back * HOUR for back in range(PLOT_HOURS, -1, -1)]
    means = [profile.shares[hour_of_week(hour, zone)] for hour in hours]
    spreads = [2 * (mean * profile.dispersion) ** 0.5 for mean in means]
    return {
        "hours": [hour.isoformat() for hour in hours],
        "expected": [round(mean, 2) for mean in means],
        "lower": [round(max(0.0, mean - spread), 2) for mean, spread in zip(means, spreads, strict=True)],
        "upper": [round(mean + spread, 2) for mean, spread in zip(means, spreads, strict=True)],
        "seen": [counts.get(hour, 0) for hour in hours],
        "window_hours": verdict.hours,
        "window_expected": round(verdict.expected, 2),
        "window_seen": verdict.seen,
        "p": verdict.p,
        "threshold": profile.threshold,
        "dispersion": round(profile.dispersion, 3),
    }


def _mark_unheard(
    integrations: Mapping[int, Integration],
    silent: Mapping[int, Verdict],
    history: Mapping[tuple[int, str], dict[datetime, int]],
    now: datetime,
) -> None:
    """A source that said nothing at all for the whole window is unheard; one that only says less still speaks."""
    for integration_id, verdict in silent.items():
        state = SourceState.objects.filter(integration_id=integration_id, stale_since=None).first()
        if state is None or state.last_received_at is None:
            continue
        expected_since = _expected_since(integrations[integration_id], state.last_received_at, verdict)
        if expected_since >= 5:
            SourceState.objects.filter(pk=state.pk, stale_since=None).update(
                stale_since=state.last_received_at,
                stale_reason=f"Silent by its own history: {verdict.expected:.0f} messages expected, {verdict.seen} came"[
                    :200
                ],
                catching_up_until=None,
            )


def _expected_since(integration: Integration, heard_at: datetime, verdict: Verdict) -> float:
    """How many messages the window expects after the last one heard, spread evenly."""
    window = (verdict.until - verdict.since) / HOUR
    quiet = max(0.0, (verdict.until - max(heard_at, verdict.since)) / HOUR)
    return verdict.expected * quiet / window if window else 0.0
