"""Addresses of the partner portal."""

from __future__ import annotations

from django.urls import path

from apps.portal import views

app_name = "portal"

urlpatterns = [
    path("", views.status, name="status"),
    path("scorecard/", views.scorecard, name="scorecard"),
    path("items/<int:pk>/reply/", views.reply, name="reply"),
]
