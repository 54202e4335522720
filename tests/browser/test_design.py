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
        page.wait_for_selector("#more.show:not(.showing)")
        screen.picture("more", full=False)
        page.click("#more form button")
    else:
        page.click(".top .dropdown > button")
        page.click(".dropdown-menu form button")
    page.wait_for_url("**/sign-in/")
