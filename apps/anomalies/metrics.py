"""How each integration fares, by the half-hour: errors, delay, backlog, duplicates, disorder, unknown codes; and what is
strange about it.

Shares are of the messages received in the half-hour (fewer than five say nothing). All are worse when higher, so only
what lies above its usual is told. Values of a stream that is strange just now, of known exceptions and of planned
maintenance are judged by nothing and learnt from by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from apps.anomalies import known as knowing
from apps.anomalies.contract import DETECTORS
from apps.anomalies.detectors.metric import WORDS, AnyMetric, Ranks, Stream, score_of, slot_of
from apps.anomalies.models import Anomaly, MetricPoint, MetricState
from apps.anomalies.voicing import Said, Voice, clear, say
from apps.core.heartbeats import beat
from apps.core.wording import duration
from apps.flows.canonical import key_of
from apps.flows.sets import raw_cursor
from apps.incidents.workflow import FindingDraft
from apps.integrations.models import Integration

BUCKET = timedelta(minutes=30)
#: messages of a half-hour are counted when they had this long to be read
SETTLE = timedelta(minutes=5)
LEAST = 5
#: values kept of a stream of ours: three weeks of half-hours
WINDOW = 1_000
THRESHOLD = 4.8
SHOWN = 48
KEEP = timedelta(days=60)
METRICS = {
    "errors": "Share of messages that could not be read",
    "duplicates": "Share of events told twice",
    "delay": "Median delay from happening to arrival",
    "disorder": "Share of events out of order",
    "unknown": "Share of messages with unknown codes",
    "backlog": "Messages waiting to be read",
}

_RECEIPTS = """
SELECT s.integration_id, count(*), avg((s.status = 'dead' OR s.issues > 0)::int)::float8,
       (sum(s.duplicates) / nullif(sum(s.events) + sum(s.duplicates), 0)::float8)::float8,
       avg(EXISTS (SELECT FROM collectors_deadletter l WHERE l.receipt_id = s.receipt_id
                   AND l.code ~ 'unknown|unmapped')::int)::float8
FROM collectors_receipt c JOIN collectors_receiptstate s ON s.receipt_id = c.id
WHERE c.received_at >= %b AND c.received_at < %b AND NOT s.backfill AND s.status <> 'waiting'
GROUP BY s.integration_id
"""
_EVENTS = """
SELECT integration_id, count(*),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM received_at - happened_at))::float8,
       avg((happened_at < newest)::int)::float8
FROM (
    SELECT integration_id, received_at, happened_at, max(happened_at) OVER (
        PARTITION BY integration_id ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest
    FROM flows_event WHERE received_at >= %b AND received_at < %b AND NOT backfill
) AS told GROUP BY integration_id
"""
_BACKLOG = """
SELECT integration_id, count(*)::float8 FROM collectors_receiptstate
WHERE status = 'waiting' AND NOT backfill GROUP BY integration_id
"""


@dataclass(frozen=True, slots=True)
class Sampled:
    """points: values taken; told: anomalies told; over: anomalies that ended."""

    points: int
    told: int
    over: int


def tick(now: datetime) -> Sampled:
    """Takes the values of the last whole half-hour, once, and judges them."""
    end = now - SETTLE
    end -= timedelta(minutes=end.minute % 30, seconds=end.second, microseconds=end.microsecond)
    start = end - BUCKET
    if MetricState.objects.filter(detector="sampled", key="", at__gte=start).exists():
        return Sampled(0, 0, 0)
    integrations = {
        one.pk: one for one in Integration.objects.filter(lifecycle="live", enabled=True).select_related("partner")
    }
    values = {key: value for key, value in _values(start, end).items() if key[0] in integrations}
    with transaction.atomic():
        MetricState.objects.update_or_create(
            detector="sampled", integration=None, key="", defaults={"at": start, "state": {}}
        )
        found = judge(values, integrations, start, now)
        MetricPoint.objects.filter(at__lt=now - KEEP).delete()
    beat("anomalies.metrics", now, {"points": found.points, "told": found.told})
    return found


def _values(start: datetime, end: datetime) -> dict[tuple[int, str], float]:
    """(integration, metric) -> value of the half-hour; three statements."""
    found: dict[tuple[int, str], float | None] = {}
    with raw_cursor() as cursor:
        cursor.execute(_RECEIPTS, [start, end], binary=True)
        for pk, n, errors, duplicates, unknown in cursor.fetchall():
            found[pk, "backlog"] = 0.0
            if n >= LEAST:
                found |= {(pk, "errors"): errors, (pk, "duplicates"): duplicates, (pk, "unknown"): unknown}
        cursor.execute(_EVENTS, [start, end], binary=True)
        for pk, n, delay, disorder in cursor.fetchall():
            if n >= LEAST:
                found |= {(pk, "delay"): delay, (pk, "disorder"): disorder}
        cursor.execute(_BACKLOG, binary=True)
        found |= {(pk, "backlog"): n for pk, n in cursor.fetchall()}
    return {key: float(value) for key, value in found.items() if value is not None}


def judge(
    values: Mapping[tuple[int, str], float], integrations: Mapping[int, Integration], at: datetime, now: datetime
) -> Sampled:
    """Judges values of one half-hour and keeps them; anybody may push values of other metrics here."""
    detector = DETECTORS.get("metric")
    assert isinstance(detector, AnyMetric)
    voice = Voice.read(now)
    calendars = {one.partner.calendar for one in integrations.values() if one.partner}
    known = knowing.read(at, at + BUCKET, calendars)
    rows = {(row.integration_id, row.key): row for row in MetricState.objects.filter(detector="metric")}
    open_ = dict(Anomaly.objects.open().filter(detector="metric").values_list("key", "suppressed"))
    history = _history([pk for pk, _ in values], at)
    states, points, said, over = [], [], [], []
    for (pk, metric), value in sorted(values.items()):
        one = integrations[pk]
        row = rows.get((pk, metric)) or MetricState(detector="metric", integration=one, key=metric)
        stream = Stream(row.state or {}, WINDOW)
        judged, learnt, _ = known.masks(one, "", at, 1, "metric")
        name, key = f"{one.slug} {metric}", key_of("metric", one.slug, metric)
        usual, slot = (
            usual_of(stream, slot_of(at, knowing.zone_of(one.time_zone))),
            slot_of(at, knowing.zone_of(one.time_zone)),
        )
        # only what lies above its usual is told
        rests_on = stream.needed(value, slot) if judged[0] and value > usual[1] else {}
        ps = stream.push(value, slot, learn=bool(judged[0] and learnt[0]) and key not in open_)
        score = score_of(ps)
        points.append(MetricPoint(integration=one, metric=metric, at=at, value=value, score=score))
        if key in open_ and value <= usual[2]:
            over.append(key)
        elif open_.get(key) != "" and rests_on and score > voice.floor("metric", name, THRESHOLD):
            limit = voice.threshold("metric", name, THRESHOLD)
            drawn = [*history.get((pk, metric), []), (at, value)][-SHOWN:]
            kept = detector.kept(rests_on, {"value": value, "slot": slot}, score)
            said.append(_said(one, metric, value, usual, max(ps, key=lambda one: -ps[one]), kept, limit, drawn))
        row.state, row.at = stream.as_json(), at
        states.append(row)
    MetricState.objects.bulk_create(
        states,
        update_conflicts=True,
        unique_fields=["detector", "integration", "key"],
        update_fields=["at", "state"],
    )
    MetricPoint.objects.bulk_create(points, ignore_conflicts=True)
    told = say(said, voice, now)
    clear(over, "It is back within its usual band", now)
    return Sampled(len(points), len(told), len(over))


def usual_of(stream: Stream, slot: str) -> tuple[float, float, float]:
    """(5 of 100 lie below, usual of this half-hour, 95 of 100 lie below) of what the stream has seen."""
    ranks: Ranks = stream.ranks["high"]
    if not ranks.sorted:
        return 0.0, 0.0, 0.0
    low, high = (ranks.sorted[int(share * (len(ranks.sorted) - 1))] for share in (0.05, 0.95))
    usual = stream.usual(slot)
    return low, usual if usual is not None else ranks.sorted[len(ranks.sorted) // 2], high


def _history(ids: Sequence[int], at: datetime) -> dict[tuple[int, str], list[tuple[datetime, float]]]:
    rows = MetricPoint.objects.filter(integration__in=set(ids), at__gte=at - SHOWN * BUCKET, at__lt=at).order_by("at")
    found: dict[tuple[int, str], list[tuple[datetime, float]]] = {}
    for pk, metric, when, value in rows.values_list("integration_id", "metric", "at", "value"):
        found.setdefault((pk, metric), []).append((when, value))
    return found


def _said(
    one: Integration,
    metric: str,
    value: float,
    usual: tuple[float, float, float],
    reading: str,
    kept: Mapping[str, Any],
    threshold: float,
    drawn: Sequence[tuple[datetime, float]],
) -> Said:
    low, expected, high = usual
    draft = FindingDraft(
        key=key_of("metric", one.slug, metric),
        kind="metric",
        cause=key_of("metric", one.slug),
        incident_title=f"{one.name}: {METRICS.get(metric, metric).lower()} is unusual",
        severity="low",
        sentence=f"{one.name}: {METRICS.get(metric, metric).lower()} is {say_value(metric, value)}; usual at this time is "
        f"{say_value(metric, expected)}, and 95 of 100 half-hours stay below {say_value(metric, high)}. "
        f"What stands out most: {WORDS[reading]}.",
        evidence={
            **kept,
            "metric": metric,
            "hours": [at.isoformat() for at, _ in drawn],
            "seen": [seen for _, seen in drawn],
            "expected": [expected] * len(drawn),
            "lower": [low] * len(drawn),
            "upper": [high] * len(drawn),
        },
        integration_id=one.pk,
        partner_id=one.partner_id,
        team_id=one.team_id,
    )
    return Said("metric", f"{one.slug} {metric}", draft, kept["score"], threshold, drawn[-1][0], Anomaly.Tier.TASK)


def say_value(metric: str, value: float) -> str:
    """A value of a metric in its own unit: a share, a time, or a number."""
    if metric == "delay":
        return duration(timedelta(seconds=value))
    return f"{value:,.0f}" if metric == "backlog" else f"{100 * value:.1f} %"
