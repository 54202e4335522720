"""manage.py import_log: history in parts, a replay whose past and future meet without a gap, and clear words."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors import importing
from apps.collectors.importing import Importer
from apps.collectors.kinds.eventlog import Part
from apps.collectors.models import DeadLetter, Receipt
from apps.collectors.spool import Later, Spool
from apps.collectors.times import Replay
from apps.core import clock
from apps.flows.models import Event
from apps.integrations.models import Integration, Mapping, Partner
from tests.flows.builders import load_definitions

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
SPEC: dict[str, Any] = {
    "defaults": {
        "happened_at": {"format": "%Y-%m-%d %H:%M"},
        "id": "order",
        "references": [{"kind": "sales_order", "path": "order", "required": True}],
    },
    "events": [
        {"columns": {"placed": "order.placed"}, "dates": {"promised_delivery": {"path": "due", "date_only": True}}},
        {"columns": {"released": "order.released", "delivered": "delivery.completed"}},
    ],
}
LOG = """order,placed,released,delivered,due
A,2018-01-10 08:00,2018-01-10 09:00,2018-01-14 10:00,2018-01-15
B,2018-01-14 20:00,2018-01-15 07:00,2018-01-20 10:00,2018-01-18
C,2018-01-15 11:00,2018-01-15 11:00,,2018-01-19
D,2018-01-15 09:31,2018-01-15 11:00,2018-01-16 11:00,2018-01-19
"""


@pytest.fixture
def feed(db: None) -> Integration:
    load_definitions()
    partner = Partner.objects.create(slug="acme", name="Acme", kind="3pl")
    mapping = Mapping.objects.create(slug="acme-orders", spec=SPEC)
    return Integration.objects.create(slug="acme-log", name="Acme", kind="eventlog", partner=partner, mapping=mapping)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv.gz"
    path.write_bytes(gzip.compress(LOG.encode()))
    return path


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def import_log(path: Path, exits: int = 0, **options: Any) -> str:
    out = StringIO()
    if exits:
        with pytest.raises(SystemExit) as ended:
            call_command("import_log", str(path), integration="acme-log", stdout=out, **options)
        assert ended.value.code == exits
    else:
        call_command("import_log", str(path), integration="acme-log", stdout=out, **options)
    return out.getvalue()


def told() -> set[tuple[str, str, str, bool]]:
    """Order, type, when, and whether as history."""
    return {
        (event.source_event_id.partition(":")[0], event.type, f"{event.happened_at:%m-%d %H:%M}", event.backfill)
        for event in Event.objects.all()
    }


def test_history_comes_in_parts_that_know_their_rows(
    feed: Integration, log: Path, monkeypatch: pytest.MonkeyPatch, frozen: None
) -> None:
    monkeypatch.setattr(importing, "ROWS", 3)
    assert "4 rows, 2 receipts, 11 events, 0 duplicates" in import_log(log)
    first, second = Receipt.objects.order_by("id")
    assert first.headers == {"file-name": "orders.csv.gz", "import-rows": "1-3", "import-backfill": "1"}
    assert (first.door, first.content_type) == ("import", "text/csv; charset=utf-8")
    lines = LOG.splitlines(keepends=True)
    assert bytes(first.body).decode() == "".join(lines[:4])
    assert bytes(second.body).decode() == lines[0] + lines[4]
    assert set(Event.objects.filter(receipt_id=second.pk).values_list("position", flat=True)) == {"row 4"}
    assert all(event.backfill and event.received_at == event.happened_at for event in Event.objects.all())
    assert "0 events, 11 duplicates" in import_log(log)


def test_bad_rows_are_dead_letters_with_their_row(feed: Integration, tmp_path: Path, frozen: None) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(LOG + ',2018-01-15 09:31,,,\nF,2018-01-15 09:31\n"G,soon,,,\n')
    assert "3 dead letters are listed" in import_log(path, exits=1)
    assert sorted(DeadLetter.objects.values_list("position", "code")) == [
        ("row 5, order", "mapping.missing"),
        ("row 6", "eventlog.row"),
        ("row 7", "eventlog.row"),
    ]
    assert Event.objects.count() == 11


def test_as_of_a_date_shifts_whole_days_and_keeps_the_future_back(feed: Integration, log: Path, frozen: None) -> None:
    text = import_log(log, as_of="2018-01-15")
    assert "4 rows, 1 receipts, 5 events" in text
    assert "6 events lie after 2018-01-15; they were kept back" in text
    assert told() == {
        ("A", "order.placed", "11-18 08:00", True),
        ("A", "order.released", "11-18 09:00", True),
        ("A", "delivery.completed", "11-22 10:00", True),
        ("B", "order.placed", "11-22 20:00", True),
        ("B", "order.released", "11-23 07:00", True),
    }
    placed = Event.objects.get(type="order.placed", happened_at=datetime(2026, 11, 22, 20, tzinfo=UTC))
    assert placed.dates == {"promised_delivery": "2026-11-26T00:00:00Z"}
    # rows that lie wholly in the future are not in the receipt of the past
    assert b"\nC," not in bytes(Receipt.objects.get().body)
    assert "0 events, 5 duplicates" in import_log(log, as_of="2018-01-15")


@pytest.mark.parametrize("as_of", ["2018-01-15T09:30", "2018-01-15T10:30:00+01:00"])
def test_as_of_a_moment(feed: Integration, log: Path, frozen: None, as_of: str) -> None:
    import_log(log, as_of=as_of)
    assert {event.happened_at for event in Event.objects.filter(type="order.released")} == {
        datetime(2026, 11, 18, 9, tzinfo=UTC),
        datetime(2026, 11, 23, 7, tzinfo=UTC),
    }


class Time:
    """A clock that only moves while somebody sleeps."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += timedelta(seconds=seconds)


@pytest.mark.parametrize("speed", [1.0, 3600.0])
def test_the_future_is_told_live_in_order_once(feed: Integration, log: Path, speed: float) -> None:
    moves = Time()
    replay = Replay(datetime(2018, 1, 15, 9, 30, tzinfo=UTC), NOW, speed)
    importer = Importer(feed, log, moves, replay, moves.sleep)
    assert importer.history().kept_back == 6
    seen: list[tuple[datetime, int]] = []
    for done in importer.future(replay):
        seen.append((moves.now, done.told))
    if speed == 1:
        assert [count for _, count in seen] == [1, 4, 5, 6]
    assert seen[-1][1] == 6
    live = Event.objects.filter(backfill=False).order_by("id")
    assert [event.type for event in live] == [
        "order.placed",
        "order.placed",
        "order.released",
        "order.released",
        "delivery.completed",
        "delivery.completed",
    ]
    for event in live:
        expected = timedelta(0) if speed == 1 else timedelta(seconds=2)
        assert timedelta(0) <= event.received_at - event.happened_at <= expected
        assert event.flags == 0
    assert Event.objects.count() == 11
    assert (importer.done.duplicates, importer.done.conflicts, importer.done.letters) == (0, 0, 0)
    last = live.last()
    assert last is not None
    after = datetime(2018, 1, 20, 10, tzinfo=UTC) - replay.as_of
    assert last.happened_at == NOW + after / speed
    assert not Receipt.objects.filter(headers__has_keys=["import-after", "import-backfill"]).exists()


def test_as_of_and_follow_through_the_command(feed: Integration, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moves = Time()
    monkeypatch.setattr(clock, "now", moves)
    monkeypatch.setattr("apps.collectors.management.commands.import_log.time.sleep", moves.sleep)
    text = import_log(log, as_of="2018-01-15", follow=True, speed=600)
    assert "telling them live, 600 times as fast" in text
    assert "6 of 6 told" in text
    assert Event.objects.count() == 11


def test_a_stop_says_what_was_not_told(feed: Integration, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setattr("apps.collectors.management.commands.import_log.time.sleep", stop)
    assert "Stopped; 6 events were not told." in import_log(log, as_of="2018-01-15", follow=True)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"integration": "nobody"}, "no integration 'nobody'"),
        ({"follow": True}, "needs --as-of"),
        ({"as_of": "yesterday"}, "is not a time"),
        ({"as_of": "2018-01-15", "speed": 2.0}, "needs --follow"),
    ],
)
def test_wrong_calls_are_told(feed: Integration, log: Path, change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint) as error:
        call_command("import_log", str(log), **{"integration": "acme-log", **change})
    assert error.value.returncode == 2


def test_an_integration_that_cannot_read_logs_is_told(feed: Integration, log: Path) -> None:
    def complaint() -> str:
        with pytest.raises(CommandError) as error:
            import_log(log)
        return str(error.value)

    Integration.objects.update(mapping=None)
    assert "has no mapping" in complaint()
    Integration.objects.update(kind="webhook")
    assert "not eventlog" in complaint()
    Integration.objects.update(kind="eventlog", mapping=Mapping.objects.create(slug="wrong", spec={"events": []}))
    assert "cannot be used" in complaint()


def test_progress_is_drawn_on_a_terminal_only(feed: Integration, log: Path, frozen: None) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    for stream, drawn in ((Terminal(), True), (StringIO(), False)):
        call_command("import_log", str(log), integration="acme-log", stdout=StringIO(), stderr=stream)
        assert ("100%" in stream.getvalue() and "4 rows" in stream.getvalue()) is drawn


MOMENTS = st.datetimes(datetime(2018, 1, 1), datetime(2018, 1, 3), timezones=st.just(UTC))


@given(st.lists(st.tuples(MOMENTS, st.integers(1, 50), st.text(max_size=5)), max_size=40), st.integers(1, 10))
@settings(deadline=None)
def test_the_spool_gives_everything_back_in_order(entries: list[tuple[datetime, int, str]], run: int) -> None:
    spool = Spool(run)
    later = [Later(moment, moment, number, text) for moment, number, text in entries]
    for entry in later:
        spool.add(entry)
    assert list(spool.in_order()) == sorted(later)
    assert len(spool) == len(later)
    spool.close()


@given(st.sets(st.integers(1, 60), min_size=1))
@settings(deadline=None)
def test_row_numbers_survive_their_spelling(numbers: set[int]) -> None:
    spelt = importing._spans(sorted(numbers))
    counted = Part(spelt).numbers()
    assert [next(counted) for _ in numbers] == sorted(numbers)
