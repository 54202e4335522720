"""The anomaly pages: the list, one with its evidence, answers with their bounded effect, the record, switches, budget."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.accounts.models import AuditEntry
from apps.anomalies import drifts, feedback, trust
from apps.anomalies import known as knowing
from apps.anomalies.detectors.drift import Least
from apps.anomalies.models import Anomaly, DetectorSwitch, KnownSpan, MetricState, VoiceBudget
from apps.anomalies.voicing import Said, Voice, lowered, say
from apps.incidents.workflow import FindingDraft
from apps.sla.models import SlaRule
from tests.dashboard.network import HOUR, NOW, integration, partner, person

pytestmark = pytest.mark.django_db
FEED = {
    "model": "feed/2",
    "hours": [(NOW - n * HOUR).isoformat() for n in range(24, -1, -1)],
    "expected": [40.0] * 25,
    "lower": [28.0] * 25,
    "upper": [52.0] * 25,
    "seen": [41] * 21 + [3, 0, 0, 0],
    "since": (NOW - 4 * HOUR).isoformat(),
    "event_type": "",
}
FLOW = {
    "model": "deadline/1",
    "lane": "FR>DE",
    "level": "lane",
    "n": 412,
    "task_hours": 98.0,
    "age_hours": 110.0,
    "curve": [[20.0, 0.9], [48.0, 0.5], [98.0, 0.02]],
}


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def anomaly(number: int = 0, **changes: Any) -> Anomaly:
    who = partner("Acme Metals")
    values: dict[str, Any] = {
        "detector": "feed",
        "key": uuid.uuid4(),
        "stream": f"acme-events {number}",
        "tier": "page",
        "title": "Acme events has gone quiet",
        "sentence": f"Acme events: expected 42 ± 9 (messages) between 07:00 and 11:00, saw 3. No {number}.",
        "score": 6.1,
        "threshold": 3.8,
        "evidence": FEED,
        "integration": integration("Acme events", partner=who),
        "partner": who,
        "began_at": NOW - 4 * HOUR,
        "raised_at": NOW - 3 * HOUR,
        **changes,
    }
    return Anomaly.objects.create(**values)


def signed_in(role: str) -> Client:
    client = Client()
    client.force_login(person(role))
    return client


@pytest.fixture
def client() -> Client:
    return signed_in("operations")


def test_the_list_says_what_is_strange_with_a_picture_and_buttons(client: Client) -> None:
    one = anomaly()
    anomaly(1, detector="deadline", tier="task", evidence=FLOW, title="SO-1: slower than comparable flows")
    anomaly(2, cleared_at=NOW, title="Over and done")
    anomaly(3, suppressed="budget", audited=True, title="Held back")
    anomaly(4, suppressed="budget", title="Held back and not drawn")
    page = client.get("/anomalies/").content.decode()
    assert one.sentence in page
    assert "SO-1: slower" in page
    assert "<svg" in page
    assert "98 of 100 were done after 89 %" in page
    assert page.count('value="not_useful"') == 2
    assert "Over and done" not in page
    assert "Held back" not in page.replace("Held back, to check", "")
    every = client.get("/anomalies/?tab=all").content.decode()
    assert "Over and done" in every
    checked = client.get("/anomalies/?tab=audit").content.decode()
    assert ">Held back</a>" in checked
    assert "not drawn" not in checked
    assert "Nothing fits these filters" in client.get("/anomalies/?detector=metric").content.decode()


def test_the_number_of_statements_does_not_grow(
    client: Client, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    for rows in (1, 50):
        for number in range(rows):
            anomaly(number)
        with django_assert_max_num_queries(20):
            assert client.get("/anomalies/").status_code == 200
        with django_assert_max_num_queries(22):
            assert client.get("/anomalies/health/").status_code == 200
    older = client.get("/anomalies/").content.decode()
    assert "before=" in older


def test_one_anomaly_shows_its_numbers_and_plot(client: Client) -> None:
    one = anomaly()
    page = client.get(f"/anomalies/{one.pk}/").content.decode()
    assert 'data-plot="evidence"' in page
    assert "1 : 1,258,925" in page
    assert "The numbers, newest first" in page
    other = anomaly(1, detector="deadline", evidence=FLOW)
    page = client.get(f"/anomalies/{other.pk}/").content.decode()
    assert "412" in page
    assert "this one" in page
    assert client.get("/anomalies/999999/").status_code == 404


def test_an_answer_has_a_bounded_effect_and_can_be_taken_back(client: Client) -> None:
    one = anomaly()
    rules = list(SlaRule.objects.values())
    before = Voice.read(NOW).threshold("feed", one.stream, 3.8)
    client.post(f"/anomalies/{one.pk}/answer/", {"verdict": "not_useful"})
    one.refresh_from_db()
    assert one.verdict == "not_useful"
    assert 0.2 < Voice.read(NOW).threshold("feed", one.stream, 3.8) - before < 0.48
    assert Voice.read(NOW).threshold("feed", "another", 3.8) == 3.8
    assert not KnownSpan.objects.exists()
    page = client.post(f"/anomalies/{one.pk}/take-back/", follow=True).content.decode()
    assert "Taken back." in page
    one.refresh_from_db()
    assert one.verdict == ""
    assert Voice.read(NOW).threshold("feed", one.stream, 3.8) == before
    actions = list(AuditEntry.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["anomaly.judged", "anomaly.taken_back"]
    assert AuditEntry.objects.values_list("after__factor", flat=True).first() == 1.0
    assert "Nobody has answered" in client.post(f"/anomalies/{one.pk}/take-back/", follow=True).content.decode()
    assert list(SlaRule.objects.values()) == rules


def test_expected_writes_an_exception_and_real_an_outage(client: Client) -> None:
    one, other = anomaly(), anomaly(1)
    client.post(f"/anomalies/{one.pk}/answer/", {"verdict": "expected"})
    span = KnownSpan.objects.get()
    assert (span.kind, span.starts_at, span.ends_at) == ("expected", one.began_at, NOW)
    one.refresh_from_db()
    assert one.cleared_at == NOW
    client.post(f"/anomalies/{other.pk}/answer/", {"verdict": "real"})
    assert KnownSpan.objects.filter(kind="outage", undone_at=None).count() == 1
    client.post(f"/anomalies/{other.pk}/answer/", {"verdict": "not_useful"})
    assert KnownSpan.objects.filter(kind="outage", undone_at=None).count() == 0
    client.post(f"/anomalies/{one.pk}/take-back/")
    assert KnownSpan.objects.filter(undone_at=None).count() == 0


def test_an_unknown_answer_is_refused_and_addresses_elsewhere_are_not_followed(client: Client) -> None:
    one = anomaly()
    page = client.post(f"/anomalies/{one.pk}/answer/", {"verdict": "maybe"}, follow=True).content.decode()
    assert "is no answer" in page
    sent = client.post(f"/anomalies/{one.pk}/answer/", {"verdict": "real", "back": "https://elsewhere.example/"})
    assert sent.headers["Location"] == "/anomalies/"


def test_switches_and_budget_are_the_managers(client: Client) -> None:
    assert client.post("/anomalies/switch/", {"detector": "feed", "enabled": "0", "reason": "x"}).status_code == 403
    boss, who = signed_in("manager"), partner("Acme Metals")
    said = boss.post("/anomalies/switch/", {"detector": "feed", "enabled": "0"}, follow=True).content.decode()
    assert "Say why" in said
    assert not DetectorSwitch.objects.exists()
    boss.post("/anomalies/switch/", {"detector": "feed", "partner": who.slug, "enabled": "0", "reason": "Moving house"})
    voice = Voice.read(NOW)
    assert voice.is_off("feed", who.pk)
    assert not voice.is_off("feed", None)
    assert "Moving house" in boss.get("/anomalies/health/").content.decode()
    boss.post("/anomalies/budget/", {"pages": "5", "tasks": "0"})
    assert not VoiceBudget.objects.exists()
    boss.post("/anomalies/budget/", {"pages": "5", "tasks": "9"})
    assert VoiceBudget.objects.get().pages == 5
    assert AuditEntry.objects.filter(action__in=["detector.switched", "detector.budget"]).count() == 2


def test_a_detector_that_breaks_its_promise_lowers_its_own_voice(client: Client) -> None:
    for number in range(10):
        anomaly(number, verdict="not_useful" if number < 4 else "real", verdict_at=NOW, cleared_at=NOW)
    assert lowered(NOW)["feed"] == pytest.approx(trust.lowered(10, 4, 0.1))
    page = client.get("/anomalies/health/").content.decode()
    assert "times the evidence by itself" in page
    assert "40 %" in page


def test_the_record_of_the_deadlines_is_shown(client: Client) -> None:
    for day in range(3):
        MetricState.objects.create(
            detector="coverage",
            key=f"2026-03-{15 + day}",
            at=NOW - timedelta(days=day),
            state={"n": 100, "watch": 91, "task": 98},
        )
    page = client.get("/anomalies/health/").content.decode()
    assert "91.0 %" in page
    assert "98.0 %" in page
    assert 'data-plot="coverage"' in page


def test_peaks_and_exceptions_are_declared_and_taken_back(client: Client) -> None:
    given = {
        "name": "Black Friday",
        "kind": "peak",
        "factor": "2,5",
        "starts": "2026-03-20T00:00",
        "ends": "2026-03-23T00:00",
    }
    page = client.post("/anomalies/spans/declare/", given, follow=True).content.decode()
    span = KnownSpan.objects.get()
    assert (span.kind, span.factor, span.author_name) == ("peak", 2.5, "Operations")
    assert "2.5 times the usual" in page
    wrong = [
        {"factor": "many"},
        {"ends": "2026-03-19T00:00"},
        {"starts": "soon"},
        {"name": " "},
        {"ends": "2027-03-19T00:00"},
    ]
    for change in wrong:
        assert client.post("/anomalies/spans/declare/", given | change).status_code == 302
    assert KnownSpan.objects.count() == 1
    client.post(f"/anomalies/spans/{span.pk}/withdraw/")
    span.refresh_from_db()
    assert span.undone_at == NOW
    assert client.post(f"/anomalies/spans/{span.pk}/withdraw/").status_code == 404
    actions = AuditEntry.objects.order_by("id").values_list("action", flat=True)
    assert list(actions) == ["span.declared", "span.withdrawn"]


def test_the_least_change_is_a_setting_of_managers_with_bounds_and_an_audit_row(client: Client) -> None:
    client.force_login(person("manager"))
    for given in ({"percent": "0", "minutes": "5"}, {"percent": "x", "minutes": "5"}, {"percent": "10"}):
        client.post("/anomalies/least-change/", given)
    assert not VoiceBudget.objects.exists()
    client.post("/anomalies/least-change/", {"percent": "15", "minutes": "60"})
    assert drifts.least() == Least(0.15, 60)
    assert AuditEntry.objects.get(action="detector.least_change").after == {"share": 0.15, "minutes": 60}
    client.force_login(person("operations"))
    assert client.post("/anomalies/least-change/", {"percent": "15", "minutes": "60"}).status_code == 403


def test_what_a_quieter_voice_holds_back_is_kept_and_listed(client: Client) -> None:
    for number in range(10):
        anomaly(number, detector="schema", stream="x", verdict="not_useful", verdict_at=NOW, cleared_at=NOW)
    voice = Voice.read(NOW)
    assert voice.floor("schema", "acme", 1.7) == 1.7 < voice.threshold("schema", "acme", 1.7)
    draft = FindingDraft(
        key=uuid.uuid4(), kind="schema", cause=uuid.uuid4(), incident_title="x", severity="low", sentence="x"
    )
    assert (
        say([Said("schema", "acme", draft, 1.75, voice.threshold("schema", "acme", 1.7), NOW, "task")], voice, NOW)
        == set()
    )
    row = Anomaly.objects.get(key=draft.key)
    assert row.suppressed == "its own voice"
    client.force_login(person("operations"))
    shown = client.get("/anomalies/health/").content.decode()
    assert "the detector has lowered its own voice" in shown
    assert "reason=its%20own%20voice" in shown
    assert (
        f'id="anomaly-{row.pk}"'
        in client.get("/anomalies/?tab=held&detector=schema&reason=its own voice").content.decode()
    )
    assert f'id="anomaly-{row.pk}"' not in client.get("/anomalies/?tab=held&reason=budget").content.decode()


def test_an_expected_change_of_fields_leaves_the_rate_of_the_feed_judged() -> None:
    one = anomaly(1, detector="schema")
    feedback.judge(one.pk, "expected", person("operations"), NOW)
    span = KnownSpan.objects.get()
    assert span.detector == "schema"
    known = knowing.read(NOW - 9 * HOUR, NOW + 9 * HOUR, [])
    assert one.integration is not None
    assert known.masks(one.integration, "", span.starts_at.replace(minute=0), 1)[0].tolist() == [True]
    assert known.masks(one.integration, "", span.starts_at.replace(minute=0), 1, "schema")[0].tolist() == [False]
