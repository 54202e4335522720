"""What managers are promised (objectives, contract terms), daily sums of the ledger, and reports as they were sent."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.accounts.models import Team
from apps.incidents.models import Severity
from apps.integrations.models import Partner
from apps.reports.burning import ALERTS


def every_alert() -> list[str]:
    return list(ALERTS)


class Objective(models.Model):
    """Share of promises to be kept in a window, over all that match rule, partner, flow, lane and service ('' or None: any).

    target: percent. rolling: the last `days`; calendar: this `period`. Its error budget is what the target leaves.
    """

    class Window(models.TextChoices):
        ROLLING = "rolling", "The last days"
        CALENDAR = "calendar", "A calendar period"

    class Period(models.TextChoices):
        WEEK = "week", "Week"
        MONTH = "month", "Month"
        QUARTER = "quarter", "Quarter"

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    target = models.DecimalField(max_digits=6, decimal_places=3, help_text="Percent to be kept")
    window = models.CharField(max_length=16, choices=Window, default=Window.ROLLING)
    days = models.PositiveSmallIntegerField(default=30, help_text="Length of a rolling window")
    period = models.CharField(max_length=16, choices=Period, default=Period.MONTH)
    rule = models.SlugField(max_length=64, blank=True)
    partner = models.ForeignKey(Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    flow = models.SlugField(max_length=64, blank=True)
    lane = models.CharField(max_length=64, blank=True, help_text="DE>FR, as the flow's attributes say")
    service = models.CharField(max_length=64, blank=True)
    severity = models.CharField(max_length=16, choices=Severity, default=Severity.HIGH)
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    alerts = ArrayField(
        models.CharField(max_length=8), default=every_alert, blank=True, help_text="Windows whose burning is told"
    )
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ContractTerm(models.Model):
    """Money a missed promise costs by contract. Of the terms of one payer that match, the most particular one counts.

    per_event: `amount` each. per_day: `amount` for each begun day late. share: `amount` percent of the flow's value.
    cap_each: most for one promise; cap_month: most in a calendar month over the whole term. Both in `currency`.
    """

    class Basis(models.TextChoices):
        PER_EVENT = "per_event", "Per missed promise"
        PER_DAY = "per_day", "Per day late"
        SHARE = "share", "Share of the value"

    class Payer(models.TextChoices):
        PARTNER = "partner", "The partner pays us"
        US = "us", "We pay"

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    partner = models.ForeignKey(Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    rule = models.SlugField(max_length=64, blank=True)
    payer = models.CharField(max_length=16, choices=Payer, default=Payer.PARTNER)
    basis = models.CharField(max_length=16, choices=Basis)
    amount = models.DecimalField(max_digits=14, decimal_places=4)
    currency = models.CharField(max_length=3)
    cap_each = models.DecimalField(max_digits=14, decimal_places=2, null=True, blank=True)
    cap_month = models.DecimalField(max_digits=14, decimal_places=2, null=True, blank=True)
    valid_from = models.DateField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True, help_text="Its last day")

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class ReportZone(models.Model):
    """The one time zone in which reports count days and months; the rollups are kept in it (`rollups.keep_zone`)."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    zone = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.zone


class Cell(models.Model):
    """What the rollups have in common. state: of the expectation, AT_RISK for what is pending and past its warning."""

    partner_id = models.BigIntegerField(null=True)
    rule_id = models.BigIntegerField()
    lane = models.CharField(max_length=64)
    service = models.CharField(max_length=64)
    state = models.CharField(max_length=16)
    n = models.BigIntegerField()

    class Meta:
        abstract = True


class Delta(Cell):
    """A change of the ledger, grouped by cell, written by a trigger in the transaction of its cause (ADR 8).

    late_bucket: of what came late, floor(log(seconds) / log(1.05)). currency, value: of the flow, where missed or at risk.
    """

    id = models.BigAutoField(primary_key=True)
    day = models.DateField()
    late_bucket = models.SmallIntegerField(null=True)
    reason = models.CharField(max_length=300)
    by_hand = models.BooleanField()
    currency = models.CharField(max_length=3)
    late_seconds = models.BigIntegerField()
    value = models.DecimalField(max_digits=24, decimal_places=2)

    class Meta:
        indexes = [models.Index(fields=["day"], name="report_delta_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.state} {self.n:+d}"


class DayCell(Cell):
    """Promises due on a day, by partner, rule version, lane, service and state. key: hash of all but n."""

    key = models.UUIDField(primary_key=True)
    day = models.DateField()

    class Meta:
        indexes = [models.Index(fields=["day", "rule_id"], name="report_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.state}: {self.n}"


class MonthCell(Cell):
    """Promises due in a month (its first day), with the reason of what is excluded and the money of what is not kept."""

    key = models.UUIDField(primary_key=True)
    month = models.DateField()
    reason = models.CharField(max_length=300)
    by_hand = models.BooleanField()
    currency = models.CharField(max_length=3)
    late_seconds = models.BigIntegerField()
    value = models.DecimalField(max_digits=24, decimal_places=2)

    class Meta:
        indexes = [models.Index(fields=["month"], name="report_month")]

    def __str__(self) -> str:
        return f"{self.month} {self.state}: {self.n}"


class LateCell(models.Model):
    """How late what came late in a month was: a histogram whose steps are five percent apart."""

    key = models.UUIDField(primary_key=True)
    month = models.DateField()
    partner_id = models.BigIntegerField(null=True)
    rule_id = models.BigIntegerField()
    lane = models.CharField(max_length=64)
    service = models.CharField(max_length=64)
    late_bucket = models.SmallIntegerField()
    n = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["month"], name="report_late")]

    def __str__(self) -> str:
        return f"{self.month} {self.late_bucket}: {self.n}"


class DaySum(models.Model):
    """Promises due on a day by partner and state: the sum of `DayCell` over rules, lanes and services, which a page of a

    whole month would else read by the ten thousand. key: hash of all but n.
    """

    key = models.UUIDField(primary_key=True)
    day = models.DateField()
    partner_id = models.BigIntegerField(null=True)
    state = models.CharField(max_length=16)
    n = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["day"], name="report_day_sum")]

    def __str__(self) -> str:
        return f"{self.day} {self.state}: {self.n}"


class LateSum(models.Model):
    """The histograms of `LateCell` summed four ways. kind: which, by the bits of GROUPING(rule_id, partner_id, lane):

    3 by rule, 5 by partner, 6 by lane, 1 by rule and partner. What it is not told apart by is null, a lane ''.
    steps: how many came so late, from step 0 on; the last is not always the same.
    """

    key = models.UUIDField(primary_key=True)
    month = models.DateField()
    kind = models.SmallIntegerField()
    rule_id = models.BigIntegerField(null=True)
    partner_id = models.BigIntegerField(null=True)
    lane = models.CharField(max_length=64)
    steps = ArrayField(models.BigIntegerField())

    class Meta:
        indexes = [models.Index(fields=["month", "kind", "partner_id"], name="report_late_sum")]

    def __str__(self) -> str:
        return f"{self.month} kind {self.kind}: {sum(self.steps)}"


class PenaltyCell(models.Model):
    """What missed promises of a month cost by contract, by term, rule and partner; worked out again by the task."""

    month = models.DateField()
    term = models.SlugField(max_length=64)
    name = models.CharField(max_length=200)
    payer = models.CharField(max_length=16, choices=ContractTerm.Payer)
    rule_slug = models.SlugField(max_length=64)
    partner_id = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3)
    n = models.PositiveIntegerField()
    amount = models.DecimalField(max_digits=18, decimal_places=2)
    cut = models.DecimalField(max_digits=18, decimal_places=2, default=0, help_text="What the month's cap took off")
    as_of = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["month"], name="report_penalty")]

    def __str__(self) -> str:
        return f"{self.term} {self.month}: {self.amount} {self.currency}"


class ScoreCell(models.Model):
    """One figure of a partner's scorecard of a month; n: of how many it was taken. Worked out again by the task."""

    month = models.DateField()
    partner = models.ForeignKey(Partner, on_delete=models.CASCADE, related_name="+")
    metric = models.CharField(max_length=32)
    value = models.FloatField()
    n = models.PositiveIntegerField()
    as_of = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["partner", "month", "metric"], name="score_of_partner")]
        indexes = [models.Index(fields=["month", "metric"], name="score_month")]

    def __str__(self) -> str:
        return f"{self.metric} {self.month}: {self.value}"


class PeerMedian(models.Model):
    """The median of a figure over partners of one kind; only where there are enough of them to stay anonymous."""

    month = models.DateField()
    kind = models.CharField(max_length=16)
    metric = models.CharField(max_length=32)
    value = models.FloatField()
    peers = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["month", "kind", "metric"], name="peer_median_of")]

    def __str__(self) -> str:
        return f"{self.kind} {self.metric} {self.month}: {self.value}"


class Archive(models.Model):
    """A closed month's report as it was frozen. partner None: the report of all; else that partner's scorecard.

    document: every figure (`reports.document`); nothing of it is ever computed again.
    """

    kind = models.CharField(max_length=16, default="month")
    month = models.DateField()
    partner = models.ForeignKey(Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    zone = models.CharField(max_length=64)
    frozen_at = models.DateTimeField()
    frozen_by = models.CharField(max_length=200, blank=True, help_text="Empty: the tower itself, by schedule")
    document = models.JSONField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        ordering = ["-month", "kind", "partner_id"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "month", "partner"], name="archive_once", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.month:%Y-%m}"


class ArchiveFile(models.Model):
    """A file of an archived report: exactly the bytes that were sent."""

    archive = models.ForeignKey(Archive, on_delete=models.CASCADE, related_name="files")
    kind = models.CharField(max_length=8)
    body = models.BinaryField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        ordering = ["kind"]
        constraints = [models.UniqueConstraint(fields=["archive", "kind"], name="archive_file_of")]

    def __str__(self) -> str:
        return f"{self.archive_id}.{self.kind}"


class Schedule(models.Model):
    """A month's report that goes out by e-mail to everyone of these roles, from `day` of the next month on."""

    name = models.CharField(max_length=200)
    roles = ArrayField(models.CharField(max_length=16), default=list)
    extra = ArrayField(models.EmailField(), default=list, blank=True)
    formats = ArrayField(models.CharField(max_length=8), default=list)
    partner = models.ForeignKey(Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    day = models.PositiveSmallIntegerField(default=3)
    hour = models.PositiveSmallIntegerField(default=7)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """One report to one address, once. sent_at empty: being sent, or to be tried again."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="deliveries")
    archive = models.ForeignKey(Archive, on_delete=models.PROTECT, related_name="deliveries")
    address = models.EmailField()
    tried_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-tried_at"]
        constraints = [
            models.UniqueConstraint(fields=["schedule", "archive", "address"], name="delivery_once"),
        ]

    def __str__(self) -> str:
        return f"{self.archive} to {self.address}"
