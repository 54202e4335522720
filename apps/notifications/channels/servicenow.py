"""ServiceNow: one record per incident through the Table API; later news becomes work notes. It looks for the record first,
by ``correlation_id``, so a repeat makes no second one."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from django import forms

from apps.core import outbound
from apps.notifications.contract import Message, Secret, Target
from apps.notifications.fields import AddressField, HttpForm
from apps.notifications.http import Call, HttpChannel, Steps, basic, cut, json_call, read_json

IMPACT = {"critical": "1", "high": "2", "normal": "2", "low": "3"}


class ServiceNowForm(HttpForm):
    base_url = AddressField(label="Instance", help_text="Like https://company.service-now.com")
    table = forms.RegexField(r"^[a-z][a-z0-9_]{1,60}$", initial="incident", label="Table")
    account = forms.CharField(max_length=100, label="User name")
    field_order = ("base_url", "table", "account")


class ServiceNow(HttpChannel):
    kind = "servicenow"
    label = "ServiceNow"
    purpose = "One record per incident; what happens later is added as work notes"
    paced = False
    ConfigForm = ServiceNowForm
    secrets: ClassVar = (Secret("password", "Password"),)

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        base = str(target.config.get("base_url", "")).rstrip("/")
        headers = basic(str(target.config.get("account", "")), target.secrets.get("password", ""))
        headers["accept"] = "application/json"
        table = f"{base}/api/now/table/{quote(str(target.config.get('table', 'incident')), safe='')}"
        one = message.news[0] if message.news else None
        key = one.key if one else message.key
        query = urlencode(
            {"sysparm_query": f"correlation_id={key}", "sysparm_fields": "sys_id,number", "sysparm_limit": "1"}
        )
        found = yield Call("GET", f"{table}?{query}", headers)
        text = cut(message.text or message.short, 30_000)
        if record := _record(found):
            url = f"{table}/{quote(record, safe='')}"
            yield json_call("PATCH", url, {"work_notes": text}, headers)
            return "Work note added."
        if one and one.is_over:
            return "There is no record of it, so nothing is left open."
        impact = IMPACT.get(message.severity, "2")
        payload: dict[str, Any] = {
            "short_description": cut(message.subject, 160),
            "description": text,
            "correlation_id": key,
            "correlation_display": "control tower",
            "impact": impact,
            "urgency": impact,
        }
        yield json_call("POST", table, payload, headers)
        return None


def _record(reply: outbound.Response) -> str:
    answer = read_json(reply)
    rows = answer.get("result") if isinstance(answer, dict) else None
    first = rows[0] if isinstance(rows, list) and rows else None
    return str(first.get("sys_id", "")) if isinstance(first, dict) else ""
