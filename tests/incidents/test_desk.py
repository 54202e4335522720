"""Severity and labels by hand, mentions, files, and what the passing of time and money do."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.incidents import files, mentions, tending, workflow
from apps.incidents.models import Incident, IncidentEvent
from apps.incidents.workflow import NotPossible, clear_findings, raise_findings
from tests.incidents.builders import HOUR, MINUTE, NOW, consistent, draft, flow, person, uid


def incident(cause: str = "a", *keys: object, **changes: object) -> Incident:
    raise_findings([draft(key, cause, **changes) for key in keys or (cause,)], NOW)
    return Incident.objects.get(fingerprint=uid("cause", cause))


@pytest.mark.django_db
class TestSeverity:
    def test_by_hand_stands_until_something_worse_than_ever_comes(self) -> None:
        mara, a = person("mara"), incident("a", 1, severity="high")
        row = workflow.rate(a.pk, mara, NOW, "low", "a test order")
        assert (row.kind, row.notify, row.data) == ("rated", False, {"before": "high", "after": "low"})
        raise_findings([draft(2, "a", severity="high")], NOW)
        a.refresh_from_db()
        assert (a.severity, a.severity_by_hand) == ("low", True), "no worse than before: the person's word stands"
        raise_findings([draft(3, "a", severity="critical")], NOW)
        a.refresh_from_db()
        assert (a.severity, a.severity_by_hand) == ("critical", False)
        consistent()

    def test_made_worse_by_hand_is_told(self) -> None:
        mara, a = person("mara"), incident()
        assert workflow.rate(a.pk, mara, NOW, "critical", "the customer called").notify

    @pytest.mark.parametrize(
        ("severity", "why", "words"), [("high", " ", "why"), ("normal", "x", "already"), ("loud", "x", "Choose")]
    )
    def test_what_is_refused(self, severity: str, why: str, words: str) -> None:
        mara, a = person("mara"), incident()
        with pytest.raises(NotPossible, match=words):
            workflow.rate(a.pk, mara, NOW, severity, why)
        assert a.timeline.count() == 1

    def test_money_makes_it_worse_but_not_what_a_person_set(self, settings: object) -> None:
        settings.INCIDENT_MONEY = ["EUR:high:1000", "EUR:critical:5000", "USD:critical:1"]  # type: ignore[attr-defined]
        mara = person("mara")
        rich = incident("rich", 1, flow_id=flow("SO-1", value=Decimal(6000), currency="EUR").pk)
        poor = incident("poor", 2, flow_id=flow("SO-2", value=Decimal(999), currency="EUR").pk)
        rated = incident("rated", 3, flow_id=flow("SO-3", value=Decimal(9999), currency="EUR").pk)
        workflow.rate(rated.pk, mara, NOW, "low", "a test order")
        workflow.snooze(rich.pk, mara, NOW, NOW + HOUR)
        assert tending.tend(NOW).worsened == 1
        assert tending.tend(NOW).worsened == 0
        found = {one.pk: (one.severity, one.state) for one in Incident.objects.all()}
        assert found == {rich.pk: ("critical", "open"), poor.pk: ("normal", "open"), rated.pk: ("low", "open")}
        assert "6,000 EUR at stake" in rich.timeline.get(kind="severity").text
        consistent()

    def test_limits_that_make_no_sense_are_named(self, settings: object) -> None:
        settings.INCIDENT_MONEY = ["EUR:20000"]  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match="EUR:20000"):
            tending.limits()


@pytest.mark.django_db
class TestLabels:
    def test_added_and_taken_away(self) -> None:
        mara, a = person("mara"), incident()
        workflow.label(a.pk, mara, NOW, add=["Peak Season", "carrier"])
        workflow.label(a.pk, mara, NOW, add=["carrier", "edi"], remove=["peak-season"])
        a.refresh_from_db()
        assert a.labels == ["carrier", "edi"]
        assert [row.text for row in a.timeline.filter(kind="labelled")] == [
            "+carrier +peak-season",
            "+edi -peak-season",
        ]
        with pytest.raises(NotPossible, match="changes nothing"):
            workflow.label(a.pk, mara, NOW, add=["edi"])

    @pytest.mark.parametrize("wrong", ["", "  ", "x" * 41, "a,b", "a\x00b"])
    def test_what_is_no_label(self, wrong: str) -> None:
        mara, a = person("mara"), incident()
        with pytest.raises(NotPossible, match="label"):
            workflow.label(a.pk, mara, NOW, add=[wrong])

    def test_not_too_many(self) -> None:
        mara, a = person("mara"), incident()
        with pytest.raises(NotPossible, match="At most 20"):
            workflow.label(a.pk, mara, NOW, add=[f"l{n}" for n in range(21)])


@pytest.mark.django_db
def test_mentioned_people_are_told_once_and_not_the_writer() -> None:
    mara, omar = person("mara"), person("omar.s")
    person("acme", role="partner")
    a = incident()
    workflow.comment(a.pk, mara, NOW, "@omar.s, please ask. @omar.s @mara @acme @nobody mail@omar.s")
    row = a.timeline.get(kind="mentioned")
    assert (row.notify, row.data["targets"]) == (True, {"users": [omar.pk]})
    workflow.comment(a.pk, mara, NOW, "done")
    assert a.timeline.filter(kind="mentioned").count() == 1


@given(st.text(max_size=300))
def test_names_are_names(text: str) -> None:
    found = mentions.names(text)
    assert len(found) == len(set(found)) <= mentions.MOST
    assert all(f"@{name}" in text and name for name in found)


@given(st.lists(st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), max_size=15))
def test_every_name_written_is_found(names: list[str]) -> None:
    assert mentions.names(" and ".join(f"@{name}." for name in names)) == list(dict.fromkeys(names))


@given(st.text(max_size=400))
def test_file_names_are_safe(name: str) -> None:
    safe = files.safe_name(name)
    assert safe
    assert len(safe) <= 120
    assert not set(safe) & set('/\\<>:"|?*;%\r\n\x00')
    assert safe.isprintable()


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("run.exe", b"MZ", "cannot be kept"),
        ("page.html", b"<script>", "cannot be kept"),
        ("picture.svg", b"<svg>", "cannot be kept"),
        ("noending", b"x", "cannot be kept"),
        ("empty.txt", b"", "is empty"),
        ("big.txt", b"x" * (files.LARGEST + 1), "larger than 5 MB"),
    ],
)
def test_files_that_are_not_kept(name: str, body: bytes, words: str) -> None:
    with pytest.raises(NotPossible, match=words):
        files.check([files.NewFile(name, body)])


@pytest.mark.django_db
class TestTime:
    def test_without_a_quiet_time_it_ends_at_once(self) -> None:
        a = incident()
        clear_findings([uid("key", "a")], "came", NOW)
        a.refresh_from_db()
        assert (a.state, a.quiet_since) == ("resolved", None)

    def test_it_waits_whether_more_comes(self, settings: object) -> None:
        settings.INCIDENT_QUIET = timedelta(minutes=10)  # type: ignore[attr-defined]
        a = incident()
        clear_findings([uid("key", "a")], "came", NOW)
        assert tending.tend(NOW + 9 * MINUTE).closed == 0
        raise_findings([draft(2, "a")], NOW + 9 * MINUTE)
        assert tending.tend(NOW + 30 * MINUTE).closed == 0, "something came: it is not quiet"
        clear_findings([uid("key", 2)], "came", NOW + 30 * MINUTE)
        a.refresh_from_db()
        assert (a.state, a.reopened) == ("open", 0)
        assert tending.tend(NOW + 40 * MINUTE).closed == 1
        a.refresh_from_db()
        assert (a.state, a.resolution, a.resolved_at) == ("resolved", "by itself", NOW + 40 * MINUTE)
        assert IncidentEvent.objects.filter(incident=a, kind="resolved", notify=True).count() == 1
        consistent()

    def test_alerts_that_are_told_no_more_are_over(self) -> None:
        told, ours = incident("told", 1, kind="alert.grafana"), incident("ours", 2)
        assert tending.tend(NOW + 23 * HOUR).over == 0
        assert tending.tend(NOW + 24 * HOUR).over == 1
        told.refresh_from_db()
        ours.refresh_from_db()
        assert (told.state, ours.state) == ("resolved", "open")
