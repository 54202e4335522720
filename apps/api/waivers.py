"""Waivers: a missed or coming deadline that does not count. People ask, approve and refuse; a token has no second eye."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar

import django_filters as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import User
from apps.api.base import NUMBER, TowerViewSet
from apps.api.filters import IdFilter, MomentFilter, TextFilter
from apps.api.idempotency import KEY, once
from apps.api.problems import Conflict
from apps.api.serializers import Shown
from apps.core import clock
from apps.sla import waiving
from apps.sla.explaining import sentence
from apps.sla.models import Expectation, WaiverRequest

MOST_ID = 2**63 - 1


class WaiverShown(Shown):
    """A waiver that needs, or needed, a second person."""

    expectation = serializers.IntegerField(source="expectation_id")
    flow = serializers.IntegerField(source="expectation.flow_id")
    milestone = serializers.CharField(source="expectation.milestone")
    due_at = serializers.DateTimeField(source="expectation.due_at")
    sentence = serializers.SerializerMethodField(help_text="Where the deadline comes from")
    asked_by = serializers.CharField(source="asked_by.username")
    decided_by = serializers.CharField(source="decided_by.username", allow_null=True, default=None)

    class Meta:
        model = WaiverRequest
        fields = (
            *("id", "expectation", "flow", "milestone", "due_at", "sentence", "reason", "state"),
            *("asked_at", "asked_by", "decided_at", "decided_by", "note"),
        )

    def get_sentence(self, row: WaiverRequest) -> str:
        return sentence(row.expectation.origin, row.expectation.due_at)


class WaiverAsking(serializers.Serializer[Any]):
    expectation = serializers.IntegerField(min_value=1, max_value=MOST_ID)
    reason = serializers.CharField(max_length=300)


class AskedShown(serializers.Serializer[Any]):
    """waived: it does not count from now on. Else a second person must agree to the waiver."""

    waived = serializers.BooleanField()
    waiver = WaiverShown(allow_null=True)


class Approving(serializers.Serializer[Any]):
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=300)


class Refusing(serializers.Serializer[Any]):
    note = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=300, help_text="Why not; your own you just take back"
    )


class WaiverFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=WaiverRequest.State.choices)
    expectation = IdFilter("expectation_id")
    flow = IdFilter("expectation__flow_id")
    asked_by = TextFilter("asked_by__username", most=150)
    asked_after = MomentFilter("asked_at", "gte")
    asked_before = MomentFilter("asked_at", "lt")

    class Meta:
        model = WaiverRequest
        fields: list[str] = []


class Waivers(TowerViewSet):
    """What was asked to be waived, the latest first."""

    scopes: ClassVar = {"GET": "rules:read", "POST": "waivers:write"}
    queryset = WaiverRequest.objects.none()
    serializer_class = WaiverShown
    filterset_class = WaiverFilter
    keyset: Sequence[str] = ("-asked_at", "-id")
    lookup_value_regex = NUMBER

    def list(self, request: Request) -> Response:
        """Waivers that need or needed a second person, the latest first."""
        return self.listed(_rows())

    def retrieve(self, request: Request, pk: str) -> Response:
        """One waiver."""
        return Response(self.get_serializer(self.found(_rows(), pk=int(pk))).data)

    @extend_schema(request=WaiverAsking, responses={200: AskedShown, 201: AskedShown}, parameters=[KEY])
    def create(self, request: Request) -> Response:
        """Waives an expectation (200); above the value that needs a second person it is asked for (201)."""
        if "waivers:ask" not in self.caller.scopes:
            raise PermissionDenied("To waive takes the role operations, on-call or administrator.")
        return once(self.caller, request, clock.now(), self._ask)

    def _ask(self) -> Response:
        body = WaiverAsking(data=self.request.data)
        body.is_valid(raise_exception=True)
        said = body.validated_data
        try:
            made = waiving.ask(said["expectation"], self._person(), clock.now(), said["reason"])
        except Expectation.DoesNotExist:
            raise ValidationError({"expectation": "There is no such expectation."}) from None
        except waiving.NotWaivable as problem:
            raise Conflict(str(problem)) from None
        shown = {"waived": made is None, "waiver": _rows().get(pk=made.pk) if made else None}
        return Response(AskedShown(shown).data, status=200 if made is None else 201)

    @extend_schema(request=Approving, responses=WaiverShown, parameters=[KEY])
    @action(detail=True, methods=["post"], filterset_class=None)
    def approve(self, request: Request, pk: str) -> Response:
        """Agrees to what another person asked for: it is waived."""
        if "waivers:approve" not in self.caller.scopes:
            raise PermissionDenied("To approve a waiver takes the role operations, manager or administrator.")
        return self._decided(Approving, pk, waiving.approve)

    @extend_schema(request=Refusing, responses=WaiverShown, parameters=[KEY])
    @action(detail=True, methods=["post"], filterset_class=None)
    def refuse(self, request: Request, pk: str) -> Response:
        """Says no, and why; one's own is taken back. Nothing is waived."""
        return self._decided(Refusing, pk, waiving.refuse)

    def _decided(
        self,
        wanted: type[serializers.Serializer[Any]],
        pk: str,
        act: Callable[[int, User, datetime, str], WaiverRequest],
    ) -> Response:
        def work() -> Response:
            found: WaiverRequest = self.found(_rows(), pk=int(pk))
            body = wanted(data=self.request.data)
            body.is_valid(raise_exception=True)
            try:
                act(found.pk, self._person(), clock.now(), body.validated_data["note"])
            except waiving.NotWaivable as problem:
                raise Conflict(str(problem)) from None
            return Response(self.get_serializer(_rows().get(pk=found.pk)).data)

        return once(self.caller, self.request, clock.now(), work)

    def _person(self) -> User:
        """Of a call that was let in: tokens are not given the scope."""
        actor = self.caller.actor
        if not isinstance(actor, User):
            raise PermissionDenied("A waiver is decided by people who are signed in, not by a token.")
        return actor


def _rows() -> Any:
    return WaiverRequest.objects.select_related("expectation", "asked_by", "decided_by")
