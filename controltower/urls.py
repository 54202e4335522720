"""Every address of the tower. Each one declares who may use it; tests/architecture walks this list."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("in/", include("apps.collectors.urls")),
]
