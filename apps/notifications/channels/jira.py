"""Jira: one issue per incident, moved as the incident is; news becomes comments.

It looks for the issue first, so a repeat makes no second one; it moves before it comments, so a repeat after a failed
move comments once. The move is by the category of the status (new, indeterminate, done), whatever a project calls its
statuses; where the workflow offers the account no such transition, the comment stands alone.

Sources: Jira Cloud REST API v3 (``/search/jql``) and v2 (issues, transitions); Jira Data Center REST API v2.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from django import forms

from apps.core import outbound
from apps.notifications.contract import DeliveryError, Message, Secret, Target
from apps.notifications.fields import AddressField, HttpForm
from apps.notifications.http import Call, HttpChannel, Steps, basic, cut, json_call, read_json

#: a new issue is found by the search only after a while
SEARCH_LAGS = timedelta(minutes=2)
#: where a ticket belongs -> categories of status, the best first
CATEGORIES = {"open": ("new", "indeterminate"), "taken": ("indeterminate",), "over": ("done",)}
Categories = tuple[str, ...]
SEARCH = {"cloud": "/rest/api/3/search/jql", "server": "/rest/api/2/search"}


class JiraForm(HttpForm):
    base_url = AddressField(label="Jira", help_text="Like https://company.atlassian.net")
    edition = forms.ChoiceField(choices=[("cloud", "Cloud"), ("server", "Data Center or Server")], label="Edition")
    project = forms.RegexField(r"^[A-Z][A-Z0-9_]{1,20}$", label="Project key", help_text="Like OPS")
    issue_type = forms.CharField(max_length=60, initial="Task", label="Issue type")
    account = forms.CharField(
        max_length=200, required=False, label="Account", help_text="Cloud: the e-mail address the token belongs to"
    )
    moves = forms.BooleanField(
        required=False, initial=True, label="Move the issue",
        help_text="In progress when somebody takes the incident, done when it is over, back when it is given back",
    )  # fmt: skip
    field_order = ("base_url", "edition", "project", "issue_type", "account", "moves")


class Jira(HttpChannel):
    kind = "jira"
    label = "Jira"
    purpose = "One issue per incident, moved as the incident is; what happens later is added as comments"
    paced = False
    acknowledges = True
    ConfigForm = JiraForm
    secrets: ClassVar = (Secret("token", "API token", "Cloud: an API token; Data Center: a personal access token"),)

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        base = str(target.config.get("base_url", "")).rstrip("/")
        account, token = str(target.config.get("account", "")), target.secrets.get("token", "")
        headers = basic(account, token) if account else {"authorization": f"Bearer {token}"}
        one = message.news[0] if message.news else None
        label = f"tower-{one.key if one else message.key}"
        search = SEARCH.get(str(target.config.get("edition", "cloud")), SEARCH["cloud"])
        query = urlencode({"jql": f'labels = "{label}" ORDER BY created', "fields": "status", "maxResults": "1"})
        found = yield Call("GET", f"{base}{search}?{query}", headers)
        text = cut(message.text or message.short, 30_000)
        belongs = one.wanted if one and target.config.get("moves", True) else ""
        wanted = CATEGORIES.get(belongs, ())
        issue, category = _issue(found)
        if issue:
            url = f"{base}/rest/api/2/issue/{quote(issue, safe='')}"
            moved = ""
            if wanted and category != wanted[0]:
                moved = yield from _move(url, tuple(other for other in wanted if other != category), headers)
            reply = yield json_call("POST", f"{url}/comment", {"body": text}, headers, fine=GONE)
            if reply.status in GONE:
                raise DeliveryError(f"The issue {issue} was deleted, or the account may not see it.", permanent=True)
            return f"Comment added to {issue}{moved}."
        if one and (one.is_over or one.is_taken):
            if one.moment and now - one.moment < SEARCH_LAGS:
                raise DeliveryError("Jira's search does not show the issue yet: it is looked for again.")
            return "There is no issue of it, so nothing is left open."
        fields: dict[str, Any] = {
            "project": {"key": target.config.get("project", "")},
            "issuetype": {"name": target.config.get("issue_type", "Task")},
            "summary": cut(message.subject, 250),
            "description": text,
            "labels": ["control-tower", label],
        }
        made = yield json_call("POST", f"{base}/rest/api/2/issue", {"fields": fields}, headers)
        answer = read_json(made)
        key = str(answer.get("key") or "") if isinstance(answer, dict) else ""
        if key and belongs == "taken":
            moved = yield from _move(f"{base}/rest/api/2/issue/{quote(key, safe='')}", wanted, headers)
            return f"Issue {key} made{moved}."
        return None


#: answers that say there is no such issue
GONE = frozenset({404, 410})
#: answers of a workflow that does not let this account move the issue so
NOT_SO = frozenset({400, 403, 404, 409, 422})
Part = Generator[Call, outbound.Response, str]


def _move(issue: str, wanted: Categories, headers: dict[str, str]) -> Part:
    """Two calls: which transitions there are, and one that leads into the best category. What came of it, in words."""
    offered = yield Call("GET", f"{issue}/transitions", headers, fine=NOT_SO)
    found = _transition(offered, wanted)
    if found is None:
        return ", which its workflow does not let the tower move"
    number, name = found
    reply = yield json_call("POST", f"{issue}/transitions", {"transition": {"id": number}}, headers, fine=NOT_SO)
    return f", which could not be moved to {name}" if reply.status in NOT_SO else f", moved to {name}"


def _transition(reply: outbound.Response, wanted: Categories) -> tuple[str, str] | None:
    """Its id, and the name of the status it leads to."""
    answer = read_json(reply)
    offered = answer.get("transitions") if isinstance(answer, dict) else None
    found: dict[str, tuple[str, str]] = {}
    for one in offered if isinstance(offered, list) else ():
        status = one.get("to") if isinstance(one, dict) else None
        if isinstance(status, dict) and (category := _category(status)) in wanted and one.get("id"):
            found.setdefault(category, (str(one["id"]), cut(str(status.get("name") or category), 60)))
    return next((found[one] for one in wanted if one in found), None)


def _category(status: Mapping[str, Any]) -> str:
    found = status.get("statusCategory")
    return str(found.get("key") or "") if isinstance(found, dict) else ""


def _issue(reply: outbound.Response) -> tuple[str, str]:
    """Its key and the category of its status; "" where the answer says none."""
    answer = read_json(reply)
    issues = answer.get("issues") if isinstance(answer, dict) else None
    first = issues[0] if isinstance(issues, list) and issues else None
    if not isinstance(first, dict):
        return "", ""
    fields = first.get("fields")
    status = fields.get("status") if isinstance(fields, dict) else None
    return str(first.get("key") or first.get("id") or ""), _category(status) if isinstance(status, dict) else ""
