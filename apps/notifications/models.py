"""Where messages can go, what people want of them, and what was or must be sent to whom about an incident."""

from __future__ import annotations

from datetime import time

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.accounts.models import Team
from apps.incidents.models import IncidentEvent, Severity
from apps.notifications.escalation_models import AwaitedStep as AwaitedStep
from apps.notifications.escalation_models import EscalationPolicy as EscalationPolicy
from apps.notifications.escalation_models import EscalationRoute as EscalationRoute
from apps.notifications.escalation_models import EscalationVersion as EscalationVersion
from apps.notifications.escalation_models import HandoverMail as HandoverMail
from apps.notifications.escalation_models import ReminderInterval as ReminderInterval
from apps.oncall.models import SwapNews


class Channel(models.Model):
    """One way to send: an account at a gateway, or one place such as a room. kind names the plugin.

    secrets are encrypted (`core.secrets`) and never shown again; hints hold their last characters. Off with a
    disabled_because: the tower switched it off because it fails for good. listens: it is told of every incident (of
    its team, if it has one) from min_severity on, without being named anywhere. blamed: answers in a row that put the
    fault on the channel itself. hold_until: the receiver asked us to wait.
    """

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=32)
    config = models.JSONField(default=dict)
    ciphertext = models.BinaryField(default=bytes)
    hints = models.JSONField(default=dict)
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.SET_NULL, related_name="channels")
    listens = models.BooleanField(default=False)
    min_severity = models.CharField(max_length=16, choices=Severity, default=Severity.NORMAL)
    enabled = models.BooleanField(default=True)
    disabled_at = models.DateTimeField(null=True)
    disabled_because = models.CharField(max_length=500, blank=True)
    last_ok_at = models.DateTimeField(null=True)
    last_error_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="Since the last success")
    blamed = models.PositiveIntegerField(default=0)
    hold_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class ContactMethod(models.Model):
    """A person's own address on a channel; without a channel: another mailbox. Used once a code proved it is theirs."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="contact_methods")
    channel = models.ForeignKey(Channel, null=True, on_delete=models.CASCADE, related_name="methods")
    address = models.CharField(max_length=300)
    verified_at = models.DateTimeField(null=True)
    code_hash = models.CharField(max_length=64, blank=True)
    code_sent_at = models.DateTimeField(null=True)
    code_tries = models.PositiveSmallIntegerField(default=0)
    codes_sent = models.PositiveSmallIntegerField(default=0, help_text="In the hour that began at codes_since")
    codes_since = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "channel", "address"], name="contact_method_once", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.channel or 'E-mail'}: {self.address}"

    @property
    def key(self) -> str:
        return f"m{self.pk}"


class Preference(models.Model):
    """What a person wants to hear, when and how (`preferences` reads it). Times are in the person's own zone."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="notification_preference"
    )
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    digest_at = models.TimeField(default=time(8, 0))
    rules = models.JSONField(default=dict)
    changed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"Preferences of {self.user}"


class Delivery(models.Model):
    """One piece of news for one recipient over one channel. message_id stays the same over all attempts.

    It is about one subject: a row of an incident's timeline, or what happened to a swap of shifts (`swap_news`).

    Claim (SENDING with a lease), send, mark: never marked before it is sent. bundled_in: the delivery whose message
    carries this news too; its state follows that one. channel: slug of a Channel, or "email" for the tower's own mail.
    held_until: kept back on purpose (quiet hours, digest). attempts_before: those before it was replayed last.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENDING = "sending", "Sending"
        SENT = "sent", "Sent"
        DEAD = "dead", "Given up"
        DROPPED = "dropped", "No longer needed"

    incident_event = models.ForeignKey(IncidentEvent, null=True, on_delete=models.CASCADE, related_name="deliveries")
    swap_news = models.ForeignKey(SwapNews, null=True, on_delete=models.CASCADE, related_name="deliveries")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="deliveries")
    channel = models.CharField(max_length=64)
    recipient = models.CharField(max_length=300)
    message_id = models.CharField(max_length=200, unique=True)
    subject = models.CharField(max_length=300)
    text = models.TextField()
    bundled_in = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="bundled")
    state = models.CharField(max_length=16, choices=State, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    attempts_before = models.PositiveIntegerField(default=0)
    held_until = models.DateTimeField(null=True)
    next_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    answer = models.CharField(max_length=500, blank=True, help_text="What the receiver said when it took it")

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident_event", "channel", "recipient"], name="delivery_once_per_recipient"
            ),
            models.CheckConstraint(
                condition=Q(incident_event__isnull=True) ^ Q(swap_news__isnull=True), name="delivery_has_one_subject"
            ),
        ]
        indexes = [
            models.Index(fields=["next_at"], name="delivery_work", condition=Q(state__in=["waiting", "sending"])),
            models.Index(fields=["-created_at", "-id"], name="delivery_log"),
            models.Index(fields=["channel", "-created_at"], name="delivery_channel"),
            models.Index(fields=["channel", "id"], name="delivery_dead", condition=Q(state="dead")),
            models.Index(
                fields=["channel", "recipient", "-sent_at"],
                name="delivery_pace",
                condition=Q(state__in=["sending", "sent"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} to {self.recipient}: {self.state}"

    @property
    def event(self) -> IncidentEvent:
        """The timeline row of one that is about an incident. Raises ValueError for others."""
        if self.incident_event is None:
            raise ValueError(f"Delivery {self.pk} is not about an incident.")
        return self.incident_event
