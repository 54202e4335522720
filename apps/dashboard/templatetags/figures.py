"""Cells of the tables of reports, of which a page has hundreds. Load with ``{% load figures %}``."""

from __future__ import annotations

from collections.abc import Mapping

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from apps.core.templatetags.tower import number
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


@register.simple_tag
def outcome_cells(counts: Counts, links: Mapping[str, str], behind: str) -> SafeString:
    """One cell an outcome: its number, and behind it the address of its promises where there are any."""
    cells = []
    for name, label, weight in _CELLS:
        n = getattr(counts, name)
        shown = f'<a{weight} href="{escape(behind + links[name])}">{number(n)}</a>' if n else _NOTHING
        cells.append(f'<td class="num" data-label="{label}">{shown}</td>')
    return mark_safe("".join(cells))
