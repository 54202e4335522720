"""SLA rules on their pages: the list, the editor's answers, what a change would do, versions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone

from apps.accounts.models import AuditEntry, User
from apps.core import clock
from apps.flows.canonical import CanonicalEvent, Reference
from apps.flows.pipeline import IncomingEvent, take
from apps.incidents.models import Finding
from apps.integrations.models import Integration
from apps.sla import rederiving, sweep
from apps.sla.expectations import refresh
from apps.sla.models import Expectation, SlaRule

pytestmark = pytest.mark.django_db
SPEC = "due: {after: {milestone: placed, duration: %s}}\nwarn: {before: PT5M}\n"
FORM = {
    "name": "Order in Odoo",
    "position": "100",
    "severity": "high",
    "target": "98",
    "lifecycle": "active",
    "base": "1",
}
RULE = "order-in-odoo"


@pytest.fixture
def client() -> Client:
    found = Client()
    found.force_login(User.objects.create_user("mara", role="operations", first_name="Mara", last_name="Lind"))
    return found


@pytest.fixture
def history() -> datetime:
    """Four orders of yesterday that took 10, 20, 40 and 200 minutes into Odoo."""
    files = Path(settings.BASE_DIR) / "apps/flows/definition_files/order_to_ship.yaml"
    call_command("load_config", str(files), verbosity=0)
    start = timezone.now().astimezone(UTC).replace(microsecond=0) - timedelta(days=1)
    shop = Integration.objects.create(slug="shop", name="Shop", kind="webhook")
    told = []
    for number, minutes in enumerate((10, 20, 40, 200)):
        order = (Reference("sales_order", f"S{number}"),)
        at = start + timedelta(hours=number)
        told += [CanonicalEvent("order.placed", at, order)]
        told += [CanonicalEvent("order.created", at + timedelta(minutes=minutes), order)]
    incoming = [IncomingEvent(one, shop.pk, "", None, clock.now()) for one in told]
    with transaction.atomic():
        refresh(take(incoming, clock.now()).states, clock.now())
    return start


def page(client: Client, path: str, **data: str) -> str:
    found = client.post(path, data) if data else client.get(path)
    assert found.status_code in (200, 422), found.status_code
    return re.sub(r"</?span[^>]*>", "", found.content.decode())


def test_the_list_shows_rules_in_words(client: Client, history: datetime) -> None:
    text = page(client, "/rules/")
    assert "15 minutes after “Placed”" in text
    assert "at risk 5 minutes before" in text
    assert "By the document&#x27;s ship by, end of that day; where that is not known, 1 working day after" in text


def test_a_longer_deadline_says_which_flows_stop_being_late(client: Client, history: datetime) -> None:
    assert Expectation.objects.filter(milestone="in_odoo", state="MET_LATE").count() == 3
    text = page(client, f"/rules/{RULE}/try/", **FORM, spec=SPEC % "PT30M")
    # 40 minutes are 10 too late: short
    assert "it would have fired 2 times: 1 real, 1 short, 0 repeated" in text
    assert "0 flows become late and 1 stops being late" in text
    assert "Would stop being late" in text
    assert ">S1<" in text
    assert SlaRule.objects.filter(slug=RULE).count() == 1, "a trial keeps nothing"


def test_a_shorter_deadline_says_which_become_late(client: Client, history: datetime) -> None:
    text = page(client, f"/rules/{RULE}/try/", **FORM, spec=SPEC % "PT5M")
    assert "1 flow becomes late and 0 stop being late" in text
    assert ">S0<" in text


def test_saving_shows_what_changes_first_and_keeps_it_when_that_was_seen(client: Client, history: datetime) -> None:
    form = {**FORM, "spec": SPEC % "PT30M", "note": "Odoo's queue runs every half hour"}
    first = client.post(f"/rules/{RULE}/save/", form)
    assert SlaRule.objects.filter(slug=RULE).count() == 1
    assert "Save with these changes" in first.content.decode()
    saved = client.post(f"/rules/{RULE}/save/", {**form, "sure": first.context["sure"]})
    assert saved.status_code == 204
    made = SlaRule.objects.get(slug=RULE, version=2)
    assert (made.author_name, made.note) == ("Mara Lind", "Odoo's queue runs every half hour")
    assert AuditEntry.objects.get(action="rule.saved").subject == f"rule:{RULE}"
    assert "Mara Lind" in page(client, f"/rules/{RULE}/")


def test_what_was_seen_is_what_is_saved(client: Client, history: datetime) -> None:
    first = client.post(f"/rules/{RULE}/save/", {**FORM, "spec": SPEC % "PT30M"})
    other = {**FORM, "spec": SPEC % "PT45M", "sure": first.context["sure"]}
    assert client.post(f"/rules/{RULE}/save/", other).status_code == 200
    assert SlaRule.objects.filter(slug=RULE).count() == 1


def test_a_newer_version_is_not_overwritten(client: Client, history: datetime) -> None:
    form = {**FORM, "name": "Mine", "spec": SPEC % "PT15M"}
    assert client.post(f"/rules/{RULE}/save/", form).status_code == 204
    text = page(client, f"/rules/{RULE}/save/", **{**form, "name": "Theirs"})
    assert "Not saved: Mara Lind saved version 2" in text


def test_going_back_makes_a_version(client: Client, history: datetime) -> None:
    client.post(f"/rules/{RULE}/save/", {**FORM, "name": "Mine", "spec": SPEC % "PT15M"})
    assert client.post(f"/rules/{RULE}/go-back/", {"version": "1"}).status_code == 302
    newest = SlaRule.objects.filter(slug=RULE).order_by("-version").first()
    assert newest is not None
    assert (newest.version, newest.name, newest.note) == (3, "Order in Odoo", "Version 1 again")


def test_a_draft_speaks_for_nothing_and_is_saved_at_once(client: Client, history: datetime) -> None:
    form = {**FORM, "lifecycle": "shadow", "spec": SPEC % "PT1M"}
    assert client.post(f"/rules/{RULE}/save/", form).status_code == 204
    assert SlaRule.objects.get(slug=RULE, version=2).lifecycle == "shadow"


def test_a_new_rule(client: Client, history: datetime) -> None:
    form = {**FORM, "base": "0", "slug": "told-quickly", "flow": "order-to-ship", "milestone": "released"}
    form |= {"name": "Told quickly", "spec": SPEC % "P2D"}
    assert "Fill in the form" in page(client, "/rules/add/?flow=order-to-ship")
    text = page(client, "/rules/new/preview/", **form)
    assert "2 days after “Placed”" in text
    assert text.count("event-card") == 3
    # orders of yesterday are not late by it, so nothing has to be shown first
    assert client.post("/rules/new/save/", form).status_code == 204
    assert SlaRule.objects.get(slug="told-quickly").milestone == "released"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"spec": "due: {after: {milestone: placed}}"}, "Line 1"),
        ({"spec": "due:\n  after: {milestone: placed, duration: PT15M}\nzone: Mars/Base\n"}, "Line 3"),
        ({"spec": "due:\n  after: {milestone: placed, duration: PT15M}\ncalendar: nowhere\n"}, "no calendar nowhere"),
        ({"spec": "due: [\n"}, "Not valid YAML"),
        ({"spec": "due: {date: a}\ndue: {date: b}\n"}, "second time"),
        ({"target": "0"}, "percentage above 0"),
        ({"target": "NaN"}, "percentage above 0"),
        ({"position": "-1"}, "whole number"),
        ({"name": ""}, "Give the rule a name"),
        ({"lifecycle": "loud"}, "Choose one of"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    client: Client, history: datetime, changed: dict[str, str], words: str
) -> None:
    form = {**FORM, "spec": SPEC % "PT15M", **changed}
    for verb in ("preview", "try", "save"):
        assert words in page(client, f"/rules/{RULE}/{verb}/", **form), verb
    assert SlaRule.objects.filter(slug=RULE).count() == 1


@pytest.mark.parametrize("slug", ["add", "new", "Upper", "order-in-odoo", "", "é"])
def test_a_short_name_must_be_free_and_plain(client: Client, history: datetime, slug: str) -> None:
    form = {**FORM, "slug": slug, "flow": "order-to-ship", "milestone": "released", "spec": SPEC % "P1D"}
    assert "short name" in page(client, "/rules/new/save/", **form)


def test_on_call_looks_and_does_not_touch(history: datetime) -> None:
    reader = Client()
    reader.force_login(User.objects.create_user("omar", role="on_call"))
    assert "Save version" not in page(reader, f"/rules/{RULE}/")
    assert reader.post(f"/rules/{RULE}/save/", {**FORM, "spec": SPEC % "PT15M"}).status_code == 403
    assert reader.get("/rules/no-such-rule/").status_code == 404


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("due: {date: eta}\npause: [lunch]\n", "has no pause &#x27;lunch&#x27;; it has hold"),
        ("due: {after: {milestone: lunch, duration: PT1H}}\n", "&#x27;lunch&#x27; is none of the milestones"),
        ("check: {unexpected: {without: [lunch]}}\n", "&#x27;lunch&#x27; is none of the milestones"),
        ("when: {integration: [nowhere]}\ndue: {date: eta}\n", "There is no integration nowhere"),
        ("check: {quantity: {got: a, of: b, over: much}}\n", "much"),
        (
            "check: {quantity: {got: a, of: ordered}}\n",
            "remembers &#x27;a&#x27;, so this could never be found; it remembers",
        ),
    ],
)
def test_names_that_do_not_exist_are_said_with_their_line(
    client: Client, history: datetime, spec: str, words: str
) -> None:
    assert words in page(client, f"/rules/{RULE}/preview/", **FORM, spec=spec)


def test_a_check_says_how_often_it_would_have_spoken(client: Client, history: datetime) -> None:
    spec = "check: {too_long: {since: {milestone: placed, duration: PT30M}}}\n"
    text = page(client, f"/rules/{RULE}/preview/", **FORM, spec=spec)
    assert "Too long between: more than 30 minutes after “Placed”" in text
    assert "too long after Placed" in text
    tried = page(client, f"/rules/{RULE}/try/", **FORM, spec=spec)
    assert "it would have fired 2 times" in tried


def test_what_a_check_found_is_listed_with_its_state(client: Client, history: datetime) -> None:
    spec = {"check": {"too_long": {"since": {"milestone": "placed", "duration": "PT30M"}}}}
    made = {"name": "Slow", "flow_slug": "order-to-ship", "milestone": "in_odoo", "spec": spec}
    SlaRule.objects.create(slug="slow", **made)
    assert "Nothing so far" in page(client, "/rules/slow/")
    rederiving.notice(clock.now())
    SlaRule.objects.create(slug="slow", version=2, **made)
    rederiving.notice(clock.now())
    while rederiving.step(clock.now()) is not None:
        pass
    text = page(client, "/rules/slow/")
    assert "in the last 90 days: 2, of these 0 told" in text
    assert "too long after Placed" in text
    assert "waits" in text
    sweep.run(clock.now())
    assert "of these 2 told" in page(client, "/rules/slow/")
    assert Finding.objects.filter(kind="sla.too_long").count() == 2
