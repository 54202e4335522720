"""The night's fit and the scores on the database: versions, the law while no model has proved itself, bounded statements."""

from __future__ import annotations

import math
import random
from datetime import timedelta

import pytest

from apps.anomalies.causes_models import FlowRisk, RiskModel
from apps.anomalies.risk.keeping import fit_all, score_all, voice_of
from apps.anomalies.risk.reading import read, stages
from apps.flows.models import Flow, FlowDefinition, Milestone
from apps.integrations.models import Partner
from apps.sla.models import Expectation, SlaRule
from tests.incidents.builders import HOUR, NOW, uid

pytestmark = pytest.mark.django_db
SPEC = {
    "identified_by": ["tracking_number"],
    "opened_by": ["label.created"],
    "milestones": [
        {"name": "scanned", "label": "Scanned", "reached_by": ["transport.picked_up"]},
        {"name": "delivered", "label": "Delivered", "reached_by": ["delivery.completed"]},
    ],
}


@pytest.fixture
def parcels() -> list[Flow]:
    """120 parcels delivered over 40 days, most within two days; five under way for half a day, one for nine days."""
    chance = random.Random(5)
    definition = FlowDefinition.objects.create(slug="parcel", name="Parcel", spec=SPEC)
    rule = SlaRule.objects.create(slug="d", name="D", flow_slug="parcel", milestone="delivered", spec={})
    carrier = Partner.objects.create(slug="swift", name="Swift Parcel", kind="carrier", time_zone="Europe/Berlin")
    flows, milestones, expectations = [], [], []
    for number in range(126):
        is_open = number >= 120
        age = timedelta(days=9 if number == 125 else 0.5) if is_open else timedelta(days=40 - number / 3.2)
        start = NOW - age
        lead = timedelta(days=math.exp(chance.gauss(0.5, 0.3)))
        flow = Flow(
            id=1000 + number, key=uid("p", number), definition=definition, partner=carrier, label=f"T{number}",
            opened_at=start - HOUR, last_happened_at=start, last_received_at=start, digest=uid("d", number),
            status="open" if is_open else "completed", attributes={"lane_to": "DE"}, awaiting="delivered" if is_open else "",
        )  # fmt: skip
        flows.append(flow)
        milestones.append(Milestone(flow=flow, name="scanned", ordinal=0, actual_at=start))
        if not is_open:
            milestones.append(Milestone(flow=flow, name="delivered", ordinal=1, actual_at=start + lead))
        due = start + timedelta(days=3)
        expectations.append(
            Expectation(
                flow=flow, definition=definition, partner=carrier, milestone="delivered", rule=rule, due_at=due,
                state="PENDING" if is_open else "MET", settled_at=None if is_open else start + lead,
            )
        )  # fmt: skip
    Flow.objects.bulk_create(flows)
    Milestone.objects.bulk_create(milestones)
    Expectation.objects.bulk_create(expectations)
    return flows


def test_a_stage_is_the_wait_from_one_required_milestone_to_the_next(parcels: list[Flow]) -> None:
    [stage] = stages()
    assert (stage.flow, stage.milestone, stage.before) == ("parcel", "delivered", "scanned")
    found = read(stage, NOW)
    assert len(found.cases) == 126
    assert sum(found.is_open) == 6
    assert all(case.done is None for case, is_open in zip(found.cases, found.is_open, strict=True) if is_open)
    assert found.cases[0].lane == ">DE"
    earlier = read(stage, NOW - timedelta(days=20))
    assert len(earlier.cases) < 70
    assert sum(case.done is None for case in earlier.cases) > 0, "what had not come by then is not known"


def test_the_law_speaks_until_a_model_has_proved_itself_and_is_kept_by_version(parcels: list[Flow]) -> None:
    [first] = fit_all(NOW)
    [second] = fit_all(NOW + timedelta(days=1))
    assert (first.version, second.version) == (1, 2)
    assert not second.promoted
    assert "plain law" in second.record["why"]
    assert voice_of(RiskModel.objects.get(pk=second.pk)).forest is None
    assert score_all(NOW) == 6
    young = FlowRisk.objects.get(flow=1120)
    old = FlowRisk.objects.get(flow=1125)
    assert young.basis == "law"
    assert young.chance is not None
    assert 0 < young.chance < 0.6
    assert old.chance == 1.0
    assert young.expected_at is not None
    assert NOW < young.expected_at < NOW + timedelta(days=3)
    Flow.objects.filter(pk=1120).update(status="completed")
    score_all(NOW + HOUR)
    assert not FlowRisk.objects.filter(flow=1120).exists()


def test_a_model_of_other_features_is_silent_until_the_next_night(parcels: list[Flow]) -> None:
    [row] = fit_all(NOW)
    row.promoted, row.body = True, b"of another version"
    row.law["typical"] = row.law["typical"][:-1]
    row.save()
    assert voice_of(row).forest is None
    assert score_all(NOW) == 6
    assert FlowRisk.objects.get(flow=1125).chance == 1.0


def test_scoring_costs_a_fixed_number_of_statements(parcels: list[Flow], django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    fit_all(NOW)
    with django_assert_max_num_queries(16):
        score_all(NOW)
