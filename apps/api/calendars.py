"""Working calendars: read with all their versions; their exceptions (days that are not as the week says) can be written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import django_filters as filters
from django.db.models import Exists, OuterRef, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import SLUG, TowerViewSet
from apps.api.idempotency import KEY, once
from apps.api.problems import Conflict
from apps.api.serializers import Shown
from apps.core import clock
from apps.core.calendars import CALENDAR_SCHEMA, CalendarError
from apps.integrations.models import Calendar
from apps.sla import calendar_versions, library, rederiving

_VALIDATOR = Draft202012Validator(CALENDAR_SCHEMA)
MOST = 1000


class CalendarShown(Shown):
    """A version of a calendar; the newest counts."""

    author = serializers.CharField(source="author_name", help_text="Empty: a file")
    spec = serializers.JSONField(help_text="zone, weekly hours, country, subdivision, exceptions, periods, lanes")

    class Meta:
        model = Calendar
        fields = ("slug", "version", "name", "spec", "author", "note", "created_at")


class CalendarVersions(serializers.Serializer[Any]):
    results = CalendarShown(many=True)


@extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
class Exceptions(serializers.JSONField):
    """Read by the calendar's own schema, which says more of what is wrong."""


class Excepting(serializers.Serializer[Any]):
    """All exceptions the calendar is to have: read them first, change the list, send it with the version you read."""

    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1, help_text="The version you read")
    exceptions = Exceptions(
        help_text="`{date: 2026-12-24, hours: [[08:00, 12:00]]}`, `{from, until, closed: true}` ..."
    )
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=300)
    try_only = serializers.BooleanField(required=False, default=False, help_text="Say what would move, keep nothing")


class MovedShown(serializers.Serializer[Any]):
    flow = serializers.IntegerField(source="flow_id")
    label = serializers.CharField()
    milestone = serializers.CharField()
    was_due = serializers.DateTimeField(allow_null=True)
    now_due = serializers.DateTimeField(allow_null=True, help_text="null: not expected any longer")


class EffectShown(serializers.Serializer[Any]):
    """What the exceptions do to deadlines of open flows, which follow in the background."""

    kept = serializers.BooleanField(help_text="false: only tried, or the same as before")
    version = serializers.IntegerField(help_text="The calendar's newest version now")
    deadlines = serializers.IntegerField(source="effect.deadlines", help_text="Looked at")
    moved = serializers.IntegerField(source="effect.moved")
    late = serializers.IntegerField(source="effect.late", help_text="Overdue by the new days, and not before")
    relieved = serializers.IntegerField(source="effect.relieved", help_text="The other way round")
    cut_short = serializers.BooleanField(source="effect.cut_short", help_text="There are more open flows")
    samples = MovedShown(source="effect.samples", many=True)


class CalendarFilter(filters.FilterSet):
    class Meta:
        model = Calendar
        fields: list[str] = []


class Calendars(TowerViewSet):
    """Working hours, holidays and exceptions."""

    scopes: ClassVar = {"GET": "rules:read", "POST": "rules:write"}
    queryset = Calendar.objects.none()
    serializer_class = CalendarShown
    filterset_class = CalendarFilter
    keyset: Sequence[str] = ("slug", "id")
    lookup_field = "slug"
    lookup_value_regex = SLUG

    def list(self, request: Request) -> Response:
        """The newest version of every calendar."""
        return self.listed(_newest())

    def retrieve(self, request: Request, slug: str) -> Response:
        """The newest version of one calendar."""
        return Response(self.get_serializer(self.found(_newest(), slug=slug)).data)

    @extend_schema(responses=CalendarVersions)
    @action(detail=True, filterset_class=None, pagination_class=None)
    def versions(self, request: Request, slug: str) -> Response:
        """Every version of one calendar, the newest first."""
        self.found(_newest(), slug=slug)
        rows = Calendar.objects.filter(slug=slug).order_by("-version")
        return Response({"results": self.get_serializer(rows, many=True).data})

    @extend_schema(
        request=Excepting, responses=EffectShown, parameters=[KEY], operation_id="calendars_exceptions_create"
    )
    @action(detail=True, methods=["post"], filterset_class=None)
    def exceptions(self, request: Request, slug: str) -> Response:
        """Sets the calendar's exceptions: a new version of it, unless they are the same."""
        return once(self.caller, request, clock.now(), lambda: self._except(slug))

    def _except(self, slug: str) -> Response:
        found: Calendar = self.found(_newest(), slug=slug)
        body = Excepting(data=self.request.data)
        body.is_valid(raise_exception=True)
        said, now = body.validated_data, clock.now()
        if said["version"] != found.version:
            raise _overtaken(found)
        spec = {name: value for name, value in found.spec.items() if name != "exceptions"}
        if said["exceptions"] != []:
            spec["exceptions"] = said["exceptions"]
        _check(spec)
        try:
            effect = calendar_versions.effect(library.load(now).book, slug, found.name, spec, now)
            made = found
            if not said["try_only"]:
                made = calendar_versions.save(
                    slug, found.name, spec, self.caller.actor, now, base=found.version, note=said["note"]
                )
        except CalendarError as error:
            raise ValidationError({"exceptions": str(error)}) from None
        except calendar_versions.Overtaken as overtaken:
            raise _overtaken(overtaken.newest) from None
        if made.version != found.version:
            rederiving.notice(now)
        shown = {"kept": made.version != found.version, "version": made.version, "effect": effect}
        return Response(EffectShown(shown).data)


def _newest() -> QuerySet[Calendar]:
    newer = Calendar.objects.filter(slug=OuterRef("slug"), version__gt=OuterRef("version"))
    return Calendar.objects.filter(~Exists(newer))


def _overtaken(newest: Calendar) -> Conflict:
    return Conflict(f"The calendar is at version {newest.version} by now: read it again and change that one.")


def _check(spec: dict[str, Any]) -> None:
    """Raises ValidationError: what is wrong with the exceptions, and where."""
    problem = best_match(_VALIDATOR.iter_errors(spec))
    if problem is not None:
        place = ".".join(str(part) for part in problem.absolute_path)
        raise ValidationError({"exceptions": f"{place}: {problem.message[:300]}"})
    if len(spec.get("exceptions", ())) > MOST:
        raise ValidationError({"exceptions": f"{MOST} exceptions are the most."})
    text = json.dumps(spec, ensure_ascii=False)
    if "\\u0000" in text or any("\ud800" <= one <= "\udfff" for one in text):
        raise ValidationError({"exceptions": "A name has characters that cannot be kept."})
