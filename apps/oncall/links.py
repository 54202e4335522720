"""The signed address at which somebody who was asked for a swap answers, without signing in.

The dashboard serves it. Opening it changes nothing (mail scanners follow links); its buttons answer in the name of the
person the link was made for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.signing import BadSignature, Signer

#: route pattern for the URLconf of the pages
SWAP_ROUTE = "on-call/swap/<str:token>/"
GOOD_FOR = timedelta(days=7)
SALT = "apps.oncall.links.swap"


class LinkNotValid(Exception):
    """The link was not made by this tower, was changed on its way, or is too old. The message is for people."""


@dataclass(frozen=True, slots=True)
class SwapLink:
    """Who may answer which swap by this link; whether they still may is for `changing.answer_swap` to say."""

    swap_id: int
    user_id: int


def swap_url(swap_id: int, user_id: int, now: datetime) -> str:
    """Absolute address good for 7 days from `now`. Whoever holds it can answer as this person: do not store it."""
    return f"{settings.BASE_URL.rstrip('/')}/on-call/swap/{sign(swap_id, user_id, now)}/"


def sign(swap_id: int, user_id: int, now: datetime) -> str:
    return Signer(salt=SALT).sign(f"{swap_id}.{user_id}.{int((now + GOOD_FOR).timestamp())}")


def read(token: str, now: datetime) -> SwapLink:
    """Raises LinkNotValid."""
    try:
        swap_id, user_id, expires = (int(part) for part in Signer(salt=SALT).unsign(token).split("."))
    except (BadSignature, ValueError) as error:
        raise LinkNotValid("It may have been cut in two on its way: open it from the message again.") from error
    if now >= datetime.fromtimestamp(expires, UTC):
        raise LinkNotValid("It was good for 7 days.")
    return SwapLink(swap_id, user_id)
