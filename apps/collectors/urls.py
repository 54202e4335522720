"""The doors. `controltower.wsgi` answers the same paths in front of Django; these serve every other way in."""

from __future__ import annotations

from django.urls import path

from apps.collectors import doors

app_name = "doors"

urlpatterns = [
    path("<str:endpoint_id>/", doors.door, name="single"),
    path("<str:endpoint_id>/batch", doors.door, {"rest": "batch"}, name="batch"),
    path("<str:endpoint_id>/<path:rest>", doors.door, name="below"),
    path("<str:endpoint_id>", doors.door),
]
