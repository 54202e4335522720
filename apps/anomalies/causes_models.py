"""What was concluded: causes behind findings, declared pairs that must agree, the risk of flows, the worth of incidents."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.flows.models import Flow
from apps.incidents.models import Finding, Incident, Severity


class CauseGroup(models.Model):
    """Findings that one probable cause explains (`anomalies.grouping`). At most one open group per cause.

    shape: [[dimension, value], ..]; findings: open ones it explains; units: of so many that fell due under it;
    elsewhere: share affected outside; facts: what the page draws (other names, runners-up, foreign share).
    suspected: too much of it would be there without the cause, so its findings stay where they are.
    """

    fingerprint = models.UUIDField()
    incident = models.ForeignKey(Incident, null=True, on_delete=models.SET_NULL, related_name="causes")
    name = models.CharField(max_length=300)
    sentence = models.TextField()
    shape = models.JSONField()
    findings = models.PositiveIntegerField()
    units = models.PositiveIntegerField()
    elsewhere = models.FloatField()
    gain = models.FloatField()
    facts = models.JSONField(default=dict)
    suspected = models.BooleanField(default=False)
    since = models.DateTimeField()
    until = models.DateTimeField(null=True)
    found_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-findings", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"], condition=Q(ended_at__isnull=True), name="cause_group_one_open"
            )
        ]

    def __str__(self) -> str:
        return self.name


class CauseMember(models.Model):
    """A finding that a cause explains."""

    id = models.BigAutoField(primary_key=True)
    group = models.ForeignKey(CauseGroup, on_delete=models.CASCADE, related_name="members", db_index=False)
    finding = models.ForeignKey(Finding, on_delete=models.CASCADE, related_name="cause_members")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "finding"], name="cause_member_once")]


class ReconciliationRule(models.Model):
    """A declared pair that must agree; `anomalies.reconciliation` reads spec. The newest version of a slug counts."""

    class Lifecycle(models.TextChoices):
        ACTIVE = "active", "Active"
        SHADOW = "shadow", "Shadow"
        RETIRED = "retired", "Retired"

    slug = models.SlugField(max_length=64)
    version = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=200)
    spec = models.JSONField()
    severity = models.CharField(max_length=16, choices=Severity, default=Severity.NORMAL)
    lifecycle = models.CharField(max_length=16, choices=Lifecycle, default=Lifecycle.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug", "-version"]
        constraints = [models.UniqueConstraint(fields=["slug", "version"], name="reconciliation_rule_version")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class ReconciliationWord(models.Model):
    """What one side of a rule said once, kept beside its event while the rule may ask for it (`rules.WINDOW`).

    pair: what joins the sides: id of the reference, or hash of the data fields; of a flow's rule any of its references.
    label: the pair in words; look_at: when it is to be judged next (null: settled); verdict: what was said last.
    """

    id = models.BigAutoField(primary_key=True)
    rule_slug = models.CharField(max_length=64)
    pair = models.UUIDField()
    label = models.CharField(max_length=200)
    side = models.CharField(max_length=8)
    mark = models.CharField(max_length=200, blank=True)
    event_id = models.BigIntegerField()
    type = models.CharField(max_length=64)
    integration_id = models.BigIntegerField()
    happened_at = models.DateTimeField()
    received_at = models.DateTimeField()
    amounts = models.JSONField(default=dict)
    backfill = models.BooleanField(default=False)
    look_at = models.DateTimeField(null=True)
    verdict = models.CharField(max_length=8, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule_slug", "pair", "side", "event_id", "mark"], name="reconciliation_word_once"
            )
        ]
        indexes = [
            models.Index(
                fields=["rule_slug", "look_at"], name="reconciliation_due", condition=Q(look_at__isnull=False)
            ),
            models.Index(fields=["received_at"], name="reconciliation_word_age"),
        ]

    def __str__(self) -> str:
        return f"{self.rule_slug} {self.label} {self.side}"


class ReconciliationTally(models.Model):
    """How a rule stood when it was last looked at. agree, waiting (within grace), differ: pairs of the window.

    version: of the rule when its words were taken down; resting: its right side has never spoken, so nothing is judged.
    """

    version = models.PositiveIntegerField(default=0)
    resting = models.BooleanField(default=False)
    slug = models.SlugField(max_length=64, unique=True)
    at = models.DateTimeField()
    agree = models.PositiveIntegerField()
    waiting = models.PositiveIntegerField()
    differ = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.slug}: {self.differ} differ"


class RiskModel(models.Model):
    """A fitted law of how long a stage lasts: flow definition and the milestone awaited. Kept for ever with its version.

    body: arrays only (npz), never code. promoted: it beat the simple law on what came later; else the law speaks.
    record: the prequential table and the calibration that decided; law: the simple law beside it.
    """

    flow_slug = models.SlugField(max_length=64)
    milestone = models.CharField(max_length=64)
    version = models.PositiveIntegerField()
    fitted_at = models.DateTimeField()
    flows = models.PositiveIntegerField()
    promoted = models.BooleanField()
    law = models.JSONField()
    record = models.JSONField(default=dict)
    body = models.BinaryField(default=b"")

    class Meta:
        ordering = ["flow_slug", "milestone", "-version"]
        constraints = [models.UniqueConstraint(fields=["flow_slug", "milestone", "version"], name="risk_model_version")]

    def __str__(self) -> str:
        return f"{self.flow_slug} {self.milestone} v{self.version}"


class FlowRisk(models.Model):
    """What is to be expected of an open flow. chance: that it is late (None: it abstains, reasons say why).

    basis: model, law or none; reasons: [{text, hours}], strongest first.
    """

    flow = models.OneToOneField(Flow, on_delete=models.CASCADE, primary_key=True, related_name="risk")
    milestone = models.CharField(max_length=64)
    due_at = models.DateTimeField()
    chance = models.FloatField(null=True)
    expected_at = models.DateTimeField(null=True)
    reasons = models.JSONField(default=list)
    basis = models.CharField(max_length=8)
    model = models.ForeignKey(RiskModel, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    scored_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["-chance"], name="flow_risk_likely", condition=Q(chance__gte=0.5))]

    def __str__(self) -> str:
        return f"{self.flow_id}: {self.chance}"


class IncidentPriority(models.Model):
    """What acting on an incident can still save: a sum of money, and how it was reckoned."""

    incident = models.OneToOneField(Incident, on_delete=models.CASCADE, primary_key=True, related_name="priority")
    amount = models.DecimalField(max_digits=18, decimal_places=2)
    currency = models.CharField(max_length=3, blank=True)
    deadline_at = models.DateTimeField(null=True)
    factors = models.JSONField(default=dict)
    reckoned_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["-amount", "deadline_at"], name="incident_priority_order")]

    def __str__(self) -> str:
        return f"#{self.incident_id}: {self.amount} {self.currency}"
