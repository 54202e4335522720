"""Master data of an Odoo: what is remembered of carriers and of companies, and what events say of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.collectors.odoo.rows import Row

CARRIER_FIELDS = ("name", "delivery_type", "active", "company_id", "write_date")
PARTNER_FIELDS = (
    "name",
    "ref",
    "vat",
    "company_registry",
    "global_location_number",
    "country_id",
    "is_company",
    "active",
    "write_date",
)
#: field of a partner -> name of the identity in events and in the register's identifiers
IDENTITIES = {"vat": "vat", "global_location_number": "gln", "company_registry": "registry", "ref": "ref"}


def master_facts(model: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """What to remember of a carrier or a company. An unreadable field is left out: it may not cost the rest."""
    row = Row(record)
    found: dict[str, Any] = {"name": _text(row, "name"), "active": record.get("active") is not False}
    if model == "delivery.carrier":
        return found | {"provider": _text(row, "delivery_type")}
    country = record.get("country_id")
    if isinstance(country, list) and len(country) == 2:
        found["country"] = str(country[1])
    return found | {name: text for field, name in IDENTITIES.items() if (text := _text(row, field))}


def identities(facts: Mapping[str, Any]) -> dict[str, str]:
    """The business identities of a remembered company (vat, gln, registry, ref)."""
    return {name: str(facts[name]) for name in IDENTITIES.values() if facts.get(name)}


def _text(row: Row, name: str) -> str:
    value = row.raw.get(name)
    return value.strip()[:200] if isinstance(value, str) else ""
