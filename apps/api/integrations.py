"""The register of integrations: what there is and how well we hear it. No settings, no addresses of doors, no secrets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import delivering, serializers
from apps.api.base import SLUG, TowerView, TowerViewSet
from apps.api.filters import IntegrationFilter
from apps.collectors.models import DeadLetter, ReceiptState
from apps.core import clock
from apps.integrations.models import Integration

#: what is said of one delivery at most
MOST_LETTERS = 100
_SLUG = OpenApiParameter("slug", str, OpenApiParameter.PATH, description="Slug of the integration")


class Integrations(TowerViewSet):
    """Integrations by slug."""

    scopes: ClassVar = {"GET": "integrations:read"}
    queryset = Integration.objects.none()
    serializer_class = serializers.IntegrationShown
    filterset_class = IntegrationFilter
    keyset: Sequence[str] = ("slug",)
    lookup_field = "slug"
    lookup_value_regex = SLUG

    def visible(self) -> QuerySet[Integration]:
        rows = Integration.objects.select_related("partner", "state").defer("settings", "endpoint_id")
        return rows if self.caller.partner_id is not None else rows.select_related("system", "team", "partner", "state")

    def list(self, request: Request) -> Response:
        """Integrations by slug."""
        return self.listed(self.visible())

    def retrieve(self, request: Request, slug: str) -> Response:
        """One integration, and how well we hear it."""
        with self.caller.sight():
            return Response(self.get_serializer(self.found(self.visible(), slug=slug)).data)


def visible_integration(view: TowerView, slug: str) -> Integration:
    """The integration, if the caller sees it; NotFound is the same for another's and a missing one."""
    with view.caller.sight():
        return TowerViewSet.found(view, Integration.objects.all(), slug=slug)  # type: ignore[arg-type]


class Deliveries(TowerView):
    """Messages in."""

    scopes: ClassVar = {"POST": "receipts:write"}
    delivers = True

    @extend_schema(
        operation_id="receipts_create",
        parameters=[
            _SLUG,
            OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="Your id of the delivery"),
        ],
        request={"application/json": OpenApiTypes.ANY, "application/octet-stream": OpenApiTypes.BINARY},
        responses={202: serializers.AcceptedShown},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Delivers one message, as the integration's collector reads it: the bytes are kept, then answered, then read.

        The body may be of any content type. It is kept as it came, whatever it says.
        """
        integration = visible_integration(self, slug)
        receipt = delivering.deliver(integration, request._request, clock.now())
        return Response({"receipt": receipt, "status": "accepted"}, status=202)


class Delivery(TowerView):
    """What became of a delivery."""

    scopes: ClassVar = {"GET": "receipts:read"}

    @extend_schema(
        operation_id="receipts_retrieve",
        parameters=[_SLUG, OpenApiParameter("id", int, OpenApiParameter.PATH, description="Number of the receipt")],
        responses=serializers.ReceiptShown,
    )
    def get(self, request: Request, slug: str, pk: int) -> Response:
        """Where a delivery stands: waiting, done, or dead with what is wrong with it."""
        integration = visible_integration(self, slug)
        state = TowerViewSet.found(self, ReceiptState.objects.all(), pk=pk, integration=integration.pk)  # type: ignore[arg-type]
        letters = DeadLetter.objects.filter(receipt_id=pk, integration=integration.pk).order_by("id")[:MOST_LETTERS]
        shown: dict[str, Any] = {
            "id": state.pk,
            "integration": slug,
            "received_at": state.received_at,
            "status": state.status,
            "events": state.events,
            "duplicates": state.duplicates,
            "conflicts": state.conflicts,
            "issues": letters,
        }
        return Response(serializers.ReceiptShown(shown).data)
