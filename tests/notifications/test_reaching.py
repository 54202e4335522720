"""Whom a step of an escalation really reaches: who and what is named and cannot be called is passed over and said, and
when nobody is left the tower says so truly and loudly."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apps.accounts.models import Role, User
from apps.incidents import workflow
from apps.incidents.models import Incident, IncidentEvent
from apps.notifications.auditing import look
from apps.notifications.escalation_models import EscalationPolicy, EscalationRoute
from apps.notifications.escalation_outlook import would_call
from apps.notifications.escalation_tick import tick
from apps.notifications.models import Channel, ContactMethod, Delivery, Preference
from apps.notifications.planning import plan
from tests.incidents.builders import HOUR, MINUTE, NOW, draft, person, team, uid
from tests.oncall.builders import rotation_of

pytestmark = pytest.mark.django_db
NEVER: dict[str, Any] = {"day": {"how": "never", "by": ["email"]}, "quiet": {"how": "never", "by": ["email"]}}


@pytest.fixture
def mara() -> User:
    return person("mara", role=Role.MANAGER)


@pytest.fixture
def jon() -> User:
    return person("jon", role=Role.MANAGER)


def policy(*steps: tuple[int, list[str]]) -> EscalationPolicy:
    """steps: (minutes after, ["kind:ref", ..]); every incident follows it."""
    rows = [
        {"after": after, "targets": [dict(zip(("kind", "ref"), one.split(":"), strict=True)) for one in targets]}
        for after, targets in steps
    ]
    made = EscalationPolicy.objects.create(slug="night", name="Night", steps=rows)
    EscalationRoute.objects.create(position=10, policy=made)
    return made


def room(slug: str = "room", **values: Any) -> Channel:
    values = {"kind": "email", "config": {"to": f"{slug}@tower.example"}} | values
    return Channel.objects.create(slug=slug, name=slug.title(), created_at=NOW, **values)


def raised(**values: Any) -> Incident:
    workflow.raise_findings([draft(1, cause=1, **values)], NOW)
    plan(NOW)
    return Incident.objects.get(fingerprint=uid("cause", 1))


def called(incident: Incident) -> list[str]:
    rows = Delivery.objects.filter(incident_event__incident=incident).order_by("id")
    return [row.recipient.split("@")[0] for row in rows]


def nobody(incident: Incident) -> list[str]:
    return [row.text for row in incident.timeline.filter(kind="notified", data__nobody=True).order_by("id")]


def opened(incident: Incident) -> IncidentEvent:
    return incident.timeline.get(kind="opened")


def without_address(user: User) -> None:
    User.objects.filter(pk=user.pk).update(email="")


def with_topic(user: User, channel: Channel) -> None:
    """Reached by a channel that serves people's own addresses, and by nothing else."""
    without_address(user)
    ContactMethod.objects.create(user=user, channel=channel, address="mara-phone", verified_at=NOW, created_at=NOW)


@pytest.mark.parametrize("how", ["no address", "left", "never", "channel off", "nobody of that name"])
def test_a_step_that_reaches_nobody_is_passed_over_at_once(mara: User, jon: User, how: str) -> None:
    first = "person:mara"
    if how == "no address":
        without_address(mara)
    elif how == "left":
        User.objects.filter(pk=mara.pk).update(is_active=False)
    elif how == "never":
        Preference.objects.create(user=mara, changed_at=NOW, rules={"normal": NEVER})
    elif how == "channel off":
        first = f"channel:{room(enabled=False).slug}"
    else:
        first = "person:ghost"
    policy((0, [first]), (10, ["person:jon"]))
    incident = raised()
    assert called(incident) == ["jon"]
    words = {
        "no address": "Mara has no address that works",
        "left": "Mara has left",
        "never": "Mara wants no news of normal severity at this hour",
        "channel off": "the channel Room is switched off",
        "nobody of that name": "there is no “ghost”",
    }
    assert opened(incident).data["missing"] == [words[how]]
    assert nobody(incident) == []


def test_of_several_named_those_who_can_be_reached_are_called_and_the_others_said(mara: User, jon: User) -> None:
    without_address(mara)
    policy((0, ["person:mara", "person:jon"]), (10, ["person:mara"]))
    incident = raised()
    assert called(incident) == ["jon"]
    assert opened(incident).data["missing"] == ["Mara has no address that works"]


def test_a_later_step_says_on_the_timeline_whom_it_does_not_reach(mara: User, jon: User) -> None:
    person("kim", role=Role.MANAGER)
    policy((0, ["person:mara"]), (10, ["person:jon"]), (10, ["person:kim"]))
    incident = raised()
    without_address(jon)
    tick(NOW + 10 * MINUTE)
    plan(NOW + 10 * MINUTE)
    assert called(incident) == ["mara", "kim"]
    row = incident.timeline.get(kind="escalated")
    assert row.text == "Step 3 of 3: Kim (Jon has no address that works)"


def test_a_persons_only_channel_is_switched_off(mara: User, jon: User) -> None:
    row = room("phones", config={})
    with_topic(mara, row)
    policy((0, ["person:mara"]), (10, ["person:jon"]))
    Channel.objects.update(enabled=False)
    incident = raised()
    assert called(incident) == ["jon"]


def test_a_channel_that_goes_between_the_step_and_its_sending_leaves_the_usual_routing(mara: User) -> None:
    kim = person("kim", role=Role.ON_CALL)
    policy((0, [f"person:{mara.username}"]), (10, [f"channel:{room().slug}"]))
    incident = raised()
    tick(NOW + 10 * MINUTE)
    Channel.objects.update(enabled=False)
    plan(NOW + 10 * MINUTE)
    assert called(incident) == ["mara", kim.username]


def test_when_no_step_reaches_anybody_the_usual_routing_calls(mara: User) -> None:
    crew = team("night")
    kim = person("kim", role=Role.MANAGER)
    rotation_of(crew, "Night", NOW, timedelta(days=7), [kim])
    without_address(mara)
    policy((0, ["person:mara"]), (10, ["channel:gone"]))
    incident = raised(team_id=crew.pk)
    assert called(incident) == ["kim"]
    assert nobody(incident) == []


def test_nobody_at_all_is_said_truly_and_the_auditor_speaks_up(mara: User) -> None:
    crew = team("night", email="")
    kim = person("kim", role=Role.MANAGER, email="")
    rotation_of(crew, "Night", NOW, timedelta(days=7), [kim])
    without_address(mara)
    policy((0, ["person:mara"]), (10, ["channel:gone"]))
    incident = raised(team_id=crew.pk)
    assert called(incident) == []
    [text] = nobody(incident)
    assert text == (
        "Nobody could be called: Mara has no address that works; there is no channel “gone”; "
        "Kim, on call for Night, has no address that works; the team has no address; nobody has the role on-call."
    )
    assert [one.kind for one in look(NOW + MINUTE)] == ["uncalled"]
    assert "1 incident is open and calls nobody" in look(NOW + MINUTE)[0].sentence


def test_a_channel_that_listens_is_no_call(mara: User) -> None:
    """A room that hears of everything does not hide that the people a policy names were not reached."""
    room("ops", listens=True, min_severity="low")
    without_address(mara)
    policy((0, ["person:mara"]))
    incident = raised()
    assert called(incident) == ["ops"]
    [text] = nobody(incident)
    assert text.endswith("Only channels that listen were told: ops.")
    assert [one.kind for one in look(NOW + MINUTE)] == ["uncalled"]


def test_without_a_policy_a_room_that_listens_is_enough() -> None:
    room("ops", listens=True, min_severity="low")
    incident = raised()
    assert called(incident) == ["ops"]
    assert nobody(incident) == []


def test_the_auditor_is_calm_once_a_later_call_was_sent_or_somebody_has_it(mara: User, jon: User) -> None:
    without_address(mara)
    policy((0, ["person:mara"]))
    incident = raised()
    at = NOW + HOUR
    assert [one.kind for one in look(at)] == ["uncalled"]
    workflow.acknowledge(incident.pk, jon, at)
    assert look(at) == []
    User.objects.filter(pk=mara.pk).update(email="mara@tower.example")
    workflow.unacknowledge(incident.pk, jon, at)
    plan(at)
    assert called(incident) == ["mara"]
    assert [one.kind for one in look(at)] == ["uncalled"]
    Delivery.objects.update(state="sent", attempts=1, sent_at=at)
    assert look(at + MINUTE) == []


def test_those_who_chose_to_hear_nothing_are_no_fault(mara: User) -> None:
    Preference.objects.create(user=mara, changed_at=NOW, rules={"normal": NEVER})
    policy((0, ["person:mara"]))
    incident = raised()
    assert (called(incident), nobody(incident), look(NOW + MINUTE)) == ([], [], [])


def test_what_is_critical_reaches_also_who_wants_nothing(mara: User) -> None:
    Preference.objects.create(user=mara, changed_at=NOW, rules={"critical": NEVER})
    policy((0, ["person:mara"]))
    assert called(raised(severity="critical")) == ["mara"]


@pytest.mark.parametrize("own", [False, True])
def test_a_call_of_a_policy_waits_for_no_digest_that_nobody_chose(mara: User, own: bool) -> None:
    if own:
        digest = {"how": "digest", "by": ["email"]}
        Preference.objects.create(user=mara, changed_at=NOW, rules={"low": {"day": digest, "quiet": digest}})
    policy((0, ["person:mara"]))
    raised(severity="low")
    assert (Delivery.objects.get().held_until is not None) is own


def test_news_that_follows_no_policy_keeps_the_digest_for_low_ones() -> None:
    person("kim", role=Role.ON_CALL)
    raised(severity="low")
    assert Delivery.objects.get().held_until is not None


def test_the_page_says_who_would_not_be_reached(mara: User, jon: User) -> None:
    Preference.objects.create(user=mara, changed_at=NOW, rules={"low": NEVER})
    policy((0, ["person:mara"]), (10, ["person:jon"]))
    [(_, first), (_, second)] = would_call(NOW, "low").calls
    assert (first.anybody, first.missing) == (False, ("Mara wants no news of low severity at this hour",))
    assert second.names == ("Jon",)
    [(_, first), _] = would_call(NOW, "high").calls
    assert first.names == ("Mara",)
