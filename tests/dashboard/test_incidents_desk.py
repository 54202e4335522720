"""The desk's further pages: bulk verbs, merge, files, flows, letters, changes, runbooks, reviews, figures, wall, app."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Role, User
from apps.dashboard.selectors.desk_metrics import desk_metrics
from apps.flows.models import FlowDefinition, FlowLink
from apps.incidents import workflow
from apps.incidents.models import Finding, Incident, IncidentEvent, Review, Runbook
from apps.incidents.workflow import clear_findings, raise_findings
from apps.integrations.models import ChangeMarker
from apps.notifications.models import Delivery
from apps.sla.models import Expectation, SlaRule
from tests.incidents.builders import HOUR, MINUTE, NOW, draft, flow, integration, partner, person, uid

HTMX = {"HX-Request": "true"}
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def mara(client: Client) -> User:
    who = person("mara", role=Role.ON_CALL, last_name="Lind", time_zone="Europe/Berlin")
    client.force_login(who)
    return who


def incident(cause: str = "carrier", **changes: Any) -> Incident:
    [finding] = raise_findings([draft(cause, cause, **changes)], NOW - HOUR)
    return Incident.objects.get(pk=finding.incident_id)


def body(answer: Any) -> str:
    return str(answer.content.decode())


def parcels() -> None:
    """The definition of the builders' flows."""
    spec = {
        "identified_by": ["tracking_number"],
        "milestones": [{"name": "scan", "label": "First scan", "reached_by": ["scan"]}],
    }
    FlowDefinition.objects.get_or_create(slug="parcel", defaults={"name": "Parcel", "spec": spec})


def broken(n: int, **changes: Any) -> Incident:
    """n flows late under one rule, and the incident about them."""
    parcels()
    rule = SlaRule.objects.create(
        slug="scan", name="Scan", flow_slug="parcel", milestone="scan", target=Decimal(98), spec={}
    )
    flows = [flow(f"P-{k}", value=Decimal(10), currency="EUR") for k in range(n)]
    found = raise_findings(
        [draft(k, "carrier", flow_id=one.pk, due_at=NOW - HOUR, **changes) for k, one in enumerate(flows)], NOW - HOUR
    )
    for finding in found:
        assert finding.flow is not None
        Expectation.objects.create(
            flow=finding.flow, definition=finding.flow.definition, milestone="scan", rule=rule, origin={},
            due_at=NOW - HOUR, state="BREACHED", finding=finding,
        )  # fmt: skip
    return Incident.objects.get()


@pytest.mark.django_db
class TestBulk:
    @pytest.mark.parametrize(
        ("said", "state"),
        [
            ({"verb": "acknowledge"}, "acknowledged"),
            ({"verb": "snooze", "minutes": "60"}, "snoozed"),
            ({"verb": "resolve", "resolution": "fixed"}, "resolved"),
            ({"verb": "assign", "to": "person:{mara}"}, "open"),
            ({"verb": "label", "label": "peak, edi"}, "open"),
        ],
    )
    def test_one_verb_over_many(self, client: Client, mara: User, said: dict[str, str], state: str) -> None:
        ids = [incident(cause).pk for cause in ("a", "b", "c")]
        filled = {name: value.format(mara=mara.pk) for name, value in said.items()}
        answer = client.post("/incidents/bulk/", {"id": ids[:2], **filled, "back": "/incidents/?tab=mine"}, follow=True)
        assert answer.redirect_chain == [("/incidents/?tab=mine", 302)]
        assert "2 " in body(answer)
        found = dict(Incident.objects.values_list("pk", "state"))
        assert found == {ids[0]: state, ids[1]: state, ids[2]: "open"}

    def test_what_is_not_possible_is_said_by_number_and_stops_nothing(self, client: Client, mara: User) -> None:
        a, b = incident("a"), incident("b")
        workflow.acknowledge(a.pk, person("omar"), NOW)
        answer = client.post("/incidents/bulk/", {"id": [a.pk, b.pk, 99999], "verb": "acknowledge"}, follow=True)
        shown = body(answer)
        assert "1 acknowledged." in shown
        assert f"2 not acknowledged. #{a.pk}: Omar already acknowledged" in shown
        b.refresh_from_db()
        assert b.acknowledged_by == mara

    def test_merge_keeps_the_first(self, client: Client, mara: User) -> None:
        a, b, c = incident("a"), incident("b"), incident("c")
        client.post("/incidents/bulk/", {"id": [b.pk, a.pk, c.pk], "verb": "merge"})
        b.refresh_from_db()
        assert (b.open_findings, Incident.objects.filter(merged_into=b).count()) == (3, 2)

    @pytest.mark.parametrize("said", [{}, {"id": ["x", "-1", "9" * 30]}, {"id": ["1"], "verb": "explode"}])
    def test_nonsense_changes_nothing(self, client: Client, mara: User, said: dict[str, Any]) -> None:
        incident()
        before = IncidentEvent.objects.count()
        answer = client.post("/incidents/bulk/", {**said, "back": "//elsewhere.example/"})
        assert (answer.status_code, answer["Location"]) == (302, "/incidents/")
        assert IncidentEvent.objects.count() == before

    def test_managers_may_not(self, client: Client) -> None:
        client.force_login(person("boss", role=Role.MANAGER))
        assert client.post("/incidents/bulk/", {"id": [1], "verb": "acknowledge"}).status_code == 403
        assert 'id="bulk"' not in body(client.get("/incidents/"))


@pytest.mark.django_db
def test_severity_label_merge_and_back(client: Client, mara: User) -> None:
    a, b = incident("a"), incident("b")

    def press(verb: str, **said: str) -> Any:
        return client.post(f"/incidents/{a.pk}/{verb}/", said, headers=HTMX)

    assert "set the severity from normal to critical" in body(
        press("severity", severity="critical", text="They called")
    )
    assert "Say why" in body(press("severity", severity="low", text=" "))
    assert "peak-season" in body(press("label", add="Peak Season"))
    assert client.get("/incidents/?label=peak-season").context["inbox"].lines[0].incident == a
    assert "peak-season" not in body(press("label", remove="peak-season")).split("What happened")[0]
    assert press("merge", into="nonsense").status_code == press("merge", into="99999").status_code == 422
    merged = press("merge", into=f"#{b.pk}")
    assert f'Merged into <a href="/incidents/{b.pk}/"' in body(merged)
    assert "/reopen/" not in body(merged)
    assert "Mara Lind has it" in body(press("take-out"))


@pytest.mark.django_db
def test_files_go_out_as_downloads_only(client: Client, mara: User) -> None:
    one = incident()
    upload = SimpleUploadedFile('../../trace "1".log', b"<script>alert(1)</script>", content_type="text/html")
    answer = client.post(f"/incidents/{one.pk}/comment/", {"text": "see", "file": upload}, headers=HTMX)
    assert "/files/" in body(answer)
    kept = one.files.get()
    got = client.get(f"/incidents/{one.pk}/files/{kept.pk}/")
    assert got.content == b"<script>alert(1)</script>"
    assert got["Content-Type"] == "application/octet-stream"
    assert got["Content-Disposition"].startswith("attachment;")
    assert "sandbox" in got["Content-Security-Policy"]
    assert got["X-Content-Type-Options"] == "nosniff"
    other = incident("other")
    assert client.get(f"/incidents/{other.pk}/files/{kept.pk}/").status_code == 404
    bad = SimpleUploadedFile("run.exe", b"MZ")
    refused = client.post(f"/incidents/{one.pk}/comment/", {"text": "see", "file": bad}, headers=HTMX)
    assert refused.status_code == 422
    assert "cannot be kept" in body(refused)
    assert one.timeline.filter(kind="commented").count() == 1, "the comment fell with its file"


@pytest.mark.django_db
class TestFlows:
    def test_waive_split_and_ask(self, client: Client, mara: User) -> None:
        one = broken(4)
        flows = list(Finding.objects.order_by("flow_id").values_list("flow_id", flat=True))
        path = f"/incidents/{one.pk}/flows/"
        assert "Say why" in body(client.post(path, {"flow": flows[0], "action": "waive"}, follow=True))
        client.post(path, {"flow": flows[0], "action": "waive", "reason": "Strike"})
        assert Expectation.objects.get(flow=flows[0]).state == "WAIVED"
        answer = client.post(path, {"flow": flows[1], "action": "split", "reason": "Only this one"})
        new = Incident.objects.get(title="Only this one")
        assert answer["Location"] == f"/incidents/{new.pk}/"
        assert (new.open_findings, new.acknowledged_by) == (1, mara)
        letter = client.post(path, {"flow": flows[2:], "action": "ask"}, follow=True)
        assert "- P-2\n- P-3" in body(letter)
        assert "- P-1\n" not in body(letter)
        client.post(f"/incidents/{one.pk}/ask/", {"text": "Where are they?"})
        assert one.timeline.get(kind="asked").text == "Where are they?"

    def test_flows_of_others_are_left_alone(self, client: Client, mara: User) -> None:
        one, stranger = broken(2), flow("SO-9")
        answer = client.post(
            f"/incidents/{one.pk}/flows/", {"flow": [stranger.pk, "x"], "action": "waive", "reason": "x"}, follow=True
        )
        assert "No flow was ticked" in body(answer)
        assert client.post("/incidents/999/flows/", {"action": "ask"}).status_code == 404

    def test_orders_and_what_is_late_next(self, client: Client, mara: User) -> None:
        one = broken(3)
        order = flow("SO-1")
        for finding in Finding.objects.all():
            FlowLink.objects.create(parent=order, child_id=finding.flow_id)
        rule, parcels = SlaRule.objects.get(), FlowDefinition.objects.get()
        for n, minutes in enumerate((10, 70, 75, 60 * 9)):
            Expectation.objects.create(
                flow=flow(f"N-{n}", value=Decimal(5), currency="EUR"), definition=parcels, milestone="scan", rule=rule,
                origin={}, due_at=NOW + minutes * MINUTE, state="PENDING",
            )  # fmt: skip
        page = client.get(f"/incidents/{one.pk}/").context["page"]
        assert (page.orders, page.flows_now) == (1, 3)
        assert (page.coming.flows, [n for _, n in page.coming.bars][:3]) == (3, [1, 2, 0])
        assert [(stake.amount, stake.flows) for stake in page.coming.stakes] == [(Decimal(15), 3)]
        said = " has no first scan, due 18:00. 2 more are like it. 3 flows fall due for the same in the next 8 h."
        assert page.cause.startswith("Parcel ")
        assert page.cause.endswith(said)


@pytest.mark.django_db
def test_changes_are_marked_and_shown(client: Client, mara: User) -> None:
    feed = integration()
    one = incident(integration_id=feed.pk)
    back = f"/incidents/{one.pk}/"
    said = {"text": "Odoo 18", "kind": "deploy", "integration": feed.slug, "at": "2026-03-02T08:30", "back": back}
    assert client.post("/changes/add/", said)["Location"] == back
    assert ChangeMarker.objects.get().at == NOW - 90 * MINUTE, "the reader's clock is Berlin's"
    assert "Odoo 18" in body(client.get(back))
    assert "Odoo 18" in body(client.get(f"/changes/?integration={feed.slug}"))
    for wrong in ({"text": ""}, {"integration": "gone"}, {"at": "2027-01-01T00:00"}, {"at": "soon"}):
        client.post("/changes/add/", {**said, **wrong})
    assert ChangeMarker.objects.count() == 1


@pytest.mark.django_db
def test_the_most_specific_runbook_is_shown(client: Client, mara: User) -> None:
    feed = integration()
    one = incident(integration_id=feed.pk, kind="feed.silent")
    for title, kind, where in (
        ("All", "", ""),
        ("Kind", "feed.silent", ""),
        ("Other", "x", ""),
        ("Mine", "", feed.slug),
    ):
        client.post(
            "/incidents/runbooks/add/", {"title": title, "kind": kind, "integration": where, "text": f"# {title}"}
        )
    assert Runbook.objects.count() == 4
    assert client.get(f"/incidents/{one.pk}/").context["page"].runbook.title == "Mine"
    Runbook.objects.get(slug="mine").delete()
    assert "<h3>Kind</h3>" in body(client.get(f"/incidents/{one.pk}/"))
    assert client.post("/incidents/runbooks/add/", {"title": "Kind", "text": "x"}).status_code == 422
    shown = client.post("/incidents/runbooks/kind/", {"title": "Kind", "text": "**b**", "preview": "1"})
    assert "<strong>b</strong>" in body(shown)
    client.post("/incidents/runbooks/kind/", {"drop": "1"})
    assert Runbook.objects.count() == 2


@pytest.mark.django_db
class TestReviews:
    def test_from_wanted_to_done(self, client: Client, mara: User) -> None:
        one, small = incident("big", severity="critical"), incident("small", severity="low")
        path = f"/incidents/{one.pk}/review/"
        assert "not over yet" in body(client.post(path, {"summary": "x"}))
        for each in (one, small):
            workflow.resolve(each.pk, mara, NOW, "fixed")
        assert [each.pk for each in client.get("/incidents/reviews/").context["wanted"]] == [one.pk]
        assert client.post(f"{path}actions/", {"text": "Watch"}).status_code == 302
        assert not Review.objects.exists()
        client.post(path, {"summary": "Their disk was full."})
        assert "say what happened and why" in body(client.post(path, {"summary": "Full", "done": "1"}))
        client.post(f"{path}actions/", {"text": "# Watch it", "owner": mara.pk, "due_on": "2026-03-01"})
        shown = body(client.get("/incidents/reviews/"))
        assert "overdue" in shown
        client.post(
            path, {"summary": "Their disk was full.\n# not a heading", "causes": "Nobody watched it.", "done": "1"}
        )
        assert not client.get("/incidents/reviews/").context["wanted"]
        export = client.get(f"{path}markdown/")
        text = body(export)
        assert export["Content-Disposition"] == f'attachment; filename="review-{one.pk}.md"'
        assert "- [ ] # Watch it, Mara Lind, by 2026-03-01" in text
        assert "\\# not a heading" in text
        assert [line for line in text.splitlines() if line.startswith("## ")] == [
            "## What happened", "## Whom it hurt", "## Why", "## What went well", "## What went badly", "## Actions", "## Timeline",
        ]  # fmt: skip
        action = Review.objects.get().actions.get()
        client.post(f"{path}actions/", {"tick": action.pk})
        action.refresh_from_db()
        assert action.done_at == NOW

    def test_readers_read(self, client: Client, mara: User) -> None:
        assert client.get("/incidents/999/review/").status_code == 404
        assert client.get(f"/incidents/{incident().pk}/review/markdown/").status_code == 404


@pytest.mark.django_db
class TestFigures:
    def test_times_noise_and_repeats(self, client: Client, mara: User) -> None:
        def at(
            cause: str, began: timedelta, acknowledged: timedelta | None, ended: timedelta | None, how: str = "fixed"
        ) -> None:
            [finding] = raise_findings([draft(cause, cause, severity="high")], NOW - began)
            pk = finding.incident_id
            if acknowledged is not None:
                workflow.acknowledge(pk, mara, NOW - began + acknowledged)
            if ended is not None and how != "itself":
                workflow.resolve(pk, mara, NOW - began + ended, how)
            if ended is not None:
                clear_findings([uid("key", cause)], "came", NOW - began + ended)

        at("a", 3 * DAY, 10 * MINUTE, HOUR)
        at("b", 2 * DAY, 20 * MINUTE, 3 * HOUR)
        at("noise", 2 * DAY, None, HOUR, "itself")
        at("false", DAY, MINUTE, HOUR, "false alarm")
        at("noise", HOUR, None, None)
        at("long ago", 60 * DAY, MINUTE, HOUR)
        found = desk_metrics(NOW, 30)
        whole = found.whole
        assert whole is not None
        assert (whole.incidents, whole.acknowledged, whole.resolved) == (5, 3, 4)
        assert whole.mtta == (10 + 20 + 1) * MINUTE / 3
        assert whole.mttr == 6 * HOUR / 4
        assert (whole.noise, whole.noise_share) == (2, 0.5)
        assert [(one.title, one.times) for one in found.repeats] == [("No scans from noise", 2)]
        assert found.repeat_share == 0.25
        shown = body(client.get("/incidents/metrics/?days=30"))
        assert "50.0 %" in shown
        assert client.get("/incidents/metrics/?days=nonsense").status_code == 200

    def test_calls_belong_to_the_night_by_ones_own_clock(self, client: Client, mara: User) -> None:
        one = incident()
        opened = one.timeline.get()
        nights = [
            "2026-03-01T20:59:00",
            "2026-03-01T21:00:00",
            "2026-03-02T05:59:00",
            "2026-03-02T06:00:00",
            "2026-02-28T23:00:00",
        ]
        for n, when in enumerate(nights):
            Delivery.objects.create(
                incident_event=opened, user=mara, channel="email", recipient=f"r{n}", message_id=f"<{n}@x>", state="sent",
                sent_at=f"{when}+00:00", next_at=NOW, created_at=NOW, subject="x", text="x",
            )  # fmt: skip
        [who] = desk_metrics(NOW, 30).people
        assert (who.name, who.calls, who.at_night, who.nights, who.worst) == ("Mara Lind", 5, 3, 2, 2)
        assert [(str(night), n) for night, n in who.by_night] == [("2026-02-28", 1), ("2026-03-01", 2)]

    def test_five_queries_however_many(self) -> None:
        counts = []
        for start, end in ((0, 1), (1, 40)):
            raise_findings([draft(n, n) for n in range(start, end)], NOW - HOUR)
            with CaptureQueriesContext(connection) as seen:
                desk_metrics(NOW, 30)
            counts.append(len(seen))
        assert counts == [5, 5]


@pytest.mark.django_db
def test_views_are_kept_and_dropped(client: Client, mara: User) -> None:
    kept = client.post("/incidents/views/", {"name": "Bad ones", "severity": "critical", "tab": "open"})
    assert kept["Location"] == "/incidents/?tab=open&severity=critical"
    [one] = client.get("/incidents/").context["saved"]
    assert (one.name, one.query) == ("Bad ones", "tab=open&severity=critical")
    client.force_login(person("omar"))
    client.post("/incidents/views/", {"drop": one.pk})
    client.force_login(mara)
    assert client.get("/incidents/").context["saved"].count() == 1, "another's view stays"
    client.post("/incidents/views/", {"drop": one.pk})
    assert not client.get("/incidents/").context["saved"]


@pytest.mark.django_db
def test_related_share_flows_source_or_partner(client: Client, mara: User) -> None:
    parcels()
    carrier, hit = partner(), flow("SO-1")
    one = incident("one", partner_id=carrier.pk, flow_id=hit.pk)
    shared, same, stranger = (
        incident("shared", flow_id=hit.pk),
        incident("same", partner_id=carrier.pk),
        incident("stranger"),
    )
    found = client.get(f"/incidents/{one.pk}/").context["page"].related
    assert [(each.incident.pk, each.why) for each in found] == [
        (shared.pk, "1 flow in both"),
        (same.pk, "the same partner"),
    ]
    assert stranger.pk not in {each.incident.pk for each in found}


@pytest.mark.django_db
def test_the_wall_and_the_app(client: Client, mara: User) -> None:
    incident(severity="critical")
    wall = body(client.get("/incidents/wall/"))
    for words in ("Nobody has", "1 critical", "no round yet: is the worker running?"):
        assert words in wall
    client.logout()
    worker = client.get("/sw.js")
    assert (worker["Content-Type"], worker["Service-Worker-Allowed"]) == ("text/javascript; charset=utf-8", "/")
    assert client.get("/manifest.webmanifest").json()["scope"] == "/"
    assert "script" not in body(client.get("/offline/"))


@pytest.mark.django_db
class TestEscalateAndRelate:
    def test_escalate_now_asks_why_and_says_who_is_called(self, client: Client, mara: User) -> None:
        found = incident("a")
        assert 'data-hotkey="e"' in body(client.get(f"/incidents/{found.pk}/"))
        answer = client.post(f"/incidents/{found.pk}/escalate/", {"text": ""}, headers=HTMX)
        assert answer.status_code == 422
        answer = client.post(f"/incidents/{found.pk}/escalate/", {"text": "the dock is closed"}, follow=True)
        assert "Escalated to whoever is on call" in body(answer)
        assert "the dock is closed" in body(answer)

    def test_both_pages_show_a_relation_until_it_is_taken_away(self, client: Client, mara: User) -> None:
        a, b = incident("a"), incident("b")
        client.post(f"/incidents/{a.pk}/related/", {"to": f"#{b.pk}", "text": "the same <b>strike</b>"})
        for here, there in ((a, b), (b, a)):
            page = body(client.get(f"/incidents/{here.pk}/"))
            assert f'id="linked-{there.pk}"' in page
            assert "the same &lt;b&gt;strike&lt;/b&gt;" in page
        for wrong in ("", "x", "#", "9" * 30, "999999"):
            assert (
                client.post(f"/incidents/{a.pk}/related/", {"to": wrong, "text": "x"}, headers=HTMX).status_code == 422
            )
        client.post(f"/incidents/{b.pk}/related/", {"drop": str(a.pk)})
        assert f'id="linked-{b.pk}"' not in body(client.get(f"/incidents/{a.pk}/"))

    def test_who_may_only_read_gets_neither(self, client: Client, mara: User) -> None:
        a, b = incident("a"), incident("b")
        client.force_login(person("rita", role=Role.MANAGER))
        assert client.post(f"/incidents/{a.pk}/escalate/", {"text": "x"}).status_code == 403
        assert client.post(f"/incidents/{a.pk}/related/", {"to": str(b.pk), "text": "x"}).status_code == 403
        page = body(client.get(f"/incidents/{a.pk}/"))
        assert "Escalate now" not in page
        assert "Relate another" not in page
