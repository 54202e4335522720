"""Who may use an address. Every view declares it; what declares nothing is refused by the architecture tests.

    @policy("staff")
    def board(request): ...

    @policy(roles("manager"))
    class Report(View): ...

    path("admin/", guarded(admin.site.urls, roles("admin")))

Policies: ``public`` (anyone), ``signed_in`` (any person), ``staff`` (any person who is not a partner's),
``roles(..)`` (staff with one of these roles; an administrator always), ``partner`` (a partner's person),
``machine`` (the view itself authenticates a token or a signature).

Anonymous people are led to the sign-in page. A partner's person who asks for a staff page, and staff who ask for
a partner's page, get 404: what is not theirs does not exist for them (from "/" partners come to their own page). Staff without the role get 403 with the reason.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.urls import URLPattern, URLResolver
from django.utils.decorators import method_decorator

STAFF_ROLES = frozenset({"operations", "on_call", "manager", "admin"})
KINDS = frozenset({"public", "signed_in", "staff", "roles", "partner", "machine"})

V = TypeVar("V", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Policy:
    """``kind`` is one of KINDS; ``allowed`` holds the roles of kind ``roles`` (administrators always may)."""

    kind: str
    allowed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown policy {self.kind!r}; use one of {', '.join(sorted(KINDS))}")
        if self.kind == "roles" and (not self.allowed or not self.allowed <= STAFF_ROLES):
            raise ValueError(f"roles() takes some of {', '.join(sorted(STAFF_ROLES))}, got {sorted(self.allowed)}")

    def __str__(self) -> str:
        return f"roles({', '.join(sorted(self.allowed))})" if self.kind == "roles" else self.kind


def roles(*names: str) -> Policy:
    """Staff with one of these roles; administrators always."""
    return Policy("roles", frozenset(names))


def roles_of(user: Any) -> frozenset[str]:
    """The roles a person holds: the own one, and ``admin`` for a superuser. Nobody signed in, or inactive: none."""
    if user is None or not getattr(user, "is_authenticated", False) or not getattr(user, "is_active", False):
        return frozenset()
    held = {str(getattr(user, "role", ""))}
    if getattr(user, "is_superuser", False):
        held = {"admin"}
    return frozenset(held) - {""}


def check(wanted: Policy, user: Any) -> str:
    """``allow``, ``sign_in``, ``missing`` (404) or ``forbidden`` (403) for this person. Pure."""
    if wanted.kind in {"public", "machine"}:
        return "allow"
    held = roles_of(user)
    if not held:
        return "sign_in"
    is_staff = bool(held & STAFF_ROLES)
    if wanted.kind == "signed_in":
        return "allow"
    if wanted.kind == "partner":
        return "allow" if "partner" in held else "missing"
    if not is_staff:
        return "missing"
    if wanted.kind == "staff" or "admin" in held or held & wanted.allowed:
        return "allow"
    return "forbidden"


def _refusal(request: HttpRequest, wanted: Policy, verdict: str) -> HttpResponseBase:
    if verdict == "missing":
        if request.path == "/" and "partner" in roles_of(getattr(request, "user", None)):
            return redirect(settings.PARTNER_HOME_URL)  # who types only the host's name comes to the own first page
        raise Http404
    if verdict == "forbidden":
        raise PermissionDenied(f"This page is for: {', '.join(sorted(wanted.allowed | {'admin'})).replace('_', '-')}.")
    if request.headers.get("HX-Request") == "true":
        # a fragment cannot show the sign-in page: the whole page goes there, and comes back to where it was
        page = urlsplit(request.headers.get("HX-Current-URL", ""))
        back = "/" + page.path.lstrip("/") + (f"?{page.query}" if page.query else "")
        target = redirect_to_login(back).headers["Location"]
        return HttpResponse(status=401, headers={"HX-Redirect": target})
    back = request.get_full_path() if request.method in {"GET", "HEAD"} else "/"
    return redirect_to_login(back, resolve_url(settings.LOGIN_URL))


def _enforced(view: Callable[..., Any], wanted: Policy) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(view):
        raise TypeError("policies guard synchronous views only")

    @functools.wraps(view)
    def guard(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        verdict = check(wanted, getattr(request, "user", None))
        if verdict != "allow":
            return _refusal(request, wanted, verdict)
        response: HttpResponseBase = view(request, *args, **kwargs)
        return response

    guard.policy = wanted  # type: ignore[attr-defined]
    return guard


def policy(wanted: str | Policy) -> Callable[[V], V]:
    """Declares and enforces a policy on a view function or a View class."""
    rule = Policy(wanted) if isinstance(wanted, str) else wanted

    def mark(view: V) -> V:
        if inspect.isclass(view):
            method_decorator(functools.partial(_enforced, wanted=rule), name="dispatch")(view)
            view.policy = rule  # type: ignore[attr-defined]
            return view
        return _enforced(view, rule)  # type: ignore[return-value]

    return mark


def declare(view: V, wanted: str | Policy) -> V:
    """Names the policy of a view that enforces it by itself (an API view, a third party's). Nothing is wrapped."""
    view.policy = Policy(wanted) if isinstance(wanted, str) else wanted  # type: ignore[attr-defined]
    return view


def guarded(included: Any, wanted: str | Policy) -> Any:
    """Puts a policy before every view of an include: ``path("admin/", guarded(admin.site.urls, roles("admin")))``.

    Takes what ``path`` takes (a list of patterns or the tuple of ``include``) and gives the same back.
    """
    rule = Policy(wanted) if isinstance(wanted, str) else wanted
    patterns = included[0] if isinstance(included, tuple) else included
    for one in leaves(getattr(patterns, "urlpatterns", patterns) or ()):
        assert one.callback is not None
        one.callback = _enforced(one.callback, rule)
    return included


def leaves(patterns: Iterable[Any]) -> Iterable[URLPattern]:
    """Every address below these patterns."""
    for one in patterns:
        if isinstance(one, URLResolver):
            yield from leaves(one.url_patterns)
        elif isinstance(one, URLPattern):
            yield one


def policy_of(callback: Any) -> Policy | None:
    """The policy a URL's callback declares: on itself, its View class or its DRF class; None when it does not."""
    for holder in (callback, getattr(callback, "view_class", None), getattr(callback, "cls", None)):
        found = getattr(holder, "policy", None)
        if isinstance(found, Policy):
            return found
    return None
