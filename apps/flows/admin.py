"""Flow definitions in the Django admin: to be read. New versions come through `manage.py load_config`, which checks them."""

from __future__ import annotations

from django.contrib import admin

from apps.accounts.administration import HistoryAdmin
from apps.flows.models import FlowDefinition


@admin.register(FlowDefinition)
class DefinitionAdmin(HistoryAdmin):
    list_display = ("name", "slug", "version", "owner", "active", "created_at")
    list_filter = ("active",)
