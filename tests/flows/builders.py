"""Events and definitions for tests of the flows floor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings

from apps.flows.canonical import CanonicalEvent, Reference
from apps.flows.definitions import Catalogue, compile_definition
from apps.flows.models import FlowDefinition
from apps.flows.recording import IncomingEvent
from apps.integrations.models import Integration, Partner

T0 = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
FILES = Path(settings.BASE_DIR) / "apps/flows/definition_files"
META = {"slug", "name", "owner"}


def specs() -> list[dict[str, Any]]:
    return [flow for file in sorted(FILES.glob("*.yaml")) for flow in yaml.safe_load(file.read_text()).get("flows", [])]


def catalogue() -> Catalogue:
    return Catalogue(
        compile_definition(
            id=number,
            slug=flow["slug"],
            version=1,
            name=flow["name"],
            since=datetime(2020, 1, 1, tzinfo=UTC),
            spec={key: value for key, value in flow.items() if key not in META},
        )
        for number, flow in enumerate(specs(), 1)
    )


def load_definitions() -> None:
    for flow in specs():
        FlowDefinition.objects.create(
            slug=flow["slug"], name=flow["name"], spec={k: v for k, v in flow.items() if k not in META}
        )


def load_register() -> dict[str, Integration]:
    made = {}
    for slug, kind in (("acme-wms", "3pl"), ("swift-parcel", "carrier"), ("metalworks", "supplier")):
        partner = Partner.objects.create(slug=slug, name=slug.title(), kind=kind)
        made[slug] = Integration.objects.create(slug=f"{slug}-feed", name=slug, kind="webhook", partner=partner)
    made["odoo"] = Integration.objects.create(slug="odoo", name="Odoo", kind="odoo")
    return made


def ref(text: str) -> Reference:
    """``so:1`` and the like."""
    kinds = {
        "so": "sales_order",
        "co": "channel_order",
        "pick": "picking",
        "trk": "tracking_number",
        "po": "purchase_order",
        "asn": "despatch_advice",
        "trace": "trace",
    }
    kind, value = text.split(":")
    return Reference(kinds[kind], f"{kind.upper()}-{value}")


def event(type_: str, minutes: float, *refs: str, id: str = "", **more: Any) -> CanonicalEvent:
    return CanonicalEvent(
        type=type_,
        happened_at=T0 + timedelta(minutes=minutes),
        references=tuple(ref(text) for text in refs),
        source_event_id=id,
        **more,
    )


def incoming(one: CanonicalEvent, integration: Integration, *, backfill: bool = False) -> IncomingEvent:
    return IncomingEvent(
        event=one,
        integration_id=integration.pk,
        partner=integration.partner.slug if integration.partner else "",
        receipt_id=None,
        received_at=one.happened_at + timedelta(seconds=5),
        backfill=backfill,
    )
