"""A rule's spec, read once into values: `compile_rule`. Pure. What a schema cannot see is refused here, with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from apps.core.calendars import CalendarError, zone_of
from apps.sla.checks import Check, compile_check
from apps.sla.conditions import Condition, read_conditions
from apps.sla.deadlines import Form, RuleError, compile_due
from apps.sla.durations import parse_duration
from apps.sla.occasions import Every, compile_every


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A rule's spec, read once.

    unmeasured: the reason why this rule says not to measure ('' when it measures). check: what it looks for instead of a
    deadline. pauses: names of what stops its clock. integrations: slugs that must have told the flow (empty: any).
    every: what it promises for every period; then forms has it alone.
    """

    partners: frozenset[str]
    integrations: frozenset[str]
    conditions: tuple[Condition, ...]
    unmeasured: str
    forms: tuple[Form, ...]
    check: Check | None
    warn_before: timedelta | None
    warn_share: float | None
    grace: timedelta
    grace_text: str
    zone: str
    calendar: str
    source: str
    pauses: frozenset[str]
    every: Every | None = None


def compile_rule(spec: Mapping[str, Any]) -> RuleSpec:
    """Reads a spec that satisfies `RULE_SCHEMA`; RuleError names the place of what a schema cannot see."""
    when = spec.get("when") or {}
    unmeasured = "" if spec.get("measure", True) else str(spec.get("reason") or "not measured")
    warn = spec.get("warn") or {}
    grace_text = str(spec.get("grace") or "PT0S")
    grace = _duration(grace_text, "grace")
    warn_before = _duration(warn["before"], "warn.before") if "before" in warn else None
    zone = str(spec.get("zone") or "partner")
    if zone != "partner":
        try:
            zone_of(zone)
        except CalendarError as error:
            raise RuleError("zone", str(error)) from None
    check = compile_check(spec["check"]) if "check" in spec and not unmeasured else None
    if not unmeasured and "due" not in spec and check is None:
        raise RuleError("due", "a rule says when its milestone is due, what to check, or measure: false and why")
    calendar, due = str(spec.get("calendar") or "none"), spec.get("due") or {}
    every = compile_every(due["every"], calendar) if "every" in due and not unmeasured else None
    return RuleSpec(
        partners=frozenset(when.get("partner") or ()),
        integrations=frozenset(when.get("integration") or ()),
        conditions=read_conditions(when, spec.get("valid") or {}),
        unmeasured=unmeasured,
        forms=() if unmeasured or check else (every,) if every else compile_due(due),
        check=check,
        warn_before=warn_before,
        warn_share=float(warn["share"]) if "share" in warn else None,
        grace=grace,
        grace_text=grace_text if grace else "",
        zone=zone,
        calendar=calendar,
        source=str(spec.get("source") or (every.feed if every else "")),
        pauses=frozenset(spec.get("pause") or ()),
        every=every,
    )


def milestones_named(spec: Any) -> Iterator[str]:
    """Names of milestones that a spec hangs on."""
    if isinstance(spec, Mapping):
        for name, value in spec.items():
            if name == "milestone" and isinstance(value, str):
                yield value
            elif name in ("without", "by") and isinstance(value, list):
                yield from (str(one) for one in value)
            else:
                yield from milestones_named(value)
    elif isinstance(spec, list):
        for one in spec:
            yield from milestones_named(one)


def known_attributes(definition: Mapping[str, Any]) -> list[str]:
    """What flows of a definition remember by name: its attributes, its totals, and counts of children (2 of 3)."""
    counts = [f"{one['name']}_count" for one in definition["milestones"] if one.get("per") and one.get("need") == "all"]
    return [*definition.get("attributes", ()), *(one["name"] for one in definition.get("totals", ())), *counts]


def _unknown_quantities(spec: Mapping[str, Any], definition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    one = (spec.get("check") or {}).get("quantity")
    if not one:
        return
    known, totals = known_attributes(definition), [total["name"] for total in definition.get("totals", ())]
    for name in dict.fromkeys((one["got"], one["of"])):
        if name not in known:
            told = f"it remembers {', '.join(known)}" if known else "it remembers nothing"
            yield "check", f"no flow of this kind remembers {name!r}, so this could never be found; {told}"
        elif one.get("compare") == "each" and name not in totals:
            told = f"its totals are {', '.join(totals)}" if totals else "this flow has no totals"
            yield "check", f"{name!r} does not come in parts, so parts cannot be compared; {told}"


def _unknown_conditions(spec: Mapping[str, Any], definition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A condition on what no flow of this kind remembers would silently never hold."""
    when, known = spec.get("when") or {}, known_attributes(definition)
    told = f"it remembers {', '.join(known)}" if known else "it remembers nothing"
    for name in [*(when.get("attributes") or {}), *(["service"] if when.get("service") else ())]:
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield "when", f"no flow of this kind remembers {name!r}, so the rule would never apply; {told}{hint}"
    if when.get("lane") and "lane" not in known and not {"lane_from", "lane_to"} <= set(known):
        yield "when", f"no flow of this kind remembers its lane (lane, or lane_from and lane_to); {told}"


def unknown_names(spec: Mapping[str, Any], definition: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key of the spec, what is wrong) of milestones, pauses, conditions and quantities that the flow's definition does not have."""
    milestones = [one["name"] for one in definition["milestones"]]
    pauses = [one["name"] for one in definition.get("pauses", ())]
    found = []
    for key, value in spec.items():
        for name in milestones_named({key: value}):
            if name not in milestones:
                found.append((key, f"{name!r} is none of the milestones: {', '.join(milestones)}"))
    for name in spec.get("pause") or ():
        if name not in pauses:
            known = f"it has {', '.join(pauses)}" if pauses else "it has none"
            found.append(("pause", f"the flow has no pause {name!r}; {known}"))
    if "every" in (spec.get("due") or {}) and "promise" not in definition["identified_by"]:
        found.append(
            ("due", "what is promised for every period is a rule of the flow promised-messages, milestone kept")
        )
    return [*found, *_unknown_conditions(spec, definition), *_unknown_quantities(spec, definition)]


def _duration(text: str, path: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise RuleError(path, str(error)) from None
