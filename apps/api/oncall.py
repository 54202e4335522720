"""Who is on call, what escalation does next, and maintenance windows: for machines what the pages are for people."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import User
from apps.api.base import TowerView
from apps.api.idempotency import KEY, once
from apps.api.problems import Conflict
from apps.core import clock
from apps.core.zones import zone_names
from apps.incidents.models import Incident
from apps.integrations import maintenance_plans as plans
from apps.integrations.maintenance import occurrence_at, spans, window_of, windows_between
from apps.integrations.maintenance_models import MaintenanceWindow
from apps.integrations.models import Integration, Partner
from apps.notifications.escalation_models import AwaitedStep
from apps.notifications.escalation_outlook import next_of
from apps.oncall.models import Schedule
from apps.oncall.rotation import AHEAD, load

LONGEST = timedelta(days=92)
MOST = 200


class DutyShown(serializers.Serializer[Any]):
    schedule = serializers.CharField(help_text="Slug of the schedule")
    team = serializers.CharField(help_text="Slug of its team")
    person = serializers.CharField(allow_null=True, help_text="Account of who is on call; null: nobody")
    name = serializers.CharField(allow_null=True)
    until = serializers.DateTimeField()


class DutiesShown(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    results = DutyShown(many=True)


class ShiftShown(serializers.Serializer[Any]):
    person = serializers.CharField(allow_null=True, help_text="null: a gap")
    name = serializers.CharField(allow_null=True)
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    override = serializers.BooleanField()


class ShiftsShown(serializers.Serializer[Any]):
    schedule = serializers.CharField()
    results = ShiftShown(many=True)


class At(serializers.Serializer[Any]):
    at = serializers.DateTimeField(required=False)


class Span(serializers.Serializer[Any]):
    schedule = serializers.CharField(max_length=64)
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()


class NextShown(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=AwaitedStep.Kind.choices)
    at = serializers.DateTimeField()
    policy = serializers.CharField(allow_null=True)
    step = serializers.IntegerField()
    steps = serializers.IntegerField()
    round = serializers.IntegerField()
    sentence = serializers.CharField()


class AllNextShown(serializers.Serializer[Any]):
    results = NextShown(many=True)


class WindowShown(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=MaintenanceWindow.Kind.choices)
    reason = serializers.CharField()
    start = serializers.DateTimeField(help_text="Of the first occurrence")
    end = serializers.DateTimeField()
    recurrence = serializers.CharField(allow_blank=True)
    time_zone = serializers.CharField()
    running = serializers.BooleanField()
    next_start = serializers.DateTimeField(allow_null=True, help_text="Of what runs or comes within the year")
    everything = serializers.BooleanField()
    integrations = serializers.ListField(child=serializers.CharField())
    partners = serializers.ListField(child=serializers.CharField())
    rules = serializers.ListField(child=serializers.CharField())
    announced = serializers.BooleanField()
    cancelled_at = serializers.DateTimeField(allow_null=True)


class WindowsShown(serializers.Serializer[Any]):
    results = WindowShown(many=True)


class Planning(serializers.Serializer[Any]):
    """A window to be planned. Slugs name what it covers."""

    kind = serializers.ChoiceField(choices=MaintenanceWindow.Kind.choices, default="maintenance")
    reason = serializers.CharField(max_length=300)
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    recurrence = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")
    time_zone = serializers.CharField(max_length=64, default="UTC")
    everything = serializers.BooleanField(default=False)
    integrations = serializers.ListField(child=serializers.CharField(max_length=64), max_length=MOST, default=list)
    partners = serializers.ListField(child=serializers.CharField(max_length=64), max_length=MOST, default=list)
    rules = serializers.ListField(child=serializers.CharField(max_length=64), max_length=MOST, default=list)
    announcement = serializers.CharField(
        max_length=300,
        required=False,
        allow_blank=True,
        default="",
        help_text="Tells partners; empty: they are not told",
    )

    def validate_time_zone(self, name: str) -> str:
        if name not in zone_names():
            raise serializers.ValidationError("Write an IANA name such as Europe/Berlin.")
        return name


class Cancelling(serializers.Serializer[Any]):
    id = serializers.IntegerField(min_value=1, max_value=2**62)


def _said(serializer: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    body = serializer(data=data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def _person(user: User | None) -> dict[str, str | None]:
    return {"person": user.username if user else None, "name": user.display_name if user else None}


class Duties(TowerView):
    """Who is on call now."""

    scopes: ClassVar = {"GET": "incidents:read"}

    @extend_schema(
        operation_id="on_call_retrieve",
        parameters=[OpenApiParameter("at", str, description="Another moment, ISO 8601")],
        responses=DutiesShown,
    )
    def get(self, request: Request) -> Response:
        """Every schedule and who is on call by it, now or at another moment."""
        at = _said(At, request.query_params.dict()).get("at") or clock.now()
        try:
            found = load(Schedule.objects.order_by("team__slug", "position", "slug"), at, at + AHEAD)
            rows = [
                {
                    "schedule": one.schedule.slug,
                    "team": one.schedule.team.slug,
                    "until": one.until(at),
                    **_person(one.at(at)),
                }
                for one in found
            ]
        except OverflowError:
            raise ValidationError({"at": "This moment is out of reach."}) from None
        return Response(DutiesShown({"at": at, "results": rows}).data)


class Shifts(TowerView):
    """The shifts of a schedule."""

    scopes: ClassVar = {"GET": "incidents:read"}

    @extend_schema(
        operation_id="on_call_shifts_retrieve",
        parameters=[
            OpenApiParameter("schedule", str, required=True, description="Slug of the schedule"),
            OpenApiParameter("start", str, required=True, description="ISO 8601"),
            OpenApiParameter("end", str, required=True, description="ISO 8601, at most 92 days later"),
        ],
        responses=ShiftsShown,
    )
    def get(self, request: Request) -> Response:
        """Who is on call from start to end, gaps included."""
        said = _said(Span, request.query_params.dict())
        if not timedelta(0) < said["end"] - said["start"] <= LONGEST:
            raise ValidationError({"end": "The end comes after the start, at most 92 days."})
        try:
            found = load(Schedule.objects.filter(slug=said["schedule"]), said["start"], said["end"])
            shifts = found[0].shifts(said["start"], said["end"]) if found else []
        except OverflowError:
            raise ValidationError({"start": "This moment is out of reach."}) from None
        if not found:
            raise NotFound
        rows = [
            {
                "start": one.start,
                "end": one.end,
                "override": one.override,
                **_person(found[0].people.get(one.user) if one.user is not None else None),
            }
            for one in shifts
        ]
        return Response(ShiftsShown({"schedule": said["schedule"], "results": rows}).data)


class Upcoming(TowerView):
    """What the tower will do about an incident."""

    scopes: ClassVar = {"GET": "incidents:read"}

    @extend_schema(
        operation_id="incidents_next_retrieve",
        parameters=[OpenApiParameter("id", int, OpenApiParameter.PATH, description="Number of the incident")],
        responses=AllNextShown,
    )
    def get(self, request: Request, pk: int) -> Response:
        """The next step of escalation, reminders, and when an acknowledgment or a silence ends; the soonest first."""
        if not Incident.objects.filter(pk=pk).exists():
            raise NotFound
        rows = [
            {
                "kind": one.kind,
                "at": one.due_at,
                "policy": one.policy.slug if one.policy else None,
                "step": one.step,
                "steps": one.steps,
                "round": one.round,
                "sentence": one.words,
            }
            for one in next_of([pk], clock.now()).get(pk, [])
        ]
        return Response(AllNextShown({"results": rows}).data)


class Maintenance(TowerView):
    """Maintenance windows and mutes."""

    scopes: ClassVar = {"GET": "incidents:read", "POST": "integrations:write"}

    @extend_schema(operation_id="maintenance_list", responses=WindowsShown)
    def get(self, request: Request) -> Response:
        """Windows that run now or come within a year."""
        now = clock.now()
        ids = [one.id for one in windows_between(now, now + timedelta(days=366))][:MOST]
        rows = MaintenanceWindow.objects.filter(pk__in=ids).prefetch_related("integrations", "partners")
        return Response(WindowsShown({"results": [_shown(row) for row in rows.order_by("starts_at", "id")]}).data)

    @extend_schema(operation_id="maintenance_create", request=Planning, responses={201: WindowShown}, parameters=[KEY])
    def post(self, request: Request) -> Response:
        """Plans a window."""
        return once(self.caller, request, clock.now(), lambda: self._plan(request))

    def _plan(self, request: Request) -> Response:
        said = _said(Planning, request.data)
        integrations = _named(Integration, "integrations", said["integrations"])
        partners = _named(Partner, "partners", said["partners"])
        wanted = plans.Wanted(
            said["kind"], said["start"], said["end"], said["reason"], said["recurrence"].upper(), said["time_zone"],
            said["everything"], integrations, partners, said["rules"], bool(said["announcement"].strip()),
            said["announcement"],
        )  # fmt: skip
        try:
            row = plans.plan(wanted, self.caller.actor, clock.now())
        except plans.NotPossible as error:
            field = {"starts_at": "start", "ends_at": "end", "announce": "announcement"}.get(error.field, error.field)
            raise ValidationError({field or "non_field_errors": str(error)}) from None
        except OverflowError:
            raise ValidationError({"start": "This moment is out of reach."}) from None
        return Response(WindowShown(_shown(row)).data, status=201)


class CancelMaintenance(TowerView):
    """Ends a window."""

    scopes: ClassVar = {"POST": "integrations:write"}

    @extend_schema(operation_id="maintenance_cancel_create", request=Cancelling, responses=WindowShown)
    def post(self, request: Request) -> Response:
        """Ends a window now, with all its repeats; what is still open calls within a minute."""
        number = _said(Cancelling, request.data)["id"]
        try:
            row = plans.cancel(number, self.caller.actor, clock.now())
        except plans.NotPossible as error:
            raise Conflict(str(error)) from None
        return Response(WindowShown(_shown(row)).data)


def _named(model: type[Any], field: str, slugs: list[str]) -> list[Any]:
    found = {row.slug: row for row in model.objects.filter(slug__in=slugs)}
    if unknown := [slug for slug in slugs if slug not in found]:
        raise ValidationError({field: f"There is no {unknown[0][:64]!r} here."})
    return list(found.values())


def _shown(row: MaintenanceWindow) -> dict[str, Any]:
    now, window = clock.now(), window_of(row)
    running = occurrence_at(window, now)
    coming = running or next(iter(spans(window, now, now + timedelta(days=366), whole=True)), None)
    return {
        "id": row.pk,
        "kind": row.kind,
        "reason": row.reason,
        "start": row.starts_at,
        "end": row.ends_at,
        "recurrence": row.recurrence,
        "time_zone": row.time_zone,
        "running": running is not None,
        "next_start": coming[0] if coming else None,
        "everything": row.everything,
        "integrations": sorted(one.slug for one in row.integrations.all()),
        "partners": sorted(one.slug for one in row.partners.all()),
        "rules": list(row.rules),
        "announced": row.announce_to_partners,
        "cancelled_at": row.cancelled_at,
    }
