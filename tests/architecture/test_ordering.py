"""Whatever the files, all tests run, each file's together and in its order; what waits does not come last."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from tests.ordering import LONG, WAITING, ordered


@dataclass(frozen=True)
class Named:
    nodeid: str


FILES = st.sampled_from([f"{folder}test_{name}.py" for folder in (*WAITING, *LONG, "tests/core/") for name in "abc"])


@given(st.dictionaries(FILES, st.integers(1, 5)))
def test_every_test_once_and_file_by_file(counts: dict[str, int]) -> None:
    tests = [Named(f"{name}::test_{number}") for name, count in counts.items() for number in range(count)]
    found = ordered(tests)
    assert sorted(found, key=str) == sorted(tests, key=str)
    files = [name for name, _ in groupby(test.nodeid.partition("::")[0] for test in found)]
    assert len(files) == len(counts)
    assert all(
        [t for t in found if t.nodeid.startswith(name)] == [Named(f"{name}::test_{n}") for n in range(c)]
        for name, c in counts.items()
    )
    plain = [name.startswith("tests/core/") for name in files]
    assert plain == sorted(plain)
