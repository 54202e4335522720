"""What the month report shows: the figures of `reports.monthly` with money, names, days by partner, and the pages behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from apps.core import wording
from apps.dashboard.selectors.report_asked import OUTCOME_WORDS, Asked
from apps.dashboard.selectors.report_plots import plots, trend_plot
from apps.flows.registry import Register, load
from apps.integrations.models import Partner
from apps.reports import figures, monthly, pauses, penalties, rollups
from apps.reports.figures import OUTCOMES, Counts, Report
from apps.reports.monthly import Money, Month
from apps.reports.penalties import Line as Penalty

#: months offered by the picker
MONTHS = 36
MOST_LANES = 15
#: lines of time that did not count; the CSV has all
MOST_PAUSES = 50
NOTHING = Money()


class Links:
    """outcome -> address of the page with the promises behind; written only where a page shows it."""

    def __init__(self, asked: Asked) -> None:
        self._whole = asked.address(outcome="")

    def __getitem__(self, outcome: str) -> str:
        if outcome not in OUTCOME_WORDS:
            raise KeyError(outcome)
        return f"{self._whole}&outcome={outcome}"


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
    def links(self) -> Links:
        return Links(self.asked)


@dataclass(slots=True)
class MonthPage:
    asked: Asked
    report: Report
    sentence: str
    target: float | None
    money: str
    risk: str
    rules: list[Line]
    partners: list[Line]
    lanes: list[Line]
    causes: list[Line]
    days: list[Line]
    trend: list[Line]
    penalties: list[Penalty]
    allowed: int
    so_far: bool
    exact: bool
    zone: str
    plots: dict[str, Any] = field(default_factory=dict)

    @property
    def excluded(self) -> list[tuple[figures.Exclusion, str]]:
        """(why something was left out, address of the promises left out for that)."""
        return [
            (one, self.asked.address(outcome="excluded", why=f"{'person' if one.by_hand else 'rule'}:{one.reason}"))
            for one in self.report.exclusions
        ]

    @property
    def money_lines(self) -> list[tuple[Penalty, str]]:
        """(what a term came to, address of the promises it counted for)."""
        return [(one, self.asked.address(outcome="missed", term=one.term)) for one in self.penalties]

    @property
    def used(self) -> float | None:
        """Share of the error budget that is used up; None without a budget."""
        return self.report.total.missed / self.allowed if self.allowed else None

    @property
    def links(self) -> Links:
        return Links(self.asked)

    @property
    def kept_note(self) -> str:
        return f"of {wording.number(self.report.total.judged)} judged" + (
            f", target {self.target * 100:.1f} %" if self.target else ""
        )

    @property
    def money_note(self) -> str:
        return f"{self.money} in their flows" if self.money else "no value in their flows"

    @property
    def risk_note(self) -> str:
        return f"{self.risk} in their flows" if self.risk else "past their warning, not due yet"

    @property
    def owed(self) -> str:
        """What partners owe by contract: "45 EUR and 9 PLN"."""
        return money_words({c: v for (payer, c), v in penalties.totals(self.penalties).items() if payer == "partner"})

    @property
    def owing(self) -> str:
        return money_words({c: v for (payer, c), v in penalties.totals(self.penalties).items() if payer == "us"})

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


def month_page(
    asked: Asked, partners: Mapping[str, Partner], now: datetime, zone: str, register: Register | None = None
) -> MonthPage:
    """Everything on the report page in a fixed number of statements. register: as just loaded, else it is loaded here."""
    asked = asked.whole()
    only = asked.narrowing(partners)
    month, trend = monthly.month_and_trend(asked.first, only, zone, partners.values())
    found = month.report
    target = overall_target(found)
    today = now.astimezone(ZoneInfo(zone)).date()
    shown = [one.day for one in found.days if one.day <= today]
    days = [
        Line(
            f"{one.day:%a} {one.day.day} {one.day:%b}",
            "",
            one.counts,
            replace(asked, day=one.day.isoformat()),
            percent(target),
        )
        for one in found.days
        if one.day <= today
    ]
    daily, band = _daily(month, shown, target)
    names = milestone_names(register or load())
    page = MonthPage(
        asked=asked,
        report=found,
        sentence="",
        target=target,
        money=_money(month.late_value()),
        risk=_money(month.risk_value()),
        rules=_rule_lines(month, asked, names),
        partners=_partner_lines(month, asked, target, daily, band),
        lanes=_lane_lines(month, asked, target),
        causes=_cause_lines(month, asked, names, {partner.pk: partner.slug for partner in partners.values()}),
        days=days,
        trend=_trend_lines(asked, trend, target),
        penalties=penalties.of_month(asked.first, only),
        allowed=int(found.total.judged * (1 - target)) if target is not None else 0,
        so_far=found.span.begin <= now < found.span.end,
        exact=month.exact,
        zone=zone,
    )
    page.sentence = sentence(page)
    page.plots = plots([(line.asked.day, line) for line in days], page.partners, target and target * 100)
    page.plots["trend"] = trend_plot([(line.asked.month, line) for line in page.trend], target and target * 100)
    return page


def _rule_lines(month: Month, asked: Asked, names: Mapping[tuple[str, str], str]) -> list[Line]:
    money = month.late_values(lambda one: month.rules[one.rule_id].slug)
    return [
        Line(
            line.name,
            names.get((line.flow_slug, line.milestone), line.milestone),
            line.counts,
            replace(asked, rule=line.slug),
            line.target,
            _money(money.get(line.slug, NOTHING)),
        )
        for line in month.report.rules
    ]


def _partner_lines(
    month: Month, asked: Asked, target: float | None, daily: Mapping[Any, Any], band: tuple[float, float]
) -> list[Line]:
    money = month.late_values(lambda one: one.partner_id)
    return [
        Line(
            line.name or "No partner",
            "",
            line.counts,
            replace(asked, partner=line.slug or "none"),
            percent(target),
            _money(money.get(line.id, NOTHING)),
            daily.get(line.id),
            band,
        )
        for line in month.report.partners
    ]


def _lane_lines(month: Month, asked: Asked, target: float | None) -> list[Line]:
    """The worst lanes; none where no flow names one."""
    named = [line for line in month.lanes if line.lane]
    money = month.late_values(lambda one: one.lane)
    return [
        Line(
            line.lane.replace(">", " → "),
            "",
            line.counts,
            replace(asked, lane=line.lane),
            percent(target),
            _money(money.get(line.lane, NOTHING)),
        )
        for line in named[:MOST_LANES]
    ]


def _cause_lines(
    month: Month, asked: Asked, names: Mapping[tuple[str, str], str], slugs: Mapping[int, str]
) -> list[Line]:

    def place(one: Any) -> tuple[str, str, int | None]:
        rule = month.rules[one.rule_id]
        return rule.flow_slug, rule.milestone, one.partner_id

    money = month.late_values(place)
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
            _money(money.get((cause.flow_slug, cause.milestone, cause.partner_id), NOTHING)),
        )
        for cause in month.report.causes[:5]
    ]


def _trend_lines(asked: Asked, trend: Sequence[monthly.Trend], target: float | None) -> list[Line]:
    return [
        Line(f"{one.month:%b %Y}", "", one.counts, replace(asked, month=f"{one.month:%Y-%m}"), percent(target))
        for one in trend
    ]


def percent(target: float | None) -> Decimal | None:
    return None if target is None else Decimal(str(round(target * 100, 2)))


def milestone_names(register: Register) -> dict[tuple[str, str], str]:
    """(flow, milestone) -> "Order to ship: First scan"."""
    return {
        (definition.slug, milestone.name): f"{definition.name}: {milestone.label}"
        for definition in register.catalogue.active.values()
        for milestone in definition.milestones
    }


def overall_target(found: Report) -> float | None:
    """What was to be kept over all rules, each with the weight of what it judged."""
    judged = sum(line.counts.judged for line in found.rules)
    return sum(float(line.target) / 100 * line.counts.judged for line in found.rules) / judged if judged else None


def money_words(totals: Mapping[str, Decimal]) -> str:
    """ "350 EUR and 20 PLN", the larger number first; currencies are never added together."""
    ordered = sorted(totals.items(), key=lambda item: -item[1])
    return " and ".join(wording.money(value, currency) for currency, value in ordered if value)


def _money(money: Money) -> str:
    words = money_words(money.amounts)
    return f"up to {words}" if words and money.at_most else words


def _daily(
    month: Month, days: Sequence[date], target: float | None
) -> tuple[dict[int | None, list[float | None]], tuple[float, float]]:
    """(partner -> percent kept on each day, None where nothing was judged; the band from the target to all of it).

    Both are told above the lowest of them: a line near 99 would else show nothing.
    """
    judged = sorted({day for found in month.daily.values() for day in found} & set(days))
    wanted = 100 * target if target is not None else 100.0
    base = min([*(100 * share for found in month.daily.values() for share in found.values()), wanted]) - 1
    daily: dict[int | None, list[float | None]] = {
        pk: [100 * found[day] - base if day in found else None for day in judged] for pk, found in month.daily.items()
    }
    return daily, (wanted - base, 100 - base)


def sentence(page: MonthPage) -> str:
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


def uncounted(asked: Asked, found: pauses.Uncounted) -> dict[str, Any]:
    """The table of time that did not count: (line, address of the promises behind), the longest first."""
    shown = [
        (line, replace(asked, partner=line.partner or "none", rule=line.rule, pause=line.kind, outcome="").address())
        for line in found.lines[:MOST_PAUSES]
    ]
    return {"uncounted": found, "uncounted_lines": shown, "uncounted_more": len(found.lines) - len(shown)}


def months(now: datetime, zone: str) -> list[tuple[str, str]]:
    """(YYYY-MM, "November 2026") from the first promise on, newest first."""
    today = now.astimezone(ZoneInfo(zone)).date().replace(day=1)
    oldest = (rollups.first_day() or today).replace(day=1)
    found: list[tuple[str, str]] = []
    while (today >= oldest and len(found) < MONTHS) or not found:
        found.append((f"{today:%Y-%m}", f"{today:%B %Y}"))
        today = (today - timedelta(days=1)).replace(day=1)
    return found


def figure_rows(page: MonthPage, uncounted: pauses.Uncounted) -> Iterator[Sequence[Any]]:
    """The report's tables as rows of one CSV."""
    head = list(figures.as_row(Counts()))
    yield ["table", "name", "part", "target_percent", *head, "value_late", "promises", "minutes_not_counted"]
    total = figures.as_row(page.report.total).values()
    yield ["total", page.asked.month, "", percent(page.target), *total, page.money, "", ""]
    tables = (
        *(("rule", page.rules), ("partner", page.partners), ("lane", page.lanes), ("cause", page.causes)),
        *(("day", page.days), ("month", page.trend)),
    )
    for table, lines in tables:
        for line in lines:
            name = line.asked.day if table == "day" else line.asked.month if table == "month" else line.name
            yield [table, name, line.sub, line.target, *figures.as_row(line.counts).values(), line.money, "", ""]
    for one in page.report.exclusions:
        counts = figures.as_row(Counts(excluded=one.count)).values()
        yield ["exclusion", one.reason, "by hand" if one.by_hand else "by rule", "", *counts, "", "", ""]
    for term in page.penalties:
        counts = figures.as_row(Counts(missed=term.n)).values()
        yield ["penalty", term.name, term.payer, "", *counts, f"{term.amount} {term.currency}", "", ""]
    for stop in uncounted.lines:
        name = f"{stop.name}: {stop.detail}" if stop.detail else stop.name
        part = f"{stop.partner_name or 'No partner'}: {stop.rule_name}"
        yield ["not counted", name, part, "", *[""] * len(head), "", stop.promises, stop.minutes]


__all__ = ["OUTCOMES", "OUTCOME_WORDS", "Asked", "Line", "MonthPage", "figure_rows", "month_page", "months"]
