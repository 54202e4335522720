"""Which incidents a maintenance window or a mute silences at one moment."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from apps.incidents.models import Finding
from apps.integrations.maintenance import Window, covering, occurrence_at, windows_at


class Muting:
    """Reads the windows that run once. An incident is silenced when each of its open findings is covered."""

    @dataclass(frozen=True, slots=True)
    class Silence:
        """window: the one that ends first of those that cover something; until: when it does."""

        window: Window
        until: datetime

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.windows = windows_at(now)
        self._found: dict[int, Muting.Silence | None] = {}

    def look(self, incidents: Collection[int]) -> None:
        """Looks at these incidents; one query, none while no window runs."""
        if not self.windows or not incidents:
            return
        scopes = (
            Finding.objects.filter(incident__in=list(incidents), cleared_at=None)
            .order_by()
            .values_list("incident_id", "integration_id", "partner_id", "evidence__rule")
            .distinct()
        )
        loud: set[int] = set()
        for incident, integration, partner, rule in scopes:
            covers = covering(self.windows, integration, partner, rule if isinstance(rule, str) else None, self.now)
            if not covers:
                loud.add(incident)
                continue
            # this finding is silent till the last of its windows ends; the incident till its first finding speaks
            window = covers[0]
            span = occurrence_at(window, self.now)
            until = span[1] if span else self.now
            known = self._found.get(incident)
            if known is None or until < known.until:
                self._found[incident] = Muting.Silence(window, until)
        for incident in loud:
            self._found[incident] = None

    def of(self, incident_id: int) -> Muting.Silence | None:
        return self._found.get(incident_id)
