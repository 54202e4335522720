"""How the tower says states, times, numbers and money. Pure: ``now`` and zones are passed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@dataclass(frozen=True, slots=True)
class StateWord:
    """One state as people see it: ``slug`` names its shape and colour (``s-<slug>`` in tower.css), ``word`` says it."""

    slug: str
    word: str


ON_TIME = StateWord("on-time", "on time")
AT_RISK = StateWord("at-risk", "at risk")
LATE = StateWord("late", "late")
UNKNOWN = StateWord("unknown", "unknown")
MET_LATE = StateWord("met-late", "met late")
WAIVED = StateWord("waived", "waived")
DONE = StateWord("done", "done")
OPEN = StateWord("open", "open")

STATES: tuple[StateWord, ...] = (ON_TIME, AT_RISK, LATE, UNKNOWN, MET_LATE, WAIVED, DONE, OPEN)

# what models and rules call it -> what people see
_ALIASES = {
    "pending": ON_TIME,
    "met": DONE,
    "completed": DONE,
    "resolved": DONE,
    "breached": LATE,
    "overdue": LATE,
    "suspended": UNKNOWN,
    "stale": UNKNOWN,
    "silent": UNKNOWN,
    "cancelled": WAIVED,
    "excluded": WAIVED,
    "warned": AT_RISK,
    "risk": AT_RISK,
    "warning": AT_RISK,
    "acknowledged": AT_RISK,
    "ok": ON_TIME,
}
_BY_SLUG = {state.slug: state for state in STATES}


def state_word(name: object) -> StateWord:
    """The word for a state by any of its names (``MET_LATE``, ``met late``, ``met-late``). Unheard of means unknown."""
    slug = str(name).strip().lower().replace("_", "-").replace(" ", "-")
    return _BY_SLUG.get(slug) or _ALIASES.get(slug.replace("-", "_")) or UNKNOWN


def duration(span: timedelta) -> str:
    """``12 s``, ``42 min``, ``1 h 25 min`` (below 3 h), ``17 h``, ``4 d``. No sign. time.js says the same."""
    seconds = int(abs(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 3:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"


def relative(when: datetime, now: datetime, past: str = "ago") -> str:
    """``in 42 min`` for what comes; ``3 h <past>`` for what has been (``ago``, ``late``); ``now`` within a second."""
    span = when - now
    if abs(span) < timedelta(seconds=1):
        return "now"
    return f"in {duration(span)}" if span > timedelta(0) else f"{duration(span)} {past}"


def zone(name: object) -> tzinfo:
    """The zone of this IANA name; UTC when it is empty or not known."""
    try:
        return ZoneInfo(str(name) or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def absolute(when: datetime, in_zone: tzinfo) -> str:
    """``Mon 23 Nov 2026, 10:15 CET``."""
    local = when.astimezone(in_zone)
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M} {zone_letters(local)}"


def short(when: datetime, in_zone: tzinfo, today: datetime | None = None) -> str:
    """``10:15`` on the day of ``today``, ``23 Nov 10:15`` in its year, else with the year."""
    local = when.astimezone(in_zone)
    base = today.astimezone(in_zone) if today else None
    if base and local.date() == base.date():
        return f"{local:%H:%M}"
    if base and local.year == base.year:
        return f"{local.day} {local:%b %H:%M}"
    return f"{local.day} {local:%b %Y %H:%M}"


def zone_letters(local: datetime) -> str:
    """``CET``, ``UTC``, or ``UTC+05:30`` where the zone has no letters."""
    name = local.tzname() or ""
    if name and name[0] not in "+-":
        return name
    offset = f"{local:%z}"
    return f"UTC{offset[:3]}:{offset[3:5]}"


def number(value: float | Decimal | None, digits: int = 0) -> str:
    """``41,200``; an en dash for nothing known."""
    return "–" if value is None else f"{value:,.{digits}f}"


def money(value: float | Decimal | None, currency: str = "") -> str:
    """``41,200 EUR`` from a hundred on, ``12.50 EUR`` below."""
    if value is None:
        return "–"
    digits = 0 if value == 0 or abs(float(value)) >= 100 else 2
    return f"{value:,.{digits}f} {currency}".strip()


def share(value: float | Decimal | None, digits: int = 1) -> str:
    """A share of one as ``97.4 %``, never rounded up to a full hundred nor down to zero."""
    if value is None:
        return "–"
    percent = float(value) * 100
    step = 10.0**-digits
    if percent < 100:
        percent = min(percent, 100 - step) if round(percent, digits) >= 100 else percent
    if percent > 0 and round(percent, digits) == 0:
        percent = step
    return f"{percent:.{digits}f} %"
