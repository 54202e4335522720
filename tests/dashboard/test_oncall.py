"""Pages of on call, escalation, maintenance and handover: what they show, what their forms do, what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.accounts.models import Role, User
from apps.incidents.models import Incident
from apps.incidents.workflow import raise_findings
from apps.integrations.maintenance_models import MaintenanceWindow
from apps.integrations.models import Calendar, PartnerAccess
from apps.notifications import handover
from apps.notifications.escalation_models import EscalationPolicy, EscalationRoute, HandoverMail, ReminderInterval
from apps.notifications.planning import plan
from apps.oncall import feeds
from apps.oncall.models import HandoverNote, Override, Schedule, Swap
from tests.incidents.builders import HOUR, MINUTE, NOW, draft, integration, partner, person, team
from tests.oncall.builders import rotation_of

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
PAGE = "/on-call/s/night/"


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def mara(client: Client) -> User:
    """Signed in, on call first, in Berlin (UTC+1 at NOW)."""
    who = person("mara", role=Role.ON_CALL, time_zone="Europe/Berlin")
    client.force_login(who)
    return who


@pytest.fixture
def crew(mara: User) -> Schedule:
    return rotation_of(team("night"), "Nights", NOW, DAY, [mara, person("jon", role=Role.ON_CALL)])


@pytest.fixture
def boss(client: Client) -> User:
    who = person("boss", role=Role.MANAGER)
    client.force_login(who)
    return who


def text(response: Any, status: int = 200) -> str:
    assert response.status_code == status, response.content.decode()[:2000]
    return " ".join(response.content.decode().split())


def test_the_first_page_says_who_is_on_call(client: Client, crew: Schedule) -> None:
    shown = text(client.get("/on-call/"))
    for words in ("Nights", ">You<", "then Jon", "Your shifts", "Europe/Berlin"):
        assert words in shown, words
    assert client.get("/on-call/", headers={"HX-Request": "true"}).headers["ETag"]


def test_it_says_when_there_is_no_schedule_and_when_nobody_is(client: Client, mara: User) -> None:
    assert "No schedule yet" in text(client.get("/on-call/"))
    rotation_of(team("empty"), "Empty", NOW, DAY, [])
    assert "Nobody is on call" in text(client.get("/on-call/"))


@pytest.mark.parametrize(
    "query", ["", "?view=month", "?day=2026-10-25", "?view=month&day=2026-03-29", "?day=rubbish", "?day=0001-01-01"]
)
def test_the_calendar(client: Client, crew: Schedule, query: str) -> None:
    shown = text(client.get(PAGE + query))
    assert "Nights" in shown
    assert "Jon" in shown
    assert "style=" not in shown


def test_queries_do_not_grow_with_schedules(client: Client, crew: Schedule, queries: Callable[[str], int]) -> None:
    one = queries("/on-call/")
    for n in range(12):
        schedule = rotation_of(team(f"t{n}"), f"T{n}", NOW, DAY, [person(f"p{n}")])
        Override.objects.create(schedule=schedule, user=person(f"o{n}"), start=NOW, end=NOW + HOUR)
    assert queries("/on-call/") <= one


def test_an_override_by_form_in_the_readers_zone(client: Client, crew: Schedule) -> None:
    jon = User.objects.get(username="jon")
    answer = client.post(
        PAGE + "overrides/",
        {"user": jon.pk, "start": "2026-03-02T12:00", "end": "2026-03-02T14:00", "day": "2026-03-02"},
    )
    assert answer.status_code == 302
    row = Override.objects.get()
    assert (row.start, row.end) == (NOW + 2 * HOUR, NOW + 4 * HOUR)
    shown = text(client.get(PAGE))
    assert "Jon takes over" in shown
    client.post(PAGE + f"overrides/{row.pk}/remove/")
    assert not Override.objects.exists()


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"user": "", "start": "2026-03-02T12:00", "end": "2026-03-02T14:00"}, "Choose who takes over"),
        ({"user": "me", "start": "soon", "end": "2026-03-02T14:00"}, "From: choose a day"),
        ({"user": "me", "start": "2026-03-02T14:00", "end": "2026-03-02T12:00"}, "after the beginning"),
    ],
)
def test_what_a_form_cannot_mean_comes_back_with_the_reason(
    client: Client, crew: Schedule, mara: User, form: dict[str, Any], words: str
) -> None:
    form["user"] = mara.pk if form["user"] == "me" else form["user"]
    shown = text(client.post(PAGE + "overrides/", form | {"reason": "dentist"}), 422)
    assert words in shown
    assert "dentist" in shown


def test_a_swap_is_asked_and_taken(client: Client, crew: Schedule) -> None:
    jon = User.objects.get(username="jon")
    client.post(
        PAGE + "swaps/", {"asked": jon.pk, "start": "2026-03-02T12:00", "end": "2026-03-02T14:00", "reason": "doctor"}
    )
    swap = Swap.objects.get()
    assert "asks" in text(client.get(PAGE))
    assert "Somebody else has to answer" in text(
        client.post(PAGE + f"swaps/{swap.pk}/answer/", {"answer": "agree"}), 422
    )
    client.force_login(jon)
    assert "I take it" in text(client.get("/on-call/"))
    client.post(PAGE + f"swaps/{swap.pk}/answer/", {"answer": "agree"})
    assert Override.objects.get().user == jon
    client.post(PAGE + f"swaps/{swap.pk}/withdraw/")
    assert not Override.objects.exists()


def test_a_calendar_file_is_brought_in(client: Client, crew: Schedule) -> None:
    body = (
        b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nX-WR-CALNAME:Rota\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20260303T200000Z\r\n"
        b"DTEND:20260304T080000Z\r\nSUMMARY:jon\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nUID:2\r\nDTSTART:20260304T200000Z\r\n"
        b"DTEND:20260305T080000Z\r\nSUMMARY:Stranger\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    client.post(PAGE + "import/", {"calendar": SimpleUploadedFile("rota.ics", body)})
    shown = text(client.get(PAGE))
    assert "1 overrides added" in shown
    assert "Stranger" in shown
    bad = client.post(PAGE + "import/", {"calendar": SimpleUploadedFile("rota.ics", b"hello")})
    assert "not an iCalendar file" in text(bad, 422)
    assert "Choose a calendar file" in text(client.post(PAGE + "import/"), 422)


def test_feeds_open_by_their_token_only(client: Client, crew: Schedule, mara: User) -> None:
    page = text(client.get("/on-call/my-calendar/"))
    token = feeds.person_token(mara)
    assert token in page
    anonymous = Client()
    answer = anonymous.get(f"/on-call/feed/person/{mara.pk}/{token}.ics")
    assert answer.headers["Content-Type"].startswith("text/calendar")
    assert b"BEGIN:VEVENT" in answer.content
    assert anonymous.get(f"/on-call/feed/person/{mara.pk}/{token[:-1]}x.ics").status_code == 404
    url = f"/on-call/feed/night/{feeds.schedule_token(crew)}.ics"
    assert anonymous.get(url).status_code == 200
    client.post(PAGE + "renew/")
    assert anonymous.get(url).status_code == 404
    client.post("/on-call/my-calendar/renew/")
    assert anonymous.get(f"/on-call/feed/person/{mara.pk}/{token}.ics").status_code == 404


def test_lines_are_moved_and_need_a_calendar_for_hours(client: Client, boss: User) -> None:
    for slug in ("a", "b"):
        EscalationPolicy.objects.create(
            slug=slug, name=slug, steps=[{"after": 0, "targets": [{"kind": "person", "ref": "boss"}]}]
        )
        client.post("/escalation/lines/", {"policy": slug, "hours": "any"})
    client.post("/escalation/lines/", {"policy": "a", "hours": "off", "calendar": ""})
    assert EscalationRoute.objects.count() == 2
    Calendar.objects.create(slug="office", name="Office", spec={"zone": "UTC", "weekly": {}})
    client.post("/escalation/lines/", {"policy": "a", "hours": "off", "calendar": "office"})
    last = EscalationRoute.objects.get(hours="off")
    client.post(f"/escalation/lines/{last.pk}/", {"do": "up"})
    assert list(EscalationRoute.objects.values_list("policy__slug", "hours")) == [
        ("a", "any"),
        ("a", "off"),
        ("b", "any"),
    ]
    client.post(f"/escalation/lines/{last.pk}/", {"do": "remove"})
    assert list(EscalationRoute.objects.values_list("position", flat=True)) == [10, 20]


def test_ones_own_reminders(client: Client, mara: User) -> None:
    client.post("/escalation/remind-me/", {"every": "30"})
    assert ReminderInterval.objects.get().every == 30 * MINUTE
    client.post("/escalation/remind-me/", {"every": "0"})
    assert ReminderInterval.objects.get().every is None
    client.post("/escalation/remind-me/", {"every": ""})
    assert not ReminderInterval.objects.exists()


WINDOW = {
    "kind": "maintenance",
    "reason": "WMS upgrade",
    "starts_at": "2026-03-02T11:00",
    "ends_at": "2026-03-02T13:00",
    "repeats": "",
}


def test_a_window_is_planned_changed_cancelled_and_restored(client: Client, mara: User) -> None:
    assert "Nothing is planned" in text(client.get("/maintenance/"))
    carrier = partner("carrier")
    answer = client.post(
        "/maintenance/plan/", WINDOW | {"partners": [carrier.pk], "announce": "on", "announcement": "We move house"}
    )
    assert answer.status_code == 302, answer.content.decode()
    row = MaintenanceWindow.objects.get()
    assert (row.starts_at, row.time_zone) == (NOW + HOUR, "Europe/Berlin")
    shown = text(client.get("/maintenance/"))
    for words in ("WMS upgrade", "Carrier", "Planned", "told"):
        assert words in shown, words
    assert 'value="2026-03-02T11:00"' in text(client.get(f"/maintenance/{row.pk}/"))
    client.post(
        f"/maintenance/{row.pk}/", WINDOW | {"partners": [carrier.pk], "reason": "Later", "repeats": "FREQ=WEEKLY"}
    )
    row.refresh_from_db()
    assert (row.reason, row.recurrence) == ("Later", "FREQ=WEEKLY")
    client.post(f"/maintenance/{row.pk}/cancel/")
    assert "Undo" in text(client.get("/maintenance/"))
    client.post(f"/maintenance/{row.pk}/restore/")
    row.refresh_from_db()
    assert row.cancelled_at is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ends_at": "2026-03-02T10:00"}, "after the beginning"),
        ({"ends_at": "later"}, "Choose a day and a time"),
        ({"everything": ""}, "Say what it covers"),
        ({"repeats": "own"}, "Write the rule"),
        ({"repeats": "own", "recurrence": "FREQ=HOURLY"}, "daily, weekly or monthly"),
        ({"announce": "on"}, "Write what partners read"),
        ({"reason": ""}, "required"),
    ],
)
def test_a_window_that_makes_no_sense_comes_back(
    client: Client, mara: User, changes: dict[str, str], words: str
) -> None:
    shown = text(client.post("/maintenance/plan/", WINDOW | {"everything": "on"} | changes), 422)
    assert words in shown
    assert not MaintenanceWindow.objects.exists()


def test_what_is_silenced_shows_its_window(client: Client, mara: User) -> None:
    client.post("/maintenance/plan/", WINDOW | {"everything": "on", "starts_at": "2026-03-02T10:00"})
    raise_findings([draft(1)], NOW)
    plan(NOW)
    shown = text(client.get("/maintenance/"))
    assert "Silenced now" in shown
    assert Incident.objects.get().title in shown
    assert "silenced until" in text(client.get("/incidents/"))
    page = text(client.get(f"/incidents/{Incident.objects.get().pk}/"))
    assert "Nobody is called: WMS upgrade" in page
    assert "Silenced: WMS upgrade" in page


def test_a_window_can_be_planned_from_where_it_is_needed(client: Client, mara: User) -> None:
    feed = integration("scans")
    shown = text(client.get("/maintenance/plan/?integration=scans&kind=mute"))
    assert f'value="{feed.pk}"' in shown
    assert shown.count("checked") == 2


def test_the_handover(client: Client, crew: Schedule, mara: User) -> None:
    raise_findings([draft(1, team_id=crew.team_id)], NOW)
    plan(NOW)
    url = PAGE + "handover/"
    shown = text(client.get(url))
    for words in ("Mara", "then Jon", "nobody has it", "No scans from carrier", "No notes yet"):
        assert words in shown, words
    client.post(url + "notes/", {"text": "Carrier said: back at noon\n<b>x</b>"})
    assert "&lt;b&gt;" in text(client.get(url))
    assert "The note is empty" in text(client.post(url + "notes/", {"text": " "}, follow=True))
    jon = User.objects.get(username="jon")
    assert "Sent to Jon" in text(client.post(url + "mail/", {"to": jon.pk}, follow=True))
    [sent] = mail.outbox
    assert sent.to == ["jon@tower.example"]
    assert "back at noon" in sent.body
    assert "1 open" in sent.subject
    assert "Choose somebody" in text(client.post(url + "mail/", {"to": "x"}, follow=True))
    client.force_login(jon)
    note = HandoverNote.objects.get()
    assert "Only whoever wrote" in text(client.post(url + f"notes/{note.pk}/drop/", follow=True))
    for query in ("?at=2026-03-01T00:00:00Z", "?at=rubbish", "?at=0001-01-01"):
        assert "Handover" in text(client.get(url + query))


def test_a_handover_is_mailed_once_when_a_shift_begins(crew: Schedule) -> None:
    assert handover.mail_due(NOW) == 0
    Schedule.objects.update(mail_handover=True)
    later = NOW + DAY + 2 * MINUTE
    assert [handover.mail_due(later), handover.mail_due(later + MINUTE)] == [1, 0]
    assert mail.outbox[0].to == ["jon@tower.example"]
    assert "from Mara" in mail.outbox[0].subject
    assert handover.mail_due(NOW + 2 * DAY + 2 * HOUR) == 0  # after an outage nobody wants yesterday's


def test_a_handover_that_could_not_be_mailed_is_tried_again(crew: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    Schedule.objects.update(mail_handover=True)

    def refuse(*args: object) -> None:
        raise OSError("no server")

    with monkeypatch.context() as patched:
        patched.setattr(handover, "mail", refuse)
        with pytest.raises(OSError, match="no server"):
            handover.mail_due(NOW + DAY)
    assert not HandoverMail.objects.exists()
    assert handover.mail_due(NOW + DAY + MINUTE) == 1


def test_an_incident_says_what_comes_next(client: Client, crew: Schedule) -> None:
    made = EscalationPolicy.objects.create(
        slug="nights",
        name="Night shift",
        steps=[
            {"after": 0, "targets": [{"kind": "schedule", "ref": "night"}]},
            {"after": 10, "targets": [{"kind": "person", "ref": "jon"}]},
        ],
    )
    EscalationRoute.objects.create(position=1, policy=made)
    raise_findings([draft(1, team_id=crew.team_id)], NOW)
    plan(NOW)
    shown = text(client.get(f"/incidents/{Incident.objects.get().pk}/"))
    assert "Step 2 of 2 calls Jon" in shown
    assert "in 10 min" in shown
    assert "Night shift" in shown


def test_a_partner_reads_what_is_announced_to_it(client: Client, mara: User) -> None:
    carrier, other = partner("carrier"), partner("other")
    for name, whose in (("We move house", carrier), ("Not for you", other)):
        client.post(
            "/maintenance/plan/",
            WINDOW | {"partners": [whose.pk], "announce": "on", "announcement": name, "repeats": "FREQ=WEEKLY"},
        )
    theirs = person("paul", role=Role.PARTNER)
    PartnerAccess.objects.create(user=theirs, partner=carrier)
    reader = Client()
    reader.force_login(theirs)
    shown = text(reader.get("/status/"))
    assert shown.count("We move house") == 2  # this week and the next
    for words in ("Not for you", "WMS upgrade", "Mara"):
        assert words not in shown, words
