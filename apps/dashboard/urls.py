"""The addresses of staff pages. Every view declares its policy (apps.core.policies)."""

from __future__ import annotations

from django.urls import path

from apps.dashboard import board, design, first_admin, flows, incident_link, incidents, pulse, signin
from apps.incidents.links import ACKNOWLEDGE_ROUTE

app_name = "dashboard"

urlpatterns = [
    path("", board.board, name="board"),
    path("wall/", board.wall, name="wall"),
    path("flows/", flows.flows, name="flows"),
    path("flows/save/", flows.save_filter, name="save_filter"),
    path("flows/saved/<int:pk>/drop/", flows.drop_filter, name="drop_filter"),
    path("flows/<int:pk>/", flows.flow, name="flow"),
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
    path("sign-in/", signin.SignIn.as_view(), name="sign_in"),
    path("first-admin/<str:token>/", first_admin.FirstAdmin.as_view(), name="first_admin"),
    path("sign-out/", signin.SignOut.as_view(), name="sign_out"),
    path("pulse/", pulse.pulse, name="pulse"),
    path("design/", design.design, name="design"),
]
