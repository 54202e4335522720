"""Takes down what declared pairs ask about, as events are recorded and in their transaction.

An event that no rule asks for costs nothing but a look at its type. What is taken down is the rule's own copy: a pair
is judged from its words alone, so a round costs as much as was said since the last one, not as much as there is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max

from apps.anomalies.causes_models import ReconciliationRule
from apps.anomalies.reconciliation.judging import LEFT, RIGHT, UNLESS
from apps.anomalies.reconciliation.rules import (
    ONCE,
    ReconciliationError,
    Rule,
    Speaker,
    amounts_in,
    compile_rule,
    key_fields,
)
from apps.flows.canonical import Key, Reference, hash_of
from apps.flows.catalogue import label_of_reference
from apps.flows.recording import NewEvent
from apps.flows.sets import EMPTY, Stage, jsonb, raw_cursor
from apps.integrations.models import Integration

#: references of one event that are followed for a rule about flows
MOST_REFERENCES = 6

_STAGE = Stage(
    "word",
    (
        ("rule_slug", "text"),
        ("pair", "uuid"),
        ("label", "text"),
        ("side", "text"),
        ("mark", "text"),
        ("event_id", "bigint"),
        ("type", "text"),
        ("integration_id", "bigint"),
        ("happened_at", "timestamptz"),
        ("received_at", "timestamptz"),
        ("amounts", "jsonb"),
        ("backfill", "boolean"),
        ("look_at", "timestamptz"),
    ),
)
_NOTE = f"""
INSERT INTO anomalies_reconciliationword ({_STAGE.columns}, verdict) SELECT {_STAGE.select}, '' FROM {_STAGE.table}
ORDER BY rule_slug COLLATE "C", pair, side COLLATE "C", event_id, mark COLLATE "C"
ON CONFLICT (rule_slug, pair, side, event_id, mark) DO UPDATE SET look_at = excluded.look_at
"""


@dataclass(frozen=True, slots=True)
class Told:
    """An event as the rules read it."""

    id: int
    type: str
    integration_id: int
    happened_at: datetime
    received_at: datetime
    references: tuple[Reference, ...]
    data: Mapping[str, Any]
    backfill: bool


_lock = threading.Lock()
_cached: tuple[Any, tuple[Rule, ...]] | None = None


def active_rules() -> tuple[Rule, ...]:
    """The newest version of each rule that is not retired; compiled anew only when a version came or a state changed."""
    global _cached
    stamp = tuple(
        ReconciliationRule.objects.order_by("lifecycle")
        .values_list("lifecycle")
        .annotate(n=Count("pk"), newest=Max("pk"))
    )
    with _lock:
        if _cached is not None and _cached[0] == stamp:
            return _cached[1]
    newest: dict[str, ReconciliationRule] = {}
    for row in ReconciliationRule.objects.order_by("slug", "version"):
        newest[row.slug] = row
    rules = tuple(compiled(row) for row in newest.values() if row.lifecycle != ReconciliationRule.Lifecycle.RETIRED)
    found = tuple(rule for rule in rules if rule is not None)
    with _lock:
        _cached = (stamp, found)
    return found


def compiled(row: ReconciliationRule) -> Rule | None:
    """None for a rule kept by an earlier version of the tower that this one cannot read."""
    try:
        return compile_rule(
            row.slug,
            row.version,
            row.name,
            row.severity,
            row.spec,
            shadow=row.lifecycle == ReconciliationRule.Lifecycle.SHADOW,
        )
    except ReconciliationError:
        return None


def speakers() -> dict[int, Speaker]:
    rows = Integration.objects.select_related("partner", "system")
    return {
        one.pk: Speaker(
            one.pk,
            one.slug,
            one.name,
            one.kind,
            one.system.kind if one.system else "",
            one.partner.kind if one.partner else "",
            one.partner_id,
            one.partner.slug if one.partner else "",
            one.team_id,
        )
        for one in rows
    }


def note(events: Sequence[NewEvent]) -> int:
    """Takes down the words of newly recorded events; returns how many."""
    rules = active_rules()
    wanted = frozenset().union(*(rule.events for rule in rules)) if rules else frozenset()
    told = [
        Told(
            new.id,
            new.type,
            new.incoming.integration_id,
            new.incoming.event.happened_at,
            new.received_at,
            new.incoming.event.references,
            new.incoming.event.data,
            new.incoming.backfill,
        )
        for new in events
        if new.type in wanted
    ]
    return take_down(rules, told) if told else 0


def take_down(rules: Iterable[Rule], told: Sequence[Told]) -> int:
    """Writes the words of these events for these rules; again for the same event changes nothing but asks to look."""
    who = speakers()
    rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for rule in rules:
        heard_from = {speaker_id: _said_by(rule, speaker) for speaker_id, speaker in who.items()}
        for one in told:
            if one.type in rule.events:
                for row in _words(rule, one, heard_from):
                    rows[row[0], row[1], row[3], row[5], row[4]] = row
    if rows:
        with raw_cursor() as cursor:
            _STAGE.fill(cursor, rows.values())
            cursor.execute(_NOTE)
    return len(rows)


def _said_by(rule: Rule, speaker: Speaker) -> tuple[bool, bool]:
    """Whether this speaker can say the left and the right side of a rule."""
    return rule.left.is_said_by(speaker), rule.right.is_said_by(speaker)


def _words(rule: Rule, one: Told, heard_from: Mapping[int, tuple[bool, bool]]) -> Iterator[tuple[Any, ...]]:
    """The rows of one event under one rule: one for each pair it speaks of."""
    for side in _sides(rule, one, heard_from):
        words = rule.left if side == LEFT else rule.right if side == RIGHT else None
        found = amounts_in(words, one.data) if words else {}
        amounts = jsonb(found) if found else EMPTY
        look_at = one.received_at + rule.grace if side == LEFT else one.received_at
        for pair, label in _pairs(rule, one):
            for mark in _marks(rule, one, side):
                yield (
                    rule.slug, pair, label[:200], side, mark[:200], one.id, one.type, one.integration_id,
                    one.happened_at, one.received_at, amounts, one.backfill, look_at,
                )  # fmt: skip


def _sides(rule: Rule, one: Told, heard_from: Mapping[int, tuple[bool, bool]]) -> Iterator[str]:
    can_say = heard_from.get(one.integration_id)
    if can_say is None:
        return
    if can_say[0] and rule.left.holds(one.type, one.data):
        yield LEFT
    if can_say[1] and rule.right.holds(one.type, one.data):
        yield RIGHT
    if one.type in rule.unless:
        yield UNLESS


def _pairs(rule: Rule, one: Told) -> Iterator[tuple[Key, str]]:
    if rule.fields:
        values = key_fields(rule, one.data)
        if values is not None:
            yield hash_of("reconciliation", *values), ", ".join(values)
        return
    named = [ref for ref in one.references if rule.flow or ref.kind == rule.reference]
    for ref in named[:MOST_REFERENCES]:
        yield ref.key, f"{label_of_reference(ref.kind)} {ref.value}"


def _marks(rule: Rule, one: Told, side: str) -> Sequence[str]:
    if rule.check != ONCE or side == RIGHT:
        return [""]
    return [ref.value for ref in one.references if ref.kind == rule.distinct] or [""]
