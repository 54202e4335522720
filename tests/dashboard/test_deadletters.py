"""Dead letters by cause, their verbs and their undoing; orphans, conflicts and one receipt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.accounts.models import AuditEntry, User
from apps.collectors.models import DeadLetter, ReceiptState
from apps.flows.models import Event, Orphan
from apps.integrations.models import Mapping
from tests.dashboard.network import HOUR, NOW, definitions, event, fill, integration, person, told

pytestmark = pytest.mark.django_db
CAUSE = {"integration": "acme-events", "code": "json.syntax"}


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def olga(client: Client) -> User:
    definitions()
    who = person("operations")
    client.force_login(who)
    return who


@pytest.fixture
def broken() -> list[int]:
    """Three messages that are no JSON, and one that names no event."""
    return told(integration(), [b"{", b'{"a":', b"<script>alert(1)</script>", event(1, "no.such.event")])


def html(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_causes_with_counts_and_the_list_with_places(client: Client, broken: list[int]) -> None:
    causes = {one.code: one.count for one in client.get("/dead-letters/").context["causes"]}
    assert causes["json.syntax"] == 3
    assert len(causes) == 2
    page = html(client, "/dead-letters/?integration=acme-events&code=json.syntax")
    assert "Replay 3" in page
    assert page.count(f"/receipts/{broken[0]}/") == 1
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page


def test_a_dry_run_writes_nothing(client: Client, broken: list[int]) -> None:
    answer = client.post("/dead-letters/rehearse/", {**CAUSE, "all": "1"}).content.decode()
    assert "would change nothing: 3 of 3" in answer.replace("<span data-n>", "").replace("</span>", "")
    assert DeadLetter.objects.filter(state="open").count() == 4
    assert ReceiptState.objects.filter(status="waiting").count() == 0


def test_replay_of_a_cause_leaves_the_others(client: Client, broken: list[int], olga: User) -> None:
    assert client.post("/dead-letters/replay/", {**CAUSE, "all": "1"}).status_code == 302
    assert set(DeadLetter.objects.filter(state="replayed").values_list("code", flat=True)) == {"json.syntax"}
    assert ReceiptState.objects.filter(status="waiting").count() == 3
    assert AuditEntry.objects.get(action="receipts.replayed").actor == olga


def test_after_the_mend_a_dry_run_counts_the_events(client: Client) -> None:
    source = integration("Old shop")
    told(source, [{"no": "SO-1", "at": NOW.isoformat()}])
    letter = DeadLetter.objects.first()
    assert letter is not None
    reads = {"type": "order.placed", "happened_at": "$.at", "id": "$.no"}
    references = [{"kind": "sales_order", "path": "$.no"}]
    source.mapping = Mapping.objects.create(slug="shop", spec={"events": [{**reads, "references": references}]})
    source.save()
    found = client.post("/dead-letters/rehearse/", {"id": [letter.pk]}).context["found"]
    assert (found.events, found.failing) == (1, ())
    assert Event.objects.count() == 0


def test_dismiss_and_take_it_back(client: Client, broken: list[int]) -> None:
    answer = client.post("/dead-letters/dismiss/", {**CAUSE, "all": "1"}, follow=True)
    assert DeadLetter.objects.filter(state="dismissed").count() == 3
    assert answer.context["undo_count"] == 3
    undo = answer.context["undo_at"]
    client.post("/dead-letters/restore/", {"undo": undo})
    assert DeadLetter.objects.filter(state="open").count() == 4
    assert list(AuditEntry.objects.values_list("action", flat=True)) == [
        "dead_letters.restored",
        "dead_letters.dismissed",
    ]


def test_nobody_undoes_what_another_dismissed_by_its_moment(client: Client, broken: list[int]) -> None:
    answer = client.post("/dead-letters/dismiss/", {**CAUSE, "all": "1"}, follow=True)
    client.force_login(person("on_call"))
    client.post("/dead-letters/restore/", {"undo": answer.context["undo_at"]})
    assert DeadLetter.objects.filter(state="dismissed").count() == 3


def test_only_ticked_ones(client: Client, broken: list[int]) -> None:
    first = DeadLetter.objects.order_by("pk").first()
    assert first is not None
    client.post("/dead-letters/dismiss/", {"id": [first.pk, "x", "9" * 30]})
    assert list(DeadLetter.objects.filter(state="dismissed")) == [first]
    client.post("/dead-letters/dismiss/", {})
    assert DeadLetter.objects.filter(state="dismissed").count() == 1


@pytest.mark.parametrize("verb", ["rehearse", "replay", "dismiss", "restore"])
def test_managers_look_and_do_not_touch(client: Client, broken: list[int], verb: str) -> None:
    client.force_login(person("manager"))
    assert "Dismiss" not in html(client, "/dead-letters/?integration=acme-events&code=json.syntax").replace(
        "Dismissed", ""
    )
    assert client.post(f"/dead-letters/{verb}/", {**CAUSE, "all": "1"}).status_code == 403
    assert client.get(f"/dead-letters/{verb}/").status_code == 403


def test_orphans_wait_with_their_age(client: Client) -> None:
    told(integration(), [event(1)], NOW - 3 * HOUR)
    assert Orphan.objects.count() == 1
    page = html(client, "/dead-letters/orphans/")
    assert "1Z000001" in page
    assert "3 h ago" in page
    assert "No event waits" in html(client, "/dead-letters/orphans/?type=order.placed")


def test_the_same_id_with_other_content_is_a_conflict(client: Client) -> None:
    assert "No conflicts" in html(client, "/dead-letters/conflicts/")
    told(integration(), [event(1), event(1, happened_at=(NOW - 2 * HOUR).isoformat())])
    assert client.get("/dead-letters/conflicts/").context["found"][0].source_event_id == "e1"


def test_one_message(client: Client, broken: list[int]) -> None:
    page = html(client, f"/receipts/{broken[2]}/")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "json.syntax" in page
    assert client.get("/receipts/999999/").status_code == 404


@pytest.mark.parametrize(
    "query", ["state=x&after=9e9", "q=%00", "code=%27", "undo=2026-03-18", "undo=x", "after=" + "9" * 40]
)
def test_strange_questions_are_answered(client: Client, broken: list[int], query: str) -> None:
    for path in ("/dead-letters/", "/dead-letters/orphans/", "/dead-letters/conflicts/"):
        html(client, f"{path}?{query}")


def test_bounded_queries(client: Client, queries: Callable[[str], int]) -> None:
    paths = ("/dead-letters/", "/dead-letters/orphans/", "/dead-letters/conflicts/")
    fill(1)
    first = [queries(path) for path in paths]
    fill(50)
    assert [queries(path) for path in paths] == first
    assert max(first) <= 8
