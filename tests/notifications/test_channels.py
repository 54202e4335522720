"""Every kind of channel, over real HTTP to servers of ours: what arrives, and what each answer means."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from django import forms
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from apps.notifications.channels.webhook import sign
from apps.notifications.contract import CHANNELS, Channel, DeliveryError
from apps.notifications.http import LONGEST_WAIT, HttpChannel, retry_after
from tests.incidents.builders import NOW
from tests.notifications.receiver import Receiver, Taken, door_to, receiving
from tests.notifications.samples import HTTP_KINDS, ID, SAMPLES, config_of, message, news, target

SEVERITIES = ("critical", "high", "normal", "low")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def send(kind: str, receiver: Receiver, *items: Any, now: datetime = NOW) -> str:
    return CHANNELS.get(kind).send(message(kind, *items), target(kind, receiver.url), now)


def test_every_kind_has_a_sample() -> None:
    assert {*SAMPLES, "email"} == set(CHANNELS.plugins)


@pytest.mark.parametrize("kind", sorted(CHANNELS.plugins))
def test_every_channel_keeps_the_contract(kind: str) -> None:
    channel = CHANNELS.get(kind)
    assert channel.kind == kind
    assert channel.label
    assert channel.purpose
    assert type(channel).send is not Channel.send
    assert isinstance(channel.ConfigForm(), forms.Form)
    assert bool(channel.address_label) is channel.personal
    assert len({one.name for one in channel.secrets}) == len(channel.secrets)
    if kind in HTTP_KINDS:
        assert isinstance(channel, HttpChannel)
        assert "allow_networks" in channel.ConfigForm().fields
    if channel.personal:
        with pytest.raises(ValidationError):
            channel.clean_address("no address at all !")
        assert channel.place({}) == ""
    else:
        assert channel.place({}) == "*"


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_the_form_takes_the_settings_the_sample_has(kind: str) -> None:
    channel = CHANNELS.get(kind)
    initial = {name: one.initial for name, one in channel.ConfigForm().fields.items() if one.initial is not None}
    form = channel.ConfigForm(initial | config_of(kind, "https://receiver.example"))
    assert form.is_valid(), form.errors
    wanted = {name: value for name, value in config_of(kind, "https://receiver.example").items() if value}
    assert wanted.items() <= form.cleaned_data.items()
    if channel.personal:
        assert channel.clean_address(SAMPLES[kind][2]) == SAMPLES[kind][2]


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_what_is_taken_is_said_and_carries_the_same_id_every_time(kind: str, receiver: Receiver) -> None:
    receiver.reply = b'{"status": "queued"}'
    first = send(kind, receiver)
    calls = len(receiver.taken)
    send(kind, receiver)
    assert "Answered 200" in first
    assert "queued" in first
    assert len(receiver.taken) == 2 * calls
    assert set(receiver.keys()) == {ID}
    assert [one.body for one in receiver.taken[:calls]] == [one.body for one in receiver.taken[calls:]]


@pytest.mark.parametrize("kind", HTTP_KINDS)
@pytest.mark.parametrize(
    ("status", "permanent", "blames", "unreachable"),
    [
        (400, True, False, False),
        (401, True, True, False),
        (403, True, True, False),
        (404, True, True, False),
        (410, True, True, False),
        (422, True, False, False),
        (408, False, False, False),
        (429, False, False, False),
        (500, False, False, True),
        (503, False, False, True),
    ],
)
def test_what_each_answer_means(
    kind: str, receiver: Receiver, status: int, permanent: bool, blames: bool, unreachable: bool
) -> None:
    receiver.status, receiver.reply = status, b"the receiver's words"
    with pytest.raises(DeliveryError, match=f"Answered {status}: the receiver's words") as caught:
        send(kind, receiver)
    error = caught.value
    assert (error.permanent, error.blames_channel, error.unreachable) == (permanent, blames, unreachable)
    assert error.gone is (status == 410)


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_a_receiver_that_asks_to_wait_is_obeyed(kind: str, receiver: Receiver) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": "120"}
    with pytest.raises(DeliveryError) as caught:
        send(kind, receiver)
    assert caught.value.retry_after == timedelta(minutes=2)
    assert not caught.value.permanent


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_silence_redirects_and_secrets_said_back(kind: str, receiver: Receiver) -> None:
    receiver.mood = lambda one: None
    with pytest.raises(DeliveryError) as caught:
        send(kind, receiver)
    assert (caught.value.permanent, caught.value.unreachable) == (False, True)
    receiver.mood, receiver.status = None, 302
    receiver.headers = {"location": f"{receiver.url}/elsewhere"}
    with pytest.raises(DeliveryError, match="redirect") as caught:
        send(kind, receiver)
    assert caught.value.permanent
    assert not any(one.path == "/elsewhere" for one in receiver.taken)
    secrets = list(target(kind, receiver.url).secrets.values())
    receiver.headers, receiver.status = {}, 400
    receiver.reply = f"no: {secrets} {receiver.taken[0].headers.get('authorization', '')}".encode()
    with pytest.raises(DeliveryError) as caught:
        send(kind, receiver)
    assert not any(secret in str(caught.value) for secret in secrets)


@pytest.mark.parametrize("kind", HTTP_KINDS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_test_message_and_a_bundle_can_be_sent(kind: str, severity: str, receiver: Receiver) -> None:
    plugin = CHANNELS.get(kind)
    bundle = [news(subject=f"[HIGH] {n}", severity=severity) for n in range(30 if plugin.paced else 1)]
    send(kind, receiver, *bundle)
    one = message(kind)
    test = type(one)(one.message_id, one.thread, one.recipient, "Test", "A test.", short="A test.", severity=severity)
    plugin.send(test, target(kind, receiver.url), NOW)
    assert all(one.body or one.method == "GET" for one in receiver.taken)


def test_slack_says_strangers_words_as_words(receiver: Receiver) -> None:
    send("slack", receiver, news(subject="<!channel> <http://evil|x>"))
    payload = receiver.taken[0].json
    assert "<!channel>" not in json.dumps(payload, ensure_ascii=False)
    buttons = payload["blocks"][-1]["elements"]
    assert [one["text"]["text"] for one in buttons] == ["Acknowledge", "Open the incident"]
    assert "12 flows, 41,200 EUR" in payload["blocks"][1]["text"]["text"]
    assert len(payload["blocks"]) <= 50


def test_teams_gets_a_card(receiver: Receiver) -> None:
    send("teams", receiver, news(subject="[click](http://evil)"))
    [attachment] = receiver.taken[0].json["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["content"]["actions"][0]["url"].endswith("/acknowledge/token/")
    assert "[click]" not in json.dumps(attachment)
    assert attachment["content"]["body"][2]["facts"][0] == {"title": "Hits", "value": "12 flows, 41,200 EUR"}


def test_telegram(receiver: Receiver) -> None:
    send("telegram", receiver)
    [taken] = receiver.taken
    assert taken.path == "/bot123456:telegram-secret/sendMessage"
    assert taken.json["chat_id"] == "4711"
    assert "&lt;Northwind&gt; &amp; Co" in taken.json["text"]
    assert taken.json["link_preview_options"] == {"is_disabled": True}
    receiver.status, receiver.reply = 429, b'{"ok": false, "parameters": {"retry_after": 35}}'
    with pytest.raises(DeliveryError) as caught:
        send("telegram", receiver)
    assert caught.value.retry_after == timedelta(seconds=35)


def test_push(receiver: Receiver) -> None:
    send("ntfy", receiver)
    send("gotify", receiver)
    ntfy, gotify = receiver.taken
    assert (ntfy.json["topic"], ntfy.json["priority"]) == ("mara-nights", 4)
    assert ntfy.json["click"].endswith("/acknowledge/token/")
    assert ntfy.headers["authorization"] == "Bearer tk_ntfy-secret-1"
    assert gotify.headers["x-gotify-key"] == "Agotify-secret-1"
    assert gotify.json["extras"]["client::notification"]["click"]["url"].endswith("/acknowledge/token/")


def test_telephones(receiver: Receiver) -> None:
    for kind in ("twilio_sms", "twilio_voice", "sms_gateway", "voice_gateway"):
        send(kind, receiver)
    sms, call, plain, spoken = receiver.taken
    assert sms.path == "/2010-04-01/Accounts/AC123/Messages.json"
    assert base64.b64decode(sms.headers["authorization"][6:]) == b"AC123:twilio-secret-1"
    assert parse_qs(sms.body.decode())["Body"][0].startswith("No scans. Hits: 12 flows.")
    twiml = parse_qs(call.body.decode())["Twiml"][0]
    assert call.path.endswith("/Calls.json")
    assert twiml.count("&lt;&amp;&gt;") == 2
    assert plain.json == {
        "from": "Tower",
        "to": "+491701234567",
        "text": "No scans. Hits: 12 flows. https://tower.example/incidents/17/",
        "reference": ID,
    }
    assert parse_qs(spoken.body.decode()) == {
        "number": ["+491701234567"],
        "say": ["This is the control tower. High. No scans <&>."],
    }


def test_alerts_are_one_per_incident_and_end_with_it(receiver: Receiver) -> None:
    for kind in ("pagerduty", "opsgenie"):
        send(kind, receiver)
        send(kind, receiver, news("acknowledged", text="Acknowledged by Mara."))
        send(kind, receiver, news("resolved"))
    opened, acknowledged, resolved, alert, taken, closed = receiver.taken
    deeds = [one.json["event_action"] for one in (opened, acknowledged, resolved)]
    assert deeds == ["trigger", "acknowledge", "resolve"]
    assert {one.json["dedup_key"] for one in (opened, acknowledged, resolved)} == {news().key}
    assert {one.path for one in (opened, acknowledged, resolved)} == {"/v2/enqueue"}
    assert opened.json["payload"]["severity"] == "error"
    assert "payload" not in acknowledged.json
    assert alert.json["alias"] == news().key
    assert alert.json["priority"] == "P2"
    assert (taken.method, taken.path) == ("POST", f"/v2/alerts/{news().key}/acknowledge?identifierType=alias")
    assert taken.json["note"] == "Acknowledged by Mara."
    assert closed.path == f"/v2/alerts/{news().key}/close?identifierType=alias"


def test_only_tools_that_keep_alerts_take_acknowledgments() -> None:
    able = {kind: one for kind, one in CHANNELS.plugins.items() if one.acknowledges}
    assert set(able) == {"pagerduty", "opsgenie", "jira", "servicenow"}
    assert not any(one.personal or one.paced for one in able.values()), "people are not told that somebody has it"


@pytest.mark.parametrize(
    ("kind", "found", "first", "later"),
    [
        ("jira", b'{"issues": [{"key": "OPS-7"}]}', ("POST", "/rest/api/2/issue"), "/rest/api/2/issue/OPS-7/comment"),
        (
            "servicenow",
            b'{"result": [{"sys_id": "abc"}]}',
            ("POST", "/api/now/table/incident"),
            "/api/now/table/incident/abc",
        ),
    ],
)
def test_tickets_are_one_per_incident(
    kind: str, found: bytes, first: tuple[str, str], later: str, receiver: Receiver
) -> None:
    send(kind, receiver)
    assert [one.method for one in receiver.taken] == ["GET", "POST"]
    assert (receiver.taken[1].method, receiver.taken[1].path) == first

    def is_there(one: Taken) -> tuple[int, bytes]:
        return (200, found) if one.method == "GET" else (200, b"{}")

    receiver.mood = is_there
    send(kind, receiver)
    assert receiver.taken[-1].path == later
    assert not [one for one in receiver.taken[2:] if (one.method, one.path) == first]
    for broken in (b"[]", b"nonsense", b'{"issues": 5, "result": "x"}', b'{"issues": [null], "result": [7]}'):
        receiver.mood = lambda one, broken=broken: (200, broken)  # type: ignore[misc]
        send(kind, receiver)
        assert receiver.taken[-1].path == first[1]


def test_webhooks_are_signed_as_the_standard_says(receiver: Receiver) -> None:
    now = datetime.now(UTC)
    secret, former = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4"
    hook, one = CHANNELS.get("webhook"), target("webhook", receiver.url)
    both = type(one)(one.config, {"secret": secret, "previous": former}, one.door)
    hook.send(message("webhook"), both, now)
    hook.send(message("webhook"), both, now + timedelta(seconds=5))
    first, again = receiver.taken
    for key in (secret, former):
        assert Verifier(key).verify(first.body, dict(first.headers))["type"] == "incident.opened"
    assert first.headers["webhook-id"] == again.headers["webhook-id"] == f"msg_{ID}"
    assert first.headers["webhook-timestamp"] != again.headers["webhook-timestamp"]
    with pytest.raises(Exception, match=r"(?i)signature"):
        Verifier(secret).verify(first.body + b" ", dict(first.headers))
    assert first.json["data"]["facts"]["Hits"] == "12 flows, 41,200 EUR"
    # the vector of the specification
    assert (
        sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_a_name_that_stands_for_an_inner_address_is_not_reached(receiver: Receiver) -> None:
    for kind in HTTP_KINDS:
        with pytest.raises(DeliveryError, match="no public address") as caught:
            CHANNELS.get(kind).send(
                message(kind),
                target(kind, f"http://inner.example:{receiver.port}", door_to(["127.0.0.1"]), inside=False),
                NOW,
            )
        assert caught.value.permanent
        assert caught.value.blames_channel
    assert receiver.taken == []


@given(st.text(max_size=60))
def test_any_retry_after_is_read_or_left(text: str) -> None:
    found = retry_after(text, NOW)
    assert found is None or timedelta(0) <= found <= LONGEST_WAIT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("Mon, 02 Mar 2026 09:05:00 GMT", 300),
        ("Mon, 02 Mar 2020 09:05:00 GMT", 0),
        ("soon", None),
    ],
)
def test_retry_after(text: str, seconds: int | None) -> None:
    assert retry_after(text, NOW) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("+49 170 1234567", "+491701234567"), ("0049-170/1234567", "+491701234567"), ("0170 1234567", None), ("+0", None)],
)
def test_telephone_numbers(typed: str, kept: str | None) -> None:
    if kept is None:
        with pytest.raises(ValidationError, match="with its country"):
            CHANNELS.get("twilio_sms").clean_address(typed)
    else:
        assert CHANNELS.get("twilio_sms").clean_address(typed) == kept


@pytest.mark.parametrize(
    "url", ["ftp://x.example/", "http://u:p@x.example/", "http://169.254.169.254/", "x", "http://[::]/"]
)
def test_forms_refuse_what_the_door_would_refuse(url: str) -> None:
    form = CHANNELS.get("webhook").ConfigForm({"url": url})
    assert "url" in form.errors
