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

    def to(self, users: Iterable[User], severity: str, *, called: bool = False) -> list[Recipient]:
        """One recipient per address; who has left or has no address is left out. called: see `decide`."""
        found: dict[tuple[str, str], Recipient] = {}
        for user in self._known(users):
            for one in self._of(user, severity, called):
                found.setdefault((one.channel, one.address.lower()), one)
        return list(found.values())

    def want_silence(self, users: Iterable[User], severity: str) -> bool:
        """Whether one of them, whom we could reach, has chosen to hear nothing of this severity."""
        return any(self._methods[user.pk] and self.silent(user, severity, self.now) for user in self._known(users))

    def silent(self, user: User, severity: str, at: datetime) -> bool:
        """Whether the person has chosen to hear nothing of this severity at this time."""
        self._known([user])
        return decide(self._preferences[user.pk], severity, at).how == How.NEVER

    def without_address(self, users: Iterable[User]) -> list[User]:
        """Those for whom there is no proven address on a channel that is switched on, nor a mailbox."""
        return [user for user in self._known(users) if not self._methods[user.pk]]

    def _known(self, users: Iterable[User]) -> list[User]:
        people = [user for user in users if user.is_active]
        self._read([user for user in people if user.pk not in self._preferences])
        return people

    def _of(self, user: User, severity: str, called: bool) -> list[Recipient]:
        decision = decide(self._preferences[user.pk], severity, self.now, called=called)
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
