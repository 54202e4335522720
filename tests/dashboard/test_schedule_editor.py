"""The schedule editor: what its form reads, what its buttons do, what it shows before saving, and what a save keeps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.http import QueryDict
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.models import AuditEntry, Role, Team, User
from apps.configuration import documents, loading
from apps.dashboard import schedule_form
from apps.notifications.escalation_models import EscalationPolicy
from apps.oncall.models import Layer, Override, Schedule, ScheduleVersion
from apps.oncall.redrawing import Wanted, WantedLayer, fingerprint, told, wanted_of
from tests.incidents.builders import NOW, person, team
from tests.oncall.builders import layer_of, rotation_of

DAY = timedelta(days=1)
PAGE = "/on-call/s/night/edit/"


def fields_of(form: schedule_form.Form) -> dict[str, str]:
    """What a browser would send of this form."""
    sent = {name: value for name, value in form.head.items() if name != "mail_handover" or value}
    sent["order"] = " ".join(one.key for one in form.layers)
    for one in form.layers:
        k = one.key
        sent |= {
            f"{k}-{name}": getattr(one, name) for name in ("name", "date", "at", "count", "unit", "zone", "holidays")
        }
        sent |= {f"{k}-begins": one.begins, f"{k}-ends": one.ends}
        sent |= {f"{k}-m-{n}": name for n, name in enumerate(one.members)}
        for n, hours in enumerate(one.hours):
            sent |= {f"{k}-h-{n}-from": hours.start, f"{k}-h-{n}-to": hours.end}
            sent |= {f"{k}-h-{n}-{day}": "on" for day in hours.days}
    return sent


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
PEOPLE = {name: User(pk=n, username=name, role=Role.ON_CALL) for n, name in enumerate(("mara", "jon", "kim"), 1)}
TEAM = Team(pk=1, slug="ops", name="Operations")
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=0)
)
CLOCK = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
HOURS = st.builds(
    lambda days, start, end: {**({"days": days} if 0 < len(days) < 7 else {}), "from": start, "to": end},
    st.lists(st.sampled_from(schedule_form.WEEKDAYS), unique=True).map(
        lambda days: [day for day in schedule_form.WEEKDAYS if day in days]
    ),
    CLOCK,
    st.one_of(CLOCK, st.just("24:00")),
)


@st.composite
def layers(draw: Any) -> WantedLayer:
    begins = draw(MOMENTS)
    return WantedLayer(
        tuple(PEOPLE[name] for name in draw(st.lists(st.sampled_from(sorted(PEOPLE)), min_size=1, max_size=5))),
        begins,
        timedelta(minutes=draw(st.integers(10, 60 * 24 * 60))),
        draw(st.sampled_from(["", "Nights", "“Büro”"])),
        draw(st.one_of(st.just(""), ZONES)),
        tuple(draw(st.lists(HOURS, max_size=3))),
        draw(st.sampled_from(Layer.Holidays.values)),
        *draw(st.sampled_from([(None, None), (begins, None), (None, begins), (begins, begins + 9 * DAY)])),
    )


#: a busy machine is no finding
CALM = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@CALM
@given(st.lists(layers(), min_size=1, max_size=3), ZONES, st.booleans())
def test_the_form_of_a_schedule_reads_to_the_same(drawn: list[WantedLayer], zone: str, mail: bool) -> None:
    wanted = Wanted("night", TEAM, "Nights", tuple(drawn), 3, zone, "DE", "BY", mail)
    form = schedule_form.typed(fields_of(schedule_form.of(wanted)))
    read = schedule_form.read(form, {"ops": TEAM}, PEOPLE, "night")
    assert read.troubles == []
    assert read.wanted is not None
    assert _walls(told(read.wanted), zone) == _walls(told(wanted), zone)


def _walls(said: dict[str, Any], zone: str) -> dict[str, Any]:
    """With times as clocks show them: of an hour that comes twice the form says the first."""
    for layer in said["layers"]:
        own = schedule_form.zone_of(layer["time_zone"] or zone)
        for name in ("starts_at", "active_from", "active_until"):
            if layer[name]:
                layer[name] = datetime.fromisoformat(layer[name]).astimezone(own).replace(tzinfo=None, fold=0)
    return said


@CALM
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=8), st.text(max_size=12), st.data())
def test_rubbish_is_answered_with_sentences(post: dict[str, str], button: str, data: st.DataObject) -> None:
    some = fields_of(schedule_form.of(Wanted("n", TEAM, "N", (WantedLayer((PEOPLE["mara"],), NOW, DAY),))))
    broken = some | {data.draw(st.sampled_from(sorted(some))): data.draw(st.text(max_size=12))} | post
    form = schedule_form.typed(broken)
    schedule_form.press(form, button, NOW.date())
    read = schedule_form.read(form, {"ops": TEAM}, PEOPLE, "n")
    assert bool(read.troubles) is (read.wanted is None)
    assert all(sentence.endswith(".") for _, sentence in read.troubles)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "Give the schedule a name"),
        ({"team": "ghost"}, "Choose the team"),
        ({"time_zone": "Mars/Olympus"}, "Choose a time zone"),
        ({"country": "XX"}, "no holidays known for XX"),
        ({"position": "-1"}, "whole number"),
        ({"order": ""}, "at least one layer"),
        ({"a-m-0": ""}, "at least one person"),
        ({"a-m-0": "ghost"}, "not here any more"),
        ({"a-date": "2026-02-30"}, "first turn begins"),
        ({"a-at": "8 o'clock"}, "first turn begins"),
        ({"a-count": "0"}, "10 minutes to a year"),
        ({"a-count": "5", "a-unit": "minute"}, "10 minutes to a year"),
        ({"a-count": "9" * 6}, "10 minutes to a year"),
        ({"a-h-0-from": "20:00", "a-h-0-to": "08:00"}, "tick at least one weekday"),
        ({"a-h-0-from": "25:00", "a-h-0-to": "08:00", "a-h-0-mon": "on"}, "from a time to a time"),
        ({"a-h-0-from": "24:00", "a-h-0-to": "08:00", "a-h-0-mon": "on"}, "from a time to a time"),
        ({"a-zone": "Nowhere"}, "choose a time zone"),
        ({"a-begins": "2026-03-02T09:00", "a-ends": "2026-03-01T09:00"}, "comes after"),
        ({"a-begins": "soon"}, "a day and a time"),
        ({"a-holidays": "sometimes"}, "public holidays"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, str], words: str) -> None:
    some = fields_of(schedule_form.of(Wanted("n", TEAM, "N", (WantedLayer((PEOPLE["mara"],), NOW, DAY),))))
    read = schedule_form.read(schedule_form.typed(some | change), {"ops": TEAM}, PEOPLE, "n")
    assert words in " ".join(sentence for _, sentence in read.troubles)
    assert read.wanted is None


def test_buttons_move_add_and_take_away() -> None:
    both = tuple(WantedLayer((PEOPLE["mara"], PEOPLE["jon"]), NOW, DAY, name) for name in ("Low", "High"))
    form = schedule_form.of(Wanted("n", TEAM, "N", both))
    day = NOW.date()

    def names() -> list[str]:
        return [one.name for one in form.layers]

    assert names() == ["High", "Low"]
    assert schedule_form.press(form, "down:a", day) == ("High is now 2 of 2 from the top.", "a-down")
    assert names() == ["Low", "High"]
    schedule_form.press(form, "down:a", day)
    assert names() == ["Low", "High"], "the lowest stays the lowest"
    assert schedule_form.press(form, "later:a-0", day) == ("Now in turn 2 of 2.", "a-later-1")
    assert form.layers[1].members == ["jon", "mara"]
    schedule_form.press(form, "member:a", day)
    assert form.layers[1].members == ["jon", "mara", ""]
    schedule_form.press(form, "out:a-0", day)
    assert form.layers[1].members == ["mara", ""]
    schedule_form.press(form, "preset:a-weekends", day)
    assert [one.days for one in form.layers[1].hours] == [["fri"], ["sat", "sun"], ["mon"]]
    schedule_form.press(form, "nohours:a-1", day)
    assert len(form.layers[1].hours) == 2
    schedule_form.press(form, "layer:", day)
    assert [one.key for one in form.layers] == ["c", "b", "a"]
    schedule_form.press(form, "remove:b", day)
    assert [one.key for one in form.layers] == ["c", "a"]
    for rubbish in ("out:a-99", "up:zz", "preset:a-ghost", "", ":::", "later:a-x"):
        schedule_form.press(form, rubbish, day)
    assert [one.key for one in form.layers] == ["c", "a"]


# -- the page -----------------------------------------------------------------


@pytest.fixture
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def crew(db: None, clock: Any, client: Client) -> Schedule:
    boss = person("boss", role=Role.MANAGER)
    client.force_login(boss)
    mara, jon = (person(name, role=Role.ON_CALL) for name in ("mara", "jon"))
    schedule = rotation_of(team("night"), "Nights", NOW - NOW.weekday() * DAY, 7 * DAY, [mara, jon], country="DE")
    layer_of(schedule, NOW, DAY, [jon], name="Top", restrictions=[{"days": ["sat"], "from": "20:00", "to": "08:00"}])
    return schedule


def typed(schedule: Schedule, **change: str) -> dict[str, str]:
    wanted = wanted_of(schedule)
    names = {
        name.replace("_", "-", name.count("_")) if name[1:2] == "_" else name: value for name, value in change.items()
    }
    return fields_of(schedule_form.of(wanted)) | {"base": fingerprint(told(wanted))} | names


def test_the_page_shows_what_counts(client: Client, crew: Schedule) -> None:
    shown = client.get(PAGE).content.decode()
    for words in ('value="Top"', "No gaps", "nobody's time changes", 'value="20:00"', "style="):
        assert (words in shown) is (words != "style="), words
    assert "Change layers" in client.get("/on-call/s/night/").content.decode()


def test_a_change_is_shown_then_asked_then_kept(client: Client, crew: Schedule) -> None:
    sent = typed(crew, **{"b_m_0": "jon", "b_m_1": "mara"})
    looked = client.post(PAGE + "preview/", sent).content.decode()
    assert "Mara → <b>Jon</b>" in looked
    assert not ScheduleVersion.objects.exists()
    asked = client.post(PAGE + "save/", sent | {"note": "Jon first"})
    assert "from this moment on" in asked.content.decode()
    assert not ScheduleVersion.objects.exists(), "who is on call now changes: it asks first"
    sure = asked.context["sure"]
    assert client.post(PAGE + "save/", sent | {"sure": "else"}).status_code == 200
    kept = client.post(PAGE + "save/", sent | {"sure": sure, "note": "Jon first"})
    assert kept.status_code == 204
    assert [one.username for one in wanted_of(crew).layers[0].members] == ["jon", "mara"]
    first, second = ScheduleVersion.objects.order_by("version")
    assert (first.author_name, second.author_name, second.note) == ("", "Boss", "Jon first")
    entry = AuditEntry.objects.get(action="schedule.redrawn")
    assert entry.before is not None
    assert entry.before["layers"][0]["members"] == ["mara", "jon"]
    assert client.post(PAGE + "save/", sent | {"sure": sure}).status_code == 422, "it was changed meanwhile"
    page = client.get(PAGE).content.decode()
    assert "Version 2" in page
    assert "Go back to version 1" in page


def test_gaps_are_said_before_they_are_made(client: Client, crew: Schedule) -> None:
    sent = typed(crew, **{"b_h_0_from": "08:00", "b_h_0_to": "18:00", "b_h_0_mon": "on"})
    looked = client.post(PAGE + "save/", sent).content.decode()
    assert "Nobody is on call for" in looked
    assert "Save all the same" in looked


def test_a_save_that_says_the_same_makes_no_version(client: Client, crew: Schedule) -> None:
    assert client.post(PAGE + "save/", typed(crew)).status_code == 204
    assert not ScheduleVersion.objects.exists()
    assert not AuditEntry.objects.filter(action="schedule.redrawn").exists()


def test_overrides_stay_and_are_part_of_the_picture(client: Client, crew: Schedule) -> None:
    kim = person("kim")
    Override.objects.create(schedule=crew, user=kim, start=NOW, end=NOW + DAY)
    sent = typed(crew, b_count="2")
    assert "Kim" in client.post(PAGE + "preview/", sent).content.decode()
    asked = client.post(PAGE + "save/", sent)
    if asked.status_code == 200:
        client.post(PAGE + "save/", sent | {"sure": asked.context["sure"]})
    assert Override.objects.filter(schedule=crew, user=kim).exists()


def test_an_earlier_version_comes_back(client: Client, crew: Schedule) -> None:
    before = told(wanted_of(crew))
    sent = typed(crew, a_name="Weekend")
    assert client.post(PAGE + "save/", sent).status_code == 204
    base = fingerprint(told(wanted_of(crew)))
    assert client.post(PAGE + "go-back/", {"version": "9", "base": base}).status_code == 404
    client.post(PAGE + "go-back/", {"version": "1", "base": "old"})
    assert told(wanted_of(crew)) != before, "what it began with was not there any more"
    client.post(PAGE + "go-back/", {"version": "1", "base": base})
    assert told(wanted_of(Schedule.objects.get(pk=crew.pk))) == before
    assert ScheduleVersion.objects.first().note == "Version 1 again"  # type: ignore[union-attr]
    assert "You look at version 2" in client.get(PAGE + "?version=2").content.decode()


def test_what_a_file_says_after_a_save_counts_and_the_version_can_come_back(client: Client, crew: Schedule) -> None:
    assert client.post(PAGE + "save/", typed(crew, a_name="Weekend")).status_code == 204
    shown = client.get(PAGE).content.decode()
    assert "counts now" in shown
    assert "Go back to version 2" not in shown
    crew.layers.filter(name="Weekend").update(name="From the file")
    shown = client.get(PAGE).content.decode()
    assert "counts now" not in shown
    base = fingerprint(told(wanted_of(crew)))
    client.post(PAGE + "go-back/", {"version": "2", "base": base})
    assert crew.layers.filter(name="Weekend").exists()
    said = list(crew.versions.values_list("version", "author_name", "note"))
    assert said[:2] == [(4, "Boss", "Version 2 again"), (3, "", "")], "what the file said is a version too"


def test_a_new_schedule(client: Client, crew: Schedule) -> None:
    shown = client.get("/on-call/s/-/edit/").content.decode()
    assert "New schedule" in shown
    assert "Give the schedule a name" not in shown, "nobody has filled it in yet"
    new = typed(crew, slug="days", name="Days") | {"base": ""}
    assert "already" in client.post("/on-call/s/-/edit/save/", new | {"slug": "night"}).content.decode()
    assert (
        "short name has small letters"
        in client.post("/on-call/s/-/edit/preview/", new | {"slug": "Ä"}).content.decode()
    )
    assert client.post("/on-call/s/-/edit/save/", new).status_code == 204
    made = Schedule.objects.get(slug="days")
    assert (made.team.slug, made.versions.count(), made.layers.count()) == ("night", 1, 2)


def test_what_was_drawn_on_the_page_is_what_the_file_says(client: Client, crew: Schedule) -> None:
    sent = typed(crew, a_name="Weekend", a_zone="Europe/Berlin", a_holidays="never")
    assert client.post(PAGE + "save/", sent).status_code == 204
    drawn = told(wanted_of(crew))
    exported = documents.dump(loading.export())
    assert loading.load([documents.parse(exported, "x.yaml")], NOW) == []
    Schedule.objects.all().delete()
    loading.load([documents.parse(exported, "x.yaml")], NOW)
    assert told(wanted_of(Schedule.objects.get(slug="night"))) == drawn


def test_it_is_not_removed_while_a_policy_calls_it(client: Client, crew: Schedule) -> None:
    steps = [{"after": 0, "targets": [{"kind": "schedule", "ref": "night"}]}]
    policy = EscalationPolicy.objects.create(slug="p", name="Night shift", steps=steps)
    assert "Called by Night shift" in client.get(PAGE).content.decode()
    client.post(PAGE + "remove/")
    assert Schedule.objects.filter(slug="night").exists()
    policy.delete()
    client.post(PAGE + "remove/")
    assert not Schedule.objects.filter(slug="night").exists()
    assert AuditEntry.objects.filter(action="schedule.removed").exists()


def test_buttons_answer_the_changed_form(client: Client, crew: Schedule) -> None:
    shown = client.post(PAGE + "draft/", typed(crew) | {"do": "up:b"}, headers={"HX-Request": "true"})
    assert shown.context["form"].layers[0].key == "b"
    assert 'data-focus="b-up"' in shown.content.decode()
    assert Layer.objects.get(name="Top").position == 1


def test_only_who_may_draw_draws(client: Client, crew: Schedule) -> None:
    client.force_login(User.objects.get(username="mara"))
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE + "save/", typed(crew)).status_code == 403
    assert "Change layers" not in client.get("/on-call/s/night/").content.decode()


def test_queries_do_not_grow_with_layers(client: Client, crew: Schedule, queries: Callable[[str], int]) -> None:
    one = queries(PAGE)
    for n in range(8):
        layer_of(crew, NOW, DAY, [person(f"p{n}")], name=f"L{n}")
    assert queries(PAGE) <= one


def test_what_nobody_typed_is_no_layer() -> None:
    assert schedule_form.typed(QueryDict("order=a a ../x <b>").dict()).layers[0].key == "a"
