"""The addresses of reports and objectives."""

from __future__ import annotations

from django.urls import path

from apps.dashboard import objectives, report, scorecards

urlpatterns = [
    path("objectives/", objectives.objectives, name="objectives"),
    path("objectives/<slug:slug>/", objectives.objective, name="objective"),
    path("scorecards/", scorecards.scorecards, name="scorecards"),
    path("scorecards/<slug:slug>/", scorecards.scorecard, name="scorecard"),
    path("report/", report.report, name="report"),
    path("report/operations/", report.operations, name="report_operations"),
    path("report/csv/", report.report_csv, name="report_csv"),
    path("report/promises/", report.promises, name="promises"),
    path("report/promises/csv/", report.promises_csv, name="promises_csv"),
]
