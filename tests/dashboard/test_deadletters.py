"""Dead letters by cause, their verbs and their undoing; orphans, conflicts and one receipt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.accounts.models import AuditEntry, User
from apps.collectors.models import DeadLetter, ReceiptState, ReplayItem, ReplayRun
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
    causes = client.get("/dead-letters/").context["causes"]
    assert sum(one.count for one in causes if one.code == "json.syntax") == 3
    assert len({one.code for one in causes}) == 2
    page = html(client, "/dead-letters/?integration=acme-events&code=json.syntax")
    assert "Replay 3" in page
    assert page.count(f"/receipts/{broken[0]}/") == 1
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page


def test_a_replay_is_tried_before_anything_is_written(client: Client, broken: list[int], olga: User) -> None:
    answer = client.post("/dead-letters/replay/", {**CAUSE, "all": "1"}, follow=True)
    run = ReplayRun.objects.get()
    assert answer.redirect_chain == [(f"/replays/{run.pk}/", 302)]
    assert "A replay now would change nothing" in answer.content.decode()
    assert (run.what, run.asked_by, run.counts) == ("json.syntax of acme-events", olga, {"fails": 3})
    assert DeadLetter.objects.filter(state="open").count() == 4
    assert ReceiptState.objects.filter(status="waiting").count() == 0


def test_replay_of_a_cause_leaves_the_others(client: Client, broken: list[int], olga: User) -> None:
    client.post("/dead-letters/replay/", {**CAUSE, "all": "1"})
    client.post(f"/replays/{ReplayRun.objects.get().pk}/start/")
    assert set(DeadLetter.objects.filter(state="replayed").values_list("code", flat=True)) == {"json.syntax"}
    assert DeadLetter.objects.filter(state="open", code="json.syntax").count() == 3, "they failed again"
    assert AuditEntry.objects.get(action="receipts.replayed").actor == olga


def test_after_the_mend_the_events_come(client: Client) -> None:
    source = integration("Old shop")
    told(source, [{"no": "SO-1", "at": NOW.isoformat()}])
    letter = DeadLetter.objects.first()
    assert letter is not None
    reads = {"type": "order.placed", "happened_at": "$.at", "id": "$.no"}
    references = [{"kind": "sales_order", "path": "$.no"}]
    source.mapping = Mapping.objects.create(slug="shop", spec={"events": [{**reads, "references": references}]})
    source.save()
    page = client.post("/dead-letters/replay/", {"id": [letter.pk]}, follow=True).content.decode()
    assert "Opens SO-1" in page or "would tell something new" in page
    assert Event.objects.count() == 0
    answer = client.post(f"/replays/{ReplayRun.objects.get().pk}/start/", follow=True)
    assert "“placed” reached" in answer.content.decode()
    assert Event.objects.count() == 1


def test_causes_are_told_apart_by_what_happens_and_not_by_its_numbers(client: Client) -> None:
    source = integration()
    rows = [
        ("Line 7: “a” is late", "x.y"),
        ("Line 12: “b” is late", "x.y"),
        ("Nothing came", "x.y"),
        ("Nothing came", "x.z"),
    ]
    for sentence, code in rows:
        DeadLetter.objects.create(
            receipt_id=1, received_at=NOW, integration=source, code=code, sentence=sentence, created_at=NOW
        )
    causes = client.get("/dead-letters/").context["causes"]
    assert sorted((one.code, one.count) for one in causes) == [("x.y", 1), ("x.y", 2), ("x.z", 1)]
    both = next(one for one in causes if one.count == 2)
    page = client.get(f"/dead-letters/{both.href}")
    assert page.context["all_count"] == 2
    assert [one.sentence for one in page.context["letters"]] == ["Line 12: “b” is late", "Line 7: “a” is late"]


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


@pytest.mark.parametrize("verb", ["replay", "dismiss", "restore"])
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


def test_one_dead_letter_shows_its_place_and_who_can_mend_it(client: Client) -> None:
    told(integration(), [b'{"type": "order.placed",\n "id": }', bytes(range(200, 256)) * 40])
    syntax = DeadLetter.objects.get(code="json.syntax")
    answer = client.get(f"/dead-letters/{syntax.pk}/")
    page = answer.context["page"]
    assert page.fault.who == "partner"
    [here] = [line for line in page.lines if line.here]
    assert (here.number, here.before, here.mark) == ("2", ' "id": ', "}")
    binary = DeadLetter.objects.exclude(code="json.syntax").get()
    shown = client.get(f"/dead-letters/{binary.pk}/").context["page"]
    assert shown.is_hex
    assert shown.lines[0].mark.startswith("c8 c9") or shown.lines[0].before.startswith("c8 c9")
    assert client.get("/dead-letters/999999/").status_code == 404


def test_a_dead_letter_of_a_mapping_leads_to_its_editor(client: Client) -> None:
    reads = {"type": {"path": "$.t", "values": {"A": "order.placed"}}, "happened_at": "$.at"}
    spec = {"events": [{**reads, "references": [{"kind": "sales_order", "path": "$.no"}]}]}
    source = integration(mapping=Mapping.objects.create(slug="shop", spec=spec))
    [receipt] = told(source, [{"t": "NEW", "at": NOW.isoformat(), "no": "1"}])
    page = html(client, f"/dead-letters/{DeadLetter.objects.get().pk}/")
    assert f"/integrations/acme-events/mapping/?receipt={receipt}" in page
    assert "The mapping" in page


def test_a_second_person_agrees(client: Client, broken: list[int], settings: Any) -> None:
    settings.REPLAY_APPROVAL_ABOVE = 2
    client.post("/dead-letters/replay/", {**CAUSE, "all": "1"})
    run = ReplayRun.objects.get()
    address = f"/replays/{run.pk}/"
    client.post(f"{address}start/", {"reason": "their fault"})
    assert "Somebody other than you" in html(client, address)
    client.post(f"{address}approve/")
    run.refresh_from_db()
    assert run.state == "asked"
    assert "waits for a yes" in html(client, "/replays/")
    client.force_login(person("manager"))
    assert client.post(f"{address}approve/").status_code == 403
    client.force_login(person("on_call"))
    assert "their fault" in html(client, address)
    client.post(f"{address}approve/")
    run.refresh_from_db()
    assert (run.state, run.done, run.approved_by) == ("done", 3, person("on_call"))


@pytest.mark.parametrize("verb", ["start", "approve", "cancel"])
def test_verbs_out_of_turn_say_so(client: Client, broken: list[int], verb: str) -> None:
    client.post("/dead-letters/replay/", {**CAUSE, "all": "1"})
    run = ReplayRun.objects.get()
    client.post(f"/replays/{run.pk}/cancel/")
    answer = client.post(f"/replays/{run.pk}/{verb}/", follow=True)
    assert "This replay is cancelled." in answer.content.decode()
    assert client.post(f"/replays/99999/{verb}/").status_code == 404


def test_one_verdict_and_its_pages(client: Client) -> None:
    run = ReplayRun.objects.create(what="many", total=120, tried=120, state="tried", asked_at=NOW, counts={"safe": 120})
    ReplayItem.objects.bulk_create(
        ReplayItem(run=run, receipt_id=n, verdict="safe", sentence=f"Reaches {n}.") for n in range(120)
    )
    first = client.get(f"/replays/{run.pk}/?verdict=safe").context["page"]
    assert (len(first.items), first.after) == (50, "49")
    assert len(client.get(f"/replays/{run.pk}/?verdict=safe&after=99").context["page"].items) == 20
    assert client.get(f"/replays/{run.pk}/?verdict=%00&after=%27").status_code == 200


@pytest.mark.parametrize(
    "query", ["state=x&after=9e9", "q=%00", "code=%27", "undo=2026-03-18", "undo=x", "after=" + "9" * 40]
)
def test_strange_questions_are_answered(client: Client, broken: list[int], query: str) -> None:
    for path in ("/dead-letters/", "/dead-letters/orphans/", "/dead-letters/conflicts/"):
        html(client, f"{path}?{query}")


def test_bounded_queries(client: Client, queries: Callable[[str], int]) -> None:
    paths = ["/dead-letters/", "/dead-letters/orphans/", "/dead-letters/conflicts/", "/replays/"]
    fill(1)
    paths.append(f"/dead-letters/{DeadLetter.objects.earliest('pk').pk}/")
    first = [queries(path) for path in paths]
    fill(50)
    ReplayRun.objects.bulk_create(ReplayRun(what="x", total=1, asked_at=NOW) for _ in range(50))
    assert [queries(path) for path in paths] == first
    assert max(first) <= 10
