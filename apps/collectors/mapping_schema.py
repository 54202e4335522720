"""The JSON Schema of a mapping document (draft 2020-12), for `load_config`, editors and the engine itself."""

from __future__ import annotations

from typing import Any

_PATH: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 300,
    "description": "Where to look: $.order.id from the document, order.id from the current element, ^.id one above it",
}
_PATHS: dict[str, Any] = {
    "description": "One path, or several whose values are joined",
    "oneOf": [_PATH, {"type": "array", "items": _PATH, "minItems": 1, "maxItems": 8}],
}
_SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_ZONE: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 64,
    "description": "IANA name for times without offset",
}
_EVENT_TYPE: dict[str, Any] = {
    "type": "string",
    "pattern": r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$",
    "maxLength": 64,
    "description": "An event type of the catalogue, such as transport.picked_up",
}
_TIME_FIELDS: dict[str, Any] = {
    "format": {
        "type": "string",
        "description": "iso (the default), epoch (seconds), epoch_ms, or a strptime pattern such as %d-%b-%y %H:%M",
        "anyOf": [{"enum": ["iso", "epoch", "epoch_ms"]}, {"pattern": "%"}],
        "maxLength": 64,
    },
    "zone": _ZONE,
    "date_only": {"type": "boolean", "description": "Only the day as written counts"},
}
_TIME: dict[str, Any] = {
    "oneOf": [
        _PATH,
        {
            "type": "object",
            "properties": {"path": _PATHS, **_TIME_FIELDS},
            "required": ["path"],
            "additionalProperties": False,
        },
    ]
}
#: with `columns` the path is each column's own
_TIME_OF_COLUMNS: dict[str, Any] = {"type": "object", "properties": _TIME_FIELDS, "additionalProperties": False}
_CONDITION: dict[str, Any] = {
    "description": "A value, a list of values, or exists / missing",
    "oneOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1, "maxItems": 500}],
}
_TYPE: dict[str, Any] = {
    "oneOf": [
        _EVENT_TYPE,
        {
            "type": "object",
            "properties": {
                "path": _PATHS,
                "values": {
                    "type": "object",
                    "description": "The partner's code -> event type. A code that is missing here is an issue",
                    "additionalProperties": _EVENT_TYPE,
                    "minProperties": 1,
                    "maxProperties": 2000,
                },
                "ignore": {"type": "array", "items": _SCALAR, "description": "Codes known to be of no interest"},
            },
            "required": ["path"],
            "additionalProperties": False,
        },
    ]
}
_REFERENCE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": 32},
        "path": _PATHS,
        "issuer": {
            "description": "Who gave the key: a text or a path. Without: our partner, where the kind needs one",
            "oneOf": [
                {"type": "string", "maxLength": 64},
                {"type": "object", "properties": {"path": _PATH}, "required": ["path"], "additionalProperties": False},
            ],
        },
        "required": {"type": "boolean"},
    },
    "required": ["kind", "path"],
    "additionalProperties": False,
}
_PARTY: dict[str, Any] = {
    "oneOf": [
        _PATH,
        {
            "type": "object",
            "properties": {"fixed": {"type": "string", "minLength": 1, "maxLength": 128}},
            "required": ["fixed"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "path": _PATH,
                "scheme": {"type": "string", "maxLength": 16, "description": "gln, scac, duns, vat ..."},
                "values": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 128}},
            },
            "required": ["path"],
            "additionalProperties": False,
        },
    ]
}
_RULE_FIELDS: dict[str, Any] = {
    "each": {**_PATH, "description": "One event for each element: $.shipments[*]"},
    "when": {"type": "object", "additionalProperties": _CONDITION, "maxProperties": 20},
    "type": _TYPE,
    "columns": {
        "type": "object",
        "description": "Wide rows: each column that holds a time -> the event type it stands for",
        "additionalProperties": _EVENT_TYPE,
        "minProperties": 1,
        "maxProperties": 100,
    },
    "happened_at": {"anyOf": [_TIME, _TIME_OF_COLUMNS]},
    "sent_at": _TIME,
    "booked_at": _TIME,
    "received_at": _TIME,
    "id": {
        "oneOf": [
            _PATH,
            {
                "type": "object",
                "properties": {
                    "path": _PATHS,
                    "with_type": {"type": "boolean", "description": "Add the event type: one record, several events"},
                },
                "required": ["path"],
                "additionalProperties": False,
            },
        ]
    },
    "references": {"type": "array", "items": _REFERENCE, "minItems": 1, "maxItems": 30},
    "dates": {"type": "object", "additionalProperties": _TIME, "maxProperties": 30},
    "parties": {"type": "object", "additionalProperties": _PARTY, "maxProperties": 30},
    "data": {"type": "object", "additionalProperties": _PATH, "maxProperties": 100},
    "trace": {**_PATH, "description": "A W3C traceparent or a trace id of 32 hexadecimal digits"},
}
_RULE: dict[str, Any] = {
    "type": "object",
    "properties": _RULE_FIELDS,
    "additionalProperties": False,
    "oneOf": [{"required": ["type"]}, {"required": ["columns"]}],
}

MAPPING_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Mapping of a partner's fields to canonical events",
    "type": "object",
    "properties": {
        "null_values": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Texts that stand for nothing, beside null and the empty text",
        },
        "zone": _ZONE,
        "otherwise": {
            "enum": ["issue", "ignore"],
            "description": "What to do with a document or row that no rule wants; issue is the default",
        },
        "defaults": {
            "type": "object",
            "description": "Fields every rule takes over unless it has its own",
            "properties": {name: spec for name, spec in _RULE_FIELDS.items() if name not in ("type", "columns")},
            "additionalProperties": False,
        },
        "events": {"type": "array", "items": _RULE, "minItems": 1, "maxItems": 200},
    },
    "required": ["events"],
    "additionalProperties": False,
}
