"""Who is at the page."""

from __future__ import annotations

from django.http import HttpRequest

from apps.accounts.models import User


def signed_in(request: HttpRequest) -> User:
    """The person behind a request whose policy let nobody else through."""
    user = request.user
    if not isinstance(user, User):
        raise TypeError("this view's policy must not let anonymous readers through")
    return user
