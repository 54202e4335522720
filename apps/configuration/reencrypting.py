"""Secrets at rest written anew under the newest key, after a key was put in front of SECRETS_KEYS.

Works on every model with a `ciphertext`, so that a new kind of secret cannot be forgotten. Rows are locked a batch at
a time and committed together with their line in the audit log; what the newest key opens already is skipped, so a run
that was killed is just run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models, transaction

from apps.accounts import audit
from apps.core import secrets

BATCH = 200


@dataclass(slots=True)
class Outcome:
    """renewed: written (or, in a dry run, to be written) under the newest key; current: there already. unreadable:
    rows that no key opens, in words."""

    renewed: int = 0
    current: int = 0
    unreadable: list[str] = field(default_factory=list)


def holders() -> list[type[models.Model]]:
    """Every model that keeps a secret, in a fixed order."""
    found = []
    for model in apps.get_models():
        try:
            model._meta.get_field("ciphertext")
        except FieldDoesNotExist:
            continue
        found.append(model)
    return sorted(found, key=lambda model: model._meta.label)


def reencrypt(now: datetime, *, batch: int = BATCH, dry: bool = False) -> Iterator[Outcome]:
    """Goes over all secrets; gives what was done so far after each batch. Each batch that wrote is audited with it."""
    outcome = Outcome()
    for model in holders():
        last: Any = 0
        while True:
            before = outcome.renewed
            with transaction.atomic():
                rows = list(
                    model._default_manager.select_for_update(of=("self",)).filter(pk__gt=last).order_by("pk")[:batch]
                )
                for row in rows:
                    _renew(row, outcome, dry)
                if (written := outcome.renewed - before) and not dry:
                    audit.record(
                        None, "keys.renewed", f"secrets:{model._meta.label_lower}", None, {"renewed": written}, now
                    )
            if not rows:
                break
            last = rows[-1].pk
            yield outcome
    yield outcome


def _renew(row: Any, outcome: Outcome, dry: bool) -> None:
    kept = bytes(row.ciphertext)
    if not kept:
        return
    if secrets.is_newest(kept):
        outcome.current += 1
        return
    try:
        renewed = secrets.reencrypt(kept)
    except secrets.SecretUnreadable:
        outcome.unreadable.append(f"{row._meta.verbose_name} {row}")
        return
    if not dry:
        type(row)._default_manager.filter(pk=row.pk).update(ciphertext=renewed)
    outcome.renewed += 1
