"""Words and small pictures of the pages, and the contrast of their colours."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.conf import settings
from django.template import Context, Template
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from apps.core import pictures, wording

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
CSS = (settings.BASE_DIR / "static/css/tower.css").read_text()
TOKENS = (settings.BASE_DIR / "static/css/tokens.css").read_text()
SPRITE = (settings.BASE_DIR / "templates/partials/_sprite.html").read_text()


def render(source: str, **context: Any) -> str:
    request = RequestFactory().get("/flows/", context.pop("query", {}))
    return Template("{% load tower %}" + source).render(Context({"request": request, "now": NOW, **context}))


def words(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


# --- words ---


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (42 * 60, "42 min"),
        (3600, "1 h"),
        (3600 + 25 * 60, "1 h 25 min"),
        (3 * 3600 + 59 * 60, "3 h"),
        (47 * 3600, "47 h"),
        (48 * 3600, "2 d"),
        (-90, "1 min"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert wording.duration(timedelta(seconds=seconds)) == said


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=900)))
def test_a_duration_never_says_more_than_was(span: timedelta) -> None:
    units = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    said = sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+) (min|s|h|d)", wording.duration(span)))
    assert said <= span.total_seconds() < said + max(60, said * 0.5) + 3600


def test_relative_words() -> None:
    assert wording.relative(NOW + timedelta(minutes=42), NOW) == "in 42 min"
    assert wording.relative(NOW - timedelta(hours=3), NOW, "late") == "3 h late"
    assert wording.relative(NOW, NOW) == "now"


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Europe/Berlin", "Mon 23 Nov 2026, 11:00 CET"),
        ("UTC", "Mon 23 Nov 2026, 10:00 UTC"),
        ("Asia/Kathmandu", "Mon 23 Nov 2026, 15:45 UTC+05:45"),
        ("No/Where", "Mon 23 Nov 2026, 10:00 UTC"),
        ("../etc/passwd", "Mon 23 Nov 2026, 10:00 UTC"),
        ("", "Mon 23 Nov 2026, 10:00 UTC"),
    ],
)
def test_absolute_times_name_their_zone(zone: str, said: str) -> None:
    assert wording.absolute(NOW, wording.zone(zone)) == said


def test_shares_are_never_rounded_to_all_or_nothing() -> None:
    assert wording.share(0.99999) == "99.9 %"
    assert wording.share(0.00001) == "0.1 %"
    assert wording.share(1) == "100.0 %"
    assert wording.share(0) == "0.0 %"
    assert wording.share(None) == "–"


def test_money_and_numbers() -> None:
    assert wording.money(41200, "EUR") == "41,200 EUR"
    assert wording.money(12.5, "EUR") == "12.50 EUR"
    assert words(render("{% number n %}", n=1204)) == "1,204"
    assert 'class="zero"' in render("{% number n %}", n=0)
    assert words(render("{% number n %}", n=None)) == "–"


# --- state: a shape, a word and a colour ---


@pytest.mark.parametrize("found", wording.STATES, ids=lambda one: one.slug)
def test_every_state_has_its_shape_word_and_colour(found: wording.StateWord) -> None:
    html = render("{% state name %}", name=found.slug)
    assert f'href="#s-{found.slug}"' in html
    assert words(html) == found.word
    assert f'<symbol id="s-{found.slug}"' in SPRITE
    assert f".s-{found.slug}" in CSS


def test_no_two_states_share_a_shape() -> None:
    drawn = dict(re.findall(r'<symbol id="s-([\w-]+)"[^>]*>(.*?)</symbol>', SPRITE))
    assert set(drawn) == {one.slug for one in wording.STATES}
    assert len(set(drawn.values())) == len(drawn)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("BREACHED", "late"),
        ("MET_LATE", "met-late"),
        ("PENDING", "on-time"),
        ("SUSPENDED", "unknown"),
        ("gibberish", "unknown"),
    ],
)
def test_states_by_the_models_names(name: str, slug: str) -> None:
    assert wording.state_word(name).slug == slug


def test_a_state_escapes_what_it_is_given() -> None:
    html = render("{% state 'late' label=label href=href %}", label="<b>x</b>", href='"><script>')
    assert "<b>x" not in html
    assert "<script" not in html


# --- times in templates ---


def test_relative_time_speaks_the_absolute_one_in_the_pages_zone() -> None:
    html = render("{% reltime when now 'late' %}", when=NOW - timedelta(hours=3), page_zone="Europe/Berlin")
    assert words(html) == "3 h late, Mon 23 Nov 2026, 08:00 CET"
    assert 'datetime="2026-11-23T07:00:00+00:00"' in html
    assert 'title="Mon 23 Nov 2026, 08:00 CET"' in html
    assert words(render("{% reltime when %}", when=None)) == "–"


def test_local_times_shorten() -> None:
    assert words(render("{% localtime_in when 'Europe/Berlin' %}", when=NOW)) == "11:00"
    assert words(render("{% localtime_in when %}", when=NOW - timedelta(days=1))) == "22 Nov 10:00"
    assert words(render("{% localtime_in when %}", when=NOW - timedelta(days=400))) == "19 Oct 2025 10:00"


def test_query_strings_change_and_paging_starts_anew() -> None:
    query = {"state": "late", "page": "3", "partner": ["a", "b"]}
    assert render("{% qs state='open' %}", query=query) == "?partner=a&amp;partner=b&amp;state=open"
    assert render("{% qs page=4 %}", query={"page": "3", "q": "x"}) == "?q=x&amp;page=4"
    assert render("{% qs q=None %}", query={"q": "x"}) == "?"


# --- pictures ---


class _Strict(HTMLParser):
    """Collects what the content policy would refuse, and unbalanced elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.depth, self.refused = 0, []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.depth += 1
        self.refused += [name for name, _ in attrs if name == "style" or name.startswith("on")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.refused += [name for name, _ in attrs if name == "style" or name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1


finite = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)
maybe = st.one_of(st.none(), finite)


@given(st.lists(maybe, max_size=40), st.one_of(maybe, st.lists(maybe, max_size=45)), maybe)
def test_sparklines_stay_in_their_frame(values: list[float | None], lower: Any, upper: float | None) -> None:
    html = str(pictures.sparkline(values, lower, upper, "", 96))
    parsed = _Strict(html)
    assert parsed.depth == 0
    assert not parsed.refused
    for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", " ".join(re.findall(r'points="([^"]*)"', html))):
        assert 0 <= float(x) <= 96
        assert 0 <= float(y) <= pictures.HEIGHT


def test_a_sparkline_says_what_it_shows() -> None:
    html = render("{% sparkline values 16 44 %}", values=[30, None, 2])
    assert 'aria-label="last 2, from 2 to 30; usual 16 to 44"' in html
    assert "dot out" in html
    assert words(render("{% sparkline values %}", values=[])) == "no data"


def test_bars_and_tracks_need_no_style() -> None:
    bar = render("{% sharebar on_time=210 late=14 unknown=0 %}")
    assert 'aria-label="210 on time, 14 late"' in bar
    track = render(
        "{% track start end planned=planned %}",
        start=NOW - timedelta(hours=5),
        end=NOW + timedelta(hours=5),
        planned=NOW - timedelta(hours=3),
    )
    assert "3 h late" in track
    assert 'class="over"' in track
    assert not _Strict(bar + track).refused


# --- contrast ---


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    """WCAG 2.1 contrast ratio of two #rrggbb colours, 1 to 21."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _tokens(theme: str) -> dict[str, str]:
    start = TOKENS.index(f'[data-bs-theme="{theme}"] {{')
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", TOKENS[start : TOKENS.index("}", start)]))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_reads_on_every_ground(theme: str) -> None:
    token = _tokens(theme)
    grounds = ("page", "surface", "sunken", "raised")
    states = [one.slug for one in wording.STATES if one.slug != "open"]
    pairs = [(text, ground) for text in ("ink", "ink-2", "ink-3", "accent", *states) for ground in grounds]
    pairs += [(state, f"{state}-soft") for state in states] + [("ink", f"{state}-soft") for state in states]
    pairs += [("on-accent", "accent"), ("on-accent", "accent-hover"), ("accent", "accent-soft"), ("ink", "flash")]
    weak = {
        f"{a} on {b}": round(contrast(token[a], token[b]), 2) for a, b in pairs if contrast(token[a], token[b]) < 4.5
    }
    assert not weak
    frames = {ground: contrast(token["line-strong"], token[ground]) for ground in ("surface", "page")}
    assert min(frames.values()) >= 3, frames


def test_the_contrast_formula_itself() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_css_uses_tokens_only() -> None:
    """No colour is spelled out beside tokens.css (print sets its own tokens)."""
    body = CSS[: CSS.index("@media print")]
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgb\(", body)


def test_templates_hold_no_inline_style_or_script() -> None:
    bad = re.compile(r"\sstyle\s*=|<style|\son[a-z]+\s*=\s*[\"']|<script(?![^>]*\bsrc=)[^>]*>|hx-on|javascript:", re.I)
    found = [
        f"{path.relative_to(settings.BASE_DIR)}: {match.group()}"
        for path in (settings.BASE_DIR / "templates").rglob("*.html")
        for match in bad.finditer(path.read_text())
        if "notifications" not in path.parts  # mails: their readers know inline styles only
    ]
    assert not found
