"""JSON Schema of on-call schedules and escalation policies in configuration files."""

from __future__ import annotations

from typing import Any

from apps.configuration.schema_parts import DURATION, SLUG, TEXT, ZONE, rows
from apps.core.calendar_specs import WEEKDAYS
from apps.incidents.models import Severity
from apps.notifications.escalation_models import EscalationRoute
from apps.notifications.escalation_plans import TARGETS
from apps.oncall.models import Layer

_MOMENT = {"type": "string", "format": "date-time"}
_MEMBERS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_CLOCK = {"type": "string", "pattern": r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$", "description": "a time in quotes: '22:00'"}
_LAYER: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["starts_at", "shift_length", "members"],
    "properties": {
        "name": {"type": "string", "maxLength": 200},
        "time_zone": ZONE,
        "starts_at": _MOMENT,
        "shift_length": DURATION,
        "members": _MEMBERS,
        "hours": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "days": {"type": "array", "items": {"enum": list(WEEKDAYS)}, "minItems": 1},
                    "from": _CLOCK,
                    "to": _CLOCK,
                },
            },
        },
        "holidays": {"enum": Layer.Holidays.values},
        "active_from": _MOMENT,
        "active_until": _MOMENT,
    },
}

#: a schedule is either one rotation (starts_at, shift_length, members) or a list of layers, the lowest first
SCHEDULES = rows(
    ["team", "name"],
    {
        "slug": SLUG,
        "team": SLUG,
        "name": TEXT,
        "position": {"type": "integer", "minimum": 0, "maximum": 999},
        "time_zone": ZONE,
        "country": {"type": "string", "pattern": "^[A-Z]{2}$", "description": "ISO 3166-1: its public holidays"},
        "subdivision": {"type": "string", "maxLength": 16},
        "mail_handover": {"type": "boolean"},
        "starts_at": _MOMENT,
        "shift_length": DURATION,
        "members": _MEMBERS,
        "layers": {"type": "array", "items": _LAYER, "minItems": 1},
    },
)
SCHEDULES["items"]["oneOf"] = [
    {"required": ["layers"]},
    {"required": ["starts_at", "shift_length", "members"]},
]

#: after: whole minutes since the step before it; a target has one key that says what it is
POLICIES = rows(
    ["slug", "name", "steps"],
    {
        "slug": SLUG,
        "name": TEXT,
        "steps": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["targets"],
                "properties": {
                    "after": {"type": "integer", "minimum": 0, "description": "whole minutes"},
                    "targets": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "minProperties": 1,
                            "maxProperties": 1,
                            "properties": {key: {"type": "string", "minLength": 1} for key in TARGETS},
                        },
                    },
                },
            },
        },
        "repeat": {"type": "integer", "minimum": 0, "maximum": 20},
        "pause": DURATION,
        "lapse_after": DURATION,
        "remind_every": DURATION,
    },
)

#: which incidents follow which policy: tried by position, the first that fits decides
ROUTES = rows(
    ["position", "policy"],
    {
        "position": {"type": "integer", "minimum": 0},
        "policy": SLUG,
        "severities": {"type": "array", "items": {"enum": Severity.values}},
        "integrations": {"type": "array", "items": SLUG},
        "teams": {"type": "array", "items": SLUG},
        "hours": {"enum": EscalationRoute.Hours.values},
        "calendar": SLUG,
    },
)
