"""The incident inbox, one incident, its verbs and the page behind a signed link."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Role, User
from apps.dashboard.selectors.incident_page import series_plot
from apps.flows.models import FlowDefinition
from apps.incidents import workflow
from apps.incidents.links import acknowledge_url, sign
from apps.incidents.models import Incident
from apps.incidents.workflow import clear_findings, raise_findings
from tests.incidents.builders import HOUR, MINUTE, NOW, at_once, draft, flow, partner, person, team, uid
from tests.oncall.builders import rotation_of

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def parcels(db: None) -> FlowDefinition:
    """The definition of the builders' flows."""
    spec = {
        "identified_by": ["tracking_number"],
        "milestones": [{"name": "scan", "label": "First scan", "reached_by": ["scan"]}],
    }
    return FlowDefinition.objects.create(slug="parcel", name="Parcel", spec=spec)


@pytest.fixture
def mara(client: Client) -> User:
    """Signed in, on call, in Berlin (UTC+1 at NOW)."""
    who = person("mara", role=Role.ON_CALL, time_zone="Europe/Berlin")
    client.force_login(who)
    return who


def incident(cause: str = "carrier", **changes: Any) -> Incident:
    [finding] = raise_findings([draft(cause, cause, **changes)], NOW - HOUR)
    return Incident.objects.get(pk=finding.incident_id)


def post(client: Client, pk: int, verb: str, *, row: Any = False, **said: Any) -> Any:
    return client.post(f"/incidents/{pk}/{verb}/{'?row=1' if row else ''}", said, headers=HTMX)


def body(answer: Any) -> str:
    return str(answer.content.decode())


def test_the_inbox_shows_what_where_whom_and_how_much(client: Client, mara: User) -> None:
    carrier = partner()
    flows = [flow(f"SO-{n}", value=Decimal("100.50"), currency="EUR", partner=carrier) for n in range(3)]
    raise_findings(
        [
            draft(n, "x", flow_id=one.pk, partner_id=carrier.pk, due_at=NOW + 42 * MINUTE, severity="critical")
            for n, one in enumerate(flows)
        ],
        NOW - HOUR,
    )
    rotation_of(team(), "night", NOW, 12 * HOUR, [mara])
    shown = body(client.get("/incidents/"))
    for words in ("in 42 min", "No scans from x", "Critical", carrier.name, "302 EUR", "not acknowledged"):
        assert words in shown, words
    assert "Night: <b>Mara</b> until" in shown
    assert ">3</span></a>" in shown, "flows hit"


def test_the_inbox_is_sorted_by_what_is_late_next(client: Client, mara: User) -> None:
    for cause, due in (("later", 3 * HOUR), ("soon", 20 * MINUTE), ("past", -2 * HOUR)):
        incident(cause, due_at=NOW + due)
    shown = body(client.get("/incidents/"))
    places = [shown.index(f"No scans from {cause}") for cause in ("soon", "later", "past")]
    assert places == sorted(places)


def test_tabs_and_filters(client: Client, mara: User) -> None:
    own, other, over = incident("own"), incident("other", severity="high"), incident("over")
    workflow.acknowledge(own.pk, mara, NOW)
    workflow.resolve(over.pk, mara, NOW, "fixed", "Restarted it")

    def seen(query: str) -> set[int]:
        return {one.incident.pk for one in client.get(f"/incidents/?{query}").context["inbox"].lines}

    assert seen("") == {own.pk, other.pk}
    assert seen("tab=mine") == {own.pk}
    assert seen("tab=resolved") == {over.pk}
    assert seen("severity=high") == {other.pk}
    assert seen(f"q=%23{own.pk}") == {own.pk}
    assert seen("partner=nobody") == set()
    assert seen("tab=nonsense&severity=nonsense&page=nonsense") == {own.pk, other.pk}
    assert "No incident matches" in body(client.get("/incidents/?q=zzz"))


def test_a_month_says_that_it_shows_what_is_over_and_can_be_left(client: Client, mara: User) -> None:
    client.force_login(mara)
    page = client.get("/incidents/", {"opened": "2026-03", "partner": ""}).content.decode()
    assert "resolved ones too" in page
    assert ">All</a>" in page
    assert "Unresolved" not in page
    assert 'aria-label="Remove the filter Opened in March 2026"' in page
    plain = client.get("/incidents/", {"opened": "not a month"}).content.decode()
    assert "Unresolved" in plain
    assert "resolved ones too" not in plain


def test_nothing_is_wrong_and_what_was_last(client: Client, mara: User) -> None:
    assert "Nothing is wrong" in body(client.get("/incidents/"))
    over = incident("over")
    workflow.resolve(over.pk, mara, NOW, "fixed")
    assert "No scans from over" in body(client.get("/incidents/"))


def test_unchanged_is_304_and_a_change_is_seen(client: Client, mara: User) -> None:
    one = incident(due_at=NOW + HOUR)
    for path in ("/incidents/", f"/incidents/{one.pk}/"):
        etag = client.get(path, headers=HTMX).headers["ETag"]
        known = HTMX | {"If-None-Match": etag}
        assert client.get(path, headers=known).status_code == 304
    workflow.acknowledge(one.pk, mara, NOW)
    assert client.get(path, headers=known).status_code == 200


def test_one_tap_in_the_inbox_answers_the_changed_row(client: Client, mara: User) -> None:
    one = incident()
    answer = post(client, one.pk, "acknowledge", row=True)
    assert answer.status_code == 200
    assert body(answer).strip().startswith("<tr")
    assert "Mara has it" in body(answer)
    assert ">Acknowledge<" not in body(answer)
    assert "you have it" in answer.headers["HX-Trigger"]


VERBS: list[tuple[str, dict[str, Any], str, str]] = [
    ("acknowledge", {}, "acknowledged", "Mara has it"),
    ("acknowledge", {"minutes": "30"}, "acknowledged", "back at 10:30"),
    ("acknowledge", {"until": "09:30"}, "acknowledged", "back at 3 Mar 09:30"),
    ("assign", {"to": "person:{mara}", "text": "please"}, "open", "assigned it to Mara"),
    ("assign", {"to": "team:night"}, "open", "assigned it to Night"),
    ("comment", {"text": "Their <b>SFTP</b> is full"}, "open", "Their &lt;b&gt;SFTP&lt;/b&gt; is full"),
    ("snooze", {"minutes": "60"}, "snoozed", "until it gets worse"),
    ("resolve", {"resolution": "partner", "text": "They restarted"}, "resolved", "resolved it: fixed by the partner"),
]


@pytest.mark.parametrize(("verb", "said", "state", "words"), VERBS)
def test_every_verb_from_open(
    client: Client, mara: User, verb: str, said: dict[str, Any], state: str, words: str
) -> None:
    one = incident()
    team()
    answer = post(client, one.pk, verb, **{key: text.format(mara=mara.pk) for key, text in said.items()})
    assert answer.status_code == 200, body(answer)[:400]
    assert Incident.objects.get(pk=one.pk).state == state
    assert words in body(answer)
    assert one.timeline.filter(actor=mara).count() == 1


def test_giving_back_and_reopening(client: Client, mara: User) -> None:
    one = incident()
    post(client, one.pk, "acknowledge")
    assert post(client, one.pk, "give-back").status_code == 200
    assert Incident.objects.get(pk=one.pk).state == "open"
    post(client, one.pk, "resolve", resolution="fixed")
    assert "Reopen" in body(client.get(f"/incidents/{one.pk}/"))
    assert post(client, one.pk, "reopen").status_code == 200
    assert Incident.objects.get(pk=one.pk).state == "open"


@pytest.mark.parametrize(
    ("verb", "said", "words"),
    [
        ("comment", {"text": "  "}, "The comment is empty"),
        ("snooze", {}, "Say until when"),
        ("snooze", {"minutes": "-5"}, "between 1 minute and 31 days"),
        ("snooze", {"minutes": "9" * 40}, "between 1 minute and 31 days"),
        ("acknowledge", {"until": "later"}, "Write the time like 14:30"),
        ("assign", {"to": "person:999999999999999999999"}, "not there any more"),
        ("assign", {"to": "team:gone"}, "not there any more"),
        ("resolve", {"resolution": "by itself"}, "Say how it was resolved"),
        ("give-back", {}, "Nobody has acknowledged"),
        ("reopen", {}, "already open"),
    ],
)
def test_what_is_not_possible_says_why_and_changes_nothing(
    client: Client, mara: User, verb: str, said: dict[str, Any], words: str
) -> None:
    one = incident()
    answer = post(client, one.pk, verb, **said)
    assert answer.status_code == 422
    assert words in body(answer)
    assert 'role="alert"' in body(answer)
    assert client.post(f"/incidents/{one.pk}/{verb}/", said).status_code == 409, "without scripts"
    assert one.timeline.count() == 1


def test_without_scripts_a_verb_leads_back_and_says_so(client: Client, mara: User) -> None:
    one = incident()
    answer = client.post(f"/incidents/{one.pk}/acknowledge/", follow=True)
    assert answer.redirect_chain == [(f"/incidents/{one.pk}/", 302)]
    assert "you have it" in body(answer)
    assert client.get(f"/incidents/{one.pk}/acknowledge/").status_code == 405


@pytest.mark.django_db(transaction=True)
def test_of_two_people_at_once_one_wins_and_the_other_reads_who(client: Client) -> None:
    one = incident()
    people = [person(name, role=Role.ON_CALL) for name in ("mara", "omar")]

    def press(who: User) -> Callable[[], Any]:
        other = Client()
        other.force_login(who)
        return lambda: post(other, one.pk, "acknowledge")

    answers = at_once([press(who) for who in people])
    assert sorted(answer.status_code for answer in answers) == [200, 422]
    winner = Incident.objects.get(pk=one.pk).acknowledged_by
    [lost] = [answer for answer in answers if answer.status_code == 422]
    assert winner is not None
    assert f"{winner.display_name} already acknowledged this incident" in body(lost)
    assert one.timeline.filter(kind="acknowledged").count() == 1


def test_who_may_do_what(client: Client) -> None:
    one = incident()
    verbs = ("acknowledge", "give-back", "assign", "snooze", "resolve", "reopen", "comment")
    for role, allowed in ((Role.MANAGER, {"comment"}), (Role.OPERATIONS, set(verbs)), (Role.ADMIN, set(verbs))):
        client.force_login(person(role, role=role))
        for verb in verbs:
            answer = post(client, one.pk, verb)
            assert (answer.status_code != 403) is (verb in allowed), (role, verb, answer.status_code)
    client.force_login(User.objects.get(username=Role.MANAGER))
    shown = body(client.get(f"/incidents/{one.pk}/"))
    assert "/comment/" in shown
    assert "/acknowledge/" not in shown
    client.force_login(person("acme", role=Role.PARTNER))
    assert client.get("/incidents/").status_code == client.get(f"/incidents/{one.pk}/").status_code == 404


def test_the_page_tells_cause_evidence_history_and_changes(client: Client, mara: User) -> None:
    first = incident("feed", due_at=NOW - 30 * HOUR)
    workflow.resolve(first.pk, mara, NOW - 30 * HOUR, "partner", "Asked for the folder to be cleared")
    clear_findings([uid("key", "feed")], "They speak again", NOW - 29 * HOUR)
    series = {
        "hours": ["2026-03-02T07:00:00+00:00", "09"],
        "seen": [40, 3],
        "expected": [42, 42],
        "lower": [33, 33],
        "upper": [51, 51],
    }
    hit = flow("SO-77", value=Decimal(250), currency="USD")
    raise_findings(
        [
            draft("again", "feed", kind="feed.silent", evidence=series, sentence="Expected 42 ± 9, saw 3."),
            draft("so", "feed", flow_id=hit.pk, due_at=NOW + HOUR, sentence="First scan of SO-77 has not come."),
        ],
        NOW,
    )
    now = Incident.objects.unresolved().get()
    shown = body(client.get(f"/incidents/{now.pk}/"))
    assert [row[0] for row in client.get(f"/incidents/{now.pk}/").context["page"].evidence.rows] == ["08:00", "09"]
    for words in ("Expected 42 ± 9, saw 3.", f"/flows/{hit.pk}/", "250 USD", "Asked for the folder", "The numbers"):
        assert words in shown, words
    assert client.get("/incidents/999999/").status_code == 404


def test_hours_below_the_band_are_late() -> None:
    plot = series_plot([("08", 40, 42, 33, 51), ("09", 3, 42, 33, 51), ("10", None, 42, 33, 51)])
    assert plot["data"][-1]["marker"]["color"] == ["@ink", "@late", "@ink"]


@pytest.mark.parametrize(
    "evidence", [{}, {"hours": [], "seen": []}, {"hours": "x", "seen": 3}, {"hours": [1], "seen": [2]}]
)
def test_evidence_of_another_shape_is_no_plot(client: Client, mara: User, evidence: dict[str, Any]) -> None:
    one = incident(evidence=evidence)
    assert client.get(f"/incidents/{one.pk}/").context["page"].evidence is None


def queries(client: Client, path: str) -> int:
    client.get(path)  # the catalogue is in memory then
    with CaptureQueriesContext(connection) as seen:
        assert client.get(path).status_code == 200
    return len(seen)


def test_queries_do_not_grow_with_rows(client: Client, mara: User) -> None:
    carrier = partner()

    def rows(start: int, end: int) -> int:
        drafts = [
            draft(n, f"cause {n}", flow_id=flow(f"P-{n}", value=1, currency="EUR").pk, partner_id=carrier.pk)
            for n in range(start, end)
        ]
        more = [draft(f"same {n}", "cause 0", flow_id=flow(f"Q-{n}").pk) for n in range(start, end)]
        found = raise_findings(drafts + more, NOW)
        for one in {finding.incident_id for finding in found}:
            workflow.comment(one, mara, NOW, "look")
        return int(Incident.objects.get(fingerprint=uid("cause", "cause 0")).pk)

    pk = rows(0, 1)
    paths = ("/incidents/", f"/incidents/{pk}/", "/incidents/?tab=mine")
    few = [queries(client, path) for path in paths]
    rows(1, 50)
    assert [queries(client, path) for path in paths] == few
    assert few[0] <= 15
    assert few[1] <= 30


def test_the_signed_link_shows_a_button_and_only_the_button_acts(client: Client) -> None:
    mara, one = person("mara", role=Role.ON_CALL), incident(due_at=NOW + HOUR)
    path = acknowledge_url(one.pk, mara.pk, NOW).split("/", 3)[3]
    for _ in range(2):
        opened = client.get(f"/{path}")
        assert opened.status_code == 200
        assert "no-store" in opened.headers["Cache-Control"]
    assert client.head(f"/{path}").status_code == 200
    assert "Acknowledge" in body(opened)
    assert one.timeline.count() == 1, "opening it changes nothing"
    assert client.post(f"/{path}", {"minutes": "60"}).status_code == 302
    done = Incident.objects.get(pk=one.pk)
    assert (done.acknowledged_by, done.back_at) == (mara, NOW + HOUR)
    after = body(client.get(f"/{path}"))
    assert "You have it since" in after
    assert "_auth_user_id" not in client.session, "nobody is signed in by it"
    again = client.post(f"/{path}")
    assert again.status_code == 409
    assert "already acknowledged" in body(again)


def test_the_signed_link_needs_its_form_token() -> None:
    mara, one = person("mara", role=Role.ON_CALL), incident()
    strict = Client(enforce_csrf_checks=True)
    path = f"/incidents/acknowledge/{sign(one.pk, mara.pk, NOW)}/"
    assert strict.post(path).status_code == 403
    token = strict.get(path).context["csrf_token"]
    assert strict.post(path, {"csrfmiddlewaretoken": str(token)}).status_code == 302


def test_links_that_are_not_good(client: Client) -> None:
    mara, one = person("mara", role=Role.ON_CALL), incident()
    gone = person("gone", role=Role.ON_CALL, is_active=False)
    manager = person("mina", role=Role.MANAGER)
    cases = [
        (sign(one.pk, mara.pk, NOW - timedelta(days=2)), 410, "has expired"),
        (sign(one.pk, mara.pk, NOW) + "x", 404, "not valid"),
        ("nonsense", 404, "not valid"),
        (sign(999_999, mara.pk, NOW), 404, "not valid"),
        (sign(one.pk, gone.pk, NOW), 403, "does not work on incidents any more"),
        (sign(one.pk, manager.pk, NOW), 403, "does not work on incidents any more"),
        (sign(one.pk, 999_999, NOW), 403, "no longer known"),
    ]
    for token, status, words in cases:
        for ask in (client.get, client.post):
            answer = ask(f"/incidents/acknowledge/{token}/")
            assert answer.status_code == status, token
            assert words in body(answer)
            assert one.title not in body(answer)
    assert one.timeline.count() == 1
