"""Planned silence: maintenance and mutes. `maintenance` does the reckoning, `maintenance_plans` what people do."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class MaintenanceWindow(models.Model):
    """A span (perhaps repeated) in which what it covers does not page.

    kind: MAINTENANCE also suspends the clocks of what it covers and is excluded in reports; MUTE only silences.
    starts_at, ends_at: the first occurrence. recurrence: an RRULE (RFC 5545) or ""; laid out on the wall clock of
    time_zone. Scope: everything, or the places (integrations or partners: one of them must fit) and, where rules are
    named, only those rules of these places. cancelled_at: from then on it covers nothing; what was, stays.
    """

    class Kind(models.TextChoices):
        MAINTENANCE = "maintenance", "Maintenance"
        MUTE = "mute", "Mute"

    kind = models.CharField(max_length=16, choices=Kind, default=Kind.MAINTENANCE)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    recurrence = models.CharField(max_length=300, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    everything = models.BooleanField(default=False)
    integrations = models.ManyToManyField("integrations.Integration", blank=True, related_name="maintenance")
    partners = models.ManyToManyField("integrations.Partner", blank=True, related_name="maintenance")
    rules = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    reason = models.CharField(max_length=300)
    announce_to_partners = models.BooleanField(default=False)
    announcement = models.CharField(max_length=300, blank=True, help_text="What partners read; the reason stays inside")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    author_name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancelled_by_name = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-starts_at", "-id"]
        constraints = [models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="window_ends_after_start")]
        indexes = [
            models.Index(fields=["ends_at"], name="window_single_end", condition=Q(recurrence="")),
            models.Index(fields=["starts_at"], name="window_recurring", condition=~Q(recurrence="")),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.reason}"
