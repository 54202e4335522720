"""Partner scorecards: a few figures by partner and month, worked out set-wise, and the anonymous median of the peers.

A promise counts for its partner's card. On time: kept of what was judged, by what was awaited (`STEPS`). Completeness:
what came at all, late or not. Latency: from happened to sent (partner), sent to received (transport), received to
booked (booking), over the milestones of flows opened in the month that are the partner's own to tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from apps.core import wording
from apps.flows.registry import load
from apps.integrations.models import Partner
from apps.reports import figures, rollups
from apps.reports.cells import after
from apps.reports.models import PeerMedian, ScoreCell
from apps.sla.models import SlaRule

#: fewer partners of a kind than this would tell who they are
LEAST_PEERS = 5
#: months before that say how much is usual
USUAL_MONTHS = 6


@dataclass(frozen=True, slots=True)
class Metric:
    """unit: share (0 to 1), seconds, count; better: more, less or '' (neither)."""

    key: str
    label: str
    unit: str
    better: str
    means: str


_CLOCKS = (("partner", "Sending", "from happened to sent"), ("transport", "Transport", "from sent to received"), ("booking", "Booking", "from received to booked"))  # fmt: skip
#: step -> the names of milestones that are it, in any flow
STEPS: Mapping[str, tuple[str, frozenset[str]]] = {
    "acknowledgment": ("Acknowledgment", frozenset({"acknowledged", "warehouse_ack", "functional_ack", "confirmed"})),
    "asn": ("Despatch advice", frozenset({"asn", "advised", "asn_received"})),
    "ship": ("Shipped", frozenset({"shipped", "manifested", "dispatched", "picked_up", "first_scan"})),
    "deliver": ("Delivered", frozenset({"delivered", "received", "arrived"})),
    "invoice": ("Invoice", frozenset({"invoiced", "invoice"})),
}
METRICS: tuple[Metric, ...] = (
    Metric("kept", "Promises kept", "share", "more", "of all that were judged"),
    Metric("complete", "Completeness", "share", "more", "what came at all, late or not, of what was awaited"),
    *(
        Metric(f"on_time_{key}", f"{label} on time", "share", "more", "of those judged")
        for key, (label, _) in STEPS.items()
    ),
    *(
        Metric(f"{clock}_{name}", f"{label}, {words}", "seconds", "less", means)
        for clock, label, means in _CLOCKS
        for name, words in (("p50", "median"), ("p95", "95th percentile"))
    ),
    Metric("volume", "Flows opened", "count", "", "in the month"),
    Metric("usual", "Usual", "count", "", f"median of the {USUAL_MONTHS} months before"),
)
BY_KEY = {metric.key: metric for metric in METRICS}

#: (partner, metric) -> (value, of how many)
Found = dict[tuple[int, str], tuple[float, int]]


def refresh(first: date, now: datetime) -> int:
    """Works out every partner's figures of the month that begins on this day, and the medians; how many figures."""
    found = {**_promises(first), **_latencies(first), **_volumes(first)}
    kinds = dict(Partner.objects.values_list("pk", "kind"))
    rows = [
        ScoreCell(month=first, partner_id=pk, metric=metric, value=value, n=n, as_of=now)
        for (pk, metric), (value, n) in found.items()
        if pk in kinds
    ]
    with transaction.atomic():
        ScoreCell.objects.filter(month=first).delete()
        ScoreCell.objects.bulk_create(rows)
        PeerMedian.objects.filter(month=first).delete()
        PeerMedian.objects.bulk_create(
            PeerMedian(month=first, kind=kind, metric=metric, value=value, peers=peers)
            for (kind, metric), (value, peers) in medians(found, kinds).items()
        )
    return len(rows)


def refresh_lately(now: datetime) -> int:
    """The month of now and the one before."""
    today = now.astimezone(ZoneInfo(rollups.zone())).date().replace(day=1)
    return refresh((today - timedelta(days=1)).replace(day=1), now) + refresh(today, now)


def medians(found: Found, kinds: Mapping[int, str]) -> dict[tuple[str, str], tuple[float, int]]:
    """(kind, metric) -> (median over partners, how many partners); only where nobody can be told from it."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (pk, metric), (value, _) in found.items():
        if pk in kinds and metric not in ("volume", "usual"):
            values[kinds[pk], metric].append(value)
    return {key: (median(known), len(known)) for key, known in values.items() if len(known) >= LEAST_PEERS}


def _step_of(milestone: str) -> str:
    return next((key for key, (_, names) in STEPS.items() if milestone in names), "")


def _promises(first: date) -> Found:
    milestones = dict(SlaRule.objects.values_list("pk", "milestone"))
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT partner_id, rule_id, coalesce(sum(n) FILTER (WHERE state = 'MET'), 0)::bigint,
                coalesce(sum(n) FILTER (WHERE state = 'MET_LATE'), 0)::bigint,
                coalesce(sum(n) FILTER (WHERE state = 'BREACHED'), 0)::bigint
            FROM {rollups.CELLS_OF_MONTHS} AS c WHERE partner_id IS NOT NULL GROUP BY 1, 2""",
            {"first": first, "after": after(first)},
        )
        rows = cursor.fetchall()
    sums: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    for pk, rule_id, met, late, missing in rows:
        step = _step_of(milestones.get(rule_id, ""))
        told = [("kept", met), ("complete", met + late), *([(f"on_time_{step}", met)] if step else [])]
        for metric, good in told:
            sums[pk, metric][0] += good
            sums[pk, metric][1] += met + late + missing
    return {key: (good / judged, judged) for key, (good, judged) in sums.items() if judged}


_LATENCY = """
SELECT f.partner_id, {percentiles}
FROM flows_flow f JOIN flows_milestone m ON m.flow_id = f.id
WHERE f.partner_id IS NOT NULL AND f.opened_at >= %(begin)s AND f.opened_at < %(end)s AND m.actual_at IS NOT NULL
    AND (f.definition_id, m.name) IN (SELECT * FROM unnest(%(definitions)s::bigint[], %(names)s::text[]))
GROUP BY 1
"""
_TOOK = {
    "partner": "m.sent_at - m.actual_at",
    "transport": "m.received_at - m.sent_at",
    "booking": "m.booked_at - m.received_at",
}


def _latencies(first: date) -> Found:
    span = figures.month(first.year, first.month, rollups.zone())
    theirs = [
        (definition.id, milestone.name)
        for versions in load().catalogue.versions.values()
        for definition in versions
        for milestone in definition.milestones
        if not milestone.ours
    ]
    parts = [
        f"percentile_cont({share}) WITHIN GROUP (ORDER BY CASE WHEN {took} IS NOT NULL THEN greatest(extract(epoch FROM {took}), 0) END), count({took})"
        for took in _TOOK.values()
        for share in (0.5, 0.95)
    ]
    keys = [f"{clock}_{name}" for clock in _TOOK for name in ("p50", "p95")]
    with connection.cursor() as cursor:
        cursor.execute(
            _LATENCY.format(percentiles=", ".join(parts)),
            {
                "begin": span.begin,
                "end": span.end,
                "definitions": [one for one, _ in theirs],
                "names": [name for _, name in theirs],
            },
        )
        return {
            (row[0], key): (row[1 + 2 * number], row[2 + 2 * number])
            for row in cursor.fetchall()
            for number, key in enumerate(keys)
            if row[2 + 2 * number]
        }


def _volumes(first: date) -> Found:
    begin = first
    for _ in range(USUAL_MONTHS):
        begin = (begin - timedelta(days=1)).replace(day=1)
    zone = rollups.zone()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT partner_id, date_trunc('month', opened_at AT TIME ZONE %(zone)s)::date, count(*) FROM flows_flow "
            "WHERE partner_id IS NOT NULL AND opened_at >= %(begin)s AND opened_at < %(end)s GROUP BY 1, 2",
            {
                "zone": zone,
                "begin": figures.month(begin.year, begin.month, zone).begin,
                "end": figures.month(first.year, first.month, zone).end,
            },
        )
        rows = cursor.fetchall()
    before: dict[int, list[int]] = defaultdict(list)
    found: Found = {}
    for pk, at, n in rows:
        if at == first:
            found[pk, "volume"] = (n, n)
        else:
            before[pk].append(n)
    for pk, counts in before.items():
        found[pk, "usual"] = (median(counts), len(counts))
        found.setdefault((pk, "volume"), (0, 0))
    return found


# -- reading a card --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a card. past: the same figure in the months before, the oldest first; peers: the median, or None."""

    metric: Metric
    value: float | None
    n: int
    past: Sequence[float | None]
    peers: float | None
    peer_count: int

    @property
    def words(self) -> str:
        return said(self.metric, self.value)

    @property
    def peer_words(self) -> str:
        return said(self.metric, self.peers)

    @property
    def known(self) -> bool:
        """Whether a line over the months says anything."""
        return sum(one is not None for one in self.past) > 1

    @property
    def line(self) -> list[float | None]:
        """The past for a sparkline: shares in percent."""
        return [None if one is None else one * 100 if self.metric.unit == "share" else one for one in self.past]

    @property
    def verdict(self) -> str:
        """'better', 'worse' or '' beside the peers."""
        if self.value is None or self.peers is None or not self.metric.better or self.value == self.peers:
            return ""
        return "better" if (self.value > self.peers) == (self.metric.better == "more") else "worse"


@dataclass(frozen=True, slots=True)
class Card:
    month: date
    figures: list[Figure]
    as_of: datetime | None

    @property
    def told(self) -> list[Figure]:
        return [one for one in self.figures if one.value is not None]

    @property
    def silent(self) -> str:
        """What the month says nothing of, in words."""
        return ", ".join(one.metric.label.lower() for one in self.figures if one.value is None)

    @property
    def chart(self) -> dict[str, Any]:
        """Promises kept by month, as `document` tells charts; the target is the median of the peers."""
        kept = self.value("kept")
        past = list(zip(months_before(self.month, len(kept.past)), kept.past, strict=True))
        while len(past) > 1 and past[0][1] is None:
            past.pop(0)
        return {
            "key": "months",
            "labels": [f"{at:%b %Y}" for at, _ in past],
            "values": [None if one is None else round(one * 100, 2) for _, one in past],
            "target": None if kept.peers is None else round(kept.peers * 100, 2),
        }

    def value(self, key: str) -> Figure:
        return next(one for one in self.figures if one.metric.key == key)


def said(metric: Metric, value: float | None) -> str:
    if value is None:
        return ""
    if metric.unit == "share":
        return wording.share(value)
    return wording.duration(timedelta(seconds=value)) if metric.unit == "seconds" else wording.number(value)


def months_before(first: date, count: int) -> list[date]:
    found = [first]
    for _ in range(count - 1):
        found.append((found[-1] - timedelta(days=1)).replace(day=1))
    return found[::-1]


def card(partner_id: int, kind: str, first: date, months: int = 13) -> Card:
    """A partner's card of a month. Reads only its own cells and the medians, so it works in the partner's own scope too."""
    shown = months_before(first, months)
    cells = {
        (one.month, one.metric): one
        for one in ScoreCell.objects.filter(partner_id=partner_id, month__gte=shown[0], month__lte=first)
    }
    peers = {one.metric: one for one in PeerMedian.objects.filter(month=first, kind=kind)}
    found = []
    for metric in METRICS:
        now = cells.get((first, metric.key))
        past = [cells[at, metric.key].value if (at, metric.key) in cells else None for at in shown]
        peer = peers.get(metric.key)
        found.append(
            Figure(
                metric,
                now.value if now else None,
                now.n if now else 0,
                past,
                peer.value if peer else None,
                peer.peers if peer else 0,
            )
        )
    return Card(first, found, max((one.as_of for one in cells.values()), default=None))


def cards(first: date, partners: Iterable[Partner]) -> list[tuple[Partner, dict[str, ScoreCell]]]:
    """Every partner with figures in the month, the worst share kept first."""
    cells: dict[int, dict[str, ScoreCell]] = defaultdict(dict)
    for one in ScoreCell.objects.filter(month=first):
        cells[one.partner_id][one.metric] = one
    found = [(partner, cells[partner.pk]) for partner in partners if partner.pk in cells]
    return sorted(found, key=lambda pair: (pair[1]["kept"].value if "kept" in pair[1] else 2, pair[0].name))
