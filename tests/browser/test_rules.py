"""The rule editor in a real browser: what is typed is said in words and tried on history; what changes is shown before it is kept."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from apps.sla.models import SlaRule
from tests.browser.conftest import Screen
from tests.dashboard.test_rules import RULE, SPEC, history

__all__ = ["history"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "dark")])
def test_a_rule_is_tried_and_changed(screens: Callable[..., Screen], history: None, shape: str, theme: str) -> None:
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("manager")
    page = screen.open("/rules/")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("rules")
    page.get_by_role("link", name="Order in Odoo").click()
    page.wait_for_url(f"**/rules/{RULE}/")
    expect(page.locator("#events")).to_contain_text("15 minutes after “Placed”")
    code = page.locator("#rule-text")
    code.fill("due: {after: {milestone: placed, duration: soon}}\n")
    expect(page.locator("#events [role=alert]")).to_contain_text("soon")
    expect(page.locator(".gutter .line-bad")).to_have_text("1")
    code.fill(SPEC % "PT30M")
    expect(page.locator("#events")).to_contain_text("30 minutes after “Placed”")
    page.get_by_role("button", name=re.compile("^Save version")).click()
    expect(page.locator("#trial")).to_contain_text("1 stops being late")
    page.wait_for_selector("#plot-trial-box .main-svg, #trial .main-svg")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("rule")
    page.get_by_role("button", name="Save with these changes").click()
    expect(page.locator("#versions")).to_contain_text("Version 2")
    assert SlaRule.objects.get(slug=RULE, version=2).author_name == "Manager Person"
