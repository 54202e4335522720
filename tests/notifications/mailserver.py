"""A real SMTP server on the loopback, with a memory and moods."""

from __future__ import annotations

import email
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from email.policy import default
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Mailbox:
    """mood: reply to DATA ("250 OK" takes the message); refused: reply to RCPT by address."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.mood = "250 OK"
        self.refused: dict[str, str] = {}
        self.tried = 0
        self.drop_after_taking = False

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.tried += 1
        if self.mood.startswith("250"):
            self.mails.append(email.message_from_bytes(cast(bytes, envelope.content), policy=default))  # type: ignore[arg-type]
        if self.drop_after_taking:
            cast(Any, server).transport.abort()
        return self.mood

    def ids(self) -> list[str]:
        return [str(mail["Message-ID"]) for mail in self.mails]

    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]


def part(mail: Message, kind: str) -> str:
    """The text of a mail in one of its two forms: "plain" or "html"."""
    body = cast(Any, mail).get_body(preferencelist=(kind,))
    return str(body.get_content())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running() -> Iterator[tuple[Mailbox, int]]:
    """Mailbox and port of a server that lives as long as the block."""
    mailbox, port = Mailbox(), free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mailbox, port
    finally:
        controller.stop()
