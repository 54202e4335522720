"""What was or must be sent to whom about an incident."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.incidents.models import IncidentEvent


class Delivery(models.Model):
    """One piece of news for one recipient over one channel. message_id stays the same over all attempts.

    Claim (SENDING with a lease), send, mark: never marked before it is sent. bundled_in: the delivery whose message
    carries this news too; its state follows that one.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENDING = "sending", "Sending"
        SENT = "sent", "Sent"
        DEAD = "dead", "Given up"
        DROPPED = "dropped", "No longer needed"

    incident_event = models.ForeignKey(IncidentEvent, on_delete=models.CASCADE, related_name="deliveries")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="deliveries")
    channel = models.CharField(max_length=32)
    recipient = models.CharField(max_length=300)
    message_id = models.CharField(max_length=200, unique=True)
    subject = models.CharField(max_length=300)
    text = models.TextField()
    bundled_in = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="bundled")
    state = models.CharField(max_length=16, choices=State, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident_event", "channel", "recipient"], name="delivery_once_per_recipient"
            )
        ]
        indexes = [
            models.Index(fields=["next_at"], name="delivery_work", condition=Q(state__in=["waiting", "sending"])),
            models.Index(
                fields=["channel", "recipient", "-sent_at"],
                name="delivery_pace",
                condition=Q(state__in=["sending", "sent"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} to {self.recipient}: {self.state}"
