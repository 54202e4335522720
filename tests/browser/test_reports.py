"""Reports, objectives, scorecards and the archive in a real browser: desk, phone, dark."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.core.heartbeats import beat
from apps.flows.models import Milestone
from apps.integrations.models import PartnerAccess
from apps.reports import archive, penalties, rollups, scores
from apps.reports.models import Archive, ContractTerm, Objective, Schedule
from tests.browser.conftest import Screen
from tests.dashboard.network import DAY, HOUR, definitions, flow, partner, promise, rule

pytestmark = pytest.mark.django_db(transaction=True)
PAGES = [
    "/report/",
    "/objectives/",
    "/objectives/ship/",
    "/scorecards/",
    "/scorecards/swift-parcel/",
    "/report/archive/",
    "/report/archive/{archive}/",
]


@pytest.fixture
def network() -> None:
    """Four months of six carriers, most in time."""
    now = timezone.now()
    definitions()
    late = rule()
    rule(slug="delivered", name="Delivered as promised", milestone="delivered", target=Decimal(95))
    names = ("Acme Metals", "Blue Freight", "North 3PL", "Oak Works", "Rhein 3PL", "Swift Parcel")
    for number in range(150):
        who = partner(names[number % 6 if number % 4 else 1], kind="carrier")
        due = now - (number % 100) * DAY - HOUR + timedelta(minutes=number)
        lane = {"lane": ("DE>FR", "DE>PL", "DE>AT")[number % 3], "service": "express" if number % 5 else "standard"}
        order = flow(f"SO-{number}", who, attributes=lane, value=Decimal(80 + number * 3), opened_at=due - DAY)
        state = "MET_LATE" if number % 19 == 5 else "BREACHED" if number % 37 == 11 else "MET"
        met = due + (number % 7 + 1) * HOUR if state == "MET_LATE" else due - HOUR
        promise(order, state, due, met_at=None if state == "BREACHED" else met, rule=late)
        if state != "BREACHED":
            Milestone.objects.create(
                flow=order, name="shipped", ordinal=1, actual_at=met, sent_at=met + HOUR, received_at=met + HOUR
            )
    for number, state in enumerate(["PENDING", "PENDING", "SUSPENDED", "WAIVED"]):
        order = flow(f"SO-x{number}", partner(names[number]))
        promise(
            order, state, now + HOUR, at_risk=number == 0, waived_reason="Strike at the port" if number == 3 else ""
        )
    Objective(slug="ship", name="Shipped in time", target=90, rule="ship-in-time").save()
    Objective(slug="swift", name="Swift Parcel on time", target=96, partner=partner("Swift Parcel"), days=28).save()
    Objective(slug="lane", name="To Poland", target=Decimal("99.5"), lane="DE>PL", window="calendar").save()
    ContractTerm(slug="t", name="Late hand-over", basis="per_day", amount=12, currency="EUR", cap_each=60).save()
    ContractTerm(slug="g", name="Goodwill", basis="share", amount=5, currency="EUR", payer="us").save()
    penalties.refresh_lately(now)
    scores.refresh_lately(now)
    archive.freeze(archive.last_closed(now), now)
    roles = {"roles": ["manager"], "extra": ["board@demo.example"], "formats": ["pdf", "xlsx"], "created_at": now}
    Schedule.objects.create(name="Managers, monthly", **roles)
    rollups.fold()
    beat("sweep", now)


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "dark")])
def test_pages_of_reports(screens: Callable[..., Screen], network: None, shape: str, theme: str) -> None:
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("manager")
    for path in PAGES:
        page = screen.open(path.format(archive=Archive.objects.get().pk))
        assert page.locator("h1").count() == 1, path
        if path == "/report/":
            page.wait_for_selector("#h-work")
            page.locator("#numbers > summary").click()
            page.wait_for_selector("#h-months")
        if page.locator("[data-plot]").count():
            page.wait_for_selector("[data-plot] .main-svg")
        screen.no_axe_violations()
        screen.no_sideways_scroll()
        assert screen.unexpected() == [], path
        screen.picture(re.sub(r"\W+", "-", path).strip("-"))


def test_a_partner_reads_its_own_card(phone: Screen, network: None) -> None:
    pavel = User.objects.create(username="pavel", role="partner", first_name="Pavel")
    PartnerAccess.objects.create(partner=partner("Swift Parcel"), user=pavel)
    phone.sign_in(pavel)
    phone.open("/status/scorecard/")
    phone.no_axe_violations()
    phone.no_sideways_scroll()
    phone.picture("portal-scorecard")
