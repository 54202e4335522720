"""One EPCIS event -> one canonical event. Pure.

What happened is said by the business step and disposition (`vocabulary.meaning`), to what by the EPC lists, for which
order or advice by the business transactions, between whom by the source and destination lists (EPCIS 2.0, section 7).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apps.collectors.gs1 import facts, vocabulary
from apps.collectors.gs1.documents import EVENT_TYPES, Item, current, kind_of, too_many
from apps.collectors.gs1.facts import Bad, Settings, What, text
from apps.collectors.gs1.identity import identity
from apps.collectors.gs1.vocabulary import OBSERVED, WITHDRAWN, word
from apps.collectors.jsonbody import MAX_EVENTS, excerpt
from apps.flows.canonical import CanonicalEvent, ParseIssue

#: of one event
_MOST_WARNINGS = 50
_MOST_MEANINGS = 1_000
_LONGEST_WORD = 200
_ACTIONS = frozenset({"ADD", "OBSERVE", "DELETE"})
#: what an event of a type must name, one of each group (EPCIS 2.0, sections 7.4.2 to 7.4.6)
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "TransactionEvent": ("bizTransactionList",),
    "AssociationEvent": ("parentID",),
    "TransformationEvent": (
        "inputEPCList",
        "outputEPCList",
        "inputQuantityList",
        "outputQuantityList",
        "transformationID",
    ),
}


class Interpreter:
    """Collects the events of a delivery and what is wrong with them. count: events seen, good or bad."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.events: list[CanonicalEvent] = []
        self.issues: list[ParseIssue] = []
        self.count = 0
        #: (event type, action, step, disposition) as written -> (our event type, step, disposition)
        self._meanings: dict[tuple[str, str, str, str], tuple[str, str, str]] = {}

    def read(self, item: Item) -> None:
        """Adds the event, or an error that says why there is none. Raises `ParseFailure` for far too many."""
        if item.raw is None:
            sentence = "The document holds no event: nothing happened, or it is master data only."
            self.issues.append(ParseIssue("epcis.no_events", sentence, item.position, "", "warning"))
            return
        self.count += 1
        if self.count > MAX_EVENTS:
            raise too_many()
        position = item.position
        try:
            self.events.append(self._event(item.raw, position))
        except Bad as bad:
            severity = "warning" if bad.code == "epcis.foreign_event" else "error"
            fragment = excerpt(bad.value) if bad.value not in ("", None) else ""
            self.issues.append(ParseIssue(bad.code, bad.sentence, _below(position, bad.name), fragment, severity))

    def _event(self, raw: Any, position: str) -> CanonicalEvent:
        most = len(self.issues) + _MOST_WARNINGS

        def warn(code: str, sentence: str, name: str, value: Any) -> None:
            if len(self.issues) >= most:
                if len(self.issues) == most:
                    more = f"There are more than {_MOST_WARNINGS} remarks on this event; the rest is not listed."
                    self.issues.append(ParseIssue("epcis.more_remarks", more, position, "", "warning"))
                return
            fragment = excerpt(value) if value not in ("", None) else ""
            self.issues.append(ParseIssue(code, sentence, _below(position, name), fragment, "warning"))

        if not isinstance(raw, dict):
            raise Bad("epcis.bad_event", "An event must be an object.", "", raw)
        raw = current(raw)
        kind = kind_of(raw)
        if kind not in EVENT_TYPES:
            if ":" in kind:
                sentence = f"Events of the type “{excerpt(kind, 100)}” are somebody's own; none is read."
                raise Bad("epcis.foreign_event", sentence)
            known = ", ".join(sorted(EVENT_TYPES))
            raise Bad("epcis.unknown_type", f"The event's type must be one of {known}.", "type", kind or raw)
        offset = facts.offset_of(raw, warn)
        happened_at = facts.moment(raw, "eventTime", offset[0] if offset else self.settings.zone)
        action = _action(raw, kind)
        what = facts.what_of(raw, self.settings, warn)
        _check(raw, kind, action, what)
        event_type, step, disposition = self._meaning(raw, kind, action, warn)
        read_point, location = facts.place_of(raw, "readPoint", warn), facts.place_of(raw, "bizLocation", warn)
        parties = facts.parties_of(raw, self.settings, what.canonical, warn)
        if not what.references:
            sentence = "The event names nothing that leads to a flow: it is kept, and belongs to none."
            warn("epcis.no_reference", sentence, "", "")
        event_id = text(raw.get("eventID"))
        if not event_id:
            what.canonical += [("type", kind), ("eventTime", facts.utc(happened_at)), ("action", action)]
            what.canonical += [("bizStep", step), ("disposition", disposition)]
            what.canonical += [("readPoint", read_point), ("bizLocation", location)]
            event_id = identity(what.canonical, raw)
        event = CanonicalEvent(
            type=event_type,
            happened_at=happened_at,
            references=tuple(what.references),
            source_event_id=event_id if len(event_id) <= 1_000 else identity([("eventID", event_id)], {}),
            sent_at=_recorded(raw, self.settings, warn) if "recordTime" in raw else None,
            zone=offset[1] if offset else "UTC",
            parties=parties,
            data=_data((kind, action, step, disposition, read_point, location), what, offset),
            position=position,
        )
        declared = raw.get("errorDeclaration")
        return _withdrawn(event, declared, self.settings, warn) if declared else event

    def _meaning(self, raw: Mapping[str, Any], kind: str, action: str, warn: facts.Warn) -> tuple[str, str, str]:
        """(our event type, business step, disposition), the words bare."""
        written = (kind, action, text(raw.get("bizStep")), text(raw.get("disposition")))
        known = self._meanings.get(written)
        if known is None:
            before = len(self.issues)
            step, disposition = word(written[2]), word(written[3])
            known = self._type(kind, action, step, disposition, warn), step, disposition
            if len(self.issues) == before and len(self._meanings) < _MOST_MEANINGS:
                # what needs a remark is looked at each time
                self._meanings[written] = known
        return known

    def _type(self, kind: str, action: str, step: str, disposition: str, warn: facts.Warn) -> str:
        found = vocabulary.meaning(step, disposition, self.settings.meanings)
        if not self._is_known(step, disposition):
            kept = "it is kept as seen" if found in (None, OBSERVED) else "the step alone was read"
            sentence = (
                f"The business step “{excerpt(step, 100) or 'none'}” with the disposition "
                f"“{excerpt(disposition, 100) or 'none'}” is unmapped: {kept}. Name its meaning in the integration's "
                "settings, then replay."
            )
            warn("epcis.unmapped", sentence, "bizStep" if found is None else "disposition", "")
        # a transaction that no longer holds completes nothing
        return OBSERVED if found is None or (kind == "TransactionEvent" and action == "DELETE") else found

    def _is_known(self, step: str, disposition: str) -> bool:
        if (step, disposition) in self.settings.meanings or (step, "") in self.settings.meanings:
            return True
        return (not step or step in vocabulary.BIZ_STEPS) and (
            not disposition or disposition in vocabulary.DISPOSITIONS
        )


def _below(position: str, name: str) -> str:
    if not name:
        return position
    return f"{position}.{name}" if position[:1] == "$" else f"{position}, {name}"


def _action(raw: Mapping[str, Any], kind: str) -> str:
    action = text(raw.get("action"))
    if kind == "TransformationEvent":
        return ""
    if action not in _ACTIONS:
        code = "epcis.bad_action" if action else "epcis.missing"
        shown = f"is “{excerpt(action, 40)}”" if action else "is missing"
        raise Bad(code, f"The action of an {kind} {shown}; it must be ADD, OBSERVE or DELETE.", "action", action)
    return action


def _check(raw: Mapping[str, Any], kind: str, action: str, what: What) -> None:
    """What the standard demands of the type. Raises `Bad`."""
    needed = _NEEDED.get(kind, ())
    if needed and not any(raw.get(name) for name in needed):
        sentence = f"The {kind} names no {' and no '.join(needed)}."
        raise Bad("epcis.missing", sentence, needed[0])
    if kind == "AggregationEvent" and action != "OBSERVE" and not text(raw.get("parentID")):
        raise Bad("epcis.missing", f"The AggregationEvent with the action {action} names no parentID.", "parentID")
    if what.bad and not what.references and not what.quantities and not what.items:
        sentence = "None of the identifiers of the event can be read, so it belongs to nothing."
        raise Bad("epcis.no_key", sentence, "")


def _recorded(raw: Mapping[str, Any], settings: Settings, warn: facts.Warn) -> datetime | None:
    if not raw.get("recordTime"):
        return None
    try:
        return facts.moment(raw, "recordTime", settings.zone)
    except Bad as bad:
        warn(bad.code, f"{bad.sentence} The event is read without it.", "recordTime", bad.value)
        return None


_TOLD = ("event", "action", "biz_step", "disposition", "read_point", "biz_location")


def _data(words: tuple[str, ...], what: What, offset: tuple[Any, str, str] | None) -> dict[str, Any]:
    told: dict[str, Any] = {name: value for name, value in zip(_TOLD, words, strict=True) if value}
    if max(map(len, words)) > _LONGEST_WORD:
        told = {name: facts.short(value) for name, value in told.items()}
    if what.items:
        told["items"] = what.items
    if what.units:
        told["handling_units"] = what.units
    if what.quantities:
        told["quantities"] = what.quantities
    if what.transactions:
        told["transactions"] = what.transactions
    if offset and offset[1] == "UTC" and offset[2] not in ("Z", "+00:00", "-00:00"):
        # a zone of half hours has no name of its own
        told["offset"] = offset[2]
    return told


def _withdrawn(event: CanonicalEvent, declared: Any, settings: Settings, warn: facts.Warn) -> CanonicalEvent:
    """An event that says an earlier one of the same id was wrong (EPCIS 2.0, section 7.4.1.2).

    What was recorded stays recorded; the declaration stands beside it, under an identity of its own.
    """
    if not isinstance(declared, dict):
        raise Bad(
            "epcis.bad_error_declaration", "The errorDeclaration must be an object.", "errorDeclaration", declared
        )
    when = facts.moment(declared, "declarationTime", settings.zone)
    corrections = [text(one) for one in facts.listed(declared, "correctiveEventIDs")]
    data = {
        **event.data,
        "withdrawn": {
            "event_id": event.source_event_id,
            "type": event.type,
            "happened_at": facts.utc(event.happened_at),
            "reason": excerpt(word(text(declared.get("reason"))), 100),
            "corrected_by": [one for one in corrections[:20] if one],
        },
    }
    sentence = "The source declares this event wrong: it no longer counts, and what it alone had reached is open again."
    warn("epcis.error_declared", sentence, "errorDeclaration", event.source_event_id)
    return CanonicalEvent(
        type=WITHDRAWN,
        happened_at=when,
        references=event.references,
        source_event_id=f"{event.source_event_id[:950]} withdrawn {facts.utc(when)}",
        sent_at=event.sent_at,
        zone=event.zone,
        parties=event.parties,
        data=data,
        position=event.position,
    )
