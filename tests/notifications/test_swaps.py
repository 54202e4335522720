"""A swap of shifts is asked and answered by message: over real SMTP, with a link that a scanner may open."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.accounts.models import Role, User
from apps.notifications.auditing import look
from apps.notifications.dispatch import run
from apps.notifications.models import Channel, ContactMethod, Delivery, Preference
from apps.oncall import changing, links
from apps.oncall.models import Schedule, Swap, SwapNews
from tests.incidents.builders import HOUR, MINUTE, NOW, person, team
from tests.notifications.mailserver import Mailbox, part
from tests.oncall.builders import rotation_of

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def crew(db: None) -> Schedule:
    """mara, jon and kim take turns of a day from NOW on."""
    zones = {"mara": "Europe/Berlin", "jon": "America/New_York", "kim": "UTC"}
    people = [person(name, role=Role.ON_CALL, time_zone=zone) for name, zone in zones.items()]
    return rotation_of(team("night"), "Nights", NOW, DAY, people)


def user(name: str) -> User:
    return User.objects.get(username=name)


def asked(crew: Schedule, whom: str | None = "jon", **values: Any) -> Swap:
    return changing.ask_swap(
        crew, user("mara"), user(whom) if whom else None, NOW + HOUR, NOW + 3 * HOUR, NOW, **values
    )


def token_in(text: str) -> str:
    found = re.search(r"https://tower\.example/on-call/swap/([^/\s]+)/", text)
    assert found
    return found[1]


def test_asked_answered_and_heard(mailbox: Mailbox, crew: Schedule, client: Client) -> None:
    swap = asked(crew, reason="my daughter's concert")
    assert run(NOW).sent == 1
    [mail] = mailbox.mails
    assert mail["To"] == "jon@tower.example"
    assert mail["Subject"].startswith("[ON CALL] Mara asks you to take a shift: Nights, Mon 2 Mar 2026, 05:00 EST")
    text = part(mail, "plain")
    assert "my daughter's concert" in text
    address = f"/on-call/swap/{token_in(text)}/"
    with time_machine.travel(NOW + MINUTE, tick=False):
        for _ in range(3):
            page = client.get(address)
        assert page.status_code == 200
        assert "Agree: I take it" in page.content.decode()
        swap.refresh_from_db()
        assert swap.state == "asked", "opening it changes nothing"
        assert client.post(address, {"answer": "maybe"}).status_code == 400
        answer = client.post(address, {"answer": "agree"}, follow=True)
        assert "You agreed" in answer.content.decode()
        again = client.post(address, {"answer": "decline"})
        assert again.status_code == 409
        assert "answered already" in again.content.decode()
    swap.refresh_from_db()
    assert (swap.state, swap.answered_by) == ("agreed", user("jon"))
    run(NOW + 10 * MINUTE)
    assert mailbox.mails[-1]["To"] == "mara@tower.example"
    assert mailbox.mails[-1]["Subject"].startswith("[ON CALL] Jon takes your shift: Nights, Mon 2 Mar 2026, 11:00 CET")
    assert len(mailbox.mails) == 2
    assert run(NOW + HOUR).sent == 0


def test_anybody_means_everybody_else_of_the_schedule_and_one_takes_it(mailbox: Mailbox, crew: Schedule) -> None:
    swap = asked(crew, whom=None)
    run(NOW)
    assert sorted(mail["To"] for mail in mailbox.mails) == ["jon@tower.example", "kim@tower.example"]
    changing.answer_swap(swap.pk, user("kim"), False, NOW + MINUTE)
    run(NOW + 5 * MINUTE)
    assert mailbox.mails[-1]["Subject"].startswith("[ON CALL] Kim cannot take your shift")


def test_what_was_taken_back_before_it_went_is_not_asked(mailbox: Mailbox, crew: Schedule) -> None:
    swap = asked(crew)
    changing.withdraw_swap(swap.pk, user("mara"), NOW)
    run(NOW)
    states = dict(Delivery.objects.values_list("swap_news__kind", "state"))
    assert states == {"asked": "dropped", "withdrawn": "sent"}
    assert [mail["Subject"].split(":")[0] for mail in mailbox.mails] == ["[ON CALL] No longer asked"]


def test_an_agreed_swap_that_is_undone_is_told_to_the_other(mailbox: Mailbox, crew: Schedule) -> None:
    swap = asked(crew)
    changing.answer_swap(swap.pk, user("jon"), True, NOW)
    changing.withdraw_swap(swap.pk, user("jon"), NOW + MINUTE)
    run(NOW + MINUTE)
    assert list(SwapNews.objects.values_list("kind", flat=True)) == ["asked", "agreed", "undone"]
    assert [(mail["To"], mail["Subject"].split(":")[0]) for mail in mailbox.mails] == [
        ("mara@tower.example", "[ON CALL] The swap is undone")
    ]


def test_by_their_own_channel_and_never_by_a_telephone_that_rings(mailbox: Mailbox, crew: Schedule) -> None:
    for slug, kind in (("push", "ntfy"), ("call", "voice_gateway")):
        row = Channel.objects.create(slug=slug, name=slug, kind=kind, created_at=NOW)
        for name in ("jon", "kim"):
            method = ContactMethod.objects.create(
                user=user(name), channel=row, address=f"{name}-{slug}", verified_at=NOW, created_at=NOW
            )
            if (name, slug) in (("jon", "push"), ("kim", "call")):
                rules = {
                    "high": {"day": {"how": "now", "by": [method.key]}, "quiet": {"how": "now", "by": [method.key]}}
                }
                Preference.objects.create(user=user(name), rules=rules, changed_at=NOW)
    asked(crew, whom=None)
    run(NOW)
    assert list(Delivery.objects.order_by("user__username").values_list("channel", "recipient")) == [
        ("push", "jon-push"),
        ("email", "kim@tower.example"),
    ]


def test_a_shift_far_ahead_waits_for_the_end_of_quiet_hours(mailbox: Mailbox, crew: Schedule) -> None:
    for name in ("jon", "kim"):
        Preference.objects.create(
            user=user(name), quiet_from=time(0, 0), quiet_until=time(23, 0), changed_at=NOW,
            rules={"normal": {"quiet": {"how": "later", "by": ["email"]}}},
        )  # fmt: skip
    far = changing.ask_swap(crew, user("mara"), user("kim"), NOW + 3 * DAY, NOW + 3 * DAY + HOUR, NOW)
    run(NOW)
    one = Delivery.objects.get(swap_news__swap=far)
    assert (one.state, mailbox.mails) == ("waiting", [])
    assert one.held_until is not None


def test_a_link_is_for_one_person_one_swap_and_seven_days(crew: Schedule, client: Client) -> None:
    swap = asked(crew)
    good = links.sign(swap.pk, user("jon").pk, NOW)
    with time_machine.travel(NOW, tick=False):
        for wrong in (good[:-1], good + "x", good.replace(str(swap.pk), str(swap.pk + 1), 1), "x", "1.2.3:" + "a" * 43):
            assert client.get(f"/on-call/swap/{wrong}/").status_code == 404
        kims = links.sign(swap.pk, user("kim").pk, NOW)
        refused = client.post(f"/on-call/swap/{kims}/", {"answer": "agree"})
        assert refused.status_code == 409
        assert "Another person was asked" in refused.content.decode()
        User.objects.filter(username="jon").update(is_active=False)
        assert client.post(f"/on-call/swap/{good}/", {"answer": "agree"}).status_code == 404
    with time_machine.travel(NOW + links.GOOD_FOR, tick=False):
        assert client.get(f"/on-call/swap/{good}/").status_code == 404
    swap.refresh_from_db()
    assert swap.state == "asked"


def test_the_log_shows_it_and_the_auditor_misses_it(mailbox: Mailbox, crew: Schedule, client: Client) -> None:
    asked(crew)
    assert [one.kind for one in look(NOW + HOUR)] == ["unplanned"]
    run(NOW)
    assert look(NOW + HOUR) == []
    client.force_login(person("ada", role=Role.ADMIN, is_superuser=True))
    page = client.get("/deliveries/")
    assert page.status_code == 200
    assert "Mara asks you to take a shift" in page.content.decode()
