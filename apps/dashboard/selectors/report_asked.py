"""What the reader of a report asks for, as the address says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from apps.core.calendars import instant
from apps.integrations.models import Partner
from apps.reports import figures
from apps.reports.figures import OUTCOMES, Narrowing, Span
from apps.sla.blame import HOPS

#: a reason for an exclusion has up to 300 characters
_LONGEST = 320
OUTCOME_WORDS = {
    "kept": "Kept",
    "missed": "Missed",
    "excluded": "Excluded",
    "open": "Still open",
    "at_risk": "At risk",
    "unknown": "Unknown",
    "paused": "Paused",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """month: YYYY-MM; day, or since and until (both included): YYYY-MM-DD instead of it; the others are slugs and words;

    pause: a kind of pause, of promises whose clock once stood still for it; why: ``rule:`` or ``person:`` and the reason
    something was excluded for; hop: where the time of late ones was lost; term: a contract's, of promises it counted for.
    """

    month: str
    partner: str = ""
    flow: str = ""
    rule: str = ""
    milestone: str = ""
    outcome: str = ""
    day: str = ""
    lane: str = ""
    service: str = ""
    since: str = ""
    until: str = ""
    pause: str = ""
    why: str = ""
    hop: str = ""
    term: str = ""
    after: str = ""

    @classmethod
    def read(cls, query: Any, today: date) -> Asked:
        texts = {name: query.get(name, "")[:_LONGEST].strip() for name in cls.__dataclass_fields__}
        month = day_of(texts["month"] + "-01") or today
        texts["month"] = f"{month:%Y-%m}"
        day, since, until = (day_of(texts[name]) for name in ("day", "since", "until"))
        texts["day"] = day.isoformat() if day and f"{day:%Y-%m}" == texts["month"] else ""
        if since and until and since <= until <= since + timedelta(days=400):
            texts |= {"since": since.isoformat(), "until": until.isoformat(), "day": ""}
        else:
            texts |= {"since": "", "until": ""}
        if texts["outcome"] not in (*OUTCOMES, "at_risk"):
            texts["outcome"] = ""
        if not texts["why"].startswith(("rule:", "person:")):
            texts["why"] = ""
        if texts["hop"] not in HOPS:
            texts["hop"] = ""
        return cls(**texts)

    def address(self, **changed: str) -> str:
        values = {name: value for name in _NAMES if (value := changed.get(name, getattr(self, name)))}
        if "after" not in changed:
            values.pop("after", None)
        if "since" in values:
            values.pop("month", None)
        return "?" + urlencode(values)

    def whole(self) -> Asked:
        """The month's page: nothing that only a list of promises can be narrowed to."""
        partner = "" if self.partner == "none" else self.partner
        return replace(self, partner=partner, day="", since="", until="", pause="", why="", hop="", term="")

    @property
    def first(self) -> date:
        return date.fromisoformat(self.month + "-01")

    @property
    def earlier(self) -> str:
        return f"{self.first - timedelta(days=1):%Y-%m}"

    @property
    def later(self) -> str:
        return f"{self.first + timedelta(days=32):%Y-%m}"

    @property
    def when(self) -> str:
        """The span in words."""
        if self.since:
            since, until = date.fromisoformat(self.since), date.fromisoformat(self.until)
            return f"{since.day} {since:%b %Y} to {until.day} {until:%b %Y}"
        return f"{self.first:%B %Y}"

    def span(self, zone: str) -> Span:
        """The month, the one day of it, or the days from since to until."""
        if not (self.day or self.since):
            return figures.month(self.first.year, self.first.month, zone)
        first, last = date.fromisoformat(self.since or self.day), date.fromisoformat(self.until or self.day)
        where, midnight = ZoneInfo(zone), time.min
        return Span(instant(first, midnight, where), instant(last + timedelta(days=1), midnight, where), zone)

    def narrowing(self, partners: Mapping[str, Partner]) -> Narrowing:
        """An unknown partner narrows to nothing."""
        known = partners.get(self.partner)
        number = known.pk if known else (-1 if self.partner and self.partner != "none" else None)
        return Narrowing(number, self.rule, self.flow, self.milestone, self.lane, self.service)


_NAMES = tuple(Asked.__dataclass_fields__)


def day_of(text: str) -> date | None:
    """The day of YYYY-MM-DD; None for anything else, and for what no report reaches."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 2000 <= found.year < 2200 else None
