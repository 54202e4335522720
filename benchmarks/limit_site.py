"""The limits the webhook door is measured against: Django views on the same server that do less than a door must.

bare/: check an HMAC, parse JSON, answer 202. insert/: the same, and one INSERT with its commit.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from urllib.parse import parse_qs, urlsplit

import orjson
from django.conf import settings

SECRET = b"bench"

if not settings.configured:
    url = urlsplit(os.environ["DATABASE_URL"])
    query = parse_qs(url.query)
    settings.configure(
        SECRET_KEY="bench",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": url.path[1:],
                "USER": url.username,
                "HOST": query["host"][0],
                "PORT": query["port"][0],
                "OPTIONS": {"pool": {"min_size": 4, "max_size": 16}},
            }
        },
    )

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


def _checked(request: HttpRequest) -> bytes | None:
    body = request.body
    expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-Signature", "")):
        return None
    orjson.loads(body)
    return body


def _answer(status: int) -> HttpResponse:
    # with a length: without one the server would answer in chunks
    return HttpResponse(b"{}", status=status, content_type="application/json", headers={"Content-Length": "2"})


def bare(request: HttpRequest) -> HttpResponse:
    return _answer(202 if _checked(request) is not None else 401)


def insert(request: HttpRequest) -> HttpResponse:
    body = _checked(request)
    if body is None:
        return _answer(401)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_insert (body) VALUES (%s)", [body])
    return _answer(202)


urlpatterns = [path("bare/", bare), path("insert/", insert)]
application = get_wsgi_application()
