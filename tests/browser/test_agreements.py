"""Contract terms and objectives in a real browser: what is typed is said in words, and what changes is shown before it is kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from apps.reports.models import ContractTerm, Objective
from tests.browser.conftest import Screen
from tests.dashboard.network import DAY, flow, partner, promise

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "light"), ("desktop", "dark")])
def test_a_term_is_changed(screens: Callable[..., Screen], shape: str, theme: str) -> None:
    promise(flow("SO-1", partner()), "BREACHED", timezone.now().replace(day=1) - DAY)
    ContractTerm.objects.create(slug="late", name="Late shipment", basis="per_event", amount=40, currency="EUR")
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("manager")
    page = screen.open("/contract-terms/")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("terms")
    page.get_by_role("link", name="Late shipment").click()
    page.wait_for_url("**/contract-terms/late/")
    page.get_by_label("Amount").fill("soon")
    expect(page.locator("#says [role=alert]")).to_contain_text("is no number")
    page.get_by_label("Amount").fill("45.50")
    expect(page.locator("#says")).to_contain_text("45.50 EUR for each missed promise")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#trial")).to_contain_text("partners owe 45.50 EUR")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("term")
    page.get_by_role("button", name="Save with these changes").click()
    expect(page.locator("#history")).to_contain_text("amount 40 → 45.5")
    assert ContractTerm.objects.get().amount == 45.5


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "dark")])
def test_an_objective_is_changed(screens: Callable[..., Screen], shape: str, theme: str) -> None:
    promise(flow("SO-1", partner()), "MET", timezone.now() - DAY, met_at=timezone.now() - 2 * DAY)
    Objective.objects.create(slug="ship", name="Shipped in time", target=90)
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("manager")
    page = screen.open("/objectives/ship/edit/")
    page.get_by_label("Target").fill("95")
    expect(page.locator("#says")).to_contain_text("95 % of “All promises”")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("objective_edit")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#history")).to_contain_text("target 90 → 95")
    assert Objective.objects.get().target == 95
