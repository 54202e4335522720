"""Which milestone must come by when, and what became of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.flows.models import Flow, FlowDefinition
from apps.incidents.models import Finding, Severity
from apps.integrations.models import Integration, Partner


class SlaRule(models.Model):
    """A versioned rule; `sla.deadlines` reads spec. Rules of one milestone are tried by position, first match wins.

    spec: conditions, deadline, warning, grace. A changed rule is a new version; expectations keep theirs.
    """

    class Lifecycle(models.TextChoices):
        DRAFT = "draft", "Draft"
        SHADOW = "shadow", "Shadow"
        ACTIVE = "active", "Active"
        RETIRED = "retired", "Retired"

    slug = models.SlugField(max_length=64)
    version = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=200)
    flow_slug = models.SlugField(max_length=64)
    milestone = models.CharField(max_length=64)
    position = models.PositiveIntegerField(default=100)
    spec = models.JSONField()
    severity = models.CharField(max_length=16, choices=Severity, default=Severity.NORMAL)
    target = models.DecimalField(max_digits=5, decimal_places=2, default=98, help_text="Percent to be met")
    lifecycle = models.CharField(max_length=16, choices=Lifecycle, default=Lifecycle.ACTIVE)
    author_name = models.CharField(max_length=200, blank=True, help_text="Who saved this version; empty: a file")
    note = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["flow_slug", "milestone", "position", "slug", "-version"]
        constraints = [models.UniqueConstraint(fields=["slug", "version"], name="sla_rule_slug_version")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class ExpectationQuerySet(models.QuerySet["Expectation"]):
    def live(self) -> ExpectationQuerySet:
        return self.filter(settled_at__isnull=True)


class Expectation(models.Model):
    """One awaited milestone of one flow under one rule.

    state: PENDING, SUSPENDED and BREACHED are live until settled_at; MET, MET_LATE, WAIVED are settled. A flow that
        ends while BREACHED settles as BREACHED. at_risk: PENDING and past warn_at.
    due_at: a whole second, grace included; met by an event within that very second.
    anchor, anchor_at: what the deadline hangs on (``milestone:released``, ``date:promised_delivery``), and when.
    origin: where the deadline came from; `sla.explaining` turns it into a sentence and its steps.
    as_of: the stamp of the rules and calendars it was derived by; a settled row is judged by those for ever.
    waived_by: who waived it by hand; such a waiver stands whatever comes later.
    paused: why a SUSPENDED clock stands still although we hear everything ("On hold"); '' for what is unknown.
    """

    class State(models.TextChoices):
        PENDING = "PENDING", "On time"
        MET = "MET", "Met"
        MET_LATE = "MET_LATE", "Met late"
        BREACHED = "BREACHED", "Late"
        WAIVED = "WAIVED", "Waived"
        SUSPENDED = "SUSPENDED", "Unknown"

    id = models.BigAutoField(primary_key=True)
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="expectations", db_index=False)
    definition = models.ForeignKey(FlowDefinition, on_delete=models.PROTECT, related_name="+", db_index=False)
    partner = models.ForeignKey(
        Partner, null=True, on_delete=models.PROTECT, related_name="expectations", db_index=False
    )
    milestone = models.CharField(max_length=64)
    rule = models.ForeignKey(SlaRule, on_delete=models.PROTECT, related_name="expectations", db_index=False)
    source = models.ForeignKey(
        Integration,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        help_text="Whose silence suspends this clock",
    )
    due_at = models.DateTimeField()
    warn_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=16, choices=State, default=State.PENDING)
    at_risk = models.BooleanField(default=False)
    origin = models.JSONField(default=dict)
    met_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    suspended_at = models.DateTimeField(null=True)
    anchor = models.CharField(max_length=80, blank=True)
    anchor_at = models.DateTimeField(null=True)
    as_of = models.DateTimeField(null=True)
    waived_reason = models.CharField(max_length=300, blank=True)
    waived_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    finding = models.ForeignKey(
        Finding, null=True, on_delete=models.SET_NULL, related_name="expectations", db_index=False
    )
    backfill = models.BooleanField(default=False)
    paused = models.CharField(max_length=100, blank=True, default="", db_default="")

    objects = ExpectationQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flow", "milestone"], name="expectation_flow_milestone")]
        indexes = [
            models.Index(fields=["due_at"], name="expectation_due", condition=Q(state="PENDING")),
            models.Index(fields=["warn_at"], name="expectation_warn", condition=Q(state="PENDING", at_risk=False)),
            models.Index(
                fields=["source"],
                name="expectation_source_pending",
                condition=Q(state__in=["PENDING", "BREACHED"], settled_at__isnull=True, source__isnull=False),
            ),
            models.Index(
                fields=["source", "due_at"], name="expectation_source_unknown", condition=Q(state="SUSPENDED")
            ),
            models.Index(
                fields=["definition", "partner", "milestone", "state"],
                name="expectation_lane",
                condition=Q(settled_at__isnull=True),
            ),
            # led by the rule, so that nobody mistakes it for the way to what is due
            models.Index(fields=["rule", "due_at"], name="expectation_rule_due"),
            models.Index(fields=["partner", "due_at"], name="expectation_partner"),
            models.Index(fields=["finding"], name="expectation_finding", condition=Q(finding__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.milestone} due {self.due_at:%Y-%m-%d %H:%M}Z {self.state}"


class ExpectationTally(models.Model):
    """How many live expectations stand where: sum of ``n`` per cell. Trigger-kept deltas, compacted by the sweep."""

    id = models.BigAutoField(primary_key=True)
    definition_id = models.BigIntegerField()
    partner_id = models.BigIntegerField(null=True)
    milestone = models.CharField(max_length=64)
    state = models.CharField(max_length=16)
    at_risk = models.BooleanField()
    n = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.milestone} {self.state}: {self.n:+d}"


class PartnerReply(models.Model):
    """What a partner answered on its own page to something we expect: "we sent it"."""

    partner = models.ForeignKey(Partner, on_delete=models.CASCADE, related_name="replies")
    expectation = models.ForeignKey(Expectation, on_delete=models.CASCADE, related_name="replies")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField()
    text = models.TextField(max_length=2000)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.partner}: {self.text[:60]}"


class HopNorm(models.Model):
    """How long one hop of a flow usually takes: the median of the last weeks, in seconds (`sla.hop_norms` learns it)."""

    flow_slug = models.SlugField(max_length=64)
    milestone = models.CharField(max_length=64)
    hop = models.CharField(max_length=16)
    count = models.PositiveIntegerField()
    usual = models.FloatField()
    learned_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flow_slug", "milestone", "hop"], name="hop_norm_of")]

    def __str__(self) -> str:
        return f"{self.flow_slug} {self.milestone} {self.hop}: {self.usual:.0f} s"


class Pause(models.Model):
    """A span in which an expectation's clock did not count: every excluded minute has a row here.

    kind: a pause of the flow's definition, `maintenance`, or UNHEARD: its source could not be heard. Those of UNHEARD do
    not move the deadline: what comes is judged by when it happened. until null: it lasts.
    """

    UNHEARD = "unheard"

    expectation = models.ForeignKey(Expectation, on_delete=models.CASCADE, related_name="pauses", db_index=False)
    kind = models.CharField(max_length=64)
    begin = models.DateTimeField()
    until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200)

    class Meta:
        ordering = ["begin"]
        constraints = [models.UniqueConstraint(fields=["expectation", "kind", "begin"], name="pause_of_expectation")]
        indexes = [models.Index(fields=["expectation"], name="pause_lasting", condition=Q(until__isnull=True))]

    def __str__(self) -> str:
        return self.reason


class Deviation(models.Model):
    """What a check of a rule found (`sla.checks`): told from tell_at on, unless it no longer holds by then.

    ended_at: it no longer holds, although people were told. facts: JSON that `sla.check_words` reads.
    """

    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="deviations", db_index=False)
    milestone = models.CharField(max_length=64)
    kind = models.CharField(max_length=16)
    rule = models.ForeignKey(SlaRule, on_delete=models.PROTECT, related_name="deviations", db_index=False)
    definition = models.ForeignKey(FlowDefinition, on_delete=models.PROTECT, related_name="+", db_index=False)
    partner = models.ForeignKey(Partner, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    at = models.DateTimeField()
    tell_at = models.DateTimeField()
    told_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    awaited = models.JSONField(default=list)
    facts = models.JSONField(default=dict)
    finding = models.ForeignKey(Finding, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    backfill = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flow", "milestone", "kind"], name="deviation_of_flow")]
        indexes = [
            models.Index(
                fields=["tell_at"],
                name="deviation_to_tell",
                condition=Q(told_at__isnull=True, ended_at__isnull=True, backfill=False),
            ),
            models.Index(fields=["rule", "at"], name="deviation_rule_at"),
            models.Index(fields=["partner", "at"], name="deviation_partner_at"),
        ]

    def __str__(self) -> str:
        return f"{self.milestone} {self.kind}"


class ShadowExpectation(models.Model):
    """What a shadow rule would have expected. In a table of its own, so that it cannot count or tell anybody anywhere.

    state as of an expectation, by the facts alone: what is PENDING with its deadline behind it would be late.
    """

    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="+", db_index=False)
    slug = models.SlugField(max_length=64, help_text="Of the rule that is tried")
    milestone = models.CharField(max_length=64)
    rule = models.ForeignKey(SlaRule, on_delete=models.PROTECT, related_name="+", db_index=False)
    due_at = models.DateTimeField()
    state = models.CharField(max_length=16)
    met_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    origin = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flow", "slug"], name="shadow_of_flow")]
        indexes = [models.Index(fields=["slug", "due_at"], name="shadow_slug_due")]

    def __str__(self) -> str:
        return f"{self.slug}: {self.milestone} would be due {self.due_at:%Y-%m-%d %H:%M}Z"


class WaiverRequest(models.Model):
    """A waiver that needs a second eye: asked for by one person, decided by another."""

    class State(models.TextChoices):
        ASKED = "asked", "Waits for a second person"
        APPROVED = "approved", "Approved"
        REFUSED = "refused", "Refused"
        WITHDRAWN = "withdrawn", "Withdrawn"

    expectation = models.ForeignKey(Expectation, on_delete=models.CASCADE, related_name="waiver_requests")
    reason = models.CharField(max_length=300)
    asked_at = models.DateTimeField()
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(max_length=16, choices=State, default=State.ASKED)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-asked_at"]
        constraints = [
            models.UniqueConstraint(fields=["expectation"], condition=Q(state="asked"), name="waiver_one_asked")
        ]

    def __str__(self) -> str:
        return f"{self.reason} ({self.get_state_display().lower()})"


class Rederivation(models.Model):
    """Open flows judged again because rules, calendars or what they hang on changed: work in batches, and its progress.

    stamp: of the library as it was when this began; last_flow: how far it has come, by id, newest flow last.
    """

    stamp = models.CharField(max_length=64)
    cause = models.CharField(max_length=300)
    flow_slugs = models.JSONField(default=list, help_text="Definitions concerned; empty: all")
    asked_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    total = models.BigIntegerField(default=0)
    done = models.BigIntegerField(default=0)
    changed = models.BigIntegerField(default=0)
    last_flow = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["id"], name="rederivation_open", condition=Q(finished_at__isnull=True))]

    def __str__(self) -> str:
        return self.cause
