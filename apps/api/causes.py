"""What was concluded: causes behind findings, declared pairs that disagree, flows likely to be late. Not for partners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.anomalies.causes_models import CauseGroup, FlowRisk, ReconciliationTally
from apps.anomalies.reconciliation.noting import active_rules
from apps.anomalies.risk.kept import newest
from apps.api.base import NUMBER, TowerView, TowerViewSet
from apps.api.filters import TextFilter
from apps.incidents.models import Finding

READ: dict[str, str] = {"GET": "anomalies:read"}


class CauseFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=[("open", "Open"), ("ended", "Ended")], method="by_state")

    class Meta:
        model = CauseGroup
        fields: list[str] = []

    def by_state(self, rows: QuerySet[CauseGroup], name: str, value: str) -> QuerySet[CauseGroup]:
        return rows.filter(ended_at__isnull=value == "open")


class CauseShown(serializers.ModelSerializer[CauseGroup]):
    incident = serializers.IntegerField(source="incident_id", read_only=True, allow_null=True)

    class Meta:
        model = CauseGroup
        fields: tuple[str, ...] = (
            *("id", "name", "sentence", "shape", "findings", "units", "elsewhere", "suspected", "incident"),
            *("since", "found_at", "seen_at", "ended_at"),
        )
        read_only_fields = fields


class CauseWhole(CauseShown):
    facts = serializers.JSONField(read_only=True, help_text="Other names, runners-up, the hours")
    finding_ids = serializers.SerializerMethodField(help_text="At most 1,000, the first first")

    class Meta(CauseShown.Meta):
        fields = (*CauseShown.Meta.fields, "facts", "finding_ids")
        read_only_fields = fields

    def get_finding_ids(self, one: CauseGroup) -> list[int]:
        return list(one.members.order_by("finding_id").values_list("finding_id", flat=True)[:1_000])


class Causes(TowerViewSet):
    """Probable causes, each with the findings it explains; the latest first."""

    scopes: ClassVar = READ
    queryset = CauseGroup.objects.none()
    serializer_class = CauseShown
    filterset_class = CauseFilter
    lookup_value_regex = NUMBER
    keyset: Sequence[str] = ("-found_at", "-id")

    def list(self, request: Request) -> Response:
        """Probable causes, the latest first."""
        return self.listed(CauseGroup.objects.all())

    @extend_schema(responses=CauseWhole)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One, with what it explains."""
        return Response(CauseWhole(self.found(CauseGroup.objects.all(), pk=int(pk))).data)


class PairRuleShown(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    version = serializers.IntegerField()
    check = serializers.CharField()
    shadow = serializers.BooleanField()
    grace_seconds = serializers.FloatField()
    agree = serializers.IntegerField(allow_null=True)
    waiting = serializers.IntegerField(allow_null=True)
    differ = serializers.IntegerField(allow_null=True)
    resting = serializers.BooleanField(allow_null=True, help_text="Its right side has never spoken: nothing is judged")
    at = serializers.DateTimeField(allow_null=True, help_text="Last looked at; null: not yet")


class PairRules(TowerView):
    scopes: ClassVar = READ

    @extend_schema(responses=PairRuleShown(many=True))
    def get(self, request: Request) -> Response:
        """The declared pairs that must agree, and how each stood when it was last looked at."""
        tallies = {one.slug: one for one in ReconciliationTally.objects.all()}
        rows = []
        for rule in active_rules():
            tally = tallies.get(rule.slug)
            held = {name: getattr(tally, name, None) for name in ("agree", "waiting", "differ", "resting", "at")}
            rows.append(
                {
                    **{name: getattr(rule, name) for name in ("slug", "name", "version", "check", "shadow")},
                    "grace_seconds": rule.grace.total_seconds(),
                    **held,
                }
            )
        return Response(PairRuleShown(rows, many=True).data)


class DisagreementFilter(filters.FilterSet):
    rule = TextFilter("evidence__rule", most=64, help_text="Slug of the pair")
    partner = TextFilter("partner__slug", help_text="Slug of the partner")

    class Meta:
        model = Finding
        fields: list[str] = []


class DisagreementShown(serializers.ModelSerializer[Finding]):
    rule = serializers.CharField(source="evidence.rule", read_only=True, default="")
    key = serializers.CharField(source="evidence.key", read_only=True, default="", help_text="What joins the two sides")
    left = serializers.JSONField(source="evidence.left", read_only=True, default=None)
    right = serializers.JSONField(source="evidence.right", read_only=True, default=None)
    partner = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)
    flow = serializers.IntegerField(source="flow_id", read_only=True, allow_null=True)
    incident = serializers.IntegerField(source="incident_id", read_only=True)

    class Meta:
        model = Finding
        fields = ("id", "kind", "sentence", "rule", "key", "left", "right", "partner", "flow", "incident", "raised_at")
        read_only_fields = fields


class Disagreements(TowerViewSet):
    """What disagrees now, both sides beside each other."""

    scopes: ClassVar = READ
    queryset = Finding.objects.none()
    serializer_class = DisagreementShown
    filterset_class = DisagreementFilter
    keyset: Sequence[str] = ("-raised_at", "-id")

    def list(self, request: Request) -> Response:
        """What disagrees now, the latest first."""
        rows = Finding.objects.filter(kind__startswith="reconciliation.", cleared_at=None)
        return self.listed(rows.select_related("partner"))


class RiskFilter(filters.FilterSet):
    partner = TextFilter("flow__partner__slug", help_text="Slug of the partner")
    least_chance = filters.NumberFilter("chance", "gte", min_value=0, max_value=1)

    class Meta:
        model = FlowRisk
        fields: list[str] = []


class RiskShown(serializers.ModelSerializer[FlowRisk]):
    flow = serializers.IntegerField(source="flow_id", read_only=True)
    label = serializers.CharField(source="flow.label", read_only=True)
    partner = serializers.CharField(source="flow.partner.slug", read_only=True, default=None, allow_null=True)
    model = serializers.IntegerField(source="model.version", read_only=True, default=None, allow_null=True)

    class Meta:
        model = FlowRisk
        fields = (
            *("flow", "label", "partner", "milestone", "due_at", "chance", "expected_at", "reasons", "basis", "model"),
            "scored_at",
        )
        read_only_fields = fields


class Risks(TowerViewSet):
    """Open flows by their deadline, with the chance that each is late."""

    scopes: ClassVar = READ
    queryset = FlowRisk.objects.none()
    serializer_class = RiskShown
    filterset_class = RiskFilter
    keyset: Sequence[str] = ("due_at", "flow_id")

    def list(self, request: Request) -> Response:
        """Open flows whose chance to be late is known, by their deadline."""
        rows = FlowRisk.objects.filter(chance__isnull=False, flow__status="open")
        return self.listed(rows.select_related("flow__partner", "model"))


class CalibrationShown(serializers.Serializer[Any]):
    flow_definition = serializers.CharField(source="flow_slug")
    milestone = serializers.CharField()
    version = serializers.IntegerField()
    fitted_at = serializers.DateTimeField()
    flows = serializers.IntegerField()
    promoted = serializers.BooleanField(help_text="The model speaks; else the simple law does")
    record = serializers.JSONField(help_text="The prequential table, and chances said against what came (bins)")


class Calibration(TowerView):
    scopes: ClassVar = READ

    @extend_schema(responses=CalibrationShown(many=True))
    def get(self, request: Request) -> Response:
        """Who speaks for each stage, and how well it did on what came later."""
        models = sorted(newest().values(), key=lambda one: (one.flow_slug, one.milestone))
        return Response(CalibrationShown(models, many=True).data)
