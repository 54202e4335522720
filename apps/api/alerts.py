"""Alerts of other tools, for the same desk."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import ApiClient
from apps.api.alert_formats import FORMATS, NotUnderstood, read
from apps.api.base import TowerView
from apps.api.idempotency import KEY, once
from apps.api.parsing import StrictJson
from apps.core import clock
from apps.incidents.outside import take


class LargeJson(StrictJson):
    """A tool may tell of a thousand alerts at once."""

    most = 2 * 1024 * 1024


class SkippedShown(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    sentence = serializers.CharField()


class TakenShown(serializers.Serializer[Any]):
    """What became of the alerts."""

    raised = serializers.IntegerField(help_text="New findings")
    repeated = serializers.IntegerField(help_text="Told before, and still going on")
    cleared = serializers.IntegerField(help_text="Said to be over")
    skipped = SkippedShown(many=True, help_text="Alerts that could not be read, with their place in the list")


class Alerts(TowerView):
    """Alerts in."""

    scopes: ClassVar = {"POST": "alerts:write"}
    parser_classes = [LargeJson]

    @extend_schema(
        operation_id="alerts_create",
        parameters=[
            OpenApiParameter(
                "source", str, OpenApiParameter.PATH, enum=sorted(FORMATS), description="Whose form it has"
            ),
            KEY,
        ],
        request={"application/json": OpenApiTypes.ANY},
        responses={200: TakenShown},
    )
    def post(self, request: Request, source: str) -> Response:
        """Alerts that fire become findings and join incidents by their group; resolved ones clear theirs."""
        if source not in FORMATS:
            raise NotFound
        return once(self.caller, request, clock.now(), lambda: self._take(source))

    def _take(self, source: str) -> Response:
        try:
            found = read(source, self.request.data)
        except NotUnderstood as error:
            raise ParseError(str(error)) from None
        if found.skipped and not found.alerts:
            raise ParseError(f"No alert could be read. The first: {found.skipped[0][1]}")
        actor = self.caller.actor
        sender = f"{'token' if isinstance(actor, ApiClient) else 'person'}-{actor.pk}/{source}"
        taken = take(found.alerts, source, sender, clock.now())
        shown: dict[str, Any] = {
            "raised": taken.raised,
            "repeated": taken.repeated,
            "cleared": taken.cleared,
            "skipped": [{"index": place, "sentence": why} for place, why in found.skipped],
        }
        return Response(TakenShown(shown).data)
