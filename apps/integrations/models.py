"""The register: with whom and with what the tower exchanges messages, and what is agreed about it."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from apps.accounts.models import ApiClient, Team
from apps.integrations.maintenance_models import MaintenanceWindow as MaintenanceWindow


def new_endpoint_id() -> str:
    """128 random bits for the path of a door; not guessable, not a secret."""
    return secrets.token_urlsafe(16)


class Calendar(models.Model):
    """Working hours, holidays and exceptions; a change makes a new version, the newest counts from then on.

    spec: see `core.calendars` (zone, weekly hours, country, subdivision, exceptions, periods, lanes).
    """

    slug = models.SlugField(max_length=64)
    version = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=200)
    spec = models.JSONField()
    author_name = models.CharField(max_length=200, blank=True, help_text="Who saved this version; empty: a file")
    note = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug", "-version"]
        constraints = [models.UniqueConstraint(fields=["slug", "version"], name="calendar_slug_version")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Partner(models.Model):
    """A trading partner."""

    class Kind(models.TextChoices):
        CARRIER = "carrier", "Carrier"
        THREE_PL = "3pl", "3PL"
        SUPPLIER = "supplier", "Supplier"
        CUSTOMER = "customer", "Customer"
        MARKETPLACE = "marketplace", "Marketplace"
        CUSTOMS_BROKER = "customs_broker", "Customs broker"
        PLATFORM = "platform", "Platform"

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, choices=Kind)
    time_zone = models.CharField(max_length=64, default="UTC")
    calendar = models.CharField(max_length=64, blank=True, help_text="Slug of the working calendar")
    email = models.EmailField(blank=True)
    active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class PartnerIdentifier(models.Model):
    """A partner's identity in a scheme: GLN, SCAC, DUNS, VAT, an interchange id."""

    partner = models.ForeignKey(Partner, on_delete=models.CASCADE, related_name="identifiers")
    scheme = models.CharField(max_length=16)
    value = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scheme", "value"], name="partner_identifier_unique")]

    def __str__(self) -> str:
        return f"{self.scheme}:{self.value}"


class PartnerAccess(models.Model):
    """Binds a person or a machine to the one partner whose data it may see."""

    partner = models.ForeignKey(Partner, on_delete=models.CASCADE, related_name="accesses")
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="partner_access"
    )
    api_client = models.OneToOneField(
        ApiClient, null=True, blank=True, on_delete=models.CASCADE, related_name="partner_access"
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=False, api_client__isnull=True)
                | Q(user__isnull=True, api_client__isnull=False),
                name="partner_access_one_principal",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user or self.api_client} for {self.partner}"


class System(models.Model):
    """A system messages come from or go to: an Odoo, a WMS, a shop, a translator."""

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=32)
    partner = models.ForeignKey(Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="systems")
    base_url = models.URLField(blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Mapping(models.Model):
    """A versioned declarative mapping from a partner's fields to canonical events (`collectors.mapping`)."""

    slug = models.SlugField(max_length=64)
    version = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=200, blank=True)
    spec = models.JSONField()
    source = models.TextField(blank=True, help_text="Its text as its author wrote it; empty: written from spec")
    author_name = models.CharField(max_length=200, blank=True)
    note = models.CharField(max_length=300, blank=True, help_text="What changed, in the author's words")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug", "-version"]
        constraints = [models.UniqueConstraint(fields=["slug", "version"], name="mapping_slug_version")]

    def __str__(self) -> str:
        return f"{self.slug} v{self.version}"


class Integration(models.Model):
    """One governed interface with one partner or system."""

    class Criticality(models.TextChoices):
        CRITICAL = "critical", "Critical"
        HIGH = "high", "High"
        NORMAL = "normal", "Normal"
        LOW = "low", "Low"

    class LatencyClass(models.TextChoices):
        REAL_TIME = "real_time", "Real time"
        BATCH = "batch", "Batch"

    class Lifecycle(models.TextChoices):
        PLANNED = "planned", "Planned"
        ONBOARDING = "onboarding", "Onboarding"
        LIVE = "live", "Live"
        DEPRECATED = "deprecated", "Deprecated"
        RETIRED = "retired", "Retired"

    class Environment(models.TextChoices):
        PRODUCTION = "production", "Production"
        TEST = "test", "Test"

    slug = models.SlugField(max_length=64, unique=True)
    endpoint_id = models.CharField(max_length=32, unique=True, default=new_endpoint_id, editable=False)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=32, help_text="Collector kind")
    partner = models.ForeignKey(Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="integrations")
    system = models.ForeignKey(System, null=True, blank=True, on_delete=models.PROTECT, related_name="integrations")
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.PROTECT, related_name="integrations")
    mapping = models.ForeignKey(Mapping, null=True, blank=True, on_delete=models.PROTECT, related_name="integrations")
    settings = models.JSONField(default=dict, blank=True)
    criticality = models.CharField(max_length=16, choices=Criticality, default=Criticality.NORMAL)
    latency_class = models.CharField(max_length=16, choices=LatencyClass, default=LatencyClass.REAL_TIME)
    latency_tolerance = models.DurationField(null=True, blank=True)
    stale_after = models.DurationField(
        null=True, blank=True, help_text="Without any message for so long, the source counts as unheard"
    )
    contract_version = models.CharField(max_length=32, blank=True)
    environment = models.CharField(max_length=16, choices=Environment, default=Environment.PRODUCTION)
    zone = models.CharField(max_length=64, blank=True, help_text="Network or deployment zone")
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Zone of times without one")
    lifecycle = models.CharField(max_length=16, choices=Lifecycle, default=Lifecycle.LIVE)
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


#: what a credential is for -> in words. Doors take signing secrets only; a source is read with the others where there are any
SIGNING = "signing"
PURPOSES = {
    SIGNING: "Signing secret: proves who sends",
    "api_token": "API token: reads the source",
    "password": "Password: reads the source",
}


class CredentialQuerySet(models.QuerySet["Credential"]):
    def live(self, now: datetime) -> CredentialQuerySet:
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), revoked_at__isnull=True)


class Credential(models.Model):
    """A secret of an integration, encrypted at rest (`core.secrets`). Current and previous overlap until expires_at."""

    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="credentials")
    purpose = models.CharField(max_length=32, default="signing")
    ciphertext = models.BinaryField()
    hint = models.CharField(max_length=8, help_text="Last characters, to tell one from another")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = CredentialQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.integration} {self.purpose} …{self.hint}"

    @property
    def purpose_label(self) -> str:
        return PURPOSES.get(self.purpose, self.purpose).partition(":")[0]


class SourceState(models.Model):
    """How well we hear an integration. One row each, written by doors, pollers and the sweep.

    stale_since is set while we cannot hear; the clocks that depend on the source are suspended meanwhile.
    catching_up_until: after an outage, what comes is judged by when it happened and pages nobody.
    """

    integration = models.OneToOneField(Integration, on_delete=models.CASCADE, primary_key=True, related_name="state")
    last_received_at = models.DateTimeField(null=True)
    last_happened_at = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)
    last_error_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)
    failures = models.PositiveIntegerField(default=0)
    cursor = models.JSONField(default=dict)
    poll_lease_until = models.DateTimeField(null=True)
    next_poll_at = models.DateTimeField(null=True)
    stale_since = models.DateTimeField(null=True)
    stale_reason = models.CharField(max_length=200, blank=True)
    catching_up_until = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(F("stale_since"), name="source_stale", condition=Q(stale_since__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.integration_id}: last received {self.last_received_at}"


class ChangeMarker(models.Model):
    """Something that changed around an integration (a deploy, a contract version, a key): shown beside incidents."""

    at = models.DateTimeField()
    integration = models.ForeignKey(
        Integration, null=True, blank=True, on_delete=models.CASCADE, related_name="markers"
    )
    kind = models.CharField(max_length=32)
    text = models.CharField(max_length=300)
    actor_name = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["-at"], name="marker_at")]

    def __str__(self) -> str:
        return self.text
