"""The key of an event is made by hand where there is one for every event: it must stay the key it was."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from apps.flows.canonical import hash_of, source_key_of


@given(st.integers(min_value=1, max_value=2**63 - 1), st.text())
@example(1, "\ud800")
@example(12, "3")
def test_a_source_key_is_the_hash_of_both_its_parts(integration_id: int, identity: str) -> None:
    assert source_key_of(integration_id, identity) == hash_of(str(integration_id), identity)
