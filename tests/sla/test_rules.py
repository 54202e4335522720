"""Which rule speaks: order, conditions, versions, and what a bad rule costs (nothing but itself)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest
import yaml
from django.conf import settings as project
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.flows.states import FlowState
from apps.sla.deadlines import RuleError
from apps.sla.rules import Book, CalendarRow, PartnerRow, compile_rule
from apps.sla.schema import RULE_SCHEMA
from tests.sla.builders import FRANCE, LONG_AGO, T0, book, flow_state, reached, rule_row

#: made once: to make one reads the whole schema against its own
VALID = jsonschema.Draft202012Validator(RULE_SCHEMA)
DUE = {"due": {"after": {"milestone": "sent", "duration": "PT4H"}}}

SEASON = {
    **FRANCE,
    "periods": [
        {"kind": "peak", "from": "2026-11-20", "until": "2026-12-23", "weekly": {"sun": [["08:00", "12:00"]]}},
        {"kind": "freeze", "from": "2026-12-15", "until": "2027-01-02", "name": "Christmas"},
    ],
}


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
        ({"lane": ["FR>*"]}, {"attributes": {"lane": "FR>ES"}}, True),
        ({"lane": ["*>DE"]}, {"attributes": {"lane_from": "FR", "lane_to": "ES"}}, False),
        ({"lane": ["*>*", "FR>*"]}, {}, False),
        ({"service": ["express"]}, {"attributes": {"service": "express"}}, True),
        ({"service": ["express"]}, {"attributes": {"service": "economy"}}, False),
        ({"integration": ["acme-asn"]}, {"milestones": {"sent": reached("sent", T0, integration_id=70)}}, True),
        ({"integration": ["acme-asn"]}, {"milestones": {"sent": reached("sent", T0, integration_id=71)}}, False),
        ({"integration": ["nowhere"]}, {"milestones": {"sent": reached("sent", T0)}}, False),
        ({"season": ["peak"]}, {"opened_at": datetime(2026, 11, 24, tzinfo=UTC)}, True),
        ({"season": ["freeze", "usual"]}, {"opened_at": datetime(2026, 11, 24, tzinfo=UTC)}, False),
        ({"season": ["freeze"]}, {"opened_at": datetime(2026, 12, 20, tzinfo=UTC)}, True),
        ({"season": ["usual"]}, {}, True),
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
    spec = {**DUE, "when": when, "calendar": "season"}
    VALID.validate(spec)
    shelf = book(rule_row(spec, slug="it"), calendars=[CalendarRow("season", 1, "Season", SEASON, LONG_AGO)])
    assert (chosen(shelf, flow_state(**state)) == "it") is matches


@pytest.mark.parametrize(
    ("valid", "opened_at", "matches"),
    [
        ({"from": "2026-03-02"}, T0, True),
        ({"from": "2026-03-03"}, T0, False),
        # 23:30 UTC on Monday is Tuesday in Paris
        ({"from": "2026-03-03"}, datetime(2026, 3, 2, 23, 30, tzinfo=UTC), True),
        ({"until": "2026-03-02"}, T0, True),
        ({"until": "2026-03-01"}, T0, False),
        ({"from": "2026-03-02", "until": "2026-03-02"}, T0, True),
    ],
)
def test_a_rule_counts_for_flows_opened_within_its_days(
    valid: dict[str, str], opened_at: datetime, matches: bool
) -> None:
    VALID.validate({**DUE, "valid": valid})
    shelf = book(rule_row({**DUE, "valid": valid}, slug="it", position=1), rule_row(DUE, slug="else", position=2))
    assert (chosen(shelf, flow_state(opened_at=opened_at)) == "it") is matches


def test_the_lane_brings_its_own_calendar() -> None:
    spec = {
        "due": {"after": {"milestone": "sent", "duration": "P1D", "kind": "working_days", "time": "closing"}},
        "calendar": "lane",
    }
    VALID.validate(spec)
    late = {**FRANCE, "weekly": {"wed": [["10:00", "22:00"]]}, "country": ""}
    shelf = book(
        rule_row(spec, slug="it"),
        calendars=[
            CalendarRow("france", 1, "France", FRANCE, LONG_AGO),
            CalendarRow("exports", 1, "Exports", {**late, "lanes": ["FR>*"]}, LONG_AGO),
            CalendarRow(
                "alps", 1, "Alps", {**late, "lanes": ["FR>CH"], "weekly": {"fri": [["10:00", "12:00"]]}}, LONG_AGO
            ),
        ],
    )
    for lane, name in (("FR>DE", "Exports"), ("FR>CH", "Alps"), ("IT>DE", "France"), ("", "France")):
        stop = shelf.stop(1, "acme", "asn")
        assert stop is not None
        rule = stop.rule_for(flow_state(attributes={"lane": lane} if lane else {}))
        assert rule is not None
        assert rule.setting.calendar_name == rule.told["calendar"] == name


def test_ours_is_the_house_calendar() -> None:
    spec = {**DUE, "calendar": "ours"}
    shelf = book(rule_row(spec), calendars=[CalendarRow("default", 1, "House", FRANCE, LONG_AGO)])
    assert shelf.lane(1, "acme")[0].rules[0].setting.calendar_name == "House"
    assert not book(rule_row(spec)).problems


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.sampled_from(["acme", "other", ""]), st.sampled_from(["active", "draft", "shadow"])
        ),
        min_size=1,
        max_size=8,
    ),
    st.randoms(),
)
def test_the_first_by_position_and_slug_speaks_however_they_are_given(
    rules: list[tuple[int, str, str]], shuffled: Random
) -> None:
    rows = [
        rule_row({**DUE, **({"when": {"partner": [who]}} if who else {})}, slug=f"r{n}", position=at, lifecycle=state)
        for n, (at, who, state) in enumerate(rules)
    ]
    expected = [(at, f"r{n}") for n, (at, who, state) in enumerate(rules) if state == "active" and who in ("", "acme")]
    shuffled.shuffle(rows)
    shelf = book(*rows)
    assert chosen(shelf, flow_state()) == (min(expected)[1] if expected else None)
    # a shadow changes nothing about who speaks
    assert {stop.shadow for stop in shelf.layout(1, "acme").shadows} == {
        f"r{n}" for n, (_, who, state) in enumerate(rules) if state == "shadow" and who in ("", "acme")
    }


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
        ({**DUE, "valid": {"from": "2026-02-30"}}, "valid.from"),
        ({**DUE, "valid": {"from": "2026-03-02", "until": "2026-03-01"}}, "valid"),
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
        VALID.validate(spec)


def test_every_rule_of_the_catalogue_can_be_read() -> None:
    files = sorted((Path(project.BASE_DIR) / "apps/flows/definition_files").glob("*.yaml"))
    specs = [rule["spec"] for file in files for rule in yaml.safe_load(file.read_text()).get("rules", [])]
    assert specs
    for spec in specs:
        VALID.validate(spec)
        compile_rule(spec)
