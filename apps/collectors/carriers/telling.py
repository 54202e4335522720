"""Parcels and their scans become canonical events. Pure; the same for every carrier.

One event for each scan. Messages repeat the whole history of a parcel, so an event holds only what belongs to its scan
and never changes, and its identity is the scan itself: number, moment, code, place and text. What changes with every
message (the estimated arrival) is an event of its own, told at the time of the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.collectors.carriers import model
from apps.collectors.carriers.model import Meaning, Moment, Parcel, Place, Scan, Table
from apps.collectors.carriers.moments import ISO, TimeError, read_day, read_moment
from apps.collectors.carriers.settings import Meant
from apps.collectors.jsonbody import excerpt
from apps.flows.canonical import CanonicalEvent, ParseIssue, ParseResult, Reference, hash_of
from apps.flows.catalogue import REFERENCE_KINDS, label_of_event

_TEXT = 300
_TROUBLE = frozenset({model.EXCEPTION, model.ATTEMPTED})
_AT_ITS_END = frozenset({model.DELIVERED, model.CAME_BACK, model.VOIDED})
#: a label made for a return opens no parcel on its way to a customer
_NOT_OF_RETURNS = frozenset({model.LABEL, model.MANIFESTED, model.PROOF})
NO_CODE = "(none)"


@dataclass(slots=True)
class Unmapped:
    """A code that is not in the table: how often it came in this message, where first, and what it was read as."""

    count: int
    position: str
    instead: str


@dataclass(frozen=True, slots=True)
class Common:
    """What all events of a parcel have in common. name: the first part of their identities."""

    name: str
    references: tuple[Reference, ...]
    parties: Mapping[str, str]
    data: Mapping[str, Any]


class Reader:
    """One delivery in work. kind: of the collector, first part of its issue codes; label: its name for people."""

    def __init__(self, kind: str, label: str, table: Table, meant: Meant, partner: str, zone: str) -> None:
        self.kind, self.label, self.table, self.meant = kind, label, table, meant
        self.partner, self.zone = partner, zone
        self.events: dict[str, CanonicalEvent] = {}
        self.issues: list[ParseIssue] = []
        self._unmapped: dict[tuple[str, str], Unmapped] = {}
        self._told: list[str] = []

    # --- what the kinds call while they take a message apart

    def issue(self, code: str, sentence: str, position: str, fragment: Any = "", severity: str = "error") -> None:
        shown = excerpt(fragment) if fragment != "" else ""
        self.issues.append(ParseIssue(f"{self.kind}.{code}", sentence, position, shown, severity))

    def moment(self, value: Any, position: str, place: Place | None = None, form: str = ISO) -> Moment | None:
        """A time, or None: nothing if there is none, an issue if it cannot be read."""
        if value is None or value == "":
            return None
        try:
            return read_moment(value, self.zone, place, form)
        except TimeError as error:
            self.issue("bad_time", f"The time “{excerpt(value, 60)}” {error}.", position, value)
            return None

    def day(self, value: Any, position: str, place: Place | None = None) -> Moment | None:
        """A promised or estimated time. One that cannot be read costs only itself."""
        if value is None or value == "":
            return None
        try:
            return read_day(value, self.zone, place)
        except TimeError as error:
            self.issue("bad_time", f"The date “{excerpt(value, 60)}” {error}.", position, value, "warning")
            return None

    def scan(self, when: Any, codes: tuple[str, ...], position: str, *, form: str = ISO, **rest: Any) -> list[Scan]:
        """A scan as a list of one; of none, with an issue, if it has no readable time. rest: fields of `Scan`."""
        at = when if isinstance(when, Moment) else self.moment(when, position, rest.get("place"), form)
        if at is None:
            if when is None or when == "":
                self.issue("no_time", "The scan has no time; it was not taken.", position)
            return []
        return [Scan(at, tuple(filter(None, codes)), position, **rest)]

    def silent(self, codes: tuple[str, ...]) -> None:
        """A status of the parcel as a whole that stands beside no scan: told only if there is nothing else to tell."""
        self._told.append(next(filter(None, codes), NO_CODE))

    # --- what they make of it

    def tell(self, parcel: Parcel) -> None:
        """Adds the events of a parcel."""
        common = self._common(parcel)
        if not common.references:
            sentence = "There is no tracking number and no other key; the parcel was not taken."
            self.issue("no_tracking_number", sentence, parcel.position)
            return
        ended, newest = False, None
        for scan in parcel.scans:
            meaning = self._meaning(scan, parcel)
            kind = _for_returns(meaning.event) if meaning and parcel.returning else meaning.event if meaning else ""
            ended = ended or kind in _AT_ITS_END
            if newest is None or scan.at.at > newest.at:
                newest = scan.at
            if meaning is not None and kind:
                self._add(self._event(common, scan, kind, meaning))
            elif meaning is not None:
                self._told.append(scan.codes[0])
        if parcel.proof is not None and not parcel.returning:
            self._add(self._event(common, parcel.proof, model.PROOF, Meaning(model.PROOF)))
        told_at = parcel.told_at or newest
        if "eta" in parcel.dates and told_at is not None and not ended:
            # dates that change are told once for each message, not on scans that must stay as they are
            dates = parcel.dates
            scan = Scan(told_at, (), parcel.position, written=_dates_key(dates), dates=dates)
            self._add(self._event(common, scan, model.ETA, Meaning(model.ETA)))

    def result(self, warnings: tuple[ParseIssue, ...] = ()) -> ParseResult:
        for (carrier, code), found in self._unmapped.items():
            self._list(carrier, code, found)
        issues = (*warnings, *self.issues)
        if not self.events and not issues:
            known = ", ".join(dict.fromkeys(self._told)) or "none"
            sentence = f"The message tells nothing that has happened to a parcel (status: {excerpt(known, 100)})."
            issues = (ParseIssue(f"{self.kind}.nothing_to_tell", sentence, "$", severity="warning"),)
        return ParseResult(tuple(self.events.values()), issues)

    def _meaning(self, scan: Scan, parcel: Parcel) -> Meaning | None:
        """By the most telling code that is known. One that is not is listed for mapping, whatever it was read as."""
        for number, code in enumerate(scan.codes):
            key = code.lower()
            found = self.table.get(key)
            if key in self.meant.status_codes:
                found = Meaning(self.meant.status_codes[key])
            if found is not None:
                if number:
                    self._note(parcel.carrier, scan, found.event)
                return found
        self._note(parcel.carrier, scan, "")
        return None

    def _note(self, carrier: str, scan: Scan, instead: str) -> None:
        code = scan.codes[0] if scan.codes else NO_CODE
        found = self._unmapped.setdefault((carrier, code), Unmapped(0, scan.position, instead))
        found.count += 1

    def _list(self, carrier: str, code: str, found: Unmapped) -> None:
        of = f"{self.label} / {excerpt(carrier, 60)}" if carrier else self.label
        often = "once" if found.count == 1 else f"{found.count} times"
        done = "gave no event. Say what it means in the setting “status codes”, then replay."
        if found.instead:
            done = f"was read by what it refines, as “{label_of_event(found.instead)}”. See the setting “status codes”."
        sentence = f"The status “{excerpt(code, 80)}” of {of} is not mapped; it came {often} and {done}"
        self.issue("unmapped_status", sentence, found.position, code, "warning")

    def _add(self, event: CanonicalEvent) -> None:
        self.events.setdefault(event.source_event_id, event)

    def _common(self, parcel: Parcel) -> Common:
        references, others = self._references(parcel)
        data = {**parcel.data, **others, **({"return": True} if parcel.returning else {})}
        name = parcel.number or (references[0].value if references else "")
        return Common(name[:200], references, self._parties(parcel.carrier), data)

    def _event(self, common: Common, scan: Scan, kind: str, meaning: Meaning) -> CanonicalEvent:
        at, place = scan.at, scan.place.told()
        # the most telling code alone: what it is read by besides may depend on what else is in the message
        identity = hash_of(
            "scan" if scan.codes else kind,
            at.at.isoformat(),
            scan.codes[0].lower() if scan.codes else "",
            *(f"{name}={value.upper()}" for name, value in place.items()),
            scan.text,
            scan.written,
        )
        data: dict[str, Any] = {**common.data, **scan.data}
        if scan.codes:
            data["status_code"] = _short(scan.codes[0], 100)
        if scan.text:
            data["text"] = _short(scan.text, _TEXT)
        if place:
            data["location"] = {name: _short(value, 100) for name, value in place.items()}
        if kind in _TROUBLE:
            data["exception"] = meaning.words or data.get("text") or data.get("status_code", "")
        if meaning.returning:
            data["return"] = True
        _flag(data, scan)
        return CanonicalEvent(
            type=kind,
            happened_at=at.at,
            references=common.references,
            source_event_id=f"{common.name}/{identity}",
            zone=at.zone,
            dates={name: moment.at for name, moment in scan.dates.items()},
            parties=common.parties,
            data=data,
            position=scan.position,
        )

    def _references(self, parcel: Parcel) -> tuple[tuple[Reference, ...], dict[str, Any]]:
        """The parcel's keys, and those it names that must not be linked.

        A return is none of the order's parcels: its order is told, and not linked. Two keys of one kind would make
        one flow of two orders: neither is linked.
        """
        told: dict[str, dict[str, None]] = {}
        for field, value in parcel.references:
            kind = self.meant.references.get(field, "")
            if value and kind:
                told.setdefault(kind, {})[value[:200]] = None
        if parcel.number:
            told["tracking_number"] = {parcel.number: None}
        found: list[Reference] = []
        others: dict[str, list[str]] = {}
        for kind, values in sorted(told.items(), key=lambda pair: pair[0] != "tracking_number"):
            if len(values) > 1 or (parcel.returning and kind not in ("return_order", "tracking_number")):
                others[kind] = [excerpt(value, 200) for value in values]
            else:
                found.append(Reference(kind, next(iter(values)), self.partner if REFERENCE_KINDS[kind][1] else ""))
        return tuple(found), {"not_linked": others} if others else {}

    def _parties(self, carrier: str) -> dict[str, str]:
        slug = self.meant.carriers.get(carrier.lower())
        if slug:
            return {"carrier": slug[:128]}
        return {"carrier": f"carrier:{excerpt(carrier, 100).lower()}"} if carrier else {}


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else excerpt(text, limit)


def _for_returns(event: str) -> str:
    if event in _NOT_OF_RETURNS:
        return model.NOTHING
    return model.CAME_BACK if event == model.DELIVERED else event


def _flag(data: dict[str, Any], scan: Scan) -> None:
    """Says which times are days, and which zone was assumed for a time that named none."""
    if not (scan.dates or scan.at.assumed or scan.at.day_only):
        return
    moments = {"happened_at": scan.at, **scan.dates}
    days = [name for name, moment in moments.items() if moment.day_only]
    if days:
        data["days"] = days
    assumed = {name: moment.zone for name, moment in moments.items() if moment.assumed}
    if assumed:
        data["zone_assumed"] = assumed


def _dates_key(dates: Mapping[str, Moment]) -> str:
    return ",".join(f"{name}={moment.at.isoformat()}" for name, moment in sorted(dates.items()))
