"""The first administrator of an empty tower, made through a link that the console prints.

The link is signed, good for a day, and only while there is no administrator: the first use ends it and all others.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login
from django.contrib.auth.forms import BaseUserCreationForm
from django.core import signing
from django.db import connection, transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from apps.accounts.models import AuditEntry, Role, User
from apps.core.clock import now
from apps.core.policies import policy

SALT = "controltower.first-admin"
GOOD_FOR_SECONDS = 24 * 3600
AFTERWARDS = "dashboard:integration_kinds"


def admin_exists() -> bool:
    return User.objects.filter(Q(role=Role.ADMIN) | Q(is_superuser=True), is_active=True).exists()


def new_path() -> str:
    """Path of a fresh link."""
    return reverse("dashboard:first_admin", args=[signing.dumps("first admin", salt=SALT)])


def is_good(token: str) -> bool:
    """Whether the link is ours, young enough, and still needed."""
    try:
        signing.loads(token, salt=SALT, max_age=GOOD_FOR_SECONDS)
    except signing.BadSignature:
        return False
    return not admin_exists()


class FirstAdminForm(BaseUserCreationForm):  # type: ignore[type-arg]
    """Account, e-mail and a password typed twice."""

    class Meta:
        model = User
        fields = ("username", "email")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "Account"
        self.fields["email"].required = True
        for one in self.fields.values():
            one.widget.attrs["class"] = "form-control"
        self.fields["username"].widget.attrs |= {"autocapitalize": "none", "autocomplete": "username"}


@policy("public")
@method_decorator([never_cache, sensitive_post_parameters("password1", "password2")], name="dispatch")
class FirstAdmin(View):
    """GET shows the form, POST makes the administrator, signs in and leads to the first integration."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        if not is_good(token):
            return self._refused(request)
        return render(request, "dashboard/first_admin.html", {"form": FirstAdminForm()})

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        if not is_good(token):
            return self._refused(request)
        form = FirstAdminForm(request.POST)
        if not form.is_valid():
            return render(request, "dashboard/first_admin.html", {"form": form}, status=422)
        with transaction.atomic():
            with connection.cursor() as cursor:  # two people with the link at once: one of them is the first
                cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [SALT])
            if admin_exists():
                return self._refused(request)
            user = form.save(commit=False)
            user.role, user.is_staff, user.is_superuser = Role.ADMIN, True, True
            user.save()
            AuditEntry.objects.create(
                at=now(),
                actor=user,
                actor_name=user.username,
                action="user.created",
                subject=f"user {user.username}",
                after={"role": user.role, "by": "one-time link of the console"},
            )
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        return redirect(AFTERWARDS)

    def _refused(self, request: HttpRequest) -> HttpResponse:
        return render(request, "dashboard/first_admin.html", {"form": None}, status=404)
