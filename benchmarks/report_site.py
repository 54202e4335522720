"""The tower as its web process serves it, with the addresses of `benchmarks.report_urls`."""

from __future__ import annotations

from django.conf import settings

from controltower.wsgi import application

settings.ROOT_URLCONF = "benchmarks.report_urls"

__all__ = ["application"]
