"""Rows of the tables of reports: a page has hundreds of cells, so they are written here. Load with ``{% load figures %}``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from html import escape
from typing import Protocol

from django import template
from django.utils.safestring import SafeString, mark_safe

from apps.core import pictures, wording
from apps.core.templatetags.tower import duration, number, state
from apps.reports.figures import Counts

register = template.Library()
#: field of the counts and its outcome, heading, whether it weighs
_CELLS = (
    ("missed", "Missed", ' class="strong"'),
    ("excluded", "Excluded", ""),
    ("open", "Open", ""),
    ("unknown", "Unknown", ""),
    ("paused", "Paused", ""),
)
_NOTHING = number(0)
_UNKNOWN = '<span class="faint">–</span>'
_SPARK_WIDTH = 96


class Asked(Protocol):
    def address(self) -> str: ...


class Row(Protocol):
    """What a row of a report's table is written from (selectors.report.Line)."""

    name: str
    sub: str
    counts: Counts
    asked: Asked
    target: Decimal | None
    money: str
    daily: Sequence[float | None] | None
    band: tuple[float, float]

    @property
    def below(self) -> bool: ...
    @property
    def links(self) -> Mapping[str, str]: ...


@lru_cache(maxsize=1024)
def _late(share: str) -> str:
    return state("late", label=share)


@register.simple_tag
def report_rows(
    lines: Iterable[Row], behind: str, second: str = "", daily: bool = False, targets: bool = False, money: bool = True
) -> SafeString:
    """A row a line. behind: address of the page of promises; second: heading of a second name; the rest: which columns."""
    return mark_safe("".join(_row(line, behind, second, daily, targets, money) for line in lines))


def _row(line: Row, behind: str, second: str, daily: bool, targets: bool, money: bool) -> str:
    counts, links = line.counts, line.links
    share = wording.share(counts.share)
    kept = _UNKNOWN if counts.share is None else _late(share) if line.below else share
    cells = [
        f'<tr data-row><th scope="row"><a href="{escape(behind + line.asked.address())}">{escape(line.name)}</a></th>'
    ]
    if second:
        cells.append(f'<td data-label="{escape(second)}">{escape(line.sub)}</td>')
    if daily:
        drawn = line.daily and pictures.sparkline(line.daily, *line.band, "share kept by day", _SPARK_WIDTH)
        cells.append(f'<td class="not-phone">{drawn or ""}</td>')
    cells.append(f'<td class="num at-top" data-label="Kept">{kept}</td>')
    if targets:
        cells.append(f'<td class="num" data-label="Target">{wording.number(line.target, 1)} %</td>')
    cells.append(f'<td class="num" data-label="Judged">{number(counts.judged)}</td>')
    for name, label, weight in _CELLS:
        n = getattr(counts, name)
        shown = f'<a{weight} href="{escape(behind + links[name])}">{number(n)}</a>' if n else _NOTHING
        cells.append(f'<td class="num" data-label="{label}">{shown}</td>')
    for label, seconds in (("Late p50", counts.lateness_p50), ("Late p95", counts.lateness_p95)):
        cells.append(f'<td class="num" data-label="{label}">{_UNKNOWN if seconds is None else duration(seconds)}</td>')
    if money:
        cells.append(f'<td class="num" data-label="Value late">{escape(line.money) or "–"}</td>')
    return "".join(cells) + "</tr>"
