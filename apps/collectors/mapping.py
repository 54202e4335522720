"""Applies a mapping document to JSON documents or rows: canonical events out, or issues that name value and place.

Pure. The document's form is `mapping_schema.MAPPING_SCHEMA`, its meaning docs/collectors/mapping.md. A code the mapping
does not know is never guessed, a missing field never invented.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from apps.collectors.jsonbody import MAX_EVENTS, excerpt
from apps.collectors.mapping_rules import (
    EXISTS,
    MISSING,
    Condition,
    MappingError,
    PartyRule,
    ReferenceRule,
    Rule,
    Rules,
    TimeRule,
    TypeRule,
    compile_mapping,
    plain,
    remarks,
)
from apps.collectors.mapping_schema import MAPPING_SCHEMA
from apps.collectors.paths import Path, Scope
from apps.collectors.times import Replay, TimeError, read_time, start_of_day, zone_of
from apps.collectors.tracing import trace_id_of
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult, Reference
from apps.flows.catalogue import EVENT_TYPES, REFERENCE_KINDS

__all__ = [
    "MAPPING_SCHEMA",
    "Context",
    "MappingError",
    "apply",
    "compile_mapping",
    "known_type",
    "remarks",
    "trace_id_of",
]

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


@dataclass(frozen=True, slots=True)
class Context:
    """What the documents themselves do not say.

    partner: slug for keys that need an issuer; zone: for times without an offset; replay: the log is told anew;
    after, until: only events that happened in (after, until] by the log's own clock; backfill: the past is judged as
    if it had been received when it happened.
    """

    partner: str = ""
    zone: str = "UTC"
    replay: Replay | None = None
    after: datetime | None = None
    until: datetime | None = None
    backfill: bool = False


@dataclass(slots=True)
class _Unreadable(Exception):
    """This part gives no event."""

    issue: ParseIssue


@dataclass(slots=True)
class _Moment:
    """A time as the log says it, as it is told now, and the zone it was read in."""

    told: datetime
    moved: datetime
    zone: str


def apply(rules: Rules, documents: Iterable[Scope], context: Context, most: int = MAX_EVENTS) -> ParseResult:
    """Every event of every document, in order. Raises `ParseFailure` if there are more than ``most``."""
    reader = _Reader(rules, context)
    events: list[CanonicalEvent] = []
    for document in documents:
        events.extend(reader.events(document))
        if len(events) > most:
            raise ParseFailure(
                "receipt.too_many_events",
                f"The delivery holds more than {most:,} events; send it in smaller parts.",
                document.position,
            )
    return ParseResult(tuple(events), tuple(reader.issues))


def compiled(spec: Mapping[str, Any]) -> Rules:
    """The rules of an integration's mapping. Raises `ParseFailure`: correct the mapping, then replay."""
    try:
        return compile_mapping(spec)
    except MappingError as error:
        sentence = f"The mapping of this integration cannot be used: {error}"
        raise ParseFailure("mapping.invalid", sentence) from None


def known_type(name: str, position: str, issues: list[ParseIssue]) -> bool:
    """Whether `name` may be an event type. A well-formed name that the catalogue lacks is kept, with a warning."""
    if len(name) > 64 or not _NAME.fullmatch(name):
        return False
    if name not in EVENT_TYPES:
        issues.append(
            ParseIssue(
                "event.unknown_type",
                f"The event type {name} is not in the catalogue; it is kept, but no flow uses it.",
                position,
                severity="warning",
            )
        )
    return True


@dataclass(slots=True)
class _Reader:
    rules: Rules
    context: Context
    issues: list[ParseIssue] = field(default_factory=list)
    #: whether a rule wanted the current document, though it may have had nothing to say
    wanted: bool = False

    def events(self, document: Scope) -> Iterator[CanonicalEvent]:
        self.wanted = False
        for rule in self.rules.rules:
            for scope in rule.each.expand(document) if rule.each else (document,):
                if not all(self._holds(condition, scope) for condition in rule.when):
                    continue
                self.wanted = True
                try:
                    event = self._event(rule, scope)
                except _Unreadable as problem:
                    self.issues.append(problem.issue)
                    continue
                if event is not None:
                    yield event
        if not self.wanted and not self.rules.ignore_unwanted:
            self.issues.append(
                ParseIssue(
                    "mapping.nothing_matched",
                    "No rule of the mapping wants this; add a rule, or say otherwise: ignore.",
                    document.position,
                    excerpt(document.nodes[0]),
                    severity="warning",
                )
            )

    def _holds(self, condition: Condition, scope: Scope) -> bool:
        found = self._found(condition.path, scope)
        if condition.mode == EXISTS:
            return bool(found)
        if condition.mode == MISSING:
            return not found
        return any(plain(value) in condition.texts for value in found)

    def _event(self, rule: Rule, scope: Scope) -> CanonicalEvent | None:
        happened_at = self._time(rule.happened_at, scope, "the time happened_at")
        if happened_at is None:
            raise self._problem("mapping.missing", "the time happened_at is missing", rule.happened_at.paths, scope)
        context = self.context
        if (context.after and happened_at.told <= context.after) or (
            context.until and happened_at.told > context.until
        ):
            return None
        kind = self._type(rule.kind, scope)
        if kind is None:
            return None
        clocks: dict[str, datetime | None] = {}
        for name, time in rule.clocks.items():
            clocks[name] = self._moved(time, scope, f"the time {name}")
        if context.backfill:
            clocks["received_at"] = clocks.get("received_at") or happened_at.moved
        trace_id = self._trace(rule.trace, scope)
        references = self._references(rule, scope)
        if trace_id:
            references.setdefault(Reference("trace", trace_id))
        if not references:
            raise self._problem(
                "mapping.no_reference",
                "no business key was found, so the event belongs to nothing",
                tuple(path for one in rule.references for path in one.paths),
                scope,
            )
        return CanonicalEvent(
            type=kind,
            happened_at=happened_at.moved,
            references=tuple(references),
            source_event_id=self._identity(rule, scope, kind),
            zone=happened_at.zone,
            dates=dict(self._dates(rule, scope)) if rule.dates else {},
            parties=dict(self._parties(rule, scope)) if rule.parties else {},
            data=self._datas(rule, scope) if rule.data else {},
            position=scope.position,
            trace_id=trace_id,
            **clocks,
        )

    def _type(self, rule: str | TypeRule, scope: Scope) -> str | None:
        if isinstance(rule, str):
            return rule
        code = self._joined(rule.paths, scope, " ", "the event type")
        if code is None:
            raise self._problem("mapping.missing", "the event type is missing", rule.paths, scope)
        if code in rule.ignore:
            return None
        if rule.values is None:
            if known_type(code, scope.position, self.issues):
                return code
        elif code in rule.values:
            return rule.values[code]
        raise self._problem(
            "mapping.unknown_code",
            f"the code “{excerpt(code, 60)}” has no event type; add it to values, or to ignore",
            rule.paths,
            scope,
        )

    def _references(self, rule: Rule, scope: Scope) -> dict[Reference, None]:
        found: dict[Reference, None] = {}
        for one in rule.references:
            values = self._reference_values(one, scope)
            if not values and one.required:
                raise self._problem("mapping.missing", f"the {one.kind} is missing", one.paths, scope)
            for value in values:
                found[Reference(one.kind, value, self._issuer(one, scope))] = None
        return found

    def _reference_values(self, rule: ReferenceRule, scope: Scope) -> list[str]:
        if len(rule.paths) > 1:
            joined = self._joined(rule.paths, scope, "-", f"the {rule.kind}")
            values: list[Any] = [] if joined is None else [joined]
        else:
            values = self._found(rule.paths[0], scope)
        texts = []
        for value in values:
            text = plain(value)
            if text is None:
                sentence = f"the {rule.kind} is an object or a list, not a key"
                raise self._problem("mapping.not_a_value", sentence, rule.paths, scope)
            texts.append(text)
        return texts

    def _issuer(self, rule: ReferenceRule, scope: Scope) -> str:
        if rule.issuer is None:
            needed = REFERENCE_KINDS.get(rule.kind, ("", False))[1]
            return self.context.partner if needed else ""
        if isinstance(rule.issuer, str):
            return rule.issuer
        return self._joined((rule.issuer,), scope, "", f"the issuer of the {rule.kind}") or ""

    def _identity(self, rule: Rule, scope: Scope, kind: str) -> str:
        if not rule.identity:
            return ""
        identity = self._joined(rule.identity, scope, ":", "the id")
        if identity is None:
            return ""
        return f"{identity}:{kind}" if rule.identity_with_type else identity

    def _trace(self, path: Path | None, scope: Scope) -> str:
        text = self._joined((path,), scope, "", "the trace") if path else None
        return trace_id_of(text) if text else ""

    def _dates(self, rule: Rule, scope: Scope) -> Iterator[tuple[str, datetime]]:
        for name, time in rule.dates.items():
            moved = self._moved(time, scope, f"the date {name}")
            if moved is not None:
                yield name, moved

    def _parties(self, rule: Rule, scope: Scope) -> Iterator[tuple[str, str]]:
        for role, party in rule.parties.items():
            found = self._party(role, party, scope)
            if found:
                yield role, found[:128]

    def _party(self, role: str, rule: PartyRule, scope: Scope) -> str | None:
        if rule.path is None:
            return rule.fixed
        value = self._joined((rule.path,), scope, "", role)
        if value is None:
            return None
        if rule.values is not None:
            if value not in rule.values:
                problem = f"the {role} “{excerpt(value, 60)}” is not in the mapping and was left out"
                self.issues.append(
                    self._problem("mapping.unknown_party", problem, (rule.path,), scope, "warning").issue
                )
                return None
            return rule.values[value]
        return f"{rule.scheme}:{value}" if rule.scheme else value

    def _datas(self, rule: Rule, scope: Scope) -> dict[str, Any]:
        found = {}
        for name, path in rule.data.items():
            value = self._data(path, scope)
            if value is not None:
                found[name] = value
        return found

    def _data(self, path: Path, scope: Scope) -> Any:
        found = self._found(path, scope)
        return (found if len(found) > 1 else found[0]) if found else None

    def _moved(self, rule: TimeRule, scope: Scope, name: str) -> datetime | None:
        """A time beside the main one: if it cannot be read it is left out, with a warning."""
        try:
            moment = self._time(rule, scope, name)
        except _Unreadable as problem:
            issue = problem.issue
            sentence = f"{issue.sentence} The event was kept without it."
            self.issues.append(ParseIssue(issue.code, sentence, issue.position, issue.fragment, "warning"))
            return None
        return moment.moved if moment else None

    def _time(self, rule: TimeRule, scope: Scope, name: str) -> _Moment | None:
        value: Any
        if len(rule.paths) == 1:
            value = self._single(rule.paths[0], scope, name)
        else:
            value = self._joined(rule.paths, scope, " ", name)
        if value is None:
            return None
        zone_name = rule.zone or self.rules.zone or self.context.zone
        try:
            zone = zone_of(zone_name)
            told = read_time(value, rule.form, zone, rule.date_only)
        except TimeError as error:
            sentence = f"{name} “{excerpt(value, 60)}” {error}"
            raise self._problem("mapping.bad_time", sentence, rule.paths, scope) from None
        return _Moment(told, self._replayed(told, zone, rule.date_only), zone_name)

    def _replayed(self, told: datetime, zone: tzinfo, date_only: bool) -> datetime:
        replay = self.context.replay
        if replay is None:
            return told
        if date_only:
            return start_of_day(replay.move_day(told.astimezone(zone).date(), zone), zone)
        return replay.move(told, zone)

    def _null(self, value: Any) -> bool:
        return value is None or (isinstance(value, str) and value.strip() in self.rules.nulls)

    def _found(self, path: Path, scope: Scope) -> list[Any]:
        if path.many:
            return [value for value in path.find(scope) if not self._null(value)]
        value = path.one(scope)
        return [] if self._null(value) else [value]

    def _single(self, path: Path, scope: Scope, name: str) -> Any:
        if path.many:
            found = self._found(path, scope)
            if len(found) > 1:
                raise self._problem(
                    "mapping.several", f"{name} has {len(found)} values where one is needed", (path,), scope
                )
            value = found[0] if found else None
        else:
            value = path.one(scope)
            if type(value) is str:
                # nearly always: a text, and no blanks around it
                return None if value in self.rules.nulls or value.strip() in self.rules.nulls else value
        if isinstance(value, dict | list):
            raise self._problem("mapping.not_a_value", f"{name} is an object or a list, not a value", (path,), scope)
        return None if self._null(value) else value

    def _joined(self, paths: tuple[Path, ...], scope: Scope, joint: str, name: str) -> str | None:
        if len(paths) == 1:
            return plain(self._single(paths[0], scope, name)) or None
        texts = [plain(value) for path in paths if (value := self._single(path, scope, name)) is not None]
        return joint.join(text for text in texts if text) or None

    def _problem(
        self, code: str, what: str, paths: tuple[Path, ...], scope: Scope, severity: str = "error"
    ) -> _Unreadable:
        position = " or ".join(path.at(scope) for path in paths) or scope.position
        sentence = f"{what[0].upper()}{what[1:]}."
        return _Unreadable(ParseIssue(code, sentence, position, excerpt(scope.nodes[-1]), severity))
