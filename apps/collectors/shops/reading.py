"""What the readers of shops share: distrustful access to JSON, times, references, facts and issues. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from apps.collectors.jsonbody import excerpt
from apps.collectors.times import ISO, TimeError, read_time, zone_of
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult, Reference

#: events one delivery may hold (`soundness` refuses the whole receipt beyond it)
MOST = 10_000
_GID = re.compile(r"gid://[a-z]+/([A-Za-z]+)/([0-9]+)")


@dataclass(frozen=True, slots=True)
class Fact:
    """One change of state of an order, as an event. topic: the webhook that should have told it; '' if none must."""

    event: CanonicalEvent
    topic: str = ""


@dataclass(slots=True)
class Reader:
    """Collects facts and issues of one delivery. prefix: of its issue codes; issuer: of its order numbers.

    zone: the integration's IANA zone; received_at: of the delivery; triggered_at: when the sender says it was caused;
    order_by: which of its fields is the number people know an order by (name, number or id).
    """

    prefix: str
    issuer: str
    zone: str
    received_at: datetime
    triggered_at: datetime | None = None
    order_by: str = "name"
    facts: list[Fact] = field(default_factory=list)
    issues: list[ParseIssue] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            zone_of(self.zone)
        except TimeError:
            raise ParseFailure(
                f"{self.prefix}.bad_zone", f"The integration's time zone “{excerpt(self.zone, 60)}” is unknown."
            ) from None

    def error(self, code: str, sentence: str, position: str, fragment: Any = "") -> None:
        self.issues.append(ParseIssue(f"{self.prefix}.{code}", sentence, position, excerpt(fragment)))

    def warn(self, code: str, sentence: str, position: str, fragment: Any = "") -> None:
        self.issues.append(ParseIssue(f"{self.prefix}.{code}", sentence, position, excerpt(fragment), "warning"))

    def moment(self, value: Any, position: str, form: str = ISO, zone: str = "") -> datetime | None:
        """A time in UTC; None without one, and with a warning when it is unreadable. zone: of times without an offset."""
        if value is None or value == "":
            return None
        try:
            return read_time(value, form, zone_of(zone or self.zone))
        except TimeError as error:
            self.warn("bad_time", f"The time “{excerpt(value, 60)}” {error}.", position, value)
            return None

    def day(self, value: Any, position: str) -> datetime | None:
        """A promised day or time: a date stands for its first moment in the zone."""
        if value is None or value == "":
            return None
        try:
            return read_time(value, ISO, zone_of(self.zone), date_only=len(text(value)) == 10)
        except TimeError as error:
            self.warn("bad_time", f"The date “{excerpt(value, 60)}” {error}.", position, value)
            return None

    def missing(self, what: str, position: str, fragment: Any) -> None:
        self.error("missing", f"{what} is missing, so nothing can be recorded of this part.", position, fragment)

    def order(self, number: Any = "", own: Any = "") -> tuple[Reference, ...]:
        """An order by the number people know and by the shop's own id; what is empty is left out.

        Two kinds, since two keys of one kind in an event are two orders (`flows.correlation`).
        """
        named = {"channel_order": text(number), "channel_order_id": text(own)}
        return tuple(Reference(kind, value, self.issuer) for kind, value in named.items() if value)

    def add(
        self,
        kind: str,
        happened_at: datetime,
        references: tuple[Reference, ...],
        identity: str,
        position: str,
        *,
        data: Mapping[str, Any] | None = None,
        dates: Mapping[str, datetime | None] | None = None,
        topic: str = "",
        sent_at: datetime | None = None,
    ) -> None:
        """Appends a fact. Empty values of data and dates are left out."""
        if len(self.facts) >= MOST:
            raise ParseFailure(
                "receipt.too_many_events", f"The delivery holds more than {MOST:,} events. None was taken."
            )
        event = CanonicalEvent(
            type=kind,
            happened_at=happened_at,
            references=tuple(dict.fromkeys(references)),
            source_event_id=identity,
            sent_at=sent_at,
            zone=self.zone,
            dates={name: at for name, at in (dates or {}).items() if at is not None},
            data={name: value for name, value in (data or {}).items() if value not in (None, "", [])},
            position=position,
        )
        self.facts.append(Fact(event, topic))

    def result(self) -> ParseResult:
        return ParseResult(tuple(fact.event for fact in self.facts), tuple(self.issues))


def text(value: Any) -> str:
    """A text or whole number as text, without blanks around it; '' for anything else."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def number(value: Any) -> str:
    """An amount as text, as it was written; '' if it is none."""
    if isinstance(value, float):
        return repr(value)
    written = text(value)
    return written if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,6})?", written) else ""


def record(value: Any) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def records(value: Any, at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a list with their places."""
    if isinstance(value, list):
        for index, one in enumerate(value):
            if isinstance(one, dict):
                yield f"{at}[{index}]", one


def length(value: Any) -> int | None:
    return len(value) if isinstance(value, list) else None


def gid(value: Any) -> tuple[str, str]:
    """Type and number of a global id (``gid://shopify/Order/123``); ('', '') if it is none."""
    match = _GID.match(text(value))
    return (match[1], match[2]) if match else ("", "")


def id_of(value: Mapping[str, Any]) -> str:
    """The numeric id of a resource, from its id or its global id."""
    own = text(value.get("id"))
    return gid(own)[1] or own or gid(value.get("admin_graphql_api_id"))[1]


def stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def digest(value: Any) -> str:
    """A short hash of plain values, for identities that change with what was said."""
    raw = orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(raw).hexdigest()[:12]
