"""What missed promises cost by contract. `owed` is pure; `refresh` works a month out for the reports.

Of the terms of one payer that match a promise, the most particular one counts: partner and rule before partner, before
rule, before all; then the one that began last. Amounts of different currencies are never added together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Q

from apps.core import wording
from apps.core.calendars import instant
from apps.reports import figures, rollups
from apps.reports.cells import after
from apps.reports.figures import Narrowing
from apps.reports.models import ContractTerm, PenaltyCell
from apps.sla.models import SlaRule

_CENT = Decimal("0.01")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Miss:
    """A missed promise. day: it was due on, in the zone of reports; late: so far, if it has not come; value: of its flow."""

    rule: str
    partner_id: int | None
    day: date
    late: timedelta
    value: Decimal | None
    currency: str


def matching(terms: Iterable[ContractTerm], miss: Miss) -> list[ContractTerm]:
    """At most one term for each payer."""
    best: dict[str, ContractTerm] = {}
    for term in terms:
        if term.partner_id not in (None, miss.partner_id) or term.rule not in ("", miss.rule):
            continue
        if (term.valid_from and miss.day < term.valid_from) or (term.valid_until and miss.day > term.valid_until):
            continue
        if term.payer not in best or _rank(term) > _rank(best[term.payer]):
            best[term.payer] = term
    return list(best.values())


def _rank(term: ContractTerm) -> tuple[bool, bool, date, str]:
    return term.partner_id is not None, bool(term.rule), term.valid_from or date.min, term.slug


def owed(term: ContractTerm, miss: Miss) -> Decimal | None:
    """In the term's currency, to the cent. None where it cannot be told: a share of no value, or of another currency."""
    if term.basis == ContractTerm.Basis.PER_EVENT:
        amount = term.amount
    elif term.basis == ContractTerm.Basis.PER_DAY:
        amount = term.amount * max(1, math.ceil(miss.late / _DAY))
    else:
        if miss.value is None or miss.currency != term.currency:
            return None
        amount = miss.value * term.amount / 100
    if term.cap_each is not None:
        amount = min(amount, term.cap_each)
    return amount.quantize(_CENT, ROUND_HALF_UP)


@dataclass(slots=True)
class _Sum:
    n: int = 0
    amount: Decimal = Decimal(0)


#: term, rule, partner
Key = tuple[str, str, int | None]


def _worked_out(terms: Iterable[ContractTerm], misses: Iterable[Miss]) -> tuple[dict[Key, _Sum], dict[Key, Decimal]]:
    """(what each line came to, what the month's cap took off it)."""
    terms = list(terms)
    sums: dict[Key, _Sum] = defaultdict(_Sum)
    used: dict[str, Decimal] = defaultdict(Decimal)
    cut: dict[Key, Decimal] = defaultdict(Decimal)
    for miss in misses:
        for term in matching(terms, miss):
            amount = owed(term, miss)
            if amount is None:
                continue
            key = (term.slug, miss.rule, miss.partner_id)
            room = amount if term.cap_month is None else max(Decimal(0), min(amount, term.cap_month - used[term.slug]))
            used[term.slug] += room
            cut[key] += amount - room
            sums[key].n += 1
            sums[key].amount += room
    return sums, cut


@dataclass(frozen=True, slots=True)
class Tried:
    """A month by the terms of today and with one of them changed. n: promises it counts for; amounts: by payer and currency."""

    first: date
    n: int
    amount: Decimal
    before: dict[tuple[str, str], Decimal]
    after: dict[tuple[str, str], Decimal]


def tried(draft: ContractTerm, months: Iterable[date], now: datetime) -> list[Tried]:
    """What these months would have cost with this term as it is here. Writes nothing."""
    kept = list(ContractTerm.objects.all())
    others = [term for term in kept if term.slug != draft.slug]
    found = []
    for first in months:
        misses = list(_misses(first, now))
        before, _ = _worked_out(kept, misses)
        after, _ = _worked_out([*others, draft], misses)
        own = [one for (slug, _, _), one in after.items() if slug == draft.slug]
        found.append(
            Tried(
                first,
                sum(one.n for one in own),
                sum((one.amount for one in own), Decimal(0)),
                _by_payer(kept, before),
                _by_payer([*others, draft], after),
            )
        )
    return found


def _by_payer(terms: Iterable[ContractTerm], sums: Mapping[Key, _Sum]) -> dict[tuple[str, str], Decimal]:
    known = {term.slug: (str(term.payer), term.currency) for term in terms}
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for (slug, _, _), one in sums.items():
        found[known[slug]] += one.amount
    return dict(found)


def refresh(first: date, now: datetime) -> int:
    """Works out anew what the month that begins on this day cost; returns how many lines it has."""
    terms = list(ContractTerm.objects.all())
    by_slug = {term.slug: term for term in terms}
    sums, cut = _worked_out(terms, _misses(first, now) if terms else ())
    rows = [
        PenaltyCell(
            month=first,
            term=slug,
            name=by_slug[slug].name,
            payer=by_slug[slug].payer,
            rule_slug=rule,
            partner_id=partner_id,
            currency=by_slug[slug].currency,
            n=one.n,
            amount=one.amount,
            cut=cut[slug, rule, partner_id],
            as_of=now,
        )
        for (slug, rule, partner_id), one in sums.items()
    ]
    with transaction.atomic():
        PenaltyCell.objects.filter(month=first).delete()
        PenaltyCell.objects.bulk_create(rows)
    return len(rows)


def _misses(first: date, now: datetime) -> Iterable[Miss]:
    """In the order they were due: a cap of the month is reached by the first ones."""
    span = figures.month(first.year, first.month, rollups.zone())
    return _read(
        "e.state IN ('MET_LATE', 'BREACHED') AND e.due_at >= %(begin)s AND e.due_at < %(end)s",
        {"begin": span.begin, "end": span.end, "now": now, "zone": span.zone},
    )


def _read(where: str, values: Mapping[str, Any]) -> list[Miss]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r.slug, e.partner_id, (e.due_at AT TIME ZONE %(zone)s)::date, "
            "coalesce(e.met_at, e.settled_at, %(now)s) - e.due_at, f.value, f.currency "
            "FROM sla_expectation e JOIN sla_slarule r ON r.id = e.rule_id JOIN flows_flow f ON f.id = e.flow_id "
            f"WHERE {where} ORDER BY e.due_at, e.id",
            values,
        )
        return [Miss(*row) for row in cursor.fetchall()]


_TERM = tuple(field.attname for field in ContractTerm._meta.concrete_fields)
#: only the terms that may match come with each promise: no terms, no rows
_OF_INCIDENT = f"""
SELECT e.id, r.slug, e.partner_id, (e.due_at AT TIME ZONE reports_zone())::date,
    coalesce(e.met_at, e.settled_at, %(now)s) - e.due_at, f.value, f.currency, {", ".join(f"t.{name}" for name in _TERM)}
FROM incidents_finding n JOIN sla_expectation e ON e.finding_id = n.id JOIN sla_slarule r ON r.id = e.rule_id
    JOIN flows_flow f ON f.id = e.flow_id
    JOIN reports_contractterm t ON (t.partner_id IS NULL OR t.partner_id = e.partner_id) AND t.rule IN ('', r.slug)
WHERE n.incident_id = %(incident)s AND e.state IN ('MET_LATE', 'BREACHED')
"""


def of_incident(incident_id: int, now: datetime) -> list[tuple[ContractTerm, int, Decimal]]:
    """(term, promises, amount) of the missed promises of an incident's findings, before any cap of the month; one statement."""
    with connection.cursor() as cursor:
        cursor.execute(_OF_INCIDENT, {"incident": incident_id, "now": now})
        rows = cursor.fetchall()
    terms: dict[int, ContractTerm] = {}
    misses: dict[int, tuple[Miss, list[ContractTerm]]] = {}
    for expectation_id, *told in rows:
        values = told[6:]
        term = terms.setdefault(values[0], ContractTerm.from_db("default", _TERM, values))
        misses.setdefault(expectation_id, (Miss(*told[:6]), []))[1].append(term)
    sums: dict[str, _Sum] = defaultdict(_Sum)
    for miss, possible in misses.values():
        for term in matching(possible, miss):
            amount = owed(term, miss)
            if amount is not None:
                sums[term.slug].n += 1
                sums[term.slug].amount += amount
    found = sorted((term for term in terms.values() if term.slug in sums), key=lambda term: term.slug)
    return [(term, sums[term.slug].n, sums[term.slug].amount) for term in found]


def in_words(found: Iterable[tuple[ContractTerm, int, Decimal]]) -> str:
    """ "partners owe 45 EUR, we owe 9 PLN"; '' when nothing is owed. Currencies are never added together."""
    sums: dict[str, dict[str, Decimal]] = {ContractTerm.Payer.PARTNER: {}, ContractTerm.Payer.US: {}}
    for term, _, amount in found:
        sums[term.payer][term.currency] = sums[term.payer].get(term.currency, Decimal(0)) + amount
    said = (
        ("partners owe", sums[ContractTerm.Payer.PARTNER]),
        ("we owe", sums[ContractTerm.Payer.US]),
    )
    parts = []
    for who, amounts in said:
        ordered = sorted(((value, currency) for currency, value in amounts.items() if value), reverse=True)
        if ordered:
            parts.append(f"{who} " + " and ".join(wording.money(value, currency) for value, currency in ordered))
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Line:
    """What one term came to in a month; cut: what its cap took off; as_of: when that was worked out."""

    term: str
    name: str
    payer: str
    currency: str
    n: int
    amount: Decimal
    cut: Decimal
    as_of: datetime


def of_month(first: date, only: Narrowing | None = None) -> list[Line]:
    """By term, what partners owe us first, then the larger amounts. A lane or a service has no lines: none were kept."""
    only = only or Narrowing()
    if only.lane or only.service:
        return []
    found = PenaltyCell.objects.filter(month=first)
    if only.partner is not None:
        found = found.filter(partner_id=only.partner)
    if only.rule:
        found = found.filter(rule_slug=only.rule)
    for name, value in (("flow_slug", only.flow), ("milestone", only.milestone)):
        if value:
            found = found.filter(rule_slug__in=SlaRule.objects.filter(**{name: value}).values("slug"))
    lines: dict[str, Line] = {}
    for one in found:
        before = lines.get(one.term)
        lines[one.term] = Line(
            one.term,
            one.name,
            one.payer,
            one.currency,
            one.n + (before.n if before else 0),
            one.amount + (before.amount if before else 0),
            one.cut + (before.cut if before else 0),
            one.as_of,
        )
    return sorted(lines.values(), key=lambda line: (line.payer != "partner", -line.amount, line.term))


def counted_for(first: date, slug: str) -> Q:
    """Condition on expectations: missed promises of the month for which this term counts, so for which it has an amount."""
    terms = list(ContractTerm.objects.all())
    term = next((one for one in terms if one.slug == slug), None)
    cells = PenaltyCell.objects.filter(month=first, term=slug).values_list("rule_slug", "partner_id")
    rules: dict[tuple[int | None, tuple[tuple[date, date], ...]], list[str]] = defaultdict(list)
    for rule, partner_id in cells:
        rules[partner_id, _days_of(terms, slug, rule, partner_id, first)].append(rule)
    where = ZoneInfo(rollups.zone())
    found = Q(pk__in=[])
    for (partner_id, spans), slugs in rules.items():
        for begin, end in spans:
            due = {"due_at__gte": instant(begin, time.min, where), "due_at__lt": instant(end, time.min, where)}
            found |= Q(partner_id=partner_id, rule__slug__in=slugs, **due)
    if term is not None and term.basis == ContractTerm.Basis.SHARE:
        found &= Q(flow__value__isnull=False, flow__currency=term.currency)
    return found & Q(state__in=figures.OUTCOMES["missed"])


def _days_of(
    terms: Iterable[ContractTerm], slug: str, rule: str, partner_id: int | None, first: date
) -> tuple[tuple[date, date], ...]:
    """Spans of days of a month, from the first to before the second, on which this term is the one that counts."""
    terms = [one for one in terms if one.partner_id in (None, partner_id) and one.rule in ("", rule)]
    spans: list[tuple[date, date]] = []
    day, end = first, after(first)
    while day < end:
        if any(one.slug == slug for one in matching(terms, Miss(rule, partner_id, day, timedelta(0), None, ""))):
            begin = spans.pop()[0] if spans and spans[-1][1] == day else day
            spans.append((begin, day + _DAY))
        day += _DAY
    return tuple(spans)


def totals(lines: Iterable[Line]) -> dict[tuple[str, str], Decimal]:
    """(payer, currency) -> amount."""
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in lines:
        found[line.payer, line.currency] += line.amount
    return dict(found)


def refresh_lately(now: datetime) -> int:
    """The month of now and the one before."""
    today = now.astimezone(ZoneInfo(rollups.zone())).date().replace(day=1)
    before = (today - timedelta(days=1)).replace(day=1)
    return sum(refresh(first, now) for first in (before, today))
