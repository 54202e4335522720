"""For which flows a rule speaks: its `when` and `valid`, read once into conditions. Pure.

A condition looks at what a flow is at this moment; what a flow learns later (its lane, its value) may bring it under
another rule. The integrations a flow was told by are looked up by `rules.Book`, which knows their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from apps.core.calendars import WEEKDAYS, WorkingCalendar
from apps.flows.states import FlowState
from apps.sla.deadlines import RuleError

#: whether a flow is meant; the zone is the rule's, the calendar its calendar (None: none)
Condition = Callable[[FlowState, ZoneInfo, WorkingCalendar | None], bool]


def read_conditions(when: Mapping[str, Any], valid: Mapping[str, Any]) -> tuple[Condition, ...]:
    """All of them must hold. RuleError names a date that is none, or a span that ends before it begins."""
    found: list[Condition] = []
    attributes = dict(when.get("attributes") or {})
    if when.get("service"):
        found.append(has_attribute("service", frozenset(str(value) for value in when["service"])))
    for name, values in attributes.items():
        found.append(has_attribute(name, frozenset(str(value) for value in values)))
    if when.get("weekday"):
        found.append(_weekday(frozenset(WEEKDAYS.index(name) for name in when["weekday"])))
    if when.get("lane"):
        found.append(_lane(frozenset(when["lane"])))
    if value := when.get("value"):
        found.append(_value(value))
    if when.get("season"):
        found.append(_season(frozenset(when["season"])))
    if valid:
        found.append(_valid(valid))
    return tuple(found)


def lane_of(state: FlowState) -> str:
    """'FR>DE'; '>' when neither end is known."""
    known = state.attributes
    return str(known.get("lane") or f"{known.get('lane_from', '')}>{known.get('lane_to', '')}")


def told_by(state: FlowState) -> frozenset[int]:
    """Integrations that told one of the flow's milestones."""
    return frozenset(one.integration_id for one in state.milestones.values() if one.integration_id is not None)


def has_attribute(name: str, values: frozenset[str]) -> Condition:
    """The flow remembers that attribute with one of the values."""

    def holds(state: FlowState, zone: ZoneInfo, calendar: WorkingCalendar | None) -> bool:
        value = state.attributes.get(name)
        if isinstance(value, list):
            return any(str(item) in values for item in value)
        return value is not None and str(value) in values

    return holds


def _weekday(days: frozenset[int]) -> Condition:
    return lambda state, zone, calendar: state.opened_at.astimezone(zone).weekday() in days


def _lane(lanes: frozenset[str]) -> Condition:
    """'FR>DE', or with one end left open: 'FR>*', '*>DE'."""

    def holds(state: FlowState, zone: ZoneInfo, calendar: WorkingCalendar | None) -> bool:
        return not lanes.isdisjoint(lane_names(lane_of(state)))

    return holds


def lane_names(lane: str) -> tuple[str, ...]:
    """A lane and the open-ended names that cover it, the closest first."""
    begin, arrow, end = lane.partition(">")
    if not arrow:
        return (lane,)
    return tuple(
        name
        for name, known in ((lane, True), (f"{begin}>*", bool(begin)), (f"*>{end}", bool(end)))
        if known and name != ">"
    )


def _value(spec: Mapping[str, Any]) -> Condition:
    low, high, currency = spec.get("at_least"), spec.get("below"), spec.get("currency")

    def holds(state: FlowState, zone: ZoneInfo, calendar: WorkingCalendar | None) -> bool:
        value = state.value
        if value is None or state.currency != currency:
            return False
        return (low is None or value >= Decimal(str(low))) and (high is None or value < Decimal(str(high)))

    return holds


def _season(kinds: frozenset[str]) -> Condition:
    """Opened within a peak or freeze period of the rule's calendar, or within none of them ('usual')."""

    def holds(state: FlowState, zone: ZoneInfo, calendar: WorkingCalendar | None) -> bool:
        day = state.opened_at.astimezone(zone).date()
        period = calendar.period_of(day) if calendar is not None else None
        return (period.kind if period is not None else "usual") in kinds

    return holds


def _valid(spec: Mapping[str, Any]) -> Condition:
    """The local day a flow was opened on lies between two days, both included."""
    first, last = _date(spec, "from"), _date(spec, "until")
    if first is not None and last is not None and last < first:
        raise RuleError("valid", f"ends ({last}) before it begins ({first})")

    def holds(state: FlowState, zone: ZoneInfo, calendar: WorkingCalendar | None) -> bool:
        day = state.opened_at.astimezone(zone).date()
        return (first is None or day >= first) and (last is None or day <= last)

    return holds


def _date(spec: Mapping[str, Any], name: str) -> date | None:
    if name not in spec:
        return None
    try:
        return date.fromisoformat(str(spec[name]))
    except ValueError:
        raise RuleError(f"valid.{name}", f"{spec[name]!r} is not a date; write it like '2026-12-24'") from None
