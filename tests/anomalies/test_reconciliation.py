"""Declared pairs: the verdicts as properties, and seeded disagreements found through the real pipeline within one round."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.anomalies.causes_models import ReconciliationRule, ReconciliationTally, ReconciliationWord
from apps.anomalies.reconciliation.judging import AGREE, DIFFER, VOID, WAITING, Word, in_pieces, judge
from apps.anomalies.reconciliation.noting import note
from apps.anomalies.reconciliation.rounds import run
from apps.anomalies.reconciliation.rules import ReconciliationError, Rule, amounts_in, compile_rule
from apps.configuration import documents, loading
from apps.flows import pipeline
from apps.flows.canonical import CanonicalEvent, Reference
from apps.flows.models import Flow
from apps.flows.recording import IncomingEvent
from apps.incidents.models import Finding, Incident
from apps.integrations.models import Integration, SourceState
from apps.simulator.carrying import LOST, carry
from apps.simulator.faults import Faults, Wire
from apps.simulator.history import take
from apps.simulator.wire import deliveries
from apps.simulator.world import stories_of
from tests.incidents.builders import HOUR, MINUTE, NOW

DAY = timedelta(days=1)
#: what a carrier tells of a parcel it has
SEEN = ("picked_up", "in_transit", "out_for_delivery", "delivered")
BASE: dict[str, Any] = {
    "left": {"events": ["a.b"]},
    "right": {"events": ["c.d"]},
    "check": "follows",
    "key": "picking",
    "grace": "PT1H",
}


def rule(**changes: Any) -> Rule:
    return compile_rule("r", 1, "Rule", "normal", BASE | changes)


def equals(**changes: Any) -> Rule:
    sides = {"left": {"events": ["a.b"], "field": "quantity"}, "right": {"events": ["c.d"], "field": "quantity"}}
    return rule(check="equals", **(sides | changes))


def word(side: str, at: datetime = NOW, number: int = 1, mark: str = "", **amounts: str) -> Word:
    return Word(side, number, "a.b", at, at, 1, amounts, mark)


WORDS = st.lists(
    st.builds(
        lambda side, minutes, number, amount: word(side, NOW + minutes * MINUTE, number, f"m{number % 3}", EA=str(amount)),
        st.sampled_from(["left", "right", "unless"]), st.integers(-300, 300), st.integers(1, 50), st.integers(0, 40),
    ),
    max_size=8,
)  # fmt: skip
RULES = st.sampled_from([rule(), equals(), rule(check="once", distinct="tracking_number")])


@given(RULES, WORDS, st.integers(-400, 900), st.randoms(use_true_random=False))
@settings(max_examples=120, deadline=None)
def test_a_verdict_does_not_depend_on_the_order_and_waiting_always_ends(
    one: Rule, words: list[Word], minutes: int, chance: random.Random
) -> None:
    now = NOW + minutes * MINUTE
    verdict = judge(one, words, now)
    shuffled = list(words)
    chance.shuffle(shuffled)
    assert judge(one, shuffled, now) == verdict
    if verdict.state == WAITING:
        assert verdict.look_at is not None
        assert verdict.look_at > now
        assert judge(one, words, verdict.look_at).state != WAITING
    else:
        assert judge(one, words, now + DAY).state == verdict.state, "no new word, no new verdict"


@given(
    st.decimals(0, 10**6, places=3),
    st.decimals(0, 10**6, places=3),
    st.decimals(0, 100, places=2),
    st.decimals(0, 1, places=2),
)
def test_amounts_agree_exactly_within_the_tolerance(
    one: Decimal, other: Decimal, fixed: Decimal, part: Decimal
) -> None:
    told = equals(tolerance=float(fixed), relative=float(part))
    words = [word("left", EA=str(one)), word("right", EA=str(other), number=2)]
    allowed = max(Decimal(str(float(fixed))), Decimal(str(float(part))) * max(one, other))
    assert judge(told, words, NOW + DAY).state == (AGREE if abs(one - other) <= allowed else DIFFER)


def test_units_are_compared_in_pieces_or_not_at_all() -> None:
    words = [word("left", CT="12"), word("right", EA="144", number=2)]
    assert judge(equals(units={"CT": 12}), words, NOW + DAY).state == AGREE
    unknown = judge(equals(), words, NOW + DAY)
    assert unknown.state == DIFFER
    assert "units cannot be compared: 12 CT against 144 EA" in unknown.said
    alike = judge(equals(), [word("left", EA="12"), word("right", PCE="144", number=2)], NOW + DAY)
    assert alike.said == "12 EA against 144 PCE, 132 less; exactly 12 times as much, as if one counted packs"
    assert in_pieces({"EA": Decimal(3), "XX": Decimal(1)}, {}) is None
    assert amounts_in(equals().left, {"quantity_by_unit": {"CT": 3, "EA": 4}}) == {"CT": "3", "EA": "4"}
    assert amounts_in(equals().left, {"quantity": 3, "quantity_unit": "EA"}) == {"EA": "3"}
    assert amounts_in(equals().left, {"quantity": "three"}) == {}


def test_silence_of_a_side_that_cannot_be_heard_accuses_nobody() -> None:
    told = [word("left")]
    assert judge(rule(), told, NOW + DAY).state == DIFFER
    assert judge(rule(), told, NOW + DAY, unheard={7}).state == WAITING
    assert judge(rule(), [*told, word("unless", number=2)], NOW + DAY).state == VOID


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flow": "order-to-ship"}, "either key"),
        ({"check": "equals"}, "say field"),
        ({"check": "once"}, "say distinct"),
        ({"check": "alike"}, "check"),
        ({"grace": "2 hours"}, "grace"),
        ({"key": "pallet"}, "key"),
        ({"left": {"events": []}}, "left.events"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_the_place(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ReconciliationError, match=words):
        rule(**changes)


class World:
    """Orders, parcels and purchases told by a warehouse, a carrier and Odoo, some of it dropped or changed on purpose."""

    def __init__(self) -> None:
        files = Path(django_settings.BASE_DIR) / "apps"
        call_command("load_config", str(files / "flows/definition_files"), str(files / "simulator/demo"), verbosity=0)
        self.ids = dict(Integration.objects.values_list("slug", "id"))
        self.partners = dict(Integration.objects.filter(partner__isnull=False).values_list("slug", "partner__slug"))
        self.count = 0

    def tell(self, *events: tuple[str, str, datetime, Sequence[tuple[str, str]], dict[str, Any]]) -> None:
        """(integration, type, when, references, data), recorded, folded and taken down as processing does."""
        incoming = []
        for slug, type_, at, references, data in events:
            self.count += 1
            event = CanonicalEvent(
                type_, at, tuple(Reference(kind, value) for kind, value in references), f"e{self.count}", data=data
            )
            incoming.append(IncomingEvent(event, self.ids[slug], self.partners.get(slug, ""), None, at))
        taken = pipeline.take(incoming, NOW)
        note(taken.new)

    def order(self, number: int, *, drop: str = "", ago: timedelta = timedelta(days=4)) -> None:
        """An order that went all its way; drop: what was never said, or said wrongly."""
        at = NOW - ago
        order, picking, parcel = (
            ("sales_order", f"S{number}"),
            ("picking", f"OUT{number}"),
            ("tracking_number", f"T{number}"),
        )
        told = [
            ("odoo-bus", "order.created", at, [order], {}),
            ("north-wms", "label.created", at + HOUR, [picking, parcel], {}),
            ("north-wms", "pack.completed", at + HOUR, [order, picking], {}),
            ("north-wms", "shipment.dispatched", at + 2 * HOUR, [order, picking], {}),
        ]
        if drop != "odoo":
            told.append(("odoo-bus", "shipment.dispatched", at + 3 * HOUR, [order, picking], {}))
        if drop != "carrier":
            told.append(("swift-tracking", "transport.picked_up", at + 5 * HOUR, [parcel], {}))
            told.append(("swift-tracking", "delivery.completed", at + 20 * HOUR, [parcel], {}))
        if drop != "invoice":
            told.append(("odoo-bus", "invoice.posted", at + 4 * HOUR, [order], {}))
        if drop == "twice":
            told.append(("north-wms", "label.created", at + HOUR, [picking, ("tracking_number", f"T{number}-b")], {}))
            told.append(
                ("swift-tracking", "transport.picked_up", at + 5 * HOUR, [("tracking_number", f"T{number}-b")], {})
            )
        self.tell(*told)

    def purchase(self, number: int, announced: int, received: int, unit: str = "EA") -> None:
        at = NOW - 3 * DAY
        keys = [("purchase_order", f"P{number}"), ("despatch_advice", f"D{number}")]
        self.tell(
            ("odoo-bus", "purchase_order.sent", at, keys[:1], {}),
            ("oakline-edi", "asn.received", at + HOUR, keys, {"quantity": announced, "quantity_unit": unit}),
            ("odoo-bus", "goods.received", at + 9 * HOUR, keys, {"quantity": received}),
        )


@pytest.mark.django_db
class TestRounds:
    def test_every_seeded_disagreement_is_found_in_one_round_and_nothing_else(self) -> None:
        world = World()
        wrong = {7: "odoo", 19: "carrier", 31: "invoice", 43: "twice"}
        for number in range(60):
            world.order(number, drop=wrong.get(number, ""))
        for number in range(20):
            world.purchase(number, 100, 100 if number != 5 else 88)
        done = run(NOW)
        found = {
            (one.evidence["rule"], one.evidence["key"])
            for one in Finding.objects.filter(kind__startswith="reconciliation.")
        }
        assert found == {
            ("shipped-odoo-open", "Picking OUT7"),
            ("tracking-not-seen", "Tracking number T19"),
            ("delivered-not-invoiced", "S31"),
            ("label-made-twice", "Picking OUT43"),
            ("asn-against-receipt", "Purchase order P5"),
        }
        assert done.raised == 5
        assert done.judged > 200, "what agrees was looked at too"
        assert run(NOW + MINUTE).judged == 0, "a round costs what was said since the last one"
        tallies = {one.slug: one for one in ReconciliationTally.objects.all()}
        assert tallies["shipped-odoo-open"].agree == 59
        assert tallies["shipped-odoo-open"].differ == 1
        assert tallies["file-not-as-agreed"].resting
        self.both_sides_are_shown()

    def both_sides_are_shown(self) -> None:
        asn = Finding.objects.get(evidence__rule="asn-against-receipt")
        assert asn.sentence.startswith(
            "Announced and received quantities differ: Purchase order P5. Oakline EDI (EDIFACT) told"
        )
        assert "100 EA against 88, 12 more (12 h allowed)" in asn.sentence
        assert asn.flow == Flow.objects.get(label="P5")
        assert asn.evidence["left"]["words"][0]["who"] == "Oakline EDI (EDIFACT)"
        assert asn.evidence["right"]["words"][0]["amount"] == "88"

    def test_a_late_word_clears_it(self) -> None:
        world = World()
        world.order(1)
        world.order(2, drop="odoo")
        run(NOW)
        finding = Finding.objects.get(evidence__rule="shipped-odoo-open")
        world.tell(("odoo-bus", "shipment.dispatched", NOW, [("picking", "OUT2")], {}))
        assert run(NOW + MINUTE).cleared == 1
        finding.refresh_from_db()
        assert finding.cleared_at == NOW + MINUTE
        assert Incident.objects.get(pk=finding.incident_id).open_findings == 0

    def test_within_its_grace_and_while_a_side_is_unheard_nothing_is_said(self) -> None:
        world = World()
        world.order(1)
        world.order(2, drop="odoo", ago=3 * HOUR)
        run(NOW)
        assert not Finding.objects.exists()
        SourceState.objects.update_or_create(integration_id=world.ids["odoo-bus"], defaults={"stale_since": NOW})
        run(NOW + 4 * HOUR)
        assert not Finding.objects.filter(evidence__rule="shipped-odoo-open").exists()
        SourceState.objects.update(stale_since=None)
        run(NOW + 5 * HOUR)
        assert Finding.objects.filter(evidence__rule="shipped-odoo-open").exists()

    def test_a_rule_that_is_new_reads_what_was_said_before_it_and_one_that_goes_takes_its_findings_along(self) -> None:
        world = World()
        spec = ReconciliationRule.objects.get(slug="shipped-odoo-open")
        ReconciliationRule.objects.filter(pk=spec.pk).update(lifecycle="retired")
        world.order(1)
        world.order(2, drop="odoo")
        run(NOW)
        assert not ReconciliationWord.objects.filter(rule_slug="shipped-odoo-open").exists()
        ReconciliationRule.objects.filter(pk=spec.pk).update(lifecycle="active")
        run(NOW + MINUTE)
        assert Finding.objects.filter(evidence__rule="shipped-odoo-open", cleared_at=None).count() == 1
        ReconciliationRule.objects.filter(pk=spec.pk).update(lifecycle="shadow")
        ReconciliationWord.objects.update(look_at=NOW)
        run(NOW + 2 * MINUTE)
        assert not Finding.objects.filter(evidence__rule="shipped-odoo-open", cleared_at=None).exists()

    def test_rules_come_from_files_and_go_back_into_them(self) -> None:
        World()
        told = loading.export()
        assert {one["slug"] for one in told["reconciliations"]} >= {"shipped-odoo-open", "stock-differs"}
        again = loading.load(
            [documents.parse(documents.dump({"reconciliations": told["reconciliations"]}), "r.yaml")], NOW
        )
        assert again == []
        with pytest.raises(documents.ConfigError, match=r"bad.yaml, line 1"):
            loading.load(
                [
                    documents.parse(
                        "reconciliations: [{slug: x, name: X, left: {events: [a]}, right: {events: [b]}, check: equals, key: picking}]",
                        "bad.yaml",
                    )
                ],
                NOW,
            )


@pytest.mark.django_db
def test_a_simulated_day_against_its_truth() -> None:
    """Parcels never scanned, or whose scans were all lost, are found through the real formats; of the sound ones none."""
    World()
    ways = Wire(lost=0.02, twice=0.03, late=0.02, out_of_order=0.03, late_hours=4)
    faults = Faults(orders={"never_scanned": 0.08, "delivered_late": 0.05}, wire={"swift-tracking": ways})
    journeys = carry(list(stories_of(date(2026, 3, 2), 5, faults))[::3], faults, 5)
    arrivals = sorted((one for j in journeys for c in j.carried for one in c.arrives), key=lambda one: one.arrives_at)
    end = max(one.arrives_at for one in arrivals) + 4 * DAY
    take(deliveries(arrivals, bundle=100), end, backfill=False)
    run(end)
    labelled, seen = set(), set()
    for journey in journeys:
        for one in journey.carried:
            parcel = one.message.facts.get("parcel")
            if one.fate != LOST and parcel and one.message.what == "packed":
                labelled.add(f"Tracking number {parcel}")
            elif one.fate != LOST and parcel and one.message.what in SEEN:
                seen.add(f"Tracking number {parcel}")
    found = set(Finding.objects.filter(evidence__rule="tracking-not-seen").values_list("evidence__key", flat=True))
    wrong = labelled - seen
    assert len(wrong) >= 3
    assert found == wrong
    other = Finding.objects.filter(kind__startswith="reconciliation.").exclude(evidence__rule="tracking-not-seen")
    judged = ReconciliationWord.objects.values("rule_slug", "pair").distinct().count()
    assert judged > 150
    assert other.count() / judged < 0.005
