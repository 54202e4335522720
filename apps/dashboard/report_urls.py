"""The addresses of reports and objectives."""

from __future__ import annotations

from django.urls import path

from apps.dashboard import agreements, objectives, report, report_archive, report_work, scorecards

urlpatterns = [
    path("objectives/", objectives.objectives, name="objectives"),
    path("objectives/add/", agreements.add, {"what": "objective"}, name="objective_add"),
    path("objectives/<slug:slug>/", objectives.objective, name="objective"),
    path("objectives/<slug:slug>/edit/", agreements.edit, {"what": "objective"}, name="objective_edit"),
    path("objectives/<slug:slug>/preview/", agreements.preview, {"what": "objective"}, name="objective_preview"),
    path("objectives/<slug:slug>/try/", agreements.trial, {"what": "objective"}, name="objective_try"),
    path("objectives/<slug:slug>/save/", agreements.save, {"what": "objective"}, name="objective_save"),
    path("objectives/<slug:slug>/go-back/", agreements.go_back, {"what": "objective"}, name="objective_go_back"),
    path("contract-terms/", agreements.terms, name="contract_terms"),
    path("contract-terms/add/", agreements.add, {"what": "term"}, name="term_add"),
    path("contract-terms/<slug:slug>/", agreements.edit, {"what": "term"}, name="term"),
    path("contract-terms/<slug:slug>/preview/", agreements.preview, {"what": "term"}, name="term_preview"),
    path("contract-terms/<slug:slug>/try/", agreements.trial, {"what": "term"}, name="term_try"),
    path("contract-terms/<slug:slug>/save/", agreements.save, {"what": "term"}, name="term_save"),
    path("contract-terms/<slug:slug>/go-back/", agreements.go_back, {"what": "term"}, name="term_go_back"),
    path("scorecards/", scorecards.scorecards, name="scorecards"),
    path("scorecards/<slug:slug>/", scorecards.scorecard, name="scorecard"),
    path("report/", report.report, name="report"),
    path("report/operations/", report.operations, name="report_operations"),
    path("report/behind/", report_work.work_list, name="report_work"),
    path("report/numbers/", report.numbers, name="report_numbers"),
    path("report/csv/", report.report_csv, name="report_csv"),
    path("report/file/<str:kind>/", report_archive.live, name="report_file"),
    path("report/archive/", report_archive.archive, name="report_archive"),
    path("report/archive/freeze/", report_archive.freeze, name="report_freeze"),
    path("report/archive/<int:pk>/", report_archive.archived, name="report_archived"),
    path("report/archive/<int:pk>/file/<str:kind>/", report_archive.download, name="report_download"),
    path("report/schedules/add/", report_archive.schedule_add, name="report_schedule_add"),
    path("report/schedules/<int:pk>/<str:verb>/", report_archive.schedule_change, name="report_schedule_change"),
    path("report/promises/", report.promises, name="promises"),
    path("report/promises/csv/", report.promises_csv, name="promises_csv"),
]
