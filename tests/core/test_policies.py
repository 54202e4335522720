"""Who may open what: the whole table, and how a refusal looks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import include, path
from django.views import View

from apps.core.policies import Policy, check, declare, guarded, leaves, policy, policy_of, roles

SIGNED_OUT = SimpleNamespace(is_authenticated=False, is_active=False, role="", is_superuser=False)
PEOPLE = {
    "nobody": SIGNED_OUT,
    **{
        role: SimpleNamespace(is_authenticated=True, is_active=True, role=role, is_superuser=False)
        for role in ("operations", "on_call", "manager", "admin", "partner")
    },
    "superuser": SimpleNamespace(is_authenticated=True, is_active=True, role="operations", is_superuser=True),
    "switched off": SimpleNamespace(is_authenticated=True, is_active=False, role="admin", is_superuser=True),
    "no role": SimpleNamespace(is_authenticated=True, is_active=True, role="", is_superuser=False),
}
TABLE = {
    #                 nobody     operations  on_call      manager  admin    partner    superuser  switched off no role
    "public": "        allow     allow       allow        allow    allow    allow      allow      allow        allow",
    "machine": "       allow     allow       allow        allow    allow    allow      allow      allow        allow",
    "signed_in": "     sign_in   allow       allow        allow    allow    allow      allow      sign_in      sign_in",
    "staff": "         sign_in   allow       allow        allow    allow    missing    allow      sign_in      sign_in",
    "partner": "       sign_in   missing     missing      missing  missing  allow      missing    sign_in      sign_in",
    "roles(manager)": "sign_in   forbidden   forbidden    allow    allow    missing    allow      sign_in      sign_in",
}


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_verdicts(name: str) -> None:
    rule = roles("manager") if name.startswith("roles") else Policy(name)
    assert str(rule) == name
    verdicts = {person: check(rule, user) for person, user in PEOPLE.items()}
    assert verdicts == dict(zip(PEOPLE, TABLE[name].split(), strict=True))


@pytest.mark.parametrize(
    "make", [lambda: Policy("anyone"), lambda: roles(), lambda: roles("partner"), lambda: roles("boss")]
)
def test_policies_that_do_not_exist_are_refused(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


@policy("staff")
def page(request: HttpRequest, name: str = "x") -> HttpResponse:
    """A page."""
    return HttpResponse(name)


@policy(roles("manager"))
class Report(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("report")

    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("changed")


def ask(view: Any, person: str, method: str = "get", **headers: str) -> Any:
    request = getattr(RequestFactory(), method)("/somewhere/?a=1", headers=headers or None)
    request.user = PEOPLE[person]
    return view(request)


def test_functions_are_marked_and_guarded() -> None:
    assert policy_of(page) == Policy("staff")
    assert page.__name__ == "page"
    assert ask(page, "operations").content == b"x"
    with pytest.raises(Http404):
        ask(page, "partner")


@pytest.mark.parametrize("method", ["get", "post", "put", "options", "head"])
def test_classes_are_marked_and_guarded_for_every_method(method: str) -> None:
    view = Report.as_view()
    assert policy_of(view) == roles("manager")
    with pytest.raises(PermissionDenied, match="admin, manager"):
        ask(view, "operations", method)
    with pytest.raises(Http404):
        ask(view, "partner", method)
    assert ask(view, "nobody", method).status_code == 302


def test_a_subclass_keeps_the_guard_and_may_tighten_it() -> None:
    class Other(Report):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("other")

    assert policy_of(Other.as_view()) == roles("manager")
    with pytest.raises(PermissionDenied):
        ask(Other.as_view(), "operations")


def test_nobody_is_led_to_sign_in_and_back() -> None:
    assert ask(page, "nobody").headers["Location"] == "/sign-in/?next=/somewhere/%3Fa%3D1"
    assert ask(page, "nobody", "post").headers["Location"] == "/sign-in/?next=/", "a form is not sent again unasked"


def test_a_fragment_sends_the_whole_page_to_sign_in() -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://tower.example/flows/?state=late"}
    answer = ask(page, "nobody", **headers)
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/sign-in/?next=/flows/%3Fstate%3Dlate"
    foreign = ask(page, "nobody", **{**headers, "HX-Current-URL": "http://x//evil.example/"})
    assert foreign.headers["HX-Redirect"] == "/sign-in/?next=/evil.example/", "never another host"


def test_declaring_marks_without_guarding() -> None:
    def door(request: HttpRequest) -> HttpResponse:
        return HttpResponse("in")

    assert policy_of(door) is None
    assert policy_of(declare(door, "machine")) == Policy("machine")
    assert ask(door, "nobody").content == b"in"


def test_a_whole_include_can_be_guarded() -> None:
    def bare(request: HttpRequest) -> HttpResponse:
        return HttpResponse("bare")

    nested = [path("deep/", include(([path("leaf/", bare)], "deep")))]
    kept = guarded((nested, "app", "space"), roles("admin"))
    (leaf,) = leaves(kept[0])
    assert policy_of(leaf.callback) == roles("admin")
    assert ask(leaf.callback, "admin").content == b"bare"
    with pytest.raises(PermissionDenied):
        ask(leaf.callback, "manager")


def test_asynchronous_views_are_refused_at_import() -> None:
    async def later(request: HttpRequest) -> HttpResponse:
        return HttpResponse("later")

    with pytest.raises(TypeError):
        policy("staff")(later)
