"""The schedule editor in a real browser: layers are added, moved and taken back, and the two weeks follow at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from apps.oncall.models import Schedule, ScheduleVersion
from apps.oncall.redrawing import wanted_of
from tests.browser.conftest import Screen
from tests.browser.test_oncall import crew

__all__ = ["crew"]
pytestmark = pytest.mark.django_db(transaction=True)


def picture(screen: Screen, name: str) -> None:
    """Playwright leaves empty style attributes behind, and htmx carries them over to what it swaps in."""
    screen.picture(name)
    screen.page.evaluate("document.querySelectorAll('[style]').forEach((one) => one.removeAttribute('style'))")


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "light"), ("desktop", "dark")])
def test_a_layer_is_drawn_and_kept(screens: Callable[..., Screen], crew: object, shape: str, theme: str) -> None:
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("manager")
    page = screen.open("/on-call/s/operations/edit/")
    screen.no_sideways_scroll()
    picture(screen, "schedule-editor")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("Gaps")
    page.get_by_role("button", name="Add layer").click()
    expect(page.locator("#c-name")).to_be_focused()
    page.keyboard.type("Weekends")
    page.locator("#c-m-0").select_option("kim")
    page.locator("#c-preset-weekends").click()
    expect(page.locator("#layer-c .draw-hours")).to_have_count(3)
    expect(page.locator("#c-preset-weekends")).to_be_focused()
    expect(preview).to_contain_text("No gaps")
    page.locator("#c-down").press("Enter")
    expect(page.locator("#said")).to_contain_text("2 of 3")
    expect(page.locator("#c-down")).to_be_focused()
    page.locator("#c-count").fill("soon")
    page.locator("#c-count").blur()
    expect(preview).to_contain_text("Weekends: a turn lasts")
    expect(page.locator("#c-count")).to_have_attribute("aria-invalid", "true")
    picture(screen, "schedule-editor-trouble")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#c-count")).to_have_value("1")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#said")).to_be_empty()
    expect(page.locator("fieldset.draw-layer >> nth=0")).to_have_id("layer-c")
    expect(preview).to_contain_text("No gaps")
    page.locator(".draw-list summary").click()
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    picture(screen, "schedule-editor-filled")
    page.keyboard.press("Control+s")
    page.wait_for_timeout(300)
    if page.get_by_role("button", name="Save all the same").is_visible():
        picture(screen, "schedule-editor-sure")
        page.get_by_role("button", name="Save all the same").click()
    page.wait_for_url("**/on-call/s/operations/")
    kept = wanted_of(Schedule.objects.select_related("team").get(slug="operations"))
    assert kept.layers[-1].name == "Weekends"
    assert [one.username for one in kept.layers[-1].members] == ["kim"]
    assert ScheduleVersion.objects.filter(schedule__slug="operations").count() == 2
