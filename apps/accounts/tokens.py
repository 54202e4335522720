"""Tokens of machines: shown once, kept as a hash, limited by scopes, revoked at once."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from django.db import transaction
from django.db.models import Q

from apps.accounts import audit
from apps.accounts.models import ApiClient, Team, User

PREFIX = "ct_"
#: random bytes of a token
SIZE = 32
#: last_used_at is written at most this often
USE_NOTED_EVERY = timedelta(minutes=1)

SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "receipts:write": "Deliver messages",
        "flows:read": "Read flows, milestones and expectations",
        "incidents:read": "Read incidents",
        "incidents:write": "Work on incidents: acknowledge, assign, comment, resolve ...",
        "alerts:write": "Send alerts of other tools to the incident desk",
        "anomalies:read": "Read anomalies, causes, declared pairs, risks and how the detectors do",
        "anomalies:write": "Answer anomalies",
        "anomalies:switch": "Switch detectors on and off",
        "integrations:read": "Read integrations and partners",
        "integrations:write": "Add change markers and maintenance windows",
        "reports:read": "Read reports",
        "reports:write": "Freeze reports, keep schedules of mailed reports",
        "rules:read": "Read SLA rules, calendars, waivers and contract terms, and try rules on history",
        "rules:write": "Change calendars' exceptions, contract terms and objectives",
        "notifications:read": "Read channels and the log of messages",
        "notifications:write": "Test and switch channels, send given-up messages again",
    }
)


@dataclass(frozen=True, slots=True)
class Issued:
    """A new client and its token, which exists nowhere else from now on."""

    client: ApiClient
    token: str


@transaction.atomic
def issue(
    name: str,
    scopes: Collection[str],
    actor: User | ApiClient | None,
    now: datetime,
    team: Team | None = None,
    expires_at: datetime | None = None,
) -> Issued:
    """Makes a token. Raises ValueError for a blank name, no or unknown scopes, or an expiry that has passed."""
    if not name.strip():
        raise ValueError("Give the client a name that says which machine uses it.")
    if unknown := sorted(set(scopes) - SCOPES.keys()):
        raise ValueError(f"Unknown scopes: {', '.join(unknown)}. Known are: {', '.join(SCOPES)}.")
    if not scopes:
        raise ValueError("Choose at least one scope: a token without any can do nothing.")
    if expires_at is not None and expires_at <= now:
        raise ValueError("The token would have expired already: choose a later time.")
    token = PREFIX + secrets.token_urlsafe(SIZE)
    client = ApiClient.objects.create(
        name=name.strip(),
        token_hash=ApiClient.hash_of(token),
        token_hint=token[-4:],
        scopes=sorted(set(scopes)),
        team=team,
        expires_at=expires_at,
    )
    audit.record(actor, "client.issued", subject_of(client), None, {"name": client.name, "scopes": client.scopes}, now)
    return Issued(client, token)


def verify(token: str, now: datetime) -> ApiClient | None:
    """The client of a live token, or None: unknown, revoked and expired look the same."""
    if not token.startswith(PREFIX):
        return None
    # looked up by its hash, so that the time the search takes says nothing about the token
    client = (
        ApiClient.objects.filter(token_hash=ApiClient.hash_of(token), revoked_at=None)
        .filter(Q(expires_at=None) | Q(expires_at__gt=now))
        .select_related("team")
        .first()
    )
    if client is not None and (client.last_used_at is None or now - client.last_used_at >= USE_NOTED_EVERY):
        ApiClient.objects.filter(pk=client.pk).update(last_used_at=now)
        client.last_used_at = now
    return client


@transaction.atomic
def revoke(client_id: int, actor: User | ApiClient | None, now: datetime) -> bool:
    """Ends a token from this moment on; False if it was revoked before. Raises ApiClient.DoesNotExist."""
    client = ApiClient.objects.get(pk=client_id)
    if not ApiClient.objects.filter(pk=client_id, revoked_at=None).update(revoked_at=now):
        return False
    audit.record(actor, "client.revoked", subject_of(client), {"scopes": client.scopes}, None, now)
    return True


def subject_of(client: ApiClient) -> str:
    """How the audit record names a client."""
    return f"client:{client.pk}"
