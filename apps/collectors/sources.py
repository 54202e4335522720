"""The settings of integrations as plain values for collectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from apps.collectors.contract import COLLECTORS, Collector, SourceContext
from apps.integrations.models import Integration


@dataclass(frozen=True, slots=True)
class Source:
    """An integration ready to read its deliveries. collector is None when its kind is not installed."""

    collector: Collector | None
    context: SourceContext


def context_of(integration: Integration) -> SourceContext:
    """Expects partner and mapping to be loaded with the integration."""
    return SourceContext(
        integration=integration.slug,
        partner=integration.partner.slug if integration.partner else "",
        zone=integration.time_zone,
        settings=integration.settings,
        mapping=integration.mapping.spec if integration.mapping else {},
    )


def load(integration_ids: Iterable[int]) -> dict[int, Source]:
    """integration id -> source, in one query."""
    integrations = Integration.objects.select_related("partner", "mapping").filter(pk__in=list(integration_ids))
    return {one.pk: Source(COLLECTORS.plugins.get(one.kind), context_of(one)) for one in integrations}
