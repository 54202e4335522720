"""The month report: its sentence, its figures, the promises behind them, CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from statistics import median
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.core import wording
from apps.dashboard import report_work
from apps.flows.models import Flow, Milestone
from apps.incidents.models import Incident
from apps.integrations import changes
from apps.integrations.models import Integration
from apps.reports import penalties, rollups
from apps.reports.models import ContractTerm, Objective
from apps.reports.spreadsheet import cell
from apps.sla.models import HopNorm, Pause
from tests.dashboard.network import DAY, HOUR, NOW, definitions, fill, flow, integration, partner, person, promise, rule

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def manager(client: Client) -> None:
    definitions()
    client.force_login(person("manager"))


@pytest.fixture
def march() -> None:
    """Of Acme 1 kept and 2 missed in one order of 100 EUR and one of 250 EUR; of Oak 1 kept and 1 excluded."""
    acme, oak = partner("Acme Metals"), partner("Oak Works")
    promise(flow("SO-1", acme), "MET", NOW - 3 * DAY, met_at=NOW - 4 * DAY)
    promise(flow("SO-2", acme), "MET_LATE", NOW - 3 * DAY, met_at=NOW - 3 * DAY + 2 * HOUR)
    promise(flow("SO-3", acme, value=Decimal(250)), "BREACHED", NOW - HOUR)
    promise(flow("SO-4", oak), "MET", NOW - 2 * DAY, met_at=NOW - 3 * DAY)
    promise(flow("SO-5", oak), "WAIVED", NOW - 2 * DAY, waived_reason="Strike at the port")
    promise(flow("SO-6", oak), "SUSPENDED", NOW - 2 * DAY)
    promise(flow("SO-7", oak), "PENDING", NOW + DAY)
    promise(flow("SO-8", oak), "BREACHED", NOW - 40 * DAY)


def html(client: Client, path: str = "/report/") -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_one_sentence_on_top(client: Client, march: None) -> None:
    said = "50.0 % of 4 promises kept (target 98.0), 2 missed, 1 excluded, 350 EUR late, so far."
    assert said in html(client)


def test_unknown_and_open_are_never_counted_as_kept(client: Client, march: None) -> None:
    page = client.get("/report/").context["page"]
    total = page.report.total
    assert (total.kept, total.missed, total.excluded, total.open, total.unknown) == (2, 2, 1, 1, 1)
    assert total.share == 0.5


def test_every_reader_sees_the_same_month(client: Client) -> None:
    """1 March 00:30 in Berlin is still February where reports are counted, whoever reads."""
    promise(flow("SO-1"), "BREACHED", NOW.replace(month=2, day=28, hour=23, minute=30))
    boss = person("admin")
    boss.time_zone = "Europe/Berlin"
    boss.save()
    client.force_login(boss)
    assert "Nothing was promised for March" in html(client)
    rollups.rebuild("Europe/Berlin")
    client.force_login(person("manager"))
    assert "0.0 % of 1 promises kept" in html(client)


def test_partner_and_month_narrow(client: Client, march: None) -> None:
    assert "33.3 % of 3 promises kept" in html(client, "/report/?partner=acme-metals")
    assert "0.0 % of 1 promises kept (target 98.0), 1 missed, 0 excluded, 100 EUR late." in html(
        client, "/report/?month=2026-02"
    )
    assert "Nothing was promised" in html(client, "/report/?partner=nobody-of-ours")
    assert "Nothing was promised" in html(client, "/report/?flow=returns")


def test_figures_lead_to_the_promises_behind(client: Client, march: None) -> None:
    page = client.get("/report/").context["page"]
    acme = next(line for line in page.partners if line.name == "Acme Metals")
    behind = html(client, "/report/promises/" + acme.links["missed"])
    assert "SO-2" in behind
    assert "SO-3" in behind
    assert "SO-1<" not in behind
    assert "SO-8" not in behind
    day = next(line for line in page.days if line.counts.excluded)
    assert "Waived: Strike at the port" in html(client, "/report/promises/" + day.links["excluded"])


def test_money_counts_a_flow_once(client: Client, march: None) -> None:
    """An order that missed two promises is as much money as one that missed one."""
    order = flow("SO-9", partner("Acme Metals"), value=Decimal(1000))
    promise(order, "BREACHED", NOW - HOUR)
    promise(order, "BREACHED", NOW - HOUR, milestone="delivered", rule=rule(slug="delivered", milestone="delivered"))
    assert "1,350 EUR late" in html(client)


@pytest.mark.parametrize("query", ["month=2026-13", "month=0001-01", "month=9999-12", "month=x", "day=2026-02-31", "after=x_y", "outcome=%00", "partner=%00", "after=2026-03-01T00:00:00_99999999999999999999"])  # fmt: skip
def test_strange_questions_are_answered(client: Client, march: None, query: str) -> None:
    html(client, f"/report/?{query}")
    html(client, f"/report/promises/?{query}")


def rows(client: Client, path: str) -> list[list[str]]:
    response = client.get(path)
    assert response["Content-Type"].startswith("text/csv")
    assert "attachment" in response["Content-Disposition"]
    text = b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    return list(csv.reader(StringIO(text)))


def test_figures_as_csv(client: Client, march: None) -> None:
    table = rows(client, "/report/csv/")
    assert len({len(row) for row in table}) == 1
    total = dict(zip(table[0], table[1], strict=True))
    assert (total["kept"], total["missed"], total["share_percent"], total["value_late"]) == (
        "2",
        "2",
        "50.0",
        "350 EUR",
    )
    assert ["exclusion", "Strike at the port"] in [row[:2] for row in table]


def test_csv_never_becomes_a_formula(client: Client) -> None:
    promise(
        flow("=HYPERLINK(1)", partner("@Evil", kind="carrier")),
        "WAIVED",
        NOW - DAY,
        waived_reason=" +cmd|' /C calc'!A0",
    )
    table = rows(client, "/report/promises/csv/")
    assert table[1][:2] == ["'=HYPERLINK(1)", "'@Evil"]
    assert all(not one.lstrip(" ").startswith(("=", "+", "-", "@", "\t")) for row in table for one in row)
    assert "' +cmd|' /C calc'!A0" in [row[1] for row in rows(client, "/report/csv/")]
    assert (cell(-3), cell("-3"), cell(None), cell("a-b")) == (-3, "'-3", "", "a-b")


def test_every_promise_as_csv(client: Client, march: None) -> None:
    table = rows(client, "/report/promises/csv/?outcome=missed")
    head = table[0]
    late = next(dict(zip(head, row, strict=True)) for row in table if row[0] == "SO-2")
    assert (late["outcome"], late["late_seconds"], late["rule"]) == ("missed", "7200", "Shipped in time")
    assert len(table) == 3


@pytest.fixture
def hops(march: None) -> None:
    """Of two late deliveries one order's message was on its way for a day; the other waited for its next step."""
    late, missing = Flow.objects.get(label="SO-2"), Flow.objects.get(label="SO-3")
    sent = NOW - 5 * DAY
    for one, received in ((late, sent + DAY), (missing, sent + timedelta(seconds=2))):
        Milestone.objects.filter(flow=one).delete()
        Milestone.objects.create(flow=one, name="placed", ordinal=0, actual_at=sent, sent_at=sent, received_at=received)
    for milestone, hop, usual in (("shipped", "process", 2 * 86_400), ("placed", "transport", 2)):
        HopNorm.objects.create(
            flow_slug="order-to-ship", milestone=milestone, hop=hop, count=90, usual=usual, learned_at=NOW
        )


def test_where_the_time_was_lost(client: Client, hops: None) -> None:
    lines = {line.name: line for line in client.get("/report/operations/").context["hops"].lines}
    assert {name: line.count for name, line in lines.items()} == {"Transport": 1, "The process": 1}
    assert lines["Transport"].over == "23 h 59 min"
    assert "Where the time was lost" in html(client, "/report/operations/")


CELL = re.compile(r'<a[^>]* href="(/[^"]+)"[^>]*><span[^>]* data-n>([\d,]+)</span></a>')
TILE = re.compile(r'<a href="(/[^"]+)" class="tile[^>]*>(?:(?!</a>).)*?<span data-n>([\d,]+)</span>', re.DOTALL)


def wide() -> None:
    """Beside `march`: every kind of reason, term, pause and lane, and flows of nobody."""
    acme, oak = partner("Acme Metals"), partner("Oak Works")
    promise(flow("SO-9", oak), "WAIVED", NOW - DAY, waived_reason="Strike at the port")
    by_hand = promise(flow("SO-10", oak), "WAIVED", NOW - DAY, waived_reason="Strike at the port")
    by_hand.waived_by = person("manager")
    by_hand.save()
    promise(flow("SO-11", oak), "WAIVED", NOW - DAY, waived_reason="")
    promise(flow("SO-12", None), "BREACHED", NOW - DAY)
    lane = {"attributes": {"lane": "DE>FR", "service": "express"}}
    promise(flow("SO-13", oak, currency="PLN", **lane), "BREACHED", NOW - 5 * DAY)
    promise(flow("SO-14", oak, value=None, **lane), "BREACHED", NOW - 6 * DAY)
    promise(flow("SO-19", oak), "BREACHED", NOW - DAY)
    other = rule(slug="deliver", name="Delivered", milestone="delivered", flow_slug="returns")
    promise(flow("SO-15", acme), "BREACHED", NOW - DAY, rule=other, milestone="delivered")
    promise(flow("SO-16", acme), "PENDING", NOW + HOUR, at_risk=True, rule=other, milestone="delivered")
    held = promise(flow("SO-17", acme), "SUSPENDED", NOW + DAY, paused="On hold")
    planned = promise(flow("SO-18", acme), "PENDING", NOW + DAY)
    for of, kind, begin in ((held, "hold", NOW - HOUR), (planned, "hold", NOW + HOUR)):
        Pause.objects.create(expectation=of, kind=kind, begin=begin, reason="On hold")
    ended = (NOW - 5 * DAY).date()
    for slug, values in {
        "each": {"basis": "per_event", "amount": 5},
        "oak": {"basis": "per_event", "amount": 7, "partner": oak, "valid_until": ended},
        "goodwill": {"basis": "share", "amount": 10, "payer": "us"},
    }.items():
        ContractTerm.objects.create(slug=slug, name=slug, currency="EUR", **values)
    penalties.refresh_lately(NOW)
    for number, (who, at, state) in enumerate(
        (
            (acme, NOW - DAY, "open"),
            (oak, NOW - DAY, "resolved"),
            (None, NOW - 30 * DAY, "open"),
            (None, NOW + 30 * DAY, "open"),
        )
    ):
        resolved = NOW if state == "resolved" else None
        Incident.objects.create(
            fingerprint=uuid.uuid4(), title=f"Late {number}", severity="high", kind="sla.breach", partner=who,
            state=state, opened_at=at, last_finding_at=at, resolved_at=resolved,
        )  # fmt: skip


def opened(client: Client, address: str) -> int:
    """How many the list behind an address has."""
    where, _, query = address.replace("&amp;", "&").partition("?")
    if where == "/incidents/":
        return int(client.get(f"{where}?{query}").context["inbox"].page.paginator.count)
    assert where == "/report/promises/", address
    return len(rows(client, f"/report/promises/csv/?{query}")) - 1


@pytest.mark.parametrize(
    "query", ["", "?partner=oak-works", "?flow=returns", "?rule=ship-in-time", "?lane=DE%3EFR", "?partner=none"]
)
def test_every_number_opens_just_what_it_counts(client: Client, hops: None, query: str) -> None:
    wide()
    found: dict[str, int] = {}
    for path in ("/report/", "/report/numbers/", "/report/operations/"):
        body = html(client, path + query)
        for address, number in (*CELL.findall(body), *TILE.findall(body)):
            assert found.setdefault(address, int(number.replace(",", ""))) == int(number.replace(",", "")), address
    assert {address: opened(client, address) for address in found} == found
    if not query:
        assert len(found) > 50
        for part in ("why=rule", "why=person", "hop=", "term=each", "term=oak", "term=goodwill", "pause=", "opened="):
            assert any(part in address for address in found), part


WORKED = re.compile(
    r'<a href="(/report/behind/[^"]+)" class="tile(?:(?!</a>).)*?<span data-n>([^<]+)</span>(?:(?!</a>).)*?tile-note">([^<]+)<',
    re.DOTALL,
)


def worked() -> None:
    """Incidents taken and ended after 1 to 4 hours, flows that went on and stood still, integrations old and new."""
    acme, oak = partner("Acme Metals"), partner("Oak Works")
    at = NOW - 2 * DAY
    for hours in (1, 2, 4):
        Incident.objects.create(
            fingerprint=uuid.uuid4(), title=f"Taken {hours}", severity="critical", kind="sla.breach", partner=acme,
            state="resolved", opened_at=at, last_finding_at=at, acknowledged_at=at + hours * HOUR, resolved_at=at + 3 * hours * HOUR,
        )  # fmt: skip
    Milestone.objects.create(flow=flow("SO-20", acme), name="shipped", ordinal=2, actual_at=at + 5 * HOUR)
    flow("SO-21", acme, opened_at=at - DAY)
    rule(slug="named", milestone="delivered", spec={"source": "named"})
    integration("Named", criticality="critical", lifecycle="live", partner=acme)
    integration("Blind", criticality="high", lifecycle="live", partner=oak)
    for name, days in (("New", 5), ("Newer", 2), ("Newest", 1)):
        made = Integration(slug=name.lower(), name=name, kind="webhook", lifecycle="onboarding", partner=acme)
        if name == "Newest":  # from before there was an audit record
            made.save()
        else:
            changes.save(made, None, NOW - days * DAY)
        before = changes.facts(made)
        made.lifecycle = "live"
        changes.save(made, None, NOW, before)


@pytest.mark.parametrize("query", ["", "?partner=oak-works", "?partner=acme-metals", "?month=2026-02"])
def test_figures_of_the_work_open_what_they_count(client: Client, march: None, query: str) -> None:
    wide()
    worked()
    found = WORKED.findall(html(client, "/report/operations/" + query))
    for address, shown, note in found:
        listed = client.get(address.replace("&amp;", "&")).context
        lines, numbers = listed["lines"], [int(one) for one in re.findall(r"\d+", note)]
        counted = [one for one in lines if one.counted]
        if listed["kind"] in ("critical", "continuity"):
            assert [len(counted), len(lines)] == numbers[:2], note
            assert shown == wording.share(len(counted) / len(lines), 0)
        elif listed["kind"] == "live":
            assert len(lines) == numbers[0], note
            assert shown == f"{median(one.days for one in counted):.1f}"
        else:
            assert len(lines) == numbers[0], note
            assert shown == wording.duration(median(one.took for one in lines))
        assert len({(one.kind, one.key, one.within) for one in lines}) == len(lines)
    wanted = {"": 5, "?partner=oak-works": 3, "?partner=acme-metals": 5, "?month=2026-02": 0}[query]
    assert len(found) >= wanted


def test_lists_of_the_work_have_pages_and_bounded_queries(
    client: Client, queries: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    worked()
    monkeypatch.setattr(report_work, "PAGE", 2)
    seen: list[str] = []
    page: str = "?show=resolved"
    while page:
        context = client.get(f"/report/behind/{page}").context
        seen += [one.name for one in context["lines"]]
        page = context["more"]
    assert seen == ["Taken 1", "Taken 2", "Taken 4"]
    went: list[tuple[bool, str, object]] = []
    page = "?show=continuity"
    while page:
        context = client.get(f"/report/behind/{page}").context
        assert len(context["lines"]) <= 2
        went += [(one.counted, one.key, one.within) for one in context["lines"]]
        page = context["more"]
    moved = [one[0] for one in went]
    assert set(moved) == {False, True}
    assert moved == sorted(moved), "those that stood still first"
    assert len(set(went)) == len(went)
    assert "Nothing in this month" in html(client, "/report/behind/?show=live&month=2026-01")
    html(client, "/report/behind/?show=%00&page=99999999999&month=x")
    for kind in report_work.SHOWN:
        assert queries(f"/report/behind/?show={kind}") <= 12


def test_partners_may_not_read_it(client: Client) -> None:
    client.force_login(person("partner"))
    for path in (
        "/report/",
        "/objectives/",
        "/objectives/x/",
        "/report/operations/",
        "/report/behind/",
        "/report/csv/",
        "/report/promises/",
        "/report/promises/csv/",
    ):
        assert client.get(path).status_code == 404


def test_bounded_queries(client: Client, queries: Callable[[str], int]) -> None:
    fill(1)
    paths = ("/report/", "/report/promises/", "/report/operations/")
    report, behind, work = (queries(path) for path in paths)
    fill(50)
    assert [queries(path) for path in paths] == [report, behind, work]
    assert report <= 22  # of them two for what is paused: in this month, and in those before
    assert behind <= 6


def test_money_by_contract_and_at_risk(client: Client, march: None) -> None:
    ContractTerm(slug="t", name="Acme", basis="per_event", amount=5, currency="EUR", partner=partner()).save()
    promise(flow("SO-R", partner(), value=Decimal(70)), "PENDING", NOW + HOUR, at_risk=True)
    penalties.refresh_lately(NOW)
    page = client.get("/report/").context["page"]
    assert (page.owed, page.owing, page.risk) == ("10.00 EUR", "", "up to 70.00 EUR")
    said = html(client)
    assert "partners owe us 10.00 EUR" in said
    assert "SO-R" in html(client, "/report/promises/" + page.links["at_risk"])


def test_lanes_and_months(client: Client, march: None) -> None:
    promise(flow("SO-L", partner(), attributes={"lane": "DE>FR"}), "BREACHED", NOW - HOUR)
    promise(flow("SO-M", partner(), attributes={"lane": "DE>FR"}), "MET", NOW - 70 * DAY, met_at=NOW - 71 * DAY)
    page = client.get("/report/").context["page"]
    assert [line.name for line in page.lanes] == ["DE → FR"]
    behind = html(client, "/report/promises/" + page.lanes[0].links["missed"])
    assert "SO-L" in behind
    assert "SO-2" not in behind
    assert [(line.name, line.counts.judged) for line in page.trend] == [
        ("Jan 2026", 1),
        ("Feb 2026", 1),
        ("Mar 2026", 5),
    ]


def test_objectives(client: Client, march: None, queries: Callable[[str], int]) -> None:
    assert "No objective yet" in html(client, "/objectives/")
    Objective(slug="ship", name="Shipped in time", target=90, rule="ship-in-time").save()
    Objective(slug="none", name="Nothing", target=99, rule="nothing", partner=partner()).save()
    assert "1 of 2 below target" in html(client, "/objectives/")
    page = html(client, "/objectives/ship/")
    assert "the budget is used up" in page
    found = client.get("/objectives/ship/").context["shown"]
    behind = html(client, "/report/promises/" + found.links["missed"])
    assert "SO-3" in behind
    assert "SO-8" not in behind
    assert "Nothing was judged in this window yet" in html(client, "/objectives/none/")
    assert client.get("/objectives/nobody/").status_code == 404
    few = queries("/objectives/ship/")
    fill(20)
    assert queries("/objectives/ship/") == few
