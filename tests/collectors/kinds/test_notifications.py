"""Notices to customers: providers, their signatures, references, hostile input."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.kinds.notifications import Notifications, NotificationsForm
from apps.collectors.shops import notices
from apps.collectors.shops.notice_signatures import sign_mailgun, sign_twilio
from apps.flows.canonical import ParseFailure, ParseResult, Reference
from apps.flows.catalogue import EVENT_TYPES, REFERENCE_KINDS
from tests.collectors.samples import FOLDER, samples_of
from tests.collectors.test_contract import well_formed

NOW = datetime(2026, 3, 31, 14, 30, tzinfo=UTC)
SECONDS = str(int(NOW.timestamp()))
FORM = "application/x-www-form-urlencoded"
COLLECTOR = COLLECTORS.get("notifications")


def parse(value: Any, content_type: str = "application/json", **more: Any) -> ParseResult:
    source = SourceContext("mail", "papierlaterne", "Europe/Berlin", more)
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Notifications().parse(RawDelivery(raw, content_type, {}, NOW), source)


def sample(name: str) -> Any:
    return json.loads((FOLDER / "notifications" / f"{name}.json").read_text())


def sendgrid(event: str, **more: Any) -> dict[str, Any]:
    ids = {"sg_event_id": f"e-{event}", "sg_message_id": "Vbn3.recvd-1-2"}
    return {"event": event, "timestamp": 1774965600, "order_number": "S1", **ids, **more}


def mailgun(event: str, **more: Any) -> dict[str, Any]:
    data = {
        "event": event,
        "id": f"m-{event}",
        "timestamp": 1774965600.5,
        "user-variables": {"order": "S1"},
        "message": {"headers": {"message-id": "1@example"}},
    }
    return {"signature": {}, "event-data": data | more}


def postmark(record: str, **more: Any) -> dict[str, Any]:
    times = {"DeliveredAt": "2026-03-31T14:00:00Z", "BouncedAt": "2026-03-31T14:00:00Z"}
    return {"RecordType": record, "MessageID": "p-1", "Metadata": {"order": "S1"}, **times, **more}


def ses(event: str, name: str = "eventType", **more: Any) -> dict[str, Any]:
    at = {"timestamp": "2026-03-31T14:00:00.000Z"}
    mail = {"messageId": "s-1", "tags": {"order": ["S1"]}, **at}
    return {name: event, "mail": mail, "delivery": at, "bounce": at | {"bounceType": "Permanent"}, **more}


SENT, DELIVERED, BOUNCED = "notification.sent", "notification.delivered", "notification.bounced"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (sendgrid("processed"), SENT),
        (sendgrid("delivered"), DELIVERED),
        (sendgrid("bounce", reason="550"), BOUNCED),
        (sendgrid("dropped"), BOUNCED),
        *((sendgrid(event), "") for event in ("deferred", "open", "click", "spamreport", "unsubscribe")),
        (mailgun("accepted"), SENT),
        (mailgun("delivered"), DELIVERED),
        (mailgun("failed", severity="permanent"), BOUNCED),
        (mailgun("failed", severity="temporary"), ""),
        *((mailgun(event), "") for event in ("opened", "clicked", "complained", "unsubscribed")),
        (postmark("Delivery"), DELIVERED),
        (postmark("Bounce", Type="HardBounce", ID=7), BOUNCED),
        (postmark("Bounce", Type="Transient"), ""),
        *((postmark(record), "") for record in ("Open", "Click", "SpamComplaint", "SubscriptionChange")),
        (ses("Send"), SENT),
        (ses("Delivery"), DELIVERED),
        (ses("Delivery", "notificationType"), DELIVERED),
        (ses("Bounce"), BOUNCED),
        (ses("Reject"), BOUNCED),
        *((ses(event), "") for event in ("Complaint", "Open", "Click", "DeliveryDelay")),
    ],
)
def test_the_providers_words(value: dict[str, Any], expected: str) -> None:
    result = parse(value)
    assert result.issues == ()
    assert [event.type for event in result.events] == [one for one in [expected] if one]
    for event in result.events:
        assert event.references[0] == Reference("sales_order", "S1")
        assert event.references[1].kind == "notification"
        assert event.happened_at.replace(microsecond=0) == datetime(2026, 3, 31, 14, tzinfo=UTC)
        assert event.data["channel"] == "email"
    # told twice, it is one event
    assert [e.source_event_id for e in parse([value, value]).events] == [e.source_event_id for e in result.events] * 2


@pytest.mark.parametrize(
    "value", [sendgrid("teleported"), mailgun("teleported"), postmark("Teleported"), ses("Teleported")]
)
def test_unknown_words_are_named(value: dict[str, Any]) -> None:
    [issue] = parse(value).issues
    assert (issue.code, issue.severity) == ("notifications.unmapped_event", "warning")
    assert "teleported" in issue.sentence


@pytest.mark.parametrize(
    ("status", "expected"),
    [("sent", SENT), ("delivered", DELIVERED), ("undelivered", BOUNCED), ("failed", BOUNCED), ("queued", "")],
)
def test_twilio(status: str, expected: str) -> None:
    body = urlencode({"MessageSid": "SM1", "MessageStatus": status, "ErrorCode": "30003", "To": "+4915711111111"})
    result = parse(body.encode(), FORM)
    assert [event.type for event in result.events] == [one for one in [expected] if one]
    for event in result.events:
        assert event.references == (Reference("notification", "SM1"),)
        assert (event.happened_at, event.data["channel"]) == (NOW, "sms")
        assert "+49157" not in str(event)
    with pytest.raises(ParseFailure) as failure:
        parse(b"no form", FORM)
    assert failure.value.issue.code == "notifications.bad_form"


def test_references_of_every_way_to_attach_one() -> None:
    def found(value: dict[str, Any], **more: Any) -> list[Reference]:
        [event] = parse(value, **more).events
        return [one for one in event.references if one.kind != "notification"]

    plain = {name: value for name, value in sendgrid("delivered").items() if name != "order_number"}
    assert found(plain | {"category": ["order: S2", "promo"]}) == [Reference("sales_order", "S2")]
    assert found(plain | {"unique_args": {"Tracking-Number": "JJD1"}}) == [Reference("tracking_number", "JJD1")]
    assert found(plain | {"order_id": 4711}, orders="channel_order") == [
        Reference("channel_order", "4711", "papierlaterne")
    ]
    assert found(plain | {"order_id": 4711}, orders="channel_order", issuer="shop-2")[0].issuer == "shop-2"
    assert found(plain | {"channel_order": "A", "picking": "WH/OUT/1"}) == [
        Reference("channel_order", "A", "papierlaterne"),
        Reference("picking", "WH/OUT/1"),
    ]
    mail = {"messageId": "s", "headers": [{"name": "X-Order-Number", "value": "S9"}]}
    assert found(ses("Delivery") | {"mail": mail}) == [Reference("sales_order", "S9")]
    assert {kind or "sales_order" for kind in notices.NAMES.values()} <= set(REFERENCE_KINDS)


def test_notices_about_no_order_are_counted() -> None:
    letters = [sendgrid("delivered", sg_event_id=str(n), order_number=None) for n in range(5)]
    result = parse([*letters, sendgrid("delivered")])
    assert len(result.events) == 1
    [issue] = result.issues
    assert (issue.code, issue.severity) == ("notifications.no_order", "warning")
    assert "left out: 5." in issue.sentence


def test_no_address_of_a_customer_is_kept() -> None:
    text = "".join(str(parse(sample(name)).events) for name in ("sendgrid", "mailgun", "postmark", "ses"))
    assert "example.org" not in text


# -- signatures ------------------------------------------------------------------------------------------------------


KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def signed(body: bytes, timestamp: str = SECONDS) -> dict[str, str]:
    signature = base64.b64encode(KEY.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    return {
        "x-twilio-email-event-webhook-signature": signature,
        "x-twilio-email-event-webhook-timestamp": timestamp,
    }


def accepts(headers: dict[str, str], body: bytes, *secrets: str, **settings: Any) -> bool:
    verdict = COLLECTOR.authenticate(headers, body, secrets, NOW, settings)
    assert verdict.accepted or verdict.reason
    return verdict.accepted


def test_sendgrid_signs_time_and_body() -> None:
    body, public = b'[{"event": "delivered"}]', base64.b64encode(PUBLIC).decode()
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    ways = [public, pem]
    for key in ways:
        assert accepts(signed(body), body, "no key", key, provider="sendgrid")
    assert not accepts(signed(body), body + b" ", public, provider="sendgrid")
    assert not accepts(signed(body, SECONDS) | {"x-twilio-email-event-webhook-timestamp": "1"}, body, public)
    day, late = str(int(SECONDS) - 24 * 3600), str(int(SECONDS) - 26 * 3600)
    assert accepts(signed(body, day), body, public, provider="sendgrid")
    assert not accepts(signed(body, late), body, public, provider="sendgrid")
    assert not accepts(signed(body, str(int(SECONDS) + 301)), body, public, provider="sendgrid")
    other = base64.b64encode(
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()
    wrong_kind = base64.b64encode(
        rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()
    for key in (other, wrong_kind, "", "no base64"):
        assert not accepts(signed(body), body, key, provider="sendgrid")
    for changes in ({"x-twilio-email-event-webhook-signature": ""}, {"x-twilio-email-event-webhook-signature": "é"}):
        assert not accepts(signed(body) | changes, body, public, provider="sendgrid")


def test_a_published_sendgrid_vector() -> None:
    """Key, body, signature and time as SendGrid's own libraries test them."""
    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglS"
        "I8eNEc6wEA3F+g=="
    )
    headers = {
        "x-twilio-email-event-webhook-signature": "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0J"
        "uG+luQAbPIqHh89M15TluLtEZtM=",
        "x-twilio-email-event-webhook-timestamp": "1600112502",
    }
    body = (
        b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnp'
        b'YbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F'
        b'5FC76C-9.0","smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
    )
    then = datetime.fromtimestamp(1600112502, UTC)
    assert COLLECTOR.authenticate(headers, body, [key], then, {"provider": "sendgrid"}).accepted
    assert not COLLECTOR.authenticate(headers, body[:-2], [key], then, {"provider": "sendgrid"}).accepted
    assert not COLLECTOR.authenticate(headers, body, [key], NOW, {"provider": "sendgrid"}).accepted


def test_mailgun_signs_inside_the_body() -> None:
    def body(key: str, timestamp: str = SECONDS) -> bytes:
        signature = {"timestamp": timestamp, "token": "t0k", "signature": sign_mailgun(key, timestamp, "t0k")}
        return json.dumps({"signature": signature, "event-data": {}}).encode()

    assert accepts({}, body("key-1"), "key-0", "key-1", provider="mailgun")
    assert not accepts({}, body("key-2"), "key-1", provider="mailgun")
    assert not accepts({}, body("key-1", "1774000000"), "key-1", provider="mailgun")
    for broken in (b"", b"[]", b"{}", b'{"signature": 1}', b'{"signature": {"timestamp": "%s"}}' % SECONDS.encode()):
        assert not accepts({}, broken, "key-1", provider="mailgun")


def test_twilio_signs_the_address_and_the_parameters() -> None:
    url, parameters = "https://tower.example/in/abc/", {"MessageSid": "SM1", "MessageStatus": "sent", "A": "ü &=+"}
    body = urlencode(parameters).encode()
    headers = {"x-twilio-signature": sign_twilio("auth-token", url, parameters)}
    settings = {"provider": "twilio", "callback_url": url}
    assert accepts(headers, body, "old", "auth-token", **settings)
    assert not accepts(headers, body + b"&B=1", "auth-token", **settings)
    assert not accepts(headers, body, "other", **settings)
    assert not accepts(headers, body, "auth-token", provider="twilio", callback_url=url + "x")
    assert not accepts(headers, body, "auth-token", provider="twilio")
    assert not accepts({}, body, "auth-token", **settings)
    assert not NotificationsForm({"provider": "twilio"}).is_valid()
    assert NotificationsForm({"provider": "twilio", "callback_url": url}).is_valid()


def test_twilios_published_vector() -> None:
    """As Twilio's own libraries test it."""
    parameters = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert sign_twilio("12345", url, parameters) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize("provider", ["", "postmark", "ses"])
def test_the_others_show_a_key(provider: str) -> None:
    pair = base64.b64encode(b"postmark:key-1").decode()
    assert accepts({"authorization": f"Basic {pair}"}, b"{}", "key-1", provider=provider)
    assert accepts({"authorization": "Bearer key-1"}, b"{}", "key-1", provider=provider)
    assert not accepts({"authorization": "Bearer key-1"}, b"{}", provider=provider)
    assert not accepts({}, b"{}", "key-1", provider=provider)


def test_a_provider_with_a_signature_is_not_let_in_by_a_key() -> None:
    headers = {"authorization": "Bearer key-1"}
    for provider in ("sendgrid", "mailgun", "twilio"):
        assert not accepts(headers, b"{}", "key-1", provider=provider, callback_url="https://x.example/")


MAKERS: list[Callable[[], Any]] = [
    lambda: sendgrid("bounce"),
    lambda: mailgun("failed"),
    lambda: postmark("Bounce"),
    lambda: ses("Bounce"),
    *(
        (lambda name=one.path: json.loads(name.read_text()))
        for one in samples_of("notifications")
        if one.path.suffix == ".json"
    ),
]


@given(
    st.sampled_from(MAKERS),
    st.data(),
    st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=8), st.just([]), st.just({}), st.just([[{}]])),
)
def test_wrong_values_anywhere_are_issues_and_never_crashes(
    make: Callable[[], Any], data: st.DataObject, wrong: Any
) -> None:
    value = copy.deepcopy(make())
    holder: Any = value
    while isinstance(holder, dict | list) and holder:
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))))
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.booleans()):
            holder[key] = wrong
            break
        holder = holder[key]
    for provider in ("", "sendgrid", "mailgun", "postmark", "ses", "twilio"):
        try:
            well_formed(parse(value, provider=provider))
        except ParseFailure as failure:
            well_formed(ParseResult((), (failure.issue,)))


@given(st.binary(max_size=200))
def test_any_form_is_read_or_refused(body: bytes) -> None:
    try:
        result = parse(body, FORM)
    except ParseFailure as failure:
        result = ParseResult((), (failure.issue,))
    well_formed(result)
    assert result.events or result.issues


def test_tables_name_the_catalogue() -> None:
    tables = (notices.SENDGRID, notices.MAILGUN, notices.POSTMARK, notices.SES, notices.TWILIO)
    assert {kind for table in tables for kind in table.values()} - {""} <= set(EVENT_TYPES)
