"""The editor's form of an SLA rule, read: what is wanted, or what is wrong, with the line it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from apps.configuration.documents import ConfigError, parse
from apps.flows.models import FlowDefinition
from apps.flows.registry import load as load_definitions
from apps.incidents.models import Severity
from apps.integrations.models import Calendar, Integration
from apps.sla.deadlines import RuleError
from apps.sla.models import SlaRule
from apps.sla.rule_specs import unknown_names
from apps.sla.rule_versions import Wanted
from apps.sla.rules import BY_NAME, compile_rule
from apps.sla.schema import RULE_SCHEMA

MOST_TEXT = 20_000
#: addresses of the editor itself
RESERVED = ("add", "new")
_VALIDATOR = Draft202012Validator(RULE_SCHEMA)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong in the form. line: of the text, 0 when it is another field."""

    line: int
    place: str
    sentence: str


@dataclass(slots=True)
class Form:
    """What the editor's form holds, read. wanted is None while there are troubles."""

    values: dict[str, str]
    troubles: list[Trouble]
    wanted: Wanted | None = None


def read(posted: Mapping[str, str], rule: SlaRule | None) -> Form:
    """The form as typed. Slug, flow and milestone of a kept rule are its own, whatever was sent."""
    values = {
        name: posted.get(name, "").strip()[:200] for name in ("name", "position", "severity", "target", "lifecycle")
    }
    values["spec"] = posted.get("spec", "")[:MOST_TEXT].replace("\r\n", "\n")
    kept = {"slug": rule.slug, "flow": rule.flow_slug, "milestone": rule.milestone} if rule else {}
    values |= kept or {name: posted.get(name, "").strip()[:64] for name in ("slug", "flow", "milestone")}
    form = Form(values, [])
    spec = _spec(values["spec"], values["flow"], form.troubles)
    number = _numbers(values, form.troubles)
    if rule is None:
        _identity(values, form.troubles)
    if not values["name"]:
        form.troubles.append(Trouble(0, "name", "Give the rule a name that people know it by."))
    for name, allowed in (("severity", Severity.values), ("lifecycle", SlaRule.Lifecycle.values)):
        if values[name] not in allowed:
            form.troubles.append(Trouble(0, name, f"Choose one of {', '.join(allowed)}."))
    if spec is not None and number is not None and not form.troubles:
        form.wanted = Wanted(
            slug=values["slug"],
            name=values["name"],
            flow_slug=values["flow"],
            milestone=values["milestone"],
            position=number[0],
            spec=spec,
            severity=values["severity"],
            target=number[1],
            lifecycle=values["lifecycle"],
        )
    return form


def _numbers(values: Mapping[str, str], troubles: list[Trouble]) -> tuple[int, Decimal] | None:
    position = values["position"]
    if not (position.isascii() and position.isdecimal() and len(position) < 8):
        troubles.append(Trouble(0, "position", "The position is a whole number; lower ones are tried first."))
        return None
    try:
        target = Decimal(values["target"])
        if not (target.is_finite() and 0 < target <= 100 and target == target.quantize(Decimal("0.01"))):
            raise InvalidOperation
    except InvalidOperation:
        troubles.append(Trouble(0, "target", "The target is a percentage above 0, at most 100, with two decimals."))
        return None
    return int(position), target


def _identity(values: Mapping[str, str], troubles: list[Trouble]) -> None:
    slug = values["slug"]
    if slug in RESERVED:
        troubles.append(Trouble(0, "slug", "This short name is taken by the pages themselves; choose another."))
    elif not slug or not slug.isascii() or slug != slug.lower() or not slug.replace("-", "").isalnum():
        troubles.append(Trouble(0, "slug", "The short name has small letters, digits and hyphens only."))
    elif SlaRule.objects.filter(slug=slug).exists():
        troubles.append(Trouble(0, "slug", f"There is a rule {slug} already; choose another short name."))
    definition = load_definitions().catalogue.active.get(values["flow"])
    if definition is None:
        troubles.append(Trouble(0, "flow", "Choose the flow it is for."))
    elif values["milestone"] not in {one.name for one in definition.milestones}:
        troubles.append(Trouble(0, "milestone", f"Choose a milestone of {definition.name}."))


def _spec(text: str, flow: str, troubles: list[Trouble]) -> dict[str, Any] | None:
    """The YAML text as a spec that satisfies the schema and can be compiled; else troubles with their lines."""
    try:
        document = parse(text, "rule")
    except ConfigError as error:
        for problem in error.problems:
            number, _, sentence = problem.removeprefix("rule, line ").partition(": ")
            known = number.isdecimal()
            troubles.append(Trouble(int(number) if known else 1, "", _sentence(sentence if known else problem)))
        return None
    spec = dict(document.data)
    problem_ = best_match(_VALIDATOR.iter_errors(spec))
    if problem_ is not None:
        place = tuple(problem_.absolute_path)
        line = _line(document.where(place))
        troubles.append(Trouble(line, ".".join(str(part) for part in place), _sentence(problem_.message)))
        return None
    try:
        compiled = compile_rule(spec)
    except RuleError as error:
        first = next((part for part in str(error).split(":")[0].split(".") if part in spec), "")
        troubles.append(Trouble(_line(document.where((first,) if first else ())), "", _sentence(str(error))))
        return None
    definition = FlowDefinition.objects.filter(slug=flow, active=True).first()
    for name, problem in unknown_names(spec, definition.spec) if definition else ():
        troubles.append(Trouble(_line(document.where((name,))), name, _sentence(problem)))
    for slug in sorted(compiled.integrations - set(Integration.objects.values_list("slug", flat=True))):
        troubles.append(
            Trouble(_line(document.where(("when", "integration"))), "when", f"There is no integration {slug}.")
        )
    if compiled.calendar not in BY_NAME and not Calendar.objects.filter(slug=compiled.calendar).exists():
        troubles.append(
            Trouble(_line(document.where(("calendar",))), "calendar", f"There is no calendar {compiled.calendar}.")
        )
    if compiled.source and not Integration.objects.filter(slug=compiled.source).exists():
        troubles.append(
            Trouble(_line(document.where(("source",))), "source", f"There is no integration {compiled.source}.")
        )
    return spec


def _line(where: str) -> int:
    return int(where.rpartition(" ")[2])


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
