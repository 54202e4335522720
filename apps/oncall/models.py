"""Who is on call when."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from apps.accounts.models import Team


class Schedule(models.Model):
    """A rotation: members take turns of shift_length, starting at starts_at (local to time_zone)."""

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="schedule")
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="UTC")
    starts_at = models.DateTimeField()
    shift_length = models.DurationField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(shift_length__gte=timedelta(minutes=1)), name="schedule_shift_positive")
        ]

    def __str__(self) -> str:
        return self.name


class ScheduleMember(models.Model):
    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["schedule", "position"], name="schedule_member_position")]

    def __str__(self) -> str:
        return f"{self.schedule} {self.position}"


class Override(models.Model):
    """Somebody takes the shift of whoever would be on call between start and end."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="overrides")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    start = models.DateTimeField()
    end = models.DateTimeField()

    class Meta:
        ordering = ["start", "id"]
        constraints = [models.CheckConstraint(condition=Q(end__gt=F("start")), name="override_ends_after_it_starts")]
        indexes = [models.Index(fields=["schedule", "end"], name="override_schedule_end")]

    def __str__(self) -> str:
        return f"{self.user} {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}"
