"""What rules say about the milestones of one definition for one partner, laid out for `rules.Book`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apps.flows.states import FlowState
from apps.sla.conditions import lane_names, lane_of, told_by
from apps.sla.deadlines import Setting
from apps.sla.pausing import Standstill
from apps.sla.rule_specs import RuleSpec


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A version of a rule as stored."""

    id: int
    slug: str
    version: int
    name: str
    flow_slug: str
    milestone: str
    position: int
    spec: Mapping[str, Any]
    lifecycle: str
    created_at: datetime
    severity: str = "normal"


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """A version of a calendar as stored."""

    slug: str
    version: int
    name: str
    spec: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PartnerRow:
    """What deadlines need to know of a partner. source_id: its only integration in use, if it has just one."""

    id: int
    slug: str
    name: str
    time_zone: str
    calendar: str
    source_id: int | None = None


@dataclass(frozen=True, slots=True)
class BoundRule:
    """A rule bound to one partner: zone, calendar, source and integrations are found already. told: its part of the origin.

    lanes: the same rule on the calendars of lanes, where the rule asks for those.
    """

    row: RuleRow
    spec: RuleSpec
    setting: Setting
    source_id: int | None
    told: Mapping[str, Any]
    tellers: frozenset[int] = frozenset()
    lanes: Mapping[str, BoundRule] = field(default_factory=dict)
    standstills: tuple[Standstill, ...] = ()

    @property
    def pausing(self) -> bool:
        return bool(self.spec.pauses or self.standstills)

    @property
    def always(self) -> bool:
        return not (self.spec.conditions or self.spec.integrations or self.lanes)

    def for_flow(self, state: FlowState) -> BoundRule | None:
        """The rule as it speaks for this flow, on its lane's calendar; None when it does not match."""
        rule = self
        if self.lanes:
            names = lane_names(lane_of(state))
            rule = next((self.lanes[name] for name in names if name in self.lanes), self)
        zone, calendar = rule.setting.zone, rule.setting.calendar
        if self.spec.integrations and self.tellers.isdisjoint(told_by(state)):
            return None
        return rule if all(condition(state, zone, calendar) for condition in self.spec.conditions) else None


@dataclass(frozen=True, slots=True)
class LaneStop:
    """One milestone of a definition and the rules that may speak for it, for one partner.

    shadow: the slug of the rule this stop tries in place of its active version; '' for what counts.
    """

    milestone: str
    optional: bool
    rules: tuple[BoundRule, ...]
    labels: Mapping[str, str]
    ordinal: int = 0
    shadow: str = ""

    def rule_for(self, state: FlowState) -> BoundRule | None:
        """The first rule that matches; None when no rule speaks for this flow's milestone."""
        for rule in self.rules:
            if rule.always:
                return rule
            if (found := rule.for_flow(state)) is not None:
                return found
        return None


@dataclass(frozen=True, slots=True)
class Lane:
    """What rules say about one definition for one partner: deadlines, checks (of each kind first match wins), shadows.

    pausing: some rule's clock can be stopped.
    """

    stops: tuple[LaneStop, ...] = ()
    checks: tuple[LaneStop, ...] = ()
    shadows: tuple[LaneStop, ...] = ()
    pausing: bool = False
