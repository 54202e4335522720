"""Which rule speaks for which milestone of a flow: ordered rules, first match wins. Pure.

A `Book` is all rules, calendars, partners and definitions as one value, laid out so that a flow finds the few rules
that can speak for it without a search. `Book.as_of` gives the book as it stood when an expectation was settled:
history is judged by the rules and calendars of its time.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from apps.core.calendars import WEEKDAYS, CalendarError, WorkingCalendar, zone_of
from apps.flows.definitions import Definition, MilestoneSpec
from apps.flows.states import FlowState
from apps.sla.deadlines import Form, RuleError, Setting, compile_due
from apps.sla.durations import parse_duration

#: slug of the calendar that counts for partners without one of their own
DEFAULT_CALENDAR = "default"
GENERATIONS_KEPT = 32
ZERO = timedelta(0)

Condition = Callable[[FlowState, ZoneInfo], bool]


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
class RuleSpec:
    """A rule's spec, read once. unmeasured: the reason why this rule says not to measure ('' when it measures)."""

    partners: frozenset[str]
    conditions: tuple[Condition, ...]
    unmeasured: str
    forms: tuple[Form, ...]
    warn_before: timedelta | None
    warn_share: float | None
    grace: timedelta
    grace_text: str
    zone: str
    calendar: str
    source: str


@dataclass(frozen=True, slots=True)
class BoundRule:
    """A rule bound to one partner: zone, calendar and source are found already. told: its part of the origin."""

    row: RuleRow
    spec: RuleSpec
    setting: Setting
    source_id: int | None
    told: Mapping[str, Any]

    def matches(self, state: FlowState) -> bool:
        zone = self.setting.zone
        return all(condition(state, zone) for condition in self.spec.conditions)


@dataclass(frozen=True, slots=True)
class LaneStop:
    """One milestone of a definition and the rules that may speak for it, for one partner."""

    milestone: str
    optional: bool
    rules: tuple[BoundRule, ...]
    labels: Mapping[str, str]

    def rule_for(self, state: FlowState) -> BoundRule | None:
        """The first rule that matches; None when no rule speaks for this flow's milestone."""
        for rule in self.rules:
            if not rule.spec.conditions or rule.matches(state):
                return rule
        return None


def compile_rule(spec: Mapping[str, Any]) -> RuleSpec:
    """Reads a spec that satisfies `RULE_SCHEMA`; RuleError names the place of what a schema cannot see."""
    when = spec.get("when") or {}
    unmeasured = "" if spec.get("measure", True) else str(spec.get("reason") or "not measured")
    warn = spec.get("warn") or {}
    grace_text = str(spec.get("grace") or "PT0S")
    try:
        grace = parse_duration(grace_text)
    except ValueError as error:
        raise RuleError("grace", str(error)) from None
    try:
        warn_before = parse_duration(warn["before"]) if "before" in warn else None
    except ValueError as error:
        raise RuleError("warn.before", str(error)) from None
    zone = str(spec.get("zone") or "partner")
    if zone != "partner":
        try:
            zone_of(zone)
        except CalendarError as error:
            raise RuleError("zone", str(error)) from None
    if not unmeasured and "due" not in spec:
        raise RuleError("due", "a rule says when its milestone is due, or measure: false and why")
    return RuleSpec(
        partners=frozenset(when.get("partner") or ()),
        conditions=_conditions(when),
        unmeasured=unmeasured,
        forms=() if unmeasured else compile_due(spec["due"]),
        warn_before=warn_before,
        warn_share=float(warn["share"]) if "share" in warn else None,
        grace=grace,
        grace_text=grace_text if grace else "",
        zone=zone,
        calendar=str(spec.get("calendar") or "none"),
        source=str(spec.get("source") or ""),
    )


def _conditions(when: Mapping[str, Any]) -> tuple[Condition, ...]:
    found: list[Condition] = []
    for name, values in (when.get("attributes") or {}).items():
        found.append(_attribute(name, frozenset(str(value) for value in values)))
    if when.get("weekday"):
        found.append(_weekday(frozenset(WEEKDAYS.index(name) for name in when["weekday"])))
    if when.get("lane"):
        found.append(_lane(frozenset(when["lane"])))
    if value := when.get("value"):
        found.append(_value(value))
    return tuple(found)


def _attribute(name: str, values: frozenset[str]) -> Condition:
    def holds(state: FlowState, zone: ZoneInfo) -> bool:
        value = state.attributes.get(name)
        if isinstance(value, list):
            return any(str(item) in values for item in value)
        return value is not None and str(value) in values

    return holds


def _weekday(days: frozenset[int]) -> Condition:
    return lambda state, zone: state.opened_at.astimezone(zone).weekday() in days


def _lane(lanes: frozenset[str]) -> Condition:
    def holds(state: FlowState, zone: ZoneInfo) -> bool:
        known = state.attributes
        return (known.get("lane") or f"{known.get('lane_from', '')}>{known.get('lane_to', '')}") in lanes

    return holds


def _value(spec: Mapping[str, Any]) -> Condition:
    low, high, currency = spec.get("at_least"), spec.get("below"), spec.get("currency")

    def holds(state: FlowState, zone: ZoneInfo) -> bool:
        value = state.value
        if value is None or state.currency != currency:
            return False
        return (low is None or value >= Decimal(str(low))) and (high is None or value < Decimal(str(high)))

    return holds


@dataclass
class Book:
    """Rules, calendars, partners, definitions (by id) and integrations (slug -> id), as they are at `stamp`.

    stamp: the time the newest rule or calendar in it was made; None for an empty book.
    problems: rules and calendars that could not be read, in sentences; they speak for nothing until corrected.
    """

    rules: tuple[RuleRow, ...] = ()
    calendars: tuple[CalendarRow, ...] = ()
    partners: Mapping[str, PartnerRow] = field(default_factory=dict)
    definitions: Mapping[int, Definition] = field(default_factory=dict)
    integrations: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.problems: list[str] = []
        made = [rule.created_at for rule in self.rules] + [row.created_at for row in self.calendars]
        self.stamp = max(made, default=None)
        self.partner_ids = {row.id: row for row in self.partners.values()}
        self.rule_ids = {row.id: row for row in self.rules}
        self._in_force = self._ordered()
        self._calendars = self._read_calendars()
        self._lanes: dict[tuple[int, str], tuple[LaneStop, ...]] = {}
        self._generations: OrderedDict[datetime, Book] = OrderedDict()

    def as_of(self, stamp: datetime | None) -> Book:
        """The book as it stood at a stamp (the newest version made by then of each rule and calendar)."""
        if stamp is None or self.stamp is None or stamp >= self.stamp:
            return self
        book = self._generations.get(stamp)
        if book is None:
            book = Book(
                tuple(row for row in self.rules if row.created_at <= stamp),
                tuple(row for row in self.calendars if row.created_at <= stamp),
                self.partners,
                self.definitions,
                self.integrations,
            )
            self._generations[stamp] = book
            if len(self._generations) > GENERATIONS_KEPT:
                self._generations.popitem(last=False)
        return book

    def lane(self, definition_id: int, partner: str) -> tuple[LaneStop, ...]:
        """The milestones of a definition that some rule may speak for, in order."""
        key = (definition_id, partner)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self._lay_out(definition_id, partner)
        return lane

    def stop(self, definition_id: int, partner: str, milestone: str) -> LaneStop | None:
        return next((stop for stop in self.lane(definition_id, partner) if stop.milestone == milestone), None)

    def owed_by(self, definition_id: int, partner_id: int | None, milestone: str) -> int | None:
        """The integration that should tell a milestone where no rule says so: see `_source`."""
        definition = self.definitions.get(definition_id)
        spec = definition.milestone(milestone) if definition is not None else None
        return self._source("", self.partner_ids.get(partner_id or 0), spec) if spec is not None else None

    def why_not(self, state: FlowState, milestone: str) -> str:
        """Why nothing is expected of this milestone, for a row that was judged before."""
        stop = self.stop(state.definition_id, state.partner, milestone)
        rule = stop.rule_for(state) if stop else None
        if rule is None:
            return "No rule applies any more"
        if rule.spec.unmeasured:
            return f"Not measured: {rule.spec.unmeasured}"
        return "The date it was due by is not known any more"

    # -- layout ---------------------------------------------------------------

    def _ordered(self) -> dict[tuple[str, str], list[tuple[RuleRow, RuleSpec]]]:
        """(flow, milestone) -> rules in force, in the order they are tried.

        Of a rule's versions the newest active one is in force, unless a newer one retires it; drafts and shadows wait.
        """
        versions: dict[str, list[RuleRow]] = defaultdict(list)
        for row in self.rules:
            versions[row.slug].append(row)
        found: dict[tuple[str, str], list[tuple[RuleRow, RuleSpec]]] = defaultdict(list)
        for rows in versions.values():
            for row in sorted(rows, key=lambda r: -r.version):
                if row.lifecycle == "retired":
                    break
                if row.lifecycle == "active":
                    try:
                        found[row.flow_slug, row.milestone].append((row, compile_rule(row.spec)))
                    except (RuleError, ValueError, KeyError, TypeError, AttributeError) as error:
                        self.problems.append(f"Rule {row.slug} v{row.version} cannot be read: {error}")
                    break
        for candidates in found.values():
            candidates.sort(key=lambda pair: (pair[0].position, pair[0].slug))
        return found

    def _read_calendars(self) -> dict[str, tuple[CalendarRow, WorkingCalendar]]:
        newest: dict[str, CalendarRow] = {}
        for row in sorted(self.calendars, key=lambda r: r.version):
            newest[row.slug] = row
        found = {}
        for row in newest.values():
            try:
                found[row.slug] = (row, WorkingCalendar.from_spec(row.spec))
            except (CalendarError, TypeError, AttributeError) as error:
                self.problems.append(f"Calendar {row.slug} v{row.version} cannot be read: {error}")
        return found

    def _lay_out(self, definition_id: int, partner: str) -> tuple[LaneStop, ...]:
        definition = self.definitions.get(definition_id)
        if definition is None:
            return ()
        labels = {milestone.name: milestone.label for milestone in definition.milestones}
        stops = []
        for milestone in definition.milestones:
            candidates = [
                self._bind(row, spec, partner, milestone)
                for row, spec in self._in_force.get((definition.slug, milestone.name), ())
                if not spec.partners or partner in spec.partners
            ]
            if candidates:
                stops.append(LaneStop(milestone.name, milestone.optional, tuple(candidates), labels))
        return tuple(stops)

    def _bind(self, row: RuleRow, spec: RuleSpec, partner: str, milestone: MilestoneSpec) -> BoundRule:
        known = self.partners.get(partner)
        wanted = spec.calendar
        if wanted == "partner":
            wanted = known.calendar if known and known.calendar in self._calendars else DEFAULT_CALENDAR
        calendar_row, calendar = self._calendars.get(wanted, (None, None))
        if calendar is None and spec.calendar not in ("none", "partner"):
            self.problems.append(f"Rule {row.slug} v{row.version} names the calendar {wanted!r}, which does not exist")
        zone = (known.time_zone if known else "UTC") if spec.zone == "partner" else spec.zone
        try:
            setting_zone = zone_of(zone)
        except CalendarError:
            setting_zone, zone = zone_of("UTC"), "UTC"
        told: dict[str, Any] = {"zone": zone, "rule": row.name, "version": row.version}
        if spec.grace_text:
            told["grace"] = spec.grace_text
        if calendar_row is not None:
            told["calendar"] = calendar_row.name
        return BoundRule(
            row,
            spec,
            Setting(setting_zone, calendar, calendar_row.name if calendar_row else ""),
            self._source(spec.source, known, milestone),
            told,
        )

    def _source(self, by_rule: str, partner: PartnerRow | None, milestone: MilestoneSpec) -> int | None:
        """Whose silence suspends the clock: who is named; else, of what the partner owes, its only integration.

        A partner with several integrations needs a name: which of them should have spoken is not ours to guess.
        """
        if milestone.source or by_rule:
            return self.integrations.get(milestone.source) or self.integrations.get(by_rule)
        return partner.source_id if partner is not None and not milestone.ours else None


def book_of(
    rules: Iterable[RuleRow],
    calendars: Iterable[CalendarRow] = (),
    partners: Iterable[PartnerRow] = (),
    definitions: Iterable[Definition] = (),
    integrations: Mapping[str, int] | None = None,
) -> Book:
    """A book of plain rows."""
    return Book(
        tuple(rules),
        tuple(calendars),
        {row.slug: row for row in partners},
        {definition.id: definition for definition in definitions},
        dict(integrations or {}),
    )
