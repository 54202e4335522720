"""Every staff page in a real browser, on the desk and on the phone: no violation, no complaint; and the verbs that matter."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from apps.collectors.models import DeadLetter, Receipt
from apps.core.heartbeats import beat
from apps.flows.models import Flow
from apps.integrations.models import Credential, Integration
from tests.browser.conftest import Screen
from tests.dashboard.network import definitions, fill

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def network() -> None:
    now = timezone.now()
    beat("sweep", now)
    definitions()
    fill(3, now)


PAGES = (
    "/",
    "/flows/",
    "/flows/?state=late",
    "/flows/{flow}/",
    "/search/?q=SO",
    "/report/",
    "/report/promises/?outcome=missed",
    "/report/behind/?show=continuity",
    "/integrations/",
    "/integrations/source-0/",
    "/integrations/source-0/edit/",
    "/integrations/add/",
    "/integrations/add/webhook/",
    "/integrations/add/odoo/",
    "/dead-letters/",
    "/dead-letters/?integration=source-0&code=json.syntax",
    "/dead-letters/?state=dismissed",
    "/dead-letters/orphans/",
    "/dead-letters/conflicts/",
    "/receipts/{receipt}/",
    "/dead-letters/{letter}/",
    "/integrations/source-0/mapping/",
    "/replays/",
    "/rules/",
    "/calendars/",
    "/calendars/add/",
    "/contract-terms/add/",
    "/objectives/add/",
    "/waivers/",
    "/rules/add/?flow=order-to-ship",
)


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "light"), ("desktop", "dark")])
def test_every_page(screens: Callable[..., Screen], network: None, shape: str, theme: str) -> None:
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("admin")
    places = {"flow": Flow.objects.earliest("pk").pk, "receipt": Receipt.objects.earliest("pk").pk}
    places["letter"] = DeadLetter.objects.earliest("pk").pk
    for path in PAGES:
        page = screen.open(path.format(**places))
        assert page.locator("h1").count() == 1, path
        screen.no_axe_violations()
        screen.no_sideways_scroll()
        assert screen.unexpected() == [], path
        screen.picture(re.sub(r"\W+", "-", path).strip("-") or "board")


def test_wall(wall: Screen, network: None) -> None:
    wall.sign_in("operations")
    wall.open("/wall/")
    wall.no_axe_violations()
    wall.no_sideways_scroll()


def test_empty_pages_say_what_to_do(desktop: Screen) -> None:
    beat("sweep", timezone.now())
    definitions()
    desktop.sign_in("operations")
    for path, said in (
        ("/", "Connect a source"),
        ("/integrations/", "Add the first integration"),
        ("/report/", "Nothing was due"),
        ("/dead-letters/", "No open dead letters"),
        ("/dead-letters/orphans/", "No event waits"),
        ("/dead-letters/conflicts/", "No conflicts"),
    ):
        page = desktop.open(path)
        expect(page.locator("main")).to_contain_text(said)
        desktop.no_axe_violations()


def test_the_plots_are_drawn(desktop: Screen, network: None) -> None:
    desktop.sign_in("manager")
    page = desktop.open("/report/")
    for name in ("day", "budget", "partners"):
        page.wait_for_selector(f"[data-plot=plot-{name}] .main-svg")
    page.emulate_media(media="print")
    assert page.locator(".report-line").is_visible()
    assert not page.locator(".filters").is_visible()


def test_from_nothing_to_a_secret(phone: Screen) -> None:
    """A fresh tower, on the phone: choose a kind, name it, issue its secret; the secret is there once."""
    beat("sweep", timezone.now())
    definitions()
    phone.sign_in("admin")
    page = phone.open("/integrations/")
    page.get_by_role("link", name="Add the first integration").click()
    page.get_by_role("link", name=re.compile("Webhook")).click()
    page.get_by_label("Name", exact=True).fill("Shop orders")
    page.get_by_role("button", name="Add and go on").click()
    page.wait_for_url("**/integrations/shop-orders/start/")
    page = phone.open("/integrations/shop-orders/")
    page.get_by_role("button", name="Issue a secret").click()
    expect(page.locator("#new-secret")).to_have_text(re.compile("^whsec_"))
    phone.no_axe_violations()
    page.reload()
    assert page.locator("#new-secret").count() == 0
    expect(page.locator("#credentials th.key")).to_have_text("…" + Credential.objects.get().hint)
    page.get_by_role("button", name="Revoke now").click()
    page.locator("[data-confirm-go]").click()
    expect(page.locator("#credentials td[data-label=State]")).to_contain_text("revoked")


def test_turning_off_asks_first(desktop: Screen, network: None) -> None:
    desktop.sign_in("operations")
    page = desktop.open("/integrations/source-0/")
    page.get_by_role("button", name="Turn off").click()
    page.get_by_role("button", name="Go back").click()
    assert Integration.objects.get(slug="source-0").enabled
    page.wait_for_selector("#confirm", state="hidden")
    page.get_by_role("button", name="Turn off").click()
    page.locator("[data-confirm-go]").click()
    expect(page.locator("main")).to_contain_text("Nothing is taken from it")


def test_dead_letters_tried_dismissed_and_taken_back(desktop: Screen, network: None) -> None:
    desktop.sign_in("operations")
    page = desktop.open("/dead-letters/")
    page.get_by_role("link", name="json.syntax").first.click()
    page.locator("[data-choose-all]").check()
    expect(page.locator("[data-choose-count]")).to_have_text("1")
    page.get_by_role("button", name="Dismiss 1").click()
    page.locator("[data-confirm-go]").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".toasts")).to_contain_text("1 dead letter open again")
    assert DeadLetter.objects.filter(state="open").count() == 3
