"""Who is on call when. `turns` and `layers` do the reckoning over plain values, `rotation` asks the rows."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from apps.accounts.models import Team


class Schedule(models.Model):
    """Layers over each other and overrides on top. A team's schedules are asked by position: the first with somebody.

    time_zone: of its pages, and of layers that name none. country, subdivision: whose public holidays its layers mean.
    feed_version: raised to make the calendar address useless that was given out (`feeds`).
    """

    slug = models.SlugField(max_length=64, unique=True)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="schedules")
    name = models.CharField(max_length=200)
    position = models.PositiveSmallIntegerField(default=0)
    time_zone = models.CharField(max_length=64, default="UTC")
    country = models.CharField(max_length=2, blank=True)
    subdivision = models.CharField(max_length=16, blank=True)
    feed_version = models.PositiveIntegerField(default=1)
    mail_handover = models.BooleanField(default=False, help_text="Mail the handover page to who comes on call")

    class Meta:
        ordering = ["team__name", "position", "name"]

    def __str__(self) -> str:
        return self.name


class Layer(models.Model):
    """A rotation: members take turns of shift_length, the first from starts_at, on the wall clock of time_zone.

    position: the higher one wins where both apply. restrictions: see `layers.read_restrictions`; [] is around the clock.
    """

    class Holidays(models.TextChoices):
        USUAL = "usual", "Like other days"
        NEVER = "never", "Not on public holidays"
        ONLY = "only", "Only on public holidays"

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="layers")
    position = models.PositiveSmallIntegerField(default=0)
    name = models.CharField(max_length=200, blank=True)
    time_zone = models.CharField(max_length=64, blank=True, help_text="Empty: the schedule's")
    starts_at = models.DateTimeField()
    shift_length = models.DurationField()
    restrictions = models.JSONField(default=list, blank=True)
    holidays = models.CharField(max_length=8, choices=Holidays, default=Holidays.USUAL)
    active_from = models.DateTimeField(null=True, blank=True)
    active_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["schedule", "position"], name="layer_position"),
            models.CheckConstraint(condition=Q(shift_length__gte=timedelta(minutes=10)), name="layer_shift_positive"),
        ]

    def __str__(self) -> str:
        return self.name or f"{self.schedule} {self.position}"


class ScheduleVersion(models.Model):
    """What a schedule said from a save on (`redrawing.told`). author_name "": it stood there, as a file had said it."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="versions")
    version = models.PositiveIntegerField()
    spec = models.JSONField()
    author_name = models.CharField(max_length=200, blank=True)
    note = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-version"]
        constraints = [models.UniqueConstraint(fields=["schedule", "version"], name="schedule_version_once")]

    def __str__(self) -> str:
        return f"{self.schedule} {self.version}"


class LayerMember(models.Model):
    layer = models.ForeignKey(Layer, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["layer", "position"], name="layer_member_position")]

    def __str__(self) -> str:
        return f"{self.layer} {self.position}"


class Override(models.Model):
    """Somebody takes the shift of whoever would be on call between start and end.

    source: "" by hand, "swap", or "ics" with the name of the calendar in source_name; an import replaces its own.
    """

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="overrides")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    start = models.DateTimeField()
    end = models.DateTimeField()
    reason = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=8, blank=True)
    source_name = models.CharField(max_length=200, blank=True)
    author_name = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["start", "id"]
        constraints = [models.CheckConstraint(condition=Q(end__gt=F("start")), name="override_ends_after_it_starts")]
        indexes = [models.Index(fields=["schedule", "end"], name="override_schedule_end")]

    def __str__(self) -> str:
        return f"{self.user} {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}"


class Swap(models.Model):
    """Somebody asks another (or anybody: asked null) to take their time on call from start to end.

    back_start, back_end: the other's time that they take in return, if any.
    """

    class State(models.TextChoices):
        ASKED = "asked", "Waits for an answer"
        AGREED = "agreed", "Agreed"
        DECLINED = "declined", "Declined"
        WITHDRAWN = "withdrawn", "Withdrawn"

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="swaps")
    asker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="swaps_asked")
    asked = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="swaps_offered"
    )
    start = models.DateTimeField()
    end = models.DateTimeField()
    back_start = models.DateTimeField(null=True, blank=True)
    back_end = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=12, choices=State, default=State.ASKED)
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["-asked_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="swap_ends_after_it_starts"),
            models.CheckConstraint(
                condition=Q(back_start__isnull=True, back_end__isnull=True) | Q(back_end__gt=F("back_start")),
                name="swap_back_ends_after_it_starts",
            ),
        ]
        indexes = [models.Index(fields=["schedule", "end"], name="swap_asked", condition=Q(state="asked"))]

    def __str__(self) -> str:
        return f"{self.asker} {self.start:%Y-%m-%d %H:%M} {self.state}"


class SwapNews(models.Model):
    """What happened to a swap: the outbox of what those concerned must hear (dispatched_at is null)."""

    class Kind(models.TextChoices):
        ASKED = "asked", "Asked"
        AGREED = "agreed", "Agreed"
        DECLINED = "declined", "Declined"
        WITHDRAWN = "withdrawn", "Taken back"
        UNDONE = "undone", "Undone after it was agreed"

    swap = models.ForeignKey(Swap, on_delete=models.CASCADE, related_name="news")
    kind = models.CharField(max_length=12, choices=Kind)
    at = models.DateTimeField()
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    dispatched_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "swap news"
        indexes = [models.Index(fields=["id"], name="swap_news_outbox", condition=Q(dispatched_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.swap_id} {self.kind}"


class PersonalFeed(models.Model):
    """A person's own calendar address; a higher version makes the one given out before useless (`feeds`)."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="on_call_feed")
    version = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.user} v{self.version}"


class HandoverNote(models.Model):
    """What whoever goes off call leaves for the next."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="notes")
    at = models.DateTimeField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    author_name = models.CharField(max_length=200)
    text = models.TextField(max_length=4000)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["schedule", "-at"], name="handover_note_at")]

    def __str__(self) -> str:
        return f"{self.author_name} {self.at:%Y-%m-%d %H:%M}"
