"""Issues, rotates and revokes the secrets of integrations. Current and previous overlap; each is shown once."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from apps.accounts.models import AuditEntry, User
from apps.core.secrets import decrypt, encrypt, new_secret
from apps.integrations.models import SIGNING, ChangeMarker, Credential, Integration

OVERLAP = timedelta(hours=24)


def issue(
    integration: Integration,
    now: datetime,
    actor: User | None,
    *,
    secret: str = "",
    purpose: str = SIGNING,
    overlap: timedelta = OVERLAP,
) -> tuple[Credential, str]:
    """Makes a new credential; those before it stay valid for ``overlap``. Returns it with its plain text, shown once.

    secret: the partner's own secret where the partner chooses it; else 32 random bytes.
    """
    plain = secret or new_secret()
    with transaction.atomic():
        Credential.objects.filter(integration=integration, purpose=purpose, revoked_at__isnull=True).filter(
            expires_at__isnull=True
        ).update(expires_at=now + overlap)
        credential = Credential.objects.create(
            integration=integration, purpose=purpose, ciphertext=encrypt(plain), hint=plain[-4:], created_at=now
        )
        _note(integration, actor, now, "credential.issued", f"{purpose} credential …{credential.hint} issued")
    return credential, plain


def revoke(credential: Credential, now: datetime, actor: User | None) -> None:
    """Ends a credential now; doors stop taking it within a second."""
    with transaction.atomic():
        Credential.objects.filter(pk=credential.pk, revoked_at__isnull=True).update(revoked_at=now)
        text = f"{credential.purpose} credential …{credential.hint} revoked"
        _note(credential.integration, actor, now, "credential.revoked", text)


def live_secrets(integration_id: int, now: datetime, purpose: str = SIGNING) -> list[str]:
    """Plain texts of every secret valid now, newest first."""
    rows = Credential.objects.live(now).filter(integration_id=integration_id, purpose=purpose).order_by("-created_at")
    return [decrypt(row.ciphertext) for row in rows]


def _note(integration: Integration, actor: User | None, now: datetime, action: str, text: str) -> None:
    name = actor.display_name if actor else "the system"
    AuditEntry.objects.create(
        at=now,
        actor=actor,
        actor_name=name,
        action=action,
        subject=f"integration:{integration.slug}",
        after={"text": text},
    )
    ChangeMarker.objects.create(at=now, integration=integration, kind=action, text=text, actor_name=name)
