"""Every address of the tower. Each one declares who may use it; tests/architecture walks this list."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from apps.core import health, metrics
from apps.core.policies import guarded, roles

urlpatterns = [
    path("healthz", health.live, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", metrics.export, name="metrics"),
    path("admin/", guarded(admin.site.urls, roles("admin"))),
    path("in/", include("apps.collectors.urls")),
    path("api/v1/", include("apps.api.urls")),
    path("status/", include("apps.portal.urls")),
    path("", include("apps.dashboard.urls")),
]

handler500 = "apps.core.middleware.server_error"
