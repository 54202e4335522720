"""Working calendars on their pages: lines people type, the year as a picture, what a change moves before it is kept."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.accounts.models import AuditEntry, User
from apps.core.calendars import WEEKDAYS, WorkingCalendar
from apps.dashboard import calendar_form
from apps.dashboard.selectors import calendars as select
from apps.flows.pipeline import take
from apps.integrations.models import Calendar
from apps.sla import rederiving
from apps.sla.expectations import refresh
from apps.sla.models import Expectation, SlaRule
from tests.flows.builders import event, incoming, load_definitions, load_register

DAYS = st.dates(date(2020, 1, 1), date(2030, 12, 31))
CLOCK = st.times().map(lambda t: time(t.hour, t.minute)).map(lambda t: f"{t:%H:%M}")
SHIFTS = st.lists(st.tuples(CLOCK, CLOCK).filter(lambda p: p[0] != p[1]).map(list), min_size=1, max_size=3)
WEEKLY = st.dictionaries(st.sampled_from(WEEKDAYS), SHIFTS, max_size=7)
NAMES = (
    st.text("ABCDEFGabcdefg éü'", max_size=20)
    .map(lambda t: " ".join(t.split()))
    .filter(lambda t: not t.lower().startswith(("closed", "open")))
)


@st.composite
def spans(draw: st.DrawFn) -> dict[str, str]:
    first, last = sorted((draw(DAYS), draw(DAYS)))
    return {"from": first.isoformat(), "until": last.isoformat()}


@st.composite
def exceptions(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = draw(spans()) if draw(st.booleans()) else {"date": draw(DAYS).isoformat()}
    found |= draw(st.sampled_from([{"closed": True}, {"open": True}, {}]))
    if len(found) == (1 if "date" in found else 2):
        found["hours"] = draw(SHIFTS)
    if name := draw(NAMES):
        found["name"] = name
    return found


@st.composite
def periods(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": draw(st.sampled_from(["peak", "freeze"])), **draw(spans())}
    if found["kind"] == "peak" and (weekly := draw(WEEKLY)):
        found["weekly"] = weekly
    if name := draw(NAMES):
        found["name"] = name
    return found


@settings(max_examples=40, deadline=None)
@given(WEEKLY, st.lists(exceptions(), max_size=4), st.lists(periods(), max_size=3), st.sampled_from(["", "FR", "DE"]))
def test_a_calendar_as_lines_reads_back_as_it_was(
    weekly: dict[str, Any], odd: list[dict[str, Any]], seasons: list[dict[str, Any]], country: str
) -> None:
    spec: dict[str, Any] = {"zone": "Europe/Paris", "weekly": weekly}
    spec |= {"country": country} if country else {}
    spec |= {"exceptions": odd} if odd else {}
    spec |= {"periods": seasons} if seasons else {}
    form = calendar_form.read(calendar_form.values_of("x", "X", spec))
    assert form.troubles == []
    assert form.spec == spec
    number = 2026
    year = select.year(form.spec, number, date(2026, 6, 1))
    calendar = WorkingCalendar.from_spec(spec)
    assert year.working == sum(calendar.is_working_day(date(number, 1, 1) + timedelta(days=n)) for n in range(365))
    cells = [cell for month in year.months for week in month.weeks for cell in week if cell]
    assert len(cells) == 365
    for cell in cells:
        assert (cell.kind in ("work", "changed")) is bool(calendar.shifts_of(cell.day))


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({name: st.text(max_size=60) for name in calendar_form.TEXTS}))
def test_whatever_is_typed_gives_a_sentence_or_a_calendar(typed: dict[str, str]) -> None:
    form = calendar_form.read(typed)
    assert (form.spec is None) is bool(form.troubles)
    for one in form.troubles:
        assert one.sentence.endswith(".")


@pytest.mark.parametrize(
    ("name", "text", "line", "words"),
    [
        ("mon", "8-17", 0, "write them like 08:00-12:00"),
        ("exceptions", "2026-05-01 open\nChristmas closed", 2, "begin with a date"),
        ("exceptions", "2026-12-24 half a day", 1, "closed, open or hours"),
        ("exceptions", "2026-12-24..2026-12-01 closed", 0, "before it begins"),
        ("periods", "quiet 2026-12-24", 1, "write peak or freeze"),
        ("periods", "freeze 2026-12-24 mon 08:00-10:00", 0, "Only a peak has hours"),
        ("country", "ZZ", 0, "No holidays known for ZZ"),
        ("zone", "Mars/Base", 0, "is not a time zone"),
        ("lanes", "FR to DE", 0, "does not match"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(name: str, text: str, line: int, words: str) -> None:
    values = calendar_form.values_of("x", "X", {"zone": "UTC", "weekly": {}}) | {name: text}
    form = calendar_form.read(values)
    assert form.spec is None
    assert [(one.line, words in one.sentence) for one in form.troubles] == [(line, True)], form.troubles


def test_the_picture_tells_days_apart_by_sign_and_word() -> None:
    spec = {
        "zone": "Europe/Paris",
        "country": "FR",
        "weekly": {day: [["08:00", "17:00"]] for day in WEEKDAYS[:5]},
        "exceptions": [
            {"date": "2026-12-24", "hours": [["08:00", "12:00"]], "name": "Christmas Eve"},
            {"from": "2026-08-03", "until": "2026-08-14", "closed": True, "name": "Summer closing"},
        ],
        "periods": [{"kind": "freeze", "from": "2026-12-15", "until": "2027-01-02", "name": "Christmas"}],
    }
    year = select.year(spec, 2026, date(2026, 8, 1))
    by = {cell.day: cell for month in year.months for week in month.weeks for cell in week if cell}
    assert by[date(2026, 12, 24)].title == (
        "Thu 24 Dec, exception: other hours, Christmas Eve, 08:00–12:00, change freeze Christmas"
    )
    assert [by[date(2026, 8, 4)].sign, by[date(2026, 5, 1)].sign, by[date(2026, 5, 2)].sign] == ["✕", "●", ""]
    assert ("3 Aug – 14 Aug", "✕ exception: closed", "Summer closing") in year.special
    assert ("15 Dec – 2 Jan 2027", "❄ change freeze", "Christmas") in year.special
    assert year.next_closed == "Mon 3 Aug (Summer closing)"
    assert select.week_in_words(spec) == "Mon–Fri 08:00-17:00"


# -- the pages ----------------------------------------------------------------

FORM = {
    "name": "House",
    "zone": "UTC",
    **dict.fromkeys(WEEKDAYS[:5], "08:00-17:00"),
    "base": "1",
}


@pytest.fixture
def client(db: None) -> Client:
    found = Client()
    found.force_login(User.objects.create_user("mara", role="operations", first_name="Mara", last_name="Lind"))
    return found


@pytest.fixture
def open_order(db: None) -> Expectation:
    """An order sent just now, due two working days later on the house's calendar (every day, so far)."""
    load_definitions()
    SlaRule.objects.all().delete()
    register = load_register()
    week = {day: [["00:00", "24:00"]] for day in WEEKDAYS}
    Calendar.objects.create(slug="house", name="House", spec={"zone": "UTC", "weekly": week})
    spec = {"due": {"after": {"milestone": "sent", "duration": "P7D", "kind": "working_days"}}, "calendar": "house"}
    SlaRule.objects.create(slug="asn", name="ASN", flow_slug="purchase", milestone="asn", spec=spec)
    now = timezone.now().astimezone(UTC)
    rederiving.notice(now)
    told = event("purchase_order.sent", 0, "po:1")
    told = type(told)(told.type, now, told.references, source_event_id="sent-1")
    with transaction.atomic():
        refresh(take([incoming(told, register["odoo"])], now).states, now)
    return Expectation.objects.get()


def page(client: Client, path: str, status: int = 200, **data: str) -> str:
    found = client.post(path, data) if data else client.get(path)
    assert found.status_code == status, found.content.decode()[:500]
    return re.sub(r"</?span[^>]*>", "", found.content.decode())


def test_what_moves_is_shown_before_it_is_kept_and_follows_in_the_background(
    client: Client, open_order: Expectation
) -> None:
    assert "House" in page(client, "/calendars/")
    first = client.post("/calendars/house/save/", FORM)
    assert "1 of 1 open deadline moves" in re.sub(r"</?span[^>]*>", "", first.content.decode())
    assert Calendar.objects.count() == 1, "nothing is kept yet"
    saved = client.post("/calendars/house/save/", {**FORM, "sure": first.context["sure"], "note": "No more Sundays"})
    assert saved.status_code == 204
    made = Calendar.objects.get(version=2)
    assert (made.author_name, made.note) == ("Mara Lind", "No more Sundays")
    assert AuditEntry.objects.get(action="calendar.saved").after["version"] == 2
    assert "are being judged again" in page(client, "/calendars/")
    while rederiving.step(timezone.now()) is not None:
        pass
    before = open_order.due_at
    open_order.refresh_from_db()
    assert open_order.due_at > before
    assert "Open deadlines are up to date" in page(client, "/rules/")
    text = page(client, "/calendars/house/")
    assert "No more Sundays" in text
    assert 'value="00:00-24:00"' in page(client, "/calendars/house/?version=1")
    stale = client.post("/calendars/house/save/", {**FORM, "mon": "09:00-10:00", "sure": "x", "base": "1"})
    assert "Save with these changes" in stale.content.decode() or stale.status_code == 422


def test_of_two_editors_the_second_is_told(client: Client) -> None:
    Calendar.objects.create(slug="house", name="House", spec={"zone": "UTC", "weekly": {}})
    Calendar.objects.create(slug="house", name="House", version=2, spec={"zone": "UTC", "weekly": {}})
    assert "saved version 2 while you were at it" in page(client, "/calendars/house/save/", 422, **FORM)


def test_a_new_calendar_and_what_is_wrong_with_it(client: Client) -> None:
    assert "Save version 1" in page(client, "/calendars/add/")
    assert "taken by the pages" in page(client, "/calendars/new/save/", 422, **FORM, slug="add")
    assert "small letters" in page(client, "/calendars/new/save/", 422, **FORM, slug="Our House")
    assert "write them like" in page(client, "/calendars/new/preview/", **{**FORM, "mon": "nine to five"})
    assert client.post("/calendars/new/save/", {**FORM, "slug": "house"}).status_code == 204
    assert Calendar.objects.get().spec["weekly"]["fri"] == [["08:00", "17:00"]]
    assert "There is a calendar house already" in page(client, "/calendars/new/save/", 422, **FORM, slug="house")
    assert client.get("/calendars/nowhere/").status_code == 404


def test_who_may_only_look(db: None) -> None:
    viewer = Client()
    viewer.force_login(User.objects.create_user("vic", role="on_call"))
    Calendar.objects.create(slug="house", name="House", spec={"zone": "UTC", "weekly": {}})
    assert "Save version" not in page(viewer, "/calendars/house/")
    assert viewer.post("/calendars/house/save/", FORM).status_code == 403
    assert viewer.get("/calendars/add/").status_code == 403


def test_a_freeze_is_said_where_rules_are_changed(client: Client, open_order: Expectation) -> None:
    today = datetime.now(UTC).date()
    span = {"kind": "freeze", "from": (today - timedelta(days=2)).isoformat(), "name": "Christmas"}
    span["until"] = (today + timedelta(days=2)).isoformat()
    spec = Calendar.objects.get().spec
    Calendar.objects.create(slug="house", version=2, name="House", spec={**spec, "periods": [span]})
    assert "Change freeze: Christmas until" in page(client, "/rules/asn/")


def test_a_shadow_is_compared_on_the_rules_page(client: Client, open_order: Expectation) -> None:
    spec = {"due": {"after": {"milestone": "sent", "duration": "PT1H"}}}
    assert "Tried as a shadow" not in page(client, "/rules/asn/")
    SlaRule.objects.create(
        slug="asn", version=2, name="ASN", flow_slug="purchase", milestone="asn", spec=spec, lifecycle="shadow"
    )
    assert "Nothing has come under it yet" in page(client, "/rules/asn/")
    rederiving.notice(timezone.now())
    while rederiving.step(timezone.now()) is not None:
        pass
    assert "It would have called 0 of 0 judged flows late" in page(client, "/rules/asn/")
