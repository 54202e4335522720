"""Pages by keyset: a cursor names the last row shown, so pages neither repeat nor skip rows and page 400 costs as page 1."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

PAGE = 50
MOST = 200
MOST_CURSOR = 500


class Keyset(BasePagination):
    """Answers ``{"next": address or null, "results": [..]}``. The view's ``keyset`` names the order: unique together,
    none of them null, ``-`` for descending; the last one is the tie-breaker."""

    _next: str | None = None

    def paginate_queryset(self, queryset: QuerySet[Any], request: Any, view: Any = None) -> list[Any]:
        keyset: Sequence[str] = view.keyset_of(request)
        size = _page_size(request.query_params.get("page_size"))
        rows = queryset.order_by(*keyset)
        if cursor := request.query_params.get("cursor", ""):
            rows = rows.filter(_after(keyset, _read(cursor, rows.model, keyset)))
        found = list(rows[: size + 1])
        if len(found) > size:
            found = found[:size]
            address = replace_query_param(request.get_full_path(), "cursor", _write(keyset, found[-1]))
            self._next = request.build_absolute_uri(address)
        return found

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self._next, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        address = {"type": "string", "nullable": True, "format": "uri", "description": "The next page; null at the end"}
        return {
            "type": "object",
            "required": ["next", "results"],
            "properties": {"next": address, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "Where to go on; take it from `next`.",
                "schema": {"type": "string", "maxLength": MOST_CURSOR},
            },
            {
                "name": "page_size",
                "in": "query",
                "required": False,
                "description": "Rows of one page.",
                "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE},
            },
        ]


def _page_size(text: str | None) -> int:
    if text is None:
        return PAGE
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST:
        return int(text)
    raise ValidationError({"page_size": f"Give a whole number from 1 to {MOST}."})


def _after(keyset: Sequence[str], values: Sequence[Any]) -> Q:
    """Rows behind the cursor. The first column is bounded by itself as well, so that an index on it can be used."""
    first = keyset[0].lstrip("-")
    bound = "lte" if keyset[0].startswith("-") else "gte"
    behind = Q()
    equal: dict[str, Any] = {}
    for column, value in zip(keyset, values, strict=True):
        name = column.lstrip("-")
        behind |= Q(**equal, **{f"{name}__{'lt' if column.startswith('-') else 'gt'}": value})
        equal[name] = value
    return Q(**{f"{first}__{bound}": values[0]}) & behind


def _write(keyset: Sequence[str], row: Any) -> str:
    values = [getattr(row, column.lstrip("-")) for column in keyset]
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def _read(cursor: str, model: Any, keyset: Sequence[str]) -> list[Any]:
    wrong = ValidationError({"cursor": "This is no cursor of this list. Take it from `next`, or leave it out."})
    if len(cursor) > MOST_CURSOR or not cursor.isascii():
        raise wrong
    try:
        plain = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise wrong from None
    if not isinstance(plain, list) or len(plain) != len(keyset):
        raise wrong
    values = []
    for column, value in zip(keyset, plain, strict=True):
        kind = model._meta.get_field(column.lstrip("-")).get_internal_type()
        try:
            values.append(_value(kind, value))
        except (TypeError, ValueError, OverflowError):
            raise wrong from None
    return values


def _value(kind: str, value: Any) -> Any:
    if kind == "DateTimeField":
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError(value)
        return moment.astimezone(UTC)
    if kind in ("CharField", "SlugField"):
        if not isinstance(value, str) or "\0" in value:
            raise ValueError(value)
        value.encode()
        return value
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise ValueError(value)
    return value
