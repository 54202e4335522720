"""Change markers: what was deployed, agreed or switched, for incidents to show what came before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import User
from apps.api.base import TowerViewSet
from apps.api.idempotency import KEY, once
from apps.core import clock
from apps.integrations.models import ChangeMarker, Integration


class ChangeShown(serializers.ModelSerializer[Any]):
    integration = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)
    actor = serializers.CharField(source="actor_name", read_only=True)

    class Meta:
        model = ChangeMarker
        fields = ("id", "at", "integration", "kind", "text", "actor")
        read_only_fields = fields


class Changing(serializers.Serializer[Any]):
    """What changed."""

    text = serializers.CharField(max_length=300)
    kind = serializers.CharField(max_length=32, required=False, default="deploy")
    integration = serializers.CharField(
        max_length=64, required=False, allow_null=True, help_text="Slug; null: everywhere"
    )
    at = serializers.DateTimeField(required=False, allow_null=True, help_text="When; null: now. Not ahead")


class Changes(TowerViewSet):
    """What changed, the latest first."""

    # not integrations:read, which partners hold as well
    scopes: ClassVar = {"GET": "incidents:read", "POST": "integrations:write"}
    queryset = ChangeMarker.objects.none()
    serializer_class = ChangeShown
    keyset: Sequence[str] = ("-at", "-id")

    def list(self, request: Request) -> Response:
        """What changed, the latest first."""
        return self.listed(ChangeMarker.objects.select_related("integration"))

    @extend_schema(request=Changing, responses={201: ChangeShown}, parameters=[KEY])
    def create(self, request: Request) -> Response:
        """Marks a change: a deployment tells it at its end, so that incidents show it."""
        return once(self.caller, request, clock.now(), self._create)

    def _create(self) -> Response:
        body = Changing(data=self.request.data)
        body.is_valid(raise_exception=True)
        said, now = body.validated_data, clock.now()
        integration = None
        if slug := said.get("integration"):
            integration = Integration.objects.filter(slug=slug).first()
            if integration is None:
                raise ValidationError({"integration": "There is no such integration."})
        at = said.get("at") or now
        if at > now:
            raise ValidationError({"at": "This lies ahead: mark a change when it has happened."})
        actor = self.caller.actor
        row = ChangeMarker.objects.create(
            at=at,
            integration=integration,
            kind=said["kind"],
            text=said["text"],
            actor_name=actor.display_name if isinstance(actor, User) else actor.name,
        )
        return Response(ChangeShown(row).data, status=201)
