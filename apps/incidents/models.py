"""What is wrong (findings) and how people work it (incidents)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.accounts.models import Team
from apps.flows.models import Flow
from apps.integrations.models import Integration, Partner


class Severity(models.TextChoices):
    CRITICAL = "critical", "Critical"
    HIGH = "high", "High"
    NORMAL = "normal", "Normal"
    LOW = "low", "Low"


class Resolution(models.TextChoices):
    """How an incident ended. BY_ITSELF is the tower's own word: every finding was cleared."""

    FIXED = "fixed", "Fixed by us"
    PARTNER = "partner", "Fixed by the partner"
    NO_ACTION = "no action", "Nothing had to be done"
    FALSE_ALARM = "false alarm", "False alarm"
    BY_ITSELF = "by itself", "By itself"


class IncidentQuerySet(models.QuerySet["Incident"]):
    def unresolved(self) -> IncidentQuerySet:
        return self.exclude(state=Incident.State.RESOLVED)


class Incident(models.Model):
    """Findings of one cause. At most one unresolved incident per fingerprint; the database holds that."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        SNOOZED = "snoozed", "Snoozed"
        RESOLVED = "resolved", "Resolved"

    fingerprint = models.UUIDField()
    kind = models.CharField(max_length=64)
    title = models.CharField(max_length=300)
    state = models.CharField(max_length=16, choices=State, default=State.OPEN)
    severity = models.CharField(max_length=16, choices=Severity, default=Severity.NORMAL)
    partner = models.ForeignKey(Partner, null=True, on_delete=models.SET_NULL, related_name="incidents")
    integration = models.ForeignKey(Integration, null=True, on_delete=models.SET_NULL, related_name="incidents")
    team = models.ForeignKey(Team, null=True, on_delete=models.SET_NULL, related_name="incidents")
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="assigned_incidents"
    )
    opened_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    back_at = models.DateTimeField(null=True, help_text="When the one who acknowledged will be back; snoozed until")
    resolved_at = models.DateTimeField(null=True)
    resolution = models.CharField(max_length=32, choices=Resolution, blank=True)
    first_breach_at = models.DateTimeField(null=True, help_text="Earliest due time of all findings")
    next_breach_at = models.DateTimeField(
        null=True, help_text="What was next ahead when last looked: an open finding's due time or the outlook"
    )
    outlook_at = models.DateTimeField(null=True, help_text="When the same cause will next make something late")
    last_finding_at = models.DateTimeField()
    open_findings = models.PositiveIntegerField(default=0)
    total_findings = models.PositiveIntegerField(default=0)
    reopened = models.PositiveIntegerField(default=0)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"], condition=~Q(state="resolved"), name="incident_one_unresolved_per_cause"
            )
        ]
        indexes = [
            models.Index(fields=["next_breach_at"], name="incident_inbox", condition=~Q(state="resolved")),
            models.Index(fields=["partner", "-opened_at"], name="incident_partner"),
            models.Index(fields=["fingerprint", "-opened_at"], name="incident_cause"),
            models.Index(fields=["back_at"], name="incident_snoozed", condition=Q(state="snoozed")),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"


class Finding(models.Model):
    """What a rule or a detector says: one breach, one silent feed. key is unique while it is open."""

    key = models.UUIDField()
    kind = models.CharField(max_length=64)
    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="findings")
    flow = models.ForeignKey(Flow, null=True, on_delete=models.SET_NULL, related_name="findings")
    integration = models.ForeignKey(Integration, null=True, on_delete=models.SET_NULL, related_name="findings")
    partner = models.ForeignKey(Partner, null=True, on_delete=models.SET_NULL, related_name="findings")
    severity = models.CharField(max_length=16, choices=Severity, default=Severity.NORMAL)
    sentence = models.TextField()
    evidence = models.JSONField(default=dict)
    due_at = models.DateTimeField(null=True)
    raised_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)
    cleared_because = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-raised_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=Q(cleared_at__isnull=True), name="finding_one_open_per_key"
            )
        ]
        indexes = [
            models.Index(fields=["incident", "-raised_at"], name="finding_incident"),
            models.Index(fields=["incident", "due_at"], name="finding_open", condition=Q(cleared_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return self.sentence


class IncidentEvent(models.Model):
    """One line of an incident's timeline, and the outbox of what must be sent about it (dispatched_at is null)."""

    class Kind(models.TextChoices):
        OPENED = "opened", "Opened"
        JOINED = "joined", "Findings joined"
        SEVERITY = "severity", "Severity changed"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        UNACKNOWLEDGED = "unacknowledged", "Acknowledgment taken back"
        ASSIGNED = "assigned", "Assigned"
        COMMENTED = "commented", "Comment"
        SNOOZED = "snoozed", "Snoozed"
        WOKEN = "woken", "Snooze ended"
        RESOLVED = "resolved", "Resolved"
        REOPENED = "reopened", "Reopened"
        CLEARED = "cleared", "Findings cleared"
        NOTIFIED = "notified", "Notified"
        ASKED = "asked", "Partner asked"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="timeline")
    kind = models.CharField(max_length=16, choices=Kind)
    at = models.DateTimeField()
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=200, blank=True, help_text="Person or machine; empty: the tower itself")
    text = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    notify = models.BooleanField(default=False)
    dispatched_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["at", "id"]
        indexes = [
            models.Index(
                fields=["id"], name="incident_event_outbox", condition=Q(notify=True, dispatched_at__isnull=True)
            ),
            models.Index(fields=["incident", "at"], name="incident_event_timeline"),
        ]

    def __str__(self) -> str:
        return f"{self.incident_id} {self.kind}"
