"""One plant for all fault tests of a process: a durable cluster takes seconds to make."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controltower.processes import leftovers
from tests.faults.plant import Plant, Tower


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    # as root the database's user must reach its folder, and pytest's own folders are closed
    base = Path("/var/tmp") if os.geteuid() == 0 else tmp_path_factory.mktemp("plant")
    made = Plant(base / f"controltower-faults-{os.getpid()}")
    yield made
    made.stop()


@pytest.fixture
def towers(plant: Plant) -> Iterator[Callable[..., Tower]]:
    """Makes towers; afterwards none of their processes runs, and the database is up again."""
    made: list[Tower] = []

    def make(name: str, **how: object) -> Tower:
        made.append(Tower(plant, name, **how))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for tower in made:
        tower.stop()
    plant.restart_database()
    left = [process.cmdline() for tower in made for process in leftovers(tower.folder)]
    assert not left, f"still running: {left}"
