"""The order of files when several workers share the tests: what waits for others first, beside what computes.

The workers take file after file (`--dist loadfile`). By itself that order is by number of tests, so the few tests that
start whole towers, kill servers or drive a browser would come last, one after another, each waiting while processors idle.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Protocol, TypeVar

WAITING = ("tests/e2e/", "tests/faults/")
LONG = ("tests/browser/", "tests/architecture/", "tests/simulator/")
LONG_BESIDE_ONE_WAITING = 3


class Test(Protocol):
    @property
    def nodeid(self) -> str: ...


T = TypeVar("T", bound=Test)


def ordered(tests: list[T]) -> list[T]:
    """The same tests, file by file: waiting files among long ones, then the rest, most tests first."""
    files: dict[str, list[T]] = {}
    for test in tests:
        files.setdefault(test.nodeid.partition("::")[0], []).append(test)
    by_size = sorted(files, key=lambda name: (-len(files[name]), name))
    waiting = [name for name in by_size if name.startswith(WAITING)]
    long = [name for name in by_size if name.startswith(LONG)]
    beside = [long[at : at + LONG_BESIDE_ONE_WAITING] for at in range(0, len(long), LONG_BESIDE_ONE_WAITING)]
    names = [
        name
        for one, several in zip_longest(waiting, beside, fillvalue=None)
        for name in [one, *(several or [])]
        if name
    ]
    names += [name for name in by_size if not name.startswith((*WAITING, *LONG))]
    return [test for name in names for test in files[name]]
