"""What a rule's spec may hold: `RULE_SCHEMA` (JSON Schema 2020-12). docs/rules.md explains it with examples."""

from __future__ import annotations

from typing import Any

from apps.core.calendars import WEEKDAYS
from apps.sla.checks import KINDS as CHECKS
from apps.sla.deadlines import CLOCKS, KINDS
from apps.sla.durations import PATTERN
from apps.sla.occasions import FIRST, LAST, PERIODS

_DURATION = {"type": "string", "pattern": PATTERN, "description": "ISO 8601: PT4H, P2D"}
_TIME = {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$"}
_TIME_OF_DAY = {"anyOf": [_TIME, {"enum": ["end_of_day", "closing", "same"]}]}
_NAMES = {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}}
_ANCHOR = {
    "milestone": {"type": "string", "minLength": 1},
    "date": {"type": "string", "minLength": 1},
    "opened": {"const": True},
    "clock": {"enum": list(CLOCKS)},
}
_ONE_ANCHOR = [{"required": ["milestone"]}, {"required": ["date"]}, {"required": ["opened"]}]
_SPAN = {
    "type": "object",
    "additionalProperties": False,
    "required": ["duration"],
    "oneOf": _ONE_ANCHOR,
    "properties": {
        **_ANCHOR,
        "duration": _DURATION,
        "kind": {"enum": list(KINDS)},
        "cut_off": _TIME,
        "time": _TIME_OF_DAY,
    },
}

_DATE = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_AMOUNT = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?%$"}],
    "description": "a number, or a share such as 2%",
}


def _one(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


_CHECK = {
    "type": "object",
    "additionalProperties": False,
    "oneOf": [{"required": [kind]} for kind in CHECKS],
    "properties": {
        "early": _one(["than"], {"than": {"$ref": "#/$defs/due"}}),
        "too_long": _one(["since"], {"since": _SPAN}),
        "unexpected": _one(["without"], {"without": _NAMES, "in_order": {"type": "boolean"}}),
        "skipped": _one([], {"by": _NAMES}),
        "quantity": _one(
            ["got", "of"],
            {
                "got": {"type": "string", "minLength": 1},
                "of": {"type": "string", "minLength": 1},
                "short": _AMOUNT,
                "over": _AMOUNT,
                "compare": {"enum": ["sum", "each"], "description": "totals as a whole, or part by part"},
            },
        ),
        "wait": _DURATION,
    },
}

_EVERY = _one(
    ["from"],
    {
        "from": {"type": "string", "minLength": 1, "description": "slug of the integration it comes by"},
        "messages": {**_NAMES, "description": "types of events; any where left out"},
        "period": {"enum": list(PERIODS)},
        "times": {"type": "array", "minItems": 1, "uniqueItems": True, "items": _TIME},
        "minute": {"type": "integer", "minimum": 0, "maximum": 59},
        "days": {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": list(WEEKDAYS)}},
        "on": {"anyOf": [{"enum": [FIRST, LAST]}, {"type": "integer", "minimum": 1, "maximum": 31}]},
        "at_least": {"type": "integer", "minimum": 1, "maximum": 100_000},
        "opens": _DURATION,
        "named_by": {"type": "string", "minLength": 1, "description": "field of the data that names the occasion"},
    },
)

RULE_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "oneOf": [{"required": ["due"]}, {"required": ["check"]}, {"required": ["measure", "reason"]}],
    "properties": {
        "when": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "partner": _NAMES,
                "integration": {
                    **_NAMES,
                    "description": "slugs of integrations that told one of the flow's milestones",
                },
                "service": _NAMES,
                "attributes": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": ["string", "number", "boolean"]},
                    },
                },
                "weekday": {"type": "array", "minItems": 1, "items": {"enum": list(WEEKDAYS)}},
                "lane": {**_NAMES, "description": "FR>DE, FR>* or *>DE"},
                "season": {"type": "array", "minItems": 1, "items": {"enum": ["peak", "freeze", "usual"]}},
                "value": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["currency"],
                    "properties": {
                        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
                        "at_least": {"type": "number"},
                        "below": {"type": "number"},
                    },
                },
            },
        },
        "valid": {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {"from": _DATE, "until": _DATE},
            "description": "local days a flow is opened on, both included",
        },
        "measure": {"const": False},
        "reason": {"type": "string", "minLength": 1, "maxLength": 200},
        "due": {
            "if": {"type": "object", "required": ["every"]},
            "then": _one(["every"], {"every": _EVERY}),
            "else": {"$ref": "#/$defs/due"},
        },
        "check": _CHECK,
        "pause": {
            "type": "array",
            "uniqueItems": True,
            "items": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
            "description": "pauses of the flow definition that stop this clock",
        },
        "warn": {
            "type": "object",
            "additionalProperties": False,
            "oneOf": [{"required": ["before"]}, {"required": ["share"]}],
            "properties": {
                "before": _DURATION,
                "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            },
        },
        "grace": _DURATION,
        "zone": {"type": "string", "minLength": 1, "description": "partner, or an IANA time zone"},
        "calendar": {
            "type": ["string", "null"],
            "description": "partner, lane, ours, none, or the slug of a calendar",
        },
        "source": {"type": "string", "minLength": 1, "description": "integration whose silence suspends the clock"},
    },
    "$defs": {
        "due": {
            "type": "object",
            "additionalProperties": False,
            "oneOf": [{"required": [form]} for form in ("date", "after", "before", "at")],
            "properties": {
                "date": {"type": "string", "minLength": 1},
                "end_of_day": {"type": "boolean"},
                "time": _TIME_OF_DAY,
                "after": _SPAN,
                "before": _SPAN,
                "at": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["time", "day_of"],
                    "properties": {
                        "time": _TIME_OF_DAY,
                        "day_of": {
                            "type": "object",
                            "additionalProperties": False,
                            "oneOf": _ONE_ANCHOR,
                            "properties": _ANCHOR,
                        },
                        "days": {"type": "integer", "minimum": 0, "maximum": 3650},
                        "kind": {"enum": ["working_days", "calendar_days"]},
                        "cut_off": _TIME,
                    },
                },
                "else": {
                    "anyOf": [
                        {"$ref": "#/$defs/due"},
                        {"type": "array", "items": {"$ref": "#/$defs/due"}},
                    ]
                },
            },
        }
    },
}
