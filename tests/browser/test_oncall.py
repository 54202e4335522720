"""On call, escalation, maintenance and handover in a real browser: desk, phone, dark; and the verbs with the keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from apps.accounts.models import Role, Team, User
from apps.incidents.workflow import raise_findings
from apps.integrations import maintenance_plans
from apps.integrations.maintenance_plans import Wanted
from apps.integrations.models import Calendar, Partner
from apps.notifications.escalation_models import EscalationPolicy, EscalationRoute
from apps.notifications.planning import plan
from apps.oncall import changing
from apps.oncall.models import HandoverNote, Override
from tests.browser.conftest import Screen
from tests.incidents.builders import draft
from tests.oncall.builders import layer_of, rotation_of

pytestmark = pytest.mark.django_db(transaction=True)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def someone(name: str, last: str, zone: str = "Europe/Berlin") -> User:
    return User.objects.create(
        username=name,
        first_name=name.title(),
        last_name=last,
        email=f"{name}@tower.example",
        role=Role.ON_CALL,
        time_zone=zone,
    )


@pytest.fixture
def crew() -> User:
    """Mara, on call now; nights with layers, a gap at the weekend, a swap, an override, a policy and a window."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    mara, jon, kim = someone("mara", "Lind"), someone("jon", "Okafor"), someone("kim", "Sato")
    ops = Team.objects.create(slug="ops", name="Operations")
    Team.objects.create(slug="edi", name="EDI support")
    monday = (now - timedelta(days=now.weekday())).replace(hour=8)
    schedule = rotation_of(
        ops, "Operations", monday, 7 * DAY, [mara, jon, kim], slug="operations", time_zone="Europe/Berlin", country="DE"
    )
    schedule.layers.update(
        name="Working days",
        restrictions=[{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "06:00", "to": "18:00"}],
    )
    layer_of(schedule, monday.replace(hour=18), DAY, [jon, kim], name="Nights", restrictions=[{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "18:00", "to": "06:00"}])  # fmt: skip
    second = rotation_of(ops, "Second line", monday, DAY, [kim], slug="second", position=1, mail_handover=True)
    Override.objects.create(
        schedule=schedule,
        user=mara,
        start=now - HOUR,
        end=now + 9 * HOUR,
        reason="Jon at the dentist",
        author_name="Mara Lind",
    )
    changing.ask_swap(second, kim, None, now + DAY, now + DAY + 4 * HOUR, now, reason="School play")
    policy = EscalationPolicy.objects.create(
        slug="nights", name="Night shift", repeat=1, pause=timedelta(minutes=30), lapse_after=2 * HOUR,
        steps=[
            {"after": 0, "targets": [{"kind": "schedule", "ref": "operations"}]},
            {"after": 10, "targets": [{"kind": "schedule", "ref": "second"}]},
            {"after": 15, "targets": [{"kind": "team", "ref": "ops"}, {"kind": "person", "ref": "jon"}]},
        ],
    )  # fmt: skip
    EscalationRoute.objects.create(position=10, policy=policy, severities=["critical", "high"])
    Calendar.objects.create(slug="office", name="Office", spec={"zone": "Europe/Berlin", "weekly": {}})
    carrier = Partner.objects.create(slug="northwind", name="Northwind Parcels", kind="carrier")
    for reason, start, kind, rule in (
        ("WMS upgrade", now - HOUR, "maintenance", ""),
        ("Carrier's weekly restart", now + 2 * DAY, "mute", "FREQ=WEEKLY"),
        ("Move of the data centre", now + 5 * DAY, "maintenance", ""),
    ):
        wanted = Wanted(
            kind,
            start,
            start + 5 * HOUR,
            reason,
            rule,
            "Europe/Berlin",
            partners=[carrier],
            announce_to_partners=True,
            announcement=reason,
        )
        maintenance_plans.plan(wanted, mara, now)
    raise_findings([draft(1, "quiet", team_id=ops.pk, partner_id=carrier.pk, severity="high")], now - HOUR)
    raise_findings([draft(2, "late scans", team_id=ops.pk, severity="critical")], now - HOUR)
    plan(timezone.now())
    HandoverNote.objects.create(
        schedule=schedule,
        at=now,
        author=mara,
        author_name="Mara Lind",
        text="Northwind restarts at noon.\nCall them first.",
    )
    return mara


PAGES = {
    "on-call": "/on-call/",
    "schedule": "/on-call/s/operations/",
    "schedule-month": "/on-call/s/operations/?view=month",
    "my-calendar": "/on-call/my-calendar/",
    "handover": "/on-call/s/operations/handover/",
    "escalation": "/escalation/?severity=critical",
    "escalation-policy": "/escalation/p/nights/",
    "maintenance": "/maintenance/",
    "maintenance-plan": "/maintenance/plan/",
}

#: pages with pictures and forms of their own; the others are made of what is looked at elsewhere
IN_THE_DARK = ("schedule", "schedule-month", "escalation", "maintenance-plan")


@pytest.mark.parametrize(("shape", "theme"), [("desktop", "light"), ("phone", "light"), ("desktop", "dark")])
def test_every_page(screens: Callable[..., Screen], crew: User, shape: str, theme: str) -> None:
    User.objects.filter(pk=crew.pk).update(role=Role.MANAGER)
    screen = screens(shape, color_scheme=theme)
    screen.sign_in(User.objects.get(pk=crew.pk))
    for name, path in PAGES.items():
        if theme == "dark" and name not in IN_THE_DARK:
            continue
        screen.open(path)
        screen.no_axe_violations()
        screen.no_sideways_scroll()
        screen.picture(name)


def test_an_override_and_a_swap_on_the_phone(phone: Screen, crew: User) -> None:
    phone.sign_in(crew)
    page = phone.open("/on-call/")
    page.get_by_role("button", name="I take it").click()
    page.wait_for_url("**/on-call/s/second/**")
    expect(page.locator("#toasts")).to_contain_text("Agreed")
    page = phone.open("/on-call/s/operations/")
    page.get_by_label("Who takes over").select_option(label="Kim Sato")
    page.get_by_role("button", name="Add override").click()
    expect(page.locator("#toasts")).to_contain_text("Kim Sato takes over")
    page.get_by_role("button", name="Take back").last.click()
    page.locator("dialog button, .modal button").filter(has_text="Take back").click()
    expect(page.locator("#toasts")).to_contain_text("no longer takes over")


def test_a_window_is_ended_and_that_is_undone(desktop: Screen, crew: User) -> None:
    desktop.sign_in(crew)
    page = desktop.open("/maintenance/")
    expect(page.get_by_role("heading", name="Silenced now")).to_be_visible()
    page.get_by_role("button", name=re.compile("^End now")).click()
    page.locator("dialog button, .modal button").filter(has_text="End now").click()
    expect(page.locator("#toasts")).to_contain_text("Cancelled")
    page.get_by_role("button", name=re.compile("^Undo")).click()
    expect(page.locator("#toasts")).to_contain_text("counts again")
