"""Which runbook an incident shows: the most specific one there is."""

from __future__ import annotations

from django.db.models import Q

from apps.incidents.models import Incident, Runbook


def runbook_for(incident: Incident) -> Runbook | None:
    """That of its kind and integration, else of its integration, else of its kind, else the one for everything."""
    about = (
        Q(integration=None)
        if incident.integration_id is None
        else Q(integration_id=incident.integration_id) | Q(integration=None)
    )
    found = Runbook.objects.filter(about, kind__in=[incident.kind, ""])
    return max(found, key=lambda one: (one.integration_id is not None, one.kind != "", one.slug), default=None)
