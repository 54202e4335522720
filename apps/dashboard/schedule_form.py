"""The form of the schedule editor: read into what is wanted or what is wrong, and changed by its own buttons. Pure
but for the people, teams and zones it is given.

Layers stand in the form as they stand on the page, the upper one first. Each field's name says its layer by a key
that stays while layers move: ``order`` lists the keys; ``a-name`` is the name of layer a; ``a-m-2`` the person in
turn 2; ``a-h-1-from`` the beginning of its hours 1, ``a-h-1-mon`` whether they run on Mondays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apps.accounts.models import Team, User
from apps.core.calendar_specs import WEEKDAYS, CalendarError, holidays_of
from apps.core.wording import zone as zone_of
from apps.core.zones import zone_names
from apps.oncall.layers import SHORTEST_TURN, RestrictionError, read_restrictions
from apps.oncall.models import Layer
from apps.oncall.redrawing import Wanted, WantedLayer
from apps.oncall.turns import moment_of

DAY = timedelta(days=1)
UNITS = {"week": 7 * DAY, "day": DAY, "hour": timedelta(hours=1), "minute": timedelta(minutes=1)}
UNIT_WORDS = (("week", "weeks"), ("day", "days"), ("hour", "hours"), ("minute", "minutes"))
MOST_LAYERS, MOST_MEMBERS, MOST_HOURS = 12, 40, 14
LONGEST_TURN = 366 * DAY
WORKDAYS = WEEKDAYS[:5]
#: what the buttons beside the hours fill in
PRESETS: Mapping[str, tuple[tuple[tuple[str, ...], str, str], ...]] = {
    "nights": ((WEEKDAYS, "20:00", "08:00"),),
    "weekends": ((("fri",), "18:00", "24:00"), (("sat", "sun"), "00:00", "24:00"), (("mon",), "00:00", "08:00")),
    "working": ((WORKDAYS, "08:00", "18:00"),),
}
_KEY = re.compile(r"[a-z]{1,3}")


@dataclass(slots=True)
class HoursForm:
    days: list[str]
    start: str
    end: str


@dataclass(slots=True)
class LayerForm:
    """One layer as typed."""

    key: str
    name: str = ""
    members: list[str] = field(default_factory=list)
    date: str = ""
    at: str = "08:00"
    count: str = "1"
    unit: str = "week"
    zone: str = ""
    holidays: str = "usual"
    begins: str = ""
    ends: str = ""
    hours: list[HoursForm] = field(default_factory=list)

    @property
    def more(self) -> bool:
        """Whether it says something that stands behind "More"."""
        return bool(self.zone or self.begins or self.ends or self.holidays != "usual")


@dataclass(slots=True)
class Form:
    """The whole form. troubles: (id of the field, sentence). wanted is None while there are any."""

    head: dict[str, str]
    layers: list[LayerForm]
    troubles: list[tuple[str, str]] = field(default_factory=list)
    wanted: Wanted | None = None


HEAD = ("name", "slug", "team", "position", "time_zone", "country", "subdivision", "mail_handover")


def typed(post: Mapping[str, str]) -> Form:
    """What stands in the form, whatever it is worth."""
    head = {name: post.get(name, "").strip()[:200] for name in HEAD}
    keys = [key for key in post.get("order", "")[:200].split() if _KEY.fullmatch(key)]
    return Form(head, [_layer_typed(post, key) for key in dict.fromkeys(keys)][:MOST_LAYERS])


def _layer_typed(post: Mapping[str, str], key: str) -> LayerForm:
    def said(name: str, most: int = 64) -> str:
        return post.get(f"{key}-{name}", "").strip()[:most]

    members = [said(f"m-{n}") for n in range(MOST_MEMBERS) if f"{key}-m-{n}" in post]
    hours = [
        HoursForm(
            [day for day in WEEKDAYS if f"{key}-h-{n}-{day}" in post], said(f"h-{n}-from", 5), said(f"h-{n}-to", 5)
        )
        for n in range(MOST_HOURS)
        if f"{key}-h-{n}-from" in post
    ]
    return LayerForm(
        key, said("name", 200), members, said("date"), said("at", 8), said("count", 6), said("unit"), said("zone"),
        said("holidays") or "usual", said("begins"), said("ends"), hours,
    )  # fmt: skip


def of(wanted: Wanted) -> Form:
    """The form of what a schedule says; reading it gives the same."""
    head = {name: str(getattr(wanted, name)) for name in HEAD if name not in ("team", "mail_handover")}
    head |= {"team": wanted.team.slug, "mail_handover": "on" if wanted.mail_handover else ""}
    layers = [_layer_of(one, _key(number), wanted.time_zone) for number, one in enumerate(reversed(wanted.layers))]
    return Form(head, layers)


def _layer_of(one: WantedLayer, key: str, schedule_zone: str) -> LayerForm:
    zone = zone_of(one.time_zone or schedule_zone)
    first = one.starts_at.astimezone(zone)
    unit = next((unit for unit, span in UNITS.items() if not one.shift_length % span), "minute")
    return LayerForm(
        key,
        one.name,
        [user.username for user in one.members],
        f"{first:%Y-%m-%d}",
        f"{first:%H:%M:%S}" if first.second else f"{first:%H:%M}",
        f"{one.shift_length / UNITS[unit]:.4f}".rstrip("0").rstrip("."),
        unit,
        one.time_zone,
        str(one.holidays),
        _local(one.active_from, zone),
        _local(one.active_until, zone),
        [
            HoursForm(list(hours.get("days") or WEEKDAYS), hours.get("from", "00:00"), hours.get("to", "24:00"))
            for hours in one.restrictions
        ],
    )


def _local(at: datetime | None, zone: Any) -> str:
    if at is None:
        return ""
    local = at.astimezone(zone)
    return f"{local:%Y-%m-%dT%H:%M:%S}" if local.second else f"{local:%Y-%m-%dT%H:%M}"


def _key(number: int) -> str:
    """a, b, .. z, ba, bb: a short name for a layer."""
    high, low = divmod(number, 26)
    return (chr(96 + high) if high else "") + chr(97 + low)


def fresh(form: Form, today: date) -> LayerForm:
    """A new layer: turns of a week from this Monday, around the clock, nobody yet."""
    used = {one.key for one in form.layers}
    key = next(key for number in range(500) if (key := _key(number)) not in used)
    return LayerForm(key, members=[""], date=(today - timedelta(days=today.weekday())).isoformat())


def press(form: Form, button: str, today: date) -> tuple[str, str]:
    """What one of the form's own buttons does (``up:a``, ``earlier:a-2``): a sentence that is read aloud, and the id
    of what has the focus then."""
    verb, _, rest = button.partition(":")
    key, _, word = rest.partition("-")
    place = next((n for n, one in enumerate(form.layers) if one.key == key), None)
    if verb == "layer":
        if len(form.layers) >= MOST_LAYERS:
            return f"A schedule has at most {MOST_LAYERS} layers.", "add-layer"
        form.layers.insert(0, fresh(form, today))
        return "A layer was added on top.", f"{form.layers[0].key}-name"
    if place is None:
        return "", ""
    layer = form.layers[place]
    title = layer.name or "The layer"
    if verb in ("up", "down"):
        moved = min(max(place + (-1 if verb == "up" else 1), 0), len(form.layers) - 1)
        form.layers.insert(moved, form.layers.pop(place))
        return f"{title} is now {moved + 1} of {len(form.layers)} from the top.", f"{key}-{verb}"
    if verb == "remove":
        form.layers.pop(place)
        return f"{title} was removed. Undo brings it back.", "add-layer"
    at = int(word) if word.isascii() and word.isdigit() and len(word) < 4 else MOST_MEMBERS
    return _press_inside(layer, verb, at, word)


def _press_inside(layer: LayerForm, verb: str, at: int, word: str) -> tuple[str, str]:
    key, members, hours = layer.key, layer.members, layer.hours
    if verb == "member" and len(members) < MOST_MEMBERS:
        members.append("")
        return f"Choose who has turn {len(members)}.", f"{key}-m-{len(members) - 1}"
    if verb in ("earlier", "later") and at < len(members):
        moved = min(max(at + (-1 if verb == "earlier" else 1), 0), len(members) - 1)
        members.insert(moved, members.pop(at))
        return f"Now in turn {moved + 1} of {len(members)}.", f"{key}-{verb}-{moved}"
    if verb == "out" and at < len(members):
        members.pop(at)
        return "Taken out of the rotation. Undo brings it back.", f"{key}-member"
    if verb == "hours" and len(hours) < MOST_HOURS:
        hours.append(HoursForm(list(WORKDAYS), "", ""))
        return "Say on which days, and from when to when.", f"{key}-h-{len(hours) - 1}-from"
    if verb == "preset" and word in PRESETS:
        layer.hours = [HoursForm(list(days), start, end) for days, start, end in PRESETS[word]]
        return "The hours were filled in: change them as you like.", f"{key}-preset-{word}"
    if verb == "nohours" and at < len(hours):
        hours.pop(at)
        return ("Taken away." if hours else "It counts around the clock now."), f"{key}-hours"
    return "", ""


# -- reading ------------------------------------------------------------------


def read(form: Form, teams: Mapping[str, Team], people: Mapping[str, User], slug: str = "") -> Form:
    """Fills in `wanted` or `troubles`. slug: of a schedule that is there already. people: by sign-in name."""
    head, troubles = form.head, form.troubles
    if not head["name"]:
        troubles.append(("f-name", "Give the schedule a name that people know it by."))
    if head["team"] not in teams:
        troubles.append(("f-team", "Choose the team whose incidents it is called for."))
    if head["time_zone"] not in zone_names():
        troubles.append(("f-time_zone", "Choose a time zone such as Europe/Berlin."))
    if not (head["position"].isascii() and head["position"].isdecimal() and len(head["position"]) < 4):
        troubles.append(("f-position", "Asked at: a whole number, lower ones are asked first."))
    _country(head, troubles)
    if not slug:
        slug = head["slug"]
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", slug):
            troubles.append(("f-slug", "The short name has small letters, digits and hyphens, such as night-shift."))
    if not form.layers:
        troubles.append(("add-layer", "A schedule needs at least one layer: add one and say who takes turns."))
    layers = [_layer(one, head["time_zone"], people, troubles) for one in form.layers]
    if not troubles:
        form.wanted = Wanted(
            slug, teams[head["team"]], head["name"], tuple(one for one in reversed(layers) if one is not None),
            int(head["position"]), head["time_zone"], head["country"].upper(), head["subdivision"],
            bool(head["mail_handover"]),
        )  # fmt: skip
    return form


def _country(head: Mapping[str, str], troubles: list[tuple[str, str]]) -> None:
    country, part = head["country"].upper(), head["subdivision"]
    if not country and part:
        troubles.append(("f-country", "A part of a country needs the country, such as DE."))
    elif country:
        try:
            holidays_of(country, part, 2024)
        except CalendarError as error:
            where = "f-subdivision" if part else "f-country"
            troubles.append((where, f"Public holidays: {str(error).split(':')[0]}. Write codes like DE and BY."))


def _layer(
    one: LayerForm, schedule_zone: str, people: Mapping[str, User], troubles: list[tuple[str, str]]
) -> WantedLayer | None:
    before = len(troubles)

    def wrong(name: str, sentence: str) -> None:
        troubles.append((f"{one.key}-{name}", f"{one.name or 'A layer without a name'}: {sentence}"))

    zone_name = one.zone or schedule_zone
    if zone_name not in zone_names():
        if one.zone:
            wrong("zone", "choose a time zone such as Europe/Berlin, or leave it empty.")
        zone_name = "UTC"
    zone = ZoneInfo(zone_name)
    chosen = [name for name in one.members if name]
    if not chosen:
        wrong("m-0", "choose at least one person for its rotation.")
    for number, name in enumerate(one.members):
        if name and name not in people:
            wrong(f"m-{number}", "one of its people is not here any more: choose somebody else.")
    begins = _first(one, zone)
    if begins is None:
        wrong("date", "say on which day and at what time the first turn begins, such as 08:00.")
    length = _length(one)
    if length is None:
        wrong(
            "count", "a turn lasts from 10 minutes to a year: write a number and choose minutes, hours, days or weeks."
        )
    hours = _hours(one, wrong)
    if one.holidays not in Layer.Holidays.values:
        wrong("holidays", "choose what holds on public holidays.")
    active = [_moment(text, zone) for text in (one.begins, one.ends)]
    for name, text, at in zip(("begins", "ends"), (one.begins, one.ends), active, strict=True):
        if text and at is None:
            wrong(name, "choose a day and a time, or leave it empty.")
    if active[0] and active[1] and active[0] >= active[1]:
        wrong("ends", "it counts until a time that comes after the time from which it counts.")
    if begins is None or length is None or len(troubles) > before:
        return None
    return WantedLayer(
        tuple(people[name] for name in chosen), begins, length, one.name, one.zone, hours, one.holidays, *active
    )


def _first(one: LayerForm, zone: ZoneInfo) -> datetime | None:
    try:
        wall = datetime.combine(date.fromisoformat(one.date), time.fromisoformat(one.at))
    except ValueError:
        return None
    return moment_of(wall, zone) if wall.tzinfo is None and 2000 <= wall.year <= 2100 else None


def _moment(text: str, zone: ZoneInfo) -> datetime | None:
    if not text:
        return None
    try:
        wall = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment_of(wall, zone) if wall.tzinfo is None and 2000 <= wall.year <= 2100 else None


def _length(one: LayerForm) -> timedelta | None:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,4})?", one.count) or one.unit not in UNITS:
        return None
    length = timedelta(seconds=round(float(one.count) * UNITS[one.unit].total_seconds()))
    return length if SHORTEST_TURN <= length <= LONGEST_TURN else None


def _hours(one: LayerForm, wrong: Any) -> tuple[dict[str, Any], ...]:
    found: list[dict[str, Any]] = []
    for number, hours in enumerate(one.hours):
        if not hours.days:
            wrong(f"h-{number}-mon", "tick at least one weekday for its hours, or take them away.")
            continue
        said: dict[str, Any] = {} if len(hours.days) == 7 else {"days": hours.days}
        said |= {"from": _clock(hours.start), "to": _clock(hours.end)}
        try:
            read_restrictions([said])
        except RestrictionError:
            wrong(f"h-{number}-from", "its hours run from a time to a time, such as 20:00 to 08:00 or 00:00 to 24:00.")
        found.append(said)
    return tuple(found)


def _clock(text: str) -> str:
    """``8:00`` and ``08`` as 08:00; anything else as it is."""
    match = re.fullmatch(r"(\d{1,2})(?:[:.](\d{2}))?", text)
    return f"{int(match[1]):02}:{match[2] or '00'}" if match else text
