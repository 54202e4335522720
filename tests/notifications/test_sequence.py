"""An alert outside ends as the incident stands here, whatever fails, in whatever order, however often it is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.incidents import workflow
from apps.incidents.merging import merge, unmerge
from apps.incidents.models import Incident
from apps.incidents.workflow import NotPossible
from apps.notifications import dispatch, keeping
from apps.notifications.contract import DeliveryError
from apps.notifications.messages import thread_id
from apps.notifications.models import Channel, Delivery
from apps.notifications.passing_on import walk
from apps.notifications.planning import plan
from apps.notifications.replaying import replay
from tests.incidents.builders import HOUR, MINUTE, NOW, draft, person, uid
from tests.notifications.receiver import LOOPBACK, Receiver, Taken, receiving

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)
#: what the receiver does with a request: takes it; takes it and hangs up before it answers; is down; refuses for good
MOODS = ("ok", "lost", "down", "never")


class Outside:
    """What an alerting tool of PagerDuty's kind makes of the events it takes: key -> state of the alert."""

    def __init__(self) -> None:
        self.alerts: dict[str, str] = {}
        self.moods: list[str] = []

    def __call__(self, one: Taken) -> tuple[int, bytes] | None:
        mood = self.moods.pop(0) if self.moods else "ok"
        if mood == "down":
            return 503, b"{}"
        if mood == "never":
            return 400, b"{}"
        key, action = one.json["dedup_key"], one.json["event_action"]
        before = self.alerts.get(key)
        if action == "trigger":
            self.alerts[key] = "acknowledged" if before == "acknowledged" else "open"
        elif before in ("open", "acknowledged"):
            self.alerts[key] = "resolved" if action == "resolve" else "acknowledged"
        return (202, b"{}") if mood == "ok" else None


def tool(receiver: Receiver) -> Channel:
    row = Channel(
        slug="tool",
        name="Tool",
        kind="pagerduty",
        config={"base_url": receiver.url, "allow_networks": [LOOPBACK]},
        listens=True,
        min_severity="low",
        created_at=NOW,
    )
    keeping.put_secrets(row, {"routing_key": "pagerduty-secret-routing-key"}, NOW)
    row.save()
    return row


def key_of(pk: int) -> str:
    return thread_id(pk).strip("<>").split("@", 1)[0]


class Story:
    """Two incidents, a tool that takes their alerts, and dispatchers of which some die or come back late."""

    def __init__(self, receiver: Receiver) -> None:
        self.mara = person("mara", email="")
        self.now = NOW
        self.outside = Outside()
        receiver.mood = self.outside
        receiver.taken.clear()
        self.receiver = receiver
        tool(receiver)
        workflow.raise_findings([draft(n, cause=n) for n in (0, 1)], NOW)
        self.pks = [Incident.objects.get(fingerprint=uid("cause", n)).pk for n in (0, 1)]
        self.asleep: list[dispatch.Claim] = []

    def do(self, verb: str, which: int, moods: list[str]) -> None:
        self.now += 7 * SECOND
        self.outside.moods = list(moods)
        try:
            with transaction.atomic():
                self._verb(verb, self.pks[which])
        except NotPossible:
            pass

    def _verb(self, verb: str, pk: int) -> None:
        now, mara = self.now, self.mara
        match verb:
            case "acknowledge":
                workflow.acknowledge(pk, mara, now)
            case "unacknowledge":
                workflow.unacknowledge(pk, mara, now)
            case "resolve":
                workflow.resolve(pk, mara, now, "fixed")
            case "reopen":
                workflow.reopen(pk, mara, now)
            case "worsen":
                workflow.rate(pk, mara, now, "critical", "it grows")
            case "merge":
                merge([pk], next(one for one in self.pks if one != pk), mara, now)
            case "unmerge":
                unmerge(pk, mara, now)
            case "send":
                dispatch.run(now)
            case "wait":
                self.now += 2 * MINUTE
            case "die":
                self._die()
            case "come back":
                self._come_back()

    def _die(self) -> None:
        """Sends, and dies before it marks: its lease will run out."""
        while plan(self.now):
            pass
        claim = dispatch.claim_next(self.now)
        if claim is not None:
            self._sent(claim)
            self.asleep.append(claim)

    def _come_back(self) -> None:
        """Was asleep since its claim: its request arrives only now, and it marks."""
        for claim in self.asleep:
            if self._sent(claim):
                dispatch.mark_sent(claim, self.now)
            else:
                dispatch.mark_failed(claim, "asleep", self.now, permanent=False)
        self.asleep = []

    def _sent(self, claim: dispatch.Claim) -> bool:
        fresh = Delivery.objects.select_related("incident_event__incident").get(pk=claim.head.pk)
        try:
            dispatch.send(dispatch.Claim(fresh, []), self.now)
        except DeliveryError:
            return False
        return True

    def end(self) -> None:
        """All is well again, a day passes a few times, and what was given up is sent once more."""
        self.outside.moods = []
        for _ in range(3):
            self.now += 26 * HOUR
            dispatch.run(self.now)
            replay(None, self.mara, self.now)
        dispatch.run(self.now)

    def holds(self) -> None:
        for pk in self.pks:
            here = Incident.objects.get(pk=pk).state
            assert self.outside.alerts.get(key_of(pk), "resolved") == here
        sent = list(Delivery.objects.filter(channel="tool"))
        assert {one.state for one in sent} <= {"sent"}
        assert {one.message_id.strip("<>").split("@", 1)[0] for one in sent} <= set(self.receiver.keys())


VERBS = (
    "acknowledge",
    "unacknowledge",
    "resolve",
    "reopen",
    "worsen",
    "merge",
    "unmerge",
    "send",
    "wait",
    "die",
    "come back",
)
steps = st.tuples(
    st.sampled_from([*VERBS, "send", "send"]), st.integers(0, 1), st.lists(st.sampled_from(MOODS), max_size=3)
)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(steps, max_size=8))
@example(story=[("send", 0, ["down"] * 3), ("resolve", 0, []), ("send", 0, [])])
@example(story=[("resolve", 0, []), ("send", 0, [])])
@example(story=[("send", 0, ["never"] * 2), ("acknowledge", 0, []), ("resolve", 1, []), ("send", 0, [])])
@example(story=[("send", 0, []), ("merge", 0, []), ("send", 0, ["lost"]), ("unmerge", 0, []), ("send", 0, ["lost"])])
@example(
    story=[
        ("die", 0, []),
        ("wait", 0, []),
        ("resolve", 0, []),
        ("resolve", 1, []),
        ("send", 0, []),
        ("come back", 0, []),
    ]
)
def test_the_last_word_outside_is_ours(receiver: Receiver, story: list[tuple[str, int, list[str]]]) -> None:
    with transaction.atomic():
        told = Story(receiver)
        for verb, which, moods in story:
            told.do(verb, which, moods)
        told.end()
        told.holds()
        transaction.set_rollback(True)


def test_a_later_message_waits_for_the_earlier_one(receiver: Receiver) -> None:
    told = Story(receiver)
    told.do("send", 0, ["down"])
    [key] = {one.json["dedup_key"] for one in receiver.taken}
    failed = next(pk for pk in told.pks if key_of(pk) == key)
    Delivery.objects.filter(incident_event__incident=failed).update(next_at=NOW + HOUR)
    told.do("resolve", told.pks.index(failed), [])
    told.do("send", 0, [])
    assert {one.json["dedup_key"] for one in receiver.taken[1:]} == {key_of(pk) for pk in told.pks} - {key}
    dispatch.run(NOW + HOUR)
    ours = [one.json["event_action"] for one in receiver.taken if one.json["dedup_key"] == key]
    assert ours == ["trigger", "trigger", "resolve"], "the first one was not taken, and came in its place"
    told.holds()


def test_a_replay_of_what_was_given_up_does_not_reopen_what_is_over(receiver: Receiver) -> None:
    told = Story(receiver)
    told.do("send", 0, ["never", "never"])
    told.do("resolve", 0, [])
    told.do("send", 0, [])
    assert Delivery.objects.filter(state="dead").count() == 2
    assert replay(None, told.mara, told.now) == 2
    dispatch.run(told.now + SECOND)
    assert told.outside.alerts == {key_of(told.pks[0]): "resolved", key_of(told.pks[1]): "open"}


def test_a_merge_ends_the_alert_and_its_undoing_brings_it_back_in_the_hands_of_who_undid_it(receiver: Receiver) -> None:
    told = Story(receiver)
    told.do("send", 0, [])
    told.do("merge", 0, [])
    told.do("send", 0, [])
    gone, kept = key_of(told.pks[0]), key_of(told.pks[1])
    assert told.outside.alerts == {gone: "resolved", kept: "open"}
    told.do("unmerge", 0, [])
    told.do("send", 0, [])
    assert told.outside.alerts == {gone: "acknowledged", kept: "open"}
    assert not Delivery.objects.exclude(channel="tool").exists(), "no person is told of either"


places = st.sampled_from([("a", "*"), ("b", "*")])
rows = st.lists(
    st.one_of(
        st.tuples(st.just("call"), places),
        st.tuples(st.sampled_from(["resolved", "merged", "unmerged", "acknowledged"]), st.none()),
    ),
    max_size=12,
)


@given(rows=rows)
def test_whoever_was_called_hears_of_every_end_once(rows: list[tuple[str, Any]]) -> None:
    """Played to the places, the turns leave each alert as the last row says: open only if something opened it since."""
    calls = [(n, place) for n, (kind, place) in enumerate(rows) if kind == "call"]
    turns = [(n, kind) for n, (kind, _) in enumerate(rows) if kind != "call"]
    told = walk(calls, turns)
    for place in (("a", "*"), ("b", "*")):
        is_open, by_merge = False, False
        for n, (kind, called) in enumerate(rows):
            hears = kind != "call" and place in told[n]
            if kind == "call":
                is_open = is_open or called == place
            elif kind == "unmerged":
                assert hears == by_merge
                is_open, by_merge = is_open or by_merge, False
            else:
                assert hears == is_open
                if kind != "acknowledged":
                    by_merge = kind == "merged" and is_open
                    is_open = False
