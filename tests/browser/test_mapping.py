"""The mapping editor in a real browser: events follow the typing, wrong lines are marked, paths are put in, and it is saved."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from apps.core.heartbeats import beat
from apps.integrations.models import Integration, Mapping
from tests.browser.conftest import Screen
from tests.dashboard.network import definitions, integration, told

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/integrations/acme-events/mapping/"
TEXT = """\
# Acme's warehouse: one message for each step
zone: Europe/Berlin
events:
  - type:
      path: $.step
      values:
        PCK: pick.completed
        PAC: pack.completed
        DEP: shipment.dispatched
    happened_at: {path: [$.day, $.time], format: "%d.%m.%Y %H:%M"}
    id: $.message
    references:
      - {kind: sales_order, path: $.order.no, required: true}
      - {kind: tracking_number, path: "$.parcels[*].barcode"}
    data: {place: $.site}
"""


@pytest.fixture
def source() -> Integration:
    now = timezone.now()
    beat("sweep", now)
    definitions()
    mapping = Mapping.objects.create(slug="acme", spec={"events": [{"type": "order.placed", "happened_at": "$.at", "references": [{"kind": "sales_order", "path": "$.order.no"}]}]})  # fmt: skip
    found = integration(mapping=mapping)
    steps = ("PCK", "PAC", "DEP", "PCK", "XXX")
    told(
        found,
        [
            {
                "message": f"m-{n}",
                "step": step,
                "day": "04.03.2026",
                "time": f"1{n}:15",
                "site": "Hall 2",
                "order": {"no": f"SO-471{n}", "lines": 3},
                "parcels": [{"barcode": f"PK00{n}1"}, {"barcode": f"PK00{n}2"}],
            }
            for n, step in enumerate(steps)
        ],
        now,
    )
    return found


def type_in(page: Page, text: str) -> None:
    page.locator("#mapping-text").fill(text)


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "dark")])
def test_the_events_follow_the_typing(
    screens: Callable[..., Screen], source: Integration, shape: str, theme: str
) -> None:
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("operations")
    page = screen.open(PAGE)
    events = page.locator("#events")
    expect(events).to_contain_text("The time happened_at is missing")
    page.locator("#m-receipt").select_option(index=2)
    expect(page.locator("#sample-text")).to_have_value(re.compile("DEP"))
    type_in(page, TEXT)
    expect(events.locator(".event-card")).to_have_count(1)
    expect(events).to_contain_text("PK0021")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("mapping-events")
    type_in(page, TEXT.replace("$.order.no,", "$..no,"))
    expect(page.locator(".line-bad")).to_have_text("13\n")
    page.get_by_role("button", name="Line 13, column").click()
    assert page.evaluate("document.activeElement.id") == "mapping-text"
    screen.picture("mapping-wrong")
    type_in(page, TEXT)
    page.get_by_role("button", name="Try on the last 100").click()
    expect(page.locator("#trial")).to_contain_text("0 parse as before, 5 change")
    screen.no_axe_violations()
    page.get_by_role("button", name="Save version 2", exact=True).click()
    page.get_by_role("button", name="Save version 2 with these changes").click()
    expect(page.locator(".toasts")).to_contain_text("Version 2 is in use")
    expect(page.locator("#version-2")).to_contain_text("in use")
    assert Mapping.objects.get(version=2).source == TEXT.rstrip("\n") or Mapping.objects.get(version=2).source == TEXT
    screen.picture("mapping-saved")
    page.locator("#version-1").get_by_role("button", name="Go back to it").click()
    page.locator("[data-confirm-go]").click()
    expect(page.locator("#version-3")).to_contain_text("in use")
    screen.no_axe_violations()


def test_by_keyboard(desktop: Screen, source: Integration) -> None:
    """Tab indents, Escape and Tab leave; a path picked from the sample lands at the cursor; Enter keeps the indent."""
    desktop.sign_in("operations")
    page = desktop.open(PAGE)
    code = page.locator("#mapping-text")
    code.fill("")
    code.press_sequentially("events:\n")
    expect(code).to_have_value("events:\n  ")
    code.press("Tab")
    code.press("Shift+Tab")
    expect(code).to_have_value("events:\n  ")
    code.press_sequentially("- type: order.placed\nhappened_at: ")
    page.locator("#paths").get_by_role("button", name="$.parcels[*].barcode").click()
    expect(code).to_have_value('events:\n  - type: order.placed\n    happened_at: "$.parcels[*].barcode"')
    code.press("Control+z")
    expect(code).to_have_value("events:\n  - type: order.placed\n    happened_at: ")
    code.press("Escape")
    code.press("Tab")
    assert page.evaluate("document.activeElement.id") != "mapping-text"


def test_a_pasted_sample(desktop: Screen, source: Integration) -> None:
    desktop.sign_in("operations")
    page = desktop.open(PAGE)
    page.locator("#sample-text").fill('{"order": {"no": "SO-PASTED"}, "at": "2026-03-04T10:15:00Z"}')
    expect(page.locator("#events")).to_contain_text("SO-PASTED")
    expect(page.locator("#paths")).not_to_contain_text("$.parcels")
