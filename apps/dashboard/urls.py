"""The addresses of staff pages. Every view declares its policy (apps.core.policies)."""

from __future__ import annotations

from django.urls import path

from apps.dashboard import design, first_admin, pulse, signin

app_name = "dashboard"

urlpatterns = [
    path("sign-in/", signin.SignIn.as_view(), name="sign_in"),
    path("first-admin/<str:token>/", first_admin.FirstAdmin.as_view(), name="first_admin"),
    path("sign-out/", signin.SignOut.as_view(), name="sign_out"),
    path("pulse/", pulse.pulse, name="pulse"),
    path("design/", design.design, name="design"),
]
