"""The desk in a real browser: bulk verbs, keys, merge and undo, reviews, figures, runbooks, wall, and the app."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import get_resolver
from django.utils import timezone
from playwright.sync_api import expect

from apps.accounts.models import Role, User
from apps.core.heartbeats import beat
from apps.flows.models import FlowDefinition
from apps.incidents import reviewing, workflow
from apps.incidents.models import Incident, Runbook
from apps.incidents.workflow import raise_findings
from apps.integrations.models import ChangeMarker
from apps.oncall import changing
from apps.oncall.links import sign
from apps.sla.models import Expectation, SlaRule
from tests.browser.conftest import Screen
from tests.incidents.builders import draft, flow, integration, partner, person, team, uid
from tests.oncall.builders import rotation_of

pytestmark = pytest.mark.django_db(transaction=True)

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def desk(now: datetime) -> Incident:
    """One incident with everything, some beside it, and some that are over. Returns the first."""
    assert get_resolver().url_patterns, "imported here, so that no page waits for it"
    beat("sweep", now)
    beat("dispatch", now)
    spec = {
        "identified_by": ["tracking_number"],
        "milestones": [{"name": "scan", "label": "First scan", "reached_by": ["scan"]}],
    }
    parcels = FlowDefinition.objects.create(slug="parcel", name="Parcel", spec=spec)
    carrier, feed, night = partner(), integration(name="Northwind scans"), team()
    feed.partner = carrier
    feed.save()
    rule = SlaRule.objects.create(
        slug="scan", name="Scan", flow_slug="parcel", milestone="scan", target=Decimal(98), spec={}
    )
    facts = {"partner_id": carrier.pk, "integration_id": feed.pk, "team_id": night.pk, "kind": "sla.breach"}
    drafts = [
        draft(
            n,
            "carrier",
            incident_title="Late: First scan from Northwind Parcels",
            sentence=f"First scan of 1Z{n:06d} has not come. Due 18:00: 4 h after pick-up.",
            flow_id=flow(f"1Z{n:06d}", value=Decimal(120), currency="EUR", partner=carrier, awaiting="scan").pk,
            due_at=now - 30 * MINUTE,
            severity="high",
            **facts,
        )
        for n in range(12)
    ]
    found = raise_findings(drafts, now - 25 * MINUTE)
    late = {one.flow_id: one for one in found}
    common = {
        "definition": parcels,
        "partner": carrier,
        "milestone": "scan",
        "rule": rule,
        "source": feed,
        "origin": {},
    }
    for pk, finding in late.items():
        Expectation.objects.create(flow_id=pk, due_at=now - 30 * MINUTE, state="BREACHED", finding=finding, **common)
    for n in range(30):
        coming = flow(f"1Z9{n:05d}", value=Decimal(80), currency="EUR", partner=carrier, awaiting="scan")
        Expectation.objects.create(flow=coming, due_at=now + (n % 7) * HOUR + 20 * MINUTE, state="PENDING", **common)
    first = Incident.objects.get()
    workflow.look_ahead({uid("cause", "carrier"): now + 20 * MINUTE}, now)
    ChangeMarker.objects.create(
        at=now - 2 * HOUR, integration=feed, kind="deploy", text="Label service 4.2 rolled out", actor_name="Mara"
    )
    Runbook.objects.create(
        slug="scans", title="Missing scans", kind="sla.breach", author_name="Mara",
        text="# First\n1. Look at the **carrier's** status page\n2. Ask for `IFTSTA` again\n\nElse call the [desk](https://example.org/).",
    )  # fmt: skip
    for cause, severity in (("customs", "critical"), ("shop", "normal"), ("stock", "low")):
        raise_findings([draft(cause, cause, severity=severity, partner_id=carrier.pk, due_at=now + HOUR)], now - HOUR)
    mara = person("mara", role=Role.ON_CALL, last_name="Lind")
    for cause in ("old", "older"):
        raise_findings([draft(cause, cause, severity="critical", partner_id=carrier.pk)], now - 40 * HOUR)
        over = Incident.objects.get(fingerprint=uid("cause", cause))
        workflow.acknowledge(over.pk, mara, now - 39 * HOUR)
        workflow.resolve(over.pk, mara, now - 30 * HOUR, "partner", "They restarted their SFTP")
    workflow.label(first.pk, mara, now, add=["peak", "carrier"])
    return first


SHAPES = [("desktop", "light"), ("phone", "dark")]


@pytest.mark.parametrize(("shape", "theme"), SHAPES)
def test_every_page_of_the_desk(
    screens: Callable[..., Screen], desk: Incident, now: datetime, shape: str, theme: str
) -> None:
    over = Incident.objects.get(fingerprint=uid("cause", "old"))
    mara = User.objects.get(username="mara")
    review = reviewing.write(
        over.pk, mara, now, {"summary": "Their disk was full.", "causes": "Nobody watched it."}, done=False
    )
    reviewing.add_action(review, "Watch the folder's size", mara, (now - 2 * 24 * HOUR).date())
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("admin")
    paths = ["/incidents/", f"/incidents/{desk.pk}/", f"/incidents/{desk.pk}/ask/", "/incidents/metrics/", "/changes/"]
    paths += [
        "/incidents/reviews/",
        f"/incidents/{over.pk}/review/",
        "/incidents/runbooks/",
        "/incidents/runbooks/scans/",
    ]
    paths += [f"/incidents/{over.pk}/", "/incidents/wall/"]
    for path in paths:
        page = screen.open(path)
        assert page.locator("h1").count() == 1, path
        screen.no_axe_violations()
        screen.no_sideways_scroll()
        assert screen.unexpected() == [], path
        screen.picture(re.sub(r"\W+", "-", path.replace(str(desk.pk), "one").replace(str(over.pk), "over")).strip("-"))


def test_many_at_once_and_by_keys(desktop: Screen, desk: Incident) -> None:
    desktop.sign_in("on_call")
    page = desktop.open("/incidents/")
    expect(page.locator("#bulk")).to_be_hidden()
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#bulk")).to_contain_text("2 ticked")
    desktop.no_axe_violations()
    desktop.picture("bulk", full=False)
    page.locator("#bulk").get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#toasts")).to_contain_text("2 acknowledged")
    page.keyboard.press("?")
    dialog = page.locator("#keys-help")
    expect(dialog).to_contain_text("Next row")
    expect(dialog).to_contain_text("Snooze")
    desktop.no_axe_violations()
    desktop.picture("keys", full=False)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.keyboard.press("j")
    page.keyboard.press("s")
    expect(page.locator("#toasts")).to_contain_text("Snoozed until")
    page.keyboard.press("r")
    page.wait_for_url("**#open-resolve")
    expect(page.locator("#resolution")).to_be_visible()


def test_escalate_and_relate_by_key(desktop: Screen, desk: Incident) -> None:
    desktop.sign_in("on_call")
    shop = Incident.objects.get(fingerprint=uid("cause", "shop"))
    page = desktop.open(f"/incidents/{desk.pk}/")
    page.keyboard.press("?")
    expect(page.locator("#keys-help")).to_contain_text("Escalate now")
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    page.get_by_label("Why", exact=True).first.fill("I am on a train")
    page.get_by_role("button", name="Call the next ones now").click()
    expect(page.locator("#toasts")).to_contain_text("Escalated to")
    expect(page.locator(".incident-log")).to_contain_text("I am on a train")
    page.locator("summary", has_text="Relate another").click()
    page.get_by_label("Its number").fill(f"#{shop.pk}")
    page.get_by_label("What they have to do with each other").fill("the same dock")
    page.get_by_role("button", name="Relate", exact=True).click()
    expect(page.locator(f"#linked-{shop.pk}")).to_contain_text("the same dock")
    desktop.no_axe_violations()
    desktop.picture("related")
    page.get_by_role("button", name="Not related").click()
    page.get_by_role("button", name="Take it away").click()
    expect(page.locator(f"#linked-{shop.pk}")).to_have_count(0)
    assert desktop.unexpected() == []


def test_a_swap_is_answered_by_thumb_without_signing_in(phone: Screen, now: datetime) -> None:
    mara, jon = (person(name, role=Role.ON_CALL, time_zone="Europe/Berlin") for name in ("mara", "jon"))
    crew = rotation_of(team("crew"), "Nights", now, 24 * HOUR, [mara, jon])
    swap = changing.ask_swap(crew, mara, jon, now + HOUR, now + 3 * HOUR, now, reason="My daughter's concert")
    page = phone.open(f"/on-call/swap/{sign(swap.pk, jon.pk, now)}/")
    phone.no_axe_violations()
    phone.no_sideways_scroll()
    phone.picture("swap")
    page.get_by_role("button", name="Agree").tap()
    expect(page.locator("main")).to_contain_text("You agreed")
    phone.picture("swap-agreed")
    swap.refresh_from_db()
    assert swap.state == "agreed"
    assert phone.unexpected() == []


def test_merge_and_undo_on_the_phone(phone: Screen, desk: Incident) -> None:
    phone.sign_in("on_call")
    shop = Incident.objects.get(fingerprint=uid("cause", "shop"))
    page = phone.open(f"/incidents/{shop.pk}/")
    page.locator("summary", has_text="Merge").tap()
    page.get_by_label("This one goes into").select_option(str(desk.pk))
    page.get_by_role("button", name="Merge", exact=True).tap()
    expect(page.locator("#merged-note")).to_contain_text("Merged into")
    page.get_by_role("button", name="Undo the merge").tap()
    expect(page.locator("main")).to_contain_text("On Call Person has it")
    shop.refresh_from_db()
    assert (shop.state, shop.merged_into, shop.open_findings) == ("acknowledged", None, 1)


def test_a_name_is_completed_and_a_file_goes_with_it(desktop: Screen, desk: Incident) -> None:
    desktop.sign_in("on_call")
    page = desktop.open(f"/incidents/{desk.pk}/")
    page.locator("#comment-text").press_sequentially("Ask @mar")
    expect(page.locator(".mention-list")).to_contain_text("@mara")
    page.keyboard.press("Tab")
    expect(page.locator("#comment-text")).to_have_value("Ask @mara ")
    page.set_input_files(
        "#comment-file", {"name": "trace.log", "mimeType": "text/html", "buffer": b"<script>alert(1)</script>"}
    )
    page.get_by_role("button", name="Comment").click()
    link = page.locator(".files a")
    expect(link).to_contain_text("trace.log")
    answer = page.request.get(desktop.address + str(link.get_attribute("href")))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert desk.timeline.get(kind="mentioned").notify


def test_the_app_installs_and_says_when_it_is_cut_off(phone: Screen, desk: Incident) -> None:
    phone.sign_in("on_call")
    page = phone.open("/incidents/")
    manifest = page.request.get(phone.address + "/manifest.webmanifest")
    told = json.loads(manifest.text())
    assert (told["start_url"], told["display"]) == ("/incidents/", "standalone")
    for icon in told["icons"]:
        assert page.request.get(phone.address + icon["src"]).ok
    page.wait_for_function("navigator.serviceWorker.ready.then(one => !!one.active && one.scope.endsWith('/'))")
    page.wait_for_function("caches.open('tower-offline-1').then(one => one.match('/offline/')).then(Boolean)")
    expect(page.locator("[data-sound]")).to_have_attribute("aria-pressed", "false")
    assert page.title().startswith("(")
    phone.expect_complaint("ERR_INTERNET_DISCONNECTED")
    phone.context.set_offline(True)
    expect(page.locator("#connection")).to_be_visible()
    page.goto(phone.address + "/incidents/?tab=mine")
    expect(page.locator("h1")).to_have_text("The tower cannot be reached")
    phone.context.set_offline(False)
    page.get_by_role("link", name="Try again").tap()
    expect(page.locator("h1")).to_have_text("Incidents")
