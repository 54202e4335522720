"""What the pages of contract terms show: every term in words with its cost lately, and what a changed one would cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Sum

from apps.configuration.agreements import Entry
from apps.core import wording
from apps.dashboard.selectors.objective_page import rule_names
from apps.reports import archive, penalties, rollups
from apps.reports.models import ContractTerm, PenaltyCell
from apps.reports.penalties import Tried

#: months a changed term is tried on, this one included
MONTHS = 3
LABELS = {"cap_each": "most for one promise", "cap_month": "most in a month", "valid_from": "counts from"}
LABELS |= {"valid_until": "until", "alerts": "burn alerts", "days": "days of the window", "period": "window"}


@dataclass(frozen=True, slots=True)
class Line:
    """A term in the list. state: its shape and word; lately: what this month and the one before came to."""

    term: ContractTerm
    words: str
    scope: str
    state: tuple[str, str]
    lately: list[str]


def months(now: datetime, count: int = MONTHS) -> list[date]:
    """First days, this month first, in the zone of reports."""
    first = now.astimezone(ZoneInfo(rollups.zone())).date().replace(day=1)
    found = [first]
    while len(found) < count:
        found.append(archive.last_closed_before(found[-1]))
    return found


def listed(now: datetime) -> list[Line]:
    today = now.astimezone(ZoneInfo(rollups.zone())).date()
    names = rule_names()
    wanted = months(now, 2)
    sums: dict[tuple[str, date], Decimal] = {
        (term, month): amount
        for term, month, amount in PenaltyCell.objects.filter(month__in=wanted)
        .values_list("term", "month")
        .annotate(total=Sum("amount"))
    }
    return [
        Line(
            one,
            words(one),
            scope(one, names),
            _state(one, today),
            [wording.money(sums.get((one.slug, month), Decimal(0)), one.currency) for month in wanted],
        )
        for one in ContractTerm.objects.select_related("partner").order_by("name", "slug")
    ]


def _state(one: ContractTerm, today: date) -> tuple[str, str]:
    if one.valid_until and one.valid_until < today:
        return "waived", "ended"
    if one.valid_from and one.valid_from > today:
        return "unknown", "not yet"
    return "on-time", "counts"


def words(one: ContractTerm) -> str:
    """ "The partner pays us 45 EUR for each begun day late, at most 500 EUR for one promise"."""
    who = "The partner pays us" if one.payer == ContractTerm.Payer.PARTNER else "We pay"
    if one.basis == ContractTerm.Basis.SHARE:
        what = f"{one.amount.normalize():f} % of the flow’s value for each missed promise, where the value is in {one.currency}"
    else:
        each = "each begun day late" if one.basis == ContractTerm.Basis.PER_DAY else "each missed promise"
        what = f"{wording.money(one.amount, one.currency)} for {each}"
    caps = []
    if one.cap_each is not None:
        caps.append(f"{wording.money(one.cap_each, one.currency)} for one promise")
    if one.cap_month is not None:
        caps.append(f"{wording.money(one.cap_month, one.currency)} in a month")
    return f"{who} {what}" + (f", at most {' and '.join(caps)}" if caps else "")


def scope(one: ContractTerm, names: Mapping[str, str]) -> str:
    parts = [names.get(one.rule, one.rule), one.partner.name if one.partner else ""]
    found = ", ".join(part for part in parts if part) or "Every promise"
    if one.valid_from or one.valid_until:
        found += f", {_day(one.valid_from) or 'until now'} to {_day(one.valid_until) or 'further notice'}"
    return found


def _day(value: date | None) -> str:
    return f"{value.day} {value:%b %Y}" if value else ""


def try_out(draft: ContractTerm, now: datetime) -> list[tuple[Tried, str, str]]:
    """(month, what it costs by the terms of today, what it would cost) in words, this month first."""
    return [(one, totals(one.before), totals(one.after)) for one in penalties.tried(draft, months(now), now)]


def totals(amounts: Mapping[tuple[str, str], Decimal]) -> str:
    """Currencies are never added together."""
    said = {"partner": "partners owe", "us": "we owe"}
    parts = [
        f"{said[payer]} {wording.money(amount, currency)}"
        for (payer, currency), amount in sorted(amounts.items())
        if amount
    ]
    return ", ".join(parts) or "nothing"


def told(entries: list[Entry]) -> list[tuple[Entry, str]]:
    """Each change with what it changed, in words."""
    found = []
    for one in entries:
        changed = [f"{LABELS.get(name, name)} {_value(was)} → {_value(becomes)}" for name, was, becomes in one.changed]
        found.append((one, ", ".join(changed) or ("made" if one.row else "by a configuration file")))
    return found


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
