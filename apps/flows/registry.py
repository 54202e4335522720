"""What recording, correlation and projection need to know of the register and the definitions, cached per process.

The cache is checked against a stamp (counts and newest ids) once per batch, so that a loaded configuration takes effect
with the next batch in every process.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import connection

from apps.flows.definitions import Catalogue, compile_definition
from apps.flows.models import FlowDefinition
from apps.integrations.models import Partner, PartnerIdentifier

_STAMP = """
SELECT (SELECT coalesce(max(id), 0) FROM flows_flowdefinition), (SELECT count(*) FROM flows_flowdefinition),
       (SELECT coalesce(max(id), 0) FROM integrations_partner), (SELECT count(*) FROM integrations_partner),
       (SELECT coalesce(max(id), 0) FROM integrations_partneridentifier),
       (SELECT count(*) FROM integrations_partneridentifier), current_database()
"""


@dataclass(frozen=True)
class Register:
    """Definitions, partner ids by slug, and partner slugs by identifier (``gln:4012345000009``)."""

    catalogue: Catalogue
    partner_ids: dict[str, int]
    identifiers: dict[str, str]

    def resolve(self, party: str) -> str:
        """Slug of the partner that an event names by slug or by ``scheme:value``; '' when unknown."""
        if party in self.partner_ids:
            return party
        return self.identifiers.get(party.lower(), "")


_lock = threading.Lock()
_cached: tuple[Any, Register] | None = None


def load() -> Register:
    """The register as of now; one small query when nothing changed."""
    global _cached
    with connection.cursor() as cursor:
        cursor.execute(_STAMP)
        stamp = cursor.fetchone()
    with _lock:
        if _cached is not None and _cached[0] == stamp:
            return _cached[1]
    register = Register(
        catalogue=Catalogue(
            compile_definition(
                id=row.id,
                slug=row.slug,
                version=row.version,
                name=row.name,
                since=row.created_at,
                spec=row.spec if isinstance(row.spec, dict) else orjson.loads(row.spec),
            )
            for row in FlowDefinition.objects.all()
        ),
        partner_ids=dict(Partner.objects.values_list("slug", "id")),
        identifiers={
            f"{scheme}:{value}".lower(): slug
            for scheme, value, slug in PartnerIdentifier.objects.values_list("scheme", "value", "partner__slug")
        },
    )
    with _lock:
        _cached = (stamp, register)
    return register
