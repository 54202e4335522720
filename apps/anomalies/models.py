"""What the detectors know, what they said, and what people answered."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from apps.anomalies.causes_models import CauseGroup as CauseGroup
from apps.anomalies.causes_models import CauseMember as CauseMember
from apps.anomalies.causes_models import FlowRisk as FlowRisk
from apps.anomalies.causes_models import IncidentPriority as IncidentPriority
from apps.anomalies.causes_models import ReconciliationRule as ReconciliationRule
from apps.anomalies.causes_models import ReconciliationTally as ReconciliationTally
from apps.anomalies.causes_models import ReconciliationWord as ReconciliationWord
from apps.anomalies.causes_models import RiskModel as RiskModel
from apps.flows.models import Flow
from apps.incidents.models import Finding
from apps.integrations.models import Integration, Partner


class FeedProfile(models.Model):
    """What is usual on one feed: one integration, one event type ('' = all). state is owned by the detector `feed`.

    Without an integration it is a sum of feeds (`feed_sums`): a partner's (partner set) or everybody's, of one type or all.
    """

    integration = models.ForeignKey(Integration, null=True, on_delete=models.CASCADE, related_name="feed_profiles")
    partner = models.ForeignKey(Partner, null=True, on_delete=models.CASCADE, related_name="+", db_index=False)
    event_type = models.CharField(max_length=64, blank=True)
    fitted_at = models.DateTimeField()
    state = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["integration", "partner", "event_type"], name="feed_profile_one", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.integration_id or 'sum'} {self.event_type or 'all'}"


class FeedCount(models.Model):
    """Events per integration, type and hour of happened_at; written in the transaction that records them."""

    id = models.BigAutoField(primary_key=True)
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="+", db_index=False)
    event_type = models.CharField(max_length=64)
    hour = models.DateTimeField()
    n = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["integration", "event_type", "hour"], name="feed_count_cell")]


class KnownSpan(models.Model):
    """A time the detectors must treat apart, because somebody said so.

    kind: EXPECTED is not judged and not learnt from; OUTAGE (confirmed) is judged and never learnt from; PEAK multiplies
    what is expected by ``factor`` and is not learnt from. Scope: one feed, one partner, or everything; of one detector, or
    ('') all. undone_at: taken back; the row stays.
    """

    class Kind(models.TextChoices):
        EXPECTED = "expected", "Expected"
        OUTAGE = "outage", "Confirmed outage"
        PEAK = "peak", "Peak"

    kind = models.CharField(max_length=16, choices=Kind)
    integration = models.ForeignKey(Integration, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    partner = models.ForeignKey(Partner, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    event_type = models.CharField(max_length=64, blank=True)
    detector = models.CharField(max_length=32, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    factor = models.FloatField(null=True, blank=True)
    name = models.CharField(max_length=200)
    author_name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-starts_at", "-id"]
        constraints = [models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="span_ends_after_start")]
        indexes = [models.Index(fields=["ends_at"], name="span_ends", condition=Q(undone_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.name}"


class LeadLaw(models.Model):
    """How long one stage of a flow takes (`detectors.deadline`); fitted nightly, the newest counts."""

    flow_slug = models.SlugField(max_length=64)
    start = models.CharField(max_length=64)
    end = models.CharField(max_length=64)
    fitted_at = models.DateTimeField()
    state = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flow_slug", "start", "end"], name="lead_law_stage")]

    def __str__(self) -> str:
        return f"{self.flow_slug}: {self.start} to {self.end}"


class LearnedDeadline(models.Model):
    """By when an awaited milestone usually comes; refreshed daily, deleted when it has come.

    watch_at, task_at: 90 and 98 of 100 comparable flows were faster. evidence: what the two rest on.
    """

    id = models.BigAutoField(primary_key=True)
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="learned_deadlines", db_index=False)
    milestone = models.CharField(max_length=64)
    start_at = models.DateTimeField()
    watch_at = models.DateTimeField()
    task_at = models.DateTimeField()
    refreshed_at = models.DateTimeField()
    evidence = models.JSONField()
    told_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flow", "milestone"], name="learned_deadline_one")]
        indexes = [models.Index(fields=["task_at"], name="learned_deadline_due", condition=Q(told_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.milestone} by {self.task_at:%Y-%m-%d %H:%M}Z"


class MetricState(models.Model):
    """What the detector of metrics (and the one of drift) keeps of one stream. key: metric, or lane."""

    detector = models.CharField(max_length=32)
    integration = models.ForeignKey(Integration, null=True, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    at = models.DateTimeField()
    state = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["detector", "integration", "key"], name="metric_state_one", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.detector} {self.key}"


class MetricPoint(models.Model):
    """One value of one stream: the share of errors of an integration in a half-hour, its delay, its backlog."""

    id = models.BigAutoField(primary_key=True)
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="+", db_index=False)
    metric = models.CharField(max_length=32)
    at = models.DateTimeField()
    value = models.FloatField()
    score = models.FloatField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["integration", "metric", "at"], name="metric_point_one")]


class AnomalyQuerySet(models.QuerySet["Anomaly"]):
    def open(self) -> AnomalyQuerySet:
        return self.filter(cleared_at=None)

    def told(self) -> AnomalyQuerySet:
        return self.filter(suppressed="")


class Anomaly(models.Model):
    """What a learned detector said, told or not.

    stream: what it is about, the same each time (`key` is its hash): feedback and thresholds hang on it.
    tier: WATCH is only shown, TASK asks somebody to look, PAGE may call somebody; a learned lateness is never PAGE.
    suppressed: '' when told, else why not ("budget", "switched off", "too small"). audited: one of the 2 % of
    suppressed ones that people are asked about all the same. finding: what the incident desk got of it.
    """

    class Tier(models.TextChoices):
        WATCH = "watch", "Watch"
        TASK = "task", "Task"
        PAGE = "page", "Page"

    class Verdict(models.TextChoices):
        REAL = "real", "Real"
        EXPECTED = "expected", "Expected"
        NOT_USEFUL = "not_useful", "Not useful"
        FIXED = "fixed", "Fixed by us"

    id = models.BigAutoField(primary_key=True)
    detector = models.CharField(max_length=32)
    key = models.UUIDField()
    stream = models.CharField(max_length=200)
    tier = models.CharField(max_length=8, choices=Tier)
    title = models.CharField(max_length=300)
    sentence = models.TextField()
    score = models.FloatField()
    threshold = models.FloatField()
    evidence = models.JSONField()
    integration = models.ForeignKey(Integration, null=True, on_delete=models.CASCADE, related_name="+")
    partner = models.ForeignKey(Partner, null=True, on_delete=models.CASCADE, related_name="+")
    flow = models.ForeignKey(Flow, null=True, on_delete=models.SET_NULL, related_name="+")
    finding = models.ForeignKey(Finding, null=True, on_delete=models.SET_NULL, related_name="+")
    began_at = models.DateTimeField()
    raised_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)
    suppressed = models.CharField(max_length=32, blank=True)
    audited = models.BooleanField(default=False)
    verdict = models.CharField(max_length=16, choices=Verdict, blank=True)
    verdict_at = models.DateTimeField(null=True)
    verdict_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    span = models.ForeignKey(KnownSpan, null=True, on_delete=models.SET_NULL, related_name="+")

    objects = AnomalyQuerySet.as_manager()

    class Meta:
        ordering = ["-raised_at", "-id"]
        verbose_name_plural = "anomalies"
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(cleared_at__isnull=True), name="anomaly_one_open")
        ]
        indexes = [
            models.Index(fields=["-raised_at", "-id"], name="anomaly_newest"),
            models.Index(fields=["detector", "stream", "-raised_at"], name="anomaly_stream"),
            models.Index(fields=["partner", "-raised_at"], name="anomaly_partner"),
        ]

    def __str__(self) -> str:
        return self.sentence


class DetectorSwitch(models.Model):
    """Whether a detector speaks, for everybody (partner null) or for one partner. Without a row it does."""

    detector = models.CharField(max_length=32)
    partner = models.ForeignKey(Partner, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    enabled = models.BooleanField(default=True)
    changed_at = models.DateTimeField()
    changed_by_name = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["detector", "partner"], name="switch_one", nulls_distinct=False)]

    def __str__(self) -> str:
        return f"{self.detector} {'on' if self.enabled else 'off'}"


class VoiceBudget(models.Model):
    """How often the detectors may speak up to each operator and day; one row. Thresholds follow it.

    drift_share, drift_minutes: a lane's lead time must change by both before it is told (0.1: by a tenth).
    """

    pages = models.PositiveIntegerField(default=3)
    tasks = models.PositiveIntegerField(default=20)
    drift_share = models.FloatField(default=0.1)
    drift_minutes = models.PositiveIntegerField(default=30)
    changed_at = models.DateTimeField()
    changed_by_name = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"{self.pages} pages, {self.tasks} tasks a day"
