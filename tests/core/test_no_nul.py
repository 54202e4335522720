"""No NUL reaches a page: what is asked and typed comes without it; what a door is sent stays as it came."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.views.decorators.csrf import csrf_exempt

from apps.core.middleware import NoNul

CALLS = RequestFactory()


def heard(request: HttpRequest, view: Any) -> tuple[dict[str, list[str]], dict[str, list[str]], bytes]:
    def call(request: HttpRequest) -> HttpResponse:
        middleware.process_view(request, view, (), {})
        return HttpResponse()

    middleware = NoNul(call)
    middleware(request)
    body = b"" if request.method == "GET" or view is not door else request.body
    return dict(request.GET.lists()), {} if view is door else dict(request.POST.lists()), body


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@csrf_exempt
def door(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def test_a_question_comes_without() -> None:
    assert heard(CALLS.get("/flows/?q=a%00b&q=c&%00x=1"), page)[0] == {"q": ["ab", "c"], "x": ["1"]}


def test_what_holds_none_is_left_alone() -> None:
    request = CALLS.get("/flows/?q=a%20b")
    before = request.GET
    heard(request, page)
    assert request.GET is before


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_comes_without(kind: str) -> None:
    sent = (
        {"data": "reason=w%00hy&n=1", "content_type": kind}
        if "url" in kind
        else {"data": {"reason": "w\x00hy", "n": "1"}}
    )
    assert heard(CALLS.post("/rules/", **sent), page)[1] == {"reason": ["why"], "n": ["1"]}


def test_a_door_hears_every_byte() -> None:
    assert heard(CALLS.get("/in/x/?q=%00"), door)[0] == {"q": ["\x00"]}
    request = CALLS.post("/in/x/", b"a=%00&b=\x00", content_type="application/x-www-form-urlencoded")
    assert heard(request, door)[2] == b"a=%00&b=\x00"
