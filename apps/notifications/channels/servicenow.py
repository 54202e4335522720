"""ServiceNow: one record per incident through the Table API, moved as the incident is; news becomes work notes.

It looks for the record first, by ``correlation_id``, so a repeat makes no second one. State and note go in one request;
what the table refuses (a data policy, a closed record) goes as a note alone. The states are those of the incident table
(1 new, 2 in progress, 6 resolved) unless the form says others.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from django import forms

from apps.core import outbound
from apps.notifications.contract import DeliveryError, Message, News, Secret, Target
from apps.notifications.fields import AddressField, HttpForm
from apps.notifications.http import Call, HttpChannel, Steps, basic, cut, json_call, read_json

IMPACT = {"critical": "1", "high": "2", "normal": "2", "low": "3"}


class ServiceNowForm(HttpForm):
    base_url = AddressField(label="Instance", help_text="Like https://company.service-now.com")
    table = forms.RegexField(r"^[a-z][a-z0-9_]{1,60}$", initial="incident", label="Table")
    account = forms.CharField(max_length=100, label="User name")
    state_open = forms.CharField(max_length=40, required=False, initial="1", label="State when it is open")
    state_taken = forms.CharField(max_length=40, required=False, initial="2", label="State when somebody has it")
    state_over = forms.CharField(
        max_length=40, required=False, initial="6", label="State when it is over", help_text="Empty: the state stays as it is"
    )  # fmt: skip
    close_code = forms.CharField(
        max_length=100, required=False, initial="Solution provided", label="Resolution code", help_text="As your instance calls it"
    )  # fmt: skip
    field_order = ("base_url", "table", "account", "state_open", "state_taken", "state_over", "close_code")


class ServiceNow(HttpChannel):
    kind = "servicenow"
    label = "ServiceNow"
    purpose = "One record per incident, moved as the incident is; what happens later is added as work notes"
    paced = False
    acknowledges = True
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
            {"sysparm_query": f"correlation_id={key}", "sysparm_fields": "sys_id,number,state", "sysparm_limit": "1"}
        )
        found = yield Call("GET", f"{table}?{query}", headers)
        text = cut(message.text or message.short, 30_000)
        state = _state(target.config, one)
        record, now_in = _record(found)
        if record:
            url = f"{table}/{quote(record, safe='')}"
            note, moved = {"work_notes": text}, ""
            if state and state["state"] != now_in:
                reply = yield json_call("PATCH", url, note | state, headers, fine=NOT_SO)
                if reply.status not in NOT_SO:
                    return f"Work note added, state {state['state']}."
                moved = f"; the table did not take the state {state['state']}"
            reply = yield json_call("PATCH", url, note, headers, fine=GONE)
            if reply.status in GONE:
                raise DeliveryError("The record was deleted, or the account may not see it.", permanent=True)
            return f"Work note added{moved}."
        if one and (one.is_over or one.is_taken):
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
        if one and one.held and state:
            payload |= state
        yield json_call("POST", table, payload, headers)
        return None


GONE = frozenset({404, 410})
#: what a table answers that does not take a state (a data policy says so with 403)
NOT_SO = frozenset({400, 403, 404, 409, 422})
STATES = {"open": "1", "taken": "2", "over": "6"}


def _state(config: Mapping[str, Any], one: News | None) -> dict[str, str]:
    """The fields that move a record to where the news says it belongs; empty if it stays."""
    wanted = one.wanted if one else ""
    state = str(config.get(f"state_{wanted}", STATES[wanted])) if wanted else ""
    if one is None or not state:
        return {}
    if wanted != "over":
        return {"state": state}
    code = str(config.get("close_code", "Solution provided"))
    return {"state": state, "close_notes": cut(one.subject, 1000)} | ({"close_code": code} if code else {})


def _record(reply: outbound.Response) -> tuple[str, str]:
    """Its sys_id and its state."""
    answer = read_json(reply)
    rows = answer.get("result") if isinstance(answer, dict) else None
    first = rows[0] if isinstance(rows, list) and rows else None
    return (str(first.get("sys_id", "")), str(first.get("state", ""))) if isinstance(first, dict) else ("", "")
