"""Incidents and what people and machines do to them. A verb that does not fit any more answers 409 with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import Team, User
from apps.api import serializers
from apps.api.base import NUMBER, TowerViewSet
from apps.api.filters import IncidentFilter
from apps.core import clock
from apps.incidents import workflow
from apps.incidents.models import Finding, Incident, IncidentEvent


def incidents() -> QuerySet[Incident]:
    return Incident.objects.select_related("partner", "integration", "team", "assignee", "acknowledged_by")


class Incidents(TowerViewSet):
    """Incidents, the latest first."""

    scopes: ClassVar = {"GET": "incidents:read", "POST": "incidents:write"}
    queryset = Incident.objects.none()
    serializer_class = serializers.IncidentShown
    filterset_class = IncidentFilter
    keyset: Sequence[str] = ("-opened_at", "-id")
    lookup_value_regex = NUMBER

    def list(self, request: Request) -> Response:
        """Incidents, the latest first."""
        return self.listed(incidents())

    def retrieve(self, request: Request, pk: str) -> Response:
        """One incident."""
        return Response(self.get_serializer(self.found(incidents(), pk=int(pk))).data)

    @extend_schema(responses=serializers.IncidentEventShown(many=True))
    @action(detail=True, filterset_class=None, keyset=("at", "id"))
    def timeline(self, request: Request, pk: str) -> Response:
        """What happened to it, the earliest first."""
        rows = IncidentEvent.objects.filter(incident_id=int(pk))
        return self._below(pk, rows, serializers.IncidentEventShown)

    @extend_schema(responses=serializers.FindingShown(many=True))
    @action(detail=True, filterset_class=None, keyset=("-raised_at", "-id"))
    def findings(self, request: Request, pk: str) -> Response:
        """What is wrong, the latest first."""
        rows = Finding.objects.filter(incident_id=int(pk)).select_related("integration", "partner")
        return self._below(pk, rows, serializers.FindingShown)

    def _below(self, pk: str, rows: QuerySet[Any], serializer: Any) -> Response:
        self.found(Incident.objects.only("pk"), pk=int(pk))
        page = self.paginate_queryset(self.filter_queryset(rows))
        return self.get_paginated_response(serializer(page, many=True, context=self.get_serializer_context()).data)

    @extend_schema(request=serializers.Acknowledging)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Takes it: you work on it now."""
        return self._do(workflow.acknowledge, pk, self._said(serializers.Acknowledging))

    @extend_schema(request=serializers.Said)
    @action(detail=True, methods=["post"])
    def unacknowledge(self, request: Request, pk: str) -> Response:
        """Gives it back: whoever is on call hears of it again."""
        return self._do(workflow.unacknowledge, pk, self._said(serializers.Said))

    @extend_schema(request=serializers.Assigning)
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, pk: str) -> Response:
        """Gives it to a person, to a team, or to nobody (neither named)."""
        said = self._said(serializers.Assigning)
        if name := said.pop("assignee", None):
            said["assignee"] = User.objects.filter(username=name, is_active=True).first()
            if said["assignee"] is None:
                raise ValidationError({"assignee": "There is no such account, or it is switched off."})
        if slug := said.pop("team", None):
            said["team"] = Team.objects.filter(slug=slug).first()
            if said["team"] is None:
                raise ValidationError({"team": "There is no such team."})
        return self._do(workflow.assign, pk, said)

    @extend_schema(request=serializers.Commenting)
    @action(detail=True, methods=["post"], scopes={"POST": "incidents:comment"})
    def comment(self, request: Request, pk: str) -> Response:
        """Adds a line to its timeline."""
        return self._do(workflow.comment, pk, self._said(serializers.Commenting))

    @extend_schema(request=serializers.Snoozing)
    @action(detail=True, methods=["post"])
    def snooze(self, request: Request, pk: str) -> Response:
        """Silences it until a time, or until it gets worse."""
        return self._do(workflow.snooze, pk, self._said(serializers.Snoozing))

    @extend_schema(request=serializers.Resolving)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: str) -> Response:
        """Ends it, and says how."""
        return self._do(workflow.resolve, pk, self._said(serializers.Resolving))

    @extend_schema(request=serializers.Said)
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, pk: str) -> Response:
        """Starts it over."""
        return self._do(workflow.reopen, pk, self._said(serializers.Said))

    def _said(self, serializer: Any) -> dict[str, Any]:
        body = serializer(data=self.request.data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)

    def _do(self, verb: Callable[..., IncidentEvent], pk: str, said: dict[str, Any]) -> Response:
        try:
            verb(int(pk), self.caller.actor, clock.now(), **said)
        except Incident.DoesNotExist:
            raise NotFound from None
        return Response(self.get_serializer(incidents().get(pk=int(pk))).data)
