"""Deny by default: a view names the scope each of its methods needs; what names none is closed."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import MethodNotAllowed, NotFound, PermissionDenied
from rest_framework.permissions import BasePermission

from apps.api.callers import PARTNER_SCOPES, caller_of

#: a view that needs a caller and no scope
ANY = "any"
SAFE_TO_METHOD = {"HEAD": "GET"}


def scope_for(view: Any, method: str) -> str | None:
    """The scope this method of this view needs; None when the view does not have the method."""
    found: str | None = getattr(view, "scopes", {}).get(SAFE_TO_METHOD.get(method, method))
    return found if hasattr(view, method.lower()) else None


class Declared(BasePermission):
    """For a partner what is not for partners is missing (404); for others a missing scope is said (403)."""

    def has_permission(self, request: Any, view: Any) -> bool:
        caller = view.caller = caller_of(request)
        scope = scope_for(view, request.method)
        if scope is None:
            raise MethodNotAllowed(request.method)
        if scope == ANY:
            return True
        if caller.partner_id is not None and scope not in PARTNER_SCOPES:
            raise NotFound
        if scope not in caller.scopes:
            what = "token" if caller.is_machine else "sign-in"
            raise PermissionDenied(f"This {what} may not do that: it lacks the scope {scope}.")
        return True
