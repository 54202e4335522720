"""The addresses of staff pages. Every view declares its policy (apps.core.policies)."""

from __future__ import annotations

from django.urls import path

from apps.dashboard import (
    board,
    deadletters,
    design,
    first_admin,
    flows,
    incident_link,
    incidents,
    integrations,
    pulse,
    report,
    signin,
)
from apps.incidents.links import ACKNOWLEDGE_ROUTE

app_name = "dashboard"

urlpatterns = [
    path("", board.board, name="board"),
    path("wall/", board.wall, name="wall"),
    path("flows/", flows.flows, name="flows"),
    path("flows/save/", flows.save_filter, name="save_filter"),
    path("flows/saved/<int:pk>/drop/", flows.drop_filter, name="drop_filter"),
    path("flows/<int:pk>/", flows.flow, name="flow"),
    path("flows/<int:pk>/expectations/<int:expectation>/waive/", flows.waive, name="waive"),
    path("search/", flows.search, name="search"),
    path("messages/<int:pk>/", flows.payload, name="payload"),
    path("receipts/<int:pk>/download/", flows.download, name="download"),
    path("incidents/", incidents.inbox, name="incidents"),
    path(ACKNOWLEDGE_ROUTE, incident_link.acknowledge_link, name="acknowledge_link"),
    path("incidents/<int:pk>/", incidents.incident, name="incident"),
    path("incidents/<int:pk>/acknowledge/", incidents.acknowledge, name="incident_acknowledge"),
    path("incidents/<int:pk>/give-back/", incidents.unacknowledge, name="incident_unacknowledge"),
    path("incidents/<int:pk>/assign/", incidents.assign, name="incident_assign"),
    path("incidents/<int:pk>/comment/", incidents.comment, name="incident_comment"),
    path("incidents/<int:pk>/snooze/", incidents.snooze, name="incident_snooze"),
    path("incidents/<int:pk>/resolve/", incidents.resolve, name="incident_resolve"),
    path("incidents/<int:pk>/reopen/", incidents.reopen, name="incident_reopen"),
    path("report/", report.report, name="report"),
    path("report/csv/", report.report_csv, name="report_csv"),
    path("report/promises/", report.promises, name="promises"),
    path("report/promises/csv/", report.promises_csv, name="promises_csv"),
    path("integrations/", integrations.integrations, name="integrations"),
    path("integrations/add/", integrations.choose_kind, name="integration_kinds"),
    path("integrations/add/<slug:kind>/", integrations.add, name="integration_add"),
    path("integrations/<slug:slug>/", integrations.integration, name="integration"),
    path("integrations/<slug:slug>/edit/", integrations.edit, name="integration_edit"),
    path("integrations/<slug:slug>/switch/", integrations.switch, name="integration_switch"),
    path("integrations/<slug:slug>/credentials/", integrations.issue, name="credential_issue"),
    path("integrations/<slug:slug>/credentials/<int:pk>/revoke/", integrations.revoke, name="credential_revoke"),
    path("dead-letters/", deadletters.dead_letters, name="dead_letters"),
    path("dead-letters/rehearse/", deadletters.rehearse, name="dead_letters_rehearse"),
    path("dead-letters/replay/", deadletters.replay, name="dead_letters_replay"),
    path("dead-letters/dismiss/", deadletters.dismiss, name="dead_letters_dismiss"),
    path("dead-letters/restore/", deadletters.restore, name="dead_letters_restore"),
    path("dead-letters/orphans/", deadletters.orphans, name="orphans"),
    path("dead-letters/conflicts/", deadletters.conflicts, name="conflicts"),
    path("receipts/<int:pk>/", deadletters.receipt, name="receipt"),
    path("sign-in/", signin.SignIn.as_view(), name="sign_in"),
    path("first-admin/<str:token>/", first_admin.FirstAdmin.as_view(), name="first_admin"),
    path("sign-out/", signin.SignOut.as_view(), name="sign_out"),
    path("pulse/", pulse.pulse, name="pulse"),
    path("design/", design.design, name="design"),
]
