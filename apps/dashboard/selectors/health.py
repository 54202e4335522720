"""How well an integration is heard, from what came last: usual gap, errors, duplicates, disorder, unknown codes, versions.

The usual gap is told by the last arrivals (those within two seconds of each other are one). A source is quieter than usual
when it has been silent for one and a half times the gap that 95 of 100 stay within, and its own week (the profile of the
detector of silent feeds, where there is one) expected messages meanwhile: nights and Sundays are no silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db.models import Count, Max

from apps.anomalies.detectors.feed import HOUR, Profile, hour_of_week
from apps.anomalies.models import FeedCount, FeedProfile
from apps.collectors.models import DeadLetter
from apps.flows.catalogue import EVENT_TYPES
from apps.flows.sets import raw_cursor
from apps.integrations.models import Credential, Integration

#: arrivals a usual gap rests on; fewer gaps say nothing
ARRIVALS = 200
LEAST_GAPS = 10
#: times the 95 % gap after which a source counts as quieter than usual: marked well within twice
QUIET = 1.5
LEAST_QUIET = timedelta(seconds=30)
#: messages the source's own week must have expected meanwhile: fewer may be missing by chance
LEAST_EXPECTED = 3.0
#: receipts the rates rest on, and receipts whose events and headers are looked at
RATED = 1_000
LOOKED_AT = 200
UNKNOWN = 8
_WEEK = 24 * 7

_GAPS = """
SELECT i.id, g.n, g.usual[1], g.usual[2] FROM unnest(%b::bigint[]) AS i (id)
CROSS JOIN LATERAL (
    SELECT count(*) AS n, percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY gap) AS usual FROM (
        SELECT extract(epoch FROM received_at - lag(received_at) OVER (ORDER BY received_at, receipt_id))::float8 AS gap
        FROM (SELECT s.receipt_id, s.received_at FROM collectors_receiptstate AS s
              WHERE s.integration_id = i.id AND NOT s.backfill ORDER BY s.receipt_id DESC LIMIT %b) AS last
    ) AS gaps WHERE gap > 2
) AS g
"""
_RATES = """
SELECT count(*), count(*) FILTER (WHERE status = 'dead' OR issues > 0), coalesce(sum(events), 0),
       coalesce(sum(duplicates), 0), coalesce(sum(conflicts), 0)
FROM (SELECT status, issues, events, duplicates, conflicts FROM collectors_receiptstate
      WHERE integration_id = %b AND status <> 'waiting' ORDER BY receipt_id DESC LIMIT %b) AS last
"""
_ORDER = """
WITH last AS (
    SELECT receipt_id, received_at FROM collectors_receiptstate WHERE integration_id = %b AND NOT backfill
    ORDER BY receipt_id DESC LIMIT %b
), told AS (
    SELECT e.id, e.happened_at FROM flows_event AS e JOIN last USING (receipt_id)
    WHERE e.received_at BETWEEN (SELECT min(received_at) FROM last) AND (SELECT max(received_at) FROM last)
)
SELECT count(*), count(*) FILTER (WHERE happened_at < newest) FROM (
    SELECT happened_at, max(happened_at) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest
    FROM told
) AS ordered
"""
_VERSIONS = """
WITH last AS (
    SELECT receipt_id, received_at FROM collectors_receiptstate WHERE integration_id = %b
    ORDER BY receipt_id DESC LIMIT %b
)
SELECT name, version, count(*), max(at) FROM (
    SELECT h.key AS name, left(h.value, 60) AS version, r.received_at AS at FROM last
    JOIN collectors_receipt AS r ON r.id = last.receipt_id AND r.received_at = last.received_at
    CROSS JOIN LATERAL jsonb_each_text(CASE WHEN jsonb_typeof(r.headers) = 'object' THEN r.headers ELSE '{}' END) AS h
    WHERE h.key LIKE '%%version%%' AND r.received_at >= (SELECT min(received_at) FROM last)
    UNION ALL
    SELECT concat_ws(' ', e.data->>'standard', e.data->>'message'), left(e.data->>'version', 60), e.received_at
    FROM flows_event AS e JOIN last USING (receipt_id)
    WHERE e.data ? 'version' AND e.received_at BETWEEN (SELECT min(received_at) FROM last)
                                                   AND (SELECT max(received_at) FROM last)
) AS seen WHERE version <> '' GROUP BY 1, 2 ORDER BY 4 DESC, 1, 2 LIMIT 8
"""


@dataclass(frozen=True, slots=True)
class Gap:
    """usual: the median gap between two arrivals; most: the gap that 95 of 100 stay within; of: so many gaps."""

    usual: timedelta
    most: timedelta
    of: int

    @property
    def quiet_after(self) -> timedelta:
        return max(self.most * QUIET, LEAST_QUIET)


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of the last messages; None where nothing has come yet."""

    gap: Gap | None
    quiet: bool
    rated: int
    error_rate: float | None
    duplicate_rate: float | None
    conflicts: int
    disorder: float | None
    disorder_of: int
    unknown: list[tuple[str, str, int]]
    foreign_types: list[str]
    versions: list[tuple[str, str, int, datetime]]
    secret_ends: datetime | None
    secret_live: bool


def gaps(ids: Sequence[int]) -> dict[int, Gap]:
    """integration -> its usual gap, for those that have enough arrivals; one statement."""
    if not ids:
        return {}
    with raw_cursor() as cursor:
        cursor.execute(_GAPS, [list(ids), ARRIVALS], binary=True)
        rows = cursor.fetchall()
    return {
        pk: Gap(timedelta(seconds=usual), timedelta(seconds=most), n)
        for pk, n, usual, most in rows
        if n >= LEAST_GAPS and usual is not None
    }


def quiet(
    integrations: Sequence[Integration], heard: Mapping[int, datetime | None], known: Mapping[int, Gap], now: datetime
) -> set[int]:
    """Those that are quieter than usual. heard: when each was heard last."""
    suspects = {
        one.pk: (one, at)
        for one in integrations
        if (at := heard.get(one.pk)) is not None and one.pk in known and now - at > known[one.pk].quiet_after
    }
    if not suspects:
        return set()
    profiles = {
        row.integration_id: row.state
        for row in FeedProfile.objects.filter(integration__in=suspects, event_type="")
        if "shares" in row.state
    }
    return {
        pk
        for pk, (one, at) in suspects.items()
        if pk not in profiles
        or expected_since(Profile.from_json(profiles[pk]), at, now, one.time_zone) >= LEAST_EXPECTED
    }


def expected_since(profile: Profile, since: datetime, now: datetime, zone_name: str) -> float:
    """How many events the source's own week expects between two moments; at most one week is counted."""
    try:
        zone = ZoneInfo(zone_name)
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
    total, at = 0.0, since
    for _ in range(_WEEK + 1):
        if at >= now:
            break
        ends = min(now, at.replace(minute=0, second=0, microsecond=0) + HOUR)
        total += profile.shares[hour_of_week(at, zone)] * ((ends - at) / HOUR)
        at = ends
    return total


def health(integration: Integration, now: datetime) -> Health:
    """Everything of one integration, in a fixed number of statements."""
    known = gaps([integration.pk])
    state = getattr(integration, "state", None)
    heard = {integration.pk: state.last_received_at if state else None}
    rated, wrong, events, duplicates, conflicts = _one(_RATES, [integration.pk, RATED])
    told, late = _one(_ORDER, [integration.pk, LOOKED_AT])
    with raw_cursor() as cursor:
        cursor.execute(_VERSIONS, [integration.pk, LOOKED_AT], binary=True)
        versions = list(cursor.fetchall())
    ends = list(Credential.objects.live(now).filter(integration=integration).values_list("expires_at", flat=True))
    return Health(
        gap=known.get(integration.pk),
        quiet=bool(integration.enabled and quiet([integration], heard, known, now)),
        rated=rated,
        error_rate=wrong / rated if rated else None,
        duplicate_rate=duplicates / (events + duplicates) if events + duplicates else None,
        conflicts=conflicts,
        disorder=late / told if told > 1 else None,
        disorder_of=told,
        unknown=_unknown(integration),
        foreign_types=_foreign_types(integration, now),
        versions=versions,
        secret_ends=_ends(integration, ends),
        secret_live=bool(ends),
    )


def _ends(integration: Integration, ends: Sequence[datetime | None]) -> datetime | None:
    """When the last live secret ends, or the key of a source that is read, as its settings say; None: not by itself."""
    given = str(integration.settings.get("key_expires_on") or "")
    try:
        told = datetime.fromisoformat(given).replace(tzinfo=UTC) if given else None
    except ValueError:
        told = None
    if not ends or None in ends:
        return told
    last = max(end for end in ends if end is not None)
    return min(last, told) if told else last


def _one(statement: str, values: list[Any]) -> tuple[int, ...]:
    with raw_cursor() as cursor:
        cursor.execute(statement, values, binary=True)
        row = cursor.fetchone()
        return tuple(int(value) for value in row or ())


def _unknown(integration: Integration) -> list[tuple[str, str, int]]:
    """(code, sentence, how many) of open dead letters and warnings about codes nobody mapped yet."""
    rows = DeadLetter.objects.filter(
        integration=integration, state=DeadLetter.State.OPEN, code__regex="unknown|unmapped"
    )
    found = (
        rows.order_by().values_list("code", "cause").annotate(n=Count("pk"), last=Max("pk")).order_by("-n")[:UNKNOWN]
    )
    cells = list(found)
    sentences = dict(DeadLetter.objects.filter(pk__in=[row[3] for row in cells]).values_list("pk", "sentence"))
    return [(code, sentences.get(last, ""), n) for code, _, n, last in cells]


def _foreign_types(integration: Integration, now: datetime) -> list[str]:
    """Event types of the last week that the catalogue does not know."""
    rows = FeedCount.objects.filter(integration=integration, hour__gte=now - timedelta(days=7))
    return [
        name
        for name in rows.order_by("event_type").values_list("event_type", flat=True).distinct()
        if name not in EVENT_TYPES
    ]
