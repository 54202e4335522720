"""Planning, changing, cancelling and restoring windows; what makes no sense is refused by its field."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from apps.accounts.models import AuditEntry, User
from apps.integrations import maintenance_plans as plans
from apps.integrations.maintenance import occurrence_at, window_of
from apps.integrations.maintenance_plans import NotPossible, Wanted
from apps.integrations.models import Partner
from tests.incidents.builders import HOUR, NOW, person

pytestmark = pytest.mark.django_db
WANTED = Wanted("maintenance", NOW + HOUR, NOW + 3 * HOUR, "WMS upgrade", everything=True)


@pytest.fixture
def actor() -> User:
    return person("mara")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"reason": " "}, "reason"),
        ({"kind": "party"}, "kind"),
        ({"ends_at": NOW}, "ends_at"),
        ({"starts_at": NOW - 3 * HOUR, "ends_at": NOW - HOUR}, "ends_at"),
        ({"ends_at": NOW + timedelta(days=40)}, "ends_at"),
        ({"ends_at": NOW + timedelta(days=8), "recurrence": "FREQ=WEEKLY"}, "ends_at"),
        ({"starts_at": NOW - timedelta(days=2)}, "starts_at"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"everything": False}, "everything"),
        ({"rules": ["asn"]}, "everything"),
        ({"recurrence": "FREQ=HOURLY"}, "recurrence"),
        ({"announce_to_partners": True}, "announcement"),
        ({"everything": False, "rules": ["asn"], "announce_to_partners": True, "announcement": "x"}, "announce"),
    ],
)
def test_what_makes_no_sense(actor: User, changes: dict[str, object], field: str) -> None:
    with pytest.raises(NotPossible) as caught:
        plans.plan(replace(WANTED, **changes), actor, NOW)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert str(caught.value).endswith(".")


def test_planned_changed_cancelled_and_restored(actor: User) -> None:
    partner = Partner.objects.create(slug="p", name="P", kind="carrier")
    row = plans.plan(WANTED, actor, NOW)
    wanted = replace(WANTED, everything=False, partners=[partner], rules=["b", "a"])
    plans.change(row.pk, wanted, actor, NOW)
    row.refresh_from_db()
    assert (row.rules, list(row.partners.all())) == (["a", "b"], [partner])
    plans.cancel(row.pk, actor, NOW + 2 * HOUR)
    assert occurrence_at(window_of(plans._locked(row.pk)), NOW + 2.5 * HOUR) is None
    with pytest.raises(NotPossible, match="cancelled"):
        plans.change(row.pk, wanted, actor, NOW + 2 * HOUR)
    plans.restore(row.pk, actor, NOW + 2.25 * HOUR)
    assert occurrence_at(window_of(plans._locked(row.pk)), NOW + 2.5 * HOUR) is not None
    plans.cancel(row.pk, actor, NOW + 2.5 * HOUR)
    with pytest.raises(NotPossible, match="an hour ago"):
        plans.restore(row.pk, actor, NOW + 4 * HOUR)
    actions = AuditEntry.objects.order_by("id").values_list("action", flat=True)
    assert [one.split(".")[1] for one in actions] == ["planned", "changed", "cancelled", "restored", "cancelled"]


def test_what_has_begun_keeps_its_beginning_and_scope(actor: User) -> None:
    row = plans.plan(WANTED, actor, NOW)
    now = NOW + 2 * HOUR
    plans.change(row.pk, replace(WANTED, ends_at=NOW + 5 * HOUR, reason="Takes longer"), actor, now)
    for changes in ({"starts_at": NOW + 1.5 * HOUR}, {"kind": "mute"}, {"everything": False, "rules": ["x"]}):
        with pytest.raises(NotPossible, match="has begun"):
            plans.change(row.pk, replace(WANTED, **changes), actor, now)  # type: ignore[arg-type]
    with pytest.raises(NotPossible, match="is over"):
        plans.change(row.pk, WANTED, actor, NOW + 6 * HOUR)
    with pytest.raises(NotPossible, match="over already"):
        plans.cancel(row.pk, actor, NOW + 6 * HOUR)
    with pytest.raises(NotPossible, match="not there"):
        plans.cancel(10**9, actor, NOW)
