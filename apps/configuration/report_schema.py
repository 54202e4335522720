"""JSON Schema of the sections `objectives` and `contract_terms`."""

from __future__ import annotations

from apps.configuration.schema_parts import SLUG, TEXT, rows
from apps.incidents.models import Severity
from apps.reports.burning import ALERTS
from apps.reports.models import ContractTerm, Objective

OBJECTIVES = rows(
    ["slug", "name", "target"],
    {
        "slug": SLUG,
        "name": TEXT,
        "target": {
            "type": "number",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 100,
            "description": "percent to be kept, below 100: what is left is the error budget",
        },
        "days": {"type": "integer", "minimum": 1, "maximum": 366},
        "period": {"enum": Objective.Period.values},
        "rule": SLUG,
        "partner": SLUG,
        "flow": SLUG,
        "lane": {"type": "string", "maxLength": 64},
        "service": {"type": "string", "maxLength": 64},
        "severity": {"enum": Severity.values},
        "team": SLUG,
        "alerts": {
            "oneOf": [
                {"const": "none"},
                {"type": "array", "items": {"enum": ALERTS}, "minItems": 1, "uniqueItems": True},
            ],
            "description": f"none, or some of {', '.join(ALERTS)}",
        },
        "active": {"type": "boolean"},
    },
)
CONTRACT_TERMS = rows(
    ["slug", "name", "basis", "amount", "currency"],
    {
        "slug": SLUG,
        "name": TEXT,
        "partner": SLUG,
        "rule": SLUG,
        "payer": {"enum": ContractTerm.Payer.values},
        "basis": {"enum": ContractTerm.Basis.values},
        "amount": {"type": "number", "exclusiveMinimum": 0, "maximum": 10**9},
        "currency": {
            "type": "string",
            "pattern": "^[A-Z]{3}$",
            "description": "an ISO 4217 code such as EUR",
        },
        "cap_each": {"type": "number", "minimum": 0, "maximum": 10**11},
        "cap_month": {"type": "number", "minimum": 0, "maximum": 10**11},
        "valid_from": {"type": "string"},
        "valid_until": {"type": "string"},
    },
)
