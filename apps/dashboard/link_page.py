"""What the pages behind signed links share: no search engine may list them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def unlisted(request: HttpRequest, template: str, context: dict[str, object], status: int) -> HttpResponse:
    """The page, with the header that keeps it out of every index."""
    response = render(request, template, context, status=status)
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response
