"""By which addresses people are reached now: their preferences and their proven addresses, read for many at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from apps.accounts.models import User
from apps.core.wording import zone
from apps.notifications.keeping import OWN_MAIL
from apps.notifications.models import ContactMethod, Preference
from apps.notifications.preferences import EMAIL, How, Preferences, decide, read_rules


@dataclass(frozen=True, slots=True)
class Recipient:
    """channel: slug of a channel; address: what it sends to; user_id: None for a shared place.

    held_until: it is to wait so long, because the person wants it so.
    """

    channel: str
    address: str
    user_id: int | None = None
    held_until: datetime | None = None


def preferences_of(user: User, stored: Preference | None) -> Preferences:
    if stored is None:
        return Preferences(zone=zone(user.time_zone))
    return Preferences(
        zone(user.time_zone), stored.quiet_from, stored.quiet_until, stored.digest_at, read_rules(stored.rules)
    )


class Ways:
    """Reads what it does not know yet in two statements, however many people are asked for."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._preferences: dict[int, Preferences] = {}
        self._methods: dict[int, dict[str, Recipient]] = {}

    def to(self, users: Iterable[User], severity: str) -> list[Recipient]:
        """One recipient per address; who has left or has no address is left out."""
        people = [user for user in users if user.is_active]
        self._read([user for user in people if user.pk not in self._preferences])
        found: dict[tuple[str, str], Recipient] = {}
        for user in people:
            for one in self._of(user, severity):
                found.setdefault((one.channel, one.address.lower()), one)
        return list(found.values())

    def want_silence(self, users: Iterable[User], severity: str) -> bool:
        """Whether one of them, whom we could reach, has chosen to hear nothing of this severity."""
        people = [user for user in users if user.is_active]
        self._read([user for user in people if user.pk not in self._preferences])
        return any(
            self._methods[user.pk] and decide(self._preferences[user.pk], severity, self.now).how == How.NEVER
            for user in people
        )

    def _of(self, user: User, severity: str) -> list[Recipient]:
        decision = decide(self._preferences[user.pk], severity, self.now)
        if decision.how == How.NEVER:
            return []
        methods = self._methods[user.pk]
        chosen = [methods[key] for key in decision.by if key in methods] or [*methods.values()][:1]
        return [Recipient(one.channel, one.address, one.user_id, decision.held_until) for one in chosen]

    def _read(self, users: list[User]) -> None:
        if not users:
            return
        stored = {one.pk: one for one in Preference.objects.filter(user__in=users)}
        for user in users:
            self._preferences[user.pk] = preferences_of(user, stored.get(user.pk))
            own = {EMAIL: Recipient(OWN_MAIL, user.email, user.pk)} if user.email else {}
            self._methods[user.pk] = own
        rows = ContactMethod.objects.filter(user__in=users, verified_at__isnull=False).select_related("channel")
        for row in rows.order_by("id"):
            if row.channel is None or row.channel.enabled:
                slug = row.channel.slug if row.channel else OWN_MAIL
                self._methods[row.user_id][row.key] = Recipient(slug, row.address, row.user_id)
