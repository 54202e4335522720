"""Jira: one issue per incident; later news becomes comments. It looks for the issue first, so a repeat makes no second one.

Sources: Jira Cloud REST API v3 (``/search/jql``) and Jira Data Center REST API v2 (``/search``).
"""

from __future__ import annotations

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
SEARCH = {"cloud": "/rest/api/3/search/jql", "server": "/rest/api/2/search"}


class JiraForm(HttpForm):
    base_url = AddressField(label="Jira", help_text="Like https://company.atlassian.net")
    edition = forms.ChoiceField(choices=[("cloud", "Cloud"), ("server", "Data Center or Server")], label="Edition")
    project = forms.RegexField(r"^[A-Z][A-Z0-9_]{1,20}$", label="Project key", help_text="Like OPS")
    issue_type = forms.CharField(max_length=60, initial="Task", label="Issue type")
    account = forms.CharField(
        max_length=200, required=False, label="Account", help_text="Cloud: the e-mail address the token belongs to"
    )
    field_order = ("base_url", "edition", "project", "issue_type", "account")


class Jira(HttpChannel):
    kind = "jira"
    label = "Jira"
    purpose = "One issue per incident; what happens later is added as comments"
    paced = False
    ConfigForm = JiraForm
    secrets: ClassVar = (Secret("token", "API token", "Cloud: an API token; Data Center: a personal access token"),)

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        base = str(target.config.get("base_url", "")).rstrip("/")
        account, token = str(target.config.get("account", "")), target.secrets.get("token", "")
        headers = basic(account, token) if account else {"authorization": f"Bearer {token}"}
        one = message.news[0] if message.news else None
        label = f"tower-{one.key if one else message.key}"
        search = SEARCH.get(str(target.config.get("edition", "cloud")), SEARCH["cloud"])
        query = urlencode({"jql": f'labels = "{label}" ORDER BY created', "fields": "id", "maxResults": "1"})
        found = yield Call("GET", f"{base}{search}?{query}", headers)
        text = cut(message.text or message.short, 30_000)
        if issue := _issue(found):
            url = f"{base}/rest/api/2/issue/{quote(issue, safe='')}/comment"
            yield json_call("POST", url, {"body": text}, headers)
            return f"Comment added to {issue}."
        if one and one.is_over:
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
        yield json_call("POST", f"{base}/rest/api/2/issue", {"fields": fields}, headers)
        return None


def _issue(reply: outbound.Response) -> str:
    answer = read_json(reply)
    issues = answer.get("issues") if isinstance(answer, dict) else None
    first = issues[0] if isinstance(issues, list) and issues else None
    return str(first.get("key") or first.get("id") or "") if isinstance(first, dict) else ""
