"""One dead letter: its bytes as text or hex with the place marked, what was expected, who can mend it, what is like it."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from apps.collectors import encoding
from apps.collectors.contract import COLLECTORS
from apps.collectors.faults import MAPPING, Fault, fault_of
from apps.collectors.models import DeadLetter, Receipt
from apps.collectors.positions import Span, locate
from apps.dashboard.selectors.deadletters import Asked

#: lines before and after the marked one, and characters around a mark within a very long line
AROUND = 14
LINE = 1_600
MARK = 400
HEX_ROWS = 24
ROW = 16
_EXPANDED = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Shown:
    """A line: what stands before the mark, the mark, and after. number: of the line, or offset of the row."""

    number: str
    before: str
    mark: str
    after: str
    here: bool


@dataclass(frozen=True, slots=True)
class LetterPage:
    letter: DeadLetter
    fault: Fault
    lines: list[Shown]
    is_hex: bool
    found: bool
    size: int
    gone: bool
    content_type: str
    alike: int
    alike_href: str
    mapping_href: bool
    neighbours: list[DeadLetter]
    second_above: int


def letter_page(pk: int) -> LetterPage | None:
    letter = (
        DeadLetter.objects.select_related("integration__partner", "integration__team", "resolved_by")
        .filter(pk=pk)
        .first()
    )
    if letter is None:
        return None
    receipt = Receipt.objects.filter(pk=letter.receipt_id, received_at=letter.received_at).first()
    body = _expanded(receipt) if receipt else b""
    text = as_text(body)
    span = locate(text, letter.position, letter.fragment, body) if text is not None else None
    plugin = COLLECTORS.plugins.get(letter.integration.kind)
    if text is not None and plugin is not None:
        text = plugin.shown(text)
    lines = text_lines(text, span) if text is not None else hex_rows(body, _byte(letter.position))
    asked = Asked(integration=letter.integration.slug, code=letter.code, cause=letter.cause.strip())
    fault = fault_of(letter.code)
    others = DeadLetter.objects.filter(receipt_id=letter.receipt_id).exclude(pk=pk).order_by("pk")
    return LetterPage(
        letter=letter,
        fault=fault,
        lines=lines,
        is_hex=text is None,
        found=span is not None,
        size=len(body),
        gone=receipt is None,
        content_type=receipt.content_type if receipt else "",
        alike=asked.rows().filter(state=DeadLetter.State.OPEN).count(),
        alike_href=asked.address(),
        mapping_href=bool(plugin and plugin.takes_mapping and (fault.who == MAPPING or letter.integration.mapping_id)),
        neighbours=list(others[:10]),
        second_above=settings.REPLAY_APPROVAL_ABOVE,
    )


def _expanded(receipt: Receipt) -> bytes:
    body = bytes(receipt.body)
    coding = receipt.headers.get("content-encoding", "") if isinstance(receipt.headers, dict) else ""
    if not coding:
        return body
    try:
        return encoding.expand(body, coding, _EXPANDED)
    except ValueError:
        return body


def as_text(body: bytes) -> str | None:
    """The body as text; None when it is none (then its bytes are shown)."""
    try:
        text = body.decode("utf-16" if body.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8")
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
        if text.count("\ufffd") > max(4, len(text) // 20):
            return None
    odd = sum(letter < " " and letter not in "\t\r\n\x1c\x1d\x1e\x1f" for letter in text[:20_000])
    return None if odd > max(2, len(text[:20_000]) // 50) else text


def text_lines(text: str, span: Span | None) -> list[Shown]:
    """The lines around the mark (or the first ones); a very long line is cut around it."""
    at = span.start if span else 0
    lines = text.split("\n")
    here = text.count("\n", 0, at)
    first = max(0, here - AROUND)
    start = sum(len(line) + 1 for line in lines[:first])
    found = []
    for number in range(first, min(len(lines), here + AROUND + 1)):
        line = lines[number]
        mark = span if span and number == here else None
        found.append(_line(str(number + 1), line, start, mark))
        start += len(line) + 1
    return found


def _line(number: str, line: str, start: int, span: Span | None) -> Shown:
    if span is None:
        cut = line if len(line) <= LINE else f"{line[:LINE]}…"
        return Shown(number, _visible(cut), "", "", False)
    begin, end = span.start - start, min(span.end - start, len(line))
    left = max(0, begin - LINE // 2)
    right = min(len(line), end + LINE // 2)
    marked = line[begin:end]
    if len(marked) > MARK:
        marked = f"{marked[: MARK - 1]}…"
    before = ("…" if left else "") + line[left:begin]
    after = line[end:right] + ("…" if right < len(line) else "")
    return Shown(number, _visible(before), _visible(marked) or "␊", _visible(after), True)


def _visible(text: str) -> str:
    """Control characters as their pictures, so that they can be seen."""
    return "".join(
        chr(0x2400 + ord(letter)) if letter < " " and letter != "\t" else "␡" if letter == "\x7f" else letter
        for letter in text.rstrip("\r")
    )


def hex_rows(body: bytes, at: int) -> list[Shown]:
    """Rows of sixteen bytes around an offset, as hexadecimal digits and as letters."""
    first = max(0, at // ROW - HEX_ROWS // 2)
    found = []
    for row in range(first, min(first + HEX_ROWS, (len(body) + ROW - 1) // ROW)):
        part = body[row * ROW : row * ROW + ROW]
        digits = " ".join(f"{byte:02x}" for byte in part)
        letters = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in part)
        here = row == at // ROW and bool(at)
        text = f"{digits:<47}  {letters}"
        found.append(Shown(f"{row * ROW:06x}", "" if here else text, text if here else "", "", here))
    return found


def _byte(position: str) -> int:
    digits = position.removeprefix("byte ").partition(",")[0].strip()
    return int(digits) if position.startswith("byte ") and digits.isdecimal() and len(digits) < 12 else 0
