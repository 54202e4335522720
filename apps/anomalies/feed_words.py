"""What a strange feed is called, said in a sentence, and shown with."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.anomalies.detectors.feed import HOUR, Profile, began
from apps.anomalies.known import zone_of
from apps.flows.canonical import key_of
from apps.flows.catalogue import label_of_event
from apps.incidents.workflow import FindingDraft
from apps.integrations.models import Integration

Floats = NDArray[np.float64]
PLOT_HOURS = 48
#: a feed that brings less than this share of the usual is silent, not thin
SILENT = 0.1
#: integrations of a sum that its evidence names
MOST_MEMBERS = 200


@dataclass(frozen=True, slots=True)
class Source:
    """Whose feed it is: an integration, or a sum of many (then without ``integration_id``). members: ids of integrations."""

    slug: str
    name: str
    zone: str
    severity: str
    members: tuple[int, ...]
    integration_id: int | None = None
    partner_id: int | None = None
    team_id: int | None = None

    @classmethod
    def of(cls, one: Integration) -> Source:
        return cls(one.slug, one.name, one.time_zone, one.criticality, (one.pk,), one.pk, one.partner_id, one.team_id)


@dataclass(frozen=True, slots=True)
class Strange:
    """A feed that is not as usual, with the window that speaks loudest.

    start: the hour of the first of ``seen``; until: up to when it was judged. power: evidence, as a power of ten.
    """

    source: Source
    event_type: str
    kind: str
    start: datetime
    since: datetime
    until: datetime
    expected: float
    spread: float
    seen: int
    power: float
    threshold: float
    profile: Profile
    carry: list[float]
    means: Floats
    counts: Floats


def strange(
    source: Source,
    event_type: str,
    profile: Profile,
    carry: list[float],
    start: datetime,
    until: datetime,
    means: Floats,
    counts: Floats,
    ratios: Floats,
    power: float,
    surge: bool,
) -> Strange:
    """Finds the window and names what happened. means, counts: by hour since ``start``, the last one a part."""
    first = began(ratios)
    window = slice(first, len(means))
    mean, seen = float(np.nansum(means[window])), int(counts[window].sum())
    kind = "surge" if surge else "silent" if seen <= SILENT * mean else "drop"
    since = start + first * HOUR
    return Strange(
        source,
        event_type,
        f"feed.{kind}",
        start,
        since,
        until,
        mean,
        float(np.sqrt(mean * profile.dispersion)),
        seen,
        power,
        profile.surge if surge else profile.threshold,
        profile,
        carry,
        means,
        counts,
    )


def stream(source: Source, event_type: str) -> str:
    return f"{source.slug} {event_type}".strip()


def key(source: Source, event_type: str, surge: bool) -> uuid.UUID:
    return key_of("feed.surge" if surge else "feed", source.slug, event_type)


TITLES = {
    "feed.silent": "has gone quiet",
    "feed.drop": "brings fewer messages",
    "feed.surge": "brings far more messages",
}
OF_MANY = {
    "feed.silent": "have gone quiet",
    "feed.drop": "bring fewer messages",
    "feed.surge": "bring far more messages",
}


def draft(one: Strange, model: str) -> FindingDraft:
    surge = one.kind == "feed.surge"
    source = one.source
    return FindingDraft(
        key=key(source, one.event_type, surge),
        kind=one.kind,
        cause=key_of("feed.surge" if surge else "feed", source.slug),
        incident_title=f"{source.name} {(TITLES if source.integration_id else OF_MANY)[one.kind]}",
        severity="low" if surge else source.severity,
        sentence=sentence(one),
        evidence=evidence(one, model),
        integration_id=source.integration_id,
        partner_id=source.partner_id,
        team_id=source.team_id,
    )


def sentence(one: Strange) -> str:
    zone = zone_of(one.source.zone)
    what = label_of_event(one.event_type) if one.event_type else "messages"
    since, until = one.since.astimezone(zone), one.until.astimezone(zone)
    same_day = since.date() == until.date()
    start = f"{since:%H:%M}" if same_day else f"{since:%a} {since.day} {since:%b %H:%M}"
    odds = "more than a million" if one.power > 6 else f"{10**one.power:,.0f}"
    return (
        f"{one.source.name}: expected {one.expected:,.0f} ± {one.spread:,.0f} ({what}) between {start} and "
        f"{until:%H:%M} {one.source.zone}, saw {one.seen:,}. That is {odds} times as likely if something "
        f"is wrong; it began about {start} ({one.profile.days} days of its own history)."
    )


def evidence(one: Strange, model: str) -> dict[str, Any]:
    """What the score rests on (to judge again) and the last two days hour by hour (to draw)."""
    means, counts = np.nan_to_num(one.means), one.counts
    shown = slice(max(0, len(means) - PLOT_HOURS - 1), len(means))
    spread = 2 * np.sqrt(means * one.profile.dispersion)
    hours = [one.start + number * HOUR for number in range(len(means))][shown]
    return {
        "model": model,
        "state": {"log_r": one.carry},
        "event": {
            "expected": [None if np.isnan(mean) else float(mean) for mean in one.means],
            "seen": [float(n) for n in counts],
            "dispersion": one.profile.dispersion,
        },
        "score": one.power,
        "threshold": one.threshold,
        "hours": [hour.isoformat() for hour in hours],
        "expected": [round(float(mean), 2) for mean in means[shown]],
        "lower": [round(max(0.0, float(one)), 2) for one in (means - spread)[shown]],
        "upper": [round(float(one), 2) for one in (means + spread)[shown]],
        "seen": [int(n) for n in counts[shown]],
        "event_type": one.event_type,
        "since": one.since.isoformat(),
        "until": one.until.isoformat(),
        "window_expected": round(one.expected, 2),
        "window_seen": one.seen,
        "dispersion": round(one.profile.dispersion, 3),
        "days": one.profile.days,
        **({} if one.source.integration_id else {"members": list(one.source.members)[:MOST_MEMBERS]}),
    }


def expected_since(one: Strange, heard_at: datetime) -> float:
    """How many messages were expected after the last one heard."""
    total = 0.0
    for number, mean in enumerate(np.nan_to_num(one.means)):
        begin = one.start + number * HOUR
        end = min(begin + HOUR, one.until)
        if end > heard_at and end > begin:
            total += float(mean) * ((end - max(begin, heard_at)) / (end - begin))
    return total
