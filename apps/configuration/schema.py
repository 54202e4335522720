"""JSON Schema of the configuration files (`docs/configuration.md`)."""

from __future__ import annotations

from typing import Any

from jsonschema import FormatChecker

from apps.accounts.models import Role
from apps.collectors.mapping_schema import MAPPING_SCHEMA
from apps.configuration.channels import SCHEMA as CHANNELS
from apps.configuration.oncall_schema import POLICIES, ROUTES, SCHEDULES
from apps.configuration.reconciliation import SCHEMA as RECONCILIATIONS
from apps.configuration.report_schema import CONTRACT_TERMS, OBJECTIVES
from apps.configuration.runbooks import RUNBOOKS
from apps.configuration.schema_parts import DURATION, SLUG, TEXT, ZONE
from apps.configuration.schema_parts import rows as _row
from apps.core.calendars import CALENDAR_SCHEMA
from apps.core.zones import zone_names
from apps.flows.definitions import DEFINITION_SCHEMA
from apps.incidents.models import Severity
from apps.integrations.models import Integration, Partner
from apps.sla.models import SlaRule
from apps.sla.schema import RULE_SCHEMA

checker = FormatChecker(formats=["email"])


@checker.checks("zone")
def _is_zone(value: object) -> bool:
    return not isinstance(value, str) or value in zone_names()


CONFIG_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "teams": _row(["slug", "name"], {"slug": SLUG, "name": TEXT, "email": {"type": "string"}, "time_zone": ZONE}),
        "calendars": _row(["slug", "name", "spec"], {"slug": SLUG, "name": TEXT, "spec": CALENDAR_SCHEMA}),
        "partners": _row(
            ["slug", "name", "kind"],
            {
                "slug": SLUG,
                "name": TEXT,
                "kind": {"enum": Partner.Kind.values},
                "time_zone": ZONE,
                "calendar": {"type": "string"},
                "email": {"type": "string"},
                "active": {"type": "boolean"},
                "identifiers": {
                    "type": "object",
                    "additionalProperties": {"type": "array", "items": {"type": "string"}},
                },
            },
        ),
        "systems": _row(
            ["slug", "name", "kind"],
            {"slug": SLUG, "name": TEXT, "kind": TEXT, "partner": SLUG, "base_url": {"type": "string"}},
        ),
        "mappings": _row(["slug", "spec"], {"slug": SLUG, "name": {"type": "string"}, "spec": MAPPING_SCHEMA}),
        "integrations": _row(
            ["slug", "name", "kind"],
            {
                "slug": SLUG,
                "name": TEXT,
                "kind": TEXT,
                "partner": SLUG,
                "system": SLUG,
                "team": SLUG,
                "mapping": SLUG,
                "settings": {"type": "object"},
                "criticality": {"enum": Integration.Criticality.values},
                "latency_class": {"enum": Integration.LatencyClass.values},
                "latency_tolerance": DURATION,
                "stale_after": DURATION,
                "contract_version": {"type": "string", "maxLength": 32},
                "environment": {"enum": Integration.Environment.values},
                "zone": {"type": "string", "maxLength": 64},
                "time_zone": ZONE,
                "lifecycle": {"enum": Integration.Lifecycle.values},
                "enabled": {"type": "boolean"},
            },
        ),
        "flows": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["slug", "name", *DEFINITION_SCHEMA["required"]],
                "additionalProperties": False,
                "properties": {"slug": SLUG, "name": TEXT, "owner": SLUG, **DEFINITION_SCHEMA["properties"]},
            },
        },
        "rules": _row(
            ["slug", "name", "flow", "milestone", "spec"],
            {
                "slug": SLUG,
                "name": TEXT,
                "flow": SLUG,
                "milestone": {"type": "string"},
                "position": {"type": "integer", "minimum": 0},
                "severity": {"enum": Severity.values},
                "target": {"type": "number", "minimum": 0, "maximum": 100},
                "lifecycle": {"enum": SlaRule.Lifecycle.values},
                "spec": {"$id": "urn:controltower:rule", **RULE_SCHEMA},
            },
        ),
        "reconciliations": RECONCILIATIONS,
        "objectives": OBJECTIVES,
        "contract_terms": CONTRACT_TERMS,
        "runbooks": RUNBOOKS,
        "users": _row(
            ["username", "role"],
            {
                "username": {"type": "string", "pattern": "^[\\w.@+-]{1,150}$"},
                "first_name": {"type": "string"},
                "last_name": {"type": "string"},
                "email": {"type": "string"},
                "role": {"enum": Role.values},
                "teams": {"type": "array", "items": SLUG},
                "partner": SLUG,
                "time_zone": ZONE,
                "phone": {"type": "string"},
            },
        ),
        "schedules": SCHEDULES,
        "channels": CHANNELS,
        "escalation_policies": POLICIES,
        "escalation_routes": ROUTES,
    },
}
