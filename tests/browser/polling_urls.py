"""A page of the tests' own that polls: what it shows is set by the test."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import RequestContext, Template
from django.urls import path

from apps.core.htmx import etag_of, with_toast
from apps.core.policies import policy
from controltower.urls import handler500, urlpatterns

SHOWN: dict[str, Any] = {}
ASKED: list[tuple[int, str]] = []

INSIDE = """{% load tower %}<table class="dense"><tbody>{% for row in rows %}<tr data-row id="row-{{ row.0 }}">
<td><a href="/design/?row={{ row.0 }}">{{ row.0 }}</a></td><td class="count">{% number row.1 %}</td></tr>{% endfor %}</tbody></table>
<details id="more"><summary>More</summary><p>{{ note }}</p></details><input id="typed" aria-label="typed">
<button id="act" hx-post="/verb/" hx-swap="none" data-hotkey="a">Act</button>
<button id="ask" hx-post="/verb/" hx-swap="none" data-confirm="Really do it?" data-confirm-verb="Do it">Ask first</button>
<button id="break" hx-post="/broken/">Break</button>"""
PAGE = (
    '{% extends "base.html" %}{% load tower %}{% block title %}Polling{% endblock %}{% block heading %}Polling{% endblock %}'
    '{% block content %}<section id="part" {% poll "/polled/" 1 %}>' + INSIDE + "</section>{% endblock %}"
)


@policy("staff")
def polled(request: HttpRequest) -> HttpResponse:
    if SHOWN.get("away"):
        return HttpResponse(status=503)
    context = RequestContext(request, SHOWN)
    if request.headers.get("HX-Request") != "true":
        return HttpResponse(Template(PAGE).render(context))
    body = Template(INSIDE).render(context)
    etag = etag_of([body])
    status = 304 if request.headers.get("If-None-Match") == etag else 200
    ASKED.append((status, request.headers.get("HX-Current-URL", "")))
    return HttpResponse("" if status == 304 else body, status=status, headers={"ETag": etag})


@policy("staff")
def verb(request: HttpRequest) -> HttpResponse:
    SHOWN["verbs"] = SHOWN.get("verbs", 0) + 1
    return with_toast(HttpResponse(), "Done so.")


@policy("staff")
def broken(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=500)


urlpatterns = [path("polled/", polled), path("verb/", verb), path("broken/", broken), *urlpatterns]

__all__ = ["handler500", "urlpatterns"]
