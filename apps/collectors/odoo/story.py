"""What one record says: the events between what was known of it and what it holds now. Pure.

facts       the small dictionary remembered of a record, so that the next reading can tell a change from a repeat
events      each has an identity made of model, id, what happened and write_date: reading the same change twice gives
            the same events
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from apps.collectors.odoo.rows import BadRow, Row
from apps.flows.canonical import CanonicalEvent, ParseIssue, Reference

#: longest value of a reference the register keeps
LONGEST_REFERENCE = 200
#: a document's own time this much later than its write_date was set by hand, not by what happened
TOLERANCE = timedelta(minutes=5)
TICK = timedelta(microseconds=1)

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lens:
    """What is needed beside the records to read them.

    channel_orders: an order's customer reference is the order number of a shop or marketplace, issued by channel_issuer;
    labels: field -> code -> label; roles: picking type id -> pick, pack or store; names: model -> id -> name;
    history: record id -> (state, when it was entered), the oldest first; companies: partner id -> identities (vat, gln);
    stock_events: whether changes of stock levels are told.
    """

    base_url: str = ""
    channel_orders: bool = False
    channel_issuer: str = ""
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    roles: Mapping[int, str] = field(default_factory=dict)
    names: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    history: Mapping[int, Sequence[tuple[str, datetime]]] = field(default_factory=dict)
    companies: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    stock_events: bool = False

    def label(self, field_: str, code: str) -> str:
        return self.labels.get(field_, {}).get(code, code)

    def name(self, model: str, link: tuple[int, str] | None) -> str:
        """The name of a linked document, '' without a link. A display name may carry more than the name
        ("P00014 (VEND-88)"), so the reader asks for names; the display name up to a bracket stands in."""
        if link is None:
            return ""
        return self.names.get(model, {}).get(link[0]) or link[1].partition(" (")[0].strip()


@dataclass(slots=True)
class Reading:
    """What a record gave: facts to remember, events and issues in their order."""

    facts: Facts
    events: list[CanonicalEvent] = field(default_factory=list)
    issues: list[ParseIssue] = field(default_factory=list)


class Story:
    """Collects the events of one record in their causal order.

    The API cuts times to whole seconds, so that several steps of one second could be told in any order. Where a
    step shares the second of the step before it, it is dated one microsecond later: the true time lies in that second.
    """

    def __init__(self, model: str, row: Row, previous: Facts | None, lens: Lens, position: str) -> None:
        self.model = model
        self.row = row
        self.known = previous is not None
        self.previous: Facts = previous or {}
        self.lens = lens
        self.position = position
        self.facts: Facts = {}
        self.events: list[CanonicalEvent] = []
        self.issues: list[ParseIssue] = []
        self.references: tuple[Reference, ...] = ()
        self.dates: dict[str, datetime] = {}
        self.parties: dict[str, str] = {}
        self.data: dict[str, Any] = {}
        written = row.time("write_date")
        if written is None:
            raise BadRow("write_date", row.raw.get("write_date"), "a date and time")
        self.written = written
        text = self.previous.get("moment")
        self.last = datetime.fromisoformat(text) if isinstance(text, str) else None

    def own_time(self, name: str, state: str = "") -> datetime:
        """The document's own time of a step; when it has none or was set by hand into the future, the time its history
        tells for this state, and without one write_date."""
        found = self.row.time(name) if name else None
        if found is not None and found <= self.written + TOLERANCE:
            return found
        return (self.entered(state) if state else None) or self.written

    def entered(self, state: str) -> datetime | None:
        """When the record last entered a state, by its history; None if that does not say, or says it of an earlier
        time than what was told already."""
        since = self.last.replace(microsecond=0) if self.last else None
        times = [at for code, at in self.lens.history.get(self.row.id, ()) if code == state]
        fitting = [at for at in times if at <= self.written + TOLERANCE and (since is None or at >= since)]
        return fitting[-1] if fitting else None

    def tell(
        self,
        type_: str,
        step: str,
        at: datetime | None = None,
        *,
        references: Iterable[Reference] | None = None,
        data: Mapping[str, Any] | None = None,
        dated: bool = True,
        written: datetime | None = None,
        anywhere: bool = False,
    ) -> None:
        """Adds an event. step: what happened, part of its identity; dated: whether it can happen again; written: when
        it was written, if that was not the last write; anywhere: also if it names nothing to find a flow by."""
        moment = at or self.written
        last = self.last
        if last is not None and moment <= last and moment.replace(microsecond=0) == last.replace(microsecond=0):
            moment = last + TICK
        self.last = moment if last is None else max(last, moment)
        refs = self.references if references is None else tuple(references)
        if not refs and not anywhere:
            return  # nothing to find a flow by
        booked = written or self.written
        stamp = f"@{booked:%Y-%m-%d %H:%M:%S}" if dated else ""
        self.events.append(
            CanonicalEvent(
                type=type_,
                happened_at=moment,
                references=refs,
                source_event_id=f"{self.model}:{self.row.id}:{step}{stamp}",
                booked_at=booked,
                dates=dict(self.dates),
                parties=dict(self.parties),
                data={**self.data, **(data or {})},
                position=self.position,
            )
        )

    def warn(self, code: str, sentence: str, fragment: str = "") -> None:
        self.issues.append(ParseIssue(code, sentence, self.position, fragment[:200], severity="warning"))

    def unknown(self, field_: str, code: str, type_: str, name: str) -> None:
        """A value this version of the tower does not know: kept with its label, told as a change (an empty type: only
        warned of), never guessed."""
        label = self.lens.label(field_, code)
        words = f"'{code}'" if label == code else f"'{code}' ({label})"
        self.warn(
            "odoo.unknown_value",
            f"{name} has the {field_.replace('_', ' ')} {words}, unknown to the tower; it "
            + ("is kept as a change." if type_ else "gives no event."),
            f"{self.model} {self.row.id} {field_}={code}",
        )
        if type_:
            self.tell(type_, f"{field_}={code}", data={"changed": [field_]})

    def changed(self, names: Sequence[str]) -> list[str]:
        """Which of these facts differ from what was known."""
        return [name for name in names if self.known and self.previous.get(name) != self.facts.get(name)]

    def close(self) -> Reading:
        self.facts["moment"] = self.last.isoformat() if self.last else None
        self.facts["references"] = [[ref.kind, ref.value, ref.issuer] for ref in self.references]
        return Reading(self.facts, self.events, self.issues)


def reference(kind: str, value: str, issuer: str = "") -> list[Reference]:
    """A list of one reference, or of none for an empty value. Raises BadRow for one too long to be a key."""
    if not value:
        return []
    if len(value) > LONGEST_REFERENCE:
        raise BadRow(kind, value, f"a name of at most {LONGEST_REFERENCE} characters")
    return [Reference(kind, value, issuer)]


def common_data(story: Story, code: str, field_: str = "state") -> dict[str, Any]:
    """What every event of a record carries: the state as code and label, the way back to the record in Odoo."""
    lens, row = story.lens, story.row
    found: dict[str, Any] = {field_: code, "odoo_model": story.model, "odoo_id": row.id}
    label = lens.label(field_, code)
    if label != code:
        found[f"{field_}_label"] = label
    if lens.base_url:
        found["odoo_url"] = f"{lens.base_url}/mail/view?model={story.model}&res_id={row.id}"
    company = row.link("company_id")
    if company:
        found["company"] = company[0]
    return found


def iso(value: datetime | None) -> str | None:
    return value.astimezone(UTC).isoformat() if value else None
