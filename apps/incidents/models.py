"""What is wrong (findings) and how people work it (incidents)."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, OuterRef, Q

from apps.accounts.models import Team
from apps.flows.models import Flow
from apps.integrations.models import Integration, Partner


class Severity(models.TextChoices):
    CRITICAL = "critical", "Critical"
    HIGH = "high", "High"
    NORMAL = "normal", "Normal"
    LOW = "low", "Low"


class Resolution(models.TextChoices):
    """How an incident ended. BY_ITSELF is the tower's own word: every finding was cleared. MERGED: another took it over."""

    FIXED = "fixed", "Fixed by us"
    PARTNER = "partner", "Fixed by the partner"
    NO_ACTION = "no action", "Nothing had to be done"
    FALSE_ALARM = "false alarm", "False alarm"
    BY_ITSELF = "by itself", "By itself"
    MERGED = "merged", "Merged into another"


#: resolutions a person may give
BY_HAND = tuple(one for one in Resolution if one not in (Resolution.BY_ITSELF, Resolution.MERGED))
#: resolutions that say nobody had to act: what is noise on the metrics page
WITHOUT_ACTION = (Resolution.BY_ITSELF, Resolution.NO_ACTION, Resolution.FALSE_ALARM)


class IncidentQuerySet(models.QuerySet["Incident"]):
    def unresolved(self) -> IncidentQuerySet:
        return self.exclude(state=Incident.State.RESOLVED)

    def concerning(self, partner: str) -> IncidentQuerySet:
        """Those of the partner with this slug, also where it is one of several."""
        among = Finding.objects.filter(incident=OuterRef("pk"), partner__slug=partner)
        return self.filter(Q(partner__slug=partner) | Q(partners__gt=1) & Q(Exists(among)))


class Incident(models.Model):
    """Findings of one cause. At most one unresolved incident per fingerprint; the database holds that.

    worst: severity of the worst finding so far, whatever a person has set since (`severity_by_hand`).
    quiet_since: when its last finding was cleared, while it waits whether more comes (settings.INCIDENT_QUIET).
    merged_into: where its findings are now; what the same cause brings goes there too.
    partners: how many different partners its findings name; one of several is never `partner` (`scope`).
    """

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
    worst = models.CharField(max_length=16, choices=Severity, blank=True)
    severity_by_hand = models.BooleanField(default=False)
    quiet_since = models.DateTimeField(null=True)
    labels = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    partners = models.PositiveIntegerField(default=0, db_default=0)
    merged_into = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="merged")

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"], condition=~Q(state="resolved"), name="incident_one_unresolved_per_cause"
            ),
            models.CheckConstraint(
                condition=Q(merged_into__isnull=True) | Q(state="resolved"), name="incident_merged_is_resolved"
            ),
        ]
        indexes = [
            models.Index(fields=["next_breach_at"], name="incident_inbox", condition=~Q(state="resolved")),
            models.Index(fields=["partner", "-opened_at"], name="incident_partner"),
            models.Index(fields=["fingerprint", "-opened_at"], name="incident_cause"),
            models.Index(fields=["back_at"], name="incident_snoozed", condition=Q(state="snoozed")),
            models.Index(fields=["resolved_at"], name="incident_resolved", condition=Q(state="resolved")),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"

    @property
    def whom(self) -> str:
        """The partner it concerns, ``3 partners``, or "" when its findings name none. Needs the partner loaded."""
        return self.partner.name if self.partner else f"{self.partners:,} partners" if self.partners > 1 else ""


class Finding(models.Model):
    """What a rule or a detector says: one breach, one silent feed. key is unique while it is open.

    cause: fingerprint it was raised with; it stays when the finding moves to another incident.
    """

    key = models.UUIDField()
    cause = models.UUIDField(null=True)
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
            models.Index(fields=["key"], name="finding_was_known", condition=Q(cleared_at__isnull=False)),
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
        RATED = "rated", "Severity set by hand"
        LABELLED = "labelled", "Labels changed"
        MERGED = "merged", "Merged into another"
        ABSORBED = "absorbed", "Took over another"
        UNMERGED = "unmerged", "Merge undone"
        SPLIT = "split", "Findings went to another"
        RELATED = "related", "Related to another"
        UNRELATED = "unrelated", "No longer related"
        RETURNED = "returned", "Came back acknowledged"
        MENTIONED = "mentioned", "Somebody mentioned"
        ESCALATED = "escalated", "Escalated"
        REMINDED = "reminded", "Reminded"
        LAPSED = "lapsed", "Acknowledgment ran out"
        MUTED = "muted", "Silenced by a window"
        UNMUTED = "unmuted", "No longer silenced"

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


class Relation(models.Model):
    """Two incidents that a person says have to do with each other (`relating`); lower has the smaller number."""

    lower = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="+")
    upper = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField()
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=200)
    reason = models.CharField(max_length=400)

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["lower", "upper"], name="relation_once"),
            models.CheckConstraint(condition=Q(lower__lt=models.F("upper")), name="relation_lower_first"),
        ]

    def __str__(self) -> str:
        return f"#{self.lower_id} and #{self.upper_id}"


class IncidentFile(models.Model):
    """A file that somebody put beside a comment. Kept in the database, served as a download only (`incidents.files`)."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="files")
    event = models.ForeignKey(IncidentEvent, null=True, on_delete=models.SET_NULL, related_name="files")
    name = models.CharField(max_length=200)
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    body = models.BinaryField()
    at = models.DateTimeField()
    user_name = models.CharField(max_length=200)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name


class Runbook(models.Model):
    """What to do about a kind of incident, or about one integration's; the most specific one is shown (`runbooks`)."""

    slug = models.SlugField(max_length=64, unique=True)
    title = models.CharField(max_length=200)
    kind = models.CharField(max_length=64, blank=True, help_text="Kind of incident; empty: every kind")
    integration = models.ForeignKey(
        Integration, null=True, blank=True, on_delete=models.CASCADE, related_name="runbooks"
    )
    text = models.TextField(max_length=20_000)
    updated_at = models.DateTimeField(auto_now=True)
    author_name = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.title


class Review(models.Model):
    """What was learned from an incident, written after it (`incidents.reviewing`)."""

    class State(models.TextChoices):
        DRAFT = "draft", "Being written"
        DONE = "done", "Done"

    incident = models.OneToOneField(Incident, on_delete=models.CASCADE, related_name="review")
    state = models.CharField(max_length=8, choices=State, default=State.DRAFT)
    summary = models.TextField(blank=True)
    impact = models.TextField(blank=True)
    causes = models.TextField(blank=True)
    went_well = models.TextField(blank=True)
    went_badly = models.TextField(blank=True)
    begun_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    author_name = models.CharField(max_length=200)

    class Meta:
        ordering = ["-begun_at"]

    def __str__(self) -> str:
        return f"Review of #{self.incident_id}"


class ReviewAction(models.Model):
    """What somebody will do so that it does not happen again."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="actions")
    text = models.CharField(max_length=400)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="review_actions"
    )
    due_on = models.DateField(null=True, blank=True)
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["done_at", "due_on", "id"]
        indexes = [models.Index(fields=["due_on"], name="review_action_open", condition=Q(done_at__isnull=True))]

    def __str__(self) -> str:
        return self.text
