"""People's own addresses: added, proved by a code that is sent there, removed."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.crypto import constant_time_compare, salted_hmac

from apps.accounts import audit
from apps.accounts.models import User
from apps.core import outbound
from apps.incidents.models import Severity
from apps.notifications import keeping
from apps.notifications.contract import CHANNELS, Door
from apps.notifications.models import Channel, ContactMethod, Preference
from apps.notifications.preferences import How, Rule, When, default, read_rules, write_rules
from apps.notifications.trying import plain_message, send_now

SALT = "apps.notifications.proving"
GOOD_FOR = timedelta(minutes=10)
TRIES = 5
BETWEEN = timedelta(seconds=60)
PER_HOUR = 5
MOST_METHODS = 12


class NotPossible(Exception):
    """It cannot be done now; the message says why and what to do."""


@transaction.atomic
def add(user: User, channel: Channel | None, address: str, now: datetime) -> ContactMethod:
    """A new address, not proved yet. Raises NotPossible and ValidationError (the address is none)."""
    plugin = CHANNELS.get(keeping.OWN_MAIL) if channel is None else keeping.plugin_of(channel)
    if not plugin.personal or (channel is not None and not channel.enabled):
        raise NotPossible("This channel takes no addresses of people at the moment.")
    clean = plugin.clean_address(address)
    if ContactMethod.objects.filter(user=user).count() >= MOST_METHODS:
        raise NotPossible(f"You have {MOST_METHODS} addresses already: remove one first.")
    try:
        with transaction.atomic():
            return ContactMethod.objects.create(user=user, channel=channel, address=clean, created_at=now)
    except IntegrityError:
        raise NotPossible("You have this address already.") from None


def send_code(method: ContactMethod, now: datetime, door: Door = outbound.request) -> str:
    """Sends six digits to the address; the receiver's answer. Raises NotPossible and DeliveryError."""
    code = f"{secrets.randbelow(10**6):06d}"
    _note_code(method, code, now)
    subject = f"{code} is your code"
    text = f"{code} proves to the control tower that this address is yours. It is good for 10 minutes."
    spoken = f"Your code for the control tower is: {', '.join(code)}."
    slug = method.channel.slug if method.channel else keeping.OWN_MAIL
    return send_now(slug, plain_message(method.address, subject, text, spoken), now, door)


@transaction.atomic
def _note_code(method: ContactMethod, code: str, now: datetime) -> None:
    """Counts before it is sent: a gateway that costs money is not asked without end."""
    row = ContactMethod.objects.select_for_update().get(pk=method.pk)
    if row.verified_at:
        raise NotPossible("This address is proved already.")
    if row.code_sent_at and now - row.code_sent_at < BETWEEN:
        raise NotPossible("A code was sent a moment ago. Wait a minute, then ask for another.")
    if row.codes_since is None or now - row.codes_since >= timedelta(hours=1):
        row.codes_since, row.codes_sent = now, 0
    if row.codes_sent >= PER_HOUR:
        raise NotPossible("Five codes were sent within the hour. Check the address, and try again later.")
    row.codes_sent += 1
    row.code_sent_at, row.code_tries, row.code_hash = now, 0, _hash(row, code)
    row.save()


def _hash(row: ContactMethod, code: str) -> str:
    return salted_hmac(SALT, f"{row.pk}.{row.address}.{code}", algorithm="sha256").hexdigest()


def prove(method: ContactMethod, code: str, now: datetime) -> None:
    """Raises NotPossible with what to do unless it is the code that was sent."""
    with transaction.atomic():
        row = ContactMethod.objects.select_for_update().select_related("user").get(pk=method.pk)
        trouble = _judge(row, "".join(code.split()), now)
        row.save()
        if not trouble:
            _use(row, now)
            audit.record(row.user, "contact.proved", f"user:{row.user.username}", None, {"method": str(row)}, now)
    if trouble:
        raise NotPossible(trouble)


def _judge(row: ContactMethod, code: str, now: datetime) -> str:
    """Marks the row; "" when the code is right."""
    if row.verified_at:
        return ""
    if not row.code_hash or row.code_sent_at is None or now - row.code_sent_at > GOOD_FOR:
        return "This code is no longer good: ask for a new one."
    if row.code_tries >= TRIES:
        return "Too many wrong codes: ask for a new one."
    row.code_tries += 1
    if not constant_time_compare(row.code_hash, _hash(row, code)):
        left = TRIES - row.code_tries
        return f"This is not the code that was sent. {left} {'try' if left == 1 else 'tries'} left."
    row.verified_at, row.code_hash = now, ""
    return ""


def _use(row: ContactMethod, now: datetime) -> None:
    """A new address is used for what is critical, by day and night, until the person chooses otherwise."""
    preference, _ = Preference.objects.get_or_create(user=row.user, defaults={"changed_at": now})
    rules = read_rules(preference.rules)
    for when in When:
        kept = rules.get((Severity.CRITICAL, when), default(Severity.CRITICAL))
        rules[Severity.CRITICAL, when.value] = Rule(How.NOW, tuple(dict.fromkeys([*kept.by, row.key])))
    preference.rules = write_rules(rules)
    preference.changed_at = now
    preference.save()


@transaction.atomic
def remove(method: ContactMethod, now: datetime) -> None:
    audit.record(method.user, "contact.removed", f"user:{method.user.username}", {"method": str(method)}, None, now)
    method.delete()


__all__ = ["NotPossible", "ValidationError", "add", "prove", "remove", "send_code"]
