"""What messages mean: whose numbers they are, which loops they belong to, and what is never guessed."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from apps.collectors.contract import COLLECTORS
from apps.collectors.edi.facts import check_digit_holds, normal
from apps.collectors.edi.tables import MESSAGES
from apps.collectors.edi.tables.edifact_codes import ACTIONS, TRANSPORT_STATUS
from apps.collectors.edi.tables.model import Ref
from apps.collectors.edi.tables.x12_codes import APPOINTMENT_STATUS, SHIPMENT_STATUS, TRANSACTION_ACK
from apps.collectors.kinds.edi import EdiForm
from apps.flows.canonical import CanonicalEvent, ParseFailure
from apps.flows.catalogue import EVENT_TYPES, REFERENCE_KINDS
from tests.collectors.edi.reading import parse, references
from tests.collectors.edi.writing import composed, edifact, isa, plain, x12

ASN = ("BSN*00*A1*20260310*0900", "HL*1**S", "TD5**2*GLDW", "REF*BM*B1", "REF*CN*P1")
STATUS = ("B10*P1*L1*GLDW", "LX*1", "AT7*X1*NS***20260310*0800*ET")


def codes(body: str, **settings: str) -> list[str]:
    return [issue.code for issue in parse(body.encode(), **settings).issues]


def test_tables_use_names_of_the_catalogue() -> None:
    meanings = [*SHIPMENT_STATUS.values(), *APPOINTMENT_STATUS.values(), *TRANSPORT_STATUS.values()]
    meanings += [*TRANSACTION_ACK.values(), *ACTIONS.values()]
    assert {one.event for one in meanings if one.event} <= set(EVENT_TYPES)
    assert all(one.words for one in meanings)
    for message in MESSAGES.values():
        kinds = {kind for fact in message.facts if isinstance(fact, Ref) for kind in (fact.kind, *fact.codes.values())}
        assert kinds - {""} <= set(REFERENCE_KINDS)
        assert {rule.type for rule in message.rules if rule.type} <= set(EVENT_TYPES)
        assert {new for new in message.selling.values() if new} <= set(EVENT_TYPES)
        assert {kind for rule in message.rules for kind in (*rule.keep, *rule.needs)} <= set(REFERENCE_KINDS)
        if message.purpose:
            replaced = {new for by_type in message.purpose.instead.values() for new in by_type.values()}
            assert replaced - {""} <= set(EVENT_TYPES)


def test_one_event_for_each_order_wherever_it_is_named() -> None:
    text = x12(plain(*ASN, "HL*2*1*O", "PRF*PO1", "HL*3*1*O", "PRF*PO2", "HL*4*1*O", "PRF*PO1", type="856"))
    events = parse(text.encode()).events
    assert [event.references[0].value for event in events] == ["PO1", "PO2"]


def test_an_asn_without_order_is_still_an_asn() -> None:
    [event] = parse(x12(plain(*ASN, "HL*2*1*P", "MAN*CP*1Z1", "SN1**5*EA", type="856")).encode()).events
    assert event.data["quantity"] == 5
    assert references(event) == {
        ("despatch_advice", "A1", "nordwind"),
        ("bill_of_lading", "B1", "scac:GLDW"),
        ("pro_number", "P1", "scac:GLDW"),
        ("tracking_number", "1Z1", ""),
    }


def test_a_pallet_above_its_orders_belongs_to_them() -> None:
    lines = ("HL*2*1*T", "MAN*GM*00306141410000010012", "HL*3*2*O", "PRF*PO1", "HL*4*2*O", "PRF*PO2")
    events = parse(x12(plain(*ASN, *lines, type="856")).encode()).events
    [packed] = [event for event in events if event.type == "asn.packed"]
    assert {("purchase_order", "PO1", ""), ("purchase_order", "PO2", "")} <= references(packed)


def test_a_carton_is_of_the_order_above_it_and_of_no_other() -> None:
    lines = ("HL*2*1*O", "PRF*PO1", "HL*3*2*P", "MAN*GM*00306141410000010012", "HL*4*1*O", "PRF*PO2")
    events = parse(x12(plain(*ASN, *lines, type="856")).encode()).events
    [packed] = [event for event in events if event.type == "asn.packed"]
    assert [one.value for one in packed.references if one.kind == "purchase_order"] == ["PO1"]


def test_what_follows_a_status_belongs_to_the_shipment_not_to_the_status() -> None:
    lines = (
        *STATUS,
        "MS1*TOLEDO*OH",
        "AT7*D1*NS***20260310*0900*ET",
        "L11*PO1*PO",
        "LX*2",
        "AT7*X6*NS***20260310*0700*ET",
    )
    arrived, delivered, other = parse(x12(plain(*lines)).encode()).events
    assert ("purchase_order", "PO1", "") in references(arrived) & references(delivered)
    assert ("purchase_order", "PO1", "") not in references(other)
    assert arrived.data["location"] == "TOLEDO OH"
    assert "location" not in delivered.data


def test_cancelled_despatch_advices_are_no_asn() -> None:
    for text in (
        x12(plain("BSN*01*A1*20260310*0900", "HL*1**O", "PRF*PO1", "MAN*GM*00306141410000010012", type="856")),
        edifact(composed("BGM+351+A1+1", "DTM+137:20260310:102", "RFF+ON:PO1", type="DESADV")),
    ):
        [event] = parse(text.encode()).events
        assert event.type == "asn.cancelled"
        assert event.data["purpose"] == "cancellation"


def test_numbers_belong_to_who_issued_them() -> None:
    body = x12(plain(*ASN, "HL*2*1*O", "PRF*PO1", type="856")).encode()
    [event] = parse(
        body, carriers="gldw = golden-way", partners="ZZ:NORDWIND = mills", purchase_order_issuer="partner"
    ).events
    assert references(event) == {
        ("despatch_advice", "A1", "mills"),
        ("bill_of_lading", "B1", "golden-way"),
        ("pro_number", "P1", "golden-way"),
        ("purchase_order", "PO1", "mills"),
        ("channel_order", "PO1", "mills"),
    }
    # a copy of what we sent: we are the seller, so the order is the customer's
    event, sent = parse(body, own_ids="NORDWIND", partners={"OURS": "customer"}).events
    assert (sent.type, sent.data["awaits"]) == ("message.sent", "997")
    assert event.type == "shipment.announced"
    assert references(event) == {
        ("despatch_advice", "A1", ""),
        ("bill_of_lading", "B1", "scac:GLDW"),
        ("pro_number", "P1", "scac:GLDW"),
        ("purchase_order", "PO1", "customer"),
        ("channel_order", "PO1", "customer"),
        ("control_number", "GS 1", "customer"),
        ("control_number", "GS 1 / ST 0001", "customer"),
    }
    [event] = parse(body, default_partner="other", own_ids=["ZZ:ELSEWHERE"]).events
    assert ("despatch_advice", "A1", "other") in references(event)


@pytest.mark.parametrize(
    ("settings", "type", "issuer"),
    [
        ({}, "purchase_order.sent", ""),
        ({"purchase_order_issuer": "partner"}, "order.placed", "nordwind"),
        ({"own_ids": "NORDWIND"}, "purchase_order.sent", ""),
        ({"own_ids": "OURS"}, "order.placed", "nordwind"),
        ({"own_ids": "OURS", "purchase_order_issuer": "ours"}, "order.placed", "nordwind"),
    ],
)
def test_an_order_is_ours_or_our_customers(settings: dict[str, str], type: str, issuer: str) -> None:
    for text in (
        x12(plain("BEG*00*SA*PO1**20260310", type="850")),
        edifact(composed("BGM+220+PO1+9", "DTM+137:20260310:102", type="ORDERS")),
    ):
        event = parse(text.encode(), **settings).events[0]
        assert event.type == type
        assert ("purchase_order", "PO1", issuer) in references(event)
        assert (("channel_order", "PO1", issuer) in references(event)) is bool(issuer)


def all_references(events: Iterable[CanonicalEvent]) -> set[tuple[str, str, str]]:
    return {one for event in events for one in references(event)}


def test_an_acknowledgment_names_what_the_sent_message_carries() -> None:
    sent = parse(
        x12(plain("BEG*00*SA*PO1**20260310", type="850"), group="0007", identifier="PO").encode(),
        own_ids="NORDWIND",
        partners="OURS = acme",
    )
    answer = parse(x12(plain("AK1*PO*7", "AK2*850*0001", "AK5*A", "AK9*A*1*1*1", type="997")).encode(), partner="acme")
    assert {one for event in answer.events for one in references(event)} <= all_references(sent.events)
    sent = parse(
        edifact(composed("BGM+220+PO1+9", type="ORDERS"), number="I1").encode(),
        own_ids="NORDWIND",
        partners="OURS = acme",
        acknowledgments="always",
    )
    answer = parse(edifact(composed("UCI+I1+A+B+7", "UCM+1+ORDERS+7", type="CONTRL")).encode(), partner="acme")
    assert {one for event in answer.events for one in references(event)} <= all_references(sent.events)


def test_our_own_acknowledgment_says_nothing_about_what_we_sent() -> None:
    text = x12(plain("AK1*PO*7", "AK2*850*0001", "AK5*A", "AK9*A*1*1*1", type="997"))
    theirs, ours = (
        parse(text.encode()).events,
        parse(text.encode(), own_ids="ZZ:NORDWIND", partners="OURS = acme").events,
    )
    assert references(theirs[0]) == {
        ("control_number", "GS 7 / ST 0001", "nordwind"),
        ("functional_group", "GS PO 7", "nordwind"),
    }
    assert references(ours[0]) == {("control_number", "received GS 7 / ST 0001", "acme")}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("AT7*Q9*NS***20260310*0800*ET", "edi.unknown_status"),
        ("AT7*XB*NS***20260310*0800*ET", "edi.no_event"),
        ("AT7***AB*NA*20260310*0800*ET", "edi.no_event"),
        ("AT7*X1*NS", "edi.no_time"),
        ("AT7*X1*NS***20261310*0800", "edi.no_time"),
        ("AT7*AG*NS", "edi.no_time"),
        ("AT7*X1*NS***20260310*0800*ZZ", "edi.bad_time"),
    ],
)
def test_a_status_that_cannot_be_understood_is_named_and_gives_no_event(line: str, code: str) -> None:
    result = parse(x12(plain(*STATUS[:2], line)).encode())
    assert not result.events
    assert code in [issue.code for issue in result.issues]


def test_status_codes_of_the_partner() -> None:
    text = x12(plain(*STATUS[:2], "AT7*Q9*NS***20260310*0800*ET"))
    [event] = parse(text.encode(), status_codes="Q9 = transport.in_transit").events
    assert event.type == "transport.in_transit"
    text = edifact(composed("CNI+1+A", "STS+1+LAX:SG:ZZZ", "DTM+334:20260310:102"))
    assert codes(text) == ["edi.unknown_status"]
    # a code of another list means nothing by the standard's, even if it looks like one of it
    assert codes(text.replace("LAX", "21")) == ["edi.unknown_status"]
    assert not codes(text, status_codes="LAX = transport.exception")


def test_a_status_of_nothing_gives_no_event() -> None:
    assert codes(x12(plain("B10***GLDW", *STATUS[1:]))) == ["edi.no_reference"]


def test_an_asn_dated_by_its_interchange_says_so() -> None:
    result = parse(x12(plain("BSN*00*A1*soon", "HL*1**S", type="856")).encode())
    assert [event.happened_at for event in result.events] == [result.events[0].sent_at]
    assert [issue.code for issue in result.issues] == ["edi.bad_time", "edi.no_time"]


def test_a_message_that_is_not_read_yet_is_named() -> None:
    result = parse(x12(plain("BEG*00*SA*1", type="830"), plain(*STATUS, number="0002")).encode())
    assert len(result.events) == 1
    [issue] = result.issues
    assert (issue.code, issue.severity) == ("edi.not_read", "warning")
    assert issue.sentence.startswith("Message type 830 is not read yet")
    assert issue.position == "ISA 000000001 / GS 1 / ST 0001"


def test_an_empty_message_is_named() -> None:
    assert codes(x12(plain(type="997"))) == ["edi.nothing_found"]


def test_test_interchanges_are_marked_or_refused() -> None:
    text = x12(plain(*STATUS), header=isa(test="T"))
    assert parse(text.encode()).events[0].data["test"] is True
    refused = parse(text.encode(), test_messages="refuse")
    assert not refused.events
    assert [issue.code for issue in refused.issues] == ["edi.test"]


def test_loops_that_make_no_sense() -> None:
    deep = [f"HL*{n}*{n - 1 or ''}*O" for n in range(1, 30)]
    assert codes(x12(plain(ASN[0], *deep, type="856"))) == ["edi.loops"]
    result = parse(x12(plain(ASN[0], "HL*1*9*O", "PRF*PO1", "HL*1*1*P", type="856")).encode())
    assert [issue.code for issue in result.issues] == ["edi.loops"]
    assert [one.value for one in result.events[0].references if one.kind == "purchase_order"] == ["PO1"]


def test_values_are_clean_and_of_a_storable_length() -> None:
    long = "9" * 201
    result = parse(x12(plain(*STATUS[:1], f"L11*{long}*PO", "L11*PO\x00 7 *PO", *STATUS[1:])).encode())
    assert ("purchase_order", "PO 7", "") in references(result.events[0])
    assert long not in {one.value for one in result.events[0].references}
    assert "edi.too_long" in [issue.code for issue in result.issues]


def test_ssccs_and_containers_are_written_one_way() -> None:
    assert normal("sscc", "00306141410000010012") == normal("sscc", "(00)306141410000010012") == "306141410000010012"
    assert normal("container", "mscu 663987-0") == "MSCU6639870"
    assert check_digit_holds("306141410000010012")
    assert not check_digit_holds("306141410000010013")
    assert not check_digit_holds("30614141000001001")


def test_form() -> None:
    assert EdiForm({}).is_valid()
    good = EdiForm(
        {"partners": "ZZ:A = acme\nB = bolt", "status_codes": "Q9 = transport.in_transit", "envelope": "strict"}
    )
    assert good.is_valid(), good.errors
    bad = EdiForm({"partners": "acme", "status_codes": "Q9 = transport.teleported", "envelope": "never"})
    assert set(bad.errors) == {"partners", "status_codes", "envelope"}


def test_collector_is_registered_and_wants_a_usable_zone() -> None:
    assert COLLECTORS.get("edi").content_types[".x12"]
    with pytest.raises(ParseFailure) as caught:
        parse(x12(plain(*STATUS)).encode(), zone="Mars/Olympus")
    assert caught.value.issue.code == "edi.zone"
