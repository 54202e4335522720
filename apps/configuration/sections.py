"""The sections of a configuration file: how each becomes rows, and rows become a section again.

A section knows its rows' key, loads one row and exports all. Versioned things (calendars, mappings, flows, rules) get a
new version only when their content differs from the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.configuration import channels, escalations, flows, oncall, people, reconciliation, register, reports, runbooks
from apps.configuration.rows import Row


@dataclass(frozen=True)
class Section:
    """name: of the section; key: fields that tell its rows apart; load returns whether the row changed anything.

    dated: its load takes the moment as well, of rows that say since when they are what they are.
    """

    name: str
    key: tuple[str, ...]
    load: Callable[..., str]
    export: Callable[[], Iterable[dict[str, Any]]]
    dated: bool = False

    def take(self, row: Row, now: datetime) -> str:
        return self.load(row, now) if self.dated else self.load(row)


#: in the order they must be loaded
SECTIONS = [
    Section("teams", ("slug",), register.team, register.teams),
    Section("calendars", ("slug",), register.calendar, register.calendars),
    Section("partners", ("slug",), register.partner, register.partners),
    Section("systems", ("slug",), register.system, register.systems),
    Section("mappings", ("slug",), register.mapping, register.mappings),
    Section("integrations", ("slug",), register.integration, register.integrations),
    Section("flows", ("slug",), flows.flow, flows.flows),
    Section("rules", ("slug",), flows.rule, flows.rules),
    Section("reconciliations", ("slug",), reconciliation.reconciliation, reconciliation.reconciliations),
    Section("objectives", ("slug",), reports.objective, reports.objectives),
    Section("contract_terms", ("slug",), reports.term, reports.terms),
    Section("runbooks", ("slug",), runbooks.runbook, runbooks.runbooks),
    Section("users", ("username",), people.user, people.users),
    Section("schedules", ("name",), oncall.schedule, oncall.schedules),
    Section("channels", ("slug",), channels.channel, channels.channels, dated=True),
    Section("escalation_policies", ("slug",), escalations.policy, escalations.policies),
    Section("escalation_routes", ("position",), escalations.route, escalations.routes),
]
