"""What the schemas of several sections say alike."""

from __future__ import annotations

from typing import Any

SLUG = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$", "description": "lower case letters, digits, - and _"}
TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
ZONE = {"type": "string", "format": "zone", "description": "an IANA time zone such as Europe/Berlin"}
DURATION = {
    "type": "string",
    "pattern": "^P(?=.)([0-9]+D)?(T(?=.)([0-9]+H)?([0-9]+M)?([0-9]+S)?)?$",
    "description": "an ISO 8601 duration such as PT30M",
}


def rows(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    """A section: a list of rows, of which none may say anything unknown."""
    return {
        "type": "array",
        "items": {"type": "object", "required": required, "additionalProperties": False, "properties": properties},
    }
