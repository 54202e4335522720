"""What a request asks of the reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from django.http import HttpRequest

from apps.dashboard.selectors.report_asked import Asked
from apps.integrations.models import Partner
from apps.reports import rollups


def asked_of(request: HttpRequest, now: datetime) -> tuple[Asked, Mapping[str, Partner], str]:
    """(what is asked, every partner by slug, the zone in which reports count months and days)."""
    zone = rollups.zone()
    asked = Asked.read(request.GET, now.astimezone(ZoneInfo(zone)).date())
    return asked, {partner.slug: partner for partner in Partner.objects.all()}, zone


def month_of(request: HttpRequest, now: datetime) -> tuple[Asked, Mapping[str, Partner], str]:
    """The same for a page of the whole month."""
    asked, partners, zone = asked_of(request, now)
    return asked.whole(), partners, zone
