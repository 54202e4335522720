"""Who calls: a person by session or a machine by token, with what it may do and whose rows it may see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rest_framework.exceptions import NotAuthenticated, PermissionDenied

from apps.accounts.models import ApiClient, User
from apps.core.policies import STAFF_ROLES, roles_of
from apps.core.scoping import partner_scope
from apps.integrations.models import PartnerAccess

#: what a person's session may do, as on the pages: managers read and comment; deliveries come by token only
READING = frozenset(
    {"flows:read", "incidents:read", "incidents:comment", "integrations:read", "receipts:read", "reports:read"}
    | {"anomalies:read", "notifications:read", "rules:read"}
)
#: role -> what its sessions may do besides. Waivers are people's alone: no token is issued with those scopes.
BESIDES: Mapping[str, frozenset[str]] = {
    "operations": frozenset({"incidents:write", "rules:write", "waivers:write", "waivers:ask", "waivers:approve"})
    | {"anomalies:write"},
    "on_call": frozenset({"incidents:write", "waivers:write", "waivers:ask", "anomalies:write"}),
    "manager": frozenset({"rules:write", "reports:write", "waivers:write", "waivers:approve"})
    | {"anomalies:write", "anomalies:switch"},
    "admin": frozenset(
        {"incidents:write", "rules:write", "reports:write", "waivers:write", "waivers:ask", "waivers:approve"}
    )
    | {"anomalies:write", "anomalies:switch"},
}
#: scopes that others include; no token is issued with these alone
INCLUDED = {"receipts:write": "receipts:read", "incidents:write": "incidents:comment"}
#: what exists at all for a partner, person or machine; whatever else looks as if it were missing
PARTNER_SCOPES = frozenset({"flows:read", "integrations:read", "receipts:read", "receipts:write"})


@dataclass(frozen=True, slots=True)
class Machine:
    """The ``request.user`` of a token. `partner_id`: the one partner the token is bound to."""

    client: ApiClient
    partner_id: int | None = None

    is_authenticated = True
    is_active = True
    is_anonymous = False
    is_staff = False
    is_superuser = False

    @property
    def pk(self) -> str:
        return f"token-{self.client.pk}"


@dataclass(frozen=True, slots=True)
class Caller:
    """actor: for timelines and audit; partner_id: None for staff and for machines of our own."""

    actor: User | ApiClient
    scopes: frozenset[str]
    partner_id: int | None

    @property
    def is_machine(self) -> bool:
        return isinstance(self.actor, ApiClient)

    @contextmanager
    def sight(self) -> Iterator[None]:
        """Reads inside see what the caller may see: for a partner the database itself shows one partner's rows."""
        if self.partner_id is None:
            yield
        else:
            with partner_scope(self.partner_id):
                yield


def caller_of(request: Any) -> Caller:
    """The caller of an authenticated request. Raises NotAuthenticated, or PermissionDenied for a sign-in bound to nobody."""
    user = request.user
    if isinstance(user, Machine):
        scopes = frozenset(user.client.scopes)
        scopes |= {INCLUDED[one] for one in scopes if one in INCLUDED}
        return Caller(user.client, scopes, user.partner_id)
    held = roles_of(user)
    if not isinstance(user, User) or not held:
        raise NotAuthenticated
    if "partner" in held:
        access = PartnerAccess.objects.filter(user_id=user.pk, partner__active=True).first()
        if access is None:
            raise PermissionDenied("This sign-in is not bound to a partner. Ask the people of the tower to bind it.")
        return Caller(user, frozenset({"flows:read", "integrations:read", "receipts:read"}), access.partner_id)
    if not held & STAFF_ROLES:
        raise PermissionDenied("This sign-in has no role in the tower. Ask an administrator for one.")
    return Caller(user, READING.union(*(BESIDES.get(role, frozenset()) for role in held)), None)
