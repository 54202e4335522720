"""Calendars out and in: what a feed says is what the schedule says, and a file becomes overrides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import icalendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import Role
from apps.oncall import feeds, importing
from apps.oncall.importing import CalendarFileError, read
from apps.oncall.models import Override, Schedule
from apps.oncall.rotation import load, on_call
from tests.incidents.builders import HOUR, NOW, person, team
from tests.oncall.builders import rotation_of

DAY = timedelta(days=1)


@pytest.fixture
def crew(db: None) -> Schedule:
    people = [person(name, role=Role.ON_CALL, last_name="Lind") for name in ("mara", "jon")]
    schedule = rotation_of(team("night"), "Nights", NOW, DAY, people)
    schedule.layers.update(restrictions=[{"from": "20:00", "to": "08:00"}])
    return schedule


def events(body: bytes) -> list[tuple[datetime, datetime, str]]:
    found = icalendar.Calendar.from_ical(body).walk("VEVENT")
    return sorted((one["DTSTART"].dt, one["DTEND"].dt, str(one["SUMMARY"])) for one in found)


def test_a_feed_says_what_the_schedule_says_gaps_included(crew: Schedule) -> None:
    [loaded] = load(Schedule.objects.all(), NOW - feeds.BACK, NOW + feeds.AHEAD)
    said = events(feeds.schedule_feed(crew, NOW))
    expected = [
        (one.start, one.end, f"Nights: {loaded.people[one.user].display_name if one.user else 'nobody'}")
        for one in loaded.shifts(NOW - feeds.BACK, NOW + feeds.AHEAD)
    ]
    assert said == sorted(expected)
    assert {words for _, _, words in said} == {"Nights: Mara Lind", "Nights: Jon Lind", "Nights: nobody"}


def test_a_persons_feed_holds_their_own_shifts_only(crew: Schedule) -> None:
    mara = loaded = crew.layers.get().members.get(position=0).user
    said = events(feeds.person_feed(mara, NOW))
    assert 80 < len(said) < 120
    assert {words for _, _, words in said} == {"On call: Nights"}
    assert all(on_call(crew.team_id, start) == [loaded] for start, _, _ in said[:20])


def test_ids_stay_so_that_calendars_do_not_double(crew: Schedule) -> None:
    def ids(now: datetime) -> set[str]:
        return {str(one["UID"]) for one in icalendar.Calendar.from_ical(feeds.schedule_feed(crew, now)).walk("VEVENT")}

    first, later = ids(NOW), ids(NOW + DAY)
    assert len(first & later) > len(first) - 5


def test_a_token_opens_one_thing_until_it_is_renewed(crew: Schedule) -> None:
    token = feeds.schedule_token(crew)
    assert feeds.schedule_for("night", token) == crew
    assert feeds.schedule_for("night", token[:-1] + "x") is None
    assert feeds.schedule_for("other", token) is None
    assert feeds.schedule_for("night", "") is None
    feeds.renew_schedule(crew)
    assert feeds.schedule_for("night", token) is None
    mara = person("lea")
    own = feeds.person_token(mara)
    assert feeds.person_for(mara.pk, own) == mara
    assert feeds.person_for(mara.pk + 1, own) is None
    assert feeds.person_for(mara.pk, token) is None
    feeds.renew_person(mara)
    assert feeds.person_for(mara.pk, own) is None
    mara.is_active = False
    mara.save()
    assert feeds.person_for(mara.pk, feeds.person_token(mara)) is None


PEOPLE = {"mara": 1, "mara@tower.example": 1, "mara lind": 1, "jon": 2}


def calendar(*blocks: str) -> bytes:
    body = "\r\n".join(
        f"BEGIN:VEVENT\r\nUID:{n}\r\nDTSTAMP:20260301T000000Z\r\n{block}\r\nEND:VEVENT"
        for n, block in enumerate(blocks)
    )
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nX-WR-CALNAME:Rota\r\n{body}\r\nEND:VCALENDAR\r\n".encode()


@pytest.mark.parametrize(
    ("block", "who"),
    [
        ("SUMMARY:mara", 1),
        ("SUMMARY:On call: Mara LIND", 1),
        ("SUMMARY:Night - jon", 2),
        ("SUMMARY:Bereitschaft\r\nATTENDEE;CN=Mara:mailto:MARA@tower.example", 1),
        ("SUMMARY:Somebody else", None),
        ("", None),
    ],
)
def test_who_an_event_means(block: str, who: int | None) -> None:
    name, [entry] = read(
        calendar(f"DTSTART:20260302T200000Z\r\nDTEND:20260303T080000Z\r\n{block}".strip()), PEOPLE, "UTC", NOW
    )
    assert (name, entry.person) == ("Rota", who)
    assert (entry.start, entry.end) == (datetime(2026, 3, 2, 20, tzinfo=UTC), datetime(2026, 3, 3, 8, tzinfo=UTC))


def test_times_repeats_days_and_zones() -> None:
    body = calendar(
        "SUMMARY:mara\r\nDTSTART;TZID=Europe/Berlin:20260323T200000\r\nDTEND;TZID=Europe/Berlin:20260324T080000\r\nRRULE:FREQ=WEEKLY;COUNT=2",
        "SUMMARY:jon\r\nDTSTART;VALUE=DATE:20260401\r\nDTEND;VALUE=DATE:20260402",
        "SUMMARY:jon\r\nDTSTART:20260410T100000\r\nDURATION:PT2H",
        "SUMMARY:jon\r\nDTSTART:20260411T100000Z\r\nDTEND:20260411T100000Z",
        "SUMMARY:jon\r\nDTSTART:20260412T100000Z\r\nDTEND:20260412T110000Z\r\nSTATUS:CANCELLED",
    )
    _, found = read(body, PEOPLE, "America/New_York", NOW)
    assert [f"{one.start:%m-%d %H} {one.end:%m-%d %H}" for one in found] == [
        "03-23 19 03-24 07",
        "03-30 18 03-31 06",  # Berlin has changed its clocks meanwhile
        "04-01 04 04-02 04",
        "04-10 14 04-10 16",
    ]


WEEKLY = "SUMMARY:mara\r\nDTSTART;TZID={0}:20260303T080000\r\nDTEND;TZID={0}:20260303T180000\r\nRRULE:FREQ=WEEKLY;COUNT=5\r\n"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "W. Europe Standard Time", "/mozilla.org/20050126_1/Europe/Berlin"])
@pytest.mark.parametrize(
    "left_out",
    [
        "EXDATE;TZID={0}:20260310T080000",
        "EXDATE:20260310T070000Z",  # the same moment, as some programs write it
        "EXDATE;VALUE=DATE:20260310",
    ],
)
def test_days_left_out_of_a_repeat_over_the_change_of_clocks(zone: str, left_out: str) -> None:
    _, found = read(calendar((WEEKLY + left_out).format(zone)), PEOPLE, "Asia/Tokyo", NOW)
    assert [f"{one.start:%m-%d %H}" for one in found] == ["03-03 07", "03-17 07", "03-24 07", "03-31 06"]


def test_a_whole_day_over_the_change_of_clocks_is_as_long_as_that_day() -> None:
    [one] = read(calendar("SUMMARY:mara\r\nDTSTART;VALUE=DATE:20260329"), PEOPLE, "Europe/Berlin", NOW)[1]
    assert (one.end - one.start).total_seconds() == 23 * 3600


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not an iCalendar"),
        (b"\x00\xff\xfe", "not an iCalendar"),
        (b"Subject,Start\nMara,2026-03-01", "not an iCalendar"),
        (b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n", "no events"),
        (calendar("SUMMARY:mara\r\nDTSTART:20260302T200000Z\r\nRRULE:FREQ=SECONDLY"), "more often than daily"),
        (calendar("SUMMARY:mara\r\nDTSTART:20260302T200000Z\r\nRRULE:FREQ=OFTEN"), "cannot be read"),
        (calendar("SUMMARY:mara\r\nDTSTART;TZID=Nowhere/Land:20260302T200000"), "“Nowhere/Land”, which is unknown"),
        (calendar('SUMMARY:mara\r\nDTSTART;TZID="(UTC+01:00) Berlin, Rome":20260302T200000'), "unknown here"),
        (b"x" * 1_000_001, "larger"),
    ],
)
def test_files_that_are_none_are_refused_in_words(body: bytes, words: str) -> None:
    with pytest.raises(CalendarFileError, match=words):
        read(body, PEOPLE, "UTC", NOW)


@given(
    st.binary(max_size=300)
    | st.text(max_size=200).map(lambda text: calendar(f"SUMMARY:{text}\r\nDTSTART:20260302T200000Z"))
)
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    try:
        _, found = read(body, PEOPLE, "UTC", NOW)
    except CalendarFileError:
        return
    assert all(one.start < one.end for one in found)


def test_importing_again_replaces_and_reports_whom_it_does_not_know(crew: Schedule) -> None:
    jon = crew.layers.get().members.get(position=1).user
    by_hand = Override.objects.create(schedule=crew, user=jon, start=NOW, end=NOW + HOUR)

    def load_file(*blocks: str) -> importing.Imported:
        name, entries = read(calendar(*blocks), importing.people_by_name(), "UTC", NOW)
        return importing.apply(crew, name, entries, jon, NOW)

    shift = "DTSTART:202603{}T200000Z\r\nDTEND:202603{}T230000Z\r\nSUMMARY:{}"
    first = load_file(shift.format("05", "05", "Jon Lind"), shift.format("06", "06", "Stranger"))
    assert (first.added, first.removed, first.unknown) == (1, 0, ["Stranger"])
    second = load_file(shift.format("05", "05", "jon"), shift.format("07", "07", "mara"))
    assert (second.added, second.removed, second.unknown) == (2, 1, [])
    assert set(Override.objects.values_list("source", flat=True)) == {"", "ics"}
    assert Override.objects.filter(pk=by_hand.pk).exists()
    assert on_call(crew.team_id, datetime(2026, 3, 7, 21, tzinfo=UTC))[0].username == "mara"


def test_a_feed_that_is_imported_into_an_empty_schedule_says_the_same(crew: Schedule) -> None:
    empty = rotation_of(team("copy"), "Copy", NOW, DAY, [])
    body = feeds.schedule_feed(crew, NOW)
    name, entries = read(body, importing.people_by_name(), "UTC", NOW)
    importing.apply(empty, name, entries, person("boss"), NOW)
    [original] = load(Schedule.objects.filter(pk=crew.pk), NOW, NOW + 20 * DAY)
    [copy] = load(Schedule.objects.filter(pk=empty.pk), NOW, NOW + 20 * DAY)
    for hour in range(20 * 24):
        assert original.at(NOW + hour * HOUR) == copy.at(NOW + hour * HOUR)
