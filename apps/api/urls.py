"""Addresses of the API: /api/v1/..."""

from __future__ import annotations

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from apps.api import (
    alerts,
    anomalies,
    calendars,
    causes,
    changes,
    channels,
    flows,
    incidents,
    integrations,
    oncall,
    pages,
    reports,
    rules,
    schedules,
    terms,
    waivers,
)

app_name = "api"

router = SimpleRouter()
router.register("flows", flows.Flows, "flow")
router.register("milestones", flows.Milestones, "milestone")
router.register("expectations", flows.Expectations, "expectation")
router.register("incidents", incidents.Incidents, "incident")
router.register("changes", changes.Changes, "change")
router.register("integrations", integrations.Integrations, "integration")
router.register("channels", channels.Channels, "channel")
router.register("deliveries", channels.Deliveries, "delivery")
router.register("rules", rules.Rules, "rule")
router.register("calendars", calendars.Calendars, "calendar")
router.register("waivers", waivers.Waivers, "waiver")
router.register("reports/schedules", schedules.Schedules, "schedule")
router.register("anomalies", anomalies.Anomalies, "anomaly")
router.register("causes", causes.Causes, "cause")
router.register("reconciliation/disagreements", causes.Disagreements, "disagreement")
router.register("risks", causes.Risks, "risk")

urlpatterns = [
    path("anomalies/health/", anomalies.Health.as_view(), name="anomaly-health"),
    path("anomalies/switches/", anomalies.Switches.as_view(), name="anomaly-switches"),
    path("reconciliation/rules/", causes.PairRules.as_view(), name="reconciliation-rules"),
    path("risks/calibration/", causes.Calibration.as_view(), name="risk-calibration"),
    *router.urls,
    path("integrations/<slug:slug>/receipts/", integrations.Deliveries.as_view(), name="receipts"),
    path("integrations/<slug:slug>/receipts/<int:pk>/", integrations.Delivery.as_view(), name="receipt"),
    path("alerts/<slug:source>/", alerts.Alerts.as_view(), name="alerts"),
    path("objectives/", reports.Objectives.as_view(), name="objectives"),
    path("objectives/<slug:slug>/", reports.OneObjective.as_view(), name="objective"),
    path("objectives/<slug:slug>/burn/", reports.ObjectiveBurn.as_view(), name="objective-burn"),
    path("objectives/<slug:slug>/settings/", terms.ObjectiveSettings.as_view(), name="objective-settings"),
    path("contract-terms/", terms.Terms.as_view(), name="contract-terms"),
    path("contract-terms/<slug:slug>/", terms.Term.as_view(), name="contract-term"),
    path("reports/months/<str:month>/penalties/", terms.Penalties.as_view(), name="report-penalties"),
    path("reports/months/<str:month>/", reports.Month.as_view(), name="report-month"),
    path("reports/months/<str:month>/scorecards/<slug:slug>/", reports.Scorecards.as_view(), name="scorecard"),
    path("reports/archive/", reports.Archives.as_view(), name="archives"),
    path("reports/archive/<int:pk>/", reports.OneArchive.as_view(), name="archive"),
    path("reports/archive/<int:pk>/file/<str:kind>/", reports.File.as_view(), name="archive-file"),
    path("incidents/<int:pk>/next/", oncall.Upcoming.as_view(), name="incident-next"),
    path("on-call/", oncall.Duties.as_view(), name="on-call"),
    path("on-call/shifts/", oncall.Shifts.as_view(), name="on-call-shifts"),
    path("maintenance/", oncall.Maintenance.as_view(), name="maintenance"),
    path("maintenance/cancel/", oncall.CancelMaintenance.as_view(), name="maintenance-cancel"),
    path("me/", pages.Me.as_view(), name="me"),
    path("schema/", pages.Schema.as_view(), name="schema"),
    path("docs/", pages.Docs.as_view(), name="docs"),
    re_path(r"^.*/$", pages.Missing.as_view(), name="missing"),
]
