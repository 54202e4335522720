"""Alerts as other tools send them, turned into ours. Pure: no database, no clock.

Alertmanager: its webhook, version 4 (prometheus.io/docs/alerting/latest/configuration, webhook_config). Grafana: the
webhook contact point of Grafana Alerting, which extends it. Generic: ours, for whatever can send JSON (docs/incidents.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from apps.incidents.models import Severity
from apps.incidents.outside import Alert

#: alerts of one call; characters of a title, of a sentence, of an id; labels kept of one alert
MOST = 1000
LONGEST_TITLE = 300
LONGEST_SENTENCE = 2000
LONGEST_ID = 500
MOST_LABELS = 50

#: what tools call severities, in lower case
SEVERITIES: Mapping[str, str] = {
    **dict.fromkeys(("critical", "page", "disaster", "emergency", "fatal", "p1", "sev1"), Severity.CRITICAL),
    **dict.fromkeys(("high", "error", "major", "urgent", "p2", "sev2"), Severity.HIGH),
    **dict.fromkeys(("normal", "warning", "warn", "average", "medium", "p3", "sev3"), Severity.NORMAL),
    **dict.fromkeys(("low", "info", "information", "minor", "notice", "none", "p4", "p5", "sev4"), Severity.LOW),
}


class NotUnderstood(ValueError):
    """The whole body, or one alert of it; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Read:
    """alerts; and what could not be read: (place in the list, why)."""

    alerts: list[Alert]
    skipped: list[tuple[int, str]]


def read(tool: str, body: Any) -> Read:
    """Raises NotUnderstood when the body is no such message, KeyError for an unknown tool. One bad alert spoils no other."""
    rows, parse = FORMATS[tool](body)
    if not rows:
        raise NotUnderstood("There is no alert in it.")
    if len(rows) > MOST:
        raise NotUnderstood(f"{len(rows)} alerts; send at most {MOST} at once.")
    alerts: list[Alert] = []
    skipped: list[tuple[int, str]] = []
    for place, row in enumerate(rows):
        try:
            if not isinstance(row, dict):
                raise NotUnderstood("This alert is no object.")
            alerts.append(parse(row))
        except NotUnderstood as error:
            skipped.append((place, str(error)))
    return Read(alerts, skipped)


Parser = Callable[[dict[str, Any]], Alert]


def _alertmanager(body: Any) -> tuple[Sequence[Any], Parser]:
    rows = _listed(body, "alerts", "an Alertmanager message")
    group = _text(body.get("groupKey"), LONGEST_ID)
    common = _labels(body.get("commonLabels")) | _labels(body.get("groupLabels"))

    def parse(row: dict[str, Any]) -> Alert:
        labels, notes = _labels(row.get("labels")), _labels(row.get("annotations"))
        if not labels:
            raise NotUnderstood("This alert has no labels.")
        name = labels.get("alertname", "Alert")
        said = notes.get("description") or notes.get("message") or notes.get("summary") or name
        evidence = {"labels": labels, "annotations": notes, "since": _text(row.get("startsAt"), 64)}
        for key in ("generatorURL", "dashboardURL", "panelURL", "silenceURL", "valueString"):
            if found := _text(row.get(key), 2000):
                evidence[key] = found
        title = notes.get("summary") if len(rows) == 1 else ""
        named = ", ".join(
            f"{key} {value}" for key, value in sorted(common.items()) if key not in ("alertname", "severity")
        )
        return Alert(
            id=_text(row.get("fingerprint"), LONGEST_ID) or _hash(labels),
            group=group or name,
            title=_text(title or (f"{name} ({named})" if named else name), LONGEST_TITLE),
            sentence=_text(said, LONGEST_SENTENCE),
            severity=severity_of(labels.get("severity") or labels.get("priority")),
            firing=_status(row.get("status") or body.get("status")),
            evidence=evidence,
            partner=labels.get("partner", ""),
            integration=labels.get("integration", ""),
            team=labels.get("team", ""),
        )

    return rows, parse


def _generic(body: Any) -> tuple[Sequence[Any], Parser]:
    rows = body if isinstance(body, list) else [body] if isinstance(body, dict) and "alerts" not in body else None
    rows = rows if rows is not None else _listed(body, "alerts", "a message with alerts")

    def parse(row: dict[str, Any]) -> Alert:
        name, title = _text(row.get("id"), LONGEST_ID), _text(row.get("title"), LONGEST_TITLE)
        if not name:
            raise NotUnderstood("This alert has no id: the same one while it goes on.")
        firing = _status(row.get("status"))
        if firing and not title:
            raise NotUnderstood(f"The alert {name[:80]} has no title.")
        due_at = _moment(row.get("due_at"), name)
        evidence: dict[str, Any] = {"labels": _labels(row.get("labels"))}
        if url := _text(row.get("url"), 2000):
            evidence["url"] = url
        return Alert(
            id=name,
            group=_text(row.get("group"), LONGEST_ID) or name,
            title=title,
            sentence=_text(row.get("text"), LONGEST_SENTENCE) or title,
            severity=severity_of(row.get("severity")),
            firing=firing,
            evidence=evidence,
            partner=_text(row.get("partner"), 64),
            integration=_text(row.get("integration"), 64),
            team=_text(row.get("team"), 64),
            due_at=due_at,
        )

    return rows, parse


#: tool -> what reads its messages; Grafana's are Alertmanager's with more fields
FORMATS: Mapping[str, Callable[[Any], tuple[Sequence[Any], Parser]]] = {
    "alertmanager": _alertmanager,
    "grafana": _alertmanager,
    "generic": _generic,
}


def severity_of(word: Any) -> str:
    """Ours for a tool's word; what is unknown or missing is normal."""
    return SEVERITIES.get(word.strip().lower(), Severity.NORMAL) if isinstance(word, str) else Severity.NORMAL


def _listed(body: Any, name: str, what: str) -> list[Any]:
    found = body.get(name) if isinstance(body, dict) else None
    if not isinstance(found, list) or not found:
        raise NotUnderstood(f"This is not {what}: it has no list “{name}”.")
    return found


def _status(word: Any) -> bool:
    if word in (None, "", "firing", "alerting", "open", "active"):
        return True
    if word in ("resolved", "ok", "closed", "inactive", "normal"):
        return False
    raise NotUnderstood("The status is neither firing nor resolved.")


def _moment(value: Any, name: str) -> datetime | None:
    if value in (None, ""):
        return None
    try:
        found = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not 1970 < found.year < 9000:
        raise NotUnderstood(f"due_at of {name[:80]} is no time with its zone, such as 2026-03-02T18:00:00Z.")
    return found


def _text(value: Any, most: int) -> str:
    """A text without what no database keeps; numbers as text; anything else is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value).replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return text.strip()[:most]


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {_text(key, 200): _text(one, LONGEST_SENTENCE) for key, one in list(value.items())[:MOST_LABELS]}


def _hash(labels: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:32]
