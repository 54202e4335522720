"""What the scan looks at, read in a bounded number of statements: open findings, and all that fell due beside them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Max

from apps.anomalies import feed_sums
from apps.anomalies.grouping.scan import Affected, Dimension, Population
from apps.flows import registry
from apps.flows.canonical import key_of
from apps.flows.definitions import Definition
from apps.integrations.models import ChangeMarker, Integration, Partner
from apps.integrations.models import Mapping as FieldMapping
from apps.sla.models import SlaRule

#: in order of preference: of causes that explain just the same, the earlier is named
DIMENSIONS = (
    Dimension("feed", told=True, alone=True, absorbs=True),
    Dimension("change", told=True, alone=True),
    Dimension("error", alone=True, outcome=True),
    Dimension("integration"),
    Dimension("partner"),
    Dimension("contract"),
    Dimension("carrier"),
    Dimension("site"),
    Dimension("lane"),
    Dimension("message"),
    Dimension("service"),
)
#: kinds of findings that say a whole feed is not heard: they take what waits for it with them
SILENT = ("feed.silent", "feed.drop", "source.stale")
#: how far back findings and what fell due are looked at
REACH = timedelta(days=7)
#: so much of the time before the first finding is looked at too: a cause begins somewhere
BEFORE = timedelta(hours=24)
#: a change is suspected of what falls due so long after it
CHANGED = timedelta(hours=24)
#: history that says how often an error is usual
USUAL = timedelta(days=28)
STEP = timedelta(hours=1)
MOST = 20_000

_VALUES = """
    e.source_id, coalesce(f.partner_id, e.partner_id), coalesce(e.definition_id, f.definition_id), coalesce(e.milestone, ''),
    coalesce(f.attributes ->> 'lane_from', ''), coalesce(f.attributes ->> 'lane_to', ''),
    coalesce(nullif(f.attributes ->> 'scac', ''), carried.slug, ''), coalesce(stored.slug, ''),
    coalesce(f.attributes ->> 'service', '')
"""
#: an order's carrier is its parcels' partner; a parcel's site is its order's warehouse
_AROUND = """
LEFT JOIN LATERAL (SELECT min(p.slug) AS slug FROM flows_flowlink l JOIN flows_flow c ON c.id = l.child_id
    JOIN integrations_partner p ON p.id = c.partner_id AND p.kind = 'carrier' WHERE l.parent_id = f.id) AS carried ON true
LEFT JOIN LATERAL (SELECT min(p.slug) AS slug FROM flows_flowlink l JOIN flows_flow c ON c.id = l.parent_id
    JOIN integrations_partner p ON p.id = c.partner_id AND p.kind = '3pl' WHERE l.child_id = f.id) AS stored ON true
"""
FINDINGS = f"""
SELECT i.id, i.incident_id, i.cause, i.kind, i.key, i.flow_id, coalesce(i.due_at, i.raised_at),
    coalesce(i.evidence ->> 'code', i.evidence ->> 'rule', ''), i.integration_id, i.partner_id, i.raised_at,
    coalesce((i.evidence ->> 'window_hours')::float, 0), i.evidence ->> 'last_heard_at', {_VALUES}
FROM incidents_finding i JOIN incidents_incident AS incident ON incident.id = i.incident_id
LEFT JOIN sla_expectation e ON e.finding_id = i.id AND i.kind = 'sla.breach'
LEFT JOIN flows_flow f ON f.id = coalesce(e.flow_id, i.flow_id)
{_AROUND}
WHERE i.cleared_at IS NULL AND NOT incident.state = 'resolved' AND i.raised_at > %(after)s
ORDER BY i.id DESC LIMIT {MOST}
"""
UNITS = f"""
SELECT {_VALUES}, floor(extract(epoch FROM e.due_at - %(start)s) / %(step)s)::int, count(*)
FROM sla_expectation e JOIN flows_flow f ON f.id = e.flow_id {_AROUND}
WHERE e.rule_id = ANY(%(rules)s) AND e.due_at >= %(start)s AND e.due_at < %(now)s
    AND (e.state = 'MET' OR e.state = 'BREACHED' AND e.settled_at IS NULL)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
"""
_USUAL = """
SELECT kind || ':' || coalesce(evidence ->> 'code', evidence ->> 'rule', ''), count(*) FROM incidents_finding
WHERE raised_at BETWEEN %s AND %s AND kind = ANY(%s) GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """An open finding. at: when it fell due, else when it was raised; since: from when a silent feed is not heard."""

    pk: int
    incident_id: int
    cause: uuid.UUID | None
    kind: str
    flow_id: int | None
    at: datetime
    since: datetime | None


@dataclass(slots=True)
class Picture:
    """What is there now. start: time of step 0; names: (dimension, value) -> the words for it."""

    findings: list[Seen]
    affected: Affected
    population: Population
    start: datetime
    names: dict[tuple[str, str], str] = field(default_factory=dict)

    def at(self, step: int) -> datetime:
        return self.start + step * STEP


@dataclass(frozen=True, slots=True)
class _Register:
    """Who and what there is, to put values in the rows' places."""

    integrations: Mapping[int, Integration]
    partners: Mapping[int, Partner]
    contracts: Mapping[int, str]
    definitions: Mapping[int, Definition]
    #: source -> (key of the finding, from when), the feed as a whole under '' else under its event type's feed key
    silent: Mapping[str, tuple[str, datetime]]
    changes: Mapping[int, Sequence[tuple[datetime, str]]]

    def values(self, row: Sequence[Any], at: datetime, error: str = "") -> list[str]:
        """One text per dimension, for a row of `_VALUES`."""
        source_id, partner_id, definition_id, milestone, lane_from, lane_to, carrier, site, service = row
        source, partner = self.integrations.get(source_id), self.partners.get(partner_id)
        partner = partner or (source.partner if source else None)
        definition = self.definitions.get(definition_id or 0)
        lane = f"{lane_from or '?'}>{lane_to or '?'}" if lane_from or lane_to else ""
        return [
            self._feed(source, definition_id, milestone, at),
            next((key for since, key in self.changes.get(source_id, ()) if since <= at < since + CHANGED), ""),
            error,
            source.slug if source else "",
            partner.slug if partner else "",
            self.contracts.get(source_id, ""),
            carrier,
            site,
            lane,
            f"{definition.slug}/{milestone}" if definition and milestone else "",
            service,
        ]

    def _feed(self, source: Integration | None, definition_id: int | None, milestone: str, at: datetime) -> str:
        """Key of the finding that says this unit's feed is silent; '' while it speaks."""
        if source is None or not self.silent:
            return ""
        definition = self.definitions.get(definition_id or 0)
        spec = definition.milestone(milestone) if definition else None
        types = ["", *(sorted(spec.reached_by) if spec else ())]
        # the widest silence that is told stands for those within it
        slugs = [*feed_sums.slugs_of(source.partner.slug if source.partner else ""), source.slug]
        keys = [str(key_of("source.stale", source.slug))]
        for key in [*keys, *(str(key_of("feed", slug, type_)) for type_ in types for slug in slugs)]:
            if key in self.silent and at >= self.silent[key][1]:
                return key
        return ""


def read(now: datetime) -> Picture:
    """Open findings of the last week with all that fell due beside them. Five statements, however many rows."""
    with connection.cursor() as cursor:
        cursor.execute(FINDINGS, {"after": now - REACH})
        rows = cursor.fetchall()
    first = min((row[6] for row in rows), default=now)
    start = max(min(first, now) - BEFORE, now - REACH).replace(minute=0, second=0, microsecond=0)
    rows = [row for row in rows if row[6] >= start]
    silent = {str(row[4]): (str(row[4]), _silent_since(row)) for row in rows if row[3] in SILENT}
    register = _register(silent, start)
    findings, values, steps = [], [], []
    for row in rows:
        at, error = row[6], "" if row[3] == "sla.breach" or row[3] in SILENT else f"{row[3]}:{row[7]}"
        told = list(row[13:])
        told[0], told[1] = told[0] or row[8], told[1] or row[9]
        own = register.values(told, at, error)
        if row[3] in SILENT:
            own[0] = str(row[4])
        since = silent[str(row[4])][1] if row[3] in SILENT else None
        findings.append(Seen(row[0], row[1], row[2], row[3], row[5], at, since))
        values.append(own)
        steps.append(_step(at, start))
    population = _population(register, start, now, rows, values, steps)
    names = _names(register, rows)
    return Picture(findings, Affected(values, steps), population, start, names)


def _silent_since(row: Sequence[Any]) -> datetime:
    """From when a feed is not heard: what the finding saw, else when it was raised."""
    raised: datetime = row[10]
    if row[12]:
        return datetime.fromisoformat(row[12])
    return raised - timedelta(hours=float(row[11])) - STEP


def _step(at: datetime, start: datetime) -> int:
    return int((at - start) / STEP)


def _population(
    register: _Register,
    start: datetime,
    now: datetime,
    rows: Sequence[Sequence[Any]],
    values: list[list[str]],
    steps: list[int],
) -> Population:
    """What fell due, and beside it the findings that are no expectation: each stands for itself."""
    cells: dict[tuple[tuple[str, ...], int], int] = {}
    rules = list(SlaRule.objects.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(UNITS, {"start": start, "now": now, "step": STEP.total_seconds(), "rules": rules})
        for *unit, step, n in cursor.fetchall():
            at = start + (step + 1) * STEP - timedelta(seconds=1)
            key = (tuple(register.values(unit, at)), step)
            cells[key] = cells.get(key, 0) + n
    errors = set()
    for row, own, step in zip(rows, values, steps, strict=True):
        if row[3] != "sla.breach":
            cells[tuple(own), step] = cells.get((tuple(own), step), 0) + 1
            if own[2]:
                errors.add(row[3])
    return Population(
        [key[0] for key in cells],
        list(cells.values()),
        [key[1] for key in cells],
        _usual(sorted(errors), start, now) if errors else {},
    )


def _usual(kinds: list[str], start: datetime, now: datetime) -> dict[tuple[str, str], float]:
    """How many findings of each error there would be in this window by the weeks before it."""
    with connection.cursor() as cursor:
        cursor.execute(_USUAL, [start - USUAL, start, kinds])
        return {("error", error): n * ((now - start) / USUAL) for error, n in cursor.fetchall()}


def _register(silent: Mapping[str, tuple[str, datetime]], start: datetime) -> _Register:
    integrations = {one.pk: one for one in Integration.objects.select_related("partner", "mapping")}
    newest = dict(FieldMapping.objects.values("slug").annotate(last=Max("version")).values_list("slug", "last"))
    contracts = {}
    for one in integrations.values():
        parts = [f"contract {one.contract_version}"] if one.contract_version else []
        parts += [f"mapping v{newest.get(one.mapping.slug, one.mapping.version)}"] if one.mapping else []
        if parts:
            contracts[one.pk] = f"{one.slug} {', '.join(parts)}"
    changes: dict[int, list[tuple[datetime, str]]] = {}
    markers = ChangeMarker.objects.filter(at__gte=start - CHANGED, integration__isnull=False).order_by("-at")
    for marker in markers.values_list("integration_id", "at", "pk"):
        changes.setdefault(marker[0], []).append((marker[1], str(marker[2])))
    partners = {one.pk: one for one in Partner.objects.all()}
    catalogue = registry.load().catalogue
    definitions = {one.id: one for versions in catalogue.versions.values() for one in versions}
    return _Register(integrations, partners, contracts, definitions, silent, changes)


def _names(register: _Register, rows: Sequence[Sequence[Any]]) -> dict[tuple[str, str], str]:
    """Words for the values that need more than themselves."""
    names: dict[tuple[str, str], str] = {}
    for one in register.integrations.values():
        names["integration", one.slug] = one.name
    for partner in register.partners.values():
        for role in ("partner", "carrier", "site"):
            names[role, partner.slug] = partner.name
    for definition in register.definitions.values():
        for milestone in definition.milestones:
            names["message", f"{definition.slug}/{milestone.name}"] = f"{milestone.label} ({definition.name})"
    for row in rows:
        if row[3] in SILENT:
            source = register.integrations.get(row[8])
            whole = feed_sums.name_of(register.partners.get(row[9]))
            names["feed", str(row[4])] = source.name if source else whole
    shown = [key for told in register.changes.values() for _at, key in told]
    for marker in ChangeMarker.objects.filter(pk__in=[int(key) for key in shown]).select_related("integration"):
        names["change", str(marker.pk)] = f"{marker.text} ({marker.integration.name if marker.integration else ''})"
    return names
