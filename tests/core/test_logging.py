"""Logs tell what happened and never what was sent."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
import structlog
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from hypothesis import given
from hypothesis import strategies as st

from apps.core.logging import JsonFormatter, describe_exception
from apps.core.middleware import RequestLog

CANARY = "c4n4ry-7f3a91d2"


def line(event: Any, **values: Any) -> dict[str, Any]:
    """What the formatter writes for one event of structlog."""
    record = logging.LogRecord("tower", logging.INFO, __file__, 1, {"event": event, **values}, None, None)
    record._logger = logging.getLogger("tower")
    record._name = "info"
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return dict(json.loads(text))


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "secret",
        "Authorization",
        "cookie",
        "token",
        "signature",
        "api_key",
        "body",
        "payload",
    ],
)
def test_what_is_named_like_a_secret_is_not_logged(name: str) -> None:
    assert CANARY not in json.dumps(line("x", **{name: CANARY}))


def test_bytes_and_long_texts_are_not_logged() -> None:
    written = line("x", raw=CANARY.encode(), text="a" * 600 + CANARY)
    assert CANARY not in json.dumps(written)
    assert written["raw"] == f"({len(CANARY)} bytes)"


@pytest.mark.parametrize("mistake", [ValueError(CANARY), KeyError(CANARY), TypeError(CANARY), Exception(CANARY)])
def test_exceptions_do_not_quote_what_was_sent(mistake: Exception) -> None:
    try:
        try:
            raise mistake
        except Exception as error:
            raise ValueError(f"cannot read {CANARY}") from error
    except ValueError as error:
        written = line("broken", exc_info=error)
    assert CANARY not in json.dumps(written)
    assert written["exception"][0] == "builtins.ValueError"
    assert any("test_logging.py" in frame for frame in written["exception"])


def test_outages_are_told() -> None:
    assert describe_exception(OperationalError("connection refused\nDETAIL: more"))[0].endswith(": connection refused")


@given(st.text(st.characters(), max_size=400), st.integers())
def test_any_text_and_number_stays_one_line_of_json(text: str, number: int) -> None:
    written = line(text, number=number)
    assert (written["event"], written["number"]) == (text, number)


def test_exceptions_of_libraries_do_not_quote_either() -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        record = logging.LogRecord("kombu", logging.ERROR, __file__, 1, "lost", None, sys.exc_info())
    text = JsonFormatter().format(record)
    assert CANARY not in text
    assert json.loads(text)["exception"][0] == "builtins.ValueError"


def test_messages_of_libraries_look_the_same() -> None:
    record = logging.LogRecord("kombu", logging.WARNING, __file__, 1, "lost %s", ("it",), None)
    written = json.loads(JsonFormatter().format(record))
    assert (written["event"], written["level"], written["logger"]) == ("lost it", "warning", "kombu")


def answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse(structlog.contextvars.get_contextvars()["request_id"])


@pytest.mark.parametrize(
    ("proxies", "given", "kept"), [(0, "abc-123", False), (1, "abc-123", True), (1, "a b", False), (1, "a" * 65, False)]
)
def test_request_ids_are_kept_only_from_a_trusted_proxy(proxies: int, given: str, kept: bool) -> None:
    request = RequestFactory().get("/", HTTP_X_REQUEST_ID=given)
    request.resolver_match = None
    with override_settings(TRUSTED_PROXIES=proxies):
        response = RequestLog(answer)(request)
    assert isinstance(response, HttpResponse)
    assert response["X-Request-ID"] == response.content.decode()
    assert (response["X-Request-ID"] == given) is kept


def test_the_line_of_a_request_names_the_route_and_no_query(caplog: pytest.LogCaptureFixture) -> None:
    request = RequestFactory().get(f"/first-admin/{CANARY}/?q={CANARY}")
    request.resolver_match = None
    with caplog.at_level(logging.INFO, "tower.request"):
        RequestLog(answer)(request)
    assert len(caplog.records) == 1
    assert CANARY not in caplog.text
