"""A rule's spec, read once into values: `compile_rule`. Pure. What a schema cannot see is refused here, with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from apps.core.calendars import CalendarError, zone_of
from apps.sla.checks import Check, compile_check
from apps.sla.conditions import Condition, read_conditions
from apps.sla.deadlines import Form, RuleError, compile_due
from apps.sla.durations import parse_duration


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A rule's spec, read once.

    unmeasured: the reason why this rule says not to measure ('' when it measures). check: what it looks for instead of a
    deadline. pauses: names of what stops its clock. integrations: slugs that must have told the flow (empty: any).
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
    return RuleSpec(
        partners=frozenset(when.get("partner") or ()),
        integrations=frozenset(when.get("integration") or ()),
        conditions=read_conditions(when, spec.get("valid") or {}),
        unmeasured=unmeasured,
        forms=() if unmeasured or check else compile_due(spec["due"]),
        check=check,
        warn_before=warn_before,
        warn_share=float(warn["share"]) if "share" in warn else None,
        grace=grace,
        grace_text=grace_text if grace else "",
        zone=zone,
        calendar=str(spec.get("calendar") or "none"),
        source=str(spec.get("source") or ""),
        pauses=frozenset(spec.get("pause") or ()),
    )


def _duration(text: str, path: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise RuleError(path, str(error)) from None
