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
from apps.api.idempotency import KEY, once
from apps.core import clock
from apps.incidents import workflow
from apps.incidents.merging import merge, split, unmerge
from apps.incidents.models import Finding, Incident, IncidentEvent
from apps.incidents.relating import relate, relations_of, unrelate
from apps.notifications.escalation_by_hand import escalate


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

    @extend_schema(request=serializers.Acknowledging, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Takes it: you work on it now."""
        return self._do(workflow.acknowledge, pk, serializers.Acknowledging)

    @extend_schema(request=serializers.Said, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def unacknowledge(self, request: Request, pk: str) -> Response:
        """Gives it back: whoever is on call hears of it again."""
        return self._do(workflow.unacknowledge, pk, serializers.Said)

    @extend_schema(request=serializers.Assigning, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, pk: str) -> Response:
        """Gives it to a person, to a team, or to nobody (neither named)."""
        return self._do(_assign, pk, serializers.Assigning)

    @extend_schema(request=serializers.Commenting, parameters=[KEY])
    @action(detail=True, methods=["post"], scopes={"POST": "incidents:comment"})
    def comment(self, request: Request, pk: str) -> Response:
        """Adds a line to its timeline."""
        return self._do(workflow.comment, pk, serializers.Commenting)

    @extend_schema(request=serializers.Snoozing, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def snooze(self, request: Request, pk: str) -> Response:
        """Silences it until a time, or until it gets worse."""
        return self._do(workflow.snooze, pk, serializers.Snoozing)

    @extend_schema(request=serializers.Resolving, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: str) -> Response:
        """Ends it, and says how."""
        return self._do(workflow.resolve, pk, serializers.Resolving)

    @extend_schema(request=serializers.Said, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, pk: str) -> Response:
        """Starts it over."""
        return self._do(workflow.reopen, pk, serializers.Said)

    @extend_schema(request=serializers.Rating, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def severity(self, request: Request, pk: str) -> Response:
        """Sets its severity by hand, until a finding is worse than any before."""
        return self._do(workflow.rate, pk, serializers.Rating)

    @extend_schema(request=serializers.Labelling, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def labels(self, request: Request, pk: str) -> Response:
        """Adds labels and takes labels away."""
        return self._do(workflow.label, pk, serializers.Labelling)

    @extend_schema(request=serializers.Asking, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def ask(self, request: Request, pk: str) -> Response:
        """Notes that the partner was asked, and what."""
        return self._do(workflow.ask, pk, serializers.Asking)

    @extend_schema(request=serializers.Escalating, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def escalate(self, request: Request, pk: str) -> Response:
        """Calls the next step of its escalation policy now; an acknowledgment or a snooze ends with it."""
        return self._do(escalate, pk, serializers.Escalating)

    @extend_schema(responses=serializers.RelationShown(many=True))
    @action(detail=True, filterset_class=None, pagination_class=None)
    def related(self, request: Request, pk: str) -> Response:
        """Incidents that somebody related to it, the latest first; at most 50."""
        self.found(Incident.objects.only("pk"), pk=int(pk))
        return Response(serializers.RelationShown(relations_of(int(pk)), many=True).data)

    @extend_schema(request=serializers.Relating, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def relate(self, request: Request, pk: str) -> Response:
        """Says that another incident belongs with it, and why (`text`); both show it."""
        return self._do(_relate, pk, serializers.Relating)

    @extend_schema(request=serializers.Relating, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def unrelate(self, request: Request, pk: str) -> Response:
        """Takes such a relation away."""
        return self._do(_unrelate, pk, serializers.Relating)

    @extend_schema(request=serializers.Merging, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def merge(self, request: Request, pk: str) -> Response:
        """Gives its findings, and what its cause brings later, to another incident; this one ends."""
        return self._do(_merge, pk, serializers.Merging)

    @extend_schema(request=serializers.Said, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def unmerge(self, request: Request, pk: str) -> Response:
        """Takes a merge back: its findings come home, and you have it."""
        return self._do(unmerge, pk, serializers.Said)

    @extend_schema(request=serializers.Splitting, parameters=[KEY])
    @action(detail=True, methods=["post"])
    def split(self, request: Request, pk: str) -> Response:
        """Moves open findings to an incident of their own, which is answered; you have it."""
        return self._do(split, pk, serializers.Splitting)

    def _said(self, serializer: Any) -> dict[str, Any]:
        body = serializer(data=self.request.data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)

    def _do(self, verb: Callable[..., Any], pk: str, serializer: Any) -> Response:
        """Once per Idempotency-Key, if the call has one."""

        def work() -> Response:
            try:
                done = verb(int(pk), actor=self.caller.actor, now=clock.now(), **self._said(serializer))
            except Incident.DoesNotExist:
                raise NotFound from None
            shown = done.pk if isinstance(done, Incident) else int(pk)
            return Response(self.get_serializer(incidents().get(pk=shown)).data)

        return once(self.caller, self.request, clock.now(), work)


def _assign(incident_id: int, **said: Any) -> IncidentEvent:
    if name := said.pop("assignee", None):
        said["assignee"] = User.objects.filter(username=name, is_active=True).first()
        if said["assignee"] is None:
            raise ValidationError({"assignee": "There is no such account, or it is switched off."})
    if slug := said.pop("team", None):
        said["team"] = Team.objects.filter(slug=slug).first()
        if said["team"] is None:
            raise ValidationError({"team": "There is no such team."})
    return workflow.assign(incident_id, **said)


def _relate(incident_id: int, to: int, **said: Any) -> IncidentEvent:
    if not Incident.objects.filter(pk=to).exists():
        raise ValidationError({"to": "There is no such incident."})
    return relate(incident_id, to, **said)


def _unrelate(incident_id: int, to: int, **said: Any) -> IncidentEvent:
    return unrelate(incident_id, to, **said)


def _merge(incident_id: int, into: int, **said: Any) -> IncidentEvent:
    if not Incident.objects.filter(pk=into).exists():
        raise ValidationError({"into": "There is no such incident."})
    return merge([incident_id], into, **said)
