"""Priority: a sum that can be reckoned by hand, that falls with what cannot be saved any more, set-wise."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.anomalies.causes_models import FlowRisk, IncidentPriority
from apps.anomalies.priority import Stake, helps, run, worth
from apps.incidents.clearing import clear_findings
from apps.incidents.models import Incident
from apps.incidents.workflow import raise_findings
from tests.incidents.builders import HOUR, NOW, draft, flow, uid

STAKES = st.lists(
    st.builds(
        lambda number, cents, hours, late, chance: Stake(
            number, f"S{number}", Decimal(cents) / 100, "EUR", NOW + hours * HOUR, late, chance
        ),
        st.integers(1, 99), st.integers(0, 10**7), st.integers(-80, 80), st.booleans(), st.none() | st.floats(0, 1),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@given(STAKES)
def test_the_sum_is_the_sum_of_its_parts_and_never_more_than_the_value(stakes: list[Stake]) -> None:
    found = worth(stakes, NOW)
    assert found is not None
    assert 0 <= found.amount <= found.value + Decimal("0.01")
    product = float(found.value) * found.chance * found.helps
    assert product == pytest.approx(float(found.amount), rel=1e-6, abs=0.02), "the factors shown give the sum shown"
    alone = [worth([one], NOW) for one in stakes]
    assert float(found.amount) == pytest.approx(sum(float(one.amount) for one in alone if one), abs=0.01 * len(stakes))


def test_what_can_be_reckoned_by_hand() -> None:
    stakes = [
        Stake(1, "S1", Decimal(1000), "EUR", NOW - 24 * HOUR, True, None),  # late for a day: a quarter is left
        Stake(2, "S2", Decimal(1000), "EUR", NOW + 2 * HOUR, False, 0.4),  # half of the repair time left
        Stake(3, "S3", Decimal(10), "USD", NOW + HOUR, False, 1.0),
    ]
    found = worth(stakes, NOW)
    assert found is not None
    assert found.amount == Decimal("550.00")
    assert found.others == {"USD": "10"}
    assert found.deadline_at == NOW + 2 * HOUR
    assert [one["part"] for one in found.top] == ["300.00", "250.00"]
    assert worth([], NOW) is None


@given(st.integers(-10_000, 10_000), st.integers(0, 3000))
def test_the_later_it_is_the_less_an_action_helps(minutes: int, more: int) -> None:
    due = NOW + timedelta(minutes=minutes)
    assert 0 <= helps(due, NOW + timedelta(minutes=more)) <= helps(due, NOW) <= 1


@pytest.mark.django_db
def test_every_incident_is_reckoned_and_what_is_over_keeps_its_last_word(django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    dear = flow("S1", value=Decimal(900), currency="EUR")
    cheap = flow("S2", value=Decimal(90), currency="EUR")
    risky = flow("S3", value=Decimal(1000), currency="EUR")
    flow("S4")
    FlowRisk.objects.create(
        flow=risky, milestone="asn", due_at=NOW + 9 * HOUR, chance=0.2, basis="law", scored_at=NOW, reasons=[]
    )
    raise_findings(
        [
            draft("a", "one", kind="sla.breach", flow_id=dear.pk, due_at=NOW),
            draft("b", "one", kind="sla.breach", flow_id=cheap.pk, due_at=NOW),
            draft("c", "two", kind="path.odd", flow_id=risky.pk),
            draft("d", "three"),
        ],
        NOW,
    )
    with django_assert_max_num_queries(8):
        assert run(NOW) == 2
    amounts = {one.incident.fingerprint: one.amount for one in IncidentPriority.objects.select_related("incident")}
    assert amounts == {uid("cause", "one"): Decimal("495.00"), uid("cause", "two"): Decimal("200.00")}
    clear_findings([uid("key", "c")], "It came", NOW)
    Incident.objects.filter(fingerprint=uid("cause", "two")).update(
        state="resolved", resolved_at=NOW, resolution="fixed"
    )
    run(NOW + HOUR)
    assert IncidentPriority.objects.count() == 2
    one = IncidentPriority.objects.get(incident__fingerprint=uid("cause", "one"))
    assert one.amount < Decimal(495)
    assert one.factors["flows"] == 2
