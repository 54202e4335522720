"""A round of grouping on the database: one cause, one incident; strangers go home; nothing is lost on the way."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta

import pytest

from apps.anomalies.causes_models import CauseGroup, CauseMember
from apps.anomalies.grouping.keeping import run
from apps.flows.canonical import key_of
from apps.flows.models import Flow, FlowDefinition
from apps.incidents.clearing import clear_findings
from apps.incidents.models import Finding, Incident, IncidentEvent
from apps.incidents.workflow import raise_findings
from apps.integrations.models import ChangeMarker, Integration, Partner
from apps.sla.models import Expectation, SlaRule
from tests.incidents.builders import HOUR, MINUTE, NOW, consistent, draft, uid

pytestmark = pytest.mark.django_db

SPEC = {
    "identified_by": ["purchase_order"],
    "opened_by": ["purchase_order.sent"],
    "milestones": [
        {"name": "sent", "label": "Order sent", "reached_by": ["purchase_order.sent"]},
        {"name": "asn", "label": "ASN", "reached_by": ["asn.received"]},
        {"name": "received", "label": "Received", "reached_by": ["goods.received"]},
    ],
}


class Net:
    """Partners with a feed each, orders that fell due, and what became of them."""

    def __init__(self) -> None:
        self.definition = FlowDefinition.objects.create(slug="purchase", name="Purchase", spec=SPEC)
        self.rules = {
            name: SlaRule.objects.create(slug=name, name=name, flow_slug="purchase", milestone=name, spec={})
            for name in ("asn", "received")
        }
        self.partners: dict[str, Partner] = {}
        self.feeds: dict[str, Integration] = {}
        for slug in ("acme", "borg", "cole", "dunn"):
            partner = Partner.objects.create(slug=slug, name=slug.title(), kind="supplier")
            self.partners[slug] = partner
            self.feeds[slug] = Integration.objects.create(
                slug=f"{slug}-edi", name=f"{slug.title()} EDI", kind="edi", partner=partner
            )
        self.count = 0

    def due(
        self, partner: str, n: int, *, late: bool, milestone: str = "asn", lane: str = "FR", hours: float = 2
    ) -> list[Finding]:
        """n orders whose milestone fell due ``hours`` ago, one a minute before; late ones have an open finding."""
        expectations, drafts = [], []
        for _ in range(n):
            self.count += 1
            flow = Flow.objects.create(
                key=uid("flow", self.count), definition=self.definition, partner=self.partners[partner],
                label=f"P{self.count}", opened_at=NOW, last_happened_at=NOW, last_received_at=NOW,
                digest=uid("digest", self.count), attributes={"lane_from": lane, "lane_to": "DE"},
            )  # fmt: skip
            due_at = NOW - hours * HOUR - (self.count % 30) * MINUTE
            expectations.append(
                Expectation(
                    flow=flow, definition=self.definition, partner=self.partners[partner], milestone=milestone,
                    rule=self.rules[milestone], source=self.feeds[partner], due_at=due_at,
                    state="BREACHED" if late else "MET", met_at=None if late else due_at,
                    settled_at=None if late else due_at,
                )
            )  # fmt: skip
        Expectation.objects.bulk_create(expectations)
        if not late:
            return []
        for one in expectations:
            drafts.append(
                draft(
                    f"due {one.pk}", f"{milestone} {partner}", kind="sla.breach", flow_id=one.flow_id,
                    partner_id=one.partner_id, integration_id=one.source_id, due_at=one.due_at,
                )
            )  # fmt: skip
        found = raise_findings(drafts, NOW)
        for one, finding in zip(expectations, found, strict=True):
            Expectation.objects.filter(pk=one.pk).update(finding=finding)
        return found

    def silent(self, partner: str, since: float) -> Finding:
        feed = self.feeds[partner]
        key = key_of("feed", feed.slug, "")
        made = draft(
            "silent", "silent", kind="feed.silent", integration_id=feed.pk, partner_id=feed.partner_id,
            incident_title=f"{feed.name} has gone quiet", evidence={"window_hours": since},
        )  # fmt: skip
        changed = {name: getattr(made, name) for name in made.__slots__} | {
            "key": key,
            "cause": key_of("feed", feed.slug),
        }
        return raise_findings([type(made)(**changed)], NOW)[0]


@pytest.fixture
def net() -> Net:
    net = Net()
    for partner in net.partners:
        net.due(partner, 25, late=False, hours=2)
        net.due(partner, 25, late=False, milestone="received", hours=5)
    return net


def incidents_of(findings: Sequence[Finding]) -> set[int]:
    return set(Finding.objects.filter(pk__in=[one.pk for one in findings]).values_list("incident_id", flat=True))


def test_two_incidents_of_one_cause_become_one_and_strangers_stay_out(net: Net) -> None:
    """The lane is late for two partners: two incidents by rule, one by cause. A third partner's one late order is not."""
    late = net.due("acme", 20, late=True, lane="PL") + net.due("borg", 20, late=True, lane="PL")
    stranger = net.due("cole", 1, late=True, lane="FR")
    assert Incident.objects.unresolved().count() == 3
    kept = run(NOW)
    [group] = CauseGroup.objects.all()
    assert kept.moved == 20
    assert group.shape == [["lane", "PL>DE"]]
    assert "40 late events explained by: Lane PL to DE since" in group.sentence
    [home] = incidents_of(late)
    assert home == group.incident_id
    assert Incident.objects.get(pk=home).title == group.name
    assert incidents_of(stranger).isdisjoint({home})
    assert Incident.objects.unresolved().count() == 2
    merged = Incident.objects.filter(resolution="merged")
    assert {one.merged_into_id for one in merged} == {home}
    assert IncidentEvent.objects.filter(text__startswith=f"Merged by cause into #{home}").count() == 1
    assert CauseMember.objects.filter(group=group).count() == 40
    consistent()


def test_a_round_that_finds_the_same_changes_nothing(net: Net) -> None:
    net.due("acme", 20, late=True, lane="PL")
    net.due("borg", 20, late=True, lane="PL")
    run(NOW)
    before = (
        list(IncidentEvent.objects.values_list("pk", "text")),
        list(CauseGroup.objects.values_list("pk", "sentence")),
    )
    assert run(NOW + MINUTE).moved == 0
    assert (
        list(IncidentEvent.objects.values_list("pk", "text")),
        list(CauseGroup.objects.values_list("pk", "sentence")),
    ) == before


def test_a_silent_feed_takes_what_waits_for_it_into_its_incident(net: Net) -> None:
    late = net.due("acme", 12, late=True, hours=1)
    net.due("dunn", 1, late=True)
    silent = net.silent("acme", since=0.6)
    run(NOW)
    [group] = CauseGroup.objects.all()
    assert group.name.startswith("Acme EDI silent since")
    assert incidents_of(late) == {silent.incident_id} == {group.incident_id}
    assert Incident.objects.get(pk=silent.incident_id).open_findings == 13
    consistent()


def test_one_incident_that_is_all_of_the_cause_stays_as_it_is(net: Net) -> None:
    late = net.due("acme", 20, late=True)
    [own] = incidents_of(late)
    assert run(NOW).moved == 0
    assert CauseGroup.objects.get().incident_id == own
    assert IncidentEvent.objects.filter(incident=own).count() == 1


def test_what_comes_later_by_the_way_of_a_merged_cause_and_is_none_of_it_goes_home(net: Net) -> None:
    late = net.due("acme", 20, late=True, lane="PL") + net.due("borg", 20, late=True, lane="PL")
    run(NOW)
    [home] = incidents_of(late)
    more = net.due("acme", 1, late=True, lane="PL")
    net.due("acme", 60, late=False, lane="IT")
    foreign = net.due("acme", 1, late=True, lane="IT")
    assert incidents_of(more + foreign) == {home}, "the cause of the merged incident leads there"
    run(NOW + MINUTE)
    assert incidents_of(more) == {home}
    assert incidents_of(foreign) != {home}
    own = Incident.objects.get(pk=incidents_of(foreign).pop())
    assert own.state == Incident.State.OPEN
    assert own.merged_into is None
    consistent()


def test_a_cause_ends_with_its_findings(net: Net) -> None:
    late = net.due("acme", 20, late=True, lane="PL") + net.due("borg", 20, late=True, lane="PL")
    run(NOW)
    clear_findings([one.key for one in late], "They came", NOW + HOUR)
    run(NOW + HOUR)
    assert CauseGroup.objects.get().ended_at == NOW + HOUR


def test_a_change_before_it_is_named(net: Net) -> None:
    marker = ChangeMarker.objects.create(
        at=NOW - 3 * HOUR, integration=net.feeds["acme"], kind="deploy", text="Mapping v7 live"
    )
    net.due("acme", 40, late=False, hours=20)
    net.due("acme", 25, late=True, hours=1)
    Expectation.objects.filter(source=net.feeds["acme"], state="MET", due_at__gt=marker.at).delete()
    run(NOW)
    group = CauseGroup.objects.get()
    assert group.shape == [["change", str(marker.pk)]]
    assert group.name == "After a change: Mapping v7 live (Acme EDI) at " + group.name.rsplit(" at ")[1]


def test_a_person_who_had_all_of_it_keeps_it_and_nobody_is_called(net: Net, django_user_model: type) -> None:
    late = net.due("acme", 20, late=True, lane="PL") + net.due("borg", 20, late=True, lane="PL")
    net.due("acme", 10, late=True, lane="IT")  # so that neither incident is mostly of the cause
    net.due("borg", 10, late=True, lane="ES")
    person = django_user_model.objects.create(username="ada", role="operations")  # type: ignore[attr-defined]
    Incident.objects.update(state="acknowledged", acknowledged_at=NOW, acknowledged_by=person)
    run(NOW)
    [home] = incidents_of(late)
    incident = Incident.objects.get(pk=home)
    assert incident.kind == "cause"
    assert (incident.state, incident.acknowledged_by) == ("acknowledged", person)
    assert not IncidentEvent.objects.filter(incident=home, notify=True).exists()


def test_the_number_of_statements_does_not_grow_with_the_findings(net: Net, django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    net.due("acme", 5, late=True, lane="PL")
    net.due("borg", 60, late=True, lane="PL")
    with django_assert_max_num_queries(45):
        run(NOW)
    with django_assert_max_num_queries(35):
        run(NOW + timedelta(minutes=1))
    assert isinstance(CauseGroup.objects.get().fingerprint, uuid.UUID)
