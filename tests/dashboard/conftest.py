"""Fixtures of the pages' tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext


@pytest.fixture
def queries(client: Client) -> Callable[[str], int]:
    """How many statements a page costs (asked twice: what is read once per process does not count)."""

    def count(path: str, **headers: Any) -> int:
        assert client.get(path, **headers).status_code == 200, path
        with CaptureQueriesContext(
            connection,
        ) as found:
            assert client.get(path, **headers).status_code == 200, path
        return len(found)

    return count
