"""Files through the whole pipeline: an order we sent, its acknowledgment, the ASN and the carrier's status are one story."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apps.collectors.models import DeadLetter, ReceiptState
from apps.collectors.processing import Processed, process
from apps.collectors.receiving import NewReceipt, store
from apps.flows.models import Event, Flow
from apps.integrations.models import Integration, Partner
from tests.collectors.edi.writing import plain, x12
from tests.flows.builders import load_definitions

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 10, 15, 0, tzinfo=UTC)
SAMPLES = Path(__file__).parents[2] / "samples" / "edi"


@pytest.fixture
def feed() -> Integration:
    load_definitions()
    partner = Partner.objects.create(slug="nordwind", name="Nordwind Mills", kind="supplier")
    return Integration.objects.create(
        slug="nordwind-edi", name="Nordwind EDI", kind="edi", partner=partner, settings={"own_ids": "OURS"}
    )


def take(feed: Integration, *bodies: bytes) -> Processed:
    for body in bodies:
        store(
            [
                NewReceipt(
                    integration_id=feed.pk,
                    door="http",
                    body=body,
                    content_type="application/edi",
                    headers={},
                    delivery_id="",
                    received_at=NOW,
                )
            ]
        )
    return process(NOW + timedelta(seconds=1))


def swapped(text: str) -> bytes:
    """The same interchange from us to them."""
    return text.replace("NORDWIND       *ZZ*OURS           ", "OURS           *ZZ*NORDWIND       ").encode()


def test_an_order_from_sending_to_arrival(feed: Integration) -> None:
    order = swapped(x12(plain("BEG*00*SA*PO1**20260310", type="850"), number="000000051", group="51", identifier="PO"))
    answer = x12(plain("AK1*PO*51", "AK2*850*0001", "AK5*A", "AK9*A*1*1*1", type="997"), number="000000009")
    advice = x12(
        plain("BSN*00*A1*20260310*0900", "HL*1**S", "TD5**2*GLDW", "REF*CN*P1", "HL*2*1*O", "PRF*PO1", type="856"),
        number="000000010",
    )
    status = x12(plain("B10*P1*L1*GLDW", "LX*1", "AT7*X1*NS***20260310*1400*UT", type="214"), number="000000011")
    done = take(feed, status.encode(), advice.encode(), answer.encode(), order, order)
    assert (done.receipts, done.dead, done.duplicates) == (5, 0, 2)
    flows = {flow.definition.slug: flow for flow in Flow.objects.select_related("definition")}
    assert set(flows) == {"purchase", "inbound-asn", "message"}
    reached = {
        slug: set(flow.milestones.exclude(actual_at=None).values_list("name", flat=True))
        for slug, flow in flows.items()
    }
    assert reached["purchase"] >= {"sent", "functional_ack", "asn"}
    assert reached["inbound-asn"] >= {"asn", "arrived"}
    assert flows["inbound-asn"].partner is not None


def test_every_sample_is_kept_by_the_database(feed: Integration) -> None:
    bodies = [path.read_bytes() for path in sorted(SAMPLES.glob("*.edi"))]
    done = take(feed, *bodies)
    assert (done.receipts, done.dead) == (len(bodies), 0)
    assert done.events == Event.objects.count() > 40
    assert DeadLetter.objects.filter(code="edi.count").exists()
    again = take(feed, *bodies)
    assert (again.events, again.conflicts) == (0, 0)


def test_what_cannot_be_read_is_a_dead_letter(feed: Integration) -> None:
    done = take(feed, b"\x00\x01 not EDI", x12(plain(type="214")).replace("SE*2", "SE*9").encode())
    assert (done.receipts, done.events, done.dead) == (2, 0, 2)
    assert set(DeadLetter.objects.values_list("code", flat=True)) == {"edi.no_envelope", "edi.count"}
    assert set(ReceiptState.objects.values_list("status", flat=True)) == {"dead"}
