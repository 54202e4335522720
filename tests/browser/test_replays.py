"""Dead letters in a real browser: one with its place marked, and a replay of many with its progress and a second person."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from apps.collectors import replay_runs
from apps.collectors.models import DeadLetter
from apps.core.heartbeats import beat
from apps.integrations.models import Mapping
from tests.browser.conftest import Screen
from tests.dashboard.network import definitions, integration, partner, told

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def letters() -> None:
    """Thirty messages with a code nobody mapped, ten of a broken sender."""
    now = timezone.now()
    beat("sweep", now)
    definitions()
    source = integration("Acme shop", partner=partner("Acme"))
    reads = {"type": {"path": "$.what", "values": {"new": "order.placed"}}, "happened_at": "$.when", "id": "$.id"}
    spec = {"events": [{**reads, "references": [{"kind": "sales_order", "path": "$.order.number"}]}]}
    source.mapping = Mapping.objects.create(slug="acme", spec=spec)
    source.save()
    told(source, [{"id": n, "what": "placed", "when": "2026-03-04T10:15:00Z", "order": {"number": f"SO-{n}"}} for n in range(30)], now)  # fmt: skip
    told(source, [b'{\n  "id": "7",\n  "what": "new",\n  "when" "2026-03-04T10:15:00Z"\n}'] * 10, now)
    spec["events"][0]["type"] = {"path": "$.what", "values": {"new": "order.placed", "placed": "order.placed"}}
    source.mapping = Mapping.objects.create(slug="acme", version=2, spec=spec)
    source.save()


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "dark")])
def test_mend_and_replay(
    screens: Callable[..., Screen], letters: None, shape: str, theme: str, settings: object
) -> None:
    settings.REPLAY_APPROVAL_ABOVE = 20  # type: ignore[attr-defined]
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("operations")
    page = screen.open("/dead-letters/")
    screen.picture("letters")
    page.get_by_role("link", name="mapping.unknown_code").click()
    page.locator("[id^=letter-] a").first.click()
    expect(page.locator("main")).to_contain_text("Who can mend it")
    page.wait_for_load_state("networkidle")  # its styles as well
    expect(page.locator(".bytes mark")).to_have_text('"placed"')
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("letter-mapping")
    page.get_by_role("button", name="Try and replay all 30 like it").click()
    expect(page.locator("#run")).to_contain_text("Trying: 0 of 30")
    screen.picture("replay-trying")
    while replay_runs.advance(timezone.now()):
        pass
    expect(page.locator("#run")).to_contain_text("30 of 30 would tell something new")
    page.wait_for_load_state("networkidle")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("replay-tried")
    page.get_by_label("Why, in a few words").fill("They renamed new to placed")
    page.get_by_role("button", name="Ask a second person").click()
    expect(page.locator("#run")).to_contain_text("Somebody other than you must agree")
    address = page.url
    other = screens(shape, color_scheme=theme)
    other.sign_in("on_call")
    second = other.open(address.removeprefix(other.address))
    other.no_axe_violations()
    other.picture("replay-asked")
    second.get_by_role("button", name="Agree and replay").click()
    second.locator("[data-confirm-go]").click()
    expect(second.locator("#run")).to_contain_text("Replaying: 0 of 30")
    while replay_runs.advance(timezone.now()):
        pass
    expect(second.locator("#run")).to_contain_text("30 new events, 30 × “placed” reached")
    other.no_axe_violations()
    other.no_sideways_scroll()
    other.picture("replay-done")
    assert DeadLetter.objects.filter(state="open").count() == 10
    screen.open(f"/dead-letters/{DeadLetter.objects.filter(state='open').latest('pk').pk}/")
    expect(page.locator(".ln.is-here")).to_have_text("4")
    screen.no_axe_violations()
    screen.picture("letter-partner")
    other.open("/replays/")
    other.no_axe_violations()
    other.picture("replays")
