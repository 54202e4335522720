"""Flow definitions and SLA rules: rows from a configuration file and back."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from apps.accounts.models import Team
from apps.configuration.rows import Refused, Row, find_maybe, lean, newest_of, save_version
from apps.flows.models import FlowDefinition
from apps.integrations.models import Calendar, Integration
from apps.sla.deadlines import RuleError
from apps.sla.models import SlaRule
from apps.sla.rule_specs import unknown_names
from apps.sla.rules import BY_NAME, compile_rule


def flow(row: Row) -> str:
    spec = {name: value for name, value in row.items() if name not in ("slug", "name", "owner")}
    known = {milestone["name"] for milestone in spec["milestones"]}
    if len(known) < len(spec["milestones"]):
        raise Refused("milestones", "two milestones have the same name")
    for name in spec.get("completed_by", ()):
        if name not in known:
            raise Refused("completed_by", f"{name!r} is none of the milestones: {', '.join(sorted(known))}")
    newest = FlowDefinition.objects.filter(slug=row["slug"]).order_by("-version").first()
    owner = find_maybe(Team, row, "owner")
    if newest is not None and newest.spec == spec and newest.name == row["name"]:
        if newest.owner != owner:
            newest.owner = owner
            newest.save(update_fields=["owner"])
            return "changed"
        return ""
    FlowDefinition.objects.filter(slug=row["slug"], active=True).update(active=False)
    return save_version(
        FlowDefinition, row["slug"], {"name": row["name"], "spec": spec, "owner": owner, "active": True}
    )


def flows() -> Iterable[dict[str, Any]]:
    for flow in newest_of(FlowDefinition):
        head = {"slug": flow.slug, "name": flow.name, **({"owner": flow.owner.slug} if flow.owner else {})}
        yield {**head, **flow.spec}


def rule(row: Row) -> str:
    flow = FlowDefinition.objects.filter(slug=row["flow"]).order_by("-version").first()
    if flow is None:
        raise Refused("flow", f"there is no flow {row['flow']!r}; load its definition first")
    names = [milestone["name"] for milestone in flow.spec["milestones"]]
    if row["milestone"] not in names:
        raise Refused("milestone", f"{row['milestone']!r} is none of the milestones of {flow.slug}: {', '.join(names)}")
    try:
        compiled = compile_rule(row["spec"])
    except RuleError as problem:
        raise Refused("spec", str(problem)) from None
    for name, wrong in unknown_names(row["spec"], flow.spec):
        raise Refused("spec", f"{name}: {wrong}")
    for slug in sorted(compiled.integrations):
        if not Integration.objects.filter(slug=slug).exists():
            raise Refused("spec", f"there is no integration {slug!r} to match")
    if compiled.calendar not in BY_NAME and not Calendar.objects.filter(slug=compiled.calendar).exists():
        raise Refused("spec", f"there is no calendar {compiled.calendar!r}; define it in this file or load it first")
    if compiled.source and not Integration.objects.filter(slug=compiled.source).exists():
        raise Refused("spec", f"there is no integration {compiled.source!r} to hear this from")
    values = {
        "name": row["name"],
        "flow_slug": row["flow"],
        "milestone": row["milestone"],
        "position": row.get("position", 100),
        "severity": row.get("severity", "normal"),
        "target": Decimal(str(row.get("target", 98))),
        "lifecycle": row.get("lifecycle", "active"),
        "spec": row["spec"],
    }
    return save_version(SlaRule, row["slug"], values)


def rules() -> Iterable[dict[str, Any]]:
    for rule in newest_of(SlaRule):
        target = int(rule.target) if rule.target == int(rule.target) else float(rule.target)
        yield lean(
            {
                "slug": rule.slug,
                "name": rule.name,
                "flow": rule.flow_slug,
                "milestone": rule.milestone,
                "position": rule.position,
                "severity": str(rule.severity),
                "target": target,
                "lifecycle": str(rule.lifecycle),
                "spec": rule.spec,
            },
            {"position": 100, "severity": "normal", "target": 98, "lifecycle": "active"},
        )
