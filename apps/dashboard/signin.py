"""Signing in and out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url

from apps.core.policies import policy, roles_of


class SignInForm(AuthenticationForm):
    """Account and password; says plainly what was wrong without telling which of the two."""

    error_messages = {
        "invalid_login": "The account and the password do not match. Check both; capital letters count.",
        "inactive": "This account is switched off. Ask an administrator.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in (("username", "Account"), ("password", "Password")):
            self.fields[name].label = label
            self.fields[name].widget.attrs["class"] = "form-control"
        username = self.fields["username"].widget
        assert isinstance(username, forms.TextInput)
        username.attrs |= {"autocapitalize": "none", "autocomplete": "username", "spellcheck": "false"}


@policy("public")
class SignIn(LoginView):
    """The sign-in page; people who are signed in already go on to where they wanted."""

    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get_default_redirect_url(self) -> str:
        """Partners to their own page, staff to the board."""
        is_partner = "partner" in roles_of(self.request.user)
        return resolve_url(settings.PARTNER_HOME_URL if is_partner else settings.LOGIN_REDIRECT_URL)


@policy("public")
class SignOut(LogoutView):
    """POST only; ends the session and shows the sign-in page."""


def locked_out(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """What django-axes answers after too many wrong passwords (AXES_LOCKOUT_CALLABLE)."""
    context = {"failure_limit": settings.AXES_FAILURE_LIMIT}
    return render(request, "accounts/locked_out.html", context, status=429)
