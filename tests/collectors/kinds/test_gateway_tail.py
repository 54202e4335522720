"""A log file followed while it is written: each line once, over rotations and stops, and nothing kept but the calls."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from apps.collectors.contract import COLLECTORS, PollFailed, RawDelivery, SourceContext
from apps.collectors.gateway import tail
from apps.flows.canonical import CanonicalEvent, ParseIssue

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
COLLECTOR = COLLECTORS.get("gateway_tail")


class Follower:
    """What a poller does with a tail: takes batches, keeps the cursor of the last one."""

    def __init__(self, **settings: Any) -> None:
        self.source = SourceContext("gateway", "", "UTC", {"file": "gateway/access.log", **settings})
        self.cursor: dict[str, Any] = {}
        self.bodies: list[bytes] = []
        self.events: list[CanonicalEvent] = []
        self.issues: list[ParseIssue] = []

    def poll(self, most: int = 1_000) -> int:
        """Calls that came; stops after so many batches."""
        before = self.calls
        batches: Iterator[Any] = COLLECTOR.poll(self.source, [], self.cursor, NOW)
        for _, batch in zip(range(most), batches, strict=False):
            self.cursor = dict(batch.cursor)
            self.bodies.append(batch.body)
            delivery = RawDelivery(batch.body, batch.content_type, batch.headers, NOW)
            result = COLLECTOR.parse(delivery, self.source)
            self.events += result.events
            self.issues += result.issues
        return self.calls - before

    @property
    def calls(self) -> int:
        unique = {event.source_event_id: event.data["calls"] for event in self.events}
        return sum(unique.values())


@pytest.fixture
def log(tmp_path: Path, settings: Any) -> Path:
    settings.DROP_ROOT = tmp_path
    (tmp_path / "gateway").mkdir()
    path = tmp_path / "gateway" / "access.log"
    path.touch()
    return path


def line(number: int = 1) -> str:
    return (
        f'1.2.3.4 - wp [19/Jan/2026:14:04:05 +0000] "GET /orders/{number}?token=s3cr3t HTTP/1.1" 200 5 "-" "-" 0.010\n'
    )


def write(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_each_line_once_while_it_is_written(log: Path) -> None:
    follower = Follower()
    assert follower.poll() == 0
    write(log, line() * 3)
    assert follower.poll() == 3
    assert follower.poll() == 0
    write(log, line()[:40])
    assert follower.poll() == 0
    write(log, line()[40:])
    assert follower.poll() == 1
    assert follower.issues == []


def test_equal_lines_of_one_second_are_different_calls_and_what_is_read_again_is_not(log: Path) -> None:
    write(log, line() * 2)
    follower = Follower()
    assert follower.poll() == 2
    write(log, line() * 2)
    before = follower.cursor
    assert follower.poll() == 2
    follower.cursor = before  # as after a crash before the commit
    assert follower.poll() == 0
    assert [event.data["calls"] for event in follower.events] == [2, 2, 2]


def test_nothing_but_the_call_is_kept(log: Path) -> None:
    write(log, line(4711) + "GET /x?token=s3cr3t is no line\n")
    follower = Follower()
    assert follower.poll() == 1
    kept = b"".join(follower.bodies)
    for word in (b"s3cr3t", b"4711", b"1.2.3.4"):
        assert word not in kept
    assert [issue.code for issue in follower.issues] == ["gateway.unreadable"]


@pytest.mark.parametrize("way", ["renamed", "cut off"])
def test_rotations_lose_nothing(log: Path, way: str) -> None:
    follower = Follower()
    write(log, line() * 5)
    assert follower.poll() == 5
    if way == "renamed":
        write(log, line() * 2 + line()[:-1])
        log.rename(log.with_name("access.log.1"))
        write(log, line() * 4)
        assert follower.poll() == 7
    else:
        log.write_text("")
        os.truncate(log, 0)
        write(log, line() * 2)
        assert follower.poll() == 2
    write(log, line())
    assert follower.poll() == 1


def test_a_stop_between_two_batches_goes_on_between_them(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "CHUNK", 1_000)
    write(log, "".join(line(number) for number in range(100)))
    follower = Follower()
    first = follower.poll(most=2)
    assert 0 < first < 100
    assert first + follower.poll() == 100


def test_a_line_without_end_does_not_block(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "CHUNK", 1_000)
    write(log, "x" * 2_500 + "\n" + line())
    follower = Follower()
    assert follower.poll() == 1
    assert {issue.code for issue in follower.issues} == {"gateway.unreadable"}


def test_own_routes_and_places_hold_for_what_is_kept(log: Path) -> None:
    write(log, '{"when": "2026-01-19T14:04:05Z", "st": 200, "target": "/shops/nord/orders?x=1"}\n')
    places = {"time": "when", "status": "st", "path": "target"}
    follower = Follower(places=places, routes=["/shops/{shop}/orders"])
    assert follower.poll() == 1
    assert follower.events[0].data["route"] == "/shops/{shop}/orders"


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "", "gateway/no.log", "gateway", "gateway/link.log", "out/x.log"]
)
def test_only_files_below_the_root_are_read(log: Path, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x.log").write_text(line())
    (log.parent / "link.log").symlink_to(outside / "x.log")
    (log.parent.parent / "out").symlink_to(outside)
    with pytest.raises(PollFailed) as failure:
        Follower(file=name).poll()
    assert str(failure.value).endswith((".", "?"))
    form = COLLECTOR.ConfigForm({"file": name})
    assert form.is_valid() is (name not in ("/etc/passwd", "../x", ""))
