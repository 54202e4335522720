"""The feed rate detector: finds a dead, a thinned and a swollen feed soon, and leaves a healthy one in peace."""

from __future__ import annotations

import json
import math
import uuid
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy.stats import nbinom, poisson

from apps.accounts.models import User
from apps.anomalies import feedback
from apps.anomalies import known as knowing
from apps.anomalies.detectors.feed import (
    HOUR,
    NOTHING,
    RATES,
    FeedRate,
    Floats,
    Profile,
    Series,
    accumulate,
    evidence_of,
    hour_of_week,
    log_ratio,
)
from apps.anomalies.feeds import count, tick
from apps.anomalies.models import Anomaly, FeedCount, FeedProfile, KnownSpan, VoiceBudget
from apps.flows.canonical import CanonicalEvent, Reference
from apps.flows.recording import IncomingEvent, NewEvent
from apps.incidents.models import Finding, Incident
from apps.integrations.models import Calendar, Integration, Partner, SourceState

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)  # a Wednesday, 11:00 in Berlin
DETECTOR = FeedRate()
DAYS = 42
EMPTY = np.full((1, len(RATES)), NOTHING)


def rate(hour: datetime) -> float:
    local = hour.astimezone(ZONE)
    if local.weekday() >= 5:
        return 4.0
    return 42.0 if 7 <= local.hour < 18 else 6.0


def hours_from(first: datetime, hours: int) -> tuple[Floats, np.ndarray]:
    moments = [first + n * HOUR for n in range(hours)]
    return np.array([rate(one) for one in moments]), np.array([hour_of_week(one, ZONE) for one in moments])


def counts(mean: Floats, dispersion: float, seed: int) -> Floats:
    chance = np.random.default_rng(seed)
    if dispersion <= 1:
        return chance.poisson(mean).astype(float)
    return chance.negative_binomial(mean / (dispersion - 1), 1 / dispersion).astype(float)


def fitted(seed: int, dispersion: float = 1.0) -> Profile:
    mean, slots = hours_from(NOW - DAYS * 24 * HOUR, DAYS * 24)
    profile = DETECTOR.fit(Series(slots, counts(mean, dispersion, seed), np.ones(len(mean), bool)))
    assert profile is not None
    return profile


def missed_until_told(profile: Profile, keep: float, seed: int) -> float:
    """Expected messages until the alarm, judged every ten minutes; inf within ten days."""
    mean, slots = hours_from(NOW, 240)
    mean, expected = np.repeat(mean / 6, 6), np.repeat(np.array(profile.shares)[slots] / 6, 6)
    seen = counts(mean * keep, 1.0, seed + 1000)
    _, drop, surge = evidence_of(EMPTY, seen[None], expected[None], np.array([profile.dispersion]))
    over = (drop if keep < 1 else surge)[0] > (profile.threshold if keep < 1 else profile.surge)
    return float(mean[: int(np.argmax(over)) + 1].sum()) if over.any() else math.inf


@pytest.mark.parametrize(("keep", "most"), [(0.0, 20), (0.5, 110), (3.0, 60)], ids=["dead", "half", "threefold"])
def test_what_goes_wrong_is_found_soon(keep: float, most: float) -> None:
    assert np.median([missed_until_told(fitted(seed), keep, seed) for seed in range(9)]) <= most


@pytest.mark.parametrize("dispersion", [1.0, 2.5])
def test_a_healthy_feed_is_left_in_peace_for_a_quarter(dispersion: float) -> None:
    mean, slots = hours_from(NOW, 91 * 24)
    told = 0
    for seed in range(12):
        profile = fitted(seed, dispersion)
        expected = np.array(profile.shares)[slots]
        seen = counts(mean, dispersion, seed + 100)
        _, drop, surge = evidence_of(EMPTY, seen[None], expected[None], np.array([profile.dispersion]))
        told += bool((drop > profile.threshold).any()) + bool((surge > profile.surge).any())
    assert told <= 6  # half an incident a feed and quarter, with a profile nobody renews


def test_an_outage_in_its_past_makes_a_feed_no_deafer() -> None:
    mean, slots = hours_from(NOW - DAYS * 24 * HOUR, DAYS * 24)
    seen = counts(mean, 1.0, 5)
    well = DETECTOR.fit(Series(slots, seen, np.ones(len(mean), bool)))
    broken = seen.copy()
    broken[500:520] = 0
    marked = np.ones(len(mean), bool)
    marked[500:520] = False
    for usable in (np.ones(len(mean), bool), marked):
        ill = DETECTOR.fit(Series(slots, broken, usable))
        assert well is not None
        assert ill is not None
        assert ill.threshold <= well.threshold + 0.5
        assert np.allclose(ill.shares, well.shares, rtol=0.3)


def test_the_hour_after_a_peak_that_never_brings_anything_is_expected_to_bring_nothing() -> None:
    """A pick-up at 17:00 and silence after it: no feed is quiet at 18:00 because it was busy at 17:00."""
    _, slots = hours_from(NOW - 28 * 24 * HOUR, 28 * 24)
    seen = np.where(slots % 24 == 17, 500.0, 0.0)
    profile = DETECTOR.fit(Series(slots, seen, np.ones(len(seen), bool)))
    assert profile is not None
    assert sum(profile.shares[18:24]) < 3


def test_a_week_and_fifty_messages_of_history_are_needed() -> None:
    mean, slots = hours_from(NOW, 6 * 24)
    assert DETECTOR.fit(Series(slots, mean, np.ones(len(mean), bool))) is None
    mean, slots = hours_from(NOW, 20 * 24)
    assert DETECTOR.fit(Series(slots, mean * 0 + 0.1, np.ones(len(mean), bool))) is None


def test_the_profile_survives_json() -> None:
    profile = fitted(1)
    again = Profile.from_json(json.loads(json.dumps(profile.as_json())))
    assert np.allclose(again.shares, profile.shares, atol=1e-4)
    assert (again.threshold, again.surge, again.dispersion) == (profile.threshold, profile.surge, profile.dispersion)


@pytest.mark.parametrize(("mean", "dispersion"), [(12.0, 1.0), (42.0, 2.5), (3.0, 5.2)])
def test_the_ratio_is_that_of_the_two_laws(mean: float, dispersion: float) -> None:
    seen = np.arange(60.0)

    def law(m: float) -> Floats:
        if dispersion == 1.0:
            return np.asarray(poisson.logpmf(seen, m))
        return np.asarray(nbinom.logpmf(seen, m / (dispersion - 1), 1 / dispersion))

    got = log_ratio(seen, np.full(60, mean), np.full(60, dispersion))
    for number, k in enumerate(RATES):
        assert np.allclose(got[:, number], law(mean * k) - law(mean))


def test_the_sum_is_the_recursion_and_parts_of_hours_add_up() -> None:
    chance = np.random.default_rng(3)
    ratios = chance.normal(-0.2, 1.5, (50, 6))
    ratios[[4, 5, 30]] = np.nan
    r = np.zeros(6)
    for row in ratios:
        if not np.isnan(row[0]):
            r = (1 + r) * np.exp(row)
    assert np.allclose(accumulate(EMPTY[0], ratios)[-1], np.log(r))
    halves = accumulate(accumulate(EMPTY[0], ratios[:20])[-1], ratios[20:])[-1]
    assert np.allclose(halves, np.log(r))
    whole = log_ratio(np.array([0.0]), np.array([8.0]), np.array([2.0]))
    half = log_ratio(np.array([0.0]), np.array([4.0]), np.array([2.0]))
    assert np.allclose(whole, 2 * half)


def test_a_holiday_counts_as_a_sunday_and_peaks_and_outages_are_known() -> None:
    partner = Partner(pk=7, calendar="works")
    one = Integration(pk=3, time_zone="Europe/Berlin", partner=partner)
    first = datetime(2026, 4, 30, 22, tzinfo=UTC)  # 1 May in Berlin, a Friday and a holiday
    weekly = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
    calendar = knowing.WorkingCalendar.from_spec({"zone": "Europe/Berlin", "country": "DE", "weekly": weekly})
    marks = [
        knowing.Marked(first + 2 * HOUR, first + 4 * HOUR, partner=7, judged=False),
        knowing.Marked(first + 5 * HOUR, first + 6 * HOUR, integration=3, factor=2.0),
        knowing.Marked(first, first + 48 * HOUR, integration=99, judged=False),
    ]
    known = knowing.Known(marks, (), {"works": calendar})
    assert known.slots(one, first, 1)[0] == 6 * 24
    assert known.slots(Integration(pk=4, time_zone="Europe/Berlin"), first, 1)[0] == 4 * 24
    judged, learnt, factor = known.masks(one, "", first, 8)
    assert judged.tolist() == [True, True, False, False, True, True, True, True]
    assert learnt.tolist() == [True, True, False, False, True, False, True, True]
    assert factor.tolist() == [1, 1, 1, 1, 1, 2, 1, 1]


@pytest.mark.django_db
class TestTick:
    def make(self, n: int = 1) -> Integration:
        mean, _ = hours_from(NOW - DAYS * 24 * HOUR, DAYS * 24)
        for number in range(n):
            integration = Integration.objects.create(
                slug=f"wms-{number}", name="3PL Rhein WMS", kind="webhook", time_zone="Europe/Berlin"
            )
            FeedCount.objects.bulk_create(
                FeedCount(
                    integration=integration, event_type="pick.completed", hour=NOW - (DAYS * 24 - at) * HOUR, n=seen
                )
                for at, seen in enumerate(counts(mean, 1.0, 3 + number))
                if seen
            )
            SourceState.objects.create(integration=integration, last_received_at=NOW - timedelta(minutes=1))
        return integration

    def back(self, integration: Integration, at: datetime) -> None:
        for back in range(3):
            FeedCount.objects.update_or_create(
                integration=integration,
                event_type="pick.completed",
                hour=at.replace(minute=0) - back * HOUR,
                defaults={"n": 42},
            )

    def test_silence_becomes_one_incident_marks_the_source_and_ends_by_itself(self) -> None:
        integration = self.make()
        assert tick(NOW).silent == []
        later = NOW + timedelta(minutes=80)
        assert len(tick(later).silent) == 1
        incident = Incident.objects.get()
        assert incident.title == "3PL Rhein WMS has gone quiet"
        finding = Finding.objects.get()
        assert finding.kind == "feed.silent"
        assert "times as likely if something is wrong" in finding.sentence
        assert "it began about 11:00" in finding.sentence
        assert len(finding.evidence["seen"]) == len(finding.evidence["hours"])
        state = SourceState.objects.get(integration=integration)
        assert state.stale_since == NOW - timedelta(minutes=1)
        tick(later + timedelta(minutes=1))
        assert Finding.objects.count() == 1
        self.back(integration, later)
        assert tick(later + timedelta(minutes=2)).back == 1
        incident.refresh_from_db()
        assert incident.state == Incident.State.RESOLVED
        assert tick(later + timedelta(minutes=3)).silent == []

    def test_what_the_budget_holds_back_comes_through_when_it_goes_on(self) -> None:
        integration = self.make()
        tick(NOW)
        VoiceBudget.objects.create(pages=1, tasks=1, changed_at=NOW)
        for number in range(40):
            Anomaly.objects.create(
                detector="feed", key=uuid.uuid4(), stream=f"other {number}", tier="page", title="x", sentence="x", score=9,
                threshold=4, evidence={}, began_at=NOW, raised_at=NOW, cleared_at=NOW,
            )  # fmt: skip
        tick(NOW + timedelta(minutes=30))
        held = Anomaly.objects.get(integration=integration)
        assert held.suppressed == "budget"
        assert Finding.objects.count() == 0
        tick(NOW + timedelta(minutes=150))
        held.refresh_from_db()
        assert held.suppressed == ""
        assert Finding.objects.get() == held.finding
        assert SourceState.objects.get(integration=integration).stale_since is not None

    def test_the_evidence_gives_the_same_score_again(self) -> None:
        self.make()
        tick(NOW)
        tick(NOW + timedelta(minutes=95))
        stored = Anomaly.objects.get().evidence
        assert DETECTOR.replay(stored) == stored["score"]
        assert Finding.objects.get().evidence["score"] == stored["score"]

    def test_a_known_exception_is_not_judged_and_an_outage_not_learnt(self) -> None:
        integration = self.make()
        tick(NOW)
        before = FeedProfile.objects.get(event_type="").state["shares"]
        span = KnownSpan.objects.create(
            kind="expected",
            integration=integration,
            starts_at=NOW - HOUR,
            ends_at=NOW + 30 * HOUR,
            name="Stocktaking",
            created_at=NOW,
        )
        assert tick(NOW + 5 * HOUR).silent == []
        span.undone_at = NOW
        span.save()
        KnownSpan.objects.create(
            kind="outage",
            integration=integration,
            starts_at=NOW,
            ends_at=NOW + 30 * HOUR,
            name="Confirmed",
            created_at=NOW,
        )
        assert len(tick(NOW + 5 * HOUR).silent) == 1
        Anomaly.objects.all().delete()
        tick(NOW + 29 * HOUR)
        after = FeedProfile.objects.get(event_type="").state["shares"]
        assert np.allclose(before, after, rtol=0.2, atol=0.3)

    def test_late_messages_count_for_the_hour_they_happened_in(self) -> None:
        integration = self.make()
        tick(NOW)
        self.back(integration, NOW + timedelta(minutes=59))
        assert tick(NOW + timedelta(minutes=69)).silent == []

    def test_a_round_takes_as_many_statements_for_many_feeds(self, django_assert_max_num_queries: object) -> None:
        self.make(4)
        tick(NOW)
        with django_assert_max_num_queries(32):  # type: ignore[operator]
            tick(NOW + timedelta(minutes=5))

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


@pytest.mark.django_db
def test_calendars_are_read_by_their_newest_version() -> None:
    weekly = {"mon": [["09:00", "17:00"]]}
    Calendar.objects.create(slug="works", version=1, name="Works", spec={"zone": "UTC", "weekly": {}})
    Calendar.objects.create(
        slug="works", version=2, name="Works", spec={"zone": "UTC", "weekly": weekly, "country": "DE"}
    )
    known = knowing.read(NOW - HOUR, NOW, {"works", ""})
    assert knowing.is_holiday(known.calendars["works"], datetime(2026, 4, 6).date())  # Easter Monday
    assert not knowing.is_holiday(known.calendars["works"], datetime(2026, 4, 7).date())

    def network(self, n: int = 4) -> list[Integration]:
        """Integrations of one partner that all bring the same type, and one of another partner that goes on."""
        self.make(n + 1)
        made = list(Integration.objects.order_by("slug"))
        ours, theirs = (Partner.objects.create(slug=name, name=name.title(), kind="3pl") for name in ("rhein", "else"))
        Integration.objects.filter(pk__in=[one.pk for one in made[:n]]).update(partner=ours)
        Integration.objects.filter(pk=made[n].pk).update(partner=theirs)
        return made

    def go_on(self, one: Integration, hours: int) -> None:
        for number in range(-2, hours):
            FeedCount.objects.update_or_create(
                integration=one, event_type="pick.completed", hour=NOW + number * HOUR, defaults={"n": 42}
            )

    def test_a_partner_that_fell_silent_is_one_finding_and_all_its_sources_are_unheard(self) -> None:
        made = self.network()
        assert tick(NOW).silent == []
        self.go_on(made[4], 3)
        for minute in (20, 50, 80):
            tick(NOW + timedelta(minutes=minute))
        finding = Finding.objects.get(cleared_at=None)
        assert (finding.kind, finding.integration_id, finding.partner) == ("feed.silent", None, made[0].partner)
        assert finding.sentence.startswith("All feeds of Rhein: expected ")
        assert Incident.objects.get(state="open").title == "All feeds of Rhein have gone quiet"
        assert SourceState.objects.filter(stale_since__isnull=False).count() == 4
        row = Anomaly.objects.get(finding=finding)
        assert DETECTOR.replay(row.evidence) == row.score
        assert set(row.evidence["members"]) == {one.pk for one in made[:4]}
        for one in made[:4]:
            self.back(one, NOW + timedelta(minutes=80))
        tick(NOW + timedelta(minutes=82))
        assert Finding.objects.filter(cleared_at=None).count() == 0

    def test_one_silent_feed_of_many_is_told_itself(self) -> None:
        made = self.network()
        tick(NOW)
        for one in made[1:]:
            self.go_on(one, 4)
        tick(NOW + timedelta(minutes=80))
        tick(NOW + timedelta(minutes=140))
        assert Finding.objects.get(cleared_at=None).integration == made[0]

    def test_a_silence_of_everybody_is_one_finding_and_takes_in_what_was_told_before(self) -> None:
        made = self.network()
        tick(NOW)
        for one in made[1:]:
            self.go_on(one, 2)
        tick(NOW + timedelta(minutes=80))
        assert Finding.objects.get(cleared_at=None).integration == made[0]
        tick(NOW + timedelta(hours=4))
        finding = Finding.objects.get(cleared_at=None)
        assert (finding.integration_id, finding.partner_id) == (None, None)
        assert finding.sentence.startswith("The feeds of all partners: ")
        assert "a wider silence" in str(
            list(Incident.objects.get(state="resolved").entries.values_list("data", "body"))
        )

    def test_an_answer_about_a_sum_marks_the_time_for_its_partner(self) -> None:
        made = self.network()
        tick(NOW)
        self.go_on(made[4], 3)
        later = NOW + timedelta(minutes=80)
        tick(later)
        user = User.objects.create(username="ops", role="operations")
        feedback.judge(Anomaly.objects.get(cleared_at=None).pk, "expected", user, later)
        span = KnownSpan.objects.get()
        assert (span.partner, span.integration, span.detector) == (made[0].partner, None, "feed")
        assert tick(later + timedelta(minutes=1)).silent == []
        assert Finding.objects.filter(cleared_at=None).count() == 0
