"""Machine tokens: ``Authorization: Bearer ct_...``. Asked of the database every time, so a revoked one ends at once."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from apps.accounts import tokens
from apps.accounts.models import ApiClient
from apps.api.callers import Machine
from apps.core import clock
from apps.integrations.models import PartnerAccess

REFUSED = "This token opens nothing: it is unknown, revoked or expired. Ask the people of the tower for a new one."


class TokenAuthentication(BaseAuthentication):
    """Unknown, revoked, expired and those of an inactive partner look the same: 401."""

    def authenticate(self, request: Any) -> tuple[Machine, ApiClient] | None:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = token.strip()
        client = tokens.verify(token, clock.now()) if token.isascii() and "\0" not in token else None
        if client is None:
            raise AuthenticationFailed(REFUSED)
        access = PartnerAccess.objects.filter(api_client=client).select_related("partner").first()
        if access is not None and not access.partner.active:
            raise AuthenticationFailed(REFUSED)
        return Machine(client, access.partner_id if access else None), client

    def authenticate_header(self, request: Any) -> str:
        return 'Bearer realm="control tower"'
