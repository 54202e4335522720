"""What we sent is awaited until the partner's translator answers: 997, TA1, CONTRL and MDN, matched by their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from apps.collectors.processing import process
from apps.collectors.receiving import NewReceipt, store
from apps.flows.canonical import CanonicalEvent
from apps.flows.models import Flow, Orphan
from apps.incidents.models import Finding
from apps.integrations.models import Integration, Partner
from apps.sla import sweep
from apps.sla.models import Expectation
from tests.collectors.edi.reading import parse, references
from tests.collectors.edi.writing import composed, edifact, isa, plain, x12

SENT = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
ORDER = plain("BEG*00*SA*PO1**20260310", type="850")
OUTBOUND = {"direction": "outbound"}


def ours(group: str, *, identifier: str = "PO", header: str = "", number: str = "000000051") -> bytes:
    """A copy of an order interchange we sent at 09:00 UTC."""
    return x12(ORDER, number=number, group=group, identifier=identifier, header=header).encode()


def answer(*lines: str, number: str = "000000900") -> bytes:
    """A 997 the partner sent at 09:00 of its header; the group says when."""
    return x12(plain(*lines, type="997"), number=number, identifier="FA").encode()


def sent(body: bytes, **settings: str) -> list[CanonicalEvent]:
    events = parse(body, zone="UTC", **{**OUTBOUND, **settings}).events
    return [event for event in events if event.type == "message.sent"]


# --- what is awaited


def test_a_group_we_sent_awaits_its_997() -> None:
    [event] = sent(ours("0057"))
    assert references(event) == {("functional_group", "GS PO 57", "nordwind"), ("interchange", "ISA 51", "nordwind")}
    assert event.happened_at == SENT
    assert event.data["awaits"] == "997"
    assert (event.data["types"], event.data["messages"]) == (["850"], 1)
    assert event.position == "ISA 000000051 / GS 0057"


def test_what_the_partner_sent_awaits_nothing() -> None:
    assert not sent(ours("57"), direction="inbound")
    assert not sent(ours("57"), direction="", own_ids="OURS")
    assert sent(ours("57"), direction="", own_ids="NORDWIND")


def test_acknowledgments_are_not_acknowledged() -> None:
    assert not sent(answer("AK1*PO*57", "AK9*A*1*1*1"))
    assert not sent(edifact(composed("UCI+R1+A+B+7", type="CONTRL")).encode(), acknowledgments="always")
    assert not sent(ours("57"), acknowledgments="never")


def test_a_message_that_is_not_read_awaits_its_997_too() -> None:
    body = x12(plain("BFR*00*F1", type="830"), identifier="PS").encode()
    [event] = sent(body)
    assert ("functional_group", "GS PS 1", "nordwind") in references(event)


def test_a_ta1_is_awaited_where_the_envelope_asks_for_it() -> None:
    asked = isa("000000051").replace("*0*P*>", "*1*P*>")
    [event] = sent(ours("57", header=asked))
    assert event.data["interchange_awaits"] == "TA1"
    [event] = sent(ours("57"))
    assert "interchange_awaits" not in event.data


def test_a_contrl_is_awaited_where_the_envelope_or_the_setting_says_so() -> None:
    text = edifact(composed("BGM+220+PO1+9", type="ORDERS"), number="R-7")
    assert not sent(text.encode())
    [event] = sent(text.encode(), acknowledgments="always")
    assert references(event) == {("functional_group", "UNB R-7", "nordwind")}
    asked = text.replace("+R-7'\n", "+R-7'").replace("260310:0900+R-7'", "260310:0900+R-7++++1'")
    [event] = sent(asked.encode())
    assert (event.data["awaits"], event.happened_at) == ("CONTRL", SENT)


def test_groups_of_one_number_and_different_kinds_are_told_apart() -> None:
    orders, invoices = sent(ours("57")), sent(ours("57", identifier="IN"))
    assert references(orders[0]).isdisjoint(references(invoices[0]) - {("interchange", "ISA 51", "nordwind")})
    assert orders[0].source_event_id != invoices[0].source_event_id


# --- in the ledger


@pytest.fixture
def feeds() -> dict[str, Integration]:
    call_command("load_config", str(Path(settings.BASE_DIR) / "apps/flows/definition_files"), verbosity=0)
    partner = Partner.objects.create(slug="nordwind", name="Nordwind Mills", kind="supplier")
    made = {
        "ours": Integration.objects.create(
            slug="edi-copies", name="Copies of what we sent", kind="edi", partner=partner, settings=OUTBOUND
        ),
        "theirs": Integration.objects.create(slug="nordwind-edi", name="Nordwind EDI", kind="edi", partner=partner),
    }
    Integration.objects.update(time_zone="UTC")
    return made


def take(feed: Integration, *bodies: bytes, at: datetime = SENT, headers: Mapping[str, str] | None = None) -> None:
    for body in bodies:
        store([NewReceipt(feed.pk, "http", body, "application/edi", dict(headers or {}), "", at, False)])
    done = process(at + timedelta(seconds=1))
    assert (done.receipts, done.dead) == (len(bodies), 0)


def states(milestone: str = "acknowledged") -> dict[str, str]:
    rows = Expectation.objects.filter(milestone=milestone, flow__definition__slug="message")
    return dict(rows.values_list("flow__label", "state"))


@pytest.mark.django_db
def test_a_997_within_the_hour_meets_it_and_one_that_never_comes_is_a_breach(feeds: dict[str, Integration]) -> None:
    take(feeds["ours"], ours("57"), ours("58", number="000000052"))
    assert states() == {"GS PO 57": "PENDING", "GS PO 58": "PENDING"}
    due = set(Expectation.objects.filter(milestone="acknowledged").values_list("due_at", flat=True))
    assert SENT + timedelta(hours=1) in due
    reply = answer("AK1*PO*57", "AK2*850*0001", "AK5*A", "AK9*A*1*1*1").replace(b"*0900*1*X*", b"*0930*1*X*")
    take(feeds["theirs"], reply, at=SENT + timedelta(minutes=31))
    sweep.run(SENT + timedelta(minutes=59))
    assert states() == {"GS PO 57": "MET", "GS PO 58": "PENDING"}
    sweep.run(SENT + timedelta(minutes=61))
    assert states() == {"GS PO 57": "MET", "GS PO 58": "BREACHED"}
    assert Finding.objects.filter(kind__startswith="sla").count() == 1
    # the order itself knows it too
    assert Flow.objects.get(definition__slug="purchase").milestones.get(name="functional_ack").actual_at is not None


@pytest.mark.django_db
def test_the_answer_to_another_group_of_the_same_number_meets_nothing(feeds: dict[str, Integration]) -> None:
    take(feeds["ours"], ours("57"))
    take(feeds["theirs"], answer("AK1*IN*57", "AK2*810*0001", "AK5*A", "AK9*A*1*1*1"))
    assert states() == {"GS PO 57": "PENDING"}
    other = Partner.objects.create(slug="other", name="Other", kind="supplier")
    stranger = Integration.objects.create(slug="other-edi", name="Other EDI", kind="edi", partner=other)
    take(stranger, answer("AK1*PO*57", "AK9*A*1*1*1"))
    assert states() == {"GS PO 57": "PENDING"}
    assert Orphan.objects.count() == 1, "an answer to nothing we know waits on the bench"


@pytest.mark.django_db
def test_an_answer_that_comes_before_the_copy_counts(feeds: dict[str, Integration]) -> None:
    take(feeds["theirs"], answer("AK1*PO*57", "AK9*R*1*1*0*5"))
    take(feeds["ours"], ours("57"))
    assert states() == {"GS PO 57": "MET"}
    flow = Flow.objects.get(definition__slug="message")
    assert flow.milestones.get(name="rejected").actual_at is not None


@pytest.mark.django_db
def test_a_ta1_and_a_contrl(feeds: dict[str, Integration]) -> None:
    asked = isa("000000051").replace("*0*P*>", "*1*P*>")
    order = edifact(composed("BGM+220+PO2+9", type="ORDERS"), number="R-7").replace(":0900+R-7'", ":0900+R-7++++1'")
    take(feeds["ours"], ours("57", header=asked), order.encode())
    assert states("interchange_taken") == {"GS PO 57": "PENDING"}
    assert states() == {"GS PO 57": "PENDING", "UNB R-7": "PENDING"}
    ta1 = isa("000000901") + "TA1*000000051*260310*0900*A*000~IEA*0*000000901~"
    take(feeds["theirs"], ta1.encode(), edifact(composed("UCI+R-7+A+B+7", type="CONTRL"), number="9").encode())
    assert states("interchange_taken") == {"GS PO 57": "MET"}
    assert states() == {"GS PO 57": "PENDING", "UNB R-7": "MET"}, "a TA1 is not a 997"


@pytest.mark.django_db
def test_an_mdn_answers_the_transmission(feeds: dict[str, Integration]) -> None:
    headers = {
        "as2-from": "OURS-AS2",
        "as2-to": "NORDWIND-AS2",
        "message-id": "<HS-1@ours.example>",
        "disposition-notification-to": "edi@ours.example",
    }
    take(feeds["ours"], ours("57"), headers=headers)
    assert states("transmitted") == {"GS PO 57": "PENDING"}
    receipts = Integration.objects.create(
        slug="nordwind-mdn", name="Receipts", kind="as2_mdn", partner=Partner.objects.get(slug="nordwind")
    )
    report = (
        "AS2-From: NORDWIND-AS2\nAS2-To: OURS-AS2\nMessage-ID: <M-1@nordwind.example>\n"
        "Date: Tue, 10 Mar 2026 09:00:20 +0000\nContent-Type: multipart/report; boundary=b\n\n"
        "--b\nContent-Type: message/disposition-notification\n\n"
        "Original-Message-ID: <%s@ours.example>\nDisposition: automatic-action/MDN-sent-automatically; processed\n\n--b--\n"
    )
    take(receipts, (report % "HS-2").encode())
    assert states("transmitted") == {"GS PO 57": "PENDING"}, "the receipt of another transmission"
    take(receipts, (report % "HS-1").replace("M-1@", "M-2@").encode())
    assert states("transmitted") == {"GS PO 57": "MET"}
    assert states() == {"GS PO 57": "PENDING"}, "that it arrived does not say that it was understood"
