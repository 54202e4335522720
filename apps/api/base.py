"""What every view of the API has in common: it reads with the caller's eyes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from apps.api.callers import Caller
from apps.core.policies import Policy

NUMBER = "[0-9]{1,18}"
SLUG = "[-a-zA-Z0-9_]{1,64}"


class TowerView(APIView):
    """scopes: HTTP method -> the scope it needs (`permissions`); a method that is not named does not exist."""

    policy = Policy("machine")
    scopes: ClassVar[Mapping[str, str]] = {}
    #: set by `permissions.Declared`
    caller: Caller

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        # a charset named by the sender would otherwise decide how the query string is read
        if request.encoding not in (None, "utf-8"):
            request.encoding = "utf-8"
        return super().initialize_request(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer


class TowerViewSet(TowerView, GenericViewSet[Any]):
    """Lists and details. keyset: the order of the list, unique (`paging.Keyset`)."""

    keyset: Sequence[str] = ("-id",)
    filterset_class: Any = None

    def keyset_of(self, request: Any) -> Sequence[str]:
        return self.keyset

    def get_serializer_context(self) -> dict[str, Any]:
        caller = getattr(self, "caller", None)
        return {**super().get_serializer_context(), "partner": caller is not None and caller.partner_id is not None}

    def listed(self, rows: QuerySet[Any]) -> Response:
        """A page of rows, read and written down within the caller's sight."""
        with self.caller.sight():
            page = self.paginate_queryset(self.filter_queryset(rows))
            data = self.get_serializer(page, many=True).data
        return self.get_paginated_response(data)

    def found(self, rows: QuerySet[Any], **which: Any) -> Any:
        """One row the caller may see. Raises Http404: another's looks like a missing one. Call it within sight."""
        return get_object_or_404(rows, **which)
