"""Who is called next when nobody takes an incident, and the rows that wait for their time (`escalation`)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from apps.incidents.models import Incident
from apps.integrations.models import MaintenanceWindow


class EscalationPolicy(models.Model):
    """Steps that follow each other until somebody acknowledges.

    steps: [{"after": minutes since the step before, "targets": [{"kind": "schedule", "ref": slug}, ..]}], kinds as in
    `escalation_plans.TARGETS`. repeat: rounds after the first, each `pause` after the last step. lapse_after: an
    acknowledgment holds so long; None: for ever. remind_every: of who acknowledged, unless they chose their own.
    """

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    steps = models.JSONField(default=list)
    repeat = models.PositiveSmallIntegerField(default=0)
    pause = models.DurationField(default=timedelta(minutes=30))
    lapse_after = models.DurationField(null=True, blank=True)
    remind_every = models.DurationField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "escalation policies"

    def __str__(self) -> str:
        return self.name


class EscalationVersion(models.Model):
    """What a policy said at one time (`escalation_versions.told`). An escalation keeps the one it began with.

    policy: null once it was removed; what is under way goes on by its version to the end. author_name: who saved it;
    "" for what a configuration file said.
    """

    policy = models.ForeignKey(EscalationPolicy, null=True, on_delete=models.SET_NULL, related_name="versions")
    version = models.PositiveIntegerField()
    spec = models.JSONField()
    author_name = models.CharField(max_length=200, blank=True)
    note = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-version"]
        constraints = [models.UniqueConstraint(fields=["policy", "version"], name="escalation_version_once")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    @property
    def slug(self) -> str:
        return str(self.spec["slug"])

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def steps(self) -> list[Any]:
        return list(self.spec["steps"])

    @property
    def repeat(self) -> int:
        return int(self.spec["repeat"])

    @property
    def pause(self) -> timedelta:
        return timedelta(seconds=self.spec["pause"])

    @property
    def lapse_after(self) -> timedelta | None:
        return _span(self.spec["lapse_after"])

    @property
    def remind_every(self) -> timedelta | None:
        return _span(self.spec["remind_every"])


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


class EscalationRoute(models.Model):
    """Which incidents a policy is for. Tried by position, the first that fits decides; an empty list fits all."""

    class Hours(models.TextChoices):
        ANY = "any", "At any time"
        WORKING = "working", "In working hours"
        OFF = "off", "Outside working hours"

    position = models.PositiveIntegerField()
    policy = models.ForeignKey(EscalationPolicy, on_delete=models.CASCADE, related_name="routes")
    severities = ArrayField(models.CharField(max_length=16), default=list, blank=True)
    integrations = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    teams = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    hours = models.CharField(max_length=8, choices=Hours, default=Hours.ANY)
    calendar = models.CharField(max_length=64, blank=True, help_text="Slug of the working calendar")

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(hours="any") | ~Q(calendar=""), name="route_hours_need_a_calendar")
        ]

    def __str__(self) -> str:
        return f"{self.position}: {self.policy}"


class AwaitedStep(models.Model):
    """Something the tower will do about an incident at due_at, unless the incident changes before (done_at is null).

    kind STEP: calls the targets of `step` (from 0) in `round`. REMINDER: reminds who acknowledged. LAPSE: ends the
    acknowledgment of `since`; step and round say where escalation goes on. UNMUTE: `window` silences it until then.
    version: of the policy, as it was when the escalation began.
    """

    class Kind(models.TextChoices):
        STEP = "step", "Next step"
        REMINDER = "reminder", "Reminder"
        LAPSE = "lapse", "Acknowledgment runs out"
        UNMUTE = "unmute", "Silence ends"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="awaited")
    kind = models.CharField(max_length=8, choices=Kind)
    policy = models.ForeignKey(EscalationPolicy, null=True, on_delete=models.SET_NULL, related_name="awaited")
    version = models.ForeignKey(EscalationVersion, null=True, on_delete=models.SET_NULL, related_name="awaited")
    window = models.ForeignKey(MaintenanceWindow, null=True, on_delete=models.SET_NULL, related_name="+")
    step = models.PositiveSmallIntegerField(default=0)
    round = models.PositiveSmallIntegerField(default=0)
    since = models.DateTimeField(null=True)
    due_at = models.DateTimeField()
    created_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["due_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "kind"], condition=Q(done_at__isnull=True), name="awaited_one_per_kind"
            )
        ]
        indexes = [
            models.Index(fields=["due_at"], name="awaited_due", condition=Q(done_at__isnull=True)),
            models.Index(fields=["incident", "-due_at"], name="awaited_incident"),
        ]

    def __str__(self) -> str:
        return f"{self.incident_id} {self.kind} {self.due_at:%Y-%m-%d %H:%M}"


class ReminderInterval(models.Model):
    """How often a person wants to be reminded of what they acknowledged; every null: not at all."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="reminder_interval")
    every = models.DurationField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.user}: {self.every}"


class HandoverMail(models.Model):
    """One hand-over that was mailed: a shift that began, once."""

    schedule = models.ForeignKey("oncall.Schedule", on_delete=models.CASCADE, related_name="+")
    began_at = models.DateTimeField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    sent_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["schedule", "began_at"], name="handover_mail_once")]

    def __str__(self) -> str:
        return f"{self.schedule_id} {self.began_at:%Y-%m-%d %H:%M}"
