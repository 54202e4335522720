"""People, teams and machines that may use the tower, and what they did to its rules."""

from __future__ import annotations

import hashlib

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models


class Role(models.TextChoices):
    OPERATIONS = "operations", "Operations"
    ON_CALL = "on_call", "On-call"
    MANAGER = "manager", "Manager"
    ADMIN = "admin", "Administrator"
    PARTNER = "partner", "Partner"


class Team(models.Model):
    """Owns integrations and flow definitions; incidents are routed to it."""

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class User(AbstractUser):
    """A person. A partner's person has the role PARTNER and a `integrations.PartnerAccess`."""

    role = models.CharField(max_length=16, choices=Role, default=Role.OPERATIONS)
    teams = models.ManyToManyField(Team, blank=True, related_name="members")
    time_zone = models.CharField(max_length=64, default="UTC")
    phone = models.CharField(max_length=32, blank=True)

    @property
    def is_partner(self) -> bool:
        return self.role == Role.PARTNER

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username


class ApiClient(models.Model):
    """A machine with a token. The token is shown once; only its SHA-256 is kept."""

    name = models.CharField(max_length=200)
    token_hash = models.CharField(max_length=64, unique=True)
    token_hint = models.CharField(max_length=8)
    scopes = ArrayField(models.CharField(max_length=64), default=list)
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def hash_of(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()


class AuditEntry(models.Model):
    """Who changed a rule, a credential, a role or a definition. Append-only for the application's database role."""

    at = models.DateTimeField()
    actor = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=200)
    action = models.CharField(max_length=64)
    subject = models.CharField(max_length=200)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["subject", "-at"], name="audit_subject_at")]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.subject}"
