"""The same call sent twice is done once: by ``Idempotency-Key``, remembered for 24 hours in the database.

The key, the deed and the answer are one transaction: a second call waits for the first and gets its answer (with
``Idempotency-Replayed: true``); the same key with another address or body is a conflict. An outage (5xx) is not kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from apps.accounts.models import ApiClient
from apps.api.callers import Caller
from apps.api.models import IdempotentAnswer
from apps.api.problems import Conflict, handle

KEPT = timedelta(hours=24)
LONGEST = 200
#: old answers dropped with every new key
SWEPT = 200
KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Your id of this call, up to 200 visible ASCII characters: sent again within 24 h it gets the same answer",
)


class KeyReused(Conflict):
    default_code = "idempotency_key_reused"
    default_detail = "This Idempotency-Key was used within 24 h for another call: make a new key for a new call."


def once(caller: Caller, request: Request, now: datetime, work: Callable[[], Response]) -> Response:
    """work's answer, or the one it gave the first time. Raises ParseError for a key of no use, KeyReused."""
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        return work()
    if len(key) > LONGEST or not key.isascii() or not key.isprintable() or " " in key:
        raise ParseError("The Idempotency-Key must be 1 to 200 visible ASCII characters.")
    who = f"{'token' if isinstance(caller.actor, ApiClient) else 'person'}-{caller.actor.pk}"
    digest = _digest(request)
    with transaction.atomic():
        _sweep(now)
        IdempotentAnswer.objects.filter(caller=who, key=key, at__lte=now - KEPT).delete()
        IdempotentAnswer.objects.bulk_create(
            [IdempotentAnswer(caller=who, key=key, digest=digest, at=now)], ignore_conflicts=True
        )
        row = IdempotentAnswer.objects.select_for_update().get(caller=who, key=key)
        if row.digest != digest:
            raise KeyReused
        if row.status is not None:
            return Response(row.body, status=row.status, headers={"Idempotency-Replayed": "true"})
        answer = _answer(work)
        row.status = answer.status_code
        row.body = json.loads(json.dumps(answer.data, cls=JSONEncoder))
        row.save(update_fields=["status", "body"])
    return answer


def _answer(work: Callable[[], Response]) -> Response:
    """Refusals are answers too; what is no fault of the caller's goes up, and the key with it."""
    try:
        with transaction.atomic():
            return work()
    except Exception as error:
        said = handle(error, {})
        if said is None or said.status_code >= 500:
            raise
        return said


def _digest(request: Request) -> str:
    said: Any = request.data
    body = json.dumps(said, sort_keys=True, cls=JSONEncoder)
    return hashlib.sha256(
        f"{request.method} {request.get_full_path()} {body}".encode("utf-8", "surrogatepass")
    ).hexdigest()


def _sweep(now: datetime) -> None:
    old = IdempotentAnswer.objects.filter(at__lte=now - KEPT).order_by("at").values("pk")[:SWEPT]
    IdempotentAnswer.objects.filter(pk__in=old).delete()
