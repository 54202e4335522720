"""What a missed promise costs by contract: the terms, their history, and what a month came to."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import TowerView
from apps.api.idempotency import KEY, once
from apps.api.problems import Conflict
from apps.api.reports import MONTH, PARTNER, month_of, only, partner_of
from apps.configuration import agreements
from apps.configuration.agreements import OBJECTIVE, TERM, Kind
from apps.core import clock
from apps.incidents.models import Severity
from apps.reports import penalties
from apps.reports.burning import ALERTS
from apps.reports.figures import Narrowing
from apps.reports.models import ContractTerm, Objective

MOST_MONEY = 10**11


class TermRow(serializers.Serializer[Any]):
    """As a configuration file has it: what is left out is empty, or its default."""

    name = serializers.CharField(max_length=200)
    partner = serializers.CharField(required=False, max_length=64, help_text="Slug; left out: every partner")
    rule = serializers.CharField(required=False, max_length=64, help_text="Slug; left out: every rule")
    payer = serializers.ChoiceField(choices=ContractTerm.Payer.choices, required=False, help_text="Default: partner")
    basis = serializers.ChoiceField(choices=ContractTerm.Basis.choices)
    amount = serializers.FloatField(help_text="Money for per_event and per_day, percent of the flow's value for share")
    currency = serializers.CharField(max_length=3, help_text="ISO 4217")
    cap_each = serializers.FloatField(required=False, help_text="Most for one promise")
    cap_month = serializers.FloatField(required=False, help_text="Most in a calendar month")
    valid_from = serializers.CharField(required=False, max_length=10, help_text="YYYY-MM-DD")
    valid_until = serializers.CharField(required=False, max_length=10, help_text="YYYY-MM-DD, its last day")


class ObjectiveRow(serializers.Serializer[Any]):
    """As a configuration file has it: what is left out is empty, or its default."""

    name = serializers.CharField(max_length=200)
    target = serializers.FloatField(help_text="Percent to be kept, below 100")
    days = serializers.IntegerField(required=False, help_text="Length of a rolling window; default 30")
    period = serializers.ChoiceField(choices=Objective.Period.choices, required=False, help_text="Instead of days")
    rule = serializers.CharField(required=False, max_length=64)
    partner = serializers.CharField(required=False, max_length=64)
    flow = serializers.CharField(required=False, max_length=64)
    lane = serializers.CharField(required=False, max_length=64)
    service = serializers.CharField(required=False, max_length=64)
    severity = serializers.ChoiceField(choices=Severity.choices, required=False, help_text="Default: high")
    team = serializers.CharField(required=False, max_length=64)
    alerts = serializers.JSONField(
        required=False, help_text=f"Burn alerts: some of {', '.join(ALERTS)}, or none; default: all"
    )
    active = serializers.BooleanField(required=False, help_text="Default: true")


class TermShown(TermRow):
    slug = serializers.CharField()
    stamp = serializers.CharField(help_text="Send it with a change: what was changed meanwhile is not overwritten")


class ObjectiveKept(ObjectiveRow):
    slug = serializers.CharField()
    stamp = serializers.CharField(help_text="Send it with a change: what was changed meanwhile is not overwritten")


class TermKeeping(TermRow):
    stamp = serializers.CharField(allow_blank=True, max_length=64, help_text="The one you read; empty: a new term")


class ObjectiveKeeping(ObjectiveRow):
    stamp = serializers.CharField(allow_blank=True, max_length=64, help_text="The one you read; empty: a new one")


class TermsShown(serializers.Serializer[Any]):
    results = TermShown(many=True)


class PenaltyShown(serializers.Serializer[Any]):
    term = serializers.CharField()
    name = serializers.CharField()
    payer = serializers.ChoiceField(choices=ContractTerm.Payer.choices)
    currency = serializers.CharField()
    promises = serializers.IntegerField(source="n", help_text="Missed ones it counted for")
    amount = serializers.DecimalField(max_digits=18, decimal_places=2)
    cut = serializers.DecimalField(max_digits=18, decimal_places=2, help_text="What the month's cap took off")
    as_of = serializers.DateTimeField()


class PenaltiesShown(serializers.Serializer[Any]):
    """What missed promises of the month cost by contract. Currencies are never added together."""

    month = serializers.CharField()
    results = PenaltyShown(many=True)


def _row(kind: Kind, slug: str) -> dict[str, Any]:
    found = agreements.current(kind, slug)
    if found is None:
        raise NotFound
    return {**found, "stamp": agreements.stamp(found)}


class _Keeping(TowerView):
    """PUT of one agreement, for both kinds."""

    kind: ClassVar[Kind]
    body: ClassVar[type[serializers.Serializer[Any]]]
    shown: ClassVar[type[serializers.Serializer[Any]]]

    def keep(self, request: Request, slug: str) -> Response:
        return once(self.caller, request, clock.now(), lambda: self._keep(slug))

    def _keep(self, slug: str) -> Response:
        body = self.body(data=self.request.data)
        body.is_valid(raise_exception=True)
        row = {"slug": slug, **body.validated_data}
        base = row.pop("stamp")
        try:
            agreements.keep(self.kind, row, self.caller.actor, clock.now(), base=base)
        except agreements.Wrong as wrong:
            raise ValidationError({wrong.field or "non_field_errors": str(wrong)}) from None
        except agreements.Overtaken:
            raise Conflict(
                "It was changed since you read it: read it again, and send your change with its stamp."
            ) from None
        return Response(self.shown(_row(self.kind, slug)).data)


class Terms(TowerView):
    """The terms of contracts."""

    scopes: ClassVar = {"GET": "rules:read"}

    @extend_schema(operation_id="contract_terms_list", responses=TermsShown)
    def get(self, request: Request) -> Response:
        """Every term by slug. Of the terms of one payer that match a promise, the most particular one counts."""
        only(request)
        rows = [TERM.row_of(one) for one in ContractTerm.objects.order_by("slug").select_related("partner")]
        return Response(TermsShown({"results": [{**row, "stamp": agreements.stamp(row)} for row in rows]}).data)


class Term(_Keeping):
    """One term."""

    scopes: ClassVar = {"GET": "rules:read", "PUT": "rules:write"}
    kind, body, shown = TERM, TermKeeping, TermShown

    @extend_schema(operation_id="contract_terms_retrieve", responses=TermShown)
    def get(self, request: Request, slug: str) -> Response:
        """One term, as it is now."""
        only(request)
        return Response(TermShown(_row(TERM, slug)).data)

    @extend_schema(operation_id="contract_terms_update", request=TermKeeping, responses=TermShown, parameters=[KEY])
    def put(self, request: Request, slug: str) -> Response:
        """Keeps the term as sent, new or changed. A term ends by its valid_until: what it cost stays in the reports."""
        return self.keep(request, slug)


class ObjectiveSettings(_Keeping):
    """What one objective says; how it stands is told by /objectives/."""

    scopes: ClassVar = {"GET": "reports:read", "PUT": "rules:write"}
    kind, body, shown = OBJECTIVE, ObjectiveKeeping, ObjectiveKept

    @extend_schema(operation_id="objectives_settings_retrieve", responses=ObjectiveKept)
    def get(self, request: Request, slug: str) -> Response:
        """Target, window, scope and burn alerts."""
        only(request)
        return Response(ObjectiveKept(_row(OBJECTIVE, slug)).data)

    @extend_schema(
        operation_id="objectives_settings_update", request=ObjectiveKeeping, responses=ObjectiveKept, parameters=[KEY]
    )
    def put(self, request: Request, slug: str) -> Response:
        """Keeps the objective as sent, new or changed."""
        return self.keep(request, slug)


class Penalties(TowerView):
    """What a month cost by contract."""

    scopes: ClassVar = {"GET": "reports:read"}

    @extend_schema(
        operation_id="reports_months_penalties_retrieve",
        parameters=[MONTH, PARTNER, OpenApiParameter("rule", str, description="Slug")],
        responses=PenaltiesShown,
    )
    def get(self, request: Request, month: str) -> Response:
        """By term, what partners owe us first. Worked out again every few minutes; as_of says when."""
        only(request, "partner", "rule")
        first: date = month_of(month)
        partner = partner_of(request.query_params.get("partner", ""))
        rule = request.query_params.get("rule", "")
        if "\x00" in rule:
            raise ValidationError({"rule": "There is no such rule."})
        lines = penalties.of_month(first, Narrowing(partner=partner.pk if partner else None, rule=rule[:64]))
        return Response(PenaltiesShown({"month": f"{first:%Y-%m}", "results": lines}).data)
