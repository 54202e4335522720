"""Which rule speaks: order, conditions, versions, and what a bad rule costs (nothing but itself)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from django.conf import settings

from apps.flows.states import FlowState
from apps.sla.deadlines import RuleError
from apps.sla.rules import Book, CalendarRow, PartnerRow, compile_rule
from apps.sla.schema import RULE_SCHEMA
from tests.sla.builders import FRANCE, LONG_AGO, T0, book, flow_state, rule_row

DUE = {"due": {"after": {"milestone": "sent", "duration": "PT4H"}}}


def chosen(shelf: Book, state: FlowState) -> str | None:
    stop = shelf.stop(1, state.partner, "asn")
    rule = stop.rule_for(state) if stop else None
    return rule.row.slug if rule else None


def test_first_match_wins_in_order_of_position() -> None:
    shelf = book(
        rule_row(DUE, slug="default", position=900),
        rule_row({**DUE, "when": {"partner": ["acme"], "attributes": {"service": ["express"]}}}, slug="a", position=10),
        rule_row({**DUE, "when": {"partner": ["acme"]}}, slug="b", position=20),
    )
    assert chosen(shelf, flow_state(attributes={"service": "express"})) == "a"
    assert chosen(shelf, flow_state(attributes={"service": "economy"})) == "b"
    assert chosen(shelf, flow_state(partner="other")) == "default"


@pytest.mark.parametrize(
    ("when", "state", "matches"),
    [
        ({"attributes": {"service": ["express", "next day"]}}, {"attributes": {"service": "next day"}}, True),
        ({"attributes": {"service": ["express"]}}, {}, False),
        ({"attributes": {"lines": [3]}}, {"attributes": {"lines": 3}}, True),
        ({"attributes": {"tags": ["cold"]}}, {"attributes": {"tags": ["heavy", "cold"]}}, True),
        ({"attributes": {"a": ["1"], "b": ["2"]}}, {"attributes": {"a": "1", "b": "3"}}, False),
        ({"weekday": ["mon"]}, {"opened_at": T0}, True),
        ({"weekday": ["tue"]}, {"opened_at": T0}, False),
        # 23:30 UTC on Monday is Tuesday in Paris
        ({"weekday": ["tue"]}, {"opened_at": datetime(2026, 3, 2, 23, 30, tzinfo=UTC)}, True),
        ({"lane": ["FR>DE"]}, {"attributes": {"lane_from": "FR", "lane_to": "DE"}}, True),
        ({"lane": ["FR>DE"]}, {"attributes": {"lane": "FR>ES"}}, False),
        (
            {"value": {"at_least": 100, "below": 200, "currency": "EUR"}},
            {"value": Decimal(100), "currency": "EUR"},
            True,
        ),
        (
            {"value": {"at_least": 100, "below": 200, "currency": "EUR"}},
            {"value": Decimal(200), "currency": "EUR"},
            False,
        ),
        ({"value": {"at_least": 100, "currency": "EUR"}}, {"value": Decimal(100), "currency": "USD"}, False),
        ({"value": {"at_least": 100, "currency": "EUR"}}, {}, False),
    ],
)
def test_conditions(when: dict[str, Any], state: dict[str, Any], matches: bool) -> None:
    jsonschema.validate({**DUE, "when": when}, RULE_SCHEMA)
    shelf = book(rule_row({**DUE, "when": when}, slug="it"))
    assert (chosen(shelf, flow_state(**state)) == "it") is matches


def test_a_rule_that_does_not_measure_stops_the_search_and_says_why() -> None:
    shelf = book(
        rule_row({"when": {"partner": ["acme"]}, "measure": False, "reason": "trial period"}, slug="trial", position=1),
        rule_row(DUE, slug="default", position=2),
    )
    state = flow_state()
    assert chosen(shelf, state) == "trial"
    assert shelf.why_not(state, "asn") == "Not measured: trial period"
    assert shelf.why_not(state, "received") == "No rule applies any more"


def test_of_versions_the_newest_active_one_is_in_force_unless_retired() -> None:
    def version(number: int, lifecycle: str) -> Any:
        return rule_row(DUE, slug="r", version=number, lifecycle=lifecycle)

    def in_force(*rows: Any) -> int | None:
        stop = book(*rows).stop(1, "acme", "asn")
        return stop.rules[0].row.version if stop else None

    assert in_force(version(1, "active"), version(2, "active")) == 2
    assert in_force(version(1, "active"), version(2, "draft"), version(3, "shadow")) == 1
    assert in_force(version(1, "active"), version(2, "retired")) is None
    assert in_force(version(1, "retired"), version(2, "active")) == 2
    assert in_force(version(1, "draft")) is None


def test_the_book_of_a_time_knows_the_rules_and_calendars_of_that_time() -> None:
    later = LONG_AGO + timedelta(days=400)
    spec = {"due": {"after": {"milestone": "sent", "duration": "PT8H", "kind": "working_hours"}}, "calendar": "france"}
    shelf = book(
        rule_row(DUE, slug="r", version=1),
        rule_row(spec, slug="r", version=2, created_at=later),
        calendars=[
            CalendarRow("france", 1, "France", FRANCE, LONG_AGO),
            CalendarRow("france", 2, "France, long days", {**FRANCE, "weekly": {}}, later + timedelta(days=1)),
        ],
    )
    assert shelf.stamp == later + timedelta(days=1)
    assert shelf.as_of(shelf.stamp) is shelf
    then = shelf.as_of(LONG_AGO)
    stop, now = then.stop(1, "acme", "asn"), shelf.stop(1, "acme", "asn")
    assert stop is not None
    assert now is not None
    assert stop.rules[0].row.version == 1
    assert now.rules[0].row.version == 2
    assert now.rules[0].setting.calendar_name == "France, long days"
    between = shelf.as_of(later).stop(1, "acme", "asn")
    assert between is not None
    assert between.rules[0].setting.calendar_name == "France"


def test_zone_calendar_and_source_are_found_through_partner_and_definition() -> None:
    spec = {**DUE, "zone": "partner", "calendar": "partner", "source": "other-feed"}
    shelf = book(
        rule_row(spec),
        rule_row({**DUE, "source": "other-feed"}, milestone="received"),
        integrations={"acme-asn": 70, "other-feed": 71},
    )
    asn, received = shelf.lane(1, "acme")
    assert asn.rules[0].setting.zone.key == "Europe/Paris"
    assert asn.rules[0].setting.calendar_name == "France"
    assert asn.rules[0].source_id == 70  # the definition's word comes first
    assert received.rules[0].source_id == 71
    stranger = shelf.lane(1, "nobody")[0].rules[0]
    assert stranger.setting.zone.key == "UTC"
    assert stranger.setting.calendar is None
    default = book(rule_row(spec), calendars=[CalendarRow("default", 1, "House", FRANCE, LONG_AGO)])
    assert default.lane(1, "nobody")[0].rules[0].setting.calendar_name == "House"


def test_a_rule_or_calendar_that_cannot_be_read_costs_only_itself() -> None:
    shelf = book(
        rule_row({"due": {"after": {"milestone": "sent", "duration": "P1M"}}}, slug="bad", position=1),
        rule_row(DUE, slug="good", position=2),
        rule_row({"due": {"date": "eta"}, "calendar": "nowhere"}, slug="lost", milestone="received"),
        calendars=[CalendarRow("broken", 1, "Broken", {"zone": "Mars"}, LONG_AGO)],
        partners=[PartnerRow(7, "acme", "Acme Metals", "Not/AZone", "broken")],
    )
    assert chosen(shelf, flow_state()) == "good"
    problems = " ".join(shelf.problems)
    assert "bad v1" in problems
    assert "broken v1" in problems
    assert "'nowhere'" in problems
    assert shelf.lane(1, "acme")[0].rules[0].setting.zone.key == "UTC"


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"when": {}}, "due"),
        ({**DUE, "grace": "soon"}, "grace"),
        ({**DUE, "warn": {"before": "P1M"}}, "warn.before"),
        ({**DUE, "zone": "Mars"}, "zone"),
    ],
)
def test_what_a_schema_cannot_see(spec: dict[str, Any], path: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile_rule(spec)
    assert caught.value.path == path


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"due": {}},
        {"due": {"date": "a", "after": {"milestone": "b", "duration": "PT1H"}}},
        {"due": {"after": {"milestone": "b", "duration": "P1M"}}},
        {"due": {"after": {"milestone": "b"}}},
        {"due": {"date": "a"}, "warn": {"before": "PT1H", "share": 0.5}},
        {"due": {"date": "a"}, "warn": {"share": 1.5}},
        {"due": {"date": "a"}, "unheard": "of"},
        {"measure": False},
        {"due": {"date": "a"}, "when": {"weekday": ["monday"]}},
        {"due": {"at": {"time": 1020, "day_of": {"opened": True}}}},
    ],
)
def test_the_schema_refuses(spec: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, RULE_SCHEMA)


def test_every_rule_of_the_catalogue_can_be_read() -> None:
    files = sorted((Path(settings.BASE_DIR) / "apps/flows/definition_files").glob("*.yaml"))
    specs = [rule["spec"] for file in files for rule in yaml.safe_load(file.read_text()).get("rules", [])]
    assert specs
    for spec in specs:
        jsonschema.validate(spec, RULE_SCHEMA)
        compile_rule(spec)
