"""Events as they came, the references that join them, and the flows they tell."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.accounts.models import Team
from apps.integrations.models import Integration, Partner


class FlowDefinition(models.Model):
    """A versioned description of a flow; `flows.definitions` reads its spec. The newest version is active."""

    slug = models.SlugField(max_length=64)
    version = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=200)
    spec = models.JSONField()
    owner = models.ForeignKey(Team, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["slug", "version"], name="flow_definition_slug_version"),
            models.UniqueConstraint(fields=["slug"], condition=Q(active=True), name="flow_definition_one_active"),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Event(models.Model):
    """A canonical event as recorded. Append-only; partitioned by month of received_at (primary key id, received_at).

    flags: bit 1 = dated in the future or too far back to be believed; bit 2 = told a second time with other content.
    """

    CLOCK_SUSPECT = 1
    CONFLICT = 2

    id = models.BigAutoField(primary_key=True)
    received_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    integration = models.ForeignKey(
        Integration, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    receipt_id = models.BigIntegerField(null=True)
    position = models.TextField(blank=True)
    type = models.CharField(max_length=64)
    happened_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    booked_at = models.DateTimeField(null=True)
    zone = models.CharField(max_length=64)
    source_event_id = models.TextField(blank=True)
    source_key = models.UUIDField()
    content_key = models.UUIDField()
    flags = models.SmallIntegerField(default=0)
    backfill = models.BooleanField(default=False)
    trace_id = models.CharField(max_length=32, blank=True)
    references = models.JSONField()
    dates = models.JSONField()
    parties = models.JSONField()
    data = models.JSONField()

    class Meta:
        ordering = ["happened_at", "id"]

    def __str__(self) -> str:
        return f"{self.type} {self.happened_at:%Y-%m-%d %H:%M:%S}Z"


class EventKey(models.Model):
    """Decides duplicates: one row per event identity, unique over all partitions, kept longer than the events."""

    key = models.UUIDField(primary_key=True)
    content_key = models.UUIDField()


class Reference(models.Model):
    """A typed business key; its id is the hash of kind, issuer and value (`canonical.Reference.id`)."""

    id = models.UUIDField(primary_key=True)
    kind = models.CharField(max_length=32)
    issuer = models.CharField(max_length=64, blank=True)
    value = models.CharField(max_length=200)

    class Meta:
        indexes = [models.Index(fields=["value"], name="reference_value", opclasses=["varchar_pattern_ops"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


class EventReference(models.Model):
    """Which events carry a reference; the orphan bench is the events none of whose references a flow claims."""

    pk = models.CompositePrimaryKey("reference_id", "event_id")
    reference_id = models.UUIDField()
    event_id = models.BigIntegerField()
    event_received_at = models.DateTimeField()


class ReferenceLink(models.Model):
    """Two references that some event named together (low < high). Only pairs that a flow definition joins are kept."""

    pk = models.CompositePrimaryKey("low", "high")
    low = models.UUIDField()
    high = models.UUIDField(db_index=True)


class FlowQuerySet(models.QuerySet["Flow"]):
    def open(self) -> FlowQuerySet:
        return self.filter(status=Flow.Status.OPEN)


class Flow(models.Model):
    """One running case, projected from its events; only `flows.projection` writes it.

    key: hash of definition slug and the flow's first identity reference: the same whatever the order of arrival.
    awaiting: the required milestone after the last required one reached; stage: the last milestone reached before it.
    digest: hash of the whole folded state, milestones included.
    """

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        COMPLETED = "completed", "Completed"
        CANCELLED = "cancelled", "Cancelled"
        MERGED = "merged", "Merged"

    id = models.BigAutoField(primary_key=True)
    key = models.UUIDField(unique=True)
    definition = models.ForeignKey(FlowDefinition, on_delete=models.PROTECT, related_name="flows")
    partner = models.ForeignKey(Partner, null=True, on_delete=models.PROTECT, related_name="flows")
    label = models.CharField(max_length=200)
    status = models.CharField(max_length=16, choices=Status, default=Status.OPEN)
    stage = models.CharField(max_length=64, blank=True)
    awaiting = models.CharField(max_length=64, blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    last_happened_at = models.DateTimeField()
    last_received_at = models.DateTimeField()
    value = models.DecimalField(max_digits=18, decimal_places=2, null=True)
    currency = models.CharField(max_length=3, blank=True)
    attributes = models.JSONField(default=dict)
    dates = models.JSONField(default=dict)
    failed_hops = models.PositiveIntegerField(default=0)
    conflicts = models.PositiveIntegerField(default=0)
    suspects = models.PositiveIntegerField(default=0)
    event_count = models.PositiveIntegerField(default=0)
    backfill = models.BooleanField(default=False, help_text="Everything known of it came by backfill: pages nobody")
    digest = models.UUIDField()
    marks = models.BinaryField(default=b"", help_text="What the milestone rows hold, in brief (flows.projection)")
    merged_into = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, related_name="+", help_text="A link showed both to be one case"
    )

    objects = FlowQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["definition", "partner", "awaiting"], name="flow_open_lane", condition=Q(status="open")
            ),
            models.Index(fields=["opened_at"], name="flow_opened_at"),
            models.Index(fields=["partner", "-opened_at"], name="flow_partner_opened"),
        ]

    def __str__(self) -> str:
        return self.label


class FlowLink(models.Model):
    """parent has child: an order its shipments, a shipment its parcels; a child may have several parents."""

    pk = models.CompositePrimaryKey("parent_id", "child_id")
    parent = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="child_links")
    child = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="parent_links")


class FlowReference(models.Model):
    """A reference in a flow's scope. own: one of the flow's identity references; else it speaks for a child or a trace."""

    pk = models.CompositePrimaryKey("reference_id", "flow_id")
    reference_id = models.UUIDField()
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="scope")
    own = models.BooleanField()


class Milestone(models.Model):
    """A named point of a flow: planned, estimated and actual time, and the four clocks of the actual."""

    pk = models.CompositePrimaryKey("flow_id", "name")
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="milestones")
    name = models.CharField(max_length=64)
    ordinal = models.PositiveSmallIntegerField()
    planned_at = models.DateTimeField(null=True)
    estimated_at = models.DateTimeField(null=True)
    actual_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(null=True)
    booked_at = models.DateTimeField(null=True)
    event_id = models.BigIntegerField(null=True)
    integration_id = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return self.name


class FlowTally(models.Model):
    """How many flows stand where: the sum of ``n`` per cell. A trigger on Flow appends deltas, the sweep compacts them."""

    id = models.BigAutoField(primary_key=True)
    definition_id = models.BigIntegerField()
    partner_id = models.BigIntegerField(null=True)
    status = models.CharField(max_length=16)
    awaiting = models.CharField(max_length=64)
    n = models.BigIntegerField()


class Orphan(models.Model):
    """An event none of whose references belongs to a flow yet. It waits here for a link; correlation removes it."""

    event_id = models.BigIntegerField(primary_key=True)
    event_received_at = models.DateTimeField()
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="orphans")
    type = models.CharField(max_length=64)
    since = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.type} ({self.event_id})"
