"""JSON Schema of the configuration files (`docs/configuration.md`)."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from jsonschema import FormatChecker

from apps.accounts.models import Role
from apps.collectors.mapping_schema import MAPPING_SCHEMA
from apps.core.calendars import CALENDAR_SCHEMA
from apps.flows.definitions import DEFINITION_SCHEMA
from apps.incidents.models import Severity
from apps.integrations.models import Integration, Partner
from apps.sla.models import SlaRule
from apps.sla.schema import RULE_SCHEMA

SLUG = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$", "description": "lower case letters, digits, - and _"}
TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
ZONE = {"type": "string", "format": "zone", "description": "an IANA time zone such as Europe/Berlin"}
DURATION = {
    "type": "string",
    "pattern": "^P(?=.)([0-9]+D)?(T(?=.)([0-9]+H)?([0-9]+M)?([0-9]+S)?)?$",
    "description": "an ISO 8601 duration such as PT30M",
}

checker = FormatChecker(formats=["email"])


@checker.checks("zone")
def _is_zone(value: object) -> bool:
    return not isinstance(value, str) or value in available_timezones()


def _row(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "object", "required": required, "additionalProperties": False, "properties": properties},
    }


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
        "schedules": _row(
            ["team", "name", "starts_at", "shift_length", "members"],
            {
                "team": SLUG,
                "name": TEXT,
                "time_zone": ZONE,
                "starts_at": {"type": "string", "format": "date-time"},
                "shift_length": DURATION,
                "members": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            },
        ),
    },
}
