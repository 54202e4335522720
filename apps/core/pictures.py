"""Small pictures drawn on the server as inline SVG: no script, no style attribute, the colours come from tower.css."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from apps.core import wording

HEIGHT = 20
_PAD = 2.5


def _series(bound: Any, count: int) -> list[float | None]:
    if bound is None:
        return [None] * count
    if isinstance(bound, (list, tuple)):
        return [None if one is None else float(one) for one in bound][:count] + [None] * (count - len(bound))
    return [float(bound)] * count


def _points(values: Sequence[float | None], across: Sequence[str], y: Callable[[float], str]) -> list[str]:
    """Polyline point strings of the unbroken runs of values."""
    runs: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{across[index]},{y(value)}")
    return [" ".join(run if len(run) > 1 else run * 2) for run in runs if run]


def sparkline(values: Sequence[Any], lower: Any, upper: Any, label: str, width: int) -> SafeString:
    """A line of ``values`` (None is a gap) over the band lower..upper; the last point is marked, red when outside."""
    actual = [None if one is None else float(one) for one in values]
    known = [one for one in actual if one is not None]
    if not known:
        return mark_safe('<span class="faint t12">no data</span>')
    low, high = _series(lower, len(actual)), _series(upper, len(actual))
    seen = known + [one for one in low + high if one is not None]
    floor, top = min(0.0, *seen), max(seen)
    reach = (top - floor) or 1.0

    wide, tall = (width - 2 * _PAD) / max(len(actual) - 1, 1), (HEIGHT - 2 * _PAD) / reach
    across = [f"{_PAD + index * wide:.1f}" for index in range(len(actual))]

    def y(value: float) -> str:
        return f"{HEIGHT - _PAD - (value - floor) * tall:.1f}"

    band = [(i, a, b) for i, (a, b) in enumerate(zip(low, high, strict=True)) if a is not None and b is not None]
    if not isinstance(lower, (list, tuple)) and not isinstance(upper, (list, tuple)):
        band = [*band[:1], *band[1:][-1:]]  # of a level band the corners say all
    outline = [f"{across[i]},{y(b)}" for i, _, b in band] + [f"{across[i]},{y(a)}" for i, a, _ in reversed(band)]
    last = max(i for i, one in enumerate(actual) if one is not None)
    end = actual[last]
    assert end is not None
    a, b = low[last], high[last]
    outside = (a is not None and end < a) or (b is not None and end > b)
    words = label or f"last {end:g}, from {min(known):g} to {max(known):g}"
    if a is not None and b is not None:
        words += f"; usual {a:g} to {b:g}"
    return format_html(
        '<svg class="spark" role="img" aria-label="{}" width="{}" height="{}" viewBox="0 0 {} {}">{}{}'
        '<circle class="dot{}" cx="{}" cy="{}" r="2"/></svg>',
        words,
        width,
        HEIGHT,
        width,
        HEIGHT,
        # numbers alone: nothing in them to escape
        mark_safe(f'<polygon class="band" points="{" ".join(outline)}"/>' if len(band) > 1 else ""),
        mark_safe("".join(f'<polyline class="line" points="{run}"/>' for run in _points(actual, across, y))),
        " out" if outside else "",
        across[last],
        y(end),
    )


def sharebar(counts: Mapping[str, int], label: str) -> SafeString:
    """Counts by state as one stacked bar, in the order given."""
    total = sum(count or 0 for count in counts.values())
    words, parts, left = [], [], 0.0
    for name, count in counts.items():
        if not count:
            continue
        found = wording.state_word(name)
        words.append(f"{wording.number(count)} {found.word}")
        part = count * 100 / total
        parts.append((found.slug, f"{left:.2f}%", f"{part:.2f}%"))
        left += part
    return format_html(
        '<svg class="sharebar" role="img" aria-label="{}"><rect class="ground" width="100%" height="100%"/>{}</svg>',
        label or ", ".join(words) or "nothing counted",
        format_html_join("", '<rect class="bar-{}" x="{}" width="{}" height="100%"/>', parts),
    )


def track(
    start: datetime,
    end: datetime,
    planned: datetime | None,
    estimated: datetime | None,
    actual: datetime | None,
    now: datetime | None,
) -> SafeString:
    """A milestone between ``start`` and ``end``: tick planned, hollow dot estimated, full dot actual, red late."""
    reach = (end - start) or timedelta(seconds=1)

    def at(when: datetime) -> str:
        return f"{2 + 96 * min(max((when - start) / reach, 0.0), 1.0):.2f}%"

    late_until = actual or now
    late = bool(planned and late_until and late_until > planned)
    words = [f"planned {planned:%d %b %H:%M}" if planned else "no plan"]
    words += [f"estimated {estimated:%d %b %H:%M}"] if estimated and not actual else []
    words += [f"actual {actual:%d %b %H:%M}" if actual else "not yet"]
    if late and planned and late_until:
        words.append(f"{wording.duration(late_until - planned)} late")
    parts = [mark_safe('<line class="ground" x1="2%" x2="98%" y1="10" y2="10"/>')]
    if late and planned and late_until:
        parts.append(format_html('<line class="over" x1="{}" x2="{}" y1="10" y2="10"/>', at(planned), at(late_until)))
    if now and start <= now <= end:
        parts.append(format_html('<line class="now" x1="{0}" x2="{0}" y1="0" y2="20"/>', at(now)))
    if planned:
        parts.append(format_html('<line class="plan" x1="{0}" x2="{0}" y1="4" y2="16"/>', at(planned)))
    if estimated and not actual:
        parts.append(format_html('<circle class="est" cx="{}" cy="10" r="4"/>', at(estimated)))
    if actual:
        parts.append(
            format_html('<circle class="act {}" cx="{}" cy="10" r="5"/>', "s-late" if late else "s-on-time", at(actual))
        )
    return format_html(
        '<svg class="track" role="img" aria-label="{}">{}</svg>',
        ", ".join(words),
        format_html_join("", "{}", ((part,) for part in parts)),
    )
