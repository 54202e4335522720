"""The register in the Django admin: partners, systems, calendars, mappings, integrations, change markers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.administration import HistoryAdmin, RegisterAdmin, RegisterInline
from apps.core.wording import absolute, zone
from apps.integrations import changes
from apps.integrations.models import (
    Calendar,
    ChangeMarker,
    Credential,
    Integration,
    Mapping,
    Partner,
    PartnerAccess,
    PartnerIdentifier,
    System,
)


class IdentifierInline(RegisterInline):
    model = PartnerIdentifier


class AccessInline(RegisterInline):
    model = PartnerAccess
    autocomplete_fields = ("user",)


@admin.register(Partner)
class PartnerAdmin(RegisterAdmin):
    list_display = ("name", "slug", "kind", "time_zone", "calendar", "active")
    list_filter = ("kind", "active")
    search_fields = ("name", "slug", "identifiers__value")
    inlines = (IdentifierInline, AccessInline)


@admin.register(System)
class SystemAdmin(RegisterAdmin):
    list_display = ("name", "slug", "kind", "partner", "base_url")
    search_fields = ("name", "slug")


@admin.register(Integration)
class IntegrationAdmin(RegisterAdmin):
    """Settings are edited on the integration's own page, where its collector checks them."""

    list_display = ("name", "slug", "kind", "partner", "team", "criticality", "lifecycle", "enabled")
    list_filter = ("kind", "criticality", "lifecycle", "enabled", "environment")
    search_fields = ("name", "slug", "partner__name")
    readonly_fields = ("slug", "kind", "endpoint_id", "settings", "enabled")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Integration, form: Any, change: bool) -> None:
        before = changes.facts(Integration.objects.get(pk=obj.pk))
        changes.save(obj, request.user, timezone.now(), before)  # type: ignore[arg-type]


@admin.register(Credential)
class CredentialAdmin(HistoryAdmin):
    """Hints and times only; issuing and revoking is on the integration's page."""

    list_display = ("integration", "purpose", "ending", "created_at", "expires_at", "revoked_at", "last_used_at")
    fields = ("integration", "purpose", "ending", "created_at", "expires_at", "revoked_at", "last_used_at")
    list_select_related = ("integration",)

    @admin.display(description="Ends with")
    def ending(self, row: Credential) -> str:
        return f"…{row.hint}"


@admin.register(Calendar, Mapping)
class VersionAdmin(HistoryAdmin):
    list_display = ("slug", "version", "name", "created_at")
    search_fields = ("slug", "name")


@admin.register(ChangeMarker)
class MarkerAdmin(HistoryAdmin):
    list_display = ("when", "integration", "kind", "text", "actor_name")
    list_filter = ("kind",)
    list_select_related = ("integration",)

    @admin.display(description="At", ordering="at")
    def when(self, row: ChangeMarker) -> str:
        return absolute(row.at, zone("UTC"))
