"""Whom a finding of the ledger is for."""

from __future__ import annotations

from dataclasses import dataclass

from apps.flows.models import FlowDefinition
from apps.integrations.models import Integration


@dataclass(frozen=True)
class Teams:
    """Who is told: the owner of the flow definition, else the team of the integration that should have spoken, else the
    team of the partner's integrations."""

    by_definition: dict[int, int | None]
    by_integration: dict[int, int | None]
    by_partner: dict[int, int | None]

    @classmethod
    def load(cls) -> Teams:
        return cls(
            dict(FlowDefinition.objects.values_list("pk", "owner_id")),
            dict(Integration.objects.values_list("pk", "team_id")),
            dict(Integration.objects.exclude(team=None).order_by("-pk").values_list("partner_id", "team_id")),
        )

    def of(self, definition_id: int, source_id: int | None, partner_id: int | None) -> int | None:
        return (
            self.by_definition.get(definition_id)
            or self.by_integration.get(source_id or 0)
            or self.by_partner.get(partner_id or 0)
        )
