"""What is paused is not unknown, and every minute that did not count is listed with its reason."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.reports import document, figures, pauses
from apps.reports.figures import Narrowing
from apps.sla.models import Expectation, Pause
from tests.dashboard.network import DAY, HOUR, NOW, definitions, flow, partner, person, promise, rule

pytestmark = pytest.mark.django_db
MARCH = date(2026, 3, 1)
SPAN = figures.month(2026, 3)


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def stood(of: Expectation, kind: str, begin: datetime, until: datetime | None, reason: str) -> Pause:
    return Pause.objects.create(expectation=of, kind=kind, begin=begin, until=until, reason=reason)


@pytest.fixture
def march() -> None:
    """Acme: one on hold for 2 h so far and another 1 h; Oak: 90 min of maintenance, 30 of it to come; one unheard."""
    acme, oak = partner("Acme Metals"), partner("=Oak")
    lasting = promise(flow("SO-1", acme), "SUSPENDED", NOW + DAY, paused="On hold")
    stood(lasting, "on_hold", NOW - 2 * HOUR, None, "On hold")
    stood(lasting, "on_hold", NOW - 5 * HOUR, NOW - 4 * HOUR, "On hold")
    met = promise(flow("SO-2", acme), "MET", NOW - DAY, met_at=NOW - DAY)
    stood(met, "on_hold", NOW - 2 * DAY, NOW - 2 * DAY + HOUR, "On hold")
    planned = promise(flow("SO-3", oak), "PENDING", NOW + DAY)
    stood(planned, "maintenance", NOW - HOUR, NOW + HOUR / 2, "Maintenance: new dock")
    stood(planned, "maintenance", NOW + HOUR, NOW + 2 * HOUR, "Maintenance: later")
    stood(
        promise(flow("SO-6", oak), "PENDING", NOW + DAY),
        "maintenance",
        NOW + HOUR,
        NOW + 2 * HOUR,
        "Maintenance: later",
    )
    unheard = promise(flow("SO-4", None), "SUSPENDED", NOW - HOUR)
    stood(unheard, Pause.UNHEARD, NOW - HOUR / 2, None, "Nothing for 3 h")
    stood(promise(flow("SO-5", acme), "MET", NOW - 40 * DAY), "on_hold", NOW - 42 * DAY, NOW - 41 * DAY, "On hold")


def test_every_minute_has_its_line(march: None) -> None:
    found = pauses.uncounted(SPAN, Narrowing(), NOW)
    told = [(one.name, one.detail, one.partner_name, one.rule, one.promises, one.minutes, one.lasting) for one in found.lines]  # fmt: skip
    assert told == [
        ("On hold", "", "Acme Metals", "ship-in-time", 2, 240, 1),
        ("Maintenance", "new dock", "=Oak", "ship-in-time", 1, 60, 1),
        ("Source could not be heard", "Nothing for 3 h", "", "ship-in-time", 1, 30, 1),
    ]
    assert (found.promises, found.time) == (4, timedelta(minutes=330))
    acme = partner("Acme Metals").pk
    assert [one.kind for one in pauses.uncounted(SPAN, Narrowing(partner=acme), NOW).lines] == ["on_hold"]
    assert pauses.uncounted(SPAN, Narrowing(rule="other"), NOW) == pauses.Uncounted([], 0, timedelta(0))


def test_lines_lead_to_their_promises(march: None) -> None:
    rows = figures.behind(SPAN)
    for line in pauses.uncounted(SPAN, Narrowing(), NOW).lines:
        shown = pauses.having(rows, line.kind, NOW).filter(partner__slug=line.partner or None)
        assert shown.count() == line.promises
    behind = defaultdict(set)
    for outcome in ("paused", "unknown"):
        behind[outcome] = {one.flow.label for one in figures.behind(SPAN, outcome=outcome)}
    assert behind == {"paused": {"SO-1"}, "unknown": {"SO-4"}}


def test_the_document_tells_them_apart(march: None) -> None:
    told = document.month(MARCH, NOW)
    assert (told["figures"]["paused"], told["figures"]["unknown"]) == (1, 1)
    assert (told["figures"]["uncounted_minutes"], told["figures"]["uncounted_promises"]) == (330, 4)
    tables = {table["key"]: table for table in told["tables"]}
    assert [row[5] for row in tables["uncounted"]["rows"]] == [240, 60, 30]
    for key in ("partners", "rules", "days", "months"):
        place = [column["label"] for column in tables[key]["columns"]].index("Paused")
        assert sum(row[place] for row in tables[key]["rows"]) == 1, key
        assert all(len(row) == len(tables[key]["columns"]) for row in tables[key]["rows"])


def test_the_page_shows_both(client: Client, march: None) -> None:
    definitions()
    client.force_login(person("manager"))
    body = client.get("/report/").content.decode()
    assert "their clock stands still" in body
    fragment = client.get("/report/operations/")
    lines = fragment.context["uncounted_lines"]
    assert "Time that did not count" in fragment.content.decode()
    held = client.get("/report/promises/" + lines[0][1]).content.decode()
    assert [label in held for label in ("SO-1<", "SO-2<", "SO-3<", "SO-4<", "SO-5<")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert "Time that did not count: On hold" in held
    assert "SO-4<" in client.get("/report/promises/" + lines[2][1]).content.decode()
    sheet = b"".join(client.get("/report/csv/").streaming_content).decode()  # type: ignore[attr-defined]
    assert '"not counted"' in sheet or "not counted,On hold" in sheet
    assert ",2,240" in sheet


def test_the_number_of_statements_does_not_grow(march: None) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as seen:
            pauses.uncounted(SPAN, Narrowing(), NOW)
            pauses.paused(SPAN.begin, SPAN.end, SPAN.zone, Narrowing(), None)
        return len(seen)

    few = statements()
    for number in range(20):
        row = promise(
            flow(
                f"SO-more-{number}",
                partner(f"More {number}"),
            ),
            "MET",
            NOW,
            rule=rule(slug=f"r-{number}"),
        )
        stood(row, f"kind_{number}", NOW - DAY, NOW, "Held")
    assert statements() == few == 2
