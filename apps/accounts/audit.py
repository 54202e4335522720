"""The record of who changed a rule, a credential, a role or a definition. Written in the transaction of the change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from apps.accounts.models import ApiClient, AuditEntry, User

#: what the record shows instead of a secret
HIDDEN = "(not shown)"
SECRET_NAMES = ("secret", "password", "token", "ciphertext", "private_key", "api_key", "authorization")
SUBJECT_LENGTH = 200


def record(
    actor: User | ApiClient | None,
    action: str,
    subject: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    now: datetime,
) -> AuditEntry:
    """Writes one row; it can never be changed or deleted by the application.

    actor: None is the tower itself. action: a verb in the past ("rule.changed"). subject: what it was done to
    ("rule:late-asn"). before, after: any plain values (dates and decimals are fine), None where there was nothing.
    Values under names that sound like secrets are left out, at any depth.
    """
    return AuditEntry.objects.create(
        at=now,
        actor=actor if isinstance(actor, User) else None,
        actor_name=name_of(actor),
        action=action,
        subject=subject[:SUBJECT_LENGTH],
        before=_plain(before),
        after=_plain(after),
    )


def name_of(actor: User | ApiClient | None) -> str:
    """As the record and versions name who did it."""
    if actor is None:
        return "The tower"
    return actor.display_name if isinstance(actor, User) else actor.name


def _plain(values: Mapping[str, Any] | None) -> Any:
    return None if values is None else json.loads(json.dumps(_without_secrets(values), cls=DjangoJSONEncoder))


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            str(name): HIDDEN if _sounds_secret(str(name)) else _without_secrets(inner) for name, inner in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_without_secrets(inner) for inner in value]
    return value


def _sounds_secret(name: str) -> bool:
    return any(word in name.lower() for word in SECRET_NAMES)
