"""What is usual on each feed, and on sums of feeds: learnt once a day from eight weeks of counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
from django.db.models import Q

from apps.anomalies import feed_sums
from apps.anomalies import known as knowing
from apps.anomalies.contract import DETECTORS
from apps.anomalies.detectors.feed import HOUR, FeedRate, Floats, Profile, Series, accumulate, log_ratio
from apps.anomalies.feed_series import BACK, Counts, Round, hour_of, moment, nothing
from apps.anomalies.models import Anomaly, FeedCount, FeedProfile
from apps.incidents.models import Finding
from apps.integrations.models import Integration

HISTORY = timedelta(weeks=8)
REFIT = timedelta(hours=20)
#: hours after which a count is taken as final
SETTLED = 48


def detector() -> FeedRate:
    found = DETECTORS.get("feed")
    assert isinstance(found, FeedRate)
    return found


def counts_of(integrations: Sequence[int], since: datetime, now: datetime) -> Counts:
    """(integration, type) -> hour -> count; type '' sums all types."""
    rows = FeedCount.objects.filter(integration__in=integrations, hour__gte=since, hour__lte=now)
    found: dict[tuple[int, str], Counter[datetime]] = {}
    for integration_id, event_type, hour, n in rows.values_list("integration_id", "event_type", "hour", "n").iterator():
        found.setdefault((integration_id, event_type), Counter())[hour] += n
        found.setdefault((integration_id, ""), Counter())[hour] += n
    return found


def fit(of: Round) -> int:
    """Fits profiles that are missing or older than a day. Hours of open findings are not learnt from: nothing of an
    integration with one is fitted, and sums leave its hours out."""
    ids = list(of.integrations)
    before = {
        (row.integration_id, row.partner_id, row.event_type): row
        for row in FeedProfile.objects.filter(Q(integration__in=ids) | Q(integration=None))
    }
    fresh = {key for key, row in before.items() if row.fitted_at > of.now - REFIT}
    muted = {
        *Anomaly.objects.filter(detector="feed", cleared_at=None).values_list("integration_id", flat=True),
        *Finding.objects.filter(kind="source.stale", cleared_at=None).values_list("integration_id", flat=True),
    }
    since = of.now - timedelta(days=7)
    spoke = FeedCount.objects.filter(integration__in=ids, hour__gte=since, hour__lte=of.now).order_by()
    feeds = set(spoke.values_list("integration_id", "event_type").distinct())
    feeds |= {(one, "") for one, _ in feeds}
    due = sorted({one for one in feeds if (one[0], None, one[1]) not in fresh and one[0] not in muted})
    sums = feed_sums.scopes(feeds, of.integrations)
    stale = {scope: members for scope, members in sums.items() if (None, *scope) not in fresh}
    _forget_sums(before, sums)
    if not due and not stale:
        return 0
    wanted = {one for one, _ in due}.union(*stale.values())
    counts = counts_of(sorted(wanted), of.now - HISTORY, of.now)
    outages = _outages(ids, of.now)
    rows = _sums(of, stale, counts, outages, before)
    for integration_id, event_type in due:
        one = of.integrations[integration_id]
        old = before.get((integration_id, None, event_type))
        state = _fitted(of, one, event_type, counts[integration_id, event_type], outages, old)
        rows.append(FeedProfile(integration=one, event_type=event_type, fitted_at=of.now, state=state))
    FeedProfile.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["integration", "partner", "event_type"],
        update_fields=["fitted_at", "state"],
    )
    return sum("shares" in row.state for row in rows)


def _sums(
    of: Round,
    scopes: Mapping[feed_sums.Scope, Sequence[int]],
    counts: Counts,
    outages: Mapping[int, list[tuple[datetime, datetime]]],
    before: Mapping[tuple[int | None, int | None, str], FeedProfile],
) -> list[FeedProfile]:
    """Profiles of sums; what cannot be fitted yet is kept without one, so that it is not tried every minute."""
    last = hour_of(of.now)
    hours = int(HISTORY / HOUR)
    first = last - hours * HOUR
    masked = {pk: [knowing.hours_of(*span, first, hours) for span in spans] for pk, spans in outages.items()}
    rows = []
    for (partner, event_type), members in sorted(scopes.items(), key=lambda one: (one[0][0] or 0, one[0][1])):
        state = feed_sums.fitted(of, (partner, event_type), members, counts, masked, first, hours, detector()) or {}
        old = before.get((None, partner, event_type))
        since = (old.state.get("carry_at") if old else None) or (last - BACK * HOUR).isoformat()
        rows.append(
            FeedProfile(
                partner_id=partner,
                event_type=event_type,
                fitted_at=of.now,
                state=state and {**state, "carry_at": since},
            )
        )
    return rows


def _forget_sums(
    before: Mapping[tuple[int | None, int | None, str], FeedProfile], sums: Collection[feed_sums.Scope]
) -> None:
    """Sums whose parts have become one, or none, are none."""
    gone = [row.pk for (one, *scope), row in before.items() if one is None and tuple(scope) not in sums]
    if gone:
        FeedProfile.objects.filter(pk__in=gone).delete()


def _fitted(
    of: Round,
    one: Integration,
    event_type: str,
    counts: Mapping[datetime, int],
    outages: Mapping[int, list[tuple[datetime, datetime]]],
    old: FeedProfile | None,
) -> dict[str, object]:
    last = hour_of(of.now)
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
    until = max(first, hour_of(of.now) - SETTLED * HOUR)
    if old is None or "carry" not in old.state:
        return nothing(), until
    begin = moment(old.state["carry_at"])
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
    rows = Anomaly.objects.filter(detector="feed", raised_at__gt=now - HISTORY).exclude(
        verdict__in=["expected", "not_useful"]
    )
    for one, members, begin, end in rows.values_list("integration_id", "evidence__members", "began_at", "cleared_at"):
        for pk in [one] if one else members or ():
            found.setdefault(pk, []).append((begin, end or now))
    stale = Finding.objects.filter(kind="source.stale", integration__in=ids, raised_at__gt=now - HISTORY)
    for pk, begin, end in stale.values_list("integration_id", "raised_at", "cleared_at"):
        if pk is not None:
            found.setdefault(pk, []).append((begin, end or now))
    return found
