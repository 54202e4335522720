"""Objectives and contract terms: rows from a configuration file and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from apps.accounts.models import Team
from apps.configuration.rows import Refused, Row, find_maybe, lean, save
from apps.flows.models import FlowDefinition
from apps.integrations.models import Partner
from apps.reports.burning import ALERTS
from apps.reports.models import ContractTerm, Objective
from apps.sla.models import SlaRule


def _known_rule(row: Row) -> str:
    slug = str(row.get("rule", ""))
    if slug and not SlaRule.objects.filter(slug=slug).exists():
        raise Refused("rule", f"there is no rule {slug!r}; define it in this file or load it first")
    return slug


def objective(row: Row) -> str:
    flow = row.get("flow", "")
    if flow and not FlowDefinition.objects.filter(slug=flow).exists():
        raise Refused("flow", f"there is no flow {flow!r}; load its definition first")
    if "days" in row and "period" in row:
        raise Refused("period", "say either days (a rolling window) or period (a calendar one)")
    said = row.get("alerts", ALERTS)
    values = {
        "name": row["name"],
        "target": Decimal(str(row["target"])).quantize(Decimal("0.001")),
        "window": Objective.Window.CALENDAR if "period" in row else Objective.Window.ROLLING,
        "days": row.get("days", 30),
        "period": row.get("period", Objective.Period.MONTH),
        "rule": _known_rule(row),
        "partner": find_maybe(Partner, row, "partner"),
        "flow": flow,
        "lane": row.get("lane", ""),
        "service": row.get("service", ""),
        "severity": row.get("severity", "high"),
        "team": find_maybe(Team, row, "team"),
        "alerts": [] if said == "none" else [name for name in ALERTS if name in said],
        "active": row.get("active", True),
    }
    return save(Objective, {"slug": row["slug"]}, values)


def objectives() -> Iterable[dict[str, Any]]:
    return map(objective_row, Objective.objects.order_by("slug").select_related("partner", "team"))


def objective_row(one: Objective) -> dict[str, Any]:
    """As a file has it."""
    rolling = one.window == Objective.Window.ROLLING
    return lean(
        {
            "slug": one.slug,
            "name": one.name,
            "target": _plain(one.target),
            "days": one.days if rolling else None,
            "period": None if rolling else str(one.period),
            "rule": one.rule,
            "partner": one.partner.slug if one.partner else None,
            "flow": one.flow,
            "lane": one.lane,
            "service": one.service,
            "severity": str(one.severity),
            "team": one.team.slug if one.team else None,
            "alerts": "none" if not one.alerts else list(one.alerts),
            "active": one.active,
        },
        {"days": 30, "severity": "high", "active": True, "alerts": ALERTS},
    )


def term(row: Row) -> str:
    if row.get("valid_from") and row.get("valid_until") and row["valid_until"] < row["valid_from"]:
        raise Refused("valid_until", f"ends before it begins ({row['valid_from']})")
    values = {
        "name": row["name"],
        "partner": find_maybe(Partner, row, "partner"),
        "rule": _known_rule(row),
        "payer": row.get("payer", "partner"),
        "basis": row["basis"],
        "amount": Decimal(str(row["amount"])).quantize(Decimal("0.0001")),
        "currency": row["currency"],
        "cap_each": _money(row, "cap_each"),
        "cap_month": _money(row, "cap_month"),
        "valid_from": _day(row, "valid_from"),
        "valid_until": _day(row, "valid_until"),
    }
    return save(ContractTerm, {"slug": row["slug"]}, values)


def terms() -> Iterable[dict[str, Any]]:
    return map(term_row, ContractTerm.objects.order_by("slug").select_related("partner"))


def term_row(one: ContractTerm) -> dict[str, Any]:
    """As a file has it."""
    return lean(
        {
            "slug": one.slug,
            "name": one.name,
            "partner": one.partner.slug if one.partner else None,
            "rule": one.rule,
            "payer": str(one.payer),
            "basis": str(one.basis),
            "amount": _plain(one.amount),
            "currency": one.currency,
            "cap_each": _plain(one.cap_each),
            "cap_month": _plain(one.cap_month),
            "valid_from": one.valid_from.isoformat() if one.valid_from else None,
            "valid_until": one.valid_until.isoformat() if one.valid_until else None,
        },
        {"payer": "partner"},
    )


def _money(row: Row, name: str) -> Decimal | None:
    value = row.get(name)
    return None if value is None else Decimal(str(value)).quantize(Decimal("0.01"))


def _day(row: Row, name: str) -> date | None:
    value = row.get(name)
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise Refused(name, f"{value!r} is not a day; write it like 2026-03-31") from None


def _plain(value: Decimal | None) -> int | float | None:
    if value is None:
        return None
    return int(value) if value == int(value) else float(value)
