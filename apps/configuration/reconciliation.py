"""Declared pairs that must agree: rows from a configuration file and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.anomalies.causes_models import ReconciliationRule
from apps.anomalies.reconciliation.rules import SPEC_PROPERTIES, ReconciliationError, compile_rule
from apps.configuration.rows import Refused, Row, lean, newest_of, save_version
from apps.configuration.schema_parts import SLUG, TEXT, rows
from apps.flows.models import FlowDefinition
from apps.incidents.models import Severity

_OWN = ("slug", "name", "severity", "lifecycle")

SCHEMA = rows(
    ["slug", "name", "left", "right", "check"],
    {
        "slug": SLUG,
        "name": TEXT,
        "severity": {"enum": Severity.values},
        "lifecycle": {"enum": ReconciliationRule.Lifecycle.values},
        **SPEC_PROPERTIES,
    },
)


def reconciliation(row: Row) -> str:
    spec = {name: value for name, value in row.items() if name not in _OWN}
    severity = row.get("severity", "normal")
    try:
        compile_rule(row["slug"], 1, row["name"], severity, spec)
    except ReconciliationError as problem:
        raise Refused("check", str(problem)) from None
    flow = spec.get("flow")
    if flow and not FlowDefinition.objects.filter(slug=flow).exists():
        raise Refused("flow", f"there is no flow {flow!r}; load its definition first")
    values = {
        "name": row["name"],
        "severity": severity,
        "lifecycle": row.get("lifecycle", "active"),
        "spec": spec,
    }
    return save_version(ReconciliationRule, row["slug"], values)


def reconciliations() -> Iterable[dict[str, Any]]:
    for rule in newest_of(ReconciliationRule):
        head = {
            "slug": rule.slug,
            "name": rule.name,
            "severity": str(rule.severity),
            "lifecycle": str(rule.lifecycle),
        }
        yield lean(head, {"severity": "normal", "lifecycle": "active"}) | rule.spec
