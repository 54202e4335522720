"""Causes, declared pairs and risk in a real browser: desktop, phone and dark; an incident with its cause."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen
from tests.dashboard.test_causes import fill

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "dark")])
def test_pages_of_causes(screens: Callable[..., Screen], shape: str, theme: str) -> None:
    findings = fill(3)
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("operations")
    for address, words in (
        ("/causes/", "41 times as likely"),
        ("/reconciliation/", "has said nothing"),
        ("/risk/", "Swift Parcel this week"),
        (f"/incidents/{findings[0].incident_id}/", "What acting now can save"),
        (f"/flows/{findings[0].flow_id}/", "Risk of being late"),
    ):
        page = screen.open(address)
        expect(page.locator("body")).to_contain_text(words)
        screen.no_axe_violations()
        screen.no_sideways_scroll()
        screen.picture(f"causes{address.replace('/', '-')}{shape}-{theme}")
