"""One story, seen by everybody it concerns: an ASN that does not come becomes at risk, then late; one incident is raised,
a person on call takes it on a phone; the ASN comes and the incident closes by itself; the month's report and the
partner's own page tell it. Messages come through the doors of the live server; only the sweep is told the time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from django.conf import settings
from django.core import mail
from django.core.management import call_command
from django.utils import timezone
from playwright.sync_api import Page, expect

from apps.accounts.models import User
from apps.collectors.processing import process
from apps.incidents.models import Finding, Incident
from apps.integrations.credentials import issue
from apps.integrations.models import Integration, Partner, PartnerAccess
from apps.notifications import dispatch
from apps.sla import sweep
from apps.sla.models import Expectation
from tests.browser.conftest import Screen

pytestmark = pytest.mark.django_db(transaction=True)

CATALOGUE = settings.BASE_DIR / "apps" / "flows" / "definition_files" / "inbound.yaml"
REGISTER = """
partners:
  - {slug: nordwind, name: Nordwind Mills, kind: supplier, time_zone: UTC}
integrations:
  - {slug: nordwind-edi, name: Nordwind EDI, kind: edi, partner: nordwind}
  - {slug: bus, name: Our own bus, kind: webhook, settings: {scheme: bearer}}
"""
SECRET = "the-secret-of-the-story"
ORDER, ADVICE = "P-20714", "ASN-70431"
HOUR = timedelta(hours=1)
LATE_BY = timedelta(minutes=20)
#: EDI tells whole minutes, and the story takes some seconds
LATE = re.compile(r"\b(19|20|21) min")


class Story:
    """The network of the story and its clock: the ASN of one order was due twenty minutes ago."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self.now = timezone.now()
        self.due = self.now.replace(microsecond=0) - LATE_BY
        register = folder / "register.yaml"
        register.write_text(REGISTER)
        call_command("load_config", str(CATALOGUE), str(register), verbosity=0)
        for integration in Integration.objects.all():
            issue(integration, self.now, None, secret=SECRET)
        self.partner = User.objects.create_user("nordwind", email="edi@nordwind.example", role="partner")
        PartnerAccess.objects.create(partner=Partner.objects.get(slug="nordwind"), user=self.partner)

    def send(self, slug: str, body: bytes, content_type: str) -> None:
        """Through the door, as the sender would; then the worker's turn."""
        door = f"{self.address}/in/{Integration.objects.get(slug=slug).endpoint_id}/"
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": content_type}
        with urlopen(Request(door, body, headers), timeout=20) as answer:
            assert answer.status == 202
        done = process(timezone.now())
        assert (done.events > 0, done.issues) == (True, 0)

    def order_is_sent(self) -> None:
        """To be received six hours after the ASN is due; the supplier acknowledges it."""
        sent = self.now - timedelta(hours=20)
        common = {
            "references": [{"kind": "purchase_order", "value": ORDER}],
            "parties": {"supplier": "nordwind"},
        }
        expected = (self.due + 6 * HOUR).isoformat()
        events = [
            {"type": "purchase_order.sent", "happened_at": sent.isoformat(), "dates": {"expected_receipt": expected}},
            {"type": "purchase_order.acknowledged", "happened_at": (sent + HOUR).isoformat()},
        ]
        self.send("bus", json.dumps([{**one, **common} for one in events]).encode(), "application/json")

    def advice_comes(self) -> None:
        at = timezone.now().astimezone(UTC)
        day, time = f"{at:%Y%m%d}", f"{at:%H%M}"
        segments = [
            f"ISA*00*          *00*          *ZZ*NORDWIND       *ZZ*HARBOURSIDE    *{day[2:]}*{time}*U*00401*000000101*0*P*>",
            f"GS*SH*NORDWIND*HARBOURSIDE*{day}*{time}*57*X*004010",
            "ST*856*0001",
            f"BSN*00*{ADVICE}*{day}*{time}*0001",
            "HL*1**S",
            f"DTM*017*{(self.due + 6 * HOUR):%Y%m%d*%H%M}",
            "HL*2*1*O",
            f"PRF*{ORDER}",
            "SE*7*0001",
            "GE*1*57",
            "IEA*1*000000101",
        ]
        self.send("nordwind-edi", ("~\n".join(segments) + "~\n").encode(), "application/edi-x12")


def asn_cell(page: Page, state: str) -> None:
    """On the board the supplier's ASN stands in this state, and is the only one."""
    cell = page.locator("#row-purchase-nordwind td[data-label=ASN]")
    expect(cell.locator(f".s-{state} [data-n]")).to_have_text("1")
    expect(cell.locator("[data-n]")).to_have_count(1)


def swept(at: datetime) -> sweep.SweepSummary:
    summary = sweep.run(at)
    dispatch.run(timezone.now())
    return summary


def test_an_asn_that_does_not_come(screens: Callable[..., Screen], tmp_path: Path) -> None:
    desk, phone, theirs = screens("desktop"), screens("phone"), screens("desktop")
    story = Story(desk.address, tmp_path)
    desk.sign_in("operations")
    theirs.sign_in(story.partner)
    on_call = phone.sign_in("on_call")

    story.order_is_sent()
    swept(story.due - 5 * HOUR)
    page = desk.open("/")
    asn_cell(page, "on-time")
    assert swept(story.due - 3 * HOUR).at_risk >= 1
    page = desk.open("/")
    asn_cell(page, "at-risk")
    expect(theirs.open("/status/").locator("main")).to_contain_text("due soon")
    assert not Incident.objects.exists()

    summary = swept(story.now)
    assert (summary.breached, summary.findings) == (1, 1)
    assert swept(story.now).findings == 0
    incident = Incident.objects.get()
    page = desk.open("/")
    asn_cell(page, "late")
    expect(page.locator("#row-purchase-nordwind td[data-label='Most late']")).to_contain_text(LATE)
    desk.picture("story-late")
    assert [str(message.subject) for message in mail.outbox] == ["[HIGH] Late: ASN from Nordwind Mills"]
    assert mail.outbox[0].to == [on_call.email]
    late = theirs.open("/status/")
    expect(late.get_by_text("1 item is late.")).to_be_visible()
    expect(late.get_by_role("region", name="Late")).to_contain_text(ORDER)

    page = phone.open("/incidents/")
    card = page.locator(f"#incident-{incident.pk}")
    expect(card).to_contain_text("Late: ASN from Nordwind Mills")
    card.get_by_role("button", name="Acknowledge").tap()
    expect(card).to_contain_text("On Call Person has it")
    phone.picture("story-acknowledged")
    incident.refresh_from_db()
    assert (incident.state, incident.acknowledged_by) == ("acknowledged", on_call)

    story.advice_comes()
    dispatch.run(timezone.now())
    incident.refresh_from_db()
    assert incident.state == "resolved"
    assert Expectation.objects.get(milestone="asn").state == "MET_LATE"
    assert not Finding.objects.filter(cleared_at=None).exists()
    page = phone.open(f"/incidents/{incident.pk}/")
    expect(page.locator("#countdown + div")).to_contain_text("resolved")
    expect(page.locator(".incident-log")).to_contain_text("On Call Person")
    phone.picture("story-resolved")
    page = desk.open("/incidents/")
    expect(page.get_by_role("heading", name="Nothing is wrong")).to_be_visible()
    page = desk.open("/")
    expect(page.locator("#row-purchase-nordwind .s-late [data-n]")).to_have_count(0)
    assert swept(timezone.now()).findings == 0

    page = desk.open(f"/report/?month={story.due:%Y-%m}&partner=nordwind")
    row = page.get_by_role("region", name="Rules").locator("tr", has_text="ASN before arrival")
    expect(row.locator("td[data-label=Missed]")).to_have_text("1")
    expect(row.locator("td[data-label='Late p50']")).to_have_text(LATE)
    desk.picture("story-report")
    page = theirs.open("/status/")
    expect(page.get_by_text("1 item is late.")).to_have_count(0)
    month = page.get_by_role("region", name="Promises kept by month").locator("tbody tr", has_text=f"{story.due:%b}")
    expect(month.locator("td").nth(1)).to_have_text("1")
    theirs.picture("story-partner")
