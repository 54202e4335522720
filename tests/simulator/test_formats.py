"""The demo network's other formats: each is read as what it means, and through the real doors the truth still holds."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.models import DeadLetter, Receipt
from apps.flows.canonical import CanonicalEvent, ParseResult
from apps.flows.models import Milestone, Orphan
from apps.simulator import timeline, truth
from apps.simulator.carrying import Journey
from apps.simulator.faults import DEMO, Faults, read
from apps.simulator.formats import choosing
from apps.simulator.formats.logistics import container
from apps.simulator.formats.registry import FORMATS
from apps.simulator.formats.signing import SIGNERS, public_keys
from apps.simulator.live import Network
from apps.simulator.scoring import score
from apps.simulator.wire import Delivery, deliveries, sign
from apps.simulator.world import CARRIERS, Message, stories_of

MONDAY = date(2026, 3, 2)
DEMO_FOLDER = Path(settings.BASE_DIR) / "apps" / "simulator" / "demo"
CONFIGURED = yaml.safe_load((DEMO_FOLDER / "formats.yaml").read_text())
ROWS = {row["slug"]: row for row in CONFIGURED["integrations"]}
MAPPINGS = {row["slug"]: row["spec"] for row in CONFIGURED["mappings"]}
#: step -> event type, for platforms that have a word for each
STEPS = {
    "picked_up": "transport.picked_up",
    "in_transit": "transport.in_transit",
    "out_for_delivery": "transport.out_for_delivery",
    "delivered": "delivery.completed",
}
SOME_FAULTS = """
orders: {shipped_late: 0.05, never_scanned: 0.04, delivered_late: 0.05, odoo_slow: 0.03, told_twice: 0.02}
purchases: {asn_missing: 0.1}
wire: {"*": {twice: 0.02, out_of_order: 0.02}}
"""


def read_by_its_kind(told: Delivery) -> ParseResult:
    """What the integration's kind makes of a delivery, with the demo's own settings."""
    row = ROWS[told.integration]
    source = SourceContext(
        integration=row["slug"],
        partner=row.get("partner", ""),
        zone=row["time_zone"],
        settings=row.get("settings", {}),
        mapping=MAPPINGS.get(row.get("mapping", ""), {}),
    )
    headers = {"content-type": told.content_type, **told.headers}
    return COLLECTORS.get(row["kind"]).parse(
        RawDelivery(told.body, told.content_type, headers, told.arrives_at), source
    )


def messages(faults: Faults = DEMO, days: int = 4) -> dict[str, list[Message]]:
    """What each format tells of some days, in order of arrival."""
    found: dict[str, list[Message]] = defaultdict(list)
    for offset in range(days):
        for story in stories_of(MONDAY + timedelta(days=offset), 5, faults):
            for message in story.messages:
                if message.integration in FORMATS:
                    found[message.integration].append(message)
    return found


@pytest.fixture(scope="module")
def told() -> dict[str, list[Message]]:
    return messages()


def events_of(message: Message) -> tuple[CanonicalEvent, ...]:
    [request] = deliveries([message])
    result = read_by_its_kind(request)
    assert not result.issues, result.issues
    return result.events


def keys_of(event: CanonicalEvent) -> dict[str, tuple[str, str]]:
    return {one.kind: (one.value, one.issuer) for one in event.references}


def same_second(event: CanonicalEvent, at: datetime) -> bool:
    return event.happened_at.replace(microsecond=0) == at.replace(microsecond=0)


def test_every_format_is_configured_and_speaks_within_some_days(told: dict[str, list[Message]]) -> None:
    assert set(ROWS) == set(FORMATS) == set(told)
    assert {own.scheme for own in FORMATS.values()} <= set(SIGNERS)


def test_every_kind_is_in_the_demo_or_its_absence_is_explained() -> None:
    files = [yaml.safe_load(path.read_text()) for path in DEMO_FOLDER.glob("*.yaml")]
    spoken = {row["kind"] for one in files for row in one.get("integrations", [])}
    page = (Path(settings.BASE_DIR) / "docs" / "simulator.md").read_text()
    explained = page.partition("Not in the live demo")[2].partition("\n\n")[0]
    silent = set(COLLECTORS.plugins) - spoken
    assert {kind for kind in silent if f"`{kind}`" not in explained} == set()
    assert {kind for kind in spoken if f"`{kind}`" in explained} == set()


@pytest.mark.parametrize("feed", choosing.PARCEL_FEEDS)
def test_a_parcels_step_means_the_same_in_every_format(feed: str, told: dict[str, list[Message]]) -> None:
    seen = set()
    for message in told[feed]:
        if message.what == "unknown":
            continue
        seen.add(message.what)
        [event] = events_of(message)
        expected = STEPS[message.what]
        if feed == "easypost-tracking" and message.what == "picked_up":
            expected = "transport.in_transit"  # it has no word for it
        assert event.type == expected
        assert keys_of(event)["tracking_number"][0] == message.facts["parcel"]
        assert same_second(event, message.at)
        assert event.parties["carrier"] == "swift-parcel"
    assert seen == set(STEPS)


@pytest.mark.parametrize("feed", choosing.PARCEL_FEEDS)
def test_a_code_nobody_knows_is_listed_and_gives_no_event(feed: str) -> None:
    for story in stories_of(MONDAY, 5, Faults(orders={"unknown_code": 1.0})):
        for message in story.messages:
            if message.what == "unknown" and message.integration == feed:
                [request] = deliveries([message])
                result = read_by_its_kind(request)
                assert not result.events
                assert [(one.code.partition(".")[2], one.severity) for one in result.issues] == [
                    ("unmapped_status", "warning")
                ]
                return
    pytest.fail(f"{feed} told no unknown code on that day")


@pytest.mark.parametrize("shop", [shop for shop, _, _ in choosing.SHOPS])
def test_an_order_is_placed_in_every_shops_words(shop: str, told: dict[str, list[Message]]) -> None:
    for message in told[shop]:
        events = {event.type: event for event in events_of(message)}
        f = message.facts
        placed = events["order.placed"]
        assert keys_of(placed)["channel_order"] == (f["channel"], f["issuer"])
        assert same_second(placed, message.at)
        dates = {name: at for event in events.values() for name, at in event.dates.items()}
        zone = truth.BERLIN
        assert dates["promised_delivery"].astimezone(zone).date().isoformat() == f["promise"]
        if shop == "amazon-orders":
            assert dates["ship_by"].astimezone(zone).date().isoformat() == f["ship_by"]


def test_odoo_names_the_order_as_its_shop_does_and_says_what_the_shop_cannot() -> None:
    shops = set()
    for story in stories_of(MONDAY, 5, Faults()):
        for message in story.messages:
            if message.what != "order.created":
                continue
            [request] = deliveries([message])
            body = request.body.decode()
            shops.add(message.facts["shop"])
            assert f'"value":"{message.facts["channel"]}","issuer":"{message.facts["issuer"]}"' in body
            assert ("ship_by" in body) == (message.facts["shop"] in ("shopify-outlet", "woocommerce-trade"))
    assert shops == {choosing.SHOP, *(shop for shop, _, _ in choosing.SHOPS)}


@pytest.mark.parametrize("feed", ["north-epcis", "north-epcis-xml"])
def test_scanners_tell_of_arrived_goods(feed: str, told: dict[str, list[Message]]) -> None:
    for message in told[feed]:
        [event] = events_of(message)
        f = message.facts
        assert event.type == "goods.arrived"
        assert keys_of(event)["purchase_order"][0] == f["purchase"]
        assert keys_of(event)["despatch_advice"] == (f["advice"], f["supplier"])
        assert sum(one.kind == "sscc" for one in event.references) == f["packages"]
        assert event.happened_at.replace(microsecond=0) == message.at.replace(microsecond=0)


def test_what_is_told_beside_the_stories(told: dict[str, list[Message]]) -> None:
    types = {
        feed: {event.type for message in told[feed] for event in events_of(message)}
        for feed in FORMATS
        if feed in ("customer-mail", "fjord-line-containers", "middleware-messages", "rhein-stock", "returns-desk")
    }
    assert types == {
        "customer-mail": {"notification.sent", "notification.delivered"},
        "fjord-line-containers": {"transport.departed", "transport.in_transit"},
        "middleware-messages": {"hop.completed"},
        "rhein-stock": {"stock.reported", "file.received", "file.accepted"},
        "returns-desk": {"activity.recorded"},
    }
    for feed in ("api-gateway", "carrier-calls"):
        assert all(events_of(message) for message in told[feed]), feed
    for message in told["fjord-line-containers"]:
        [event] = events_of(message)
        assert keys_of(event)["container"][0] == container(message.facts["purchase"])
        assert keys_of(event)["purchase_order"][0] == message.facts["purchase"]


@pytest.mark.parametrize("feed", sorted(slug for slug, own in FORMATS.items() if own.bundles))
def test_a_bundle_gives_what_its_messages_give_alone(feed: str, told: dict[str, list[Message]]) -> None:
    some = [message for message in told[feed] if message.what != "unknown"][:6]
    [request] = deliveries(some, bundle=100)
    together = read_by_its_kind(request)
    assert not together.issues
    alone = [event.source_event_id for message in some for event in events_of(message)]
    assert [event.source_event_id for event in together.events] == list(dict.fromkeys(alone))


def test_the_platforms_public_key_is_the_configured_one() -> None:
    assert yaml.safe_load(ROWS["shipengine-tracking"]["settings"]["jwks"]) == public_keys()


@pytest.mark.parametrize("feed", sorted(FORMATS))
def test_only_the_secrets_holder_is_let_in(feed: str, told: dict[str, list[Message]]) -> None:
    [request] = deliveries(told[feed][:1])
    row, now = ROWS[feed], request.arrives_at
    collector = COLLECTORS.get(row["kind"])

    def accepted(secret: str, body: bytes = request.body) -> bool:
        headers = sign(request, "bearer", secret, now)
        return collector.authenticate(headers, body, ["whsec_right"], now, row.get("settings", {})).accepted

    assert accepted("whsec_right")
    if feed != "shipengine-tracking":  # proves itself with a key of its own
        assert not accepted("whsec_wrong")
    else:
        assert not accepted("whsec_right", request.body + b" ")


def test_most_parcels_stay_with_their_carrier_and_every_platform_has_some() -> None:
    numbers = [f"{CARRIERS['swift-parcel']}{number * 7_919:011d}" for number in range(4_000)]
    count: dict[str, int] = defaultdict(int)
    for number in numbers:
        count[choosing.parcel_feed(number)] += 1
    assert 0.75 < count[choosing.SWIFT] / len(numbers) < 0.85
    assert all(0.01 < count[feed] / len(numbers) < 0.03 for feed in choosing.PARCEL_FEEDS)


def slice_of(journeys: list[Journey]) -> list[Journey]:
    """Every journey some format has a part in, so that a day is enough for all of them."""
    return [journey for journey in journeys if any(one.message.integration in FORMATS for one in journey.carried)]


def test_through_the_real_doors_every_format_is_heard_and_the_truth_is_found(transactional_db: None) -> None:
    base = Path(settings.BASE_DIR) / "apps"
    call_command("load_config", str(base / "flows/definition_files"), str(DEMO_FOLDER), verbosity=0)
    plan = timeline.Plan(MONDAY, 1, 11, read(SOME_FAULTS), timedelta(hours=24))
    journeys = slice_of(plan.journeys())
    verdicts = truth.awaited(journeys)
    sent = timeline.run(plan, journeys, lambda done, total: None)
    assert Receipt.objects.count() == sent
    heard = set(Receipt.objects.values_list("integration__slug", flat=True))
    assert set(FORMATS) <= heard
    found = score(verdicts)
    assert found.wrong > 5
    assert found.missed == []
    assert found.false == []
    assert not DeadLetter.objects.exists()
    assert not Orphan.objects.exists()
    assert Milestone.objects.filter(name="customer_told", actual_at__isnull=False).exists()


def test_the_live_network_sends_every_format_over_http(
    transactional_db: None, live_server: LiveServer, told: dict[str, list[Message]]
) -> None:
    base = Path(settings.BASE_DIR) / "apps"
    call_command("load_config", str(base / "flows/definition_files"), str(DEMO_FOLDER), verbosity=0)
    network = Network(live_server.url, 5, timezone.now)
    for feed in sorted(FORMATS):
        [request] = deliveries(told[feed][:1])
        assert network.post(request), feed
    heard = dict(Receipt.objects.values_list("integration__slug", "headers"))
    assert set(heard) == set(FORMATS)
    assert heard["shopify-outlet"]["x-shopify-topic"] == "orders/create"
