"""Any sequence of findings and verbs: what is legal happens, what is not is refused, and the numbers always agree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as tower
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from apps.accounts.models import User
from apps.incidents import workflow
from apps.incidents.merging import merge, unmerge
from apps.incidents.models import Finding, Incident, Severity
from apps.incidents.workflow import NotPossible, clear_findings, raise_findings
from tests.incidents.builders import HOUR, NOW, consistent, draft, person, uid

#: written a second time on purpose, from the words of the guide and not from the table
LEGAL = {
    "acknowledge": {"open": "acknowledged", "snoozed": "acknowledged"},
    "unacknowledge": {"acknowledged": "open"},
    "assign": {"open": "open", "acknowledged": "acknowledged", "snoozed": "snoozed"},
    "comment": {s: s for s in ("open", "acknowledged", "snoozed", "resolved")},
    "snooze": {"open": "snoozed", "acknowledged": "snoozed"},
    "resolve": {"open": "resolved", "acknowledged": "resolved", "snoozed": "resolved"},
    "reopen": {"resolved": "open"},
    "rate": {s: s for s in ("open", "acknowledged", "snoozed")},
    "label": {s: s for s in ("open", "acknowledged", "snoozed", "resolved")},
    "ask": {s: s for s in ("open", "acknowledged", "snoozed", "resolved")},
}
RANK: list[str] = list(Severity)
keys = st.integers(0, 7)
severities = st.sampled_from(RANK)


class Desk(RuleBasedStateMachine):
    """Two causes; key k belongs to cause k % 2."""

    mara: User

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.open_keys: dict[int, int] = {}  # key -> id of its incident
        self.known: dict[int, dict[str, Any]] = {}  # id -> what we expect of it
        self.undo = transaction.atomic()
        self.undo.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.undo.__exit__(None, None, None)

    def of_cause(self, cause: int) -> list[dict[str, Any]]:
        return [incident for incident in self.known.values() if incident["cause"] == cause]

    def live(self, cause: int) -> dict[str, Any] | None:
        """The unresolved incident of a cause itself."""
        return next((incident for incident in self.of_cause(cause) if incident["state"] != "resolved"), None)

    def current(self, cause: int) -> dict[str, Any] | None:
        """Where findings of a cause go, if that is unresolved or was resolved just now: where its latest incident was
        merged to, else its unresolved one, else the one resolved last."""
        mine = self.of_cause(cause)
        latest = max(mine, key=lambda incident: (incident["opened_at"], incident["id"]), default=None)
        if latest is not None and latest["merged"] is not None and not self.too_old(self.root(latest)):
            return self.root(latest)
        alone = [incident for incident in mine if incident["merged"] is None]
        found = self.live(cause) or max(alone, key=lambda incident: incident["resolved_at"], default=None)
        return None if found is None or self.too_old(found) else found

    def too_old(self, incident: dict[str, Any]) -> bool:
        resolved = incident["state"] == "resolved"
        return resolved and incident["resolved_at"] <= self.now - tower.INCIDENT_REOPEN_WINDOW

    def root(self, incident: dict[str, Any]) -> dict[str, Any]:
        return incident if incident["merged"] is None else self.root(self.known[incident["merged"]])

    def end_empty(self, *homes: int) -> None:
        for home in set(homes) - set(self.open_keys.values()):
            if self.known[home]["state"] != "resolved":
                self.known[home] |= {"state": "resolved", "resolved_at": self.now}

    def worsened(self, incident: dict[str, Any], worst: str, reopened: bool) -> None:
        """A person's word stands until something is worse than any before."""
        before, incident["worst"] = incident["worst"], min(incident["worst"], worst, key=RANK.index)
        if incident["hand"] and incident["worst"] == before:
            return
        severity = min(incident["severity"], incident["worst"], key=RANK.index)
        if severity != incident["severity"] and incident["state"] == "snoozed" and not reopened:
            incident["state"] = "open"
        incident["hand"] = incident["hand"] and severity == incident["severity"]
        incident["severity"] = severity

    @rule(minutes=st.integers(1, 300))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(batch=st.dictionaries(keys, severities, min_size=1))
    def raised(self, batch: dict[int, str]) -> None:
        findings = raise_findings(
            [draft(key, cause=key % 2, severity=severity) for key, severity in batch.items()], self.now
        )
        assert len(findings) == len(batch)
        homes = {finding.key: finding.incident_id for finding in findings}
        fresh = {key: severity for key, severity in batch.items() if key not in self.open_keys}
        joined: dict[int, list[str]] = {}
        for cause in (0, 1):
            new = {key: sev for key, sev in fresh.items() if key % 2 == cause}
            if not new:
                continue
            [home] = {homes[uid("key", key)] for key in new}
            current = self.current(cause)
            worst = min(new.values(), key=RANK.index)
            if current is None:
                assert home not in self.known, "a new incident was due"
                self.known[home] = {
                    **{
                        "cause": cause,
                        "state": "open",
                        "severity": worst,
                        "worst": worst,
                        "hand": False,
                        "reopened": 0,
                    },
                    **{"id": home, "merged": None, "opened_at": self.now},
                }
            else:
                assert home == current["id"], "it should have joined"
                joined.setdefault(home, []).append(worst)
        for home, worsts in joined.items():
            current = self.known[home]
            reopened = current["state"] == "resolved"
            if reopened:
                current |= {"state": "open", "reopened": current["reopened"] + 1}
            self.worsened(current, min(worsts, key=RANK.index), reopened)
        self.open_keys |= {key: homes[uid("key", key)] for key in fresh}

    @rule(batch=st.sets(keys, min_size=1))
    def cleared(self, batch: set[int]) -> None:
        mine = batch & self.open_keys.keys()
        assert clear_findings([uid("key", key) for key in batch], "came", self.now) == len(mine)
        touched = {self.open_keys.pop(key) for key in mine}
        self.end_empty(*touched)

    @precondition(lambda self: self.known)
    @rule(verb=st.sampled_from(sorted(LEGAL)), data=st.data())
    def pressed(self, verb: str, data: st.DataObject) -> None:
        incident = self.known[data.draw(st.sampled_from(sorted(self.known)))]
        extra: dict[str, tuple[Any, ...]] = {
            "snooze": (self.now + HOUR,),
            "resolve": ("fixed",),
            "comment": ("looked at it",),
            "rate": ("low" if incident["severity"] != "low" else "high", "a reason"),
            "label": ([f"label-{len(incident.get('labels', []))}"],),
            "ask": ("where is it?",),
        }
        do: Callable[..., object] = getattr(workflow, verb)
        legal = incident["state"] in LEGAL[verb]
        if verb == "reopen":
            legal = legal and incident["merged"] is None and self.live(incident["cause"]) is None
        if verb == "label":
            legal = legal and len(incident.get("labels", [])) < 20
        try:
            do(incident["id"], self.mara, self.now, *extra.get(verb, ()))
            done = True
        except NotPossible:
            done = False
        assert done == legal, f"{verb} on {incident['state']}"
        if not done:
            return
        incident["state"] = LEGAL[verb][incident["state"]]
        if verb == "resolve":
            incident["resolved_at"] = self.now
        elif verb == "snooze":
            incident["until"] = self.now + HOUR
        elif verb == "reopen":
            incident["reopened"] += 1
        elif verb == "rate":
            incident |= {"severity": extra["rate"][0], "hand": True}
        elif verb == "label":
            incident["labels"] = [*incident.get("labels", []), *extra["label"][0]]

    @precondition(lambda self: len(self.known) > 1)
    @rule(data=st.data())
    def merged(self, data: st.DataObject) -> None:
        source, target = (self.known[pk] for pk in data.draw(st.permutations(sorted(self.known)))[:2])
        legal = source["state"] != "resolved" and target["state"] != "resolved"
        try:
            merge([source["id"]], target["id"], self.mara, self.now)
            done = True
        except NotPossible:
            done = False
        assert done == legal
        if not done:
            return
        source |= {"state": "resolved", "resolved_at": self.now, "merged": target["id"]}
        self.open_keys = {key: target["id"] if home == source["id"] else home for key, home in self.open_keys.items()}
        target["worst"] = min(target["worst"], source["worst"], key=RANK.index)
        severity = min(target["severity"], source["severity"], key=RANK.index)
        if severity != target["severity"]:
            target |= {"severity": severity, "hand": False}
            target["state"] = "open" if target["state"] == "snoozed" else target["state"]

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def taken_out(self, data: st.DataObject) -> None:
        incident = self.known[data.draw(st.sampled_from(sorted(self.known)))]
        legal = incident["merged"] is not None and self.live(incident["cause"]) is None
        root = self.root(incident)
        try:
            unmerge(incident["id"], self.mara, self.now)
            done = True
        except NotPossible:
            done = False
        assert done == legal
        if not done:
            return
        family = {incident["id"]}
        while more := {i["id"] for i in self.known.values() if i["merged"] in family} - family:
            family |= more
        causes = {self.known[pk]["cause"] for pk in family}
        incident |= {"state": "acknowledged", "merged": None}
        self.open_keys = {
            key: incident["id"] if home == root["id"] and key % 2 in causes else home
            for key, home in self.open_keys.items()
        }
        self.end_empty(incident["id"], root["id"])

    @rule()
    def woken(self) -> None:
        due = [i for i in self.known.values() if i["state"] == "snoozed" and i["until"] <= self.now]
        assert workflow.wake(self.now) == len(due)
        for incident in due:
            incident["state"] = "open"

    @invariant()
    def the_database_agrees(self) -> None:
        consistent()
        told = {i.pk: (i.state, i.severity, i.reopened) for i in Incident.objects.all()}
        assert told == {pk: (i["state"], i["severity"], i["reopened"]) for pk, i in self.known.items()}
        homes = Finding.objects.filter(cleared_at=None).values_list("key", "incident_id")
        assert dict(homes) == {uid("key", key): home for key, home in self.open_keys.items()}


@pytest.mark.django_db
def test_any_sequence() -> None:
    Desk.mara = person("mara")
    run_state_machine_as_test(
        Desk,
        settings=settings(
            max_examples=30,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
