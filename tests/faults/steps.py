"""What a fault test does inside Django, in a process of its own: ``python -m tests.faults.steps STEP ...``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.test import Client

django.setup()

from apps.accounts.models import User  # noqa: E402 (needs the applications loaded)
from apps.collectors.processing import process  # noqa: E402
from apps.collectors.receiving import NewReceipt, store  # noqa: E402
from apps.core import clock  # noqa: E402
from apps.flows.rebuilding import digest  # noqa: E402
from apps.integrations.credentials import issue  # noqa: E402
from apps.integrations.models import Integration  # noqa: E402


def prepare(secret: str, *files: str) -> None:
    """Migrates, loads the register and gives every integration the secret. Prints slug=endpoint id."""
    call_command("migrate", "--noinput", "--verbosity", "0")
    call_command("load_config", *files, "--verbosity", "0")
    for integration in Integration.objects.all():
        issue(integration, clock.now(), None, secret=secret)
        print(f"{integration.slug}={integration.endpoint_id}")


def clean(path: str) -> None:
    """The same deliveries with nothing killed. Prints the digest without the last of them, and with it."""
    ids = dict(Integration.objects.values_list("slug", "pk"))
    receipts = [
        NewReceipt(
            integration_id=ids[one["integration"]],
            door=one["path"] or "http",
            body=one["body"].encode(),
            content_type="application/json",
            headers={},
            delivery_id=one["name"],
            received_at=clock.now(),
        )
        for one in json.loads(Path(path).read_text())
    ]
    for part in (receipts[:-1], receipts[-1:]):
        store(part)
        drain()
        print(digest())


def drain() -> None:
    """Processes what waits and is due."""
    while process(clock.now()).moved:
        pass


def sign_in() -> None:
    """Somebody of operations is signed in. Prints the cookie."""
    client = Client()
    client.force_login(User.objects.create_user("operations", role="operations"))
    print(f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}")


STEPS: dict[str, Callable[..., None]] = {"prepare": prepare, "clean": clean, "drain": drain, "sign_in": sign_in}

if __name__ == "__main__":
    STEPS[sys.argv[1]](*sys.argv[2:])
