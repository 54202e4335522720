"""Shared fixtures. Tests run as the application's database role, which owns nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connection

from apps.collectors import doors
from apps.collectors.refusals import Refusals
from apps.core.tuning import calm_collector
from tests.databases import template_for
from tests.ordering import ordered


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = ordered(items)


def pytest_collection_finish() -> None:
    """Seven thousand collected tests are not looked through again and again for cycles."""
    calm_collector()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Test databases (one per xdist worker) are clones of a migrated template."""
    connection.settings_dict["TEST"]["TEMPLATE"] = template_for(settings.BASE_DIR, connection.settings_dict)


@pytest.fixture(autouse=True)
def nobody_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the doors of one test turned away is not written by the next one."""
    monkeypatch.setattr(doors, "REFUSALS", Refusals())


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
