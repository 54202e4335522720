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

    def current(self, cause: int) -> dict[str, Any] | None:
        mine = [incident for incident in self.known.values() if incident["cause"] == cause]
        unresolved = [incident for incident in mine if incident["state"] != "resolved"]
        return unresolved[-1] if unresolved else max(mine, key=lambda incident: incident["resolved_at"], default=None)

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
        for cause in (0, 1):
            new = {key: sev for key, sev in batch.items() if key % 2 == cause and key not in self.open_keys}
            if not new:
                continue
            [home] = {homes[uid("key", key)] for key in new}
            current = self.current(cause)
            worst = min(new.values(), key=RANK.index)
            if current is None or (
                current["state"] == "resolved" and current["resolved_at"] <= self.now - tower.INCIDENT_REOPEN_WINDOW
            ):
                assert home not in self.known, "a new incident was due"
                self.known[home] = {"cause": cause, "state": "open", "severity": worst, "reopened": 0, "id": home}
            else:
                assert home == current["id"], "it should have joined"
                if current["state"] == "resolved":
                    current |= {"state": "open", "reopened": current["reopened"] + 1}
                elif current["state"] == "snoozed" and RANK.index(worst) < RANK.index(current["severity"]):
                    current["state"] = "open"
                current["severity"] = min(current["severity"], worst, key=RANK.index)
            self.open_keys |= dict.fromkeys(new, home)

    @rule(batch=st.sets(keys, min_size=1))
    def cleared(self, batch: set[int]) -> None:
        mine = batch & self.open_keys.keys()
        assert clear_findings([uid("key", key) for key in batch], "came", self.now) == len(mine)
        touched = {self.open_keys.pop(key) for key in mine}
        for home in touched - set(self.open_keys.values()):
            if self.known[home]["state"] != "resolved":
                self.known[home] |= {"state": "resolved", "resolved_at": self.now}

    @precondition(lambda self: self.known)
    @rule(verb=st.sampled_from(sorted(LEGAL)), data=st.data())
    def pressed(self, verb: str, data: st.DataObject) -> None:
        incident = self.known[data.draw(st.sampled_from(sorted(self.known)))]
        extra: dict[str, tuple[Any, ...]] = {
            "snooze": (self.now + HOUR,),
            "resolve": ("fixed",),
            "comment": ("looked at it",),
        }
        do: Callable[..., object] = getattr(workflow, verb)
        legal = incident["state"] in LEGAL[verb]
        if verb == "reopen" and legal:
            current = self.current(incident["cause"])
            legal = current is not None and current["state"] == "resolved"
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
            max_examples=40,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
