"""Addresses of incidents for messages, among them the signed, expiring one that lets its reader acknowledge.

The dashboard serves these paths. Opening the signed address changes nothing (mail scanners follow links); the button
on its page does, in the name of the person the link was made for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.signing import BadSignature, Signer

#: route patterns for the URLconf of the pages
INCIDENT_ROUTE = "incidents/<int:incident_id>/"
ACKNOWLEDGE_ROUTE = "incidents/acknowledge/<str:token>/"

GOOD_FOR = timedelta(hours=24)
SALT = "apps.incidents.links.acknowledge"


class LinkNotValid(Exception):
    """The link was not made by this tower, or was changed on its way. The message is for people."""


class LinkExpired(LinkNotValid):
    """The link was good once; incident_id says for which incident, so that the page can lead there after sign-in."""

    def __init__(self, incident_id: int) -> None:
        super().__init__("This link has expired: sign in to open the incident.")
        self.incident_id = incident_id


@dataclass(frozen=True, slots=True)
class AcknowledgeLink:
    """Who may acknowledge what by this link; whether the person is still active is for the page to check."""

    incident_id: int
    user_id: int
    expires_at: datetime


def incident_url(incident_id: int) -> str:
    """Absolute address of the incident's page (asks for sign-in)."""
    return f"{settings.BASE_URL.rstrip('/')}/incidents/{incident_id}/"


def acknowledge_url(incident_id: int, user_id: int, now: datetime) -> str:
    """Absolute address good for 24 h from `now`. Whoever holds it can acknowledge as this person: do not store it."""
    return f"{settings.BASE_URL.rstrip('/')}/incidents/acknowledge/{sign(incident_id, user_id, now)}/"


def sign(incident_id: int, user_id: int, now: datetime) -> str:
    # the expiry is part of what is signed, since Django's TimestampSigner would read the clock by itself
    expires = int((now + GOOD_FOR).timestamp())
    return Signer(salt=SALT).sign(f"{incident_id}.{user_id}.{expires}")


def read(token: str, now: datetime) -> AcknowledgeLink:
    """Raises LinkNotValid or LinkExpired."""
    try:
        incident_id, user_id, expires = (int(part) for part in Signer(salt=SALT).unsign(token).split("."))
    except (BadSignature, ValueError) as error:
        raise LinkNotValid("This link is not valid: open the incident from the inbox.") from error
    link = AcknowledgeLink(incident_id, user_id, datetime.fromtimestamp(expires, UTC))
    if now >= link.expires_at:
        raise LinkExpired(incident_id)
    return link
