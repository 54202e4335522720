"""Incidents related by hand: both know it, once, with a reason; and whom an incident concerns follows what it holds."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.models import AuditEntry, Role, User
from apps.incidents import workflow
from apps.incidents.merging import merge, split, unmerge
from apps.incidents.models import Finding, Incident, Relation
from apps.incidents.regrouping import NewHome, gather, release
from apps.incidents.relating import relate, relations_of, unrelate
from apps.incidents.workflow import NotPossible
from tests.incidents.builders import HOUR, NOW, at_once, consistent, draft, integration, partner, person, team, uid

pytestmark = pytest.mark.django_db


@pytest.fixture
def mara(db: None) -> User:
    return person("mara")


def raised(key: object, cause: object | None = None, **values: object) -> Incident:
    [finding] = workflow.raise_findings([draft(key, cause=key if cause is None else cause, **values)], NOW)
    return Incident.objects.select_related("partner").get(pk=finding.incident_id)


def test_both_show_it_and_either_can_end_it(mara: User) -> None:
    one, other = raised(1), raised(2)
    relate(other.pk, one.pk, mara, NOW, " the same\ncarrier strike ")
    for here, there in ((one, other), (other, one)):
        [found] = relations_of(here.pk)
        assert (found.incident, found.relation.reason, found.relation.actor_name) == (
            there,
            "the same carrier strike",
            "Mara",
        )
        row = here.timeline.get(kind="related")
        assert (row.text, row.data, row.actor) == (f"#{there.pk}: the same carrier strike", {"other": there.pk}, mara)
    assert AuditEntry.objects.get(action="incident.related").actor == mara
    for a, b in ((one, other), (other, one)):
        with pytest.raises(NotPossible, match="Mara already related"):
            relate(a.pk, b.pk, person(f"jon{a.pk}"), NOW, "again")
    unrelate(one.pk, other.pk, mara, NOW)
    assert relations_of(one.pk) == relations_of(other.pk) == []
    assert other.timeline.filter(kind="unrelated").exists()
    with pytest.raises(NotPossible, match="not related"):
        unrelate(other.pk, one.pk, mara, NOW)
    consistent()


def test_what_makes_no_sense_is_refused(mara: User) -> None:
    one, other = raised(1), raised(2)
    for pk, to, text, words in (
        (one.pk, one.pk, "x", "not related to itself"),
        (one.pk, 999_999, "x", "no incident #999999"),
        (one.pk, other.pk, "  ", "Say what they have"),
    ):
        with pytest.raises(NotPossible, match=words):
            relate(pk, to, mara, NOW, text)
    with pytest.raises(Incident.DoesNotExist):
        relate(999_999, one.pk, mara, NOW, "x")
    with pytest.raises(NotPossible, match="Partners"):
        relate(one.pk, other.pk, person("pat", role=Role.PARTNER), NOW, "x")
    assert not Relation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_people_at_once_make_one_relation(transactional_db: None) -> None:
    one, other = raised(1), raised(2)
    people = [person(f"p{n}") for n in range(6)]
    pairs = [(one.pk, other.pk), (other.pk, one.pk)]
    works = [lambda who=who, n=n: relate(*pairs[n % 2], who, NOW, "x") for n, who in enumerate(people)]
    results = at_once(works)
    assert sum(not isinstance(result, Exception) for result in results) == 1
    assert all(isinstance(result, NotPossible) for result in results if isinstance(result, Exception))
    assert Relation.objects.count() == 1


def test_a_cause_at_one_partner_is_that_partners_whoever_came_first(mara: User) -> None:
    rhein, swift = partner("3pl-rhein"), partner("swift")
    first, second = raised(1, partner_id=rhein.pk), raised(2, partner_id=swift.pk)
    merge([first.pk], second.pk, mara, NOW)
    second.refresh_from_db()
    assert (second.partner, second.partners, second.whom) == (None, 2, "2 partners")
    for slug in ("3pl-rhein", "swift"):
        assert second in Incident.objects.unresolved().concerning(slug), "its inbox shows it all the same"
    assert not Incident.objects.concerning("another").exists()
    unmerge(first.pk, mara, NOW)
    for incident, whose in ((first, rhein), (second, swift)):
        incident.refresh_from_db()
        assert (incident.partner, incident.partners) == (whose, 1)


def test_what_joins_and_what_is_split_off_counts(mara: User) -> None:
    a, b, c = partner("a"), partner("b"), partner("c")
    home = raised(1, "cause", partner_id=a.pk)
    assert home.whom == "A"
    raised(2, "cause", partner_id=b.pk)
    assert raised(3, "cause", partner_id=c.pk).whom == "3 partners"
    ours = Finding.objects.get(key=uid("key", 1)).pk
    new = split(home.pk, [ours], mara, NOW)
    assert Incident.objects.get(pk=new.pk).whom == "A"
    assert Incident.objects.get(pk=home.pk).whom == "2 partners"


def test_the_owner_is_whose_integrations_they_are_unless_somebody_chose(mara: User) -> None:
    night, day = team("night"), team("day")
    feeds = [integration(f"feed-{n}", team=night) for n in range(2)]
    one = raised(1, integration_id=feeds[0].pk, team_id=day.pk)
    raised(2, 1, integration_id=feeds[1].pk, team_id=day.pk)
    one.refresh_from_db()
    assert (one.integration, one.team) == (None, night)
    workflow.assign(one.pk, mara, NOW, team=day)
    raised(3, 1, integration_id=integration("feed-9", team=night).pk)
    one.refresh_from_db()
    assert one.team == day


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["raise", "merge", "unmerge"]), st.integers(0, 2), st.integers(0, 2)), max_size=8
    )
)
def test_however_findings_move_an_incident_says_whose_they_are(mara: User, moves: list[tuple[str, int, int]]) -> None:
    from_before = set(Incident.objects.values_list("pk", flat=True))
    run = uid("run", len(from_before), *moves)
    partners = [partner(f"p{n}-{run}") for n in range(3)]
    for n, (move, one, other) in enumerate(moves):
        try:
            if move == "raise":
                raised(f"{run}/{n}", f"{run}/{one}", partner_id=partners[other].pk)
                continue
            found = Incident.objects.filter(fingerprint__in=[uid("cause", f"{run}/{k}") for k in (one, other)])
            pks = list(found.order_by("pk").values_list("pk", flat=True))
            if move == "merge" and len(pks) == 2:
                merge(pks[:1], pks[1], mara, NOW)
            elif move == "unmerge" and pks:
                unmerge(pks[0], mara, NOW)
        except NotPossible:
            pass
    for incident in Incident.objects.exclude(pk__in=from_before):
        whose = set(Finding.objects.filter(incident=incident).values_list("partner_id", flat=True))
        if whose:
            assert incident.partners == len(whose)
            assert incident.partner_id == (whose.pop() if len(whose) == 1 else None)


def test_many_joining_cost_one_statement_more(mara: User) -> None:
    partners = [partner(f"p{n}") for n in range(12)]
    raised(0, "home", partner_id=partners[0].pk)

    def cost(n: int, start: int) -> int:
        drafts = [draft(start + k, "home", partner_id=partners[k % 12].pk) for k in range(n)]
        with CaptureQueriesContext(connection) as seen:
            workflow.raise_findings(drafts, NOW + HOUR)
        return len(seen)

    assert cost(2, 100) == cost(60, 200)


def test_a_cause_left_without_findings_ends(mara: User) -> None:
    """Findings that were gathered by mistake go home; the incident of the cause does not stay open with nothing in it."""
    raised(1)
    home = gather([Finding.objects.get().pk], NewHome(uid("cause", "dock"), "Dock closed"), "the same dock", NOW)
    assert home is not None
    assert release([Finding.objects.get().pk], NOW + HOUR) == 1
    assert Incident.objects.get(pk=home).state == "resolved"
    consistent()
