"""Reports by e-mail: the schedules, and what each sent. Closed months are frozen here too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import django_filters as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import Role
from apps.api.base import NUMBER, TowerViewSet
from apps.api.idempotency import KEY, once
from apps.api.problems import Conflict
from apps.api.serializers import Shown, slug
from apps.core import clock
from apps.integrations.models import Partner
from apps.reports import archive, scheduling, sending
from apps.reports.models import Delivery, Schedule

SENT = 100


class ScheduleShown(Shown):
    """A month's report (or one partner's scorecard) that goes out by e-mail. Days and hours are in the zone of reports."""

    partner = slug()
    roles = serializers.ListField(child=serializers.ChoiceField(choices=Role.choices))
    extra = serializers.ListField(child=serializers.CharField(), help_text="Addresses besides")
    formats = serializers.ListField(child=serializers.ChoiceField(choices=list(archive.FILES)))
    next_at = serializers.SerializerMethodField(help_text="null: it is off")
    recipients = serializers.SerializerMethodField(help_text="How many addresses it reaches now")

    class Meta:
        model = Schedule
        fields = (
            "id",
            "name",
            "roles",
            "extra",
            "formats",
            "partner",
            "day",
            "hour",
            "active",
            "next_at",
            "recipients",
        )

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_at(self, row: Schedule) -> str | None:
        due = sending.next_due(row, clock.now()) if row.active else None
        return serializers.DateTimeField().to_representation(due) if due else None

    def get_recipients(self, row: Schedule) -> int:
        return len(sending.recipients(row))


class SentShown(Shown):
    """One report to one address. sent_at null: tried again, up to five times."""

    month = serializers.SerializerMethodField(help_text="YYYY-MM")
    archive = serializers.IntegerField(source="archive_id")

    class Meta:
        model = Delivery
        fields = ("address", "archive", "month", "tried_at", "sent_at", "tries", "error")

    def get_month(self, row: Delivery) -> str:
        return f"{row.archive.month:%Y-%m}"


class AllSentShown(serializers.Serializer[Any]):
    results = SentShown(many=True)


class Changing(serializers.Serializer[Any]):
    """What to change; what is left out stays."""

    name = serializers.CharField(required=False, max_length=200)
    roles = serializers.ListField(
        child=serializers.ChoiceField(choices=Role.choices), required=False, max_length=len(Role.choices)
    )
    extra = serializers.ListField(child=serializers.EmailField(), required=False, max_length=50)
    formats = serializers.ListField(
        child=serializers.ChoiceField(choices=list(archive.FILES)), required=False, max_length=len(archive.FILES)
    )
    partner = serializers.CharField(
        required=False,
        allow_null=True,
        max_length=64,
        help_text="Slug: that partner's scorecard; null: the month report",
    )
    day = serializers.IntegerField(required=False, min_value=1, max_value=28, help_text="Of the month after")
    hour = serializers.IntegerField(required=False, min_value=0, max_value=23)
    active = serializers.BooleanField(required=False)


class Adding(Changing):
    """A new schedule."""

    name = serializers.CharField(max_length=200)
    formats = serializers.ListField(
        child=serializers.ChoiceField(choices=list(archive.FILES)), min_length=1, max_length=len(archive.FILES)
    )


class ScheduleFilter(filters.FilterSet):
    class Meta:
        model = Schedule
        fields: list[str] = []


class Schedules(TowerViewSet):
    """Reports by e-mail."""

    scopes: ClassVar = {
        **{"GET": "reports:read", "POST": "reports:write"},
        **{"PATCH": "reports:write", "DELETE": "reports:write"},
    }
    queryset = Schedule.objects.none()
    serializer_class = ScheduleShown
    filterset_class = ScheduleFilter
    keyset: Sequence[str] = ("name", "id")
    lookup_value_regex = NUMBER

    def list(self, request: Request) -> Response:
        """Schedules by name."""
        return self.listed(_rows())

    def retrieve(self, request: Request, pk: str) -> Response:
        """One schedule."""
        return Response(self.get_serializer(self._row(pk)).data)

    @extend_schema(request=Adding, responses={201: ScheduleShown}, parameters=[KEY])
    def create(self, request: Request) -> Response:
        """A new schedule; it sends what falls due from now on."""

        def work() -> Response:
            said = self._said(Adding)
            try:
                made = scheduling.add(said, self.caller.actor, clock.now())
            except scheduling.Wrong as wrong:
                raise ValidationError(wrong.troubles) from None
            return Response(self.get_serializer(made).data, status=201)

        return once(self.caller, request, clock.now(), work)

    @extend_schema(request=Changing, responses=ScheduleShown, parameters=[KEY])
    def partial_update(self, request: Request, pk: str) -> Response:
        """Changes it. Who had a month's report from it does not get it again."""

        def work() -> Response:
            row = self._row(pk)
            said = self._said(Changing)
            try:
                made = scheduling.change(row, said, self.caller.actor, clock.now())
            except scheduling.Wrong as wrong:
                raise ValidationError(wrong.troubles) from None
            return Response(self.get_serializer(made).data)

        return once(self.caller, request, clock.now(), work)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Removes it. What it sent stays in the archive."""
        scheduling.remove(self._row(pk), self.caller.actor, clock.now())
        return Response(status=204)

    @extend_schema(responses=AllSentShown)
    @action(detail=True, filterset_class=None, pagination_class=None)
    def sent(self, request: Request, pk: str) -> Response:
        """What it sent, the latest first, 100 at most."""
        rows = self._row(pk).deliveries.select_related("archive").order_by("-tried_at", "-id")[:SENT]
        return Response(AllSentShown({"results": rows}).data)

    @extend_schema(request=None, responses=AllSentShown, parameters=[KEY])
    @action(detail=True, methods=["post"], filterset_class=None)
    def send(self, request: Request, pk: str) -> Response:
        """Sends the report of the last closed month to whoever has not had it; everything it sent."""

        def work() -> Response:
            row, now = self._row(pk), clock.now()
            try:
                sending.send(row, archive.last_closed(now), now)
            except archive.NotClosed as problem:
                raise Conflict(str(problem)) from None
            rows = row.deliveries.select_related("archive").order_by("-tried_at", "-id")[:SENT]
            return Response(AllSentShown({"results": rows}).data)

        return once(self.caller, request, clock.now(), work)

    def _row(self, pk: str) -> Schedule:
        found: Schedule = self.found(_rows(), pk=int(pk))
        return found

    def _said(self, wanted: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        body = wanted(data=self.request.data)
        body.is_valid(raise_exception=True)
        said = dict(body.validated_data)
        if named := said.get("partner"):
            said["partner"] = Partner.objects.filter(slug=named).first()
            if said["partner"] is None:
                raise ValidationError({"partner": "There is no such partner."})
        elif "partner" in said:
            said["partner"] = None
        return said


def _rows() -> Any:
    return Schedule.objects.select_related("partner")
