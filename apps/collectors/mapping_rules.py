"""Reads a mapping document into rules once; `mapping` applies them to documents many times."""

from __future__ import annotations

from collections.abc import Mapping as Document
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from apps.collectors.mapping_schema import MAPPING_SCHEMA
from apps.collectors.paths import Path, PathError, compile_path
from apps.collectors.times import ISO, TimeError, zone_of
from apps.flows.catalogue import EVENT_TYPES, REFERENCE_KINDS

_VALIDATOR = Draft202012Validator(MAPPING_SCHEMA)
EXISTS, MISSING = "exists", "missing"


class MappingError(ValueError):
    """A mapping document that cannot be used. place: where in the document ('events[2].type'); sentence: why."""

    def __init__(self, place: str, sentence: str) -> None:
        super().__init__(f"{place}: {sentence}" if place else sentence)
        self.place = place
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class TimeRule:
    """Where a time stands and how it is written. zone: '' for the zone of the mapping or the integration."""

    paths: tuple[Path, ...]
    form: str = ISO
    zone: str = ""
    date_only: bool = False


@dataclass(frozen=True, slots=True)
class TypeRule:
    """Where the type stands. values: None if the partner sends our own names."""

    paths: tuple[Path, ...]
    values: Document[str, str] | None
    ignore: frozenset[str]


@dataclass(frozen=True, slots=True)
class ReferenceRule:
    """A business key. issuer: fixed text, a path, or None for 'our partner, where the kind needs an issuer'."""

    kind: str
    paths: tuple[Path, ...]
    issuer: str | Path | None
    required: bool


@dataclass(frozen=True, slots=True)
class PartyRule:
    """Who plays a role: fixed, or looked up and then translated by values or marked with a scheme."""

    fixed: str
    path: Path | None
    scheme: str
    values: Document[str, str] | None


@dataclass(frozen=True, slots=True)
class Condition:
    """What a path must hold: one of `texts`, or anything (EXISTS), or nothing (MISSING)."""

    path: Path
    mode: str
    texts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of event is read out of a document."""

    place: str
    kind: str | TypeRule
    happened_at: TimeRule
    each: Path | None = None
    when: tuple[Condition, ...] = ()
    clocks: Document[str, TimeRule] = field(default_factory=dict)
    identity: tuple[Path, ...] = ()
    identity_with_type: bool = False
    references: tuple[ReferenceRule, ...] = ()
    dates: Document[str, TimeRule] = field(default_factory=dict)
    parties: Document[str, PartyRule] = field(default_factory=dict)
    data: Document[str, Path] = field(default_factory=dict)
    trace: Path | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """A whole mapping document, ready to apply."""

    rules: tuple[Rule, ...]
    nulls: frozenset[str]
    zone: str
    ignore_unwanted: bool


def plain(value: Any) -> str | None:
    """A scalar as the text conditions, codes and keys are compared by; None for lists, objects and null.

    Whole numbers that went through a floating point column (727.0) are the number they stand for (727).
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return None


def compile_mapping(spec: Document[str, Any]) -> Rules:
    """Checks and reads a mapping document; the same document is read once. Raises `MappingError`."""
    try:
        return _compiled(orjson.dumps(spec, option=orjson.OPT_SORT_KEYS))
    except (TypeError, orjson.JSONEncodeError) as error:
        raise MappingError("", f"The mapping is no JSON document: {error}.") from None


def remarks(spec: Document[str, Any]) -> list[str]:
    """What is allowed but probably a slip: event types and reference kinds that the catalogue does not know."""
    found = []
    for rule in compile_mapping(spec).rules:
        names = {rule.kind} if isinstance(rule.kind, str) else set((rule.kind.values or {}).values())
        found += [
            f"{rule.place}: the event type {name} is not in the catalogue" for name in sorted(names - set(EVENT_TYPES))
        ]
        kinds = {reference.kind for reference in rule.references}
        found += [
            f"{rule.place}: the reference kind {kind} is unknown" for kind in sorted(kinds - set(REFERENCE_KINDS))
        ]
    return found


@lru_cache(maxsize=256)
def _compiled(raw: bytes) -> Rules:
    spec = orjson.loads(raw)
    problem = best_match(_VALIDATOR.iter_errors(spec))
    if problem is not None:
        raise MappingError(_place(problem), f"{_short(problem.message)}.")
    if spec.get("zone"):
        _check_zone(spec["zone"], "zone")
    rules: list[Rule] = []
    for number, own in enumerate(spec["events"]):
        place = f"events[{number}]"
        merged = {**spec.get("defaults", {}), **own}
        try:
            rules += _column_rules(place, merged) if "columns" in merged else [_rule(place, merged)]
        except PathError as error:
            raise MappingError(place, str(error)) from None
    nulls = frozenset(text.strip() for text in spec.get("null_values", ())) | {""}
    return Rules(tuple(rules), nulls, spec.get("zone", ""), spec.get("otherwise") == "ignore")


def _place(problem: ValidationError) -> str:
    place = ""
    for part in problem.absolute_path:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    return place


def _short(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:200]} … {message[-99:]}"


def _check_zone(name: str, place: str) -> None:
    try:
        zone_of(name)
    except TimeError:
        raise MappingError(
            place, f"The time zone {name!r} is unknown; use an IANA name such as Europe/Berlin."
        ) from None


def _paths(spec: str | list[str]) -> tuple[Path, ...]:
    return tuple(compile_path(text) for text in ([spec] if isinstance(spec, str) else spec))


def _time(spec: str | dict[str, Any], place: str) -> TimeRule:
    if isinstance(spec, str):
        return TimeRule(_paths(spec))
    if spec.get("zone"):
        _check_zone(spec["zone"], place)
    paths = _paths(spec["path"]) if "path" in spec else ()
    return TimeRule(paths, spec.get("format", ISO), spec.get("zone", ""), spec.get("date_only", False))


def _column_rules(place: str, spec: dict[str, Any]) -> list[Rule]:
    """One rule for each column of a wide row, wanted when the column holds a time."""
    shared = {key: value for key, value in spec.items() if key not in ("columns", "happened_at")}
    form = spec.get("happened_at", {})
    if isinstance(form, str) or "path" in form:
        raise MappingError(
            f"{place}.happened_at", "With columns, each column is its own path; give only format and zone."
        )
    rules = []
    for column, event_type in spec["columns"].items():
        path = Path(column, 0, (column,))
        when = {**shared.get("when", {})}
        rule = _rule(f"{place}.columns.{column}", {**shared, "when": when, "type": event_type, "happened_at": "@"})
        time = _time({**form, "path": "@"}, f"{place}.happened_at")
        rules.append(
            Rule(
                place=rule.place,
                kind=rule.kind,
                happened_at=TimeRule((path,), time.form, time.zone, time.date_only),
                each=rule.each,
                when=(*rule.when, Condition(path, EXISTS)),
                clocks=rule.clocks,
                identity=rule.identity,
                identity_with_type=True,
                references=rule.references,
                dates=rule.dates,
                parties=rule.parties,
                data=rule.data,
                trace=rule.trace,
            )
        )
    return rules


def _rule(place: str, spec: dict[str, Any]) -> Rule:
    for needed in ("happened_at", "references"):
        if needed not in spec:
            raise MappingError(place, f"It says no {needed}; an event needs a time and a business key.")
    identity = spec.get("id", ())
    with_type = isinstance(identity, dict) and identity.get("with_type", False)
    if isinstance(identity, dict):
        identity = identity["path"]
    happened_at = _time(spec["happened_at"], f"{place}.happened_at")
    if not happened_at.paths:
        raise MappingError(f"{place}.happened_at", "It says no path.")
    return Rule(
        place=place,
        kind=_type(spec["type"]),
        happened_at=happened_at,
        each=compile_path(spec["each"]) if "each" in spec else None,
        when=tuple(_condition(path, wanted) for path, wanted in spec.get("when", {}).items()),
        clocks={
            name: _time(spec[name], f"{place}.{name}")
            for name in ("sent_at", "booked_at", "received_at")
            if name in spec
        },
        identity=_paths(identity) if identity else (),
        identity_with_type=with_type,
        references=tuple(_reference(one) for one in spec["references"]),
        dates={name: _time(one, f"{place}.dates.{name}") for name, one in spec.get("dates", {}).items()},
        parties={role: _party(one) for role, one in spec.get("parties", {}).items()},
        data={name: compile_path(one) for name, one in spec.get("data", {}).items()},
        trace=compile_path(spec["trace"]) if "trace" in spec else None,
    )


def _type(spec: str | dict[str, Any]) -> str | TypeRule:
    if isinstance(spec, str):
        return spec
    return TypeRule(
        _paths(spec["path"]), spec.get("values"), frozenset(plain(code) or "" for code in spec.get("ignore", ()))
    )


def _condition(path: str, wanted: Any) -> Condition:
    if wanted in (EXISTS, MISSING):
        return Condition(compile_path(path), wanted)
    texts = wanted if isinstance(wanted, list) else [wanted]
    return Condition(compile_path(path), "", frozenset(plain(text) or "" for text in texts))


def _reference(spec: dict[str, Any]) -> ReferenceRule:
    issuer = spec.get("issuer")
    if isinstance(issuer, dict):
        issuer = compile_path(issuer["path"])
    return ReferenceRule(spec["kind"], _paths(spec["path"]), issuer, spec.get("required", False))


def _party(spec: str | dict[str, Any]) -> PartyRule:
    if isinstance(spec, str):
        return PartyRule("", compile_path(spec), "", None)
    if "fixed" in spec:
        return PartyRule(spec["fixed"], None, "", None)
    return PartyRule("", compile_path(spec["path"]), spec.get("scheme", ""), spec.get("values"))
