"""Whom an incident concerns, from the findings it holds: one partner or several, one integration or several, whose team.

An incident opens with what its first findings name. What joins it later, a merge, a split or its undoing may change that.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection

RESCOPE = """
UPDATE incidents_incident AS incident SET
    partners = held.partners,
    partner_id = CASE held.partners WHEN 0 THEN incident.partner_id WHEN 1 THEN held.partner END,
    integration_id = CASE held.integrations WHEN 0 THEN incident.integration_id WHEN 1 THEN held.integration END,
    team_id = CASE WHEN held.teams = 1 AND held.owned = held.named AND NOT EXISTS (
            SELECT 1 FROM incidents_incidentevent AS said
            WHERE said.incident_id = incident.id AND said.kind = 'assigned' AND said.data ->> 'team' IS NOT NULL
        ) THEN held.team ELSE incident.team_id END
FROM (
    SELECT finding.incident_id AS id,
        count(DISTINCT finding.partner_id) AS partners, min(finding.partner_id) AS partner,
        count(DISTINCT finding.integration_id) AS integrations, min(finding.integration_id) AS integration,
        count(DISTINCT owner.team_id) AS teams, min(owner.team_id) AS team,
        count(owner.team_id) AS owned, count(finding.id) AS named
    FROM incidents_finding AS finding
    LEFT JOIN integrations_integration AS owner ON owner.id = finding.integration_id
    WHERE finding.incident_id = ANY(%s)
    GROUP BY finding.incident_id
) AS held
WHERE incident.id = held.id
"""


def rescope(ids: Sequence[int]) -> None:
    """Partner, number of partners, integration and team of these incidents, anew; what no finding names stays as it is.

    A team that somebody chose by hand stays; otherwise it is the one that owns the integrations of all findings.
    """
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(RESCOPE, [list(ids)])
