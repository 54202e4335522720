"""What the live demo has beside the messages at its doors: a gateway's log that is followed, a folder where an AS2 gateway
puts receipts, and an Odoo that is asked. Reproducible from the time; files lie below the tower's drop root.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from apps.simulator.books import MODEL, Books
from apps.simulator.edi_writer import OURS
from apps.simulator.faults import BERLIN
from apps.simulator.formats.records import ARTICLES, log_line
from apps.simulator.wire import Delivery
from apps.simulator.world import Message

GATEWAY_LOG = "demo/edge/access.log"
RECEIPTS = "demo/as2/receipts"
#: a call this often, a stock report to the marketplace this often
CALL_EVERY, REPORT_EVERY = timedelta(seconds=20), timedelta(hours=2)
#: after the report: the receipt of its transmission, the acknowledgment of its content
RECEIPT_AFTER, ACKNOWLEDGED_AFTER = timedelta(minutes=2), timedelta(minutes=7)
MARKET, HINTS = "river-market-edi", "odoo-hints"
LARGEST_LOG = 5 * 1024 * 1024


def prepare(root: Path) -> None:
    """The folders and the log, so that a tower that looks before anything was written finds them empty."""
    for name in (RECEIPTS, str(Path(GATEWAY_LOG).parent)):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / GATEWAY_LOG).touch()


def moments(since: datetime, until: datetime, every: timedelta, offset: timedelta = timedelta(0)) -> Iterator[datetime]:
    """The multiples of a span (and an offset behind them) after since and not after until."""
    zero = datetime(2026, 1, 5, tzinfo=UTC) + offset
    at = zero + every * ((since - zero) // every + 1)
    while at <= until:
        yield at
        at += every


class Beside:
    """All of it, from a moment on. books: None where no Odoo could be started."""

    def __init__(self, root: Path, books: Books | None, since: datetime) -> None:
        prepare(root)
        self.root = root
        self.books = books
        self.told_to = since

    def plan(self, messages: Iterable[Message]) -> None:
        if self.books is not None:
            self.books.plan(messages)

    def step(self, now: datetime) -> list[Delivery]:
        """Writes what is due into files and books; returns what is to be posted."""
        since, self.told_to = self.told_to, now
        self._log(since, now)
        for at in moments(since, now, REPORT_EVERY, RECEIPT_AFTER):
            self._receipt(at)
        posts = [report(at) for at in moments(since, now, REPORT_EVERY)]
        posts += [acknowledgment(at) for at in moments(since, now, REPORT_EVERY, ACKNOWLEDGED_AFTER)]
        if self.books is not None:
            posts += [hint(own, now) for own in self.books.book(now)]
        return posts

    def _log(self, since: datetime, now: datetime) -> None:
        path = self.root / GATEWAY_LOG
        if path.exists() and path.stat().st_size > LARGEST_LOG:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as log:
            for at in moments(since, now, CALL_EVERY):
                log.write(log_line(at, random.Random(f"edge {at.isoformat()}")).encode() + b"\n")

    def _receipt(self, at: datetime) -> None:
        sent = at - RECEIPT_AFTER
        path = self.root / RECEIPTS / f"mdn-{sent:%Y%m%d%H%M}.mdn"
        part = path.with_suffix(".part")
        part.write_bytes(receipt(sent, at))
        part.replace(path)


def message_id(sent: datetime) -> str:
    return f"STOCK-{sent:%Y%m%d%H%M}@as2.harborandpine.example"


def _number(sent: datetime) -> int:
    return int(sent.timestamp() // 60) % 10**9


def _interchange(
    group: str, sender: str, receiver: str, at: datetime, number: int, lines: list[str], kind: str
) -> bytes:
    local = at.astimezone(BERLIN)
    envelope = [
        f"ISA*00*{'':10}*00*{'':10}*ZZ*{sender:<15}*ZZ*{receiver:<15}*{local:%y%m%d}*{local:%H%M}*U*00401*{number:09d}*0*P*>",
        f"GS*{group}*{sender}*{receiver}*{local:%Y%m%d}*{local:%H%M%S}*{number}*X*004010",
        f"ST*{kind}*0001",
        *lines,
        f"SE*{len(lines) + 2}*0001",
        f"GE*1*{number}",
        f"IEA*1*{number:09d}",
    ]
    return ("~\n".join(envelope) + "~\n").encode()


def report(sent: datetime) -> Delivery:
    """A copy of what we sent the marketplace: how many pieces of each article it may sell (X12 846), by AS2."""
    chance = random.Random(f"stock {sent.isoformat()}")
    local = sent.astimezone(BERLIN)
    lines = [f"BIA*00*MB*HP{_number(sent)}*{local:%Y%m%d}*{local:%H%M%S}"]
    for place, article in enumerate(ARTICLES, 1):
        lines += [f"LIN*{place}*VN*{article}", f"QTY*33*{chance.randint(0, 400)}*EA"]
    headers = {
        "as2-from": OURS,
        "as2-to": "RIVERMARKET",
        "message-id": f"<{message_id(sent)}>",
        "disposition-notification-to": "edi@harborandpine.example",
    }
    body = _interchange("IB", OURS, "RIVERMARKET", sent, _number(sent), lines, "846")
    return Delivery(MARKET, sent, body, "application/edi-x12", f"sent-{_number(sent)}", headers=headers)


def acknowledgment(at: datetime) -> Delivery:
    """The marketplace's 997 for it."""
    number = _number(at - ACKNOWLEDGED_AFTER)
    lines = [f"AK1*IB*{number}", "AK2*846*0001", "AK5*A", "AK9*A*1*1*1"]
    body = _interchange("FA", "RIVERMARKET", OURS, at, _number(at), lines, "997")
    return Delivery(MARKET, at, body, "application/edi-x12", f"ack-{_number(at)}")


def receipt(sent: datetime, at: datetime) -> bytes:
    """The marketplace's AS2 receipt (MDN) for the transmission, as its gateway puts it into a folder."""
    lines = [
        "AS2-From: RIVERMARKET",
        f"AS2-To: {OURS}",
        "AS2-Version: 1.2",
        f"Message-ID: <MDN-{_number(at)}@as2.rivermarket.example>",
        f"Date: {at.astimezone(UTC):%a, %d %b %Y %H:%M:%S} +0000",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=disposition-notification; boundary="part"',
        "",
        "--part",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        "The message was received and processed.",
        "--part",
        "Content-Type: message/disposition-notification",
        "",
        "Reporting-UA: River Gate 2",
        "Final-Recipient: rfc822; RIVERMARKET",
        f"Original-Message-ID: <{message_id(sent)}>",
        "Disposition: automatic-action/MDN-sent-automatically; processed",
        "",
        "--part--",
        "",
    ]
    return "\r\n".join(lines).encode()


def hint(own: int, at: datetime) -> Delivery:
    """What Odoo's automation rule posts when an invoice changes: where to look, and nothing else."""
    body: dict[str, Any] = {"_model": MODEL, "_id": own, "_action": "Tell the tower"}
    return Delivery(HINTS, at, orjson.dumps(body), "application/json", "")
