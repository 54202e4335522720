"""Versions of SLA rules: a save makes a new one, nothing is ever overwritten; history is judged by the one of its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from apps.accounts import audit
from apps.accounts.models import User
from apps.sla.models import SlaRule
from apps.sla.rules import compile_rule

_NOTE = 300


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a version of a rule says. flow_slug and milestone of an existing rule cannot change: make another rule."""

    slug: str
    name: str
    flow_slug: str
    milestone: str
    position: int
    spec: Mapping[str, Any]
    severity: str
    target: Decimal
    lifecycle: str


class Overtaken(Exception):
    """Somebody saved a newer version since the edit began."""

    def __init__(self, newest: SlaRule) -> None:
        super().__init__(newest.version)
        self.newest = newest


def newest_of(slug: str) -> SlaRule | None:
    return SlaRule.objects.filter(slug=slug).order_by("-version").first()


def save(wanted: Wanted, actor: User, now: datetime, *, base: int, note: str = "") -> SlaRule:
    """The rule's next version. base: the version the edit began with (0: none).

    Raises `rules.RuleError` for a spec that cannot be read and `Overtaken`. What is the same as the newest makes none.
    """
    compile_rule(wanted.spec)
    try:
        with transaction.atomic():
            newest = SlaRule.objects.select_for_update().filter(slug=wanted.slug).order_by("-version").first()
            if newest is not None and newest.version != base:
                raise Overtaken(newest)
            if newest is not None and _same(newest, wanted):
                return newest
            made = SlaRule.objects.create(
                slug=wanted.slug,
                version=newest.version + 1 if newest else 1,
                name=wanted.name,
                flow_slug=newest.flow_slug if newest else wanted.flow_slug,
                milestone=newest.milestone if newest else wanted.milestone,
                position=wanted.position,
                spec=dict(wanted.spec),
                severity=wanted.severity,
                target=wanted.target,
                lifecycle=wanted.lifecycle,
                author_name=actor.display_name,
                note=note[:_NOTE],
            )
            audit.record(actor, "rule.saved", f"rule:{made.slug}", _told(newest), _told(made), now)
    except IntegrityError:  # the same version, saved twice at the same moment
        other = newest_of(wanted.slug)
        if other is None:
            raise
        raise Overtaken(other) from None
    return made


def _same(newest: SlaRule, wanted: Wanted) -> bool:
    names = ("name", "position", "spec", "severity", "target", "lifecycle")
    return all(getattr(newest, name) == getattr(wanted, name) for name in names)


def _told(rule: SlaRule | None) -> dict[str, Any] | None:
    if rule is None:
        return None
    names = ("version", "name", "position", "spec", "severity", "target", "lifecycle", "note")
    return {name: getattr(rule, name) for name in names}
