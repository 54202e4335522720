"""Which rule speaks for which milestone of a flow: ordered rules, first match wins. Pure.

A `Book` is all rules, calendars, partners and definitions as one value, laid out so that a flow finds the few rules
that can speak for it without a search. `Book.as_of` gives the book as it stood when an expectation was settled:
history is judged by the rules and calendars of its time.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from apps.core.calendars import CalendarError, WorkingCalendar, zone_of
from apps.flows.definitions import Definition, MilestoneSpec
from apps.flows.states import FlowState
from apps.sla.checks import KINDS as CHECKS
from apps.sla.conditions import has_attribute
from apps.sla.deadlines import RuleError, Setting
from apps.sla.lanes import BoundRule, CalendarRow, Lane, LaneStop, PartnerRow, RuleRow
from apps.sla.occasions import PROMISE
from apps.sla.pausing import Standstill
from apps.sla.rule_specs import RuleSpec, compile_rule

__all__ = [
    "BY_NAME",
    "DEFAULT_CALENDAR",
    "Book",
    "BoundRule",
    "CalendarRow",
    "Lane",
    "LaneStop",
    "PartnerRow",
    "RuleRow",
    "book_of",
    "compile_rule",
]

#: slug of the calendar that counts for partners without one of their own
DEFAULT_CALENDAR = "default"
#: what a rule may write for a calendar instead of a slug; without such a calendar every day counts
BY_NAME = ("none", "partner", "lane", "ours")
GENERATIONS_KEPT = 32
#: (flow, milestone) -> rules in the order they are tried
Candidates = dict[tuple[str, str], list[tuple[RuleRow, RuleSpec]]]


def _tried(pair: tuple[RuleRow, RuleSpec]) -> tuple[int, str]:
    return pair[0].position, pair[0].slug


@dataclass
class Book:
    """Rules, calendars, partners, definitions (by id) and integrations (slug -> id), as they are at `stamp`.

    stamp: the time the newest rule or calendar in it was made; None for an empty book.
    problems: rules and calendars that could not be read, in sentences; they speak for nothing until corrected.
    standstills: planned maintenance.
    """

    rules: tuple[RuleRow, ...] = ()
    calendars: tuple[CalendarRow, ...] = ()
    partners: Mapping[str, PartnerRow] = field(default_factory=dict)
    definitions: Mapping[int, Definition] = field(default_factory=dict)
    integrations: Mapping[str, int] = field(default_factory=dict)
    standstills: tuple[Standstill, ...] = ()

    def __post_init__(self) -> None:
        self.problems: list[str] = []
        made = [rule.created_at for rule in self.rules] + [row.created_at for row in self.calendars]
        made += [one.planned_at for one in self.standstills]
        self.stamp = max(made, default=None)
        self.partner_ids = {row.id: row for row in self.partners.values()}
        self.rule_ids = {row.id: row for row in self.rules}
        # rules that are no longer in force are counted: what they found must be able to end
        self.checked = frozenset(row.flow_slug for row in self.rules if "check" in row.spec)
        self._in_force: Candidates = {}
        self._shadows: Candidates = {}
        self._order()
        self._calendars = self._read_calendars()
        self._calendar_of_lane = {
            lane: slug for slug, (_, calendar) in sorted(self._calendars.items()) for lane in calendar.lanes
        }
        self._lanes: dict[tuple[int, str], Lane] = {}
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
                tuple(one for one in self.standstills if one.planned_at <= stamp),
            )
            self._generations[stamp] = book
            if len(self._generations) > GENERATIONS_KEPT:
                self._generations.popitem(last=False)
        return book

    def layout(self, definition_id: int, partner: str) -> Lane:
        """Everything that rules say about a definition's milestones, for one partner."""
        key = (definition_id, partner)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self._lay_out(definition_id, partner)
        return lane

    def lane(self, definition_id: int, partner: str) -> tuple[LaneStop, ...]:
        """The milestones of a definition that some rule may give a deadline, in order."""
        return self.layout(definition_id, partner).stops

    def calendars_in_use(self) -> list[tuple[str, WorkingCalendar]]:
        """(name, calendar) of every calendar's newest version that can be read."""
        return [(row.name, calendar) for row, calendar in self._calendars.values()]

    @property
    def shadow_slugs(self) -> list[str]:
        """Rules that are tried beside those in force."""
        return sorted(row.slug for rules in self._shadows.values() for row, _ in rules)

    def pauses(self, state: FlowState) -> bool:
        """Whether some rule's clock for this flow can be stopped."""
        return self.layout(state.definition_id, state.partner).pausing

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

    def _order(self) -> None:
        """Fills (flow, milestone) -> rules in force, and shadows, in the order they are tried.

        Of a rule's versions the newest active one is in force, unless a newer one retires it; drafts wait. A shadow that
        is newer than what is in force is tried beside it.
        """
        versions: dict[str, list[RuleRow]] = defaultdict(list)
        for row in self.rules:
            versions[row.slug].append(row)
        for rows in versions.values():
            shadowed = False
            for row in sorted(rows, key=lambda r: -r.version):
                if row.lifecycle == "retired":
                    break
                if row.lifecycle == "active":
                    self._file(row, self._in_force)
                    break
                if row.lifecycle == "shadow" and not shadowed:
                    self._file(row, self._shadows)
                    shadowed = True
        for candidates in (*self._in_force.values(), *self._shadows.values()):
            candidates.sort(key=_tried)

    def _file(self, row: RuleRow, where: Candidates) -> None:
        try:
            spec = compile_rule(row.spec)
            if spec.every is not None:  # its occasions are its own
                spec = replace(spec, conditions=(*spec.conditions, has_attribute(PROMISE, frozenset({row.slug}))))
            where.setdefault((row.flow_slug, row.milestone), []).append((row, spec))
        except (RuleError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.problems.append(f"Rule {row.slug} v{row.version} cannot be read: {error}")

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

    def _lay_out(self, definition_id: int, partner: str) -> Lane:
        definition = self.definitions.get(definition_id)
        if definition is None:
            return Lane()
        labels = {milestone.name: milestone.label for milestone in definition.milestones}
        stops, checks, shadows = [], [], []
        for milestone in definition.milestones:
            key = (definition.slug, milestone.name)
            bound = self._bound(self._in_force.get(key, ()), partner, milestone)

            def stop(rules: Iterable[BoundRule], shadow: str = "", of: MilestoneSpec = milestone) -> LaneStop:
                return LaneStop(of.name, of.optional, tuple(rules), labels, of.ordinal, shadow)

            if deadlines := [rule for rule in bound if rule.spec.check is None]:
                stops.append(stop(deadlines))
            for kind in CHECKS:
                if found := [rule for rule in bound if rule.spec.check is not None and rule.spec.check.kind == kind]:
                    checks.append(stop(found))
            for tried in self._bound(self._shadows.get(key, ()), partner, milestone):
                if tried.spec.check is None:
                    others = [rule for rule in deadlines if rule.row.slug != tried.row.slug]
                    rules = sorted([*others, tried], key=lambda rule: _tried((rule.row, rule.spec)))
                    shadows.append(stop(rules, tried.row.slug))
        pausing = any(rule.pausing for one in (*stops, *shadows) for rule in one.rules)
        return Lane(tuple(stops), tuple(checks), tuple(shadows), pausing)

    def _bound(
        self, candidates: Iterable[tuple[RuleRow, RuleSpec]], partner: str, milestone: MilestoneSpec
    ) -> list[BoundRule]:
        return [
            self._bind(row, spec, partner, milestone)
            for row, spec in candidates
            if not spec.partners or partner in spec.partners
        ]

    def _bind(self, row: RuleRow, spec: RuleSpec, partner: str, milestone: MilestoneSpec) -> BoundRule:
        known = self.partners.get(partner)
        wanted = {"ours": DEFAULT_CALENDAR}.get(spec.calendar, spec.calendar)
        if wanted in ("partner", "lane"):
            wanted = known.calendar if known and known.calendar in self._calendars else DEFAULT_CALENDAR
        if wanted not in self._calendars and spec.calendar not in BY_NAME:
            self.problems.append(f"Rule {row.slug} v{row.version} names the calendar {wanted!r}, which does not exist")
        rule = self._on_calendar(row, spec, wanted, known, milestone)
        if spec.calendar != "lane" or not self._calendar_of_lane:
            return rule
        lanes = {
            lane: self._on_calendar(row, spec, slug, known, milestone) for lane, slug in self._calendar_of_lane.items()
        }
        return replace(rule, lanes=lanes)

    def _on_calendar(
        self, row: RuleRow, spec: RuleSpec, slug: str, known: PartnerRow | None, milestone: MilestoneSpec
    ) -> BoundRule:
        calendar_row, calendar = self._calendars.get(slug, (None, None))
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
        source_id, partner_id = self._source(spec.source, known, milestone), known.id if known else None
        return BoundRule(
            row,
            spec,
            Setting(setting_zone, calendar, calendar_row.name if calendar_row else ""),
            source_id,
            told,
            frozenset(self.integrations.get(slug, 0) for slug in spec.integrations),
            standstills=tuple(one for one in self.standstills if one.fits(source_id, partner_id, row.slug)),
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
    standstills: Iterable[Standstill] = (),
) -> Book:
    """A book of plain rows."""
    return Book(
        tuple(rules),
        tuple(calendars),
        {row.slug: row for row in partners},
        {definition.id: definition for definition in definitions},
        dict(integrations or {}),
        tuple(standstills),
    )
