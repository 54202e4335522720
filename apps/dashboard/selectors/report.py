"""What the month report shows: the figures of `sla.reports` with money, names, days by partner, and the pages behind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db.models import Count, Min, Q, QuerySet
from django.db.models.functions import TruncDate

from apps.core import wording
from apps.core.calendars import instant
from apps.dashboard.selectors.report_plots import plots
from apps.flows.registry import load
from apps.integrations.models import Partner
from apps.reports import figures as reports
from apps.reports.figures import OUTCOMES, Counts, Narrowing, Report, Span
from apps.sla.models import Expectation

#: months offered by the picker
MONTHS = 36
MISSED = Q(state__in=OUTCOMES["missed"])
KEPT = Q(state__in=OUTCOMES["kept"])
OUTCOME_WORDS = {
    "kept": "Kept",
    "missed": "Missed",
    "excluded": "Excluded",
    "open": "Still open",
    "unknown": "Unknown",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader wants to see. month: YYYY-MM, day: YYYY-MM-DD ('' for the whole month); the others are slugs."""

    month: str
    partner: str = ""
    flow: str = ""
    rule: str = ""
    milestone: str = ""
    outcome: str = ""
    day: str = ""
    after: str = ""

    @classmethod
    def read(cls, query: Any, today: date) -> Asked:
        texts = {name: query.get(name, "").replace("\x00", "")[:120].strip() for name in cls.__dataclass_fields__}
        try:
            month = date.fromisoformat(texts["month"] + "-01")
            texts["month"] = f"{month if 2000 <= month.year < 2200 else today:%Y-%m}"
        except ValueError:
            texts["month"] = f"{today:%Y-%m}"
        try:
            day = date.fromisoformat(texts["day"])
            texts["day"] = day.isoformat() if f"{day:%Y-%m}" == texts["month"] else ""
        except ValueError:
            texts["day"] = ""
        if texts["outcome"] not in OUTCOMES:
            texts["outcome"] = ""
        return cls(**texts)

    def address(self, **changed: str) -> str:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__} | {"after": ""} | changed
        return "?" + urlencode({name: value for name, value in values.items() if value})

    @property
    def first(self) -> date:
        return date.fromisoformat(self.month + "-01")

    @property
    def earlier(self) -> str:
        return f"{self.first - timedelta(days=1):%Y-%m}"

    @property
    def later(self) -> str:
        return f"{self.first + timedelta(days=32):%Y-%m}"

    def span(self, zone: str) -> Span:
        """The month, or the one day of it."""
        if not self.day:
            return reports.month(self.first.year, self.first.month, zone)
        begin, where, midnight = date.fromisoformat(self.day), ZoneInfo(zone), datetime.min.time()
        return Span(instant(begin, midnight, where), instant(begin + timedelta(days=1), midnight, where), zone)

    def narrowing(self, partners: Mapping[str, Partner]) -> Narrowing:
        """An unknown partner narrows to nothing."""
        known = partners.get(self.partner)
        number = known.pk if known else (-1 if self.partner and self.partner != "none" else None)
        return Narrowing(partner=number, rule=self.rule, flow=self.flow, milestone=self.milestone)


@dataclass(slots=True)
class Line:
    """One row of a table of the report: names, counts, money of what was missed, and where its numbers lead."""

    name: str
    sub: str
    counts: Counts
    asked: Asked
    target: Decimal | None = None
    money: str = ""
    #: share kept by day and the band from target to all, both above the lowest day of any partner
    daily: list[float | None] | None = None
    band: tuple[float, float] = (0, 0)

    @property
    def below(self) -> bool:
        share = self.counts.share
        return share is not None and self.target is not None and Decimal(str(share)) * 100 < self.target

    @property
    def links(self) -> dict[str, str]:
        """outcome -> address of the page with the promises behind."""
        return {name: self.asked.address(outcome=name) for name in OUTCOMES}


@dataclass(slots=True)
class MonthPage:
    asked: Asked
    report: Report
    sentence: str
    target: float | None
    money: str
    rules: list[Line]
    partners: list[Line]
    causes: list[Line]
    days: list[Line]
    allowed: int
    so_far: bool
    plots: dict[str, Any]

    @property
    def used(self) -> float | None:
        """Share of the error budget that is used up; None without a budget."""
        return self.report.total.missed / self.allowed if self.allowed else None

    @property
    def links(self) -> dict[str, str]:
        """outcome -> address of the page with the promises behind."""
        return {name: self.asked.address(outcome=name) for name in OUTCOMES}

    @property
    def kept_note(self) -> str:
        return f"of {wording.number(self.report.total.judged)} judged" + (
            f", target {self.target * 100:.1f} %" if self.target else ""
        )

    @property
    def money_note(self) -> str:
        return f"{self.money} in their flows" if self.money else "no value in their flows"

    @property
    def budget_note(self) -> str:
        return f"{wording.number(self.report.total.missed)} of {wording.number(self.allowed)} allowed"

    @property
    def budget_state(self) -> str:
        used = self.used or 0
        return "late" if used > 1 else "at-risk" if used > 0.8 else ""

    @property
    def partner_plot_size(self) -> str:
        return "lg" if len(self.partners) > 9 else ""


def month_page(asked: Asked, partners: Mapping[str, Partner], now: datetime, zone: str) -> MonthPage:
    """Everything on the report page in a fixed number of statements."""
    span, only = asked.span(zone), asked.narrowing(partners)
    found = reports.report(span, only)
    missed = reports.behind(span, only, "missed").order_by()
    money_by = _money_by(missed)
    target = _target(found)
    today = now.astimezone(ZoneInfo(zone)).date()
    days = [
        Line(
            f"{one.day:%a} {one.day.day} {one.day:%b}",
            "",
            one.counts,
            replace(asked, day=one.day.isoformat()),
            _percent(target),
        )
        for one in found.days
        if one.day <= today
    ]
    daily, band = _daily(span, only, [one.day for one in found.days if one.day <= today], target)
    page = MonthPage(
        asked=asked,
        report=found,
        sentence="",
        target=target,
        money=_money(_totals(money_by, lambda key: True)),
        rules=_rule_lines(found, asked, money_by),
        partners=_partner_lines(found, asked, money_by, target, daily, band),
        causes=_cause_lines(found, asked, money_by, {partner.pk: partner.slug for partner in partners.values()}),
        days=days,
        allowed=int(found.total.judged * (1 - target)) if target is not None else 0,
        so_far=span.begin <= now < span.end,
        plots={},
    )
    page.sentence = _sentence(page)
    page.plots = plots([(line.asked.day, line) for line in days], page.partners, target and target * 100)
    return page


#: (rule, milestone, partner) -> (flow, currency, value) of every flow that missed there
MoneyBy = Mapping[tuple[str, str, int | None], Sequence[tuple[int, str, Decimal]]]


def _rule_lines(found: Report, asked: Asked, money_by: MoneyBy) -> list[Line]:
    names = milestone_names()
    return [
        Line(
            line.name,
            names.get((line.flow_slug, line.milestone), line.milestone),
            line.counts,
            replace(asked, rule=line.slug),
            line.target,
            _money(_totals(money_by, lambda key, slug=line.slug: key[0] == slug)),
        )
        for line in found.rules
    ]


def _partner_lines(
    found: Report, asked: Asked, money_by: MoneyBy, target: float | None, daily: Mapping[Any, Any], band: Any
) -> list[Line]:
    return [
        Line(
            line.name or "No partner",
            "",
            line.counts,
            replace(asked, partner=line.slug or "none"),
            _percent(target),
            _money(_totals(money_by, lambda key, pk=line.id: key[2] == pk)),
            daily.get(line.id),
            band,
        )
        for line in found.partners
    ]


def _cause_lines(found: Report, asked: Asked, money_by: MoneyBy, slugs: Mapping[int, str]) -> list[Line]:
    names = milestone_names()
    return [
        Line(
            names.get((cause.flow_slug, cause.milestone), cause.milestone),
            cause.partner_name or "No partner",
            cause.counts,
            replace(
                asked,
                flow=cause.flow_slug,
                milestone=cause.milestone,
                partner=slugs.get(cause.partner_id or 0, "none"),
            ),
            None,
            _money(_totals(money_by, lambda key, c=cause: key[1] == c.milestone and key[2] == c.partner_id)),
        )
        for cause in found.causes[:5]
    ]


def _percent(target: float | None) -> Decimal | None:
    return None if target is None else Decimal(str(round(target * 100, 2)))


def milestone_names() -> dict[tuple[str, str], str]:
    """(flow, milestone) -> "Order to ship: First scan"."""
    return {
        (definition.slug, milestone.name): f"{definition.name}: {milestone.label}"
        for definition in load().catalogue.active.values()
        for milestone in definition.milestones
    }


def _target(found: Report) -> float | None:
    """What was to be kept over all rules, each with the weight of what it judged."""
    judged = sum(line.counts.judged for line in found.rules)
    return sum(float(line.target) / 100 * line.counts.judged for line in found.rules) / judged if judged else None


def _money_by(missed: QuerySet[Expectation]) -> dict[tuple[str, str, int | None], list[tuple[int, str, Decimal]]]:
    """(rule, milestone, partner) -> (flow, currency, value) of every flow that missed there."""
    found: dict[tuple[str, str, int | None], list[tuple[int, str, Decimal]]] = defaultdict(list)
    rows = missed.filter(flow__value__isnull=False).values_list(
        "rule__slug", "milestone", "partner_id", "flow_id", "flow__currency", "flow__value"
    )
    for slug, milestone, partner_id, flow_id, currency, value in rows.iterator(chunk_size=5000):
        if value is not None:
            found[(slug, milestone, partner_id)].append((flow_id, currency, value))
    return found


def _totals(found: Mapping[Any, Sequence[tuple[int, str, Decimal]]], wanted: Any) -> dict[str, Decimal]:
    """Money by currency, each flow once however many of its promises were missed."""
    seen: set[int] = set()
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for key, rows in found.items():
        if wanted(key):
            for flow_id, currency, value in rows:
                if flow_id not in seen:
                    seen.add(flow_id)
                    totals[currency] += value
    return totals


def _money(totals: Mapping[str, Decimal]) -> str:
    ordered = sorted(totals.items(), key=lambda item: -item[1])
    return " and ".join(wording.money(value, currency) for currency, value in ordered)


def _daily(
    span: Span, only: Narrowing, days: Sequence[date], target: float | None
) -> tuple[dict[int | None, list[float | None]], tuple[float, float]]:
    """(partner -> percent kept on each day, None where nothing was judged; the band from the target to all of it).

    Both are told above the lowest of them: a line near 99 would else show nothing.
    """
    rows = (
        reports.behind(span, only)
        .order_by()
        .annotate(day=TruncDate("due_at", tzinfo=ZoneInfo(span.zone)))
        .values_list("partner_id", "day")
        .annotate(kept=Count("pk", filter=KEPT), missed=Count("pk", filter=MISSED))
    )
    shares = {(pk, day): 100 * kept / (kept + missed) for pk, day, kept, missed in rows if kept + missed}
    judged = sorted({day for _, day in shares} & set(days))
    wanted = 100 * target if target is not None else 100.0
    base = min([*shares.values(), wanted]) - 1
    daily = {pk: [shares[pk, day] - base if (pk, day) in shares else None for day in judged] for pk, _ in shares}
    return daily, (wanted - base, 100 - base)


def _sentence(page: MonthPage) -> str:
    """The one line on top: said even when there is little to say."""
    total, month = page.report.total, f"{page.asked.first:%B %Y}"
    if not total.total:
        return f"Nothing was promised for {month} with this choice."
    if total.share is None:
        return f"No promise of {month} has been judged yet; {wording.number(total.open)} are still open."
    target = f" (target {page.target * 100:.1f})" if page.target is not None else ""
    parts = [f"{wording.share(total.share)} of {wording.number(total.judged)} promises kept{target}"]
    parts.append(f"{wording.number(total.missed)} missed")
    parts.append(f"{wording.number(total.excluded)} excluded")
    if page.money:
        parts.append(f"{page.money} late")
    return ", ".join(parts) + (", so far." if page.so_far else ".")


def months(now: datetime, zone: str) -> list[tuple[str, str]]:
    """(YYYY-MM, "November 2026") from the first promise on, newest first."""
    today = now.astimezone(ZoneInfo(zone)).date().replace(day=1)
    first = Expectation.objects.aggregate(first=Min("due_at"))["first"]
    oldest = first.astimezone(ZoneInfo(zone)).date().replace(day=1) if first else today
    found: list[tuple[str, str]] = []
    while (today >= oldest and len(found) < MONTHS) or not found:
        found.append((f"{today:%Y-%m}", f"{today:%B %Y}"))
        today = (today - timedelta(days=1)).replace(day=1)
    return found


def figure_rows(page: MonthPage) -> Iterator[Sequence[Any]]:
    """The report's tables as rows of one CSV."""
    head = list(reports.as_row(Counts()))
    yield ["table", "name", "part", "target_percent", *head, "value_late"]
    yield [
        "total",
        page.asked.month,
        "",
        _percent(page.target),
        *reports.as_row(page.report.total).values(),
        page.money,
    ]
    for table, lines in (("rule", page.rules), ("partner", page.partners), ("cause", page.causes), ("day", page.days)):
        for line in lines:
            yield [
                table,
                line.asked.day or line.name,
                line.sub,
                line.target,
                *reports.as_row(line.counts).values(),
                line.money,
            ]
    for one in page.report.exclusions:
        counts = reports.as_row(Counts(excluded=one.count)).values()
        yield ["exclusion", one.reason, "by hand" if one.by_hand else "by rule", "", *counts, ""]
