"""The calendar editor in a real browser: the year follows what is typed, and what moves is shown before it is kept."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from playwright.sync_api import expect

from apps.accounts.models import User
from apps.flows.models import Flow
from apps.integrations.models import Calendar
from apps.sla.models import Expectation, SlaRule, WaiverRequest
from tests.browser.conftest import Screen
from tests.dashboard.test_calendars import open_order

__all__ = ["open_order"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "dark")])
def test_a_calendar_is_changed(screens: Callable[..., Screen], open_order: Expectation, shape: str, theme: str) -> None:
    spec = {"due": {"after": {"milestone": "sent", "duration": "P5D", "kind": "working_days"}}, "calendar": "house"}
    values = {"name": "ASN", "flow_slug": "purchase", "milestone": "asn"}
    SlaRule.objects.create(slug="asn", version=2, spec=spec, lifecycle="shadow", **values)
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("manager")
    page = screen.open("/calendars/")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("calendars")
    page.get_by_role("link", name="House").click()
    page.wait_for_url("**/calendars/house/")
    expect(page.locator("#year")).to_contain_text("Mon–Sun 00:00-24:00")
    page.get_by_label("Sat").fill("")
    page.get_by_label("Sun").fill("08:00")
    expect(page.locator("#year [role=alert]")).to_contain_text("write them like")
    page.get_by_label("Sun").fill("")
    page.get_by_label("Holidays of").fill("FR")
    page.get_by_label("Exceptions, one a line").fill(
        "2026-12-24 08:00-12:00 Christmas Eve\n2026-08-03..2026-08-14 closed Summer"
    )
    page.get_by_label("Peaks and change freezes").fill(
        "peak 2026-11-20..2026-12-23 Black Friday\nfreeze 2026-12-24..2027-01-02 Christmas"
    )
    page.get_by_label("Year shown").fill("2026")
    expect(page.locator("#year")).to_contain_text("Assumption Day")
    expect(page.locator(".cal-month td.k-shut")).to_have_count(12)
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("calendar")
    page.get_by_role("button", name="Save version 2").click()
    expect(page.locator("#effect")).to_contain_text("1 of 1 open deadline moves")
    screen.no_axe_violations()
    page.get_by_role("button", name="Save with these changes").click()
    expect(page.locator("#versions")).to_contain_text("Version 2")
    assert Calendar.objects.get(slug="house", version=2).author_name == "Manager Person"
    page = screen.open("/rules/")
    expect(page.locator("#progress")).to_contain_text("judged again")
    screen.no_axe_violations()
    page = screen.open("/rules/asn/")
    expect(page.locator("#shadow")).to_contain_text("Nothing has come under it yet")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("rule-shadow")


@pytest.mark.parametrize("shape", ["desktop", "phone"])
def test_a_second_person_decides(screens: Callable[..., Screen], open_order: Expectation, shape: str) -> None:
    asker = User.objects.create_user("ada", role="operations", first_name="Ada", last_name="Lind")
    Flow.objects.update(value=Decimal("48200"), currency="EUR")
    reason = "The supplier's site was flooded; agreed with their manager by telephone"
    WaiverRequest.objects.create(
        expectation=open_order, reason=reason, asked_at=open_order.flow.opened_at, asked_by=asker
    )
    screen = screens(shape)
    screen.sign_in("manager")
    page = screen.open("/waivers/")
    expect(page.locator("main")).to_contain_text("flooded")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("waivers")
    page.get_by_role("button", name="Agree").click()
    page.get_by_role("button", name="Agree and waive").click()
    expect(page.locator("#h-done")).to_be_visible()
    assert Expectation.objects.get().state == "WAIVED"
    screen.no_axe_violations()
    screen.no_sideways_scroll()
