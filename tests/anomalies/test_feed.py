"""The silent feed detector: finds a dead and a thinned feed soon, and leaves a healthy one in peace."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from apps.anomalies.detectors.feed import HOUR, Profile, SilentFeed, tail
from apps.anomalies.feeds import count, tick
from apps.anomalies.models import FeedCount, FeedProfile
from apps.flows.canonical import CanonicalEvent, Reference
from apps.flows.recording import IncomingEvent, NewEvent
from apps.incidents.models import Finding, Incident
from apps.integrations.models import Integration, SourceState

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)  # a Wednesday, 11:00 in Berlin
DETECTOR = SilentFeed()
NO_WAIT = timedelta(0)


def rate(hour: datetime) -> float:
    local = hour.astimezone(ZONE)
    if local.weekday() >= 5:
        return 4.0
    return 42.0 if 7 <= local.hour < 18 else 6.0


def poisson(mean: float, chance: random.Random) -> int:
    seen, left = 0, chance.expovariate(1)
    while left < mean:
        seen += 1
        left += chance.expovariate(1)
    return seen


def history(days: int, seed: int, end: datetime = NOW) -> dict[datetime, int]:
    chance = random.Random(seed)
    hours = (end - back * HOUR for back in range(1, days * 24 + 1))
    return {hour: poisson(rate(hour), chance) for hour in hours}


def fitted(seed: int = 1, days: int = 35) -> tuple[Profile, dict[datetime, int]]:
    counts = history(days, seed)
    profile = DETECTOR.fit(counts, NOW, ZONE)
    assert profile is not None
    return profile, counts


def first_alarm(counts: dict[datetime, int], profile: Profile, keep: float, seed: int) -> int | None:
    """Expected messages missed until the alarm, judging every ten minutes; None within two days."""
    chance = random.Random(seed)
    live, missed = dict(counts), 0.0
    for step in range(1, 6 * 48):
        now = NOW + step * timedelta(minutes=10)
        hour = now.replace(minute=0) if now.minute else now - HOUR
        share = rate(hour) / 6
        live[hour] = live.get(hour, 0) + poisson(share * keep, chance)
        missed += share * (1 - keep)
        verdict = DETECTOR.judge(profile, live, now, ZONE, NO_WAIT)
        if verdict is not None and verdict.silent:
            return round(missed)
    return None


@pytest.mark.parametrize("seed", range(5))
def test_a_dead_feed_is_found_within_twenty_expected_messages(seed: int) -> None:
    profile, counts = fitted(seed)
    missed = first_alarm(counts, profile, 0.0, seed)
    assert missed is not None
    assert missed <= 24


@pytest.mark.parametrize("seed", range(3))
def test_a_feed_thinned_to_half_is_found(seed: int) -> None:
    profile, counts = fitted(seed)
    missed = first_alarm(counts, profile, 0.5, seed)
    assert missed is not None
    assert missed <= 110


@pytest.mark.parametrize("seed", range(4))
def test_a_healthy_feed_is_left_in_peace_for_a_quarter(seed: int) -> None:
    profile, counts = fitted(seed)
    live = counts | history(91, seed + 100, NOW + timedelta(days=91))
    alarms = 0
    for step in range(91 * 24):
        now = NOW + step * HOUR + timedelta(minutes=59)
        verdict = DETECTOR.judge(profile, live, now, ZONE, NO_WAIT)
        alarms += verdict is not None and verdict.silent
    assert alarms <= 1


def test_a_week_of_history_is_needed_and_a_quiet_night_is_no_alarm() -> None:
    assert DETECTOR.fit(history(5, 1), NOW, ZONE) is None
    assert DETECTOR.fit({}, NOW, ZONE) is None
    profile, counts = fitted()
    night = NOW.replace(hour=2)
    quiet = {hour: n for hour, n in counts.items() if hour < night}
    verdict = DETECTOR.judge(profile, quiet, night + timedelta(minutes=20), ZONE, NO_WAIT)
    assert verdict is None or not verdict.silent


def test_the_profile_survives_json() -> None:
    profile, counts = fitted()
    again = Profile.from_json(profile.as_json())
    one, other = (DETECTOR.judge(p, counts, NOW + HOUR, ZONE, NO_WAIT) for p in (profile, again))
    assert one is not None
    assert other is not None
    assert one.silent == other.silent


@pytest.mark.django_db
class TestTick:
    def make(self) -> Integration:
        integration = Integration.objects.create(
            slug="rhein-wms", name="3PL Rhein WMS", kind="webhook", time_zone="Europe/Berlin"
        )
        FeedCount.objects.bulk_create(
            FeedCount(integration=integration, event_type="pick.completed", hour=hour, n=n)
            for hour, n in history(35, 3).items()
            if n
        )
        SourceState.objects.create(integration=integration, last_received_at=NOW - timedelta(minutes=1))
        return integration

    def test_silence_becomes_one_incident_marks_the_source_and_ends_by_itself(self) -> None:
        integration = self.make()
        assert tick(NOW).silent == []
        later = NOW + timedelta(minutes=80)
        assert len(tick(later).silent) == 1
        incident = Incident.objects.get()
        assert incident.title == "3PL Rhein WMS has gone quiet"
        finding = Finding.objects.get()
        assert "saw 0" in finding.sentence or "expected" in finding.sentence
        assert len(finding.evidence["seen"]) == len(finding.evidence["hours"])
        state = SourceState.objects.get(integration=integration)
        assert state.stale_since == NOW - timedelta(minutes=1)
        tick(later + timedelta(minutes=1))
        assert Finding.objects.count() == 1
        for back in range(3):
            FeedCount.objects.update_or_create(
                integration=integration,
                event_type="pick.completed",
                hour=later.replace(minute=0) - back * HOUR,
                defaults={"n": 42},
            )
        assert tick(later + timedelta(minutes=2)).back == 1
        incident.refresh_from_db()
        assert incident.state == Incident.State.RESOLVED

    def test_counting_adds_up_by_hour_and_type(self) -> None:
        integration = Integration.objects.create(slug="i", name="I", kind="webhook")

        def new(number: int, at: datetime, type_: str) -> NewEvent:
            event = CanonicalEvent(type_, at, (Reference("picking", str(number)),))
            return NewEvent(number, at, IncomingEvent(event, integration.pk, "", None, at), 0)

        count([new(1, NOW, "a.b"), new(2, NOW + timedelta(minutes=59), "a.b"), new(3, NOW + HOUR, "a.b")])
        count([new(4, NOW, "a.b"), new(5, NOW, "c.d")])
        got = set(FeedCount.objects.values_list("event_type", "hour", "n"))
        assert got == {("a.b", NOW, 3), ("a.b", NOW + HOUR, 1), ("c.d", NOW, 1)}
        assert FeedProfile.objects.count() == 0


@pytest.mark.parametrize(
    ("seen", "mean", "dispersion"), [(0, 12.0, 1.0), (3, 42.0, 1.0), (3, 42.0, 2.5), (40, 42.0, 5.2)]
)
def test_the_tail_is_the_distribution_function(seen: int, mean: float, dispersion: float) -> None:
    """Against a plain sum over the probabilities."""
    if dispersion == 1.0:
        total = sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(seen + 1))
    else:
        n, p = mean / (dispersion - 1), 1 / dispersion
        total = sum(
            math.exp(math.lgamma(k + n) - math.lgamma(n) - math.lgamma(k + 1) + n * math.log(p) + k * math.log(1 - p))
            for k in range(seen + 1)
        )
    assert tail(seen, mean, dispersion) == pytest.approx(total, rel=1e-9)
