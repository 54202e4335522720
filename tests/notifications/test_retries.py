"""When a failed message is tried again."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from apps.notifications.retries import JITTER, PAUSES, pause


def test_seventy_five_hours_in_all() -> None:
    assert timedelta(hours=75) <= sum(PAUSES, timedelta()) < timedelta(hours=76)
    assert PAUSES[:5] == [timedelta(seconds=5), timedelta(seconds=30), *(timedelta(minutes=m) for m in (2, 10, 60))]
    assert max(PAUSES) == PAUSES[-1] == timedelta(hours=24)
    assert sorted(PAUSES) == PAUSES


@given(failures=st.integers(1, 40), message_id=st.text())
def test_the_pause_is_the_same_every_time_and_near_the_plan(failures: int, message_id: str) -> None:
    wait = pause(failures, message_id)
    assert wait == pause(failures, message_id)
    if failures > len(PAUSES):
        assert wait is None
    else:
        assert wait is not None
        assert abs(wait - PAUSES[failures - 1]) <= PAUSES[failures - 1] * JITTER


def test_messages_that_failed_together_do_not_come_back_together() -> None:
    waits = {pause(5, f"<{n}@tower.example>") for n in range(100)}
    assert len(waits) == 100
