"""Silent sources: unknown is neither green nor late, and catching up tells nobody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from apps.incidents.models import Finding, Incident
from apps.integrations.models import Integration, SourceState
from apps.sla import sweep
from apps.sla.expectations import refresh
from apps.sla.models import Expectation
from tests.sla.builders import HOUR, T0, World, reached

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
DUE = T0 + 4 * HOUR


def world_with(stale_after: timedelta | None) -> World:
    world = World(stale_after=stale_after, criticality="critical")
    world.rule()
    return world


def states() -> dict[str, str]:
    return dict(Expectation.objects.values_list("flow__label", "state"))


def open_findings() -> list[str]:
    return sorted(Finding.objects.filter(cleared_at=None).values_list("kind", flat=True))


def test_a_source_silent_for_too_long_suspends_its_clocks_with_one_finding() -> None:
    world = world_with(2 * HOUR)
    world.heard(T0)
    refresh([world.flow(f"PO-{n}", reached("sent", T0)) for n in range(3)], T0)
    assert sweep.run(T0 + 2 * HOUR).fell_silent == ()
    summary = sweep.run(T0 + 2 * HOUR + MINUTE)
    assert (summary.fell_silent, summary.suspended) == (("acme-asn",), 3)
    assert set(states().values()) == {"SUSPENDED"}
    finding = Finding.objects.get()
    assert (finding.kind, finding.severity, finding.integration) == ("source.stale", "critical", world.feed)
    assert "was last heard Mon 2 Mar 09:00 UTC" in finding.sentence
    assert Incident.objects.get().title == "Nothing heard from Acme ASN feed"
    assert SourceState.objects.get().stale_since == T0
    later = sweep.run(DUE + HOUR)
    assert (later.breached, later.suspended, later.fell_silent) == (0, 0, ())
    assert open_findings() == ["source.stale"]


def test_heard_again_it_catches_up_before_anything_is_late() -> None:
    world = world_with(2 * HOUR)
    world.heard(T0)
    came, missing, ahead = (
        world.flow(label, reached("sent", at))
        for label, at in (("came", T0), ("missing", T0), ("ahead", T0 + 9 * HOUR))
    )
    refresh([came, missing, ahead], T0)
    sweep.run(T0 + 3 * HOUR)
    back = T0 + 6 * HOUR
    world.heard(back)
    summary = sweep.run(back)
    assert summary.spoke_again == ("acme-asn",)
    assert states() == {"came": "SUSPENDED", "missing": "SUSPENDED", "ahead": "PENDING"}
    assert open_findings() == []
    # what comes is judged by when it happened, and tells nobody
    refresh([world.flow("came", reached("sent", T0), reached("asn", DUE + MINUTE, received_at=back))], back + MINUTE)
    assert sweep.run(back + 2 * MINUTE).findings == 0
    assert states() == {"came": "MET_LATE", "missing": "SUSPENDED", "ahead": "PENDING"}
    # after the catch-up (a quarter of six hours) what is still missing is late
    end = back + 90 * MINUTE
    world.heard(end - MINUTE)
    assert sweep.run(end - MINUTE).findings == 0
    world.heard(end)
    assert sweep.run(end).findings == 1
    assert states()["missing"] == "BREACHED"


def test_the_outage_drill() -> None:
    """Six hours without the feed, then everything at once: never a false green, never a false breach, no pages."""
    world = world_with(30 * MINUTE)
    due = [T0 + timedelta(minutes=7 * n) for n in range(100)]  # 09:00 to 20:33, outage 11:00 to 17:00
    flows = {f"PO-{n}": at - 4 * HOUR for n, at in enumerate(due)}
    refresh([world.flow(label, reached("sent", at)) for label, at in flows.items()], T0 - 9 * HOUR)
    out, back = T0 + 2 * HOUR, T0 + 8 * HOUR
    now, stale_seen = T0 - HOUR, None
    delivered: set[str] = set()
    while now < T0 + 14 * HOUR:
        up = not out <= now < back
        if up:
            world.heard(now)
            ready = [n for n, at in enumerate(due) if at - 2 * MINUTE <= now and f"PO-{n}" not in delivered]
            batch = ready[:4] if now >= back else ready  # the backlog comes in small portions
            refresh(
                [
                    world.flow(
                        f"PO-{n}",
                        reached("sent", flows[f"PO-{n}"]),
                        reached("asn", due[n] - 2 * MINUTE, received_at=now),
                    )
                    for n in batch
                ],
                now,
            )
            delivered |= {f"PO-{n}" for n in batch}
        sweep.run(now)
        overdue = {f"PO-{n}" for n, at in enumerate(due) if at < now} - delivered
        told = states()
        assert {told[label] for label in overdue} <= {"SUSPENDED"}, now  # never green, never late
        assert "BREACHED" not in told.values()
        assert set(open_findings()) <= {"source.stale"}
        if stale_seen is None and SourceState.objects.filter(stale_since__isnull=False).exists():
            stale_seen = now
        now += 5 * MINUTE
    assert stale_seen is not None
    assert stale_seen <= out + 60 * MINUTE  # within two intervals of silence
    assert set(states().values()) == {"MET"}
    assert Finding.objects.filter(kind="sla.breach").count() == 0
    assert Finding.objects.filter(kind="source.stale").count() == 1


def test_a_breach_judged_while_nobody_had_noticed_the_silence_is_taken_back() -> None:
    world = world_with(6 * HOUR)  # too slow a source to be asked first
    world.heard(DUE - HOUR)
    refresh([world.flow("before", reached("sent", T0 - 4 * HOUR)), world.flow("after", reached("sent", T0))], T0)
    sweep.run(DUE + HOUR)
    assert states() == {"before": "BREACHED", "after": "BREACHED"}
    summary = sweep.run(DUE + 6 * HOUR)
    assert summary.taken_back == 1
    assert states() == {"before": "BREACHED", "after": "SUSPENDED"}
    assert open_findings() == ["sla.breach", "source.stale"]
    world.heard(DUE + 7 * HOUR)
    sweep.run(DUE + 7 * HOUR)
    world.heard(DUE + 10 * HOUR)
    assert sweep.run(DUE + 10 * HOUR).findings == 1
    assert states()["after"] == "BREACHED"


def test_a_talkative_source_is_asked_first() -> None:
    world = world_with(20 * MINUTE)
    world.heard(DUE - MINUTE)
    refresh([world.flow("PO-1", reached("sent", T0))], T0)
    assert sweep.run(DUE + MINUTE).unknown == 1
    assert states() == {"PO-1": "SUSPENDED"}
    world.heard(DUE)  # the very second of the deadline: the event may have come after this word
    sweep.run(DUE + 2 * MINUTE)
    assert states() == {"PO-1": "SUSPENDED"}
    world.heard(DUE + MINUTE)
    assert sweep.run(DUE + 3 * MINUTE).findings == 1
    assert states() == {"PO-1": "BREACHED"}


def test_one_message_missing_in_a_feed_that_speaks_is_late_at_once() -> None:
    world = world_with(20 * MINUTE)
    refresh([world.flow("PO-1", reached("sent", T0))], T0)
    world.heard(DUE + timedelta(seconds=5))
    assert sweep.run(DUE + timedelta(seconds=10)).findings == 1


@pytest.mark.parametrize(("age", "state"), [(20, "PENDING"), (600, "SUSPENDED")])
def test_what_we_have_not_read_yet_is_not_missing(age: int, state: str) -> None:
    world = world_with(None)
    refresh([world.flow("PO-1", reached("sent", T0))], T0)
    now = DUE + timedelta(seconds=age)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO collectors_receiptstate (receipt_id, received_at, integration_id, status, backfill, attempts, "
            "next_at, events, duplicates, conflicts, issues, losses) "
            "VALUES (1, %s, %s, 'waiting', false, 0, %s, 0, 0, 0, 0, 0)",
            [DUE, world.feed.pk, DUE],
        )
    sweep.run(now)
    assert states() == {"PO-1": state}
    with connection.cursor() as cursor:
        cursor.execute("UPDATE collectors_receiptstate SET status = 'done'")
    assert sweep.run(now).findings == 1


def test_never_heard_is_not_silent_and_switched_off_is() -> None:
    world = world_with(HOUR)
    refresh([world.flow("PO-1", reached("sent", T0))], T0)
    assert sweep.run(T0 + 2 * HOUR).fell_silent == ()
    world.feed.enabled = False
    world.feed.save()
    sweep.run(T0 + 3 * HOUR)
    assert states() == {"PO-1": "SUSPENDED"}
    assert open_findings() == []  # somebody did that; nobody needs to be told
    assert sweep.run(DUE + HOUR).findings == 0
    world.feed.enabled = True
    world.feed.save()
    assert sweep.run(DUE + HOUR).spoke_again == ()  # switched on, but nothing heard yet
    world.heard(DUE + 2 * HOUR)
    assert sweep.run(DUE + 2 * HOUR).spoke_again == ("acme-asn",)


def test_a_retired_source_holds_nothing_up() -> None:
    world = world_with(HOUR)
    world.heard(T0)
    refresh([world.flow("PO-1", reached("sent", T0))], T0)
    sweep.run(T0 + 2 * HOUR)
    assert states() == {"PO-1": "SUSPENDED"}
    Integration.objects.update(lifecycle="retired")
    assert sweep.run(DUE + HOUR).spoke_again == ("acme-asn",)
    sweep.run(DUE + 3 * HOUR)
    assert states() == {"PO-1": "BREACHED"}


def test_a_poll_that_succeeds_counts_as_heard() -> None:
    world = world_with(HOUR)
    world.heard(T0)
    SourceState.objects.update(last_success_at=T0 + 3 * HOUR)
    assert sweep.run(T0 + 3 * HOUR + MINUTE).fell_silent == ()


def test_a_clock_set_back_makes_nobody_silent(settings: Any) -> None:
    world = world_with(HOUR)
    world.heard(T0 + 5 * HOUR)
    assert sweep.run(T0).fell_silent == ()
    assert sweep.run(T0 - timedelta(days=365)).fell_silent == ()


def test_another_source_is_not_touched() -> None:
    world = world_with(2 * HOUR)
    world.heard(T0)
    world.rule({"due": {"after": {"milestone": "sent", "duration": "PT4H"}}}, slug="receive", milestone="received")
    refresh([world.flow("PO-1", reached("sent", T0))], T0)
    sweep.run(DUE + HOUR)
    assert dict(Expectation.objects.values_list("milestone", "state")) == {"asn": "SUSPENDED", "received": "BREACHED"}


def test_silence_found_by_a_detector_ends_with_the_next_word() -> None:
    """A source without an agreed interval: whoever set stale_since had reasons; the next message ends it."""
    world = world_with(None)
    world.heard(T0 + HOUR)
    refresh([world.flow("PO-1", reached("sent", T0))], T0)
    SourceState.objects.update(stale_since=T0 + 2 * HOUR, stale_reason="Far fewer than usual")
    assert sweep.run(DUE + HOUR).spoke_again == ()
    assert states() == {"PO-1": "SUSPENDED"}
    world.heard(DUE + 2 * HOUR)
    assert sweep.run(DUE + 2 * HOUR).spoke_again == ("acme-asn",)
