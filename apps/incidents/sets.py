"""Rows on their way into a statement, and the order of severities."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from apps.incidents.models import Severity

#: the worst first
SEVERITIES = list(Severity)


def as_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """For ``json_to_recordset``: one parameter however many rows."""
    return json.dumps(list(rows), cls=DjangoJSONEncoder)


def worst_of(severities: Iterable[str]) -> str:
    return min(severities, key=lambda severity: SEVERITIES.index(Severity(severity)))
