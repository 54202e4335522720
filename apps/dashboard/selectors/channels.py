"""What the pages of channels, of the messages log and of one's own notifications show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Q, QuerySet

from apps.accounts.models import User
from apps.dashboard.selectors import cursors
from apps.incidents.models import Severity
from apps.notifications.contract import CHANNELS
from apps.notifications.contract import Channel as Plugin
from apps.notifications.keeping import OWN_MAIL
from apps.notifications.models import Channel, ContactMethod, Delivery, Preference
from apps.notifications.preferences import EMAIL, WORDS, How, Preferences, When
from apps.notifications.ways import preferences_of

PAGE = 50
STATES = Delivery.State
#: state of a delivery -> state of the design system
LOOK = {"waiting": "open", "sending": "open", "sent": "done", "dead": "late", "dropped": "waived"}
DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Line:
    """A channel in the list. state and label: for the design system's `state`; sent, dead: in the last 24 hours."""

    row: Channel
    kind: str
    state: str
    label: str
    sent: int = 0
    dead: int = 0
    waiting: int = 0


def standing(row: Channel) -> tuple[str, str]:
    """How well a channel works, as state and words."""
    if not row.enabled:
        return ("late", "Switched off: it fails") if row.disabled_because else ("waived", "Switched off")
    if row.failures:
        return "at-risk", f"Failing: {row.failures} in a row"
    return ("on-time", "Works") if row.last_ok_at else ("unknown", "Never tried")


def label_of(kind: str) -> str:
    plugin = CHANNELS.plugins.get(kind)
    return plugin.label if plugin else f"{kind} (not installed)"


def listed(now: datetime) -> list[Line]:
    """Every channel, those in trouble first."""
    rows = list(Channel.objects.select_related("team"))
    counts = _counts([row.slug for row in rows], now)
    order = ("late", "at-risk", "unknown", "on-time", "waived")
    lines = [Line(row, label_of(row.kind), *standing(row), *counts.get(row.slug, (0, 0, 0))) for row in rows]
    return sorted(lines, key=lambda line: (order.index(line.state), line.row.name.lower()))


def own_mail(now: datetime) -> tuple[int, int, int]:
    """Sent and given up in 24 hours, and waiting, of the tower's own mail."""
    return _counts([OWN_MAIL], now).get(OWN_MAIL, (0, 0, 0))


def _counts(slugs: Sequence[str], now: datetime) -> dict[str, tuple[int, int, int]]:
    recent = Q(created_at__gt=now - DAY)
    rows = (
        Delivery.objects.filter(channel__in=slugs, bundled_in=None)
        .filter(recent | Q(state__in=[STATES.WAITING, STATES.SENDING]))
        .values("channel")
        .annotate(
            sent=Count("pk", filter=Q(state=STATES.SENT)),
            dead=Count("pk", filter=Q(state=STATES.DEAD)),
            waiting=Count("pk", filter=Q(state__in=[STATES.WAITING, STATES.SENDING])),
        )
        .order_by()
    )
    return {row["channel"]: (row["sent"], row["dead"], row["waiting"]) for row in rows}


def kinds() -> list[tuple[str, list[Plugin]]]:
    """The kinds one can add: for people, for rooms, for other tools."""
    plugins = sorted(CHANNELS.plugins.values(), key=lambda one: one.label)
    return [
        ("Reaches people on their own address", [one for one in plugins if one.personal]),
        ("Posts in a room or to a group", [one for one in plugins if not one.personal and one.paced]),
        ("Hands over to another tool", [one for one in plugins if not one.paced]),
    ]


def facts_of(row: Channel) -> list[tuple[str, str]]:
    """Its settings in words. Secrets show their last characters at most."""
    plugin = CHANNELS.plugins.get(row.kind)
    if plugin is None:
        return []
    form = plugin.ConfigForm()
    facts = []
    for name, one in form.fields.items():
        value = row.config.get(name)
        if value:
            facts.append((str(one.label or name.replace("_", " ").capitalize()), _words(value, one)))
    for secret in plugin.secrets:
        if secret.name in row.hints:
            hint = row.hints[secret.name]
            facts.append((secret.label, f"kept, ends in {hint}" if hint else "kept"))
    return facts


def _words(value: Any, one: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(dict(getattr(one, "choices", ()) or ()).get(value, value))


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader of the log wants to see; '' means any."""

    state: str = ""
    channel: str = ""
    q: str = ""
    after: str = ""

    @classmethod
    def read(cls, query: Any) -> Asked:
        texts = {name: query.get(name, "")[:120].strip() for name in cls.__dataclass_fields__}
        if texts["state"] not in STATES.values:
            texts["state"] = ""
        return cls(**texts)

    def address(self, **changed: str) -> str:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__} | {"after": ""} | changed
        return "?" + urlencode({name: value for name, value in values.items() if value})

    def rows(self) -> QuerySet[Delivery]:
        found = Delivery.objects.all()
        if self.state:
            found = found.filter(state=self.state)
        if self.channel:
            found = found.filter(channel=self.channel)
        if self.q:
            words = Q(subject__icontains=self.q) | Q(recipient__icontains=self.q) | Q(error__icontains=self.q)
            number = self.q.removeprefix("#")
            if number.isascii() and number.isdigit() and len(number) <= 18:
                words |= Q(incident_event__incident_id=int(number))
            found = found.filter(words)
        return found


@dataclass(frozen=True, slots=True)
class Sent:
    """A line of the log."""

    row: Delivery
    channel: str
    who: str
    look: str
    next_at: datetime | None = None


def deliveries(asked: Asked) -> tuple[list[Sent], str]:
    """A page, the newest first, and the cursor of what is older ('' at the end)."""
    rows = asked.rows().select_related("incident_event", "user", "bundled_in").order_by("-created_at", "-id")
    if place := cursors.read(asked.after):
        at, number = place
        rows = rows.filter(Q(created_at__lt=at) | Q(created_at=at, pk__lt=number))
    page = list(rows[: PAGE + 1])
    names = channel_names()
    shown = [_sent(row, names) for row in page[:PAGE]]
    older = cursors.cursor(page[PAGE - 1].created_at, page[PAGE - 1].pk) if len(page) > PAGE else ""
    return shown, older


def _sent(row: Delivery, names: Mapping[str, str]) -> Sent:
    who = row.user.display_name if row.user else ("" if row.recipient == "*" else row.recipient)
    waits = row.state in (STATES.WAITING, STATES.SENDING)
    return Sent(row, names.get(row.channel, row.channel), who, LOOK[row.state], row.next_at if waits else None)


def channel_names() -> dict[str, str]:
    return {OWN_MAIL: "E-mail", **dict(Channel.objects.values_list("slug", "name"))}


def dead_count(channel: str = "") -> int:
    rows = Delivery.objects.filter(state=STATES.DEAD, bundled_in=None)
    return (rows.filter(channel=channel) if channel else rows).count()


@dataclass(slots=True)
class Cell:
    """One choice on the page of one's own notifications. name: of its form fields."""

    name: str
    how: str
    by: tuple[str, ...]


@dataclass(slots=True)
class Own:
    """One's own notifications. methods: (key, label) of what can be chosen; rows: severity, label, day, quiet."""

    preferences: Preferences
    methods: list[tuple[str, str]]
    addresses: list[ContactMethod]
    rows: list[tuple[str, str, list[Cell]]]
    words: list[tuple[str, str]] = field(default_factory=list)


def own(user: User) -> Own:
    stored = Preference.objects.filter(user=user).first()
    preferences = preferences_of(user, stored)
    addresses = list(ContactMethod.objects.filter(user=user).select_related("channel"))
    methods = [(EMAIL, "E-mail")] if user.email else []
    methods += [(one.key, name_of(one)) for one in addresses if one.verified_at]
    rows = []
    for severity in Severity:
        cells = []
        for when in When:
            rule = preferences.rule(severity, when)
            cells.append(Cell(f"{severity}-{when}", rule.how, rule.by))
        rows.append((severity.value, str(severity.label), cells))
    found = Own(preferences, methods, addresses, rows)
    found.words = [(label, in_words(found, cells)) for _severity, label, cells in rows]
    return found


def name_of(method: ContactMethod) -> str:
    return f"{method.channel.name if method.channel else 'E-mail'}: {method.address}"


def in_words(page: Own, cells: Sequence[Cell]) -> str:
    """What a person gets of one severity, in a sentence."""
    day, quiet = (_cell_words(page, cell) for cell in cells)
    if page.preferences.quiet_from is None or day == quiet:
        return f"{day}{', day and night' if page.preferences.quiet_from else ''}."
    return f"{day}; in quiet hours {quiet[0].lower()}{quiet[1:]}."


def _cell_words(page: Own, cell: Cell) -> str:
    how = How(cell.how)
    if how == How.NEVER:
        return WORDS[how]
    names = [label.split(":")[0] for key, label in page.methods if key in cell.by]
    names = names or [label.split(":")[0] for _key, label in page.methods[:1]]
    by = " and ".join(dict.fromkeys(names)) or "nothing: you have no address"
    when = f" at {page.preferences.digest_at:%H:%M}" if how == How.DIGEST else ""
    return f"{WORDS[how]}{when}, by {by}"


def day_picture(preferences: Preferences) -> list[tuple[float, float]]:
    """Quiet hours as spans of a bar of 24 hours: start and width in hours."""
    begin, end = preferences.quiet_from, preferences.quiet_until
    if begin is None or end is None or begin == end:
        return []
    first, last = hours(begin), hours(end)
    return [(first, last - first)] if first < last else [(0.0, last), (first, 24 - first)]


def hours(of_day: time) -> float:
    return of_day.hour + of_day.minute / 60
