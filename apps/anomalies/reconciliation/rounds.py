"""A round of reconciliation: pairs that are due are judged; those that disagree become findings with both sides in them.

What was said after a disagreement judges it again, so that a late word clears it. While the right side cannot be heard,
nobody is accused of silence. A rule whose right side has never said such a thing rests: there is nothing to compare with.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from apps.anomalies.causes_models import ReconciliationTally, ReconciliationWord
from apps.anomalies.reconciliation.judging import (
    AGREE,
    ASK_AGAIN,
    DIFFER,
    LEFT,
    RIGHT,
    VOID,
    WAITING,
    Verdict,
    Word,
    judge,
    sides,
)
from apps.anomalies.reconciliation.noting import Told, active_rules, speakers, take_down
from apps.anomalies.reconciliation.rules import Rule, Speaker
from apps.core.heartbeats import beat
from apps.flows.canonical import Reference, key_of
from apps.flows.catalogue import label_of_event
from apps.flows.models import Event, Flow, FlowReference
from apps.incidents.models import Finding
from apps.incidents.workflow import FindingDraft, clear_findings, raise_findings
from apps.integrations.models import SourceState
from apps.sla.durations import span_in_words

BATCH = 5000
#: a rule that rests is looked at so much later
REST = timedelta(minutes=30)
LOCK = 0x2EC0

_SETTLE = """
UPDATE anomalies_reconciliationword AS word SET look_at = t.look_at, verdict = t.verdict
FROM unnest(%s::uuid[], %s::timestamptz[], %s::text[]) AS t (pair, look_at, verdict)
WHERE word.rule_slug = %s AND word.pair = t.pair
"""
_COUNT = """
SELECT rule_slug, verdict, count(DISTINCT pair) FROM anomalies_reconciliationword WHERE side = 'left' GROUP BY 1, 2
"""


@dataclass(slots=True)
class Round:
    """What a round did: pairs judged, findings raised and cleared, slugs of rules that rest."""

    judged: int = 0
    raised: int = 0
    cleared: int = 0
    resting: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Pair:
    """Words that belong together. pairs: ids they stand under (of a flow's rule several); flow: the flow it is about."""

    key: uuid.UUID
    label: str
    pairs: set[uuid.UUID]
    words: list[ReconciliationWord] = field(default_factory=list)
    flow: Flow | None = None


def run(now: datetime) -> Round:
    """One round over all rules. Only one runs at a time; another leaves at once."""
    done = Round()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                return done
        who = speakers()
        rules = active_rules()
        tallies = {one.slug: one for one in ReconciliationTally.objects.all()}
        drafts: list[FindingDraft] = []
        clear: list[uuid.UUID] = []
        for rule in rules:
            known = tallies.get(rule.slug)
            if known is None or known.version != rule.version:
                _catch_up(rule, now)
            _judge_rule(rule, who, now, done, drafts, clear)
        clear += _forget(rules, now)
        _tally(rules, done, now)
        done.raised = len(raise_findings(drafts, now))
        done.cleared = clear_findings(clear, "Nothing disagrees any more", now) if clear else 0
    beat("reconciliation", now, {"judged": done.judged, "differ": done.raised})
    return done


def _catch_up(rule: Rule, now: datetime) -> None:
    """A new or changed rule reads what was said within its window; its earlier words go."""
    ReconciliationWord.objects.filter(rule_slug=rule.slug).delete()
    rows = Event.objects.filter(type__in=rule.events, received_at__gte=now - rule.window).order_by("id")
    batch: list[Told] = []
    for one in rows.iterator(chunk_size=BATCH):
        references = tuple(Reference(kind, value, issuer) for kind, issuer, value in one.references)
        batch.append(
            Told(
                one.pk,
                one.type,
                one.integration_id,
                one.happened_at,
                one.received_at,
                references,
                one.data,
                one.backfill,
            )
        )
        if len(batch) >= BATCH:
            take_down([rule], batch)
            batch = []
    take_down([rule], batch)


def _judge_rule(
    rule: Rule,
    who: Mapping[int, Speaker],
    now: datetime,
    done: Round,
    drafts: list[FindingDraft],
    clear: list[uuid.UUID],
) -> None:
    mine = ReconciliationWord.objects.filter(rule_slug=rule.slug)
    heard = set(mine.filter(side=RIGHT).values_list("integration_id", flat=True).distinct())
    due = mine.filter(look_at__lte=now)
    if not heard:
        done.resting.append(rule.slug)
        due.update(look_at=now + REST, verdict=WAITING)
        return
    unheard = set(
        SourceState.objects.filter(integration__in=heard, stale_since__isnull=False).values_list("pk", flat=True)
    )
    while True:
        ids = list(due.order_by("look_at", "pair").values_list("pair", flat=True)[:BATCH])
        if not ids:
            return
        found = _gathered(rule, set(ids))
        settled: dict[uuid.UUID, tuple[datetime | None, str]] = dict.fromkeys(ids, (None, VOID))
        for pair in found:
            verdict = _verdict(rule, pair, now, unheard)
            settled |= dict.fromkeys(pair.pairs, (verdict.look_at, verdict.state))
            key = key_of("reconciliation", rule.slug, pair.key.hex)
            if verdict.state == DIFFER and not rule.shadow:
                if not all(one.backfill for one in pair.words):
                    drafts.append(_draft(rule, pair, verdict, key, who))
            else:
                clear.append(key)
            done.judged += 1
        for orphan in set(ids) - {one for pair in found for one in pair.pairs}:
            settled[orphan] = (now + ASK_AGAIN, WAITING)  # no flow knows it yet
        rows = [(pair, *rest) for pair, rest in sorted(settled.items())]
        with connection.cursor() as cursor:
            cursor.execute(_SETTLE, [*([list(column) for column in zip(*rows, strict=True)]), rule.slug])


def _verdict(rule: Rule, pair: _Pair, now: datetime, unheard: Collection[int]) -> Verdict:
    if pair.flow is not None and rule.flow and pair.flow.status == Flow.Status.CANCELLED:
        return Verdict(VOID)
    return judge(rule, [_word(one) for one in pair.words], now, unheard)


def _word(row: ReconciliationWord) -> Word:
    return Word(
        row.side, row.event_id, row.type, row.happened_at, row.received_at, row.integration_id, row.amounts, row.mark
    )


def _gathered(rule: Rule, ids: set[uuid.UUID]) -> list[_Pair]:
    """The pairs with all their words and the flow they are about."""
    if not rule.flow:
        rows = ReconciliationWord.objects.filter(rule_slug=rule.slug, pair__in=ids)
        pairs: dict[uuid.UUID, _Pair] = {}
        for row in rows:
            pairs.setdefault(row.pair, _Pair(row.pair, row.label, {row.pair})).words.append(row)
        if rule.reference:
            own = FlowReference.objects.filter(reference_id__in=ids, own=True).select_related("flow__partner")
            for link in own.exclude(flow__status=Flow.Status.MERGED):
                pairs[link.reference_id].flow = link.flow
        return list(pairs.values())
    of_flow = Q(flow__definition__slug=rule.flow) & ~Q(flow__status=Flow.Status.MERGED)
    links = FlowReference.objects.filter(of_flow, reference_id__in=ids)
    flows = Flow.objects.select_related("partner").in_bulk({link.flow_id for link in links})
    by_reference: dict[uuid.UUID, list[int]] = defaultdict(list)
    for reference_id, flow_id in FlowReference.objects.filter(flow__in=flows).values_list("reference_id", "flow_id"):
        by_reference[reference_id].append(flow_id)
    found = {pk: _Pair(flow.key, flow.label, set(), flow=flow) for pk, flow in flows.items()}
    for row in ReconciliationWord.objects.filter(rule_slug=rule.slug, pair__in=by_reference):
        for flow_id in by_reference[row.pair]:
            pair = found[flow_id]
            pair.pairs.add(row.pair)
            if all((one.event_id, one.side) != (row.event_id, row.side) for one in pair.words):
                pair.words.append(row)
    return list(found.values())


def _draft(rule: Rule, pair: _Pair, verdict: Verdict, key: uuid.UUID, who: Mapping[int, Speaker]) -> FindingDraft:
    first = min((one for one in pair.words if one.side == LEFT), key=lambda one: (one.happened_at, one.event_id))
    speaker = who.get(first.integration_id)
    partner = pair.flow.partner if pair.flow is not None else None
    partner_id = partner.pk if partner else (speaker.partner_id if speaker else None)
    slug = partner.slug if partner else (speaker.partner if speaker else "")
    name = speaker.name if speaker else "A source"
    told = sides(rule, [_word(one) for one in pair.words])
    for one in [*told[LEFT], *told[RIGHT]]:
        known = who.get(one["integration"])
        one["who"] = known.name if known else "unknown"
    evidence: dict[str, Any] = {
        "rule": rule.slug,
        "version": rule.version,
        "check": rule.check,
        "key": pair.label,
        "left": {"name": rule.left.name, "total": verdict.left, "words": told[LEFT]},
        "right": {"name": rule.right.name, "total": verdict.right, "words": told[RIGHT]},
        "grace": span_in_words(rule.grace),
    }
    said = f"{name} told “{label_of_event(first.type)}” at {first.happened_at:%d %b %H:%M} UTC"
    return FindingDraft(
        key=key,
        kind=f"reconciliation.{rule.check}",
        cause=key_of("reconciliation", rule.slug, slug),
        incident_title=f"{rule.name}: {partner.name}" if partner else rule.name,
        severity=rule.severity,
        sentence=f"{rule.name}: {pair.label}. {said}; {verdict.said} ({span_in_words(rule.grace)} allowed).",
        evidence=evidence,
        flow_id=pair.flow.pk if pair.flow is not None else None,
        integration_id=first.integration_id,
        partner_id=partner_id,
        team_id=speaker.team_id if speaker else None,
    )


def _forget(rules: Sequence[Rule], now: datetime) -> list[uuid.UUID]:
    """Words go when their window is over, those of open disagreements never; rules that are gone take theirs along.

    Returns the keys of findings whose rule is gone."""
    for rule in rules:
        old = ReconciliationWord.objects.filter(rule_slug=rule.slug, received_at__lt=now - rule.window)
        old.exclude(verdict=DIFFER).delete()
    slugs = [rule.slug for rule in rules]
    ReconciliationWord.objects.exclude(rule_slug__in=slugs).delete()
    ReconciliationTally.objects.exclude(slug__in=slugs).delete()
    gone = Finding.objects.filter(kind__startswith="reconciliation.", cleared_at=None).exclude(evidence__rule__in=slugs)
    return list(gone.values_list("key", flat=True))


def _tally(rules: Sequence[Rule], done: Round, now: datetime) -> None:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT)
        for slug, verdict, n in cursor.fetchall():
            counts[slug][verdict or WAITING] = counts[slug].get(verdict or WAITING, 0) + n
    rows = [
        ReconciliationTally(
            slug=rule.slug,
            version=rule.version,
            resting=rule.slug in done.resting,
            at=now,
            agree=counts[rule.slug].get(AGREE, 0),
            waiting=counts[rule.slug].get(WAITING, 0),
            differ=counts[rule.slug].get(DIFFER, 0),
        )
        for rule in rules
    ]
    fields = ["version", "resting", "at", "agree", "waiting", "differ"]
    ReconciliationTally.objects.bulk_create(rows, update_conflicts=True, unique_fields=["slug"], update_fields=fields)
