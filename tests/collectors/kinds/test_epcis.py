"""EPCIS: GS1's own documents, meaning and identity of events."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.collectors.contract import COLLECTORS
from apps.flows.canonical import ParseFailure, ParseResult, Reference
from tests.collectors.gs1.test_documents import read
from tests.collectors.gs1.writing import as_json, as_xml, events
from tests.collectors.samples import samples_of
from tests.collectors.test_contract import mutilated, well_formed

EXAMPLES = settings.BASE_DIR.parent / "shared" / "data" / "epcis" / "gs1"
COLLECTOR = COLLECTORS.get("epcis")
SSCC, PLAIN = "urn:epc:id:sscc:0614141.1234567890", "106141412345678908"


def event(**fields: Any) -> dict[str, Any]:
    base = {
        "type": "ObjectEvent",
        "eventTime": "2026-01-19T10:00:00+01:00",
        "eventTimeZoneOffset": "+01:00",
        "action": "OBSERVE",
        "bizStep": "shipping",
        "epcList": [SSCC],
    }
    return {name: value for name, value in (base | fields).items() if value is not None}


def codes(result: ParseResult, severity: str = "error") -> list[str]:
    return [issue.code for issue in result.issues if issue.severity == severity]


# --- GS1's own documents


def examples() -> list[Any]:
    if not EXAMPLES.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="needs shared/data/epcis/gs1"))]
    paths = sorted(path for path in EXAMPLES.rglob("*") if path.suffix in (".xml", ".json", ".jsonld"))
    return [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in paths]


def events_in(body: str) -> int:
    """How many events a document holds, counted without our reader."""
    if body.lstrip("\ufeff \n\r\t")[:1] == "<":
        kinds = ("Object", "Aggregation", "Transaction", "Transformation", "Association")
        return sum(body.count(f"</{kind}Event>") for kind in kinds)
    document = json.loads(body)["epcisBody"]
    return len(
        document["queryResults"]["resultsBody"]["eventList"] if "queryResults" in document else document["eventList"]
    )


@pytest.mark.parametrize("path", examples())
def test_examples_of_gs1(path: Path) -> None:
    """Each event of each document, with a time, an identity and the keys it names; or a sentence why there is none."""
    body = path.read_bytes()
    if "CaptureJob" in path.parts:
        with pytest.raises(ParseFailure) as failure:
            read(body)
        assert failure.value.issue.code == "epcis.not_events"
        return
    result = read(body)
    assert codes(result) == []
    assert len(result.events) == events_in(body.decode())
    well_formed(result)
    for found in result.events:
        assert found.source_event_id
        assert 2000 < found.happened_at.year < 2030
    without_keys = codes(result, "warning").count("epcis.no_reference")
    assert sum(not found.references for found in result.events) == without_keys
    if not result.events:
        assert codes(result, "warning") == ["epcis.no_events"]


def test_events_gs1_calls_identical_are_one() -> None:
    """Seven spellings: other zone, other order, other prefixes, other syntax; GS1 says their hash is the same."""
    folder = EXAMPLES / "XML" / "WithEventHashID"
    if not folder.exists():
        pytest.skip("needs shared/data/epcis/gs1/XML/WithEventHashID")
    found = [read(path.read_bytes()).events for path in sorted(folder.iterdir())]
    assert [len(one) for one in found] == [1] * 7
    assert len({(one.source_event_id, one.content_key()) for [one] in found}) == 1


# --- meaning


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"bizStep": "shipping"}, "shipment.dispatched"),
        ({"bizStep": "receiving"}, "goods.received"),
        ({"bizStep": "receiving", "disposition": "returned"}, "return.received"),
        ({"bizStep": "urn:epcglobal:cbv:bizstep:storing"}, "goods.put_away"),
        ({"bizStep": "https://ref.gs1.org/cbv/BizStep-unloading"}, "goods.unloaded"),
        ({"bizStep": "transporting", "disposition": "stolen"}, "transport.exception"),
        ({"bizStep": None, "disposition": "in_transit"}, "transport.in_transit"),
        ({"bizStep": "inspecting"}, "goods.observed"),
        ({"bizStep": None}, "goods.observed"),
    ],
)
def test_step_and_disposition_say_what_happened(fields: dict[str, Any], kind: str) -> None:
    result = read(as_json(event(**fields)))
    assert [one.type for one in result.events] == [kind]
    assert result.issues == ()


def test_words_nobody_knows_are_named_and_never_guessed() -> None:
    own = "https://acme.example/step/receiving"
    [found], [issue] = (result := read(as_json(event(bizStep=own)))).events, result.issues
    assert (found.type, issue.code, issue.severity) == ("goods.observed", "epcis.unmapped", "warning")
    assert own in issue.sentence
    assert issue.position == "$.epcisBody.eventList[0].bizStep"
    # the step maps, so an odd disposition costs a remark only
    result = read(as_json(event(disposition="acme:lukewarm")))
    assert [one.type for one in result.events] == ["shipment.dispatched"]
    assert codes(result, "warning") == ["epcis.unmapped"]


def test_an_integration_may_say_what_its_words_mean() -> None:
    own = "https://acme.example/step?id=7"
    meanings = f"{own} = goods.put_away\nshipping damaged = transport.exception\nnone in_transit = transport.departed"
    for fields, kind in [
        ({"bizStep": own}, "goods.put_away"),
        ({"disposition": "damaged"}, "transport.exception"),
        ({"disposition": "active"}, "shipment.dispatched"),
        ({"bizStep": None, "disposition": "in_transit"}, "transport.departed"),
    ]:
        result = read(as_json(event(**fields)), meanings=meanings)
        assert ([one.type for one in result.events], result.issues) == ([kind], ())
    form = COLLECTOR.ConfigForm({"meanings": meanings, "transactions": "a=b = sales_order", "partners": "1 = x"})
    assert form.is_valid(), form.errors
    for field, text in [("meanings", "x = no.such"), ("transactions", "x = nothing"), ("partners", "x")]:
        assert field in COLLECTOR.ConfigForm({field: text}).errors


def test_transactions_become_keys_with_their_issuer() -> None:
    listed = [
        {"type": "po", "bizTransaction": "urn:epcglobal:cbv:bt:4012345000009:P%2F42"},
        {"type": "urn:epcglobal:cbv:btt:desadv", "bizTransaction": "urn:epcglobal:cbv:bt:0614141073467:1152"},
        {"type": "desadv", "bizTransaction": "https://acme.example/asn/1153/"},
        {"type": "https://ref.gs1.org/cbv/BTT-bol", "bizTransaction": "urn:epcglobal:cbv:bt:4012345000009:B1"},
        {"type": "inv", "bizTransaction": "urn:epc:id:gdti:0614141.00001.77"},
        {"type": "recadv", "bizTransaction": "R1"},
        {"type": "https://acme.example/so", "bizTransaction": "SO9"},
    ]
    given_settings = {"partners": "0614141073467 = hub", "own_glns": "4012345000009"}
    result = read(as_json(event(bizTransactionList=listed)), **given_settings)
    assert set(result.events[0].references) == {
        Reference("sscc", PLAIN),
        Reference("purchase_order", "P/42"),
        Reference("despatch_advice", "1152", "hub"),
        Reference("despatch_advice", "1153", "acme"),
        Reference("bill_of_lading", "B1"),
        Reference("invoice", "061414100001277"),
    }
    assert codes(result, "warning") == ["epcis.unmapped"]
    mapped = read(
        as_json(event(bizTransactionList=listed)),
        transactions="https://acme.example/so = sales_order",
        purchase_order_issuer="partner",
    )
    assert {Reference("sales_order", "SO9"), Reference("channel_order", "P/42", "acme")} <= set(
        mapped.events[0].references
    )
    assert mapped.issues == ()


def test_a_bad_key_costs_itself_and_an_event_of_bad_keys_alone_is_none() -> None:
    result = read(as_json(event(epcList=[SSCC, "https://id.gs1.org/00/106141412345678909"])))
    assert [one.references for one in result.events] == [(Reference("sscc", PLAIN),)]
    assert [(one.code, one.position) for one in result.issues] == [
        ("epcis.bad_key", "$.epcisBody.eventList[0].epcList[1]")
    ]
    assert codes(read(as_json(event(epcList=["urn:epc:id:sscc:1.2"])))) == ["epcis.no_key"]


def test_a_pallet_of_thousands_keeps_its_units_and_counts_the_rest() -> None:
    children = [f"urn:epc:id:sgtin:0614141.112345.{number}" for number in range(3_000)]
    units = [f"urn:epc:id:sscc:0614141.1{number:09}" for number in range(1_200)]
    result = read(
        as_json(event(type="AggregationEvent", action="ADD", parentID=SSCC, epcList=None, childEPCs=children + units))
    )
    [found] = result.events
    kinds = Counter(one.kind for one in found.references)
    assert kinds == {"sscc": 1_000, "item": 200}
    assert (found.data["items"], found.data["handling_units"]) == (3_000, 1_201)
    assert codes(result, "warning") == ["epcis.too_many"]


@pytest.mark.parametrize(
    ("fields", "code", "name"),
    [
        ({"eventTime": None}, "epcis.missing", "eventTime"),
        ({"eventTime": "2026-13-01T00:00:00Z"}, "epcis.bad_time", "eventTime"),
        ({"eventTime": 17}, "epcis.bad_time", "eventTime"),
        ({"eventTime": "0001-01-01T00:00:00Z"}, "epcis.bad_time", "eventTime"),
        ({"action": None}, "epcis.missing", "action"),
        ({"action": "add"}, "epcis.bad_action", "action"),
        ({"type": "NovelEvent"}, "epcis.unknown_type", "type"),
        ({"type": "TransactionEvent"}, "epcis.missing", "bizTransactionList"),
        ({"type": "AggregationEvent", "action": "ADD"}, "epcis.missing", "parentID"),
        ({"type": "AssociationEvent"}, "epcis.missing", "parentID"),
        ({"type": "TransformationEvent"}, "epcis.missing", "inputEPCList"),
        ({"errorDeclaration": "yes"}, "epcis.bad_error_declaration", "errorDeclaration"),
        ({"errorDeclaration": {"reason": "x"}}, "epcis.missing", "declarationTime"),
    ],
)
def test_what_an_event_cannot_do_without(fields: dict[str, Any], code: str, name: str) -> None:
    result = read(as_json(event(**fields)))
    assert result.events == ()
    assert [(one.code, one.position) for one in result.issues] == [(code, f"$.epcisBody.eventList[0].{name}")]


@pytest.mark.parametrize(
    ("written", "offset", "moment", "zone"),
    [
        ("2026-01-19T10:00:00+01:00", "+01:00", "2026-01-19T09:00:00", "Etc/GMT-1"),
        ("2026-01-19T10:00:00Z", "-06:00", "2026-01-19T10:00:00", "Etc/GMT+6"),
        ("2026-01-19T10:00:00", "-06:00", "2026-01-19T16:00:00", "Etc/GMT+6"),
        ("2026-01-19T10:00:00.123456789Z", "+05:30", "2026-01-19T10:00:00.123456", "UTC"),
        ("2026-01-19T10:00:00Z", "Z", "2026-01-19T10:00:00", "UTC"),
    ],
)
def test_times_and_zones(written: str, offset: str, moment: str, zone: str) -> None:
    [found] = read(as_json(event(eventTime=written, eventTimeZoneOffset=offset))).events
    assert (found.happened_at, found.zone) == (datetime.fromisoformat(moment).replace(tzinfo=UTC), zone)


def test_without_an_offset_the_integrations_zone_counts() -> None:
    result = read(as_json(event(eventTime="2026-07-19T10:00:00", eventTimeZoneOffset="noon")))
    assert result.events[0].happened_at == datetime(2026, 7, 19, 8, tzinfo=UTC)
    assert codes(result, "warning") == ["epcis.bad_offset"]


def test_an_event_declared_wrong_is_no_milestone() -> None:
    declared = {"declarationTime": "2026-01-20T08:00:00Z", "reason": "did_not_occur", "correctiveEventIDs": ["urn:2"]}
    first, second = read(as_json(event(eventID="urn:1"), event(eventID="urn:1", errorDeclaration=declared))).events
    assert (first.type, second.type) == ("shipment.dispatched", "event.withdrawn")
    assert first.source_event_id != second.source_event_id
    assert second.happened_at == datetime(2026, 1, 20, 8, tzinfo=UTC)
    assert second.data["withdrawn"] == {
        "event_id": "urn:1",
        "type": "shipment.dispatched",
        "happened_at": "2026-01-19T09:00:00+00:00",
        "reason": "did_not_occur",
        "corrected_by": ["urn:2"],
    }


@given(events())
@hypothesis_settings(deadline=None, max_examples=60)
def test_what_differs_has_another_identity(one: dict[str, Any]) -> None:
    del one["bizStep"]
    one.pop("eventID", None)

    def identity(written: dict[str, Any]) -> str:
        return read(as_json(written)).events[0].source_event_id

    same = identity(one)
    assert identity({**one, "recordTime": "2026-01-25T00:00:00Z"}) == same
    reading = {"sensorElementList": [{"sensorReport": [{"type": "Temperature", "value": 4}]}]}
    warmer = {"sensorElementList": [{"sensorReport": [{"type": "Temperature", "value": 5}]}]}
    found = {same, identity({**one, "bizStep": "holding"}), identity({**one, **reading}), identity({**one, **warmer})}
    found.add(identity({**one, "eventTime": "2026-01-19T11:11:11Z"}))
    found.add(identity({**one, "readPoint": {"id": "https://acme.example/gate"}}))
    assert len(found) == 6


# --- all or nothing, or what can be had


def test_one_bad_event_takes_the_delivery_back_unless_told_to_proceed() -> None:
    body = as_json(event(), event(eventTime="soon"), event(bizStep="receiving"))
    undone = read(body)
    assert undone.events == ()
    assert codes(undone) == ["epcis.rolled_back", "epcis.bad_time"]
    assert "1 of 3 events" in undone.issues[0].sentence
    assert undone.issues[0].position == "$.epcisBody.eventList[1].eventTime"
    header = "gs1-capture-error-behaviour"
    for result in (read(body, {header: "Proceed"}), read(body, error_behaviour="proceed")):
        assert [one.type for one in result.events] == ["shipment.dispatched", "goods.received"]
        assert codes(result) == ["epcis.bad_time"]
    assert read(body, {header: "rollback"}, error_behaviour="proceed").events == ()
    assert codes(read(body, {header: "hope"}), "warning") == ["epcis.behaviour"]
    assert len(read(as_xml(event(), event(bizStep="receiving"))).events) == 2


# --- anything at all


ODD = [
    "",
    "x",
    "-1",
    "\u0661",
    "2026-02-30T00:00:00Z",
    "urn:epc:id:sscc:1.2",
    "urn:epc:id:",
    "9" * 400,
    "DELETE",
    "&lt;",
]


def muddled(body: bytes, chance: random.Random) -> bytes:
    """Well-formed still, but some values are another's, or odd."""
    pieces = re.split(r'((?<=>)[^<>\s][^<>]*(?=<)|(?<=: ")[^"\\]*(?="))', body.decode())
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(1, len(pieces), 2) if len(pieces) > 1 else 0
        pieces[at] = chance.choice([*ODD, pieces[chance.randrange(1, len(pieces), 2)] if len(pieces) > 1 else ""])
    return "".join(pieces).encode()


@pytest.mark.parametrize("syntax", ["json", "xml"])
def test_500_mutilated_documents_raise_nothing(syntax: str) -> None:
    """Events, issues or a refusal with a sentence, in bounded time; the same 500 on every run."""
    chance = random.Random(syntax)
    wanted = (".xml",) if syntax == "xml" else (".json", ".jsonld")
    bodies = [one.path.read_bytes() for one in samples_of("epcis") if one.path.suffix in wanted]
    outcomes: Counter[str] = Counter()
    started = time.process_time()
    for number in range(500):
        change = mutilated if number % 2 else muddled
        try:
            result = read(change(bodies[number % len(bodies)], chance), {"gs1-capture-error-behaviour": "proceed"})
        except ParseFailure as failure:
            result = ParseResult((), (failure.issue,))
        well_formed(result)
        assert result.events or result.issues
        outcomes["events" if result.events else "refused"] += 1
    assert time.process_time() - started < 60
    assert min(outcomes["events"], outcomes["refused"]) > 25, outcomes


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [*event(), "parentID", "childEPCs", "quantityList", "bizTransactionList", "sourceList", "errorDeclaration"]
ENTRY = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("type", "source", "bizTransaction", "epcClass", "id"), ANYTHING)
)


@given(st.dictionaries(st.sampled_from([*FIELDS, "readPoint", "recordTime", "rest"]), ANYTHING | st.lists(ENTRY)))
@hypothesis_settings(deadline=None)
def test_fields_of_any_shape_raise_nothing(fields: dict[str, Any]) -> None:
    result = read(json.dumps([{**event(), **fields}]).encode(), {"gs1-capture-error-behaviour": "proceed"})
    well_formed(result)
    assert result.events or codes(result)
