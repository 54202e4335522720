"""The pages of channels, of the log and of one's own notifications, over real HTTP to a receiver of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from apps.accounts.models import AuditEntry, Role, User
from apps.incidents import workflow
from apps.notifications import dispatch, keeping, proving
from apps.notifications.contract import CHANNELS
from apps.notifications.models import Channel, ContactMethod, Delivery, Preference
from tests.incidents.builders import NOW, draft, person
from tests.notifications.receiver import LOOPBACK, Receiver, receiving
from tests.notifications.samples import HTTP_KINDS, SAMPLES, config_of, secrets_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def admin(client: Client) -> User:
    user = person("ada", role=Role.ADMIN)
    client.force_login(user)
    return user


def form_of(kind: str, url: str, **more: str) -> dict[str, str]:
    plugin = CHANNELS.get(kind)
    values = {"name": f"My {kind}", "min_severity": "normal", "settings-allow_networks": LOOPBACK}
    for name, one in plugin.ConfigForm().fields.items():
        if one.initial is not None:
            values[f"settings-{name}"] = one.initial
    values |= {f"settings-{name}": str(value) for name, value in config_of(kind, url).items()}
    values |= {f"secret-{name}": value for name, value in secrets_of(kind, url).items()}
    return values | more


def made(kind: str, url: str, **more: Any) -> Channel:
    row = Channel(slug=more.pop("slug", kind.replace("_", "-")), name=f"My {kind}", kind=kind, **more)
    row.config = config_of(kind, url) | {"allow_networks": [LOOPBACK]}
    keeping.save(row, secrets_of(kind, url), None, NOW)
    return row


@pytest.mark.parametrize("kind", HTTP_KINDS)
def test_every_kind_is_added_tried_and_never_shows_its_secret(
    kind: str, client: Client, admin: User, receiver: Receiver
) -> None:
    assert client.get(f"/channels/add/{kind}/").status_code == 200
    answer = client.post(f"/channels/add/{kind}/", form_of(kind, receiver.url), follow=True)
    row = Channel.objects.get()
    assert answer.status_code == 200, answer.content.decode()[:3000]
    receiver.reply = b"<b>taken</b>"
    to = {"to": SAMPLES[kind][2]}
    tested = client.post(
        f"/channels/{row.slug}/test/",
        to,
    )
    assert b"&lt;b&gt;taken&lt;/b&gt;" in tested.content
    assert receiver.taken
    receiver.status, receiver.reply = 401, b"who are you"
    tested = client.post(
        f"/channels/{row.slug}/test/",
        to,
    )
    assert b"Answered 401: who are you" in tested.content
    pages = [answer, tested, client.get(f"/channels/{row.slug}/"), client.get(f"/channels/{row.slug}/edit/")]
    pages += [client.get("/channels/"), client.post(f"/channels/{row.slug}/edit/", {"name": ""})]
    for secret in secrets_of(kind, receiver.url).values():
        assert not any(secret.encode() in page.content for page in pages)
        assert secret.encode() not in bytes(row.ciphertext)
        assert secret not in str(list(AuditEntry.objects.values()))


def test_a_kept_secret_does_not_follow_to_another_address(client: Client, admin: User, receiver: Receiver) -> None:
    row = made("ntfy", receiver.url)
    values = form_of("ntfy", "https://elsewhere.example") | {"secret-token": ""}
    answer = client.post(f"/channels/{row.slug}/edit/", values)
    assert answer.status_code == 422
    assert b"The address has changed" in answer.content
    assert Channel.objects.get().config["base_url"] == receiver.url
    same = form_of("ntfy", receiver.url, name="Renamed") | {"secret-token": ""}
    assert client.post(f"/channels/{row.slug}/edit/", same).status_code == 302
    changed = Channel.objects.get()
    assert (changed.name, keeping.live_secrets(changed, NOW)["token"]) == ("Renamed", "tk_ntfy-secret-1")


def test_only_administrators_open_internal_networks(client: Client, receiver: Receiver) -> None:
    client.force_login(person("omar", role=Role.OPERATIONS))
    assert b"allow_networks" not in client.get("/channels/add/ntfy/").content
    client.post("/channels/add/ntfy/", form_of("ntfy", receiver.url))
    assert "allow_networks" not in Channel.objects.get().config
    tested = client.post("/channels/my-ntfy/test/", {"to": "topic"})
    assert b"no public address" in tested.content
    assert receiver.taken == []


def test_a_webhook_gets_a_secret_that_is_shown_once_and_rotates_with_an_overlap(
    client: Client, admin: User, receiver: Receiver
) -> None:
    answer = client.post("/channels/add/webhook/", form_of("webhook", receiver.url) | {"secret-secret": ""})
    [secret] = re.findall(r"whsec_[A-Za-z0-9+/=]+", answer.content.decode())
    assert secret.encode() not in client.get("/channels/my-webhook/").content
    row = Channel.objects.get()
    now = timezone.now()
    keeping.save(row, {"secret": "whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXc="}, admin, now)
    assert keeping.live_secrets(row, now)["previous"] == secret
    assert "previous" not in keeping.live_secrets(row, now + keeping.OVERLAP)


def test_the_secret_key_that_is_gone_is_said(client: Client, admin: User, receiver: Receiver, settings: Any) -> None:
    row = made("ntfy", receiver.url)
    settings.SECRETS_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]
    assert b"cannot be read" in client.post(f"/channels/{row.slug}/test/", {"to": "topic"}).content


def test_what_fails_for_good_is_switched_off_visibly_and_mended(
    client: Client, admin: User, receiver: Receiver
) -> None:
    row = made("slack", receiver.url, listens=True)
    receiver.status, receiver.reply = 404, b"no_service"
    for n in range(keeping.BLAMES):
        workflow.raise_findings([draft(n, cause=n)], NOW)
        dispatch.run(NOW + n * dispatch.PACE)
    row.refresh_from_db()
    assert not row.enabled
    for address in ("/channels/", "/channels/slack/"):
        assert b"5 times in a row: Answered 404: no_service" in client.get(address).content
    log = client.get("/deliveries/?state=dead").content.decode()
    assert log.count("Send again</button>") == keeping.BLAMES
    receiver.status, receiver.reply = 200, b"ok"
    client.post("/channels/slack/switch/", {"enabled": "1"})
    client.post("/deliveries/send-again/", {"all": "1", "channel": "slack"})
    before = len(receiver.taken)
    dispatch.run(timezone.now())
    dead = Delivery.objects.filter(channel="slack", state="dead").count()
    assert (len(receiver.taken) - before >= 1, dead) == (True, 0)


def test_the_log_finds_and_pages(client: Client, admin: User, queries: Callable[[str], int]) -> None:
    person("mara", role=Role.ON_CALL)
    workflow.raise_findings([draft(0, cause=0)], NOW)
    dispatch.plan(NOW)
    few = queries("/deliveries/")
    workflow.raise_findings([draft(n, cause=n) for n in range(1, 60)], NOW)
    dispatch.plan(NOW)
    assert queries("/deliveries/") == few
    first = client.get("/deliveries/").content.decode()
    older = re.findall(r'rel="next" href="([^"]+)"', first)[0].replace("&amp;", "&")
    second = client.get(older).content.decode()
    assert (first.count('id="delivery-'), second.count('id="delivery-')) == (50, 10)
    assert client.get("/deliveries/?q=from 59").content.decode().count('id="delivery-') == 1
    assert b"None matches" in client.get("/deliveries/?q=nothing like it").content
    assert client.get("/deliveries/?after=nonsense&state=x&q=%00").status_code == 200


# one's own


@pytest.fixture
def mara(client: Client) -> User:
    user = person("mara", role=Role.ON_CALL, time_zone="Europe/Berlin")
    client.force_login(user)
    return user


def code_in(receiver: Receiver) -> str:
    return str(re.findall(r"\d{6}", receiver.taken[-1].json["text"])[0])


def test_an_address_is_proved_by_a_code_and_used_for_what_is_critical(
    client: Client, mara: User, receiver: Receiver
) -> None:
    made("sms_gateway", receiver.url, slug="sms")
    page = client.post("/me/notifications/methods/", {"way": "sms", "address": "0170 1234"})
    assert (page.status_code, b"with its country" in page.content) == (422, True)
    client.post("/me/notifications/methods/", {"way": "sms", "address": "+49 170 1234567"})
    method = ContactMethod.objects.get()
    right = code_in(receiver)
    wrong = "000000" if right != "000000" else "111111"
    page = client.post(f"/me/notifications/methods/{method.pk}/prove/", {"code": wrong})
    assert b"4 tries left" in page.content
    assert right not in page.content.decode()
    client.post(f"/me/notifications/methods/{method.pk}/prove/", {"code": f"{right[:3]} {right[3:]}"})
    method.refresh_from_db()
    assert method.verified_at
    receiver.taken.clear()
    workflow.raise_findings([draft(1, cause=1, severity="critical"), draft(2, cause=2, severity="high")], NOW)
    dispatch.run(NOW)
    assert [one.json["to"] for one in receiver.taken] == ["+491701234567"]
    assert set(Delivery.objects.values_list("channel", flat=True)) == {"sms", "email"}
    assert b"was taken" in client.post("/me/notifications/test/", {"key": method.key}).content


def test_codes_cannot_be_guessed_nor_asked_for_without_end(mara: User, receiver: Receiver) -> None:
    channel = made("sms_gateway", receiver.url, slug="sms")
    method = proving.add(mara, channel, "+491701234567", NOW)
    minute, at = timedelta(minutes=1), NOW
    proving.send_code(method, at)
    with pytest.raises(proving.NotPossible, match="a moment ago"):
        proving.send_code(method, at + timedelta(seconds=59))
    right = code_in(receiver)
    for _try in range(proving.TRIES):
        with pytest.raises(proving.NotPossible):
            proving.prove(method, "x", at)
    with pytest.raises(proving.NotPossible, match="Too many wrong codes"):
        proving.prove(method, right, at)
    for _code in range(proving.PER_HOUR - 1):
        at += minute
        proving.send_code(method, at)
    with pytest.raises(proving.NotPossible, match="Five codes"):
        proving.send_code(method, at + minute)
    with pytest.raises(proving.NotPossible, match="no longer good"):
        proving.prove(method, code_in(receiver), at + proving.GOOD_FOR + timedelta(seconds=1))
    assert len(receiver.taken) == proving.PER_HOUR
    proving.prove(method, code_in(receiver), at + proving.GOOD_FOR)
    assert ContactMethod.objects.get().verified_at


def test_what_is_not_proved_gets_no_news_and_anothers_address_is_missing(
    client: Client, mara: User, receiver: Receiver
) -> None:
    channel = made("sms_gateway", receiver.url, slug="sms")
    others = proving.add(person("jon"), channel, "+491709999999", NOW)
    for verb in ("code", "prove", "remove"):
        assert client.post(f"/me/notifications/methods/{others.pk}/{verb}/").status_code == 404
    assert client.post("/me/notifications/test/", {"key": others.key}).status_code == 404
    mine = proving.add(mara, channel, "+491701234567", NOW)
    assert client.post("/me/notifications/test/", {"key": mine.key}).status_code == 404
    workflow.raise_findings([draft(1, severity="critical")], NOW)
    dispatch.plan(NOW)
    assert set(Delivery.objects.values_list("channel", flat=True)) == {"email"}
    assert receiver.taken == []


def test_choices_are_kept_in_words_and_critical_stays_at_once(client: Client, mara: User) -> None:
    values = {"time_zone": "Europe/Berlin", "quiet_from": "22:00", "quiet_until": "07:00", "digest_at": "08:30"}
    values |= {"critical-day": "never", "critical-quiet": "digest", "normal-day": "digest", "low-day": "never"}
    values |= {"high-day": "now", "high-quiet": "later", "high-day-by": "m999", "normal-quiet": "sideways"}
    with time_machine.travel(NOW, tick=False):
        assert client.post("/me/notifications/save/", values).status_code == 302
        page = client.get("/me/notifications/").content.decode()
    for words in (
        "At once, by E-mail, day and night.",
        "At once, by E-mail; in quiet hours when quiet hours end, by E-mail.",
        "In the daily digest at 08:30, by E-mail; in quiet hours at once, by E-mail.",
        "Quiet from 22:00 until 07:00, digest at 08:30",
    ):
        assert words in page
    assert client.post("/me/notifications/save/", values | {"quiet_until": ""}).status_code == 422
    assert client.post("/me/notifications/save/", values | {"quiet_until": "22:00"}).status_code == 422
    assert client.post("/me/notifications/save/", values | {"time_zone": "Mars/Olympus"}).status_code == 422
    assert Preference.objects.get().digest_at.minute == 30


def test_the_pages_are_not_for_partners(client: Client) -> None:
    client.force_login(person("pat", role=Role.PARTNER))
    for path in ("/channels/", "/deliveries/", "/me/notifications/"):
        assert client.get(path).status_code == 404
