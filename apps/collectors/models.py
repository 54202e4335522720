"""What came in, byte for byte, and what became of it."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func, Q, Value

from apps.integrations.models import Integration


class Receipt(models.Model):
    """The raw bytes of one delivery. Append-only; partitioned by month of received_at (primary key id, received_at)."""

    id = models.BigAutoField(primary_key=True)
    received_at = models.DateTimeField()
    integration = models.ForeignKey(
        Integration, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    door = models.CharField(max_length=16, help_text="http, file, poll, import")
    delivery_id = models.TextField(blank=True, help_text="The sender's idempotency key")
    content_type = models.CharField(max_length=200, blank=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField()
    sha256 = models.BinaryField()

    def __str__(self) -> str:
        return f"receipt {self.pk}"


class ReceiptState(models.Model):
    """Where a receipt stands in processing. The work list is the rows WAITING or LEASED with next_at in the past."""

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DONE = "done", "Done"
        DEAD = "dead", "Dead letter"

    receipt_id = models.BigIntegerField(primary_key=True)
    received_at = models.DateTimeField()
    integration = models.ForeignKey(
        Integration, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    status = models.CharField(max_length=16, choices=Status, default=Status.WAITING)
    backfill = models.BooleanField(default=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    losses = models.PositiveSmallIntegerField(default=0, help_text="Times a worker died with this receipt alone")
    done_at = models.DateTimeField(null=True)
    events = models.PositiveIntegerField(default=0)
    duplicates = models.PositiveIntegerField(default=0)
    conflicts = models.PositiveIntegerField(default=0)
    issues = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(fields=["next_at"], name="receipt_work", condition=Q(status="waiting")),
            models.Index(fields=["integration", "-receipt_id"], name="receipt_by_integration"),
        ]

    def __str__(self) -> str:
        return f"receipt {self.receipt_id} {self.status}"


def _cause() -> Func:
    """A sentence without what differs from one message to the next: quoted texts, and words with a digit in them."""
    text = Func(F("sentence"), Value("“[^”]*”|'[^']*'"), Value("…"), Value("g"), function="regexp_replace")
    text = Func(
        text, Value("[[:alnum:]._:/+-]*[0-9][[:alnum:]._:/+,-]*"), Value("#"), Value("g"), function="regexp_replace"
    )
    return Func(text, Value(160), function="left")


class DeadLetter(models.Model):
    """A receipt, or a part of one, that gave no event: why, where, and what was done about it."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        REPLAYED = "replayed", "Replayed"
        DISMISSED = "dismissed", "Dismissed"

    receipt_id = models.BigIntegerField(db_index=True)
    received_at = models.DateTimeField()
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="dead_letters")
    severity = models.CharField(max_length=8, default="error")
    code = models.CharField(max_length=64)
    sentence = models.TextField()
    cause = models.GeneratedField(expression=_cause(), output_field=models.TextField(), db_persist=True)
    position = models.TextField(blank=True)
    fragment = models.TextField(blank=True)
    state = models.CharField(max_length=16, choices=State, default=State.OPEN)
    created_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["integration", "code"], name="dead_letter_open", condition=Q(state="open")),
            models.Index(fields=["-created_at"], name="dead_letter_recent"),
        ]

    def __str__(self) -> str:
        return self.sentence


class ReplayRun(models.Model):
    """A replay of many receipts: tried first, approved by a second person when it is large, then done, in steps.

    Each step takes the items that still wait for it, so a run goes on wherever a worker left it. lease_until: a worker is
    at it. counts: verdict -> items. closed: how many milestones it reached, and the first of them.
    """

    class State(models.TextChoices):
        TRYING = "trying", "Being tried"
        TRIED = "tried", "Tried"
        ASKED = "asked", "Waits for a second person"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        CANCELLED = "cancelled", "Cancelled"

    what = models.CharField(max_length=300, help_text="Which messages, in words")
    state = models.CharField(max_length=16, choices=State, default=State.TRYING)
    total = models.PositiveIntegerField()
    tried = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=dict)
    asked_at = models.DateTimeField()
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    reason = models.CharField(max_length=300, blank=True)
    approved_at = models.DateTimeField(null=True)
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    events = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    closed = models.JSONField(default=dict)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["id"], name="replay_run_open", condition=Q(state__in=["trying", "running"])),
        ]

    def __str__(self) -> str:
        return f"replay {self.pk}: {self.what}"


class ReplayItem(models.Model):
    """One receipt of a run. verdict: what a replay would do, '' until tried; sentence: in words; done_at: put back and read."""

    class Verdict(models.TextChoices):
        APPLIED = "applied", "Already applied"
        SUPERSEDED = "superseded", "Superseded"
        SAFE = "safe", "Safe"
        CHANGES = "changes", "Would change"
        FAILS = "fails", "Fails again"
        GONE = "gone", "Not replayable"

    run = models.ForeignKey(ReplayRun, on_delete=models.CASCADE, related_name="items", db_index=False)
    receipt_id = models.BigIntegerField()
    verdict = models.CharField(max_length=12, choices=Verdict, blank=True)
    sentence = models.CharField(max_length=300, blank=True)
    flow_ids = ArrayField(models.BigIntegerField(), default=list)
    done_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "receipt_id"], name="replay_item_unique")]
        indexes = [models.Index(fields=["run", "verdict", "receipt_id"], name="replay_item_verdict")]

    def __str__(self) -> str:
        return f"receipt {self.receipt_id}: {self.verdict or 'not tried'}"


class DoorRefusal(models.Model):
    """How often the doors turned somebody away, by hour and reason. Without an integration: an address nobody has."""

    hour = models.DateTimeField()
    integration = models.ForeignKey(
        Integration, null=True, on_delete=models.CASCADE, db_constraint=False, related_name="refusals"
    )
    reason = models.CharField(max_length=32)
    count = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-hour"]
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "integration", "reason"], name="door_refusal_cell", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.reason} {self.count}"


class OdooRecord(models.Model):
    """What the tower knows of a record of an Odoo, to tell a change from a repeat and to notice deletions.

    write_date: as Odoo last told it; facts: see `odoo.story`; deleted_at: since when Odoo does not show it.
    """

    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, db_index=False, related_name="odoo_records")
    model = models.CharField(max_length=64)
    record_id = models.BigIntegerField()
    content_hash = models.UUIDField()
    write_date = models.DateTimeField()
    facts = models.JSONField(default=dict)
    seen_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["integration", "model", "record_id"], name="odoo_record_unique")]

    def __str__(self) -> str:
        return f"{self.model} {self.record_id}"
