"""From nothing to the first valid message, as a new user does it: on the desk and on the phone, with a command that really
signs and sends to the live server's door."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from apps.collectors.directory import DIRECTORY
from apps.collectors.models import Receipt
from apps.collectors.processing import process
from apps.core.heartbeats import beat
from apps.integrations.models import Integration, Mapping
from tests.browser.conftest import Screen
from tests.dashboard.network import definitions

pytestmark = pytest.mark.django_db(transaction=True)
TOOLS = ("bash", "curl", "openssl", "base64", "od")
MAPPING = """\
events:
  - type: {path: $.what, values: {new: order.placed}}
    happened_at: $.when
    references:
      - {kind: sales_order, path: $.number}
"""
THEIR_BODY = '{"what": "new", "when": "2026-03-04T10:15:00+01:00", "number": "S04711"}'


@pytest.fixture(autouse=True)
def tower(settings: Any, live_server: Any) -> None:
    for tool in TOOLS:
        if shutil.which(tool) is None:
            pytest.skip(f"the command line that is tried needs {tool}")
    settings.BASE_URL = live_server.url
    DIRECTORY.forget()
    beat("sweep", timezone.now())
    definitions()


def run(command: str) -> str:
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "dark")])
def test_from_nothing_to_live(screens: Callable[..., Screen], shape: str, theme: str) -> None:
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("operations")
    page = screen.open("/integrations/")
    page.get_by_role("link", name="Add the first integration").click()
    screen.no_axe_violations()
    screen.picture("start-1-kind")
    page.get_by_role("link", name=re.compile(r"^Webhook \(JSON\)")).click()
    page.get_by_label("Name", exact=True).fill("Acme shop")
    page.get_by_label("or a new partner").fill("Acme")
    page.get_by_role("button", name="Add and go on").click()
    page.wait_for_url("**/integrations/acme-shop/start/")
    page.get_by_role("button", name="Issue a secret").click()
    expect(page.locator("#new-secret")).to_have_text(re.compile("^whsec_"))
    expect(page.locator("#step-message")).to_contain_text("Waiting for the first message …")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("start-2-waiting")
    command = page.locator("#example-text").inner_text()
    wrong = command.replace("SECRET='whsec_", "SECRET='whsec_AAAA")
    assert '"door.not_open"' in run(wrong)
    assert not Receipt.objects.exists()
    theirs = re.sub(r"BODY='[^']*'", f"BODY='{THEIR_BODY}'", command)
    assert '"accepted"' in run(theirs)
    expect(page.locator("#step-message")).to_contain_text("message")
    process(timezone.now())
    expect(page.locator("#step-mapping")).to_contain_text("Map this message")
    assert page.locator("#new-secret").is_visible(), "the secret stays while the page is watched"
    screen.picture("start-3-message")
    page.get_by_role("link", name="Map this message").click()
    expect(page.locator("#mapping-text")).to_have_value(re.compile("A first draft"))
    page.locator("#mapping-text").fill(MAPPING)
    expect(page.locator("#events .event-card")).to_have_count(1)
    page.get_by_role("button", name="Save version 1", exact=True).click()
    page.get_by_role("button", name="Save version 1 with these changes").click()
    expect(page.locator("#version-1")).to_contain_text("in use")
    assert Mapping.objects.get().author_name == "Operations Person"
    screen.open("/integrations/acme-shop/start/")
    page.get_by_role("button", name="Replay it").click()
    expect(page.locator("#run")).to_contain_text("Opens S04711")
    page.get_by_role("button", name="Replay 1 now").click()
    expect(page.locator("#run")).to_contain_text("“placed” reached")
    screen.open("/integrations/acme-shop/start/")
    expect(page.locator("#step-flow")).to_contain_text("S04711")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("start-4-flow")
    page.get_by_role("button", name="Set it live").click()
    expect(page.locator(".toasts")).to_contain_text("is live")
    assert Integration.objects.get().lifecycle == "live"
    screen.picture("start-5-live")


def test_a_wrong_signature_is_said_while_one_waits(desktop: Screen) -> None:
    desktop.sign_in("operations")
    page = desktop.open("/integrations/add/webhook/")
    page.get_by_label("Name", exact=True).fill("Acme shop")
    page.get_by_role("button", name="Add and go on").click()
    page.get_by_role("button", name="Issue a secret").click()
    command = page.locator("#example-text").inner_text()
    run(command.replace("webhook-signature: v1,", "webhook-signature: v1,AAAA"))
    expect(page.locator("#step-message")).to_contain_text("turned away", timeout=20_000)
    desktop.picture("start-refused")
    assert '"accepted"' in run(command)
    expect(page.locator("#step-message")).to_contain_text("Received")
