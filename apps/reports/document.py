"""A month's report as one document of plain values: what is frozen, sent, drawn as PDF, written as XLSX and CSV, and read
through the API. Whoever shows it computes nothing.

    {"version": 1, "kind": "month", "title", "month": "2026-03", "zone", "as_of", "partner": slug or "", "sentence",
     "figures": {name: number or text}, "tiles": [{"label", "value", "note"}],
     "charts": [{"key", "title", "labels", "values", "target"}],
     "tables": [{"key", "title", "note", "columns": [{"label", "unit"}], "rows": [[..]]}]}

unit of a column: text, count, percent, seconds, money (an amount; its currency stands in the column after it), days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.core import wording
from apps.flows.registry import load
from apps.integrations.models import Partner
from apps.reports import hops, monthly, operations, pauses, penalties, rollups, scores
from apps.reports.figures import Counts, Narrowing, Report, as_row

VERSION = 1
Document = dict[str, Any]

_COUNTS: Sequence[tuple[str, str]] = (
    ("Kept %", "percent"),
    ("Kept", "count"),
    ("Missed", "count"),
    ("Excluded", "count"),
    ("Open", "count"),
    ("At risk", "count"),
    ("Unknown", "count"),
    ("Paused", "count"),
    ("Late p50", "seconds"),
    ("Late p95", "seconds"),
)


def month(first: date, now: datetime, partner: Partner | None = None) -> Document:
    """The report of the month that begins on this day, as the ledger knows it now."""
    only = Narrowing(partner=partner.pk if partner else None)
    found = monthly.month(first, only)
    total, span = found.report.total, found.report.span
    target = overall_target(found.report)
    work = operations.operations(span, now, only.partner)
    where = hops.table(span, only, now)
    uncounted = pauses.uncounted(span, only, now)
    owed = penalties.of_month(first, only)
    late, risk = found.late_value(), found.risk_value()
    trend = monthly.trend(first, only)
    return {
        "version": VERSION,
        "kind": "month",
        "title": f"SLA report, {first:%B %Y}" + (f", {partner.name}" if partner else ""),
        "month": f"{first:%Y-%m}",
        "zone": span.zone,
        "as_of": now.isoformat(),
        "partner": partner.slug if partner else "",
        "sentence": _sentence(total, target, late, first),
        "figures": {
            **as_row(total),
            "judged": total.judged,
            "target_percent": None if target is None else round(target * 100, 3),
            "late_value": _plain(late.amounts),
            "late_value_at_most": late.at_most,
            "risk_value": _plain(risk.amounts),
            "penalties": {f"{payer} {c}": str(v) for (payer, c), v in penalties.totals(owed).items()},
            **{f"incidents_{name}": value for name, value in asdict(work.incidents).items()},
            "visibility_percent": _percent(work.visibility.share),
            "continuity_percent": _percent(work.continuity.share),
            "onboarding_days": work.onboarding_days,
            "uncounted_minutes": round(uncounted.time.total_seconds() / 60),
            "uncounted_promises": uncounted.promises,
        },
        "tiles": _tiles(total, target, late, risk, owed, work),
        "charts": [
            _chart("days", "Kept by day", [(f"{one.day.day} {one.day:%b}", one.counts) for one in found.report.days], target),
            _chart("months", "Kept by month", [(f"{one.month:%b %y}", one.counts) for one in trend], target),
            _chart("partners", "Kept by partner", [(one.name or "No partner", one.counts) for one in found.report.partners[:15]], target),
        ],
        "tables": [
            _counted("rules", "Rules", ("Rule", "Target %"), [((one.name, float(one.target)), one.counts) for one in found.report.rules]),
            _counted("partners", "Partners", ("Partner",), [((one.name or "No partner",), one.counts) for one in found.report.partners]),
            _counted("lanes", "Lanes", ("Lane",), [((one.lane,), one.counts) for one in found.lanes if one.lane]),
            _counted("causes", "Where most was missed", ("Milestone", "Partner"), _cause_rows(found.report)),
            _counted("months", "Months", ("Month",), [((f"{one.month:%Y-%m}",), one.counts) for one in trend]),
            _counted("days", "Days", ("Day",), [((one.day.isoformat(),), one.counts) for one in found.report.days]),
            *_other_tables(found.report, owed, where, work, uncounted),
        ],
    }  # fmt: skip


def scorecard(first: date, now: datetime, partner: Partner) -> Document:
    """A partner's scorecard of the month."""
    card = scores.card(partner.pk, partner.kind, first)
    kept = card.value("kept")
    rows = [
        [one.metric.label, one.words, one.n, one.peer_words, one.verdict, one.metric.means]
        for one in card.figures
        if one.value is not None
    ]
    columns = [("Figure", "text"), ("Value", "text"), ("Of", "count"), ("Median of peers", "text"), ("Beside them", "text"), ("Means", "text")]  # fmt: skip
    shown = scores.months_before(first, len(kept.past))
    return {
        "version": VERSION,
        "kind": "scorecard",
        "title": f"Scorecard, {first:%B %Y}, {partner.name}",
        "month": f"{first:%Y-%m}",
        "zone": rollups.zone(),
        "as_of": now.isoformat(),
        "partner": partner.slug,
        "sentence": f"{kept.words} of {kept.n:,} promises kept." if kept.value is not None else "Nothing was judged.",
        "figures": {one.metric.key: one.value for one in card.figures},
        "tiles": [
            {"label": one.metric.label, "value": one.words, "note": f"peers {one.peer_words}" if one.peer_words else ""}
            for one in card.figures[:4]
            if one.value is not None
        ],
        "charts": [
            {
                "key": "months",
                "title": "Kept by month",
                "labels": [f"{at:%b %y}" for at in shown],
                "values": [_percent(value) for value in kept.past],
                "target": None,
            }
        ],
        "tables": [_table("figures", "Figures", columns, rows)],
    }


def overall_target(found: Report) -> float | None:
    """What was to be kept over all rules, each with the weight of what it judged; share of one."""
    judged = sum(line.counts.judged for line in found.rules)
    return sum(float(line.target) / 100 * line.counts.judged for line in found.rules) / judged if judged else None


def _sentence(total: Counts, target: float | None, late: monthly.Money, first: date) -> str:
    if total.share is None:
        return f"No promise of {first:%B %Y} has been judged."
    wanted = f" (target {target * 100:.1f})" if target is not None else ""
    money = f", {money_words(late.amounts, late.at_most)} late" if late.amounts else ""
    return (
        f"{wording.share(total.share)} of {total.judged:,} promises kept{wanted}, "
        f"{total.missed:,} missed, {total.excluded:,} excluded{money}."
    )


def money_words(amounts: Mapping[str, Decimal], at_most: bool = False) -> str:
    """ "350 EUR and 20 PLN", the larger number first; currencies are never added together."""
    ordered = sorted(amounts.items(), key=lambda item: -item[1])
    words = " and ".join(wording.money(value, currency) for currency, value in ordered if value)
    return f"up to {words}" if words and at_most else words


def _tiles(
    total: Counts,
    target: float | None,
    late: monthly.Money,
    risk: monthly.Money,
    owed: Sequence[penalties.Line],
    work: operations.Operations,
) -> list[dict[str, str]]:
    mtta, mttr = work.incidents.mtta, work.incidents.mttr
    partners_owe = {c: v for (payer, c), v in penalties.totals(owed).items() if payer == "partner"}
    tiles = [
        ("Kept", wording.share(total.share), f"of {total.judged:,} judged" + (f", target {target * 100:.1f} %" if target else "")),
        ("Missed", f"{total.missed:,}", money_words(late.amounts, late.at_most)),
        ("At risk", f"{total.at_risk:,}", money_words(risk.amounts, risk.at_most)),
        ("Partners owe", money_words(partners_owe) or "–", "by contract"),
        ("Excluded", f"{total.excluded:,}", "with reasons below"),
        ("Unknown", f"{total.unknown:,}", "the source could not be heard"),
        ("Paused", f"{total.paused:,}", "their clock stands still"),
        ("Time to acknowledge", _span(mtta), f"{work.incidents.opened} incidents"),
        ("Time to resolve", _span(mttr), f"{work.incidents.resolved} resolved"),
        ("Critical with a rule", wording.share(work.visibility.share, 0), f"{work.visibility.covered} of {work.visibility.critical}"),
        ("Went on while degraded", wording.share(work.continuity.share, 0), f"{work.continuity.flows} flows"),
        ("Days to go live", "–" if work.onboarding_days is None else f"{work.onboarding_days:.1f}", f"{len(work.onboarded)} integrations"),
    ]  # fmt: skip
    return [{"label": label, "value": value, "note": note} for label, value, note in tiles]


def _span(seconds: float | None) -> str:
    from_seconds = timedelta(seconds=seconds) if seconds is not None else None
    return "–" if from_seconds is None else wording.duration(from_seconds)


def _chart(key: str, title: str, points: Sequence[tuple[str, Counts]], target: float | None) -> dict[str, Any]:
    return {
        "key": key,
        "title": title,
        "labels": [label for label, _ in points],
        "values": [_percent(counts.share) for _, counts in points],
        "target": _percent(target),
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else round(share * 100, 2)


def _plain(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {currency: str(value) for currency, value in sorted(amounts.items())}


def _table(
    key: str, title: str, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]], note: str = ""
) -> dict[str, Any]:
    heads = [{"label": label, "unit": unit} for label, unit in columns]
    return {"key": key, "title": title, "note": note, "columns": heads, "rows": [list(row) for row in rows]}


def _counted(
    key: str, title: str, lead: Sequence[str], rows: Sequence[tuple[tuple[Any, ...], Counts]]
) -> dict[str, Any]:
    columns = [(label, "percent" if label.endswith("%") else "text") for label in lead] + list(_COUNTS)
    return _table(
        key,
        title,
        columns,
        [
            [
                *names,
                _percent(counts.share),
                *(
                    counts.kept,
                    counts.missed,
                    counts.excluded,
                    counts.open,
                    counts.at_risk,
                    counts.unknown,
                    counts.paused,
                ),
                *(counts.lateness_p50, counts.lateness_p95),
            ]
            for names, counts in rows
        ],
    )


def _cause_rows(report: Report) -> list[tuple[tuple[Any, ...], Counts]]:
    names = {
        (definition.slug, milestone.name): f"{definition.name}: {milestone.label}"
        for definition in load().catalogue.active.values()
        for milestone in definition.milestones
    }
    return [
        ((names.get((one.flow_slug, one.milestone), one.milestone), one.partner_name or "No partner"), one.counts)
        for one in report.causes
    ]


def _other_tables(
    report: Report,
    owed: Sequence[penalties.Line],
    where: hops.HopTable,
    work: operations.Operations,
    uncounted: pauses.Uncounted,
) -> list[dict[str, Any]]:
    return [
        _table(
            "excluded",
            "Excluded",
            [("Reason", "text"), ("By", "text"), ("Promises", "count")],
            [(one.reason or "No reason was given", "a person" if one.by_hand else "the rule", one.count) for one in report.exclusions],
            "Not counted as kept nor as missed.",
        ),
        _table(
            "uncounted",
            "Time that did not count",
            [("What stopped the clock", "text"), ("Reason", "text"), ("Partner", "text"), ("Rule", "text"), ("Promises", "count"), ("Minutes", "count"), ("Go on", "count")],
            [(one.name, one.detail, one.partner_name or "No partner", one.rule_name, one.promises, one.minutes, one.lasting) for one in uncounted.lines],
            "Minutes by the clock on the wall, so far. A source that could not be heard moves no deadline.",
        ),
        _table(
            "penalties",
            "Money by contract",
            [("Term", "text"), ("Who pays", "text"), ("Missed", "count"), ("Amount", "money"), ("Currency", "text"), ("Cut by its cap", "money")],
            [(one.name, one.payer, one.n, str(one.amount), one.currency, str(one.cut)) for one in owed],
            "Before disputes. Currencies are not added together.",
        ),
        _table(
            "hops",
            "Where the time was lost",
            [("Hop", "text"), ("Means", "text"), ("Late milestones", "count"), ("Share", "percent"), ("Beyond the usual", "text")],
            [(one.name, one.means, one.count, _percent(one.share), one.over) for one in where.lines],
        ),
        _table(
            "onboarded",
            "Went live",
            [("Integration", "text"), ("On", "text"), ("Days", "days")],
            [(one.name, f"{one.live_at:%Y-%m-%d}", None if one.days is None else round(one.days, 1)) for one in work.onboarded],
        ),
        _table("without", "Critical integrations without a rule", [("Integration", "text")], [(name,) for _, name in work.visibility.without]),
    ]  # fmt: skip
