"""Messages whose fields changed: a sample of each integration's JSON messages is compared with what its messages had."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.db import transaction

from apps.anomalies.contract import DETECTORS
from apps.anomalies.detectors.schema import KEPT, LONGEST, SchemaDrift, changes, fields_of
from apps.anomalies.models import Anomaly, MetricState
from apps.anomalies.voicing import Said, Voice, clear, say
from apps.flows.canonical import key_of
from apps.flows.sets import raw_cursor
from apps.incidents.workflow import FindingDraft
from apps.integrations.models import ChangeMarker, Integration

#: messages of an integration looked at in one round
SAMPLE = 20
LARGEST = 200_000
THRESHOLD = 1.7
#: messages of a round that must agree: one odd message is no drift
LEAST = 3
BACK = timedelta(minutes=30)
WORDS = {"new": "is new", "gone": "is gone", "other type": "has another type", "empty": "is empty"}
#: days drawn, messages of each looked at, and fields
DAYS, OF_A_DAY, DRAWN = 14, 8, 10
_HISTORY = """
SELECT day.n, body FROM generate_series(0, %b::int - 1) AS day (n) CROSS JOIN LATERAL (
    SELECT r.body FROM collectors_receiptstate s
    JOIN collectors_receipt r ON r.id = s.receipt_id AND r.received_at = s.received_at
    WHERE s.integration_id = %b::bigint AND s.received_at <= %b::timestamptz - day.n * interval '1 day'
      AND s.received_at > %b::timestamptz - (day.n + 1) * interval '1 day' AND NOT s.backfill AND length(r.body) < %b::int
    ORDER BY s.receipt_id DESC LIMIT %b::int) AS last
"""
_BODIES = """
SELECT i.id, body FROM unnest(%b::bigint[]) AS i (id) CROSS JOIN LATERAL (
    SELECT r.body FROM collectors_receiptstate s
    JOIN collectors_receipt r ON r.id = s.receipt_id AND r.received_at = s.received_at
    WHERE s.integration_id = i.id AND s.received_at > %b AND s.received_at <= %b AND NOT s.backfill
      AND length(r.body) < %b::int
    ORDER BY s.receipt_id DESC LIMIT %b::int) AS last
"""


def run(now: datetime) -> int:
    """Looks at what came since the last round (half an hour, the first time); how many drifts were told."""
    integrations = {one.pk: one for one in Integration.objects.filter(lifecycle="live", enabled=True)}
    rows = {row.integration_id: row for row in MetricState.objects.filter(detector="schema", key="")}
    since = max((row.at for row in rows.values()), default=now - BACK)
    bodies: dict[int, list[dict[str, str]]] = defaultdict(list)
    with raw_cursor() as cursor:
        cursor.execute(_BODIES, [list(integrations), max(since, now - BACK), now, LARGEST, SAMPLE], binary=True)
        for pk, body in cursor.fetchall():
            if fields := _fields(bytes(body)):
                bodies[pk].append(fields)
    detector = DETECTORS.get("schema")
    assert isinstance(detector, SchemaDrift)
    voice, said, over = Voice.read(now), [], []
    for pk, messages in bodies.items():
        one = integrations[pk]
        row = rows.get(pk) or MetricState(detector="schema", integration=one, key="", state=detector.empty(), at=now)
        found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        before = row.state
        for fields in messages:
            for score, name, what, kind in changes(row.state, fields):
                found[name, what, kind].append(score)
        for fields in messages:
            row.state = detector.step(row.state, {"fields": fields}).state
        row.at = now
        row.save()
        limit = voice.threshold("schema", one.slug, THRESHOLD)
        floor = min(limit, THRESHOLD)
        strange = {key: max(scores) for key, scores in found.items() if len(scores) >= LEAST and max(scores) >= floor}
        if strange:
            first = sorted(strange, key=lambda key: -strange[key])
            shown = {**_evidence(detector, before, strange), **_drawn(one, [name for name, *_ in first], now)}
            said.append(_said(one, strange, limit, shown, now))
        elif not found:
            over.append(key_of("schema", one.slug))
    with transaction.atomic():
        told = say(said, voice, now)
        clear(over, "Its messages have their usual fields", now)
    return len(told)


def _fields(body: bytes) -> dict[str, str]:
    """Fields of a JSON message; nothing for any other."""
    if body.lstrip()[:1] not in (b"{", b"["):
        return {}
    try:
        return fields_of(orjson.loads(body))
    except orjson.JSONDecodeError:  # a dead letter tells that
        return {}


def _evidence(
    detector: SchemaDrift, before: Mapping[str, Any], strange: Mapping[tuple[str, str, str], float]
) -> dict[str, Any]:
    """The told changes as one message, each field as it was strangest, against what was known of these fields."""
    kinds: dict[str, str] = {}
    for name, _, kind in sorted(strange, key=lambda key: -strange[key]):
        kinds.setdefault(name, kind)
    came = {name: kind for name, kind in kinds.items() if kind}
    known = {name: before["fields"][name] for name in kinds if name in before["fields"]}
    return detector.evidence({"n": before["n"], "fields": known}, {"fields": came}, max(strange.values()))


def _drawn(one: Integration, names: list[str], now: datetime) -> dict[str, Any]:
    """fields: [name, [share that had it, share empty, its commonest type] of each day, the last day first; null: no
    messages]; contract: the version agreed; marks: [when, what] changed around the integration in that time."""
    by_day: dict[int, list[dict[str, str]]] = defaultdict(list)
    with raw_cursor() as cursor:
        cursor.execute(_HISTORY, [DAYS, one.pk, now, now, LARGEST, OF_A_DAY], binary=True)
        for day, body in cursor.fetchall():
            if fields := _fields(bytes(body)):
                by_day[day].append(fields)
    rows = [
        [name[:LONGEST], [_cell(by_day.get(day, []), name) for day in range(DAYS)]]
        for name in list(dict.fromkeys(names))[:DRAWN]
    ]
    marks = ChangeMarker.objects.filter(integration=one, at__gt=now - timedelta(days=DAYS), at__lte=now)[:5]
    return {
        "fields": rows,
        "until": now.isoformat(),
        "contract": one.contract_version,
        "marks": [[mark.at.isoformat(), mark.text[:80]] for mark in marks],
    }


def _cell(messages: list[dict[str, str]], name: str) -> list[Any] | None:
    kinds = Counter(fields[name] for fields in messages if name in fields)
    if not messages:
        return None
    common = next((kind for kind, _ in kinds.most_common() if kind != "null"), "null" if kinds else "")
    return [round(kinds.total() / len(messages), 2), round(kinds["null"] / len(messages), 2), common]


def _said(
    one: Integration, strange: dict[tuple[str, str, str], float], limit: float, evidence: dict[str, Any], now: datetime
) -> Said:
    first = sorted(strange, key=lambda key: -strange[key])
    words = [f"{name} {WORDS[what]}{f' ({kind})' if what == 'other type' else ''}" for name, what, kind in first[:5]]
    more = f" and {len(first) - 5} more" if len(first) > 5 else ""
    draft = FindingDraft(
        key=key_of("schema", one.slug),
        kind="schema",
        cause=key_of("schema", one.slug),
        incident_title=f"{one.name}: its messages have changed",
        severity="low",
        sentence=f"{one.name}: {', '.join(words)}{more}. Check its mapping and ask what was released.",
        evidence={
            **evidence,
            "changes": [[name[:LONGEST], what, kind, strange[name, what, kind]] for name, what, kind in first[:KEPT]],
        },
        integration_id=one.pk,
        partner_id=one.partner_id,
        team_id=one.team_id,
    )
    return Said("schema", one.slug, draft, evidence["score"], limit, now, Anomaly.Tier.TASK)
