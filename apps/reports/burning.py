"""How fast an error budget burns, and when to say so. Pure: counts in, verdict out.

Multi-window, multi-burn-rate alerts after the SRE Workbook (chapter 5), with two corrections:
- a burn rate cannot exceed 1 / (1 - target): at a target of 90 % it is 10 at most, so a factor of 14.4 would never be
  asked for in vain. The factor is capped at half of what is possible.
- a few misses of few promises prove nothing: also asked are at least `LEAST_MISSED` missed, and that so many would come
  about with a chance below `CHANCE` if the target were just kept (upper tail of the binomial distribution).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from scipy.special import betainc

from apps.core import wording

LEAST_MISSED = 5
CHANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Window:
    """share: of the whole budget; burning that much within `long` is told, while `short` shows that it goes on.

    alert: how objectives name it that want to hear of it.
    """

    name: str
    alert: str
    long: timedelta
    short: timedelta
    share: float

    @property
    def key(self) -> str:
        return f"{int(self.long.total_seconds())}"


HOUR = timedelta(hours=1)
WINDOWS = (
    Window("1 hour", "1h", HOUR, timedelta(minutes=5), 0.02),
    Window("6 hours", "6h", 6 * HOUR, timedelta(minutes=30), 0.05),
    Window("3 days", "3d", 72 * HOUR, 6 * HOUR, 0.10),
)
ALERTS = [window.alert for window in WINDOWS]


@dataclass(frozen=True, slots=True)
class Tally:
    """Promises judged in a span."""

    kept: int = 0
    missed: int = 0

    @property
    def judged(self) -> int:
        return self.kept + self.missed


@dataclass(frozen=True, slots=True)
class Burn:
    """One window's verdict. rate: times as fast as the budget allows (1: just used up at the end); None: nothing judged.

    used: share of the whole budget that the long window burned; chance: of so many missed if the target were kept.
    """

    window: Window
    factor: float
    long: Tally
    short: Tally
    rate: float | None
    short_rate: float | None
    used: float
    chance: float

    @property
    def fires(self) -> bool:
        return self.over and self.short_rate is not None and self.short_rate >= self.factor

    @property
    def over(self) -> bool:
        """The long window alone says so."""
        enough = self.long.missed >= LEAST_MISSED and self.chance < CHANCE
        return enough and self.rate is not None and self.rate >= self.factor

    @property
    def goes_on(self) -> bool:
        """What was said before still holds: the short window has not come back, though it may have heard nothing new."""
        return self.over and (self.short_rate is None or self.short_rate >= self.factor)


def ceiling(target: float) -> float:
    """The fastest a budget can burn: everything missed. target: share of one, below 1."""
    return 1 / (1 - target)


def factor(window: Window, period: timedelta, target: float) -> float:
    """How many times too fast is told: what burns `share` of the budget in the window, at most half of what is possible."""
    return min(window.share * (period / window.long), 0.5 * ceiling(target))


def chance(judged: int, missed: int, target: float) -> float:
    """P(at least so many missed of these, were each missed with chance 1 - target)."""
    if missed <= 0:
        return 1.0
    return float(betainc(missed, judged - missed + 1, 1 - target))


def rate(tally: Tally, target: float) -> float | None:
    return tally.missed / tally.judged / (1 - target) if tally.judged else None


def judge(window: Window, long: Tally, short: Tally, target: float, period: timedelta) -> Burn:
    """target: share of one, 0 up to below 1; period: length of the objective's window. ValueError without a budget."""
    if not 0 <= target < 1:
        raise ValueError("an objective without an error budget (a target of 100 %) cannot burn it")
    burned = rate(long, target)
    return Burn(
        window,
        factor(window, period, target),
        long,
        short,
        burned,
        rate(short, target),
        (burned or 0.0) * (window.long / period),
        chance(long.judged, long.missed, target),
    )


def judge_all(
    tallies: Mapping[timedelta, Tally], target: float, period: timedelta, windows: Sequence[Window] = WINDOWS
) -> list[Burn]:
    """One verdict for each window that fits into the period. tallies: span before now -> what was judged in it."""
    return [
        judge(window, tallies.get(window.long, Tally()), tallies.get(window.short, Tally()), target, period)
        for window in windows
        if window.long < period
    ]


def told(burn: Burn, target: float, period: timedelta, left: float) -> str:
    """ "budget of 5 % late for 30 d: 31 % used in 6 hours, empty in 14 h at this rate". left: share of the budget left."""
    budget = f"Budget of {_percent(1 - target)} missed for {wording.duration(period)}"
    used = f"{_percent(burn.used)} of it used in {burn.window.name} ({burn.long.missed} of {burn.long.judged} missed)"
    if left <= 0:
        return f"{budget}: {used}; it is used up"
    hours = period * (left / burn.rate) if burn.rate else period
    return f"{budget}: {used}, empty in {wording.duration(hours)} at this rate"


def _percent(share: float) -> str:
    percent = round(share * 100 + 1e-9, 1)
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:g} %"
