"""A feed, or a sum of feeds, in one round: what was expected and what came, hour by hour."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from apps.anomalies.detectors.feed import DROP, HOUR, NOTHING, RATES, Floats, Profile
from apps.anomalies.feed_words import Source, Strange, key, strange, stream
from apps.anomalies.known import Known
from apps.anomalies.models import FeedProfile
from apps.anomalies.voicing import Voice
from apps.integrations.models import Integration

#: hours a round looks back
BACK = 96
#: how late messages usually are when the integration says nothing about it
PATIENCE = timedelta(minutes=10)
PATIENCE_BATCH = timedelta(minutes=45)
Counts = Mapping[tuple[int, str], Counter[datetime]]


@dataclass(slots=True)
class Round:
    """What one round knows."""

    now: datetime
    integrations: Mapping[int, Integration]
    explained: set[int]
    known: Known
    voice: Voice


def patience(integration: Integration) -> timedelta:
    """How late this integration's messages may usually come."""
    if integration.latency_tolerance:
        return integration.latency_tolerance
    return PATIENCE_BATCH if integration.latency_class == Integration.LatencyClass.BATCH else PATIENCE


def hour_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def nothing() -> list[float]:
    """No evidence yet."""
    return [NOTHING] * len(RATES)


class Series:
    """What is common to a feed and a sum. means, seen: by hour since ``start``, the last hour a part; means is nan where
    nothing is judged. whole: the last hour that is over (a surge is judged by whole hours)."""

    row: FeedProfile
    source: Source
    event_type: str
    profile: Profile
    carry: list[float]
    start: datetime
    until: datetime
    means: Floats
    seen: Floats
    whole: int

    @property
    def stream(self) -> str:
        return stream(self.source, self.event_type)

    def key(self, surge: bool) -> uuid.UUID:
        return key(self.source, self.event_type, surge)

    def threshold(self, of: Round, surge: bool) -> float:
        """The evidence from which on this one may be told now."""
        base = self.profile.surge if surge else self.profile.threshold
        return of.voice.threshold("feed", self.stream, base)

    def floor(self, of: Round, surge: bool) -> float:
        """The evidence from which on it is brought before `voicing.say`."""
        base = self.profile.surge if surge else self.profile.threshold
        return of.voice.floor("feed", self.stream, base)

    def told(self, ratios: Floats, power: float, *, surge: bool) -> Strange:
        shown = ratios.copy()
        shown[:, : len(DROP)] = np.where(surge, 0.0, ratios[:, : len(DROP)])
        shown[:, len(DROP) :] = np.where(surge, ratios[:, len(DROP) :], 0.0)
        last = int(np.flatnonzero(np.isfinite(self.means))[-1]) + 1
        return strange(
            self.source,
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
        self.row.state = {**self.row.state, "carry": nothing(), "carry_at": hour_of(now).isoformat()}
        self.row.save(update_fields=["state"])


class Feed(Series):
    """One integration, whole or by type."""

    def __init__(self, of: Round, row: FeedProfile, counts: Mapping[datetime, int], start: datetime) -> None:
        assert row.integration_id is not None
        self.row, self.start = row, start
        self.integration, self.event_type = of.integrations[row.integration_id], row.event_type
        self.source = Source.of(self.integration)
        self.profile = Profile.from_json(row.state)
        self.carry = row.state["carry"]
        self.until = of.now - patience(self.integration)
        hours = BACK + 1
        judged, _, factor = of.known.masks(self.integration, row.event_type, start, hours)
        slots = of.known.slots(self.integration, start, hours)
        share = np.clip([(self.until - (start + n * HOUR)) / HOUR for n in range(hours)], 0.0, 1.0)
        carried = np.array([start + n * HOUR < moment(row.state["carry_at"]) for n in range(hours)])
        means = np.array(self.profile.shares)[slots] * factor * share
        #: of all hours, also of those whose evidence is carried along
        self.usual: Floats = np.where(judged & (means > 0), means, np.nan)
        self.means = np.where(carried, np.nan, self.usual)
        seen = np.array([counts.get(start + n * HOUR, 0) for n in range(hours)], dtype=float)
        self.seen = np.where(share > 0, seen, 0.0)
        self.whole = int(np.flatnonzero(share >= 1.0)[-1])


class Sum(Series):
    """Many feeds as one: what is expected of them together, and what they brought. Hours in which one of them is not judged
    (maintenance, an exception) are those of the others."""

    def __init__(self, row: FeedProfile, source: Source, members: Sequence[Feed]) -> None:
        self.row, self.source, self.event_type, self.members = row, source, row.event_type, members
        self.profile, self.carry = Profile.from_json(row.state), nothing()
        self.start, self.until = members[0].start, max(one.until for one in members)
        usual = np.stack([one.usual for one in members])
        known = np.isfinite(usual)
        came = np.where(known, np.stack([one.seen for one in members]), 0.0).sum(axis=0)
        after = np.array([self.start + n * HOUR >= moment(row.state["carry_at"]) for n in range(usual.shape[1])])
        self.means = np.where(known.any(axis=0) & after, np.where(known, usual, 0.0).sum(axis=0), np.nan)
        self.seen = came
        self.whole = min(one.whole for one in members)
