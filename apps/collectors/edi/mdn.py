"""Message disposition notifications of AS2 as they come over the wire (RFC 8098/3798, RFC 4130 section 7.4). Pure.

A gateway keeps them in many shapes: the MIME message, the body of an HTTP request whose headers carry the content type,
a whole HTTP answer, a signed report, or nothing but the fields. All of them hold the same machine-readable fields.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import MessageError
from email.message import Message

from apps.collectors.edi.segments import clean, excerpt
from apps.flows.canonical import ParseFailure

MAX_BYTES = 256 * 1024
#: parts inside parts; a signed and compressed report has 5. More is no report, and slow to read
_MOST_PARTS = 20
_PART = re.compile(rb"(?:multipart|message)/", re.IGNORECASE)
_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)? \d{3}[^\r\n]{0,200}\r?\n")
_BOUNDARY = re.compile(rb"--([0-9A-Za-z'()+_,./:=? -]{1,70})[ \t]*\r?\n")
_FOLDED = re.compile(r"\r?\n[ \t]+")
#: headers of a delivery that belong to the message itself
_HEADERS = ("as2-from", "as2-to", "message-id", "date", "subject", "mime-version")
_REPORT = "message/disposition-notification"


@dataclass(frozen=True, slots=True)
class Report:
    """One report. fields: its machine-readable fields; headers: of the message around; names are lower case.

    text: what it says for people; signed: it is inside a multipart/signed (the signature is not verified here).
    """

    fields: Mapping[str, str]
    headers: Mapping[str, str]
    text: str
    signed: bool


def read(body: bytes, content_type: str, headers: Mapping[str, str]) -> Report:
    """Raises `ParseFailure` (mdn.empty, mdn.too_large, mdn.too_many_parts, mdn.no_report)."""
    if len(body) > MAX_BYTES:
        raise ParseFailure("mdn.too_large", f"The file has {len(body):,} bytes; a report has at most {MAX_BYTES:,}.")
    body = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not body:
        raise ParseFailure("mdn.empty", "The file is empty; ask the gateway for the report again.")
    if len(_PART.findall(body)) > _MOST_PARTS:
        raise ParseFailure("mdn.too_many_parts", f"The message has more than {_MOST_PARTS} parts; that is no report.")
    if status := _STATUS_LINE.match(body):
        body = body[status.end() :]
    try:
        message = message_from_bytes(_whole(body, content_type, headers))
        found = next((fields for part in message.walk() if (fields := _fields_of(part))), None)
        text = next(_texts(message), "")
        around = {name.lower(): _value(value) for name, value in message.items()}
        signed = any(part.get_content_type() == "multipart/signed" for part in message.walk())
    except (MessageError, RecursionError, LookupError, ValueError, TypeError) as error:
        raise ParseFailure(
            "mdn.malformed", f"The message cannot be taken apart ({type(error).__name__}); it was damaged on its way."
        ) from error
    if found is None:
        beginning = excerpt(body[:200].decode("latin-1"), 40)
        raise ParseFailure(
            "mdn.no_report",
            "There is no disposition notification in this message: no part of type "
            f"{_REPORT}. It begins with {beginning!r}.",
            "part 1",
            excerpt(body[:400].decode("latin-1")),
        )
    return Report(found, {**{name: headers[name] for name in _HEADERS if name in headers}, **around}, text, signed)


def _whole(body: bytes, content_type: str, headers: Mapping[str, str]) -> bytes:
    """The message with its headers: those of the delivery, or the boundary it begins with, where it has none."""
    bare = _BOUNDARY.match(body)
    if bare is None:
        return body
    if content_type.lower().startswith("multipart/") and "boundary" in content_type.lower():
        kind = content_type.encode("latin-1", "replace").replace(b"\r", b" ").replace(b"\n", b" ")
    else:
        kind = b'multipart/report; boundary="' + bare[1].rstrip() + b'"'
    return b"Content-Type: " + kind + b"\r\n\r\n" + body


def _fields_of(part: Message) -> dict[str, str]:
    """The fields of a report part; {} when the part is none."""
    if part.get_content_type() == _REPORT:
        inner = part.get_payload()
        found = _as_fields(inner[0]) if isinstance(inner, list) and inner and isinstance(inner[0], Message) else {}
        if not found and isinstance(inner, list) and inner and isinstance(inner[0], Message):
            found = _decoded(str(inner[0].get_payload()))
        return found
    # a gateway that keeps nothing but the fields
    return _as_fields(part) if "original-message-id" in part or "disposition" in part else {}


def _as_fields(message: Message) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in message.items():
        found.setdefault(name.lower(), _value(value))
    return found if "disposition" in found or "original-message-id" in found else {}


def _decoded(text: str) -> dict[str, str]:
    """The fields of a part that came in base64, which the standard does not want and some senders do."""
    try:
        return _as_fields(message_from_bytes(base64.b64decode(text, validate=False)))
    except (binascii.Error, ValueError):
        return {}


def _texts(message: Message) -> Iterator[str]:
    for part in message.walk():
        if part.get_content_type() == "text/plain":
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes) and payload.strip():
                yield clean(" ".join(payload[:2000].decode("utf-8", "replace").split()))[:500]


def _value(value: object) -> str:
    return clean(_FOLDED.sub(" ", str(value)))[:500]
