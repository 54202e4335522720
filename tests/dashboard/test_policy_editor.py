"""The editor of an escalation policy: what it keeps, refuses and says; its versions; two people at once."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.accounts.models import AuditEntry, Role, User
from apps.notifications.escalation_models import EscalationPolicy, EscalationRoute
from apps.notifications.models import Channel
from apps.oncall.models import Schedule
from tests.incidents.builders import HOUR, NOW, person, team
from tests.oncall.builders import rotation_of

pytestmark = pytest.mark.django_db
EDIT = "/escalation/p/night-shift/"


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def crew() -> Schedule:
    people = [person(name, role=Role.ON_CALL) for name in ("mara", "jon")]
    return rotation_of(team("night"), "Nights", NOW, timedelta(days=1), people)


@pytest.fixture
def boss(client: Client) -> User:
    who = person("boss", role=Role.MANAGER)
    client.force_login(who)
    return who


def text(response: Any, status: int = 200) -> str:
    assert response.status_code == status, response.content.decode()[:2000]
    return str(response.content.decode())


def base_on(page: str) -> str:
    """What the form says it began with."""
    found = re.search(r'name="base" value="([0-9a-f]*)"', page)
    assert found is not None
    return found[1]


STEPS = {
    "after-1": "",
    "target-1-1": "schedule:night",
    "after-2": "10",
    "target-2-1": "person:jon",
    "target-2-2": "person:boss",
}
POLICY = {"name": "Night shift", "repeat": "1", "pause": "30", "lapse": "60", "remind": ""}


def test_a_policy_is_made_followed_and_previewed(client: Client, crew: Schedule, boss: User) -> None:
    assert "No policy yet" in text(client.get("/escalation/"))
    looked = text(client.post("/escalation/add/", POLICY | STEPS | {"do": "look"}))
    assert "If it broke now" in looked
    assert 'id="step-3"' in looked
    assert not EscalationPolicy.objects.exists()
    assert client.post("/escalation/add/", POLICY | STEPS | {"do": "save"}).status_code == 302
    row = EscalationPolicy.objects.get()
    assert row.slug == "night-shift"
    assert [(step["after"], len(step["targets"])) for step in row.steps] == [(0, 1), (10, 2)]
    assert row.lapse_after == HOUR
    client.post(
        "/escalation/lines/", {"policy": row.slug, "hours": "any", "severities": ["critical"], "teams": ["night"]}
    )
    shown = text(client.get("/escalation/?at=2026-03-02T22:00&severity=critical&team=night"))
    assert "Follows <b>Night shift</b>" in shown
    assert "Jon, Boss" in shown
    assert "No policy fits" in text(client.get("/escalation/?severity=low&team=night"))
    edited = text(client.get("/escalation/p/night-shift/"))
    assert 'value="schedule:night" selected' in edited
    client.post(
        "/escalation/p/night-shift/", POLICY | STEPS | {"name": "Nights", "base": base_on(edited), "do": "save"}
    )
    row.refresh_from_db()
    assert row.name == "Nights"
    client.post("/escalation/p/night-shift/remove/")
    assert not EscalationRoute.objects.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target-1-1": "", "target-2-1": "", "target-2-2": ""}, "at least one step"),
        ({"after-2": "0"}, "at least a minute"),
        ({"after-2": "soon"}, "whole minutes"),
        ({"name": ""}, "This field is required"),
        ({"repeat": "99"}, "less than or equal to 20"),
    ],
)
def test_a_policy_that_makes_no_sense_comes_back(
    client: Client, crew: Schedule, boss: User, changes: dict[str, str], words: str
) -> None:
    shown = text(client.post("/escalation/add/", POLICY | STEPS | changes | {"do": "save"}), 422)
    assert words in shown
    assert not EscalationPolicy.objects.exists()


@pytest.fixture
def kept(client: Client, crew: Schedule, boss: User) -> EscalationPolicy:
    client.post("/escalation/add/", POLICY | STEPS | {"do": "save"})
    return EscalationPolicy.objects.get()


def test_what_a_step_names_and_is_gone_stays_until_somebody_drops_it(client: Client, kept: EscalationPolicy) -> None:
    Channel.objects.create(slug="room", name="Room", kind="ntfy", config={}, enabled=False, created_at=NOW)
    kept.steps[1]["targets"] = [{"kind": "person", "ref": "jon"}, {"kind": "channel", "ref": "room"}]
    kept.save()
    User.objects.filter(username="jon").update(is_active=False)
    page = text(client.get(EDIT))
    assert '<option value="person:jon" selected>jon (gone)</option>' in page
    assert '<option value="channel:room" selected>Room (switched off)</option>' in page
    assert "Step 2 names “jon”, which is not there any more" in page
    same = {
        "after-1": "0",
        "target-1-1": "schedule:night",
        "after-2": "10",
        "target-2-1": "person:jon",
        "target-2-2": "channel:room",
    }
    assert client.post(EDIT, POLICY | same | {"name": "Nights", "base": base_on(page), "do": "save"}).status_code == 302
    kept.refresh_from_db()
    assert kept.steps[1]["targets"] == [{"kind": "person", "ref": "jon"}, {"kind": "channel", "ref": "room"}]


def test_the_picture_says_who_would_not_be_reached(client: Client, kept: EscalationPolicy) -> None:
    User.objects.filter(username="jon").update(email="")
    for page in (EDIT, "/escalation/"):
        assert "Not reached</span></span>: Jon has no address that works." in text(client.get(page))


def test_a_name_that_never_was_there_is_refused(client: Client, kept: EscalationPolicy) -> None:
    posted = POLICY | STEPS | {"target-2-2": "person:ghost", "base": base_on(text(client.get(EDIT))), "do": "save"}
    assert "Step 2: there is no person “ghost”" in text(client.post(EDIT, posted), 422)
    kept.refresh_from_db()
    assert "ghost" not in str(kept.steps)


def test_of_two_who_edit_at_once_the_second_is_told(client: Client, kept: EscalationPolicy) -> None:
    base = base_on(text(client.get(EDIT)))
    client.post(EDIT, POLICY | STEPS | {"name": "First", "base": base, "do": "save"})
    answer = text(client.post(EDIT, POLICY | STEPS | {"name": "Second", "base": base, "do": "save"}), 409)
    assert "Somebody changed this policy since you opened it" in answer
    assert 'value="Second"' in answer
    kept.refresh_from_db()
    assert kept.name == "First"
    EscalationPolicy.objects.all().delete()
    assert client.post(EDIT, POLICY | STEPS | {"base": base, "do": "save"}).status_code == 404


def test_versions_say_who_saved_what_and_any_of_them_comes_back(
    client: Client, kept: EscalationPolicy, boss: User
) -> None:
    base = base_on(text(client.get(EDIT)))
    changed = {"name": "Nights", "target-2-2": "", "note": "The boss sleeps", "base": base, "do": "save"}
    client.post(EDIT, POLICY | STEPS | changed)
    page = text(client.get(EDIT))
    assert [(one.version, one.author_name, one.note) for one in kept.versions.all()] == [
        (2, "Boss", "The boss sleeps"),
        (1, "Boss", ""),
    ]
    assert "at once: Nights; +10 min: Jon, Boss" in page
    assert "counts now" in page.split('id="version-1"')[0]
    early = text(client.get(EDIT + "?version=1"))
    assert "You look at version 1 by Boss" in early
    assert 'value="person:boss" selected' in early
    client.post(EDIT + "go-back/", {"version": "1", "base": base})
    kept.refresh_from_db()
    assert kept.name == "Nights", "an old base changes nothing"
    client.post(EDIT + "go-back/", {"version": "1", "base": base_on(page)})
    kept.refresh_from_db()
    assert (kept.name, len(kept.steps[1]["targets"])) == ("Night shift", 2)
    assert kept.versions.first().note == "Version 1 again"  # type: ignore[union-attr]
    entry = AuditEntry.objects.filter(action="escalation.changed").latest("id")
    assert (entry.actor, entry.after["note"]) == (boss, "Version 1 again")
    assert client.post(EDIT + "go-back/", {"version": "9", "base": ""}).status_code == 404


def test_what_a_file_said_becomes_a_version_before_a_page_replaces_it(
    client: Client, crew: Schedule, boss: User
) -> None:
    steps = [{"after": 0, "targets": [{"kind": "person", "ref": "boss"}]}]
    row = EscalationPolicy.objects.create(slug="night-shift", name="From a file", steps=steps)
    client.post(EDIT, POLICY | STEPS | {"base": base_on(text(client.get(EDIT))), "do": "save"})
    assert [(one.name, one.author_name) for one in row.versions.all()] == [("Night shift", "Boss"), ("From a file", "")]
