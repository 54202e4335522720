"""120 spellings of forbidden addresses and 1,000 rebinding flips, at every sender: 0 connections to where they must not go.

The interpreter itself tells of every connection (``sys.addaudithook``), whoever opens it and however.
"""

from __future__ import annotations

import random
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from typing import Any

import pytest
from django.conf import settings

from apps.core import outbound
from apps.core.addresses import is_reachable
from apps.core.outbound import OutboundFailed, OutboundRefused
from apps.notifications import auditing
from apps.notifications.contract import CHANNELS, DeliveryError, Door
from tests.incidents.builders import NOW
from tests.notifications.receiver import Receiver, receiving
from tests.notifications.samples import HTTP_KINDS, message, target

_V4 = ["127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"]
_NAMES = ["localhost", "LOCALHOST", "localhost.", "localhost..", "ip6-localhost", "metadata.google.internal"]


def _octets(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def spellings() -> list[str]:
    """Hosts as they may stand in an address: dotted, short, octal, hexadecimal, one number, mapped, tunnelled, wide."""
    found: list[str] = []
    for text in _V4:
        a, b, c, d = _octets(text)
        number = (a << 24) + (b << 16) + (c << 8) + d
        low, high = f"{(a << 8) + b:x}", f"{(c << 8) + d:x}"
        found += [
            text,
            f"{text}.",
            str(number),
            hex(number),
            hex(number).upper().replace("0X", "0x"),
            f"0{number:o}",
            f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
            f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
            f"{a}.{(b << 16) + (c << 8) + d}",
            f"{a}.{b}.{(c << 8) + d}",
            f"[::ffff:{text}]",
            f"[::ffff:{low}:{high}]",
            f"[64:ff9b::{text}]",
            f"[2002:{low}:{high}::1]",
        ]
    found += [
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
    ]
    found += ["[0:0:0:0:0:0:0:1]", "[::0001]", "[64:ff9b:1::7f00:1]", "[2001:0:7f00:1::]", "[100::1]", "[3fff::1]"]
    found += ["①②⑦.⓪.⓪.①", "127。0。0。1", "127.0.0.1", *_NAMES, "224.0.0.1", "255.255.255.255", "127.0.0.1%00"]
    return found


SPELLINGS = spellings()


class _Watch:
    """Addresses somebody tried to connect to, while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[Any] = []

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and event in ("socket.connect", "socket.sendto"):
            self.seen.append(args[1])


WATCH = _Watch()
sys.addaudithook(WATCH.hear)


@contextmanager
def watching() -> Iterator[list[Any]]:
    WATCH.seen, WATCH.on = [], True
    try:
        yield WATCH.seen
    finally:
        WATCH.on = False


def through_channel(kind: str, url: str, door: Door) -> None:
    CHANNELS.get(kind).send(message(kind), target(kind, url, door, inside=False), NOW)


def through_switch(url: str, door: Door) -> None:
    """The dead-man switch of the auditor."""
    if "answered" not in auditing.sign_of_life([], door):
        raise OutboundRefused("told")


def through_door(url: str, door: Door) -> None:
    door("POST", url, body=b"x")


SENDERS: dict[str, Callable[[str, Door], None]] = {kind: partial(through_channel, kind) for kind in HTTP_KINDS}
SENDERS["dead-man switch"] = through_switch
SENDERS["the door itself"] = through_door


@pytest.fixture(scope="module")
def inside() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def local_resolver(host: str, port: int) -> list[str]:
    """What any resolver of an operating system does with numbers, without asking the network for names."""
    bare = host.strip("[]").rstrip(".").lower()
    if bare.endswith("localhost"):
        return ["127.0.0.1", "::1"]
    if bare == "metadata.google.internal":
        return ["169.254.169.254"]
    flags = socket.AI_NUMERICHOST
    return [str(info[4][0]) for info in socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=flags)]


def test_there_are_120_spellings_and_most_are_numbers_the_system_understands() -> None:
    assert len(set(SPELLINGS)) >= 120
    understood = 0
    for host in SPELLINGS:
        try:
            understood += bool(local_resolver(host, 80))
        except (OSError, UnicodeError):
            continue
    assert understood >= 90


@pytest.mark.parametrize("sender", sorted(SENDERS))
def test_no_spelling_gets_through(sender: str, inside: Receiver, settings: Any) -> None:
    door = partial(outbound.request, resolver=local_resolver)
    with watching() as seen:
        for host in SPELLINGS:
            url = settings.DEAD_MAN_URL = f"http://{host}:{inside.port}"
            with pytest.raises((OutboundRefused, OutboundFailed, DeliveryError)):
                SENDERS[sender](url, door)
    assert seen == []
    assert inside.taken == []


@pytest.mark.parametrize("sender", sorted(SENDERS))
def test_a_thousand_flips_of_a_name_lead_nowhere_forbidden(
    sender: str, inside: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver answers something public to whoever looks first and something inner to whoever looks again.

    Public addresses are not really dialled: the test stands in for the network and notes them.
    """
    dice = random.Random(sender)
    inner = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:10.0.0.1"]
    dialled: list[str] = []
    asked = 0

    def flipping(host: str, port: int) -> list[str]:
        nonlocal asked
        asked += 1
        outer = ["93.184.216.34", "2606:2800:220:1::1"]
        return [dice.choice(outer if asked % 2 else inner) for _ in range(dice.randint(1, 3))]

    def network(address: tuple[str, int], timeout: float) -> socket.socket:
        dialled.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(outbound.socket, "create_connection", network)
    door = partial(outbound.request, resolver=flipping)
    settings.DEAD_MAN_URL = url = f"http://rebind.example:{inside.port}"
    flips = 1_000
    with watching() as seen:
        for _flip in range(flips):
            before = asked
            with pytest.raises((OutboundRefused, OutboundFailed, DeliveryError)):
                SENDERS[sender](url, door)
            assert asked == before + 1, "a name is looked up once a request"
    assert seen == []
    assert dialled
    assert all(is_reachable(ip_address(one)) for one in dialled)


def test_control_a_door_that_looks_up_again_would_be_caught(inside: Receiver) -> None:
    """The tests above can fail: checking first and connecting by name is what traps others (a rebinding window)."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])

    def naive(method: str, url: str, **options: Any) -> outbound.Response:
        [checked] = next(answers)
        assert is_reachable(ip_address(checked))
        [again] = next(answers)
        socket.create_connection((again, inside.port)).close()
        return outbound.Response(200, {}, b"")

    with watching() as seen:
        through_channel("slack", f"http://rebind.example:{inside.port}", naive)
    assert [address[0] for address in seen] == ["127.0.0.1"]


#: what opens connections by itself; brokers (Kafka, Redis) and the mail server are the administrator's own settings
OPENERS = {"socket", "http.client", "urllib.request", "urllib3", "requests", "httpx", "aiohttp", "apprise", "ftplib"}


def test_nobody_but_the_door_opens_connections() -> None:
    """Every sender of the tower goes through the door; the pretend network (simulator) is not the tower."""
    found = set()
    word = "|".join(re.escape(one) for one in sorted(OPENERS))
    opener = re.compile(
        rf"^\s*(?:import|from) (?:{word})\b|^\s*from (?:http|urllib) import .*\b(?:client|request)\b", re.M
    )
    for path in sorted((settings.BASE_DIR / "apps").rglob("*.py")):
        if opener.search(path.read_text()):
            found.add(str(path.relative_to(settings.BASE_DIR)))
    assert {one for one in found if not one.startswith("apps/simulator/")} == {"apps/core/outbound.py"}
