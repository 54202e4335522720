"""How the tests of the doors knock: through Django's client, and as a server would."""

from __future__ import annotations

import io
from typing import Any

from django.test import Client

from apps.collectors import doors
from apps.core import clock
from apps.integrations.models import Integration
from tests.collectors.conftest import SECRET

BODY = b'{"id": "1", "order": "A"}'


def post(integration: Integration, body: bytes = BODY, path: str = "", secret: str = SECRET, **headers: str) -> Any:
    return Client().post(
        f"/in/{integration.endpoint_id}/{path}",
        data=body,
        content_type="application/json",
        headers={"authorization": f"Bearer {secret}", **{k.replace("_", "-"): v for k, v in headers.items()}},
    )


def environ(integration: Integration, body: bytes, **changes: Any) -> dict[str, Any]:
    values = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"/in/{integration.endpoint_id}/",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_AUTHORIZATION": f"Bearer {SECRET}",
        "wsgi.input": io.BytesIO(body),
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


def say(integration: Integration, body: bytes, **changes: Any) -> doors.Answer:
    return doors.answer(environ(integration, body, **changes), integration.endpoint_id, "", clock.now())
