"""People, teams, machines and the audit record in the Django admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest

from apps.accounts.administration import HistoryAdmin, RegisterAdmin
from apps.accounts.models import ApiClient, AuditEntry, Role, Team, User

admin.site.site_header = admin.site.site_title = "Control tower"
admin.site.index_title = "Registers"
admin.site.unregister(Group)


@admin.register(User)
class PersonAdmin(RegisterAdmin, UserAdmin):  # type: ignore[type-arg]
    """People are made inactive, not deleted: what they did stays theirs."""

    list_display = ("username", "display_name", "email", "role", "is_active", "last_login")
    list_filter = ("role", "is_active", "teams")
    filter_horizontal = ("teams",)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email", "phone", "time_zone")}),
        ("Access", {"fields": ("role", "teams", "is_active")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "email", "role", "usable_password", "password1", "password2"),
            },
        ),
    )

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        obj.is_staff = obj.role == Role.ADMIN
        super().save_model(request, obj, form, change)


@admin.register(Team)
class TeamAdmin(RegisterAdmin):
    list_display = ("name", "slug", "email", "time_zone")
    search_fields = ("name", "slug")


@admin.register(ApiClient)
class ApiClientAdmin(HistoryAdmin):
    list_display = ("name", "token_hint", "scopes", "team", "created_at", "expires_at", "revoked_at", "last_used_at")
    exclude = ("token_hash",)


@admin.register(AuditEntry)
class AuditAdmin(HistoryAdmin):
    list_display = ("at", "actor_name", "action", "subject")
    list_filter = ("action",)
    search_fields = ("subject", "actor_name")
    date_hierarchy = "at"
