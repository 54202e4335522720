"""The OpenAPI document: every operation says its scope and how it refuses."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from apps.api.permissions import ANY, scope_for

REFUSALS = {
    "4XX": "The request was refused; the sentence says why.",
    "503": "The database is away. Nothing was changed; send the same again after Retry-After seconds.",
}
PROBLEM = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "sentence", "field"],
            "properties": {
                "code": {"type": "string"},
                "sentence": {"type": "string"},
                "field": {"type": "string", "description": "What of the request it is about; empty: the whole"},
            },
        }
    },
}


class TowerSchema(AutoSchema):
    def get_description(self) -> str:
        scope = scope_for(self.view, self.method)
        said = super().get_description() or ""
        needs = "Any caller." if scope == ANY else f"Scope: `{scope}`."
        return f"{said}\n\n{needs}".strip()


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "apps.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "A machine token: ct_..."}


def with_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's hook: the refusals every operation has in common."""
    result["components"].setdefault("schemas", {})["Problem"] = PROBLEM
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            for status, description in REFUSALS.items():
                operation["responses"][status] = {"description": description, "content": content}
    return result
