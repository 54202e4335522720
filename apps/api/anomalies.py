"""What the detectors saw, people's answers to it, switches, and how the detectors do. Not for partners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import django_filters as filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.anomalies import feedback, health
from apps.anomalies.contract import DETECTORS
from apps.anomalies.models import Anomaly, DetectorSwitch
from apps.api.base import NUMBER, TowerView, TowerViewSet
from apps.api.filters import MomentFilter, TextFilter
from apps.api.idempotency import KEY, once
from apps.api.problems import Conflict
from apps.core import clock
from apps.integrations.models import Partner

READ: dict[str, str] = {"GET": "anomalies:read"}
WRITE = "anomalies:write"


class AnomalyFilter(filters.FilterSet):
    STATES = [("open", "Open"), ("over", "Over")]

    detector = TextFilter(most=32, help_text="feed, deadline, metric, drift, path or schema")
    partner = TextFilter("partner__slug", help_text="Slug of the partner")
    integration = TextFilter("integration__slug", help_text="Slug of the integration")
    state = filters.ChoiceFilter(choices=STATES, method="by_state")
    held_back = filters.ChoiceFilter(
        choices=[("true", "yes"), ("false", "no")], method="by_voice", help_text="Told to nobody, and why not"
    )
    verdict = filters.ChoiceFilter(choices=Anomaly.Verdict.choices)
    raised_since = MomentFilter("raised_at", "gte")

    class Meta:
        model = Anomaly
        fields: list[str] = []

    def by_state(self, rows: QuerySet[Anomaly], name: str, value: str) -> QuerySet[Anomaly]:
        return rows.filter(cleared_at__isnull=value == "open")

    def by_voice(self, rows: QuerySet[Anomaly], name: str, value: str) -> QuerySet[Anomaly]:
        return rows.exclude(suppressed="") if value == "true" else rows.filter(suppressed="")


class AnomalyShown(serializers.ModelSerializer[Anomaly]):
    partner = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)
    integration = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)
    flow = serializers.IntegerField(source="flow_id", read_only=True, allow_null=True)
    incident = serializers.IntegerField(source="finding.incident_id", read_only=True, default=None, allow_null=True)
    held_back = serializers.CharField(source="suppressed", read_only=True, help_text="Empty: told; else why not")
    verdict = serializers.CharField(
        read_only=True, help_text="Empty: nobody has answered; else real, expected, not_useful or fixed"
    )

    class Meta:
        model = Anomaly
        fields: tuple[str, ...] = (
            *("id", "detector", "tier", "title", "sentence", "score", "threshold", "partner", "integration", "flow"),
            *("incident", "stream", "began_at", "raised_at", "cleared_at", "held_back", "verdict", "verdict_at"),
        )
        read_only_fields = fields


class AnomalyWhole(AnomalyShown):
    evidence = serializers.JSONField(read_only=True, help_text="What the score rests on, and what is drawn")

    class Meta(AnomalyShown.Meta):
        fields = (*AnomalyShown.Meta.fields, "evidence")
        read_only_fields = fields


class Answering(serializers.Serializer[Any]):
    verdict = serializers.ChoiceField(choices=Anomaly.Verdict.choices)


class Answered(serializers.Serializer[Any]):
    anomaly = AnomalyShown()
    factor_before = serializers.FloatField(help_text="What people's answers multiplied the stream's threshold by")
    factor = serializers.FloatField()
    words = serializers.CharField()


class Anomalies(TowerViewSet):
    """What no rule was written for, the latest first; without held_back=true also what was told to nobody."""

    scopes: ClassVar = READ
    queryset = Anomaly.objects.none()
    serializer_class = AnomalyShown
    filterset_class = AnomalyFilter
    lookup_value_regex = NUMBER
    keyset: Sequence[str] = ("-raised_at", "-id")

    def rows(self) -> QuerySet[Anomaly]:
        return Anomaly.objects.select_related("partner", "integration", "finding")

    def list(self, request: Request) -> Response:
        """What the detectors saw, the latest first."""
        return self.listed(self.rows().defer("evidence"))

    @extend_schema(responses=AnomalyWhole)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One, with its evidence."""
        return Response(AnomalyWhole(self.found(self.rows(), pk=int(pk))).data)

    @extend_schema(request=Answering, responses=Answered, parameters=[KEY])
    @action(detail=True, methods=["post"], scopes={"POST": WRITE})
    def answer(self, request: Request, pk: str) -> Response:
        """What it was: real, expected, not_useful or fixed. Another answer replaces the one before."""

        def work() -> Response:
            body = Answering(data=request.data)
            body.is_valid(raise_exception=True)
            verdict, actor = body.validated_data["verdict"], self.caller.actor
            return self._effect(pk, lambda: feedback.judge(int(pk), verdict, actor, clock.now()))

        return once(self.caller, request, clock.now(), work)

    @extend_schema(request=None, responses=Answered, parameters=[KEY])
    @action(detail=True, methods=["post"], url_path="take-back", scopes={"POST": WRITE})
    def take_back(self, request: Request, pk: str) -> Response:
        """Undoes the answer, its effect on the threshold and the span it wrote."""
        actor = self.caller.actor
        return once(
            self.caller, request, clock.now(),
            lambda: self._effect(pk, lambda: feedback.take_back(int(pk), actor, clock.now())),
        )  # fmt: skip

    def _effect(self, pk: str, act: Callable[[], feedback.Effect]) -> Response:
        self.found(Anomaly.objects.only("pk"), pk=int(pk))
        try:
            effect = act()
        except feedback.NotPossible as refused:
            raise Conflict(str(refused)) from None
        told = {"factor_before": effect.before, "factor": effect.after, "words": effect.words}
        return Response(Answered({"anomaly": self.rows().get(pk=int(pk)), **told}).data)


class SwitchShown(serializers.ModelSerializer[DetectorSwitch]):
    partner = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)
    changed_by = serializers.CharField(source="changed_by_name", read_only=True)

    class Meta:
        model = DetectorSwitch
        fields = ("detector", "partner", "enabled", "reason", "changed_at", "changed_by")
        read_only_fields = fields


class DetectorSwitching(serializers.Serializer[Any]):
    detector = serializers.ChoiceField(choices=DETECTORS.choices())
    enabled = serializers.BooleanField()
    partner = serializers.SlugField(max_length=64, required=False, allow_null=True, help_text="null: everybody")
    reason = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")


class Switches(TowerView):
    scopes: ClassVar = {**READ, "POST": "anomalies:switch"}

    @extend_schema(responses=SwitchShown(many=True))
    def get(self, request: Request) -> Response:
        """Every switch ever set; a detector without one is on."""
        rows = DetectorSwitch.objects.select_related("partner").order_by("detector", "partner__slug")
        return Response(SwitchShown(rows, many=True).data)

    @extend_schema(request=DetectorSwitching, responses=SwitchShown, parameters=[KEY])
    def post(self, request: Request) -> Response:
        """Turns a detector on or off, for a partner or for everybody; off asks for a reason."""
        return once(self.caller, request, clock.now(), lambda: self._switch(request))

    def _switch(self, request: Request) -> Response:
        body = DetectorSwitching(data=request.data)
        body.is_valid(raise_exception=True)
        said, partner = body.validated_data, None
        if slug := said.get("partner"):
            partner = Partner.objects.filter(slug=slug).first()
            if partner is None:
                raise ValidationError({"partner": "There is no such partner."})
        try:
            feedback.switch(
                said["detector"], partner, said["enabled"], said["reason"].strip(), self.caller.actor, clock.now()
            )
        except feedback.NotPossible as refused:
            raise ValidationError({"reason": str(refused)}) from None
        row = DetectorSwitch.objects.select_related("partner").get(detector=said["detector"], partner=partner)
        return Response(SwitchShown(row).data)


class RecordShown(serializers.Serializer[Any]):
    detector = serializers.CharField(source="kind")
    model = serializers.CharField()
    enabled = serializers.BooleanField()
    promised_false = serializers.FloatField(source="promised", help_text="Share of its alarms it says will be false")
    false_share = serializers.FloatField(source="false", allow_null=True, help_text="By people's answers; null: none")
    told = serializers.IntegerField()
    judged = serializers.IntegerField()
    held_back = serializers.IntegerField()
    checked = serializers.IntegerField()
    missed_share = serializers.FloatField(
        source="missed", allow_null=True, help_text="Real of the held back ones checked"
    )
    told_after_seconds = serializers.SerializerMethodField()
    lowered = serializers.FloatField(help_text="By how many powers of ten it raised its own thresholds")

    def get_told_after_seconds(self, one: health.Record) -> float | None:
        return one.soon.total_seconds() if one.soon is not None else None


class HeldShown(serializers.Serializer[Any]):
    detector = serializers.CharField(source="kind")
    reason = serializers.CharField()
    findings = serializers.IntegerField(source="n")
    open = serializers.IntegerField()
    last = serializers.DateTimeField()


class HealthShown(serializers.Serializer[Any]):
    detectors = RecordShown(many=True)
    held_back = HeldShown(many=True)
    deadlines_judged = serializers.IntegerField(source="coverage.n")
    before_90_percent_deadline = serializers.FloatField(source="coverage.watch", allow_null=True)
    before_98_percent_deadline = serializers.FloatField(source="coverage.task", allow_null=True)
    pages_today = serializers.IntegerField(source="budget.told_pages")
    pages_allowed = serializers.IntegerField(source="budget.all_pages")
    tasks_today = serializers.IntegerField(source="budget.told_tasks")
    tasks_allowed = serializers.IntegerField(source="budget.all_tasks")


class Health(TowerView):
    scopes: ClassVar = READ

    @extend_schema(responses=HealthShown)
    def get(self, request: Request) -> Response:
        """What the detectors promised and what happened in the last 60 days."""
        now = clock.now()
        told = {
            "detectors": health.records(now),
            "held_back": health.held_back(now),
            "coverage": health.coverage(now),
            "budget": health.spent(now),
        }
        return Response(HealthShown(told).data)
