"""SLA rules in the Django admin: to be read. New versions come through `manage.py load_config`, which checks them."""

from __future__ import annotations

from django.contrib import admin

from apps.accounts.administration import HistoryAdmin
from apps.sla.models import SlaRule


@admin.register(SlaRule)
class RuleAdmin(HistoryAdmin):
    list_display = (
        "name",
        "slug",
        "version",
        "flow_slug",
        "milestone",
        "target",
        "severity",
        "lifecycle",
        "created_at",
    )
    list_filter = ("flow_slug", "lifecycle", "severity")
    search_fields = ("name", "slug")
