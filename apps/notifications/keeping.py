"""The register of channels: kept with their secrets, opened for sending, and switched off when they fail for good."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F

from apps.accounts import audit
from apps.accounts.models import ApiClient, User
from apps.core import outbound, secrets
from apps.notifications.contract import CHANNELS, DeliveryError, Door, Target
from apps.notifications.contract import Channel as Plugin
from apps.notifications.models import Channel

#: the tower's own mail: there without any row, set up by EMAIL_URL
OWN_MAIL = "email"
#: so many answers in a row that blame the channel, and it is switched off
BLAMES = 5
#: while a webhook's secret is being replaced, both sign
OVERLAP = timedelta(hours=24)
PREVIOUS, PREVIOUS_UNTIL = "previous", "previous_until"
REASON = 500


def open_channel(slug: str, now: datetime, door: Door = outbound.request) -> tuple[Plugin, Target]:
    """The plugin and where it sends. Raises DeliveryError when there is no such channel or it is switched off."""
    row = Channel.objects.filter(slug=slug).first()
    if row is None:
        if slug != OWN_MAIL:
            raise DeliveryError(f"There is no channel {slug!r} any more.")
        return CHANNELS.get(OWN_MAIL), Target(door=door)
    if not row.enabled:
        because = f": {row.disabled_because}" if row.disabled_because else "."
        raise DeliveryError(f"The channel {row.name} is switched off{because}", permanent=True)
    return plugin_of(row), target_of(row, now, door)


def plugin_of(row: Channel) -> Plugin:
    """Raises DeliveryError when its kind is not installed."""
    plugin = CHANNELS.plugins.get(row.kind)
    if plugin is None:
        raise DeliveryError(f"Channels of the kind {row.kind!r} are not installed.")
    return plugin


def target_of(row: Channel, now: datetime, door: Door = outbound.request) -> Target:
    """Settings and secrets in the clear, for as long as a message is sent."""
    try:
        return Target(row.config, live_secrets(row, now), door)
    except secrets.SecretUnreadable as error:
        raise DeliveryError(f"The secret of {row.name} cannot be read: {error}. Enter it again.") from None


def live_secrets(row: Channel, now: datetime) -> dict[str, str]:
    found = kept_secrets(row)
    until = found.pop(PREVIOUS_UNTIL, "")
    if until and datetime.fromisoformat(until) <= now:
        found.pop(PREVIOUS, None)
    return found


def kept_secrets(row: Channel) -> dict[str, str]:
    """All of a channel's secrets in the clear. Raises SecretUnreadable."""
    kept = bytes(row.ciphertext)
    return dict(json.loads(secrets.decrypt(kept))) if kept else {}


def put_secrets(row: Channel, given: Mapping[str, str], now: datetime) -> None:
    """Replaces the secrets that are given (empty ones stay as they are); the row is not saved.

    A webhook's former secret signs beside the new one for a day.
    """
    changed = {name: value for name, value in given.items() if value}
    if not changed:
        return
    try:
        kept = kept_secrets(row)
    except secrets.SecretUnreadable:
        kept = {}
    if row.kind == "webhook" and kept.get("secret") and "secret" in changed:
        kept |= {PREVIOUS: kept["secret"], PREVIOUS_UNTIL: (now + OVERLAP).isoformat()}
    row.ciphertext = secrets.encrypt(json.dumps(kept | changed))
    row.hints = row.hints | {name: value[-4:] if len(value) >= 12 else "" for name, value in changed.items()}


def save(row: Channel, given: Mapping[str, str], actor: User | None, now: datetime) -> None:
    """Keeps a new or changed channel. What was wrong with it before counts no more: it was mended."""
    plugin = plugin_of(row)
    before = None if row.pk is None else _facts(Channel.objects.get(pk=row.pk))
    if row.kind == "webhook" and row.pk is None and not given.get("secret"):
        given = {**given, "secret": secrets.new_secret()}
    put_secrets(row, {name: given.get(name, "") for name in (one.name for one in plugin.secrets)}, now)
    row.failures = row.blamed = 0
    row.hold_until = None
    row.created_at = row.created_at or now
    with transaction.atomic():
        row.save()
        action = "channel.added" if before is None else "channel.changed"
        replaced = sorted(name for name, value in given.items() if value)
        audit.record(actor, action, f"channel:{row.slug}", before, _facts(row) | {"replaced": replaced}, now)


def _facts(row: Channel) -> dict[str, Any]:
    names = ("slug", "name", "kind", "config", "team_id", "listens", "min_severity", "enabled", "disabled_because")
    return {name: getattr(row, name) for name in names}


@transaction.atomic
def switch(row: Channel, enabled: bool, actor: User | ApiClient | None, now: datetime, because: str = "") -> bool:
    """On or off; False if it was so already. because: why the tower did it by itself."""
    values: dict[str, Any] = {"enabled": enabled, "disabled_at": None if enabled else now}
    values |= {"disabled_because": because[:REASON], "blamed": 0, "failures": 0 if enabled else F("failures")}
    if not Channel.objects.filter(pk=row.pk, enabled=not enabled).update(**values, hold_until=None):
        return False
    action = "channel.enabled" if enabled else "channel.disabled"
    audit.record(
        actor, action, f"channel:{row.slug}", {"enabled": not enabled}, {"enabled": enabled, "because": because}, now
    )
    return True


@transaction.atomic
def remove(row: Channel, actor: User | None, now: datetime) -> None:
    """The channel and people's addresses on it go; what was sent over it stays in the log."""
    audit.record(actor, "channel.removed", f"channel:{row.slug}", _facts(row), None, now)
    row.delete()


def note_success(slug: str, now: datetime) -> None:
    Channel.objects.filter(slug=slug).update(last_ok_at=now, failures=0, blamed=0, hold_until=None)


def note_failure(slug: str, error: DeliveryError, now: datetime) -> None:
    """Counts it; asks for silence if the receiver did; switches the channel off when it fails for good."""
    row = Channel.objects.filter(slug=slug).first()
    if row is None:
        return
    values: dict[str, Any] = {"last_error": str(error)[:REASON], "last_error_at": now, "failures": F("failures") + 1}
    values["blamed"] = F("blamed") + 1 if error.blames_channel else 0
    if error.retry_after:
        values["hold_until"] = now + error.retry_after
    Channel.objects.filter(pk=row.pk).update(**values)
    row.refresh_from_db()
    if row.enabled and (error.gone or row.blamed >= BLAMES):
        times = "" if error.gone else f"{row.blamed} times in a row: "
        switch(row, False, None, now, f"{times}{error}")
