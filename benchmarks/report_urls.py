"""The tower's addresses and one more: ``bare/``, an empty answer behind the same middleware, sign-in and policy."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from apps.core.policies import policy
from controltower.urls import handler500
from controltower.urls import urlpatterns as tower


@policy("staff")
def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


urlpatterns = [path("bare/", bare), *tower]

__all__ = ["handler500", "urlpatterns"]
