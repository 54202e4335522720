"""Nothing jumps: polling, keys, sentences, questions and the theme in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.core.wording import duration
from tests.browser import polling_urls
from tests.browser.conftest import Screen

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shown(settings: Any) -> dict[str, Any]:
    """What the polled page shows; change it and the page follows."""
    settings.ROOT_URLCONF = "tests.browser.polling_urls"
    polling_urls.SHOWN.clear()
    polling_urls.ASKED.clear()
    polling_urls.SHOWN.update(rows=[("north", 212), ("rhein", 44), ("sued", 0)], note="as it was")
    return polling_urls.SHOWN


@pytest.fixture
def polling(shown: dict[str, Any], desktop: Screen) -> Page:
    desktop.sign_in("operations")
    desktop.page.goto(desktop.address + "/polled/")
    return desktop.page


def asked(page: Page, status: int, times: int = 1) -> None:
    """Waits until the server has answered so this often from now on."""
    before = sum(1 for one, _ in polling_urls.ASKED if one == status)
    for _ in range(60):
        if sum(1 for one, _ in polling_urls.ASKED if one == status) >= before + times:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"not answered {status}: {polling_urls.ASKED}")


def test_unchanged_is_304_and_touches_nothing(polling: Page) -> None:
    polling.evaluate("document.querySelector('#row-north').towerMark = 1")
    asked(polling, 304, 2)
    assert polling.evaluate("document.querySelector('#row-north').towerMark") == 1
    assert polling.inner_text("#row-north .count") == "212"


def test_a_change_swaps_only_itself(polling: Page, shown: dict[str, Any]) -> None:
    polling.click("#more summary")
    polling.fill("#typed", "half a wo")
    polling.evaluate("""() => {
        for (const id of ['row-north', 'row-rhein', 'more', 'typed']) document.getElementById(id).towerMark = id;
        document.getElementById('typed').setSelectionRange(2, 5);
        window.touched = [];
        new MutationObserver((list) => list.forEach((one) => {
          window.touched.push((one.target.closest ? one.target : one.target.parentElement).closest('[id]').id);
        })).observe(document.getElementById('part'), {subtree: true, childList: true, characterData: true});
    }""")
    shown["rows"] = [("north", 213), ("rhein", 44), ("sued", 0)]
    expect(polling.locator("#row-north .count")).to_have_text("213")
    assert set(polling.evaluate("window.touched")) == {"row-north"}
    assert polling.evaluate(
        "['row-north', 'row-rhein', 'more', 'typed'].map((id) => document.getElementById(id).towerMark)"
    ) == [
        "row-north",
        "row-rhein",
        "more",
        "typed",
    ]
    assert polling.evaluate("document.activeElement.id") == "typed"
    assert polling.evaluate("[document.activeElement.selectionStart, document.activeElement.selectionEnd]") == [2, 5]
    assert polling.input_value("#typed") == "half a wo"
    assert polling.locator("#more").get_attribute("open") is not None


def test_rows_move_come_and_go_without_being_made_anew(polling: Page, shown: dict[str, Any]) -> None:
    polling.evaluate("document.getElementById('row-rhein').towerMark = 'same'")
    shown["rows"] = [("ost", 1), ("rhein", 45), ("north", 212)]
    expect(polling.locator("[data-row]").first).to_have_id("row-ost")
    assert polling.eval_on_selector_all("[data-row]", "rows => rows.map((row) => row.id)") == [
        "row-ost",
        "row-rhein",
        "row-north",
    ]
    assert polling.evaluate("document.getElementById('row-rhein').towerMark") == "same"
    shown["rows"] = [("north", 212)]
    expect(polling.locator("[data-row]")).to_have_count(1)
    shown["rows"] = [("north", 212), ("west", 3)]
    expect(polling.locator("[data-row]")).to_have_count(2)


def test_a_changed_number_flashes_once(screens: Callable[..., Screen], shown: dict[str, Any]) -> None:
    screen = screens("desktop", reduced_motion="no-preference")
    screen.sign_in("operations")
    page = screen.page
    page.goto(screen.address + "/polled/")
    page.evaluate("""() => { window.flashed = [];
        document.addEventListener('animationstart', (e) => e.animationName === 'flash' && window.flashed.push(e.target.closest('tr').id)); }""")
    shown["rows"] = [("north", 212), ("rhein", 43), ("sued", 0)]
    expect(page.locator("#row-rhein .count")).to_have_text("43")
    asked(page, 304, 2)
    assert page.evaluate("window.flashed") == ["row-rhein"]
    assert page.locator(".flash").count() == 0


def test_a_hidden_tab_does_not_poll(polling: Page) -> None:
    asked(polling, 304)
    polling.evaluate("""() => {
        Object.defineProperty(document, 'visibilityState', {configurable: true, get: () => 'hidden'});
        document.dispatchEvent(new Event('visibilitychange'));
    }""")
    polling.wait_for_timeout(300)
    before = len(polling_urls.ASKED)
    polling.wait_for_timeout(2500)
    assert len(polling_urls.ASKED) == before
    polling.evaluate("""() => {
        Object.defineProperty(document, 'visibilityState', {configurable: true, get: () => 'visible'});
        document.dispatchEvent(new Event('visibilitychange'));
    }""")
    asked(polling, 304)


def test_when_the_tower_is_away_the_page_says_so_and_recovers(
    polling: Page, desktop: Screen, shown: dict[str, Any]
) -> None:
    desktop.expect_complaint("503")
    shown["away"] = True
    expect(polling.locator("#connection")).to_be_visible()
    expect(polling.locator("#part")).to_have_class("is-stale")
    expect(polling.locator("[data-freshness]")).to_contain_text("last heard")
    desktop.no_axe_violations()
    shown["away"] = False
    polling.click("[data-poll-now]")
    expect(polling.locator("#connection")).to_be_hidden()
    expect(polling.locator("[data-freshness]")).to_contain_text("updated")
    assert polling.locator("#toasts .toast-card").count() == 0


def test_a_session_that_ended_leads_to_sign_in_and_back(polling: Page, desktop: Screen) -> None:
    desktop.expect_complaint("401")
    desktop.context.clear_cookies()
    polling.wait_for_url("**/sign-in/?next=/polled/")


def test_keys(polling: Page, shown: dict[str, Any]) -> None:
    polling.keyboard.press("/")
    assert polling.evaluate("document.activeElement.name") == "q"
    polling.keyboard.type("a/j")
    assert polling.input_value("[name=q]") == "a/j", "typing is typing"
    polling.keyboard.press("Escape")
    polling.keyboard.press("j")
    polling.keyboard.press("j")
    expect(polling.locator("#row-rhein")).to_have_class("is-current")
    polling.keyboard.press("k")
    expect(polling.locator("#row-north")).to_have_class("is-current")
    asked(polling, 304, 2)
    expect(polling.locator("#row-north")).to_have_class("is-current")
    polling.keyboard.press("a")
    expect(polling.locator("#toasts")).to_contain_text("Done so.")
    assert shown["verbs"] == 1
    polling.keyboard.press("Enter")
    polling.wait_for_url("**/design/?row=north")


def test_questions_are_asked_before_and_only_once(polling: Page, shown: dict[str, Any]) -> None:
    polling.click("#ask")
    expect(polling.locator("#confirm")).to_contain_text("Really do it?")
    polling.click("#confirm [data-bs-dismiss]")
    expect(polling.locator("#confirm")).to_be_hidden()
    assert "verbs" not in shown
    assert polling.evaluate("document.activeElement.id") == "ask"
    polling.click("#ask")
    polling.click("[data-confirm-go]")
    expect(polling.locator("#toasts")).to_contain_text("Done so.")
    assert shown["verbs"] == 1


def test_a_verb_that_fails_says_so(polling: Page, desktop: Screen) -> None:
    desktop.expect_complaint("500")
    with polling.expect_response("**/broken/"):  # however slow the machine is
        polling.click("#break")
    expect(polling.locator(".toast-card.s-late")).to_contain_text("Nothing was changed")
    polling.click("[data-toast-close]")
    expect(polling.locator(".toast-card")).to_have_count(0)


def test_the_theme_follows_the_system_and_the_choice_is_kept(
    screens: Callable[..., Screen], shown: dict[str, Any]
) -> None:
    screen = screens("desktop", color_scheme="dark")
    screen.sign_in("operations")
    page = screen.open("/design/")
    page.wait_for_selector("[data-plot=feed] .main-svg")

    def theme() -> str:
        return str(page.evaluate("document.documentElement.dataset.bsTheme"))

    def plotted() -> str:
        return str(page.evaluate("document.querySelector('[data-plot=feed] .js-line')?.style.stroke"))

    assert theme() == "dark"
    dark = plotted()
    page.click(".top [data-theme-toggle]")
    assert theme() == "light"
    page.wait_for_function(
        "(dark) => document.querySelector('[data-plot=feed] .js-line').style.stroke !== dark", arg=dark
    )
    page.reload()
    assert theme() == "light", "the choice is kept"
    page.click(".top [data-theme-toggle]")
    page.emulate_media(color_scheme="light")
    page.wait_for_function("() => document.documentElement.dataset.bsTheme === 'light'")  # it follows the system again


def test_the_browser_says_durations_like_the_server(desktop: Screen) -> None:
    page = desktop.open("/sign-in/")
    spans = [0, 1, 59, 60, 61, 3599, 3600, 3660, 10799, 10800, 172799, 172800, 9e6, -42]
    assert page.evaluate("(all) => all.map(window.tower.duration)", spans) == [
        duration(timedelta(seconds=s)) for s in spans
    ]
