"""The desk as an installable app: its manifest, its service worker, and the page it shows without a connection."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.views.decorators.cache import cache_control

from apps.core.policies import policy


@policy("public")
@cache_control(max_age=3600, public=True)
def manifest(request: HttpRequest) -> HttpResponse:
    """What a phone needs to install it. Says nothing about what the tower knows."""
    icons = [
        {"src": static(f"icons/tower-{size}.png"), "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}
        for size in (192, 512)
        for purpose in ("any", "maskable")
    ]
    answer = {
        "id": "/incidents/",
        "name": "Control tower",
        "short_name": "Tower",
        "description": "The incident desk",
        "start_url": "/incidents/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#0e1217",
        "theme_color": "#151a21",
        "icons": icons,
        "shortcuts": [{"name": "What is mine", "url": "/incidents/?tab=mine"}, {"name": "Board", "url": "/"}],
    }
    return JsonResponse(answer, content_type="application/manifest+json")


@cache
def _worker() -> bytes:
    found = finders.find("js/worker.js")
    if not isinstance(found, str):
        raise FileNotFoundError("static/js/worker.js is not installed")
    return Path(found).read_bytes()


@policy("public")
@cache_control(no_cache=True)
def worker(request: HttpRequest) -> HttpResponse:
    """At the root, so that its scope is the whole tower."""
    return HttpResponse(
        _worker(), content_type="text/javascript; charset=utf-8", headers={"Service-Worker-Allowed": "/"}
    )


@policy("public")
def offline(request: HttpRequest) -> HttpResponse:
    """Kept by the service worker; the same for everybody."""
    return render(request, "dashboard/offline.html")
