"""Who am I, the OpenAPI document, its page, and everything that is not there."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import ApiClient
from apps.api import serializers
from apps.api.authentication import TokenAuthentication
from apps.api.base import TowerView
from apps.api.permissions import ANY, Declared
from apps.core.policies import Policy, policy
from apps.integrations.models import Partner


class Me(TowerView):
    scopes: ClassVar = {"GET": ANY}

    @extend_schema(operation_id="me", responses=serializers.MeShown)
    def get(self, request: Request) -> Response:
        """Who the tower takes you for, and what you may do."""
        caller = self.caller
        with caller.sight():
            partner = Partner.objects.get(pk=caller.partner_id).slug if caller.partner_id is not None else None
        if isinstance(caller.actor, ApiClient):
            kind, name, role, ends = "machine", caller.actor.name, "", caller.actor.expires_at
        else:
            kind, name, role, ends = "person", caller.actor.display_name, caller.actor.role, None
        shown: dict[str, Any] = {
            "kind": kind,
            "name": name,
            "role": role,
            "partner": partner,
            "scopes": sorted(caller.scopes),
            "expires_at": ends,
        }
        return Response(serializers.MeShown(shown).data)


class Schema(SpectacularJSONAPIView):
    """The OpenAPI document, for any caller."""

    policy = Policy("machine")
    scopes: ClassVar = {"GET": ANY}
    authentication_classes = [TokenAuthentication, SessionAuthentication]
    permission_classes = [Declared]


@policy("signed_in")
class Docs(SpectacularSwaggerSplitView):
    """The document as a page to read and try; its script is a file of its own, as the content policy wants it."""

    url_name = "api:schema"
    template_name = "api/docs.html"
    authentication_classes = [SessionAuthentication]
    permission_classes = [AllowAny]


class Missing(TowerView):
    """Any other address below the API: the same answer as for a row that is not there, to everybody."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        raise NotFound
