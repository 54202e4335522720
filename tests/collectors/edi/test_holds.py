"""What EDI says of orders on hold, refused, and held by customs: from the bytes to the clock that stands still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from apps.collectors.processing import process
from apps.collectors.receiving import NewReceipt, store
from apps.incidents.models import Finding
from apps.integrations.models import Integration, Partner
from apps.reports import figures, pauses
from apps.reports.figures import Narrowing
from apps.sla import sweep
from apps.sla.models import Expectation
from tests.collectors.edi.reading import parse
from tests.collectors.edi.writing import composed, edifact, isa, plain, x12

SENT = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
COUNT = iter(range(100, 1000))


def reply(code: str, at: datetime) -> bytes:
    """An 855 of the supplier."""
    number = f"{next(COUNT):09}"
    header = isa(number, date=f"{at:%y%m%d}", time=f"{at:%H%M}")
    return x12(plain(f"BAK*00*{code}*PO1*20260310", type="855"), number=number, header=header).encode()


def response(line: str, at: datetime, type: str = "ORDRSP") -> bytes:
    """An ORDRSP of the supplier."""
    message = composed(line, "RFF+ON:PO1", type=type)
    return edifact(message, number=f"R{next(COUNT)}", stamp=f"{at:%y%m%d}:{at:%H%M}").encode()


# --- what is read


@pytest.mark.parametrize(
    ("body", "type"),
    [
        (reply("AH", SENT), "purchase_order.held"),
        *((reply(code, SENT), "purchase_order.acknowledged") for code in ("AC", "AD", "AE", "AK", "AT")),
        *((reply(code, SENT), "purchase_order.rejected") for code in ("RD", "RF", "RJ")),
        (response("BGM+231+A+23", SENT), "purchase_order.held"),
        (response("BGM+231+A+27", SENT), "purchase_order.rejected"),
        (response("BGM+231+A+9+RE", SENT), "purchase_order.rejected"),
        (response("BGM+231+A+29+AP", SENT), "purchase_order.acknowledged"),
        (response("BGM+231+A+12", SENT), "purchase_order.acknowledged"),
        (response("BGM+220+PO1+23", SENT, "ORDERS"), "purchase_order.held"),
        (response("BGM+230+C1+23", SENT, "ORDCHG"), "purchase_order.held"),
    ],
)
def test_what_an_answer_decides(body: bytes, type: str) -> None:
    assert [event.type for event in parse(body).events] == [type]


def test_a_customer_holds_an_order_and_what_we_answer_says_nothing_of_it() -> None:
    [event] = parse(response("BGM+220+PO1+23", SENT, "ORDERS"), own_ids="OURS").events
    assert (event.type, event.data["purpose"]) == ("order.held", "on hold")
    for code in ("AC", "AH", "RD"):
        told = {event.type for event in parse(reply(code, SENT), own_ids="NORDWIND").events}
        assert not {one for one in told if one.startswith(("purchase_order", "order."))}


# --- in the ledger


@pytest.fixture
def feeds(db: None) -> dict[str, Integration]:
    call_command("load_config", str(Path(settings.BASE_DIR) / "apps/flows/definition_files"), verbosity=0)
    partner = Partner.objects.create(slug="nordwind", name="Nordwind Mills", kind="supplier")
    outbound = {"direction": "outbound", "acknowledgments": "never"}
    made = {
        "ours": Integration.objects.create(
            slug="edi-copies", name="Copies of what we sent", kind="edi", partner=partner, settings=outbound
        ),
        "theirs": Integration.objects.create(slug="nordwind-edi", name="Nordwind EDI", kind="edi", partner=partner),
    }
    Integration.objects.update(time_zone="UTC")
    return made


def take(feed: Integration, *bodies: bytes, at: datetime = SENT) -> None:
    for body in bodies:
        store([NewReceipt(feed.pk, "http", body, "application/edi", {}, "", at, False)])
    done = process(at + timedelta(seconds=1))
    assert (done.receipts, done.dead) == (len(bodies), 0)


def order() -> bytes:
    return x12(plain("BEG*00*SA*PO1**20260310", type="850"), number="000000051", group="51", identifier="PO").encode()


def promise(slug: str = "po-acknowledged") -> Expectation:
    return Expectation.objects.get(rule__slug=slug)


def stood_still(slug: str = "po-acknowledged") -> list[tuple[str, datetime, datetime | None, str]]:
    return list(promise(slug).pauses.order_by("begin").values_list("kind", "begin", "until", "reason"))


@pytest.mark.parametrize("syntax", ["x12", "edifact"])
def test_an_order_on_hold_pauses_until_it_is_accepted(feeds: dict[str, Integration], syntax: str) -> None:
    began, ended = SENT + HOUR, SENT + 2 * DAY + HOUR
    held = reply("AH", began) if syntax == "x12" else response("BGM+231+A+23", began)
    accepted = reply("AC", ended) if syntax == "x12" else response("BGM+231+B+29+AP", ended)
    take(feeds["ours"], order())
    due = promise().due_at
    assert promise().state == "PENDING"
    take(feeds["theirs"], held, at=began)
    assert (promise().state, promise().paused) == ("SUSPENDED", "Order on hold")
    sweep.run(due + DAY)
    assert promise().state == "SUSPENDED"
    take(feeds["theirs"], accepted, at=ended)
    assert (promise().state, promise().due_at) == ("MET", due + 2 * DAY)
    assert stood_still() == [("hold", began, ended, "Order on hold")]
    found = pauses.uncounted(figures.month(2026, 3), Narrowing(), SENT + 20 * DAY)
    assert [(one.name, one.rule, one.minutes) for one in found.lines] == [("Order on hold", "po-acknowledged", 2880)]


def test_a_rejection_is_no_acknowledgment_and_is_told_until_the_order_is_accepted(
    feeds: dict[str, Integration],
) -> None:
    take(feeds["ours"], order())
    take(feeds["theirs"], reply("RD", SENT + HOUR), at=SENT + HOUR)
    assert (promise().state, promise().met_at, promise().paused) == ("SUSPENDED", None, "Rejected by the supplier")
    sweep.run(SENT + 2 * HOUR)
    [finding] = Finding.objects.filter(cleared_at=None)
    assert finding.severity == "high"
    take(feeds["theirs"], reply("AD", SENT + 5 * HOUR), at=SENT + 5 * HOUR)
    assert promise().state == "MET"
    assert stood_still() == [("rejected", SENT + HOUR, SENT + 5 * HOUR, "Rejected by the supplier")]
    assert not Finding.objects.filter(cleared_at=None).exists()


def test_a_rejection_takes_an_acknowledgment_back(feeds: dict[str, Integration]) -> None:
    take(feeds["ours"], order())
    take(feeds["theirs"], reply("AK", SENT + HOUR), at=SENT + HOUR)
    assert promise().state == "MET"
    take(feeds["theirs"], reply("RJ", SENT + 2 * HOUR), at=SENT + 2 * HOUR)
    assert (promise().state, promise().paused) == ("SUSPENDED", "Rejected by the supplier")


def test_customs_stop_the_clock_of_what_they_hold(feeds: dict[str, Integration]) -> None:
    advice = plain(
        "BSN*00*A1*20260310*0900",
        "HL*1**S",
        "TD5**2*GLDW",
        "REF*BM*B1",
        "REF*CN*P1",
        "HL*2*1*O",
        "PRF*PO1",
        type="856",
    )
    status = plain("B10*P1*L1*GLDW", "LX*1", "AT7*X1*NS***20260310*1400*UT", type="214")

    def customs(day: str, code: str) -> bytes:
        lines = ("M10*GLDW*O*US*9300001*NORTHERN STAR*071N*MAN77**Z", "P4*2704*20260310")
        bill = f"X4*B1****{day}*1600*{code}**GLDW"
        return x12(plain(*lines, bill, type="350"), number=f"{next(COUNT):09}").encode()

    arrived = SENT + 5 * HOUR
    take(
        feeds["theirs"], x12(advice, number="000000010").encode(), x12(status, number="000000011").encode(), at=arrived
    )
    assert promise("asn-received").due_at == arrived + 2 * DAY
    take(feeds["theirs"], customs("20260310", "1H"), at=SENT + 7 * HOUR)
    assert (promise("asn-received").state, promise("asn-received").paused) == ("SUSPENDED", "Held by customs")
    take(feeds["theirs"], customs("20260311", "1C"), at=SENT + 31 * HOUR)
    running = promise("asn-received")
    assert (running.state, running.due_at) == ("PENDING", arrived + 3 * DAY)
    assert stood_still("asn-received") == [("customs", SENT + 7 * HOUR, SENT + 31 * HOUR, "Held by customs")]
