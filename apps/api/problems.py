"""How the API says no: ``{"error": {"code", "sentence", "field"}}``, the shape the doors use too."""

from __future__ import annotations

from typing import Any

import structlog
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import InterfaceError, OperationalError, transaction
from django.http import Http404
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, NotFound, PermissionDenied, Throttled, ValidationError
from rest_framework.response import Response

from apps.incidents.workflow import NotPossible

log = structlog.get_logger(__name__)

RETRY_AFTER = "5"
NOTHING_HERE = "There is nothing here for you. Check the address."
SENTENCES = {
    "not_authenticated": "Say who you are: send a token as 'Authorization: Bearer ct_...', or sign in.",
    "not_found": NOTHING_HERE,
}


class ProblemBody(serializers.Serializer[Any]):
    """What went wrong. field: the part of the request it is about, '' for the whole."""

    code = serializers.CharField()
    sentence = serializers.CharField()
    field = serializers.CharField(allow_blank=True)


class Problem(serializers.Serializer[Any]):
    error = ProblemBody()


class Conflict(APIException):
    """The request is fine, the state of things is not (409)."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class Unavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    default_detail = "The tower cannot reach its database right now. Nothing was changed; try again in a few seconds."


def answer(status_code: int, code: str, sentence: str, field: str = "", headers: Any = None) -> Response:
    body = {"error": {"code": code, "sentence": sentence, "field": field}}
    return Response(body, status=status_code, headers=headers)


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. None (a defect of ours) becomes Django's 500."""
    if isinstance(error, NotPossible):
        return answer(status.HTTP_409_CONFLICT, "not_possible", str(error))
    if isinstance(error, Http404):
        error = NotFound()
    elif isinstance(error, DjangoPermissionDenied):
        error = PermissionDenied()
    elif isinstance(error, OperationalError | InterfaceError):
        log.warning("api_unavailable", error=type(error).__name__)
        error = Unavailable()
    if not isinstance(error, APIException):
        return None
    _roll_back()
    headers = {}
    if auth_header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if isinstance(error, Unavailable):
        headers["Retry-After"] = RETRY_AFTER
    if isinstance(error, Throttled):
        wait = max(1, round(error.wait or 1))
        headers["Retry-After"] = str(wait)
        sentence = f"That was too many requests. Ask again in {wait} s."
        return answer(error.status_code, "too_many_requests", sentence, headers=headers)
    if isinstance(error, ValidationError):
        field, sentence = _first(error.detail)
        return answer(error.status_code, "invalid", sentence, field, headers)
    code = str(error.get_codes()) if isinstance(error.get_codes(), str) else error.default_code
    return answer(error.status_code, code, SENTENCES.get(code, str(error.detail)), headers=headers)


def _roll_back() -> None:
    """As DRF does under ATOMIC_REQUESTS; the API itself opens no transaction around a request."""
    connection = transaction.get_connection()
    if connection.settings_dict["ATOMIC_REQUESTS"] and connection.in_atomic_block:
        transaction.set_rollback(True)


def _first(detail: Any, path: str = "") -> tuple[str, str]:
    """(field, sentence) of the first thing that is wrong."""
    if isinstance(detail, dict):
        name, inner = next(iter(detail.items()))
        here = "" if name == "non_field_errors" else str(name)
        return _first(inner, f"{path}.{here}" if path and here else path or here)
    if isinstance(detail, list):
        return _first(detail[0], path) if detail else (path, "This is not valid.")
    return path, str(detail)
