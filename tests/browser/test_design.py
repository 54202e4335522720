"""The design system in a real browser: policy, contrast, shapes, polling that does not jump, keys, theme."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.accounts.models import User
from tests.browser.conftest import Screen

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("shape", ["desktop", "phone", "wall"])
def test_the_design_page_on_every_screen(screens: Callable[..., Screen], shape: str, theme: str) -> None:
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("admin")
    page = screen.open("/design/")
    page.wait_for_selector("[data-plot=feed] .main-svg")
    assert page.evaluate("document.documentElement.dataset.bsTheme") == theme
    screen.no_sideways_scroll()
    screen.no_axe_violations()
    screen.picture("design")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("shape", ["desktop", "phone"])
def test_signing_in_and_out(screens: Callable[..., Screen], shape: str, theme: str) -> None:
    User.objects.create_user("mara", password="a-good-password", role="operations", first_name="Mara")
    screen = screens(shape, color_scheme=theme)
    page = screen.open("/design/?x=1")
    assert page.url.endswith("/sign-in/?next=/design/%3Fx%3D1")
    screen.no_axe_violations()
    screen.picture("sign-in")
    page.fill("[name=username]", "mara")
    page.fill("[name=password]", "wrong")
    page.click("button[type=submit]")
    assert "do not match" in page.inner_text("[role=alert]")
    screen.no_axe_violations()
    screen.picture("sign-in-wrong")
    page.fill("[name=username]", "mara")
    page.fill("[name=password]", "a-good-password")
    page.click("button[type=submit]")
    page.wait_for_url("**/design/?x=1")
    if shape == "phone":
        page.click(".bottom-nav button")
        page.wait_for_selector("#more-places.show:not(.showing)")
        screen.picture("more", full=False)
        page.click("#more-places form button")
    else:
        page.click(".top-right .dropdown > button")
        page.click(".dropdown-menu form button")
    page.wait_for_url("**/sign-in/")


def test_the_browser_really_refuses_what_the_policy_forbids(desktop: Screen) -> None:
    """The control of every other browser test: a violation is seen, and would fail the test if it were not expected."""
    page = desktop.open("/sign-in/")
    assert desktop.unexpected() == []
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\" id=\"red\">x</p>')")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('img'), {src: 'https://cdn.example/x.png'}))"
    )
    page.wait_for_timeout(300)
    told = "\n".join(desktop.unexpected())
    for rule in ("style-src-attr", "script-src-elem", "img-src"):
        assert f"policy violation: {rule}" in told, told
    assert page.evaluate("window.ran") is None
    desktop.expect_complaint("polic|Refused|violates|ERR_")


def test_the_browser_really_measures_accessibility(desktop: Screen) -> None:
    page = desktop.open("/sign-in/")
    page.evaluate("document.querySelector('label').remove()")
    with pytest.raises(AssertionError, match="label"):
        desktop.no_axe_violations()


@pytest.mark.parametrize("status", [404, 403])
def test_errors_are_designed(screens: Callable[..., Screen], status: int) -> None:
    screen = screens("phone", color_scheme="dark")
    screen.expect_complaint(str(status))
    screen.sign_in("operations")
    page = screen.open("/admin/" if status == 403 else "/nowhere/")
    assert page.locator("h1").count() == 1
    assert str(status) in page.inner_text("main")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture(f"error-{status}")


def test_everything_can_be_pressed_with_a_thumb(phone: Screen) -> None:
    """44 px on phones, except links inside text and tables' own numbers (their rows are 44 px high)."""
    phone.sign_in("admin")
    page = phone.open("/design/")
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, .btn, .chip, .bottom-nav > *, summary')]
        .filter((one) => one.offsetParent !== null && !one.closest('.btn-sm, .js-plotly-plot') && one.type !== 'hidden')
        .map((one) => [one.outerHTML.slice(0, 80), Math.round(one.getBoundingClientRect().height)])
        .filter(([, height]) => height < 44)"""
    )
    assert not small


def test_printing_keeps_the_content_only(desktop: Screen) -> None:
    desktop.sign_in("manager")
    page = desktop.open("/design/")
    page.emulate_media(media="print")
    assert not page.locator(".top").is_visible()
    assert page.locator("h1").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
