"""The world of the API's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.test import Client

from tests.api.world import World, build, machine


@pytest.fixture
def world(db: None) -> World:
    return build()


@pytest.fixture
def ours(world: World) -> Client:
    """A machine of our own with every scope."""
    return machine()


@pytest.fixture(autouse=True)
def fresh_rates() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()
