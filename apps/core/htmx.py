"""One address, two shapes: the whole page for people, the fragment for htmx; 304 when the fragment did not change."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags

# what differs at every rendering without anything having changed: words of relative time, form tokens
_RESTLESS = re.compile(
    r'(<time\b[^>]*\bdata-rel="[^"]*"[^>]*>).*?</time>|name="csrfmiddlewaretoken" value="[^"]*"', re.S
)


def is_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a piece (a boosted link or a step back in history wants the whole page)."""
    headers = request.headers
    return (
        headers.get("HX-Request") == "true"
        and headers.get("HX-Boosted") != "true"
        and headers.get("HX-History-Restore-Request") != "true"
    )


def etag_of(parts: Sequence[Any]) -> str:
    """A weak ETag over any values with a stable ``str``."""
    digest = hashlib.blake2b("\x1f".join(str(part) for part in parts).encode(), digest_size=12)
    return f'W/"{digest.hexdigest()}"'


def fragment_response(
    request: HttpRequest,
    template: str,
    partial: str,
    context: Mapping[str, Any],
    etag_parts: Sequence[Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page (``template``), or for htmx its inside (``partial``) with an ETag and 304 when it is the same.

    Without ``etag_parts`` the ETag covers the rendered fragment, except words of relative time, which a script keeps
    true in the browser. With ``etag_parts`` (all that the fragment shows) nothing is rendered for a 304.
    """
    if not is_fragment(request):
        response = HttpResponse(render_to_string(template, dict(context), request), status=status)
        return _private(response)
    etag = etag_of([partial, *etag_parts]) if etag_parts is not None else ""
    if etag and _same(request, etag):
        return _private(HttpResponse(status=304, headers={"ETag": etag}))
    body = render_to_string(partial, dict(context), request)
    etag = etag or etag_of([_RESTLESS.sub(r"\1", body)])
    if _same(request, etag):
        return _private(HttpResponse(status=304, headers={"ETag": etag}))
    return _private(HttpResponse(body, status=status, headers={"ETag": etag}))


def _same(request: HttpRequest, etag: str) -> bool:
    asked = request.headers.get("If-None-Match", "")
    return request.method in {"GET", "HEAD"} and bool(asked) and etag in parse_etags(asked)


def _private(response: HttpResponse) -> HttpResponse:
    patch_vary_headers(response, ["HX-Request", "Cookie"])
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def with_toast(response: HttpResponse, text: str, level: str = "done") -> HttpResponse:
    """Lets the page say one sentence after a verb; ``level``: ``done``, ``at-risk`` or ``late`` (it failed)."""
    events = json.loads(response.headers.get("HX-Trigger", "{}"))
    events["toast"] = {"text": text, "level": level}
    response.headers["HX-Trigger"] = json.dumps(events)
    return response


def with_event(response: HttpResponse, name: str, detail: Any = None) -> HttpResponse:
    """Adds a browser event that other parts of the page listen to (``incident-changed``)."""
    events = json.loads(response.headers.get("HX-Trigger", "{}"))
    events[name] = detail if detail is not None else True
    response.headers["HX-Trigger"] = json.dumps(events)
    return response
