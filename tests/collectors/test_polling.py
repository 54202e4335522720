"""Who is asked: kinds that read by themselves, where their settings say what to read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.collectors.polling import poll_due, reading
from apps.integrations.models import Integration, SourceState

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("kind", "settings", "asked"),
    [
        ("shopify", {}, False),
        ("shopify", {"base_url": "", "shop": ""}, False),
        ("shopify", {"shop": "bright.example"}, True),
        ("woocommerce", {"base_url": "https://bright.example"}, True),
        ("woocommerce", {}, False),
        ("odoo", {}, True),
        ("webhook", {}, False),
        ("edi", {"folder": "inbox"}, True),
        ("edi", {"folder": ""}, False),
    ],
)
def test_who_is_asked(kind: str, settings: dict[str, Any], asked: bool) -> None:
    Integration.objects.create(slug="one", name="One", kind=kind, settings=settings)
    assert Integration.objects.filter(reading()).exists() is asked


def test_a_shop_that_only_sends_is_not_heard_because_reading_nothing_went_well() -> None:
    """Else its silence would look like health."""
    shop = Integration.objects.create(slug="shop", name="Shop", kind="shopify", lifecycle="live")
    SourceState.objects.create(integration=shop)
    assert poll_due(NOW) == []
    assert SourceState.objects.get().last_success_at is None
