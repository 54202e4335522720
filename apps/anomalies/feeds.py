"""Feeds: counts what came by integration, type and hour, learns what is usual, and says when a feed is not as usual.

A whole integration that fell silent also marks its source as unheard, so that the clocks that depend on it are suspended
(invariant 7); `sla.sources` takes that back as soon as it speaks again.

A round reads the last four days of counts (what happened before is in the evidence carried along), so its cost does not
grow with the history; messages that come late still count for the hour they happened in.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from django.db import transaction
from django.db.models import Q

from apps.anomalies import feed_fitting as fitting
from apps.anomalies import feed_sums
from apps.anomalies import known as knowing
from apps.anomalies.detectors.feed import DROP, HOUR, Floats, accumulate, log_ratio, powers, recovered
from apps.anomalies.feed_series import BACK, Feed, Round, Sum, hour_of
from apps.anomalies.feed_words import Strange, draft, expected_since, key, stream
from apps.anomalies.models import Anomaly, FeedProfile
from apps.anomalies.voicing import Said, Voice, clear, say
from apps.core.heartbeats import beat
from apps.flows.recording import NewEvent
from apps.flows.sets import columns, raw_cursor
from apps.incidents.models import Finding
from apps.integrations.models import Integration, SourceState

#: the alternative that must be out of the question before a drop counts as over: 60 % of the usual
THIN = DROP.index(0.6)
MORE = len(DROP)

_COUNT = """
INSERT INTO anomalies_feedcount (integration_id, event_type, hour, n)
SELECT * FROM unnest(%b::bigint[], %b::text[], %b::timestamptz[], %b::bigint[])
ON CONFLICT (integration_id, event_type, hour) DO UPDATE SET n = anomalies_feedcount.n + excluded.n
"""


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
        knowing.read(now - fitting.HISTORY - HOUR, now + HOUR, calendars),
        Voice.read(now),
    )
    fitted = fitting.fit(round_)
    found = _judge(round_)
    with transaction.atomic():
        said = [_said(one, round_) for one in found.strange]
        told = say(said, round_.voice, now)
        _mark_unheard([one for one in found.strange if key(one.source, one.event_type, False) in told], now)
        _mark_unheard(found.unheard, now)
        back = clear(found.over, "The feed brings its usual number of messages again", now)
        clear(found.joined, "Not it alone: a wider silence or surge stands for it now", now)
    beat("anomalies", now, {"feeds": found.judged, "silent": len(said)})
    return Ticked(found.judged, sorted(str(one.draft.key) for one in said), back, fitted)


def _said(one: Strange, of: Round) -> Said:
    name = stream(one.source, one.event_type)
    limit = of.voice.threshold("feed", name, one.threshold)
    return Said("feed", name, draft(one, fitting.detector().model), one.power, limit, one.since)


def _explained(integrations: Mapping[int, Integration], now: datetime) -> set[int]:
    """Integrations whose silence is told already: by the finding of a source unheard for longer than agreed, or because
    they are back and tell first what they kept back. Nothing is raised or cleared for them meanwhile."""
    told = Finding.objects.filter(kind="source.stale", cleared_at=None, integration__in=integrations)
    catching_up = SourceState.objects.filter(integration__in=integrations, catching_up_until__gt=now)
    found = {*told.values_list("integration_id", flat=True), *catching_up.values_list("integration_id", flat=True)}
    return {one for one in found if one is not None}


@dataclass(slots=True)
class _Found:
    """strange: to be told; unheard: silent parts of a silent whole, told with it; over, joined: keys of findings that are
    over, or that a whole stands for now; judged: how many feeds."""

    strange: list[Strange] = field(default_factory=list)
    unheard: list[Strange] = field(default_factory=list)
    over: list[object] = field(default_factory=list)
    joined: list[object] = field(default_factory=list)
    judged: int = 0


def _judge(of: Round) -> _Found:
    """Judges all feeds and their sums in a handful of array operations."""
    rows = [
        row
        for row in FeedProfile.objects.filter(Q(integration__in=of.integrations) | Q(integration=None))
        .select_related("partner").order_by("event_type", "pk")
        if row.integration_id not in of.explained and "carry" in row.state
    ]  # fmt: skip
    start = hour_of(of.now) - BACK * HOUR
    # what was held back is judged again each round, until its evidence is enough or it is over
    open_ = dict(Anomaly.objects.open().filter(detector="feed").values_list("key", "suppressed"))
    counts = fitting.counts_of(list(of.integrations), start, of.now)
    nobody: Counter[datetime] = Counter()
    feeds = [
        Feed(of, row, counts.get((row.integration_id, row.event_type), nobody), start)
        for row in rows
        if row.integration_id is not None
    ]
    wholes = feed_sums.build([row for row in rows if row.integration_id is None], feeds)
    found = _Found(judged=len(feeds))
    if feeds:
        _weigh(of, [*wholes, *feeds], open_, found)
    watched = {one.key(surge) for one in (*wholes, *feeds) for surge in (False, True)}
    found.over += _orphaned(of, watched)
    return found


def _weigh(of: Round, feeds: Sequence[Sum | Feed], open_: Mapping[uuid.UUID, str], found: _Found) -> None:
    """feeds: wholes first, so that each knows what stands for it already."""
    means = np.stack([one.means for one in feeds])
    seen = np.stack([one.seen for one in feeds])
    dispersion = np.array([one.profile.dispersion for one in feeds])
    ratios = log_ratio(seen, means, np.broadcast_to(dispersion[:, None], seen.shape))
    drop, surge = powers(accumulate(np.array([one.carry for one in feeds]), ratios))
    alone = {
        at
        for at, one in enumerate(feeds)
        if isinstance(one, Feed)
        and (drop[at, -1] > one.floor(of, False) or surge[at, one.whole] > one.floor(of, True)
             or "" in (open_.get(one.key(False)), open_.get(one.key(True))))
    }  # fmt: skip
    standing: list[tuple[Sum, bool]] = []
    silent_whole: set[int] = set()
    for at, feed in enumerate(feeds):
        covered = [up for whole, up in standing if feed_sums.covers(whole, feed)]
        state = _state(of, feed, open_, ratios[at], drop[at], surge[at])
        if state.startswith("over"):
            found.over.append(feed.key(state == "over-up"))
            feed.forget(of.now)
            continue
        up = state.endswith("up")
        if state == "quiet" or (
            isinstance(feed, Sum) and not state.startswith("open") and not _tells(feed, feeds, alone, ratios[at], up)
        ):
            continue
        if up in covered:  # the whole stands for its parts
            if state.startswith("open"):
                found.joined.append(feed.key(up))
            if not up and isinstance(feed, Feed) and not feed.event_type:
                found.unheard.append(feed.told(ratios[at], float(drop[at, -1]), surge=False))
            continue
        if isinstance(feed, Sum):
            standing.append((feed, up))
        elif not feed.event_type and not up:
            silent_whole.add(feed.integration.pk)
        elif feed.event_type and not up and feed.integration.pk in silent_whole and state == "strange-down":
            continue  # the whole integration stands for its types
        if state.startswith("strange"):
            power = float(max(surge[at, -1], drop[at, -1])) if up else float(drop[at, -1])
            found.strange.append(feed.told(ratios[at], power, surge=up))


def _state(
    of: Round, feed: Sum | Feed, open_: Mapping[uuid.UUID, str], ratios: Floats, drop: Floats, surge: Floats
) -> str:
    """open: told and still so; over: told and not any more; strange: to be told; each down or up; else quiet."""
    for up, path, last, profiled, thin in (
        (False, drop, drop[-1], feed.profile.threshold, THIN),
        (True, surge, surge[-1], feed.profile.surge, MORE),
    ):
        key = feed.key(up)
        if open_.get(key) == "" or (key in open_ and last < min(profiled, feed.floor(of, up))):
            way = "up" if up else "down"
            return f"{'over' if recovered(ratios, path, thin, profiled) else 'open'}-{way}"
    if drop[-1] > feed.floor(of, False):
        return "strange-down"
    return "strange-up" if surge[feed.whole] > feed.floor(of, True) else "quiet"


def _tells(whole: Sum, feeds: Sequence[Sum | Feed], alone: set[int], ratios: Floats, up: bool) -> bool:
    """Whether a strange sum speaks for its parts: they went its way together, or none is strange by itself."""
    parts = {at for at in alone if feed_sums.covers(whole, feeds[at])}
    return not parts or feed_sums.as_one(whole, ratios, up)


def _orphaned(of: Round, watched: Collection[object]) -> list[object]:
    """Open findings of feeds that are not watched any more (switched off, retired), and of sums that are none, are over."""
    rows = Anomaly.objects.filter(detector="feed", cleared_at=None).values_list("key", "integration_id")
    return [key for key, one in rows if (one is None and key not in watched) or (one and one not in of.integrations)]


def _mark_unheard(found: Sequence[Strange], now: datetime) -> None:
    """A source that said nothing at all for the whole window is unheard; one that only says less still speaks."""
    for one in found:
        if one.event_type or one.kind == "feed.surge" or one.source.integration_id is None:
            continue
        state = SourceState.objects.filter(integration=one.source.integration_id, stale_since=None).first()
        if state is None or state.last_received_at is None:
            continue
        if expected_since(one, state.last_received_at) >= 5:
            reason = f"Silent by its own history: {one.expected:.0f} messages expected, {one.seen} came"
            SourceState.objects.filter(pk=state.pk, stale_since=None).update(
                stale_since=state.last_received_at, stale_reason=reason[:200], catching_up_until=None
            )
