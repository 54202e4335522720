"""Shared fixtures. Tests run as the application's database role, which owns nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection


@pytest.fixture(autouse=True)
def as_application_role(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test that touches the database does so with the application's rights, not the owner's."""
    uses_db = {"db", "transactional_db", "live_server"} & set(request.fixturenames)
    if not uses_db and request.node.get_closest_marker("django_db") is None:
        yield
        return
    request.getfixturevalue("_django_db_helper")
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE controltower_app")
    yield
    if not connection.needs_rollback and connection.connection is not None and not connection.connection.closed:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
