"""A declared pair that must agree: what its file may say, and the compiled rule. Pure.

reconciliations:
  - slug: tracking-not-seen
    name: Tracking number the carrier never saw
    key: tracking_number                    # what joins the two sides: a kind of reference,
    # flow: order-to-ship                   # or a flow: everything its references say,
    # key: {data: [sku, location]}          # or fields of the events' data
    left: {name: Label, events: [label.created]}
    right: {name: Carrier, events: [transport.picked_up], who: {partners: [carrier]}}
    check: follows                          # right must come | equals: amounts agree | once: not more left than right
    grace: P2D                              # so long after it was heard
    unless: [label.voided]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from apps.flows.catalogue import REFERENCE_KINDS
from apps.integrations.models import Partner
from apps.sla.durations import parse_duration

FOLLOWS, EQUALS, ONCE = "follows", "equals", "once"
#: pairs are remembered so long after they were last spoken of
WINDOW = timedelta(days=14)

_CODE = re.compile(r"\[([^\]]+)\]")
_NAMES = {"type": "array", "minItems": 1, "maxItems": 40, "items": {"type": "string", "minLength": 1, "maxLength": 64}}
_DURATION = {"type": "string", "pattern": "^P(?!$)", "description": "an ISO 8601 duration such as PT4H or P2D"}
_SIDE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["events"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 60},
        "events": _NAMES,
        "who": {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                "systems": _NAMES,
                "kinds": _NAMES,
                "integrations": _NAMES,
                "partners": {"type": "array", "minItems": 1, "items": {"enum": Partner.Kind.values}},
            },
        },
        "where": {"type": "object", "minProperties": 1, "maxProperties": 8},
        "field": {"type": "string", "minLength": 1, "maxLength": 64},
        "unit": {"type": "string", "minLength": 1, "maxLength": 64},
        "take": {"enum": ["sum", "last"]},
    },
}
SPEC_PROPERTIES: dict[str, Any] = {
    "key": {
        "oneOf": [
            {"enum": sorted(REFERENCE_KINDS)},
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["data"],
                "properties": {"data": _NAMES},
            },
        ],
        "description": "a kind of reference, or data: with names of fields",
    },
    "flow": {"type": "string", "minLength": 1, "maxLength": 64},
    "left": _SIDE,
    "right": _SIDE,
    "check": {"enum": [FOLLOWS, EQUALS, ONCE]},
    "distinct": {"enum": sorted(REFERENCE_KINDS)},
    "grace": _DURATION,
    "window": _DURATION,
    "unless": _NAMES,
    "tolerance": {"type": "number", "minimum": 0},
    "relative": {"type": "number", "minimum": 0, "maximum": 1},
    "units": {"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0}},
}
SPEC_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["left", "right", "check"],
    "properties": SPEC_PROPERTIES,
}
_VALIDATOR = Draft202012Validator(SPEC_SCHEMA)


class ReconciliationError(ValueError):
    """A rule that cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who can say something: an integration with what it belongs to."""

    integration_id: int
    slug: str
    name: str
    kind: str
    system: str
    partner_kind: str
    partner_id: int | None
    partner: str
    team_id: int | None


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a pair. field: where in the event's data its amount stands; take: sum of all its words, or the last."""

    name: str
    events: frozenset[str]
    systems: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    integrations: frozenset[str] = frozenset()
    partners: frozenset[str] = frozenset()
    where: Mapping[str, Any] = field(default_factory=dict)
    field: str = ""
    unit: str = ""
    take: str = "sum"

    def is_said_by(self, speaker: Speaker) -> bool:
        """No word about who: anybody. A system's kind also matches the collector of that name (odoo)."""
        if not (self.systems or self.kinds or self.integrations or self.partners):
            return True
        return (
            speaker.system in self.systems
            or speaker.kind in self.systems
            or speaker.kind in self.kinds
            or speaker.slug in self.integrations
            or speaker.partner_kind in self.partners
        )

    def holds(self, type_: str, data: Mapping[str, Any]) -> bool:
        return type_ in self.events and all(data.get(name) == value for name, value in self.where.items())


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule. Exactly one of reference (a kind), fields (of data) and flow says what joins the sides."""

    slug: str
    version: int
    name: str
    severity: str
    shadow: bool
    left: Side
    right: Side
    check: str
    reference: str = ""
    fields: tuple[str, ...] = ()
    flow: str = ""
    distinct: str = ""
    grace: timedelta = timedelta(hours=1)
    window: timedelta = WINDOW
    unless: frozenset[str] = frozenset()
    tolerance: Decimal = Decimal(0)
    relative: Decimal = Decimal(0)
    units: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def events(self) -> frozenset[str]:
        return self.left.events | self.right.events | self.unless


def compile_rule(
    slug: str, version: int, name: str, severity: str, spec: Mapping[str, Any], *, shadow: bool = False
) -> Rule:
    """Raises `ReconciliationError`."""
    problem = best_match(_VALIDATOR.iter_errors(spec))
    if problem is not None:
        place = ".".join(str(part) for part in problem.absolute_path) or "the rule"
        raise ReconciliationError(f"{place}: {problem.message}")
    if ("key" in spec) == ("flow" in spec):
        raise ReconciliationError("say either key (a kind of reference, or data fields) or flow")
    check = spec["check"]
    if check == EQUALS and not (spec["left"].get("field") and spec["right"].get("field")):
        raise ReconciliationError("equals compares amounts: say field on the left and on the right")
    if check == ONCE and "distinct" not in spec:
        raise ReconciliationError("once counts: say distinct, the kind of reference that may come once only")
    key = spec.get("key", "")
    try:
        grace, window = (
            parse_duration(spec.get(name, default)) for name, default in (("grace", "PT1H"), ("window", "P14D"))
        )
    except ValueError as error:
        raise ReconciliationError(f"grace, window: {error}") from None
    return Rule(
        slug=slug, version=version, name=name, severity=severity, shadow=shadow,
        left=_side(spec["left"], "left"), right=_side(spec["right"], "right"), check=check,
        reference=key if isinstance(key, str) else "", fields=tuple(key["data"]) if isinstance(key, dict) else (),
        flow=spec.get("flow", ""), distinct=spec.get("distinct", ""), grace=grace, window=window,
        unless=frozenset(spec.get("unless", ())), tolerance=Decimal(str(spec.get("tolerance", 0))),
        relative=Decimal(str(spec.get("relative", 0))),
        units={unit.upper(): Decimal(str(factor)) for unit, factor in spec.get("units", {}).items()},
    )  # fmt: skip


def _side(spec: Mapping[str, Any], name: str) -> Side:
    who = spec.get("who", {})
    return Side(
        name=spec.get("name", name),
        events=frozenset(spec["events"]),
        systems=frozenset(who.get("systems", ())),
        kinds=frozenset(who.get("kinds", ())),
        integrations=frozenset(who.get("integrations", ())),
        partners=frozenset(who.get("partners", ())),
        where=spec.get("where", {}),
        field=spec.get("field", ""),
        unit=spec.get("unit", "") or (f"{spec['field']}_unit" if spec.get("field") else ""),
        take=spec.get("take", "sum"),
    )


def amounts_in(side: Side, data: Mapping[str, Any]) -> dict[str, str]:
    """Unit -> amount as the event says it; empty when it says none. ``quantity_by_unit`` beside ``quantity`` is read too."""
    if not side.field:
        return {}
    several = data.get(f"{side.field}_by_unit")
    if isinstance(several, Mapping):
        return {str(unit): str(amount) for unit, amount in several.items() if _number(amount) is not None}
    amount = _number(_at(data, side.field))
    return {} if amount is None else {str(_at(data, side.unit) or ""): str(amount)}


def _at(data: Mapping[str, Any], path: str) -> Any:
    """A value by its dotted path; None if there is none."""
    found: Any = data
    for part in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return None
    return number if number.is_finite() and abs(number) < Decimal(10) ** 15 else None


def key_fields(rule: Rule, data: Mapping[str, Any]) -> Sequence[str] | None:
    """The values of the fields that join the sides; None unless all are there.

    ``sku|product`` is the first of these fields that says something; of "[HP-1] Chair" the code in brackets counts.
    """
    values = []
    for names in rule.fields:
        value = next((str(data[name]).strip() for name in names.split("|") if data.get(name)), "")
        code = _CODE.match(value)
        values.append(code[1] if code else value)
    return values if all(values) else None
