"""Tickets move with their incident: against servers that keep an issue or a record and its workflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from apps.notifications.contract import CHANNELS, DeliveryError, News
from apps.notifications.dispatch import LEASE
from apps.notifications.http import MOST_STEPS, TIMEOUT
from tests.incidents.builders import NOW
from tests.notifications.receiver import Receiver, Taken, receiving
from tests.notifications.samples import message, news, target

STATUS = {"new": "To do", "indeterminate": "Under way", "done": "Closed"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@dataclass
class Jira:
    """One project. flow: category of status -> categories its workflow leads to from there."""

    flow: dict[str, list[str]] = field(
        default_factory=lambda: {
            "new": ["indeterminate", "done"],
            "indeterminate": ["new", "done"],
            "done": ["new", "indeterminate"],
        }
    )
    status: str = ""
    comments: list[str] = field(default_factory=list)
    #: the answer to a comment or a transition, where it is not the usual one
    refused: dict[str, int] = field(default_factory=dict)

    def __call__(self, one: Taken) -> tuple[int, bytes]:
        path = urlsplit(one.path).path
        deed = path.rsplit("/", 1)[1]
        if path.startswith("/rest/api/3/search"):
            shown = {"key": "OPS-7", "fields": {"status": {"statusCategory": {"key": self.status}}}}
            return 200, json.dumps({"issues": [shown] if self.status else []}).encode()
        if path == "/rest/api/2/issue":
            self.status = "new"
            return 201, b'{"id": "1", "key": "OPS-7"}'
        if one.method == "POST" and deed in self.refused:
            return self.refused[deed], b"{}"
        if deed == "comment":
            self.comments.append(one.json["body"])
            return 201, b"{}"
        offered = self.flow[self.status]
        if one.method == "GET":
            rows = [
                {"id": str(40 + n), "name": "Go", "to": {"name": STATUS[to], "statusCategory": {"key": to}}}
                for n, to in enumerate(offered)
            ]
            return 200, json.dumps({"transitions": rows}).encode()
        self.status = offered[int(one.json["transition"]["id"]) - 40]
        return 204, b""


@dataclass
class ServiceNow:
    """One table. strict: a data policy that wants a resolution code before a record is resolved."""

    record: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    strict: bool = False
    closed: bool = False
    gone: bool = False

    def __call__(self, one: Taken) -> tuple[int, bytes]:
        if one.method == "GET":
            rows = [{"sys_id": "abc", "number": "INC1", "state": self.record["state"]}] if self.record else []
            return 200, json.dumps({"result": rows}).encode()
        if one.method == "POST":
            self.record = {"state": "1"} | one.json
            return 201, b"{}"
        if self.gone:
            return 404, b"{}"
        said = one.json
        if "state" in said and (self.closed or (self.strict and said["state"] == "6" and not said.get("close_code"))):
            return 403, b'{"error": {"message": "Operation Failed"}}'
        self.notes.append(said.pop("work_notes"))
        self.record |= said
        return 200, b"{}"


def tell(kind: str, receiver: Receiver, one: News, **config: Any) -> str:
    plugin, where = CHANNELS.get(kind), target(kind, receiver.url)
    where = type(where)({**where.config, **config}, where.secrets, where.door)
    return plugin.send(message(kind, one), where, NOW + timedelta(hours=1))


def test_an_issue_moves_with_its_incident(receiver: Receiver) -> None:
    receiver.mood = jira = Jira()
    tell("jira", receiver, news())
    seen = [jira.status]
    for one in (
        news("acknowledged", state="Acknowledged"),
        news("severity", held=True),
        news("unacknowledged", given_back=True),
        news("escalated"),
        news("resolved"),
        news("reopened"),
        news("merged"),
    ):
        tell("jira", receiver, one)
        seen.append(jira.status)
    assert seen == ["new", "indeterminate", "indeterminate", "new", "new", "done", "new", "done"]
    asked = [one for one in receiver.taken if one.method == "GET" and one.path.endswith("/transitions")]
    assert len(asked) == 5, "only where it has to move"
    assert len(jira.comments) == 7


def test_a_workflow_without_a_way_back_to_the_start_reopens_where_it_can(receiver: Receiver) -> None:
    receiver.mood = jira = Jira(status="done", flow={"done": ["indeterminate"], "indeterminate": ["done"]})
    assert tell("jira", receiver, news("reopened")) == "Comment added to OPS-7, moved to Under way."
    # and from there it does not move to where it is already
    assert "does not let the tower move" in tell("jira", receiver, news("unacknowledged", given_back=True))
    assert jira.status == "indeterminate"


@pytest.mark.parametrize("how", ["no transition", "refused", "a screen wants more"])
def test_what_a_workflow_refuses_is_said_and_the_comment_comes_all_the_same(receiver: Receiver, how: str) -> None:
    flow = {"new": []} if how == "no transition" else {"new": ["done"]}
    refused = {"refused": {"transitions": 403}, "a screen wants more": {"transitions": 400}}.get(how, {})
    receiver.mood = jira = Jira(status="new", flow=flow, refused=refused)
    said = tell("jira", receiver, news("resolved"))
    assert said == (
        "Comment added to OPS-7, which its workflow does not let the tower move."
        if how == "no transition"
        else "Comment added to OPS-7, which could not be moved to Closed."
    )
    assert (jira.status, len(jira.comments)) == ("new", 1)


def test_a_repeat_after_a_failed_comment_moves_once_and_comments_once(receiver: Receiver) -> None:
    receiver.mood = jira = Jira(status="new", refused={"comment": 503})
    with pytest.raises(DeliveryError):
        tell("jira", receiver, news("acknowledged"))
    assert jira.status == "indeterminate"
    jira.refused = {}
    tell("jira", receiver, news("acknowledged"))
    moves = [one for one in receiver.taken if one.method == "POST" and one.path.endswith("/transitions")]
    assert (len(moves), len(jira.comments)) == (1, 1)


def test_an_issue_that_was_deleted_is_no_fault_of_the_channel(receiver: Receiver) -> None:
    receiver.mood = Jira(status="new", refused={"comment": 404})
    with pytest.raises(DeliveryError, match="OPS-7 was deleted") as caught:
        tell("jira", receiver, news("resolved"))
    assert (caught.value.permanent, caught.value.blames_channel) == (True, False)


def test_an_issue_made_for_what_somebody_has_already_is_in_progress(receiver: Receiver) -> None:
    receiver.mood = jira = Jira()
    assert tell("jira", receiver, news(held=True)) == "Issue OPS-7 made, moved to Under way."
    assert jira.status == "indeterminate"


def test_nothing_is_made_of_an_acknowledgment_alone(receiver: Receiver) -> None:
    receiver.mood = jira = Jira()
    assert "no issue of it" in tell("jira", receiver, news("acknowledged"))
    receiver.mood = table = ServiceNow()
    assert "no record of it" in tell("servicenow", receiver, news("acknowledged"))
    assert (jira.status, table.record) == ("", {})


def test_who_wants_no_moves_gets_comments(receiver: Receiver) -> None:
    receiver.mood = jira = Jira(status="new")
    tell("jira", receiver, news("resolved"), moves=False)
    assert (jira.status, len(jira.comments)) == ("new", 1)
    receiver.mood = table = ServiceNow({"state": "1"})
    tell("servicenow", receiver, news("resolved"), state_over="")
    assert (table.record, len(table.notes)) == ({"state": "1"}, 1)


@pytest.mark.parametrize(
    "answer", [b"[]", b"nonsense", b'{"transitions": 5}', b'{"transitions": [1, {"to": 2}, {"id": 3}]}']
)
def test_nonsense_for_transitions_moves_nothing(receiver: Receiver, answer: bytes) -> None:
    jira = Jira(status="new")

    def mood(one: Taken) -> tuple[int, bytes]:
        return (200, answer) if one.path.endswith("/transitions") else jira(one)

    receiver.mood = mood
    assert "does not let the tower move" in tell("jira", receiver, news("resolved"))
    assert len(jira.comments) == 1


def test_a_record_moves_with_its_incident(receiver: Receiver) -> None:
    receiver.mood = table = ServiceNow(strict=True)
    tell("servicenow", receiver, news())
    seen = [table.record["state"]]
    for one in (
        news("acknowledged"),
        news("unacknowledged", given_back=True),
        news("escalated"),
        news("resolved"),
        news("reopened"),
    ):
        tell("servicenow", receiver, one)
        seen.append(table.record["state"])
    assert seen == ["1", "2", "1", "1", "6", "1"]
    assert table.record["close_code"] == "Solution provided"
    assert len(table.notes) == 5


def test_a_record_that_takes_no_state_gets_the_note(receiver: Receiver) -> None:
    receiver.mood = table = ServiceNow({"state": "7"}, closed=True)
    assert tell("servicenow", receiver, news("reopened")) == "Work note added; the table did not take the state 1."
    assert (table.record["state"], len(table.notes)) == ("7", 1)
    table.gone = True
    with pytest.raises(DeliveryError, match="was deleted") as caught:
        tell("servicenow", receiver, news("resolved"))
    assert (caught.value.permanent, caught.value.blames_channel) == (True, False)


def test_a_record_made_for_what_somebody_has_already_is_in_progress(receiver: Receiver) -> None:
    receiver.mood = table = ServiceNow()
    tell("servicenow", receiver, news(held=True))
    assert table.record["state"] == "2"


def test_all_calls_of_a_message_end_within_its_lease() -> None:
    assert (MOST_STEPS + 1) * timedelta(seconds=TIMEOUT) < LEASE
