from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.notifications.mailserver import Mailbox, running


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    """A real SMTP server, and Django set to use it."""
    with running() as (mailbox, port):
        settings.EMAIL_BACKEND = "apps.core.mail.EmailBackend"
        settings.EMAIL_HOST = "127.0.0.1"
        settings.EMAIL_PORT = port
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.BASE_URL = "https://tower.example"
        settings.DEFAULT_FROM_EMAIL = "tower@tower.example"
        yield mailbox
