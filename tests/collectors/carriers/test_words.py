"""The tables, the times and the settings of the carriers' kinds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.carriers import zones
from apps.collectors.carriers.collector import CarrierCollector
from apps.collectors.carriers.model import VOCABULARY, Place
from apps.collectors.carriers.moments import read_day, read_moment
from apps.collectors.carriers.settings import CarrierForm, Meant
from apps.collectors.carriers.tables import table
from apps.collectors.carriers.tables.through import passed_on
from apps.collectors.carriers.zones import zone_of_place
from apps.collectors.contract import COLLECTORS
from apps.collectors.times import TimeError
from apps.flows.catalogue import EVENT_TYPES, REFERENCE_KINDS

CARRIERS = {kind: one for kind, one in COLLECTORS.plugins.items() if isinstance(one, CarrierCollector)}


def test_all_ten_are_here() -> None:
    assert set(CARRIERS) == {
        "aftership",
        "dhl",
        "easypost",
        "fedex",
        "karrio",
        "sendcloud",
        "seventeentrack",
        "shipengine",
        "shippo",
        "ups",
    }


@pytest.mark.parametrize("kind", sorted(CARRIERS))
def test_every_code_means_something_of_the_one_vocabulary(kind: str) -> None:
    assert EVENT_TYPES.keys() >= VOCABULARY
    collector = CARRIERS[kind]
    assert all(code == code.lower() for code in collector.table), "looked up in lower case"
    assert {meaning.event for meaning in collector.table.values()} <= VOCABULARY | {""}
    assert {"delivery.completed", "transport.in_transit"} <= {one.event for one in collector.table.values()}
    assert set(collector.references.values()) <= REFERENCE_KINDS.keys()
    # a parcel on its way back is not one that goes on to its customer
    back = {one.event for one in collector.table.values() if one.returning}
    assert back <= {"transport.exception", "shipment.returned"}


def test_a_table_cannot_give_a_code_two_meanings() -> None:
    delivered = CARRIERS["fedex"].table["dl"]
    with pytest.raises(ValueError, match="stands twice"):
        table((delivered, "A B"), (delivered, "b"))


@pytest.mark.parametrize(
    ("kind", "code", "event"),
    [
        ("easypost", "in_transit/departed_facility", "transport.departed"),
        ("easypost", "return_to_sender/arrived_at_facility", "transport.exception"),
        ("easypost", "delivered/arrived_at_destination", "delivery.completed"),
        ("easypost", "failure/unknown", "transport.exception"),
        ("easypost", "pre_transit/label_created", "label.created"),
        ("aftership", "exception_011", "shipment.returned"),
        ("aftership", "availableforpickup_001", "transport.arrived"),
        ("seventeentrack", "deliveryfailure_nobody", "delivery.attempted"),
        ("sendcloud", "22", "transport.picked_up"),
        ("shippo", "transit/out_for_delivery", "transport.out_for_delivery"),
        ("shipengine", "sp", "transport.arrived"),
        ("fedex", "de", "delivery.attempted"),
        ("shipengine", "de", "delivery.completed"),
        ("shipengine", "fedex:de", "delivery.attempted"),
        ("ups", "mv", "label.voided"),
        ("dhl", "delivered/nh", "delivery.completed"),
        ("karrio", "dhl:wc", "transport.out_for_delivery"),
    ],
)
def test_codes_that_are_easily_mistaken(kind: str, code: str, event: str) -> None:
    assert CARRIERS[kind].table[code].event == event


def test_carriers_codes_are_known_through_platforms() -> None:
    assert passed_on("fedex_ground", "OD") == "fedex:OD"
    assert passed_on("DHL_universal", "transit") == "dhl:transit"
    assert passed_on("upstart", "OD") == "upstart:OD"
    assert passed_on("fedex", "") == ""


def test_places_tell_their_zone() -> None:
    for country, zone in zones._ZONES.items():
        assert ZoneInfo(zone), country
    assert zone_of_place(Place(country="us", state="CO")) == "America/Denver"
    assert zone_of_place(Place(country="USA", state="ny")) == "America/New_York"
    assert zone_of_place(Place(country="JPN")) == "Asia/Tokyo"
    assert zone_of_place(Place(country="US")) == ""
    assert zone_of_place(Place(country="RU")) == ""
    assert zone_of_place(Place()) == ""


def test_a_local_time_is_of_its_place_and_says_so() -> None:
    there = read_moment("2026-01-16T09:05:00", "Europe/Berlin", Place(country="JP"))
    assert (there.at, there.zone, there.assumed) == (datetime(2026, 1, 16, 0, 5, tzinfo=UTC), "Asia/Tokyo", True)
    here = read_moment("2026-01-16 09:05:00", "Europe/Berlin", Place(country="RU"))
    assert (here.at, here.zone, here.assumed) == (datetime(2026, 1, 16, 8, 5, tzinfo=UTC), "Europe/Berlin", True)
    exact = read_moment("2026-01-16T09:05:00+09:00", "Europe/Berlin", Place(country="DE"))
    assert (exact.at, exact.zone, exact.assumed) == (datetime(2026, 1, 16, 0, 5, tzinfo=UTC), "Etc/GMT-9", False)
    assert read_moment("2026-01-16T09:05:00+05:30", "UTC").zone == "UTC"
    day = read_moment("20260116", "Europe/Berlin")
    assert (day.at, day.day_only) == (datetime(2026, 1, 15, 23, tzinfo=UTC), True)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)), st.integers(-12 * 4, 14 * 4))
def test_an_offset_is_believed(local: datetime, quarters: int) -> None:
    sign, minutes = "-" if quarters < 0 else "+", abs(quarters) * 15
    moment = read_moment(f"{local.isoformat()}{sign}{minutes // 60:02d}:{minutes % 60:02d}", "Asia/Tokyo")
    assert moment.at == local.replace(tzinfo=UTC) - timedelta(minutes=15 * quarters)
    assert not moment.assumed
    ZoneInfo(moment.zone)


@pytest.mark.parametrize(
    "written", ["2026-01-17", "2026-01-17T00:00:00", "2026-01-17T00:00:00Z", "2026-01-17T00:00:00.000Z"]
)
def test_midnight_is_a_day(written: str) -> None:
    day = read_day(written, "Europe/Berlin", Place(country="US", state="CA"))
    assert (day.at, day.day_only) == (datetime(2026, 1, 17, 8, tzinfo=UTC), True)


@pytest.mark.parametrize(
    "written", ["2026-01-17T00:00:01Z", "2026-01-17T00:00:00.5Z", "2026-01-17T10:00:00", "2026-01-17T00:00:00+01:00"]
)
def test_other_times_are_none(written: str) -> None:
    assert not read_day(written, "Europe/Berlin").day_only


@pytest.mark.parametrize(
    "written", ["", "soon", None, True, 1.5, [], {}, "0001-01-01T00:00:00Z", "2026-02-30", "24:00"]
)
def test_what_is_no_time(written: object) -> None:
    with pytest.raises(TimeError):
        read_moment(written, "Europe/Berlin")


def test_settings_are_checked_when_they_are_given() -> None:
    assert CarrierForm({}).is_valid()
    good = CarrierForm(
        {
            "status_codes": "A7 = transport.exception\nB1 = ignore",
            "references": "ref1 = picking\nref2 = ignore",
            "carriers": "x = y",
        }
    )
    assert good.is_valid(), good.errors
    for field, text in [
        ("status_codes", "A7 = order.placed"),
        ("status_codes", "A7"),
        ("references", "ref = colour"),
        ("carriers", "= x"),
    ]:
        assert list(CarrierForm({field: text}).errors) == [field]


def test_settings_add_to_what_the_kind_knows() -> None:
    meant = Meant.of({"references": "order_number = ignore\nref = picking"}, {"order_number": "sales_order"})
    assert dict(meant.references) == {"ref": "picking"}
    assert dict(Meant.of({"status_codes": {"A7": "ignore"}}, {}).status_codes) == {"a7": ""}
    assert dict(Meant.of({"status_codes": 7, "references": None, "carriers": ["x"]}, {}).status_codes) == {}
