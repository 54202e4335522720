"""Incidents worked in a real browser: with one thumb on the phone, with keys on the desk, by the link of a message."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from apps.accounts.models import Role
from apps.flows.models import FlowDefinition
from apps.incidents import workflow
from apps.incidents.links import sign
from apps.incidents.models import Incident
from apps.incidents.workflow import raise_findings
from tests.browser.conftest import Screen
from tests.incidents.builders import draft, flow, partner, person

pytestmark = pytest.mark.django_db(transaction=True)

SERIES = {
    "hours": ["06", "07", "08", "09"],
    "seen": [41, 44, 39, 3],
    "expected": [42, 42, 42, 42],
    "lower": [33, 33, 33, 33],
    "upper": [51, 51, 51, 51],
}


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def carrier_silent(now: datetime) -> Incident:
    """A silent feed that makes three orders late next."""
    spec = {
        "identified_by": ["tracking_number"],
        "milestones": [{"name": "scan", "label": "First scan", "reached_by": ["scan"]}],
    }
    FlowDefinition.objects.create(slug="parcel", name="Parcel", spec=spec)
    carrier = partner()
    common = {"incident_title": "Carrier X: no scans since 07:20", "severity": "critical", "partner_id": carrier.pk}
    orders = [flow(f"SO-{n}", value=Decimal(1240), currency="EUR", partner=carrier, awaiting="scan") for n in range(3)]
    said = "Expected 42 ± 9 scans between 09:00 and 10:00, saw 3."
    drafts = [draft("feed", kind="feed.silent", evidence=SERIES, sentence=said, **common)]
    drafts += [
        draft(
            one.label, flow_id=one.pk, due_at=now + timedelta(minutes=42), sentence=f"No scan of {one.label}.", **common
        )
        for one in orders
    ]
    raise_findings(drafts, now - timedelta(minutes=20))
    return Incident.objects.get()


def test_at_night_with_one_thumb(phone: Screen, carrier_silent: Incident) -> None:
    phone.sign_in("on_call")
    page = phone.open("/incidents/")
    card = page.locator(f"#incident-{carrier_silent.pk}")
    for words in (
        "in 41 min",
        "Carrier X: no scans since 07:20",
        "3 flows",
        "3,720 EUR",
        "Critical",
        "not acknowledged",
    ):
        expect(card).to_contain_text(words)
    phone.no_axe_violations()
    phone.no_sideways_scroll()
    button = card.get_by_role("button", name="Acknowledge")
    box = button.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    phone.picture("inbox")
    button.tap()
    expect(card).to_contain_text("On Call Person has it")
    expect(page.locator("#toasts")).to_contain_text("Acknowledged: you have it.")
    expect(button).to_have_count(0)
    card.get_by_role("link", name="Carrier X").tap()
    page.wait_for_url(f"**/incidents/{carrier_silent.pk}/")
    page.wait_for_selector("[data-plot=evidence] .main-svg")
    phone.no_axe_violations()
    phone.no_sideways_scroll()
    phone.picture("incident")
    page.locator(".incident-thumb").get_by_role("link", name="Resolve").tap()
    page.select_option("#resolution", "partner")  # the link opened the form
    page.fill("#resolve-text", "They restarted their gateway.")
    page.locator(".verb-form").get_by_role("button", name="Resolve").tap()
    expect(page.locator("#countdown + div")).to_contain_text("resolved")
    expect(page.locator(".incident-log")).to_contain_text("They restarted their gateway.")
    phone.no_axe_violations()


def test_the_thumb_bar_is_at_hand_and_acknowledges(phone: Screen, carrier_silent: Incident) -> None:
    phone.sign_in("on_call")
    page = phone.open(f"/incidents/{carrier_silent.pk}/")
    button = page.locator(".incident-thumb").get_by_role("button", name="Acknowledge")
    box = button.bounding_box()
    assert box is not None
    assert box["y"] > 600, "within reach of the thumb"
    assert box["y"] + box["height"] <= 844 - 59, "above the navigation"
    button.tap()
    expect(page.locator(".incident-who")).to_contain_text("On Call Person has it")
    expect(button).to_have_count(0)


def test_on_the_desk_everything_of_one_incident(desktop: Screen, carrier_silent: Incident) -> None:
    desktop.sign_in("operations")
    page = desktop.open("/incidents/")
    desktop.no_axe_violations()
    desktop.no_sideways_scroll()
    desktop.picture("inbox")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/incidents/{carrier_silent.pk}/")
    page.wait_for_selector("[data-plot=evidence] .main-svg")
    desktop.no_axe_violations()
    desktop.no_sideways_scroll()
    desktop.picture("incident")
    page.get_by_role("button", name="30 min").click()
    expect(page.locator(".incident-who")).to_contain_text("back at")
    page.fill("#comment-text", "Gateway is down")
    page.get_by_role("button", name="Comment").click()
    expect(page.locator(".incident-log")).to_contain_text("Gateway is down")
    expect(page.locator("#comment-text")).to_have_value("")
    page.locator("summary", has_text="Assign").click()
    desktop.no_axe_violations()
    page.select_option("#assign-to", label="Operations Person (me)")
    page.get_by_role("button", name="Assign", exact=True).click()
    expect(page.locator(".incident-who")).to_contain_text("for Operations Person")
    expect(page.locator("#assign-to")).to_be_hidden()


def test_half_a_comment_survives_what_others_do(desktop: Screen, carrier_silent: Incident, now: datetime) -> None:
    desktop.sign_in("operations")
    page = desktop.open(f"/incidents/{carrier_silent.pk}/")
    page.fill("#comment-text", "half a sent")
    workflow.acknowledge(carrier_silent.pk, person("mara", role=Role.ON_CALL), now)
    expect(page.locator(".incident-who")).to_contain_text("Mara has it", timeout=20_000)
    expect(page.locator("#comment-text")).to_have_value("half a sent")
    assert page.evaluate("document.activeElement.id") == "comment-text"


def test_who_is_second_reads_who_was_first(desktop: Screen, carrier_silent: Incident, now: datetime) -> None:
    desktop.expect_complaint("422")
    desktop.sign_in("on_call")
    for path, place in (("/incidents/", "#toasts"), (f"/incidents/{carrier_silent.pk}/", "#refusal")):
        page = desktop.open(path)
        mara = person(f"mara{len(path)}", first_name="Mara", role=Role.ON_CALL)
        workflow.acknowledge(carrier_silent.pk, mara, timezone.now())
        page.get_by_role("button", name="Acknowledge", exact=False).first.click()
        expect(page.locator(place)).to_contain_text("Mara already acknowledged this incident")
        expect(page.locator("main")).to_contain_text("Mara has it")
        workflow.unacknowledge(carrier_silent.pk, mara, timezone.now())


def test_the_link_of_a_message(phone: Screen, carrier_silent: Incident, now: datetime) -> None:
    mara = person("mara", role=Role.ON_CALL)
    page = phone.open(f"/incidents/acknowledge/{sign(carrier_silent.pk, mara.pk, now)}/")
    phone.no_axe_violations()
    phone.no_sideways_scroll()
    phone.picture("link")
    page.get_by_role("button", name="Acknowledge").first.tap()
    expect(page.locator("main")).to_contain_text("You have it since")
    phone.no_axe_violations()
    assert Incident.objects.get().acknowledged_by == mara


def test_nothing_is_wrong(phone: Screen) -> None:
    phone.sign_in("on_call")
    page = phone.open("/incidents/")
    expect(page.locator("#inbox")).to_contain_text("Nothing is wrong")
    phone.no_axe_violations()
    phone.no_sideways_scroll()
