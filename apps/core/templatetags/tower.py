"""The words and small pictures of the pages (docs/design-system.md lists them all). Load with ``{% load tower %}``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django import template
from django.conf import settings
from django.http import QueryDict
from django.template import Context
from django.urls import NoReverseMatch, get_script_prefix, get_urlconf, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from apps.core import navigation, pictures, wording
from apps.core.policies import roles_of

register = template.Library()
ZERO = ' class="zero"'


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """A 16 px line icon of the sprite; with a label it speaks, without it is decoration."""
    if label:
        return format_html('<svg class="i" role="img" aria-label="{}"><use href="#i-{}"/></svg>', label, name)
    return _decoration(name)


@lru_cache(maxsize=256)
def _decoration(name: str) -> SafeString:
    return format_html('<svg class="i" aria-hidden="true"><use href="#i-{}"/></svg>', name)


@register.simple_tag
def shape(name: Any) -> SafeString:
    """Only the shape of a state, for places where its word stands beside it."""
    slug = wording.state_word(name).slug
    return format_html('<svg class="shape s-{0}" aria-hidden="true"><use href="#s-{0}"/></svg>', slug)


@register.simple_tag
def state(name: Any, label: str | None = None, pill: bool = False, href: str = "") -> SafeString:
    """Shape, word and colour of a state. ``label`` replaces the word ("3 h late"), ``pill`` puts it on its ground."""
    found = wording.state_word(name)
    tag = "a" if href else "span"
    return format_html(
        '<{tag}{href} class="state s-{slug}{pill}"><svg class="shape" aria-hidden="true"><use href="#s-{slug}"/></svg>'
        "<span>{word}</span></{tag}>",
        tag=tag,
        href=format_html(' href="{}"', href) if href else "",
        slug=found.slug,
        pill=" state-pill" if pill else "",
        word=label if label else found.word,
    )


@register.simple_tag
def state_count(name: Any, count: int | None, href: str = "") -> SafeString:
    """A number with its state's shape, for board cells; the word is there for those who hear it. Zero is quiet."""
    found = wording.state_word(name)
    tag = "a" if href else "span"
    return format_html(
        '<{tag}{href} class="state state-count s-{slug}{zero}"><span data-n>{count}</span>'
        '<svg class="shape" aria-hidden="true"><use href="#s-{slug}"/></svg>'
        '<span class="visually-hidden">{word}</span></{tag}>',
        tag=tag,
        href=format_html(' href="{}"', href) if href else "",
        slug=found.slug,
        zero="" if count else " is-zero",
        count=wording.number(count),
        word=found.word,
    )


@register.simple_tag(takes_context=True)
def page_zone(context: Context) -> str:
    """The one zone of this page: the view's ``page_zone``, else the reader's own, else the tower's."""
    named = context.get("page_zone")
    user = getattr(context.get("request"), "user", None)
    return str(named or getattr(user, "time_zone", "") or settings.TIME_ZONE)


@register.simple_tag(takes_context=True)
def reltime(context: Context, when: datetime | None, now: datetime | None = None, past: str = "ago") -> SafeString:
    """``in 42 min`` or ``3 h late``; the absolute time with its zone on hover and for screen readers.

    ``now`` comes from the view (the context's when left out); a script keeps the words true while the page is open.
    """
    base = now or context.get("now")
    if when is None or base is None:
        return mark_safe('<span class="faint">–</span>')
    exact = wording.absolute(when, wording.zone(page_zone(context)))
    return format_html(
        '<time datetime="{}" title="{}" data-rel="{}">{}<span class="visually-hidden">, {}</span></time>',
        when.isoformat(),
        exact,
        past,
        wording.relative(when, base, past),
        exact,
    )


@register.simple_tag(takes_context=True)
def localtime_in(context: Context, when: datetime | None, zone: str = "", full: bool = False) -> SafeString:
    """``10:15`` (today), ``23 Nov 10:15``, or in full ``Mon 23 Nov 2026, 10:15 CET``, in a zone (the page's)."""
    if when is None:
        return mark_safe('<span class="faint">–</span>')
    in_zone = wording.zone(zone or page_zone(context))
    exact = wording.absolute(when, in_zone)
    shown = exact if full else wording.short(when, in_zone, context.get("now"))
    return format_html('<time datetime="{}" title="{}">{}</time>', when.isoformat(), exact, shown)


@register.simple_tag
def number(value: float | Decimal | None, digits: int = 0) -> SafeString:
    """A number that flashes once when polling changes it; zero is faint, nothing known is a dash."""
    # digits, commas and a dash need no escaping, and a report has hundreds of them
    return mark_safe(f"<span{'' if value else ZERO} data-n>{wording.number(value, digits)}</span>")


@register.simple_tag
def money(value: float | Decimal | None, currency: str = "") -> SafeString:
    """``41,200 EUR``."""
    quiet = mark_safe(' class="zero"') if not value else ""
    return format_html("<span{} data-n>{}</span>", quiet, wording.money(value, currency))


@register.filter
def share(value: float | Decimal | None, digits: int = 1) -> str:
    """``{{ 0.974|share }}`` gives ``97.4 %``."""
    return wording.share(value, digits)


@register.simple_tag
def duration(span: timedelta | float | None) -> str:
    """``1 h 25 min`` of a timedelta or of seconds."""
    if span is None:
        return "–"
    return wording.duration(span if isinstance(span, timedelta) else timedelta(seconds=float(span)))


@register.simple_tag
def sparkline(values: Any, lower: Any = None, upper: Any = None, label: str = "", width: int = 96) -> SafeString:
    """A line over the band of the expected. ``values`` may hold None (a gap); bands are a number or one per value."""
    return pictures.sparkline(list(values or ()), lower, upper, label, width)


@register.simple_tag
def sharebar(counts: Mapping[str, int] | None = None, label: str = "", **named: int) -> SafeString:
    """A stacked bar of states: ``{% sharebar on_time=210 at_risk=3 late=2 %}``."""
    return pictures.sharebar({**(counts or {}), **named}, label)


@register.simple_tag(takes_context=True)
def track(
    context: Context,
    start: datetime,
    end: datetime,
    planned: datetime | None = None,
    estimated: datetime | None = None,
    actual: datetime | None = None,
) -> SafeString:
    """One milestone's bar: planned a tick, estimated hollow, actual full, the late part red (up to now)."""
    return pictures.track(start, end, planned, estimated, actual, context.get("now"))


@register.simple_tag(takes_context=True)
def qs(context: Context, **changes: Any) -> str:
    """This page's query string with some keys replaced (None removes); paging starts anew unless told."""
    request = context.get("request")
    query = request.GET.copy() if request is not None else QueryDict(mutable=True)
    if not {"page", "cursor"} & set(changes):
        query.pop("page", None)
        query.pop("cursor", None)
    for key, value in changes.items():
        query.pop(key, None)
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None and one != "":
                query.appendlist(key, str(one))
    return "?" + query.urlencode() if query else "?"


@register.simple_tag
def poll(url: str, seconds: int = 15) -> SafeString:
    """Attributes of an element whose inside is refreshed from ``url`` while the tab is visible (static/js/poll.js)."""
    return format_html('hx-get="{}" hx-trigger="poll" hx-swap="morph" data-poll="{}"', url, seconds)


@register.simple_tag(takes_context=True)
def nav(context: Context) -> list[dict[str, Any]]:
    """The groups of the navigation with the places in them that exist and that this reader may open (apps.core.navigation).

    A page shows them twice (top bar and phone); they are put together once a request.
    """
    request = context.get("request")
    if (known := getattr(request, "tower_nav", None)) is not None:
        return list(known)
    held = roles_of(getattr(request, "user", None))
    here = getattr(request, "path", "")
    groups = []
    for group in navigation.GROUPS:
        places = []
        for one in group.places:
            href = place(one.url_name)
            if href and (not one.roles or one.roles & held):
                places.append(
                    {"label": one.label, "icon": one.icon, "href": href, "phone": one.phone, "current": False}
                )
        if places:
            groups.append({"label": group.label, "places": places, "current": False})
    _mark_current(groups, here)
    if request is not None:
        request.tower_nav = groups
    return groups


def _mark_current(groups: list[dict[str, Any]], here: str) -> None:
    """One place is the current one: the longest address the page's own begins with."""
    found = [
        (len(one["href"]), one, group)
        for group in groups
        for one in group["places"]
        if here == one["href"] or (one["href"] != "/" and here.startswith(one["href"]))
    ]
    if found:
        _, one, group = max(found, key=lambda each: each[0])
        one["current"] = group["current"] = True


@register.simple_tag
def place(url_name: str, *args: Any) -> str:
    """The address of a page, or nothing where that page is not installed."""
    if args:
        return _address(url_name, args)
    return _known_address(url_name, get_urlconf() or settings.ROOT_URLCONF, get_script_prefix())


@lru_cache(maxsize=512)
def _known_address(url_name: str, urlconf: Any, prefix: str) -> str:
    """Addresses without arguments stay as they are while the process lives."""
    return _address(url_name, ())


def _address(url_name: str, args: tuple[Any, ...]) -> str:
    try:
        return reverse(url_name, args=args)
    except NoReverseMatch:
        return ""


@register.filter
def has_role(user: Any, names: str) -> bool:
    """``{% if user|has_role:"admin,manager" %}``; an administrator counts as any staff."""
    held = roles_of(user)
    return bool(held & {one.strip() for one in names.split(",")}) or "admin" in held


@register.filter
def initials(user: Any) -> str:
    """Two letters for the user menu."""
    words = str(getattr(user, "display_name", "") or user).replace(".", " ").replace("_", " ").split()
    return "".join(word[0] for word in words[:2]).upper() or "?"


@register.filter
def state_class(name: Any) -> str:
    """``s-late``: the class that gives an element its state's colours (``--c`` and ``--c-soft``)."""
    return f"s-{wording.state_word(name).slug}"


@register.simple_tag
def figure(value: float | Decimal | None, digits: int | str = 0) -> str:
    """A number as bare text, for places that mark it up themselves."""
    return wording.number(value or 0, int(digits or 0))
