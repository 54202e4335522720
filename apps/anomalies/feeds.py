"""Feeds: counts what came by integration, type and hour, learns what is usual, and says when a feed is not as usual.

A whole integration that fell silent also marks its source as unheard, so that the clocks that depend on it are suspended
(invariant 7); `sla.sources` takes that back as soon as it speaks again.

A round reads the last four days of counts (what happened before is in the evidence carried along), so its cost does not
grow with the history; messages that come late still count for the hour they happened in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from django.db import transaction

from apps.anomalies import known as knowing
from apps.anomalies.contract import DETECTORS
from apps.anomalies.detectors.feed import (
    DROP,
    HOUR,
    NOTHING,
    RATES,
    FeedRate,
    Floats,
    Profile,
    Series,
    accumulate,
    log_ratio,
    powers,
    recovered,
)
from apps.anomalies.feed_words import Strange, draft, expected_since, key, strange, stream
from apps.anomalies.known import Known
from apps.anomalies.models import Anomaly, FeedCount, FeedProfile
from apps.anomalies.voicing import Said, Voice, clear, say
from apps.core.heartbeats import beat
from apps.flows.recording import NewEvent
from apps.flows.sets import columns, raw_cursor
from apps.incidents.models import Finding
from apps.integrations.models import Integration, SourceState

HISTORY = timedelta(weeks=8)
REFIT = timedelta(hours=20)
#: hours a round looks back, and hours after which a count is taken as final
BACK = 96
SETTLED = 48
#: how late messages usually are when the integration says nothing about it
PATIENCE = timedelta(minutes=10)
PATIENCE_BATCH = timedelta(minutes=45)
#: the alternative that must be out of the question before a drop counts as over: 60 % of the usual
THIN = DROP.index(0.6)
MORE = len(DROP)

_COUNT = """
INSERT INTO anomalies_feedcount (integration_id, event_type, hour, n)
SELECT * FROM unnest(%b::bigint[], %b::text[], %b::timestamptz[], %b::bigint[])
ON CONFLICT (integration_id, event_type, hour) DO UPDATE SET n = anomalies_feedcount.n + excluded.n
"""
Counts = dict[tuple[int, str], Counter[datetime]]


@dataclass(frozen=True, slots=True)
class Ticked:
    """What one round did. feeds: judged; silent: keys of feeds found strange; back: findings cleared; fitted: profiles."""

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


def detector() -> FeedRate:
    found = DETECTORS.get("feed")
    assert isinstance(found, FeedRate)
    return found


@dataclass(slots=True)
class Round:
    """What one round knows."""

    now: datetime
    integrations: Mapping[int, Integration]
    explained: set[int]
    known: Known
    voice: Voice


def tick(now: datetime) -> Ticked:
    """Judges every feed of live integrations: each integration as a whole, and each of its event types."""
    integrations = {
        one.pk: one
        for one in Integration.objects.filter(enabled=True, lifecycle="live").select_related("partner", "team")
    }
    calendars = {one.partner.calendar for one in integrations.values() if one.partner}
    round_ = Round(
        now,
        integrations,
        _explained(integrations, now),
        knowing.read(now - HISTORY - HOUR, now + HOUR, calendars),
        Voice.read(now),
    )
    fitted = _fit(round_)
    found, cleared, judged = _judge(round_)
    with transaction.atomic():
        said = [
            Said.of("feed", stream(one.integration, one.event_type), draft(one, detector().model), one) for one in found
        ]
        told = say(said, round_.voice, now)
        _mark_unheard([one for one in found if key(one.integration, one.event_type, False) in told], now)
        back = clear(cleared, "The feed brings its usual number of messages again", now)
    beat("anomalies", now, {"feeds": judged, "silent": len(said)})
    return Ticked(judged, sorted(str(one.draft.key) for one in said), back, fitted)


def _explained(integrations: Mapping[int, Integration], now: datetime) -> set[int]:
    """Integrations whose silence is told already: by the finding of a source unheard for longer than agreed, or because
    they are back and tell first what they kept back. Nothing is raised or cleared for them meanwhile."""
    told = Finding.objects.filter(kind="source.stale", cleared_at=None, integration__in=integrations)
    catching_up = SourceState.objects.filter(integration__in=integrations, catching_up_until__gt=now)
    found = {*told.values_list("integration_id", flat=True), *catching_up.values_list("integration_id", flat=True)}
    return {one for one in found if one is not None}


def _counts(integrations: Sequence[int], since: datetime, now: datetime) -> Counts:
    """(integration, type) -> hour -> count; type '' sums all types."""
    rows = FeedCount.objects.filter(integration__in=integrations, hour__gte=since, hour__lte=now)
    found: Counts = {}
    for integration_id, event_type, hour, n in rows.values_list("integration_id", "event_type", "hour", "n").iterator():
        found.setdefault((integration_id, event_type), Counter())[hour] += n
        found.setdefault((integration_id, ""), Counter())[hour] += n
    return found


def _judge(of: Round) -> tuple[list[Strange], list[object], int]:
    """(strange feeds, keys of findings that are over, how many were judged). All feeds in a handful of array operations."""
    rows = [
        row
        for row in FeedProfile.objects.filter(integration__in=of.integrations).order_by("event_type", "pk")
        if row.integration_id not in of.explained and "carry" in row.state
    ]
    start = _hour(of.now) - BACK * HOUR
    # what was held back is judged again each round, until its evidence is enough or it is over
    open_ = dict(Anomaly.objects.open().filter(detector="feed").values_list("key", "suppressed"))
    counts = _counts(list(of.integrations), start, of.now)
    if not rows:
        return [], [], 0
    feeds = [_Feed(of, row, counts.get((row.integration_id, row.event_type), Counter()), start) for row in rows]
    means = np.stack([one.means for one in feeds])
    seen = np.stack([one.seen for one in feeds])
    dispersion = np.array([one.profile.dispersion for one in feeds])
    ratios = log_ratio(seen, means, np.broadcast_to(dispersion[:, None], seen.shape))
    drop, surge = powers(accumulate(np.array([one.carry for one in feeds]), ratios))
    found, over, silent_whole = [], [], set()
    for number, feed in enumerate(feeds):
        one, type_ = feed.integration, feed.event_type
        down, up = key(one, type_, False), key(one, type_, True)
        if open_.get(down) == "" or (down in open_ and drop[number, -1] < feed.profile.threshold):
            if recovered(ratios[number], drop[number], THIN, feed.profile.threshold):
                over.append(down)
                feed.forget(of.now)
            elif type_ == "":
                silent_whole.add(one.pk)
        elif open_.get(up) == "" or (up in open_ and surge[number, -1] < feed.profile.surge):
            if recovered(ratios[number], surge[number], MORE, feed.profile.surge):
                over.append(up)
                feed.forget(of.now)
        elif drop[number, -1] > of.voice.threshold("feed", stream(one, type_), feed.profile.threshold):
            if type_ and one.pk in silent_whole:
                continue  # the whole integration stands for its types
            if type_ == "":
                silent_whole.add(one.pk)
            found.append(feed.told(ratios[number], float(drop[number, -1]), surge=False))
        elif surge[number, feed.whole] > of.voice.threshold("feed", stream(one, type_), feed.profile.surge):
            found.append(feed.told(ratios[number], float(max(surge[number, -1], drop[number, -1])), surge=True))
    return found, [*over, *_orphaned(of)], len(feeds)


def _orphaned(of: Round) -> list[object]:
    """Open findings of feeds that are not watched any more (switched off, retired) are over."""
    gone = Anomaly.objects.filter(detector="feed", cleared_at=None).exclude(integration__in=of.integrations)
    return list(gone.values_list("key", flat=True))


class _Feed:
    """One feed in one round: what was expected and what came, by hour since ``start``; the last hour a part."""

    def __init__(self, of: Round, row: FeedProfile, counts: Mapping[datetime, int], start: datetime) -> None:
        self.row, self.start = row, start
        self.integration, self.event_type = of.integrations[row.integration_id], row.event_type
        self.profile = Profile.from_json(row.state)
        self.carry: list[float] = row.state["carry"]
        self.until = of.now - patience(self.integration)
        hours = BACK + 1
        judged, _, factor = of.known.masks(self.integration, row.event_type, start, hours)
        slots = of.known.slots(self.integration, start, hours)
        share = np.clip([(self.until - (start + n * HOUR)) / HOUR for n in range(hours)], 0.0, 1.0)
        carried = np.array([start + n * HOUR < _moment(row.state["carry_at"]) for n in range(hours)])
        means = np.array(self.profile.shares)[slots] * factor * share
        self.means: Floats = np.where(judged & ~carried & (means > 0), means, np.nan)
        seen = np.array([counts.get(start + n * HOUR, 0) for n in range(hours)], dtype=float)
        self.seen: Floats = np.where(share > 0, seen, 0.0)
        #: the last hour that is over: a surge is judged by whole hours, since an hour's messages may come at once
        self.whole = int(np.flatnonzero(share >= 1.0)[-1])

    def told(self, ratios: Floats, power: float, *, surge: bool) -> Strange:
        shown = ratios.copy()
        shown[:, : len(DROP)] = np.where(surge, 0.0, ratios[:, : len(DROP)])
        shown[:, len(DROP) :] = np.where(surge, ratios[:, len(DROP) :], 0.0)
        last = int(np.flatnonzero(np.isfinite(self.means))[-1]) + 1
        return strange(
            self.integration,
            self.event_type,
            self.profile,
            self.carry,
            self.start,
            self.until,
            self.means[:last],
            self.seen[:last],
            shown[:last],
            power,
            surge,
        )

    def forget(self, now: datetime) -> None:
        """What was is over: the evidence begins anew."""
        self.row.state = {**self.row.state, "carry": _nothing(), "carry_at": _hour(now).isoformat()}
        self.row.save(update_fields=["state"])


def _fit(of: Round) -> int:
    """Fits profiles that are missing or older than a day. Hours of open findings are not learnt from: nothing of an
    integration with one is fitted."""
    ids = list(of.integrations)
    fresh = set(FeedProfile.objects.filter(fitted_at__gt=of.now - REFIT).values_list("integration_id", "event_type"))
    muted = {
        *Anomaly.objects.filter(detector="feed", cleared_at=None).values_list("integration_id", flat=True),
        *Finding.objects.filter(kind="source.stale", cleared_at=None).values_list("integration_id", flat=True),
    }
    since = of.now - timedelta(days=7)
    spoke = FeedCount.objects.filter(integration__in=ids, hour__gte=since, hour__lte=of.now).order_by()
    feeds = set(spoke.values_list("integration_id", "event_type").distinct())
    feeds |= {(one, "") for one, _ in feeds}
    due = sorted({one for one in feeds if one not in fresh and one[0] not in muted})
    if not due:
        return 0
    before = {(row.integration_id, row.event_type): row for row in FeedProfile.objects.filter(integration__in=ids)}
    counts = _counts(sorted({one for one, _ in due}), of.now - HISTORY, of.now)
    outages = _outages(ids, of.now)
    rows = []
    for integration_id, event_type in due:
        one = of.integrations[integration_id]
        old = before.get((integration_id, event_type))
        state = _fitted(of, one, event_type, counts[integration_id, event_type], outages, old)
        rows.append(FeedProfile(integration=one, event_type=event_type, fitted_at=of.now, state=state))
    FeedProfile.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["integration", "event_type"], update_fields=["fitted_at", "state"]
    )
    return sum("shares" in row.state for row in rows)


def _fitted(
    of: Round,
    one: Integration,
    event_type: str,
    counts: Mapping[datetime, int],
    outages: Mapping[int, list[tuple[datetime, datetime]]],
    old: FeedProfile | None,
) -> dict[str, object]:
    last = _hour(of.now)
    hours = int((last - min(counts)) / HOUR)
    if hours < 1:
        return {}
    first = last - hours * HOUR
    _, learnt, _ = of.known.masks(one, event_type, first, hours)
    for start, end in outages.get(one.pk, ()):
        learnt[knowing.hours_of(start, end, first, hours)] = False
    seen = np.array([counts.get(first + n * HOUR, 0) for n in range(hours)], dtype=float)
    profile = detector().fit(Series(of.known.slots(one, first, hours), seen, learnt))
    if profile is None:
        return {}
    carry, carry_at = _carried(profile, old, seen, first, of, one, event_type)
    return {**profile.as_json(), "carry": carry, "carry_at": carry_at.isoformat()}


def _carried(
    profile: Profile, old: FeedProfile | None, seen: Floats, first: datetime, of: Round, one: Integration, type_: str
) -> tuple[list[float], datetime]:
    """The evidence up to two days ago, by the profile that was known then; what is younger may still change."""
    until = max(first, _hour(of.now) - SETTLED * HOUR)
    if old is None or "carry" not in old.state:
        return _nothing(), until
    begin = _moment(old.state["carry_at"])
    if begin >= until:
        return old.state["carry"], begin
    begin = max(begin, first)
    hours = int((until - begin) / HOUR)
    before = Profile.from_json(old.state)
    judged, _, factor = of.known.masks(one, type_, begin, hours)
    means = np.array(before.shares)[of.known.slots(one, begin, hours)] * factor
    offset = int((begin - first) / HOUR)
    ratios = log_ratio(
        seen[offset : offset + hours], np.where(judged, means, np.nan), np.full(hours, before.dispersion)
    )
    return accumulate(np.array(old.state["carry"]), ratios)[-1].tolist(), until


def _outages(ids: Sequence[int], now: datetime) -> dict[int, list[tuple[datetime, datetime]]]:
    """When each integration was not itself: by what was found and by what people confirmed as real."""
    found: dict[int, list[tuple[datetime, datetime]]] = {}
    rows = Anomaly.objects.filter(detector="feed", integration__in=ids, raised_at__gt=now - HISTORY)
    for pk, begin, end in rows.exclude(verdict__in=["expected", "not_useful"]).values_list(
        "integration_id", "began_at", "cleared_at"
    ):
        if pk is not None:
            found.setdefault(pk, []).append((begin, end or now))
    stale = Finding.objects.filter(kind="source.stale", integration__in=ids, raised_at__gt=now - HISTORY)
    for pk, begin, end in stale.values_list("integration_id", "raised_at", "cleared_at"):
        if pk is not None:
            found.setdefault(pk, []).append((begin, end or now))
    return found


def patience(integration: Integration) -> timedelta:
    """How late this integration's messages may usually come."""
    if integration.latency_tolerance:
        return integration.latency_tolerance
    return PATIENCE_BATCH if integration.latency_class == Integration.LatencyClass.BATCH else PATIENCE


def _nothing() -> list[float]:
    return [NOTHING] * len(RATES)


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _mark_unheard(found: Sequence[Strange], now: datetime) -> None:
    """A source that said nothing at all for the whole window is unheard; one that only says less still speaks."""
    for one in found:
        if one.event_type or one.kind == "feed.surge":
            continue
        state = SourceState.objects.filter(integration=one.integration, stale_since=None).first()
        if state is None or state.last_received_at is None:
            continue
        if expected_since(one, state.last_received_at) >= 5:
            reason = f"Silent by its own history: {one.expected:.0f} messages expected, {one.seen} came"
            SourceState.objects.filter(pk=state.pk, stale_since=None).update(
                stale_since=state.last_received_at, stale_reason=reason[:200], catching_up_until=None
            )
