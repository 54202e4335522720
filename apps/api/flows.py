"""Flows, their milestones and what is expected of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import serializers
from apps.api.base import NUMBER, TowerViewSet
from apps.api.filters import ExpectationFilter, FlowFilter, MilestoneFilter
from apps.flows.models import Flow, FlowLink, FlowReference, Milestone, Reference
from apps.integrations.models import Integration
from apps.sla.models import Expectation

#: references and relatives of one flow shown in its detail
MOST = 500


def flows() -> QuerySet[Flow]:
    live = Prefetch("expectations", Expectation.objects.live(), to_attr="live_expectations")
    return Flow.objects.select_related("definition", "partner").prefetch_related(live).defer("marks")


def milestones() -> QuerySet[Milestone]:
    source = Integration.objects.filter(pk=OuterRef("integration_id")).values("slug")[:1]
    return Milestone.objects.annotate(source=Subquery(source))


def expectations() -> QuerySet[Expectation]:
    # a subquery, not a join: a partner does not see the integration of another, and still its own expectation
    source = Integration.objects.filter(pk=OuterRef("source_id")).values("slug")[:1]
    return Expectation.objects.select_related("definition", "partner", "rule").annotate(source_slug=Subquery(source))


class Flows(TowerViewSet):
    """Flows, the latest first. One that was merged into another is listed only by ``status=merged``."""

    scopes: ClassVar = {"GET": "flows:read"}
    queryset = Flow.objects.none()
    serializer_class = serializers.FlowShown
    filterset_class = FlowFilter
    keyset: Sequence[str] = ("-opened_at", "-id")
    lookup_value_regex = NUMBER

    def visible(self) -> QuerySet[Flow]:
        rows = flows()
        wants_merged = self.request.query_params.get("status") == Flow.Status.MERGED
        if self.caller.partner_id is not None or (self.action == "list" and not wants_merged):
            rows = rows.exclude(status=Flow.Status.MERGED)
        return rows

    def list(self, request: Request) -> Response:
        """Flows, the latest first."""
        return self.listed(self.visible())

    @extend_schema(responses=serializers.FlowInFull)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One flow with its references, relatives, milestones and deadlines."""
        with self.caller.sight():
            flow = self.found(self.visible(), pk=int(pk))
            _fill(flow)
            data = serializers.FlowInFull(flow, context=self.get_serializer_context()).data
        return Response(data)

    @extend_schema(responses=serializers.MilestoneShown(many=True))
    @action(detail=True, filterset_class=None, keyset=("ordinal", "name"))
    def milestones(self, request: Request, pk: str) -> Response:
        """The milestones of one flow, in its order."""
        return self._below(pk, milestones(), serializers.MilestoneShown)

    @extend_schema(responses=serializers.ExpectationShown(many=True))
    @action(detail=True, filterset_class=None, keyset=("due_at", "id"))
    def expectations(self, request: Request, pk: str) -> Response:
        """The deadlines of one flow, the earliest first."""
        return self._below(pk, expectations(), serializers.ExpectationShown)

    def _below(self, pk: str, rows: QuerySet[Any], serializer: Any) -> Response:
        with self.caller.sight():
            self.found(self.visible(), pk=int(pk))
            page = self.paginate_queryset(self.filter_queryset(rows.filter(flow_id=int(pk))))
            data = serializer(page, many=True, context=self.get_serializer_context()).data
        return self.get_paginated_response(data)


def _fill(flow: Any) -> None:
    """What the detail shows beside the row, in one query each."""
    flow.shown_milestones = list(milestones().filter(flow=flow).order_by("ordinal", "name"))
    flow.shown_expectations = list(expectations().filter(flow=flow).order_by("due_at", "id"))
    flow.parent_ids = list(
        FlowLink.objects.filter(child=flow).order_by("parent").values_list("parent", flat=True)[:MOST]
    )
    flow.child_ids = list(FlowLink.objects.filter(parent=flow).order_by("child").values_list("child", flat=True)[:MOST])
    own = dict(FlowReference.objects.filter(flow=flow).values_list("reference_id", "own")[:MOST])
    rows = sorted(Reference.objects.filter(pk__in=list(own)), key=lambda one: (not own[one.pk], one.kind, one.value))
    flow.shown_references = [
        {"kind": one.kind, "issuer": one.issuer, "value": one.value, "own": own[one.pk]} for one in rows
    ]


class Milestones(TowerViewSet):
    """Milestones of all flows, the latest flow first."""

    scopes: ClassVar = {"GET": "flows:read"}
    queryset = Milestone.objects.none()
    serializer_class = serializers.MilestoneShown
    filterset_class = MilestoneFilter
    keyset: Sequence[str] = ("-flow_id", "name")

    def list(self, request: Request) -> Response:
        """Milestones of all flows, the latest flow first."""
        return self.listed(milestones())


class Expectations(TowerViewSet):
    """Deadlines of all flows, the earliest first."""

    scopes: ClassVar = {"GET": "flows:read"}
    queryset = Expectation.objects.none()
    serializer_class = serializers.ExpectationShown
    filterset_class = ExpectationFilter
    keyset: Sequence[str] = ("due_at", "id")
    lookup_value_regex = NUMBER

    def list(self, request: Request) -> Response:
        """Deadlines of all flows, the earliest first."""
        return self.listed(expectations())

    def retrieve(self, request: Request, pk: str) -> Response:
        """One deadline: what is awaited, by when, and why then."""
        with self.caller.sight():
            return Response(self.get_serializer(self.found(expectations(), pk=int(pk))).data)
