"""Paths of requests as routes: queries cut off, and what looks like an id or a secret replaced by ``{id}``. Pure.

A gateway sees as many paths as there are orders; people and detectors think in routes. When in doubt a segment counts as
an id: a route too coarse is still a route, an order number in a statistic is a leak.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

ID = "{id}"
#: segments of a route that are kept; the rest becomes one
MOST_SEGMENTS = 8
#: words (orders, oauth2, get_status), versions (v1, v2.1, 1.0, 2024-01) and file names of words
_WORD = re.compile(r"[A-Za-z]+(?:[-_.~:][A-Za-z]+)*\d?")
_VERSION = re.compile(r"v?\d{1,2}(?:\.\d{1,2}){0,2}|v\d{1,2}[a-z]*\d?|20\d\d-\d\d(?:-\d\d)?", re.IGNORECASE)
_FILE = re.compile(r"(.+)(\.(?:json|xml|csv|html?|js|css|png|jpe?g|gif|svg|ico|pdf|txt|zip|gz))", re.IGNORECASE)
_LONGEST_WORD = 32


def path_of(target: str) -> str:
    """The path of a request target (RFC 9112, section 3.2): no scheme, host, query or fragment."""
    target = re.split(r"[?#;]", target, maxsplit=1)[0]
    if "://" in target[:12]:
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    return target or "/"


def route_of(path: str, patterns: Sequence[str] = ()) -> str:
    """The route of a path: the first pattern (``/orders/{order}/lines``) it fits, else the path with its ids replaced."""
    for pattern in patterns:
        if _fits(path, pattern):
            return pattern
    return _route(path[:2_000])


@lru_cache(maxsize=8192)
def _route(path: str) -> str:
    segments = [one for one in path.split("/") if one]
    kept = [_segment(one) for one in segments[:MOST_SEGMENTS]]
    if len(segments) > MOST_SEGMENTS:
        kept.append("…")
    return "/" + "/".join(kept)


def _segment(written: str) -> str:
    text = unquote(written)
    if match := _FILE.fullmatch(text):
        return _segment(match[1]) + match[2].lower() if len(match[1]) <= _LONGEST_WORD else ID + match[2].lower()
    if len(text) > _LONGEST_WORD:
        return ID
    if _VERSION.fullmatch(text):
        # a bare number is a version only when it is written like one
        return text if not text.isdecimal() else ID
    return text if _WORD.fullmatch(text) else ID


def _fits(path: str, pattern: str) -> bool:
    wanted, given = pattern.strip("/").split("/"), path.strip("/").split("/")
    return len(wanted) == len(given) and all(
        want.startswith("{") or want == have for want, have in zip(wanted, given, strict=True)
    )
