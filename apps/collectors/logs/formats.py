"""Which event log a file is, by its first bytes and its content type, and its rows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from email.message import Message
from pathlib import PurePosixPath
from typing import Any

import orjson

from apps.collectors import encoding, tables
from apps.collectors.contract import RawDelivery
from apps.collectors.logs import ocel, ocel_sqlite, xes
from apps.collectors.logs.ocel import OcelBroken
from apps.collectors.logs.xmlstream import XmlBroken
from apps.flows.canonical import ParseFailure

XES, OCEL_JSON, OCEL_XML, OCEL_SQLITE = (
    "application/xes+xml",
    "application/ocel+json",
    "application/ocel+xml",
    "application/vnd.sqlite3",
)
GZIP = "application/gzip"
#: parameter of application/x-ndjson: each line is a row as this package makes them
ROWS = "rows"
HEAD = 64 * 1024
#: of a packed delivery, once it is unpacked
_MOST_BYTES = 64 * 1024 * 1024

_FORMS = {XES: "xes", OCEL_JSON: "ocel-json", OCEL_XML: "ocel-xml", OCEL_SQLITE: "ocel-sqlite"}
_BLANK = b"\xef\xbb\xbf \t\r\n"
_ROOT = re.compile(rb"<(?:[\w.-]+:)?log[\s/>]")
_OCEL_XML = re.compile(rb"<(?:[\w.-]+:)?(?:object-types|event-types|objects|events)[\s/>]")
_OCEL_JSON = re.compile(rb'^\s*\{\s*"(?:objectTypes|eventTypes|events|objects|ocel:[a-z-]+)"\s*:')
_OCEL_TYPES = re.compile(rb'"(?:objectTypes|eventTypes)"\s*:\s*\[')


def sniff(head: bytes) -> str:
    """xes, ocel-json, ocel-xml, ocel-sqlite, or '' for none of them. head: the first bytes, unpacked."""
    if head.startswith(ocel_sqlite.MAGIC):
        return "ocel-sqlite"
    start = head.lstrip(_BLANK)[:1]
    if start == b"<" and (root := _ROOT.search(head)):
        child = re.search(rb"<[\w]", head[root.end() :])
        is_ocel = child is not None and _OCEL_XML.match(head, root.end() + child.start())
        return "ocel-xml" if is_ocel else "xes"
    if start == b"{" and (_OCEL_JSON.match(head.lstrip(b"\xef\xbb\xbf")) or _OCEL_TYPES.search(head)):
        return "ocel-json"
    return ""


def form_of(delivery: RawDelivery) -> str:
    """The form of a delivery's rows, '' for a table. JSON lines are rows of ours only where the content type says so."""
    header = Message()
    header["content-type"] = delivery.content_type or tables.CSV
    media_type = header.get_content_type()
    if media_type == tables.JSON_LINES:
        return ROWS if header.get_param("log") else ""
    if media_type in (tables.CSV, tables.TSV, tables.PARQUET):
        return ""
    return sniff(delivery.body[:HEAD]) or _FORMS.get(media_type, "")


def unpacked(delivery: RawDelivery, content_types: Mapping[str, str]) -> RawDelivery:
    """A delivery without its gzip, if it has one; what it is then, its name or its first bytes say.

    Raises `ParseFailure`.
    """
    if not delivery.body.startswith(encoding.GZIP_MAGIC):
        return delivery
    try:
        body = encoding.expand(delivery.body, "gzip", _MOST_BYTES)
    except ValueError as error:
        raise ParseFailure("file.gzip", f"The file cannot be unpacked: {error}.") from None
    content_type = delivery.content_type
    if "gzip" in content_type or "octet-stream" in content_type:
        name = delivery.headers.get("file-name", "").lower().removesuffix(".gz")
        form = sniff(body[:HEAD])
        by_form = next((media for media, one in _FORMS.items() if one == form), tables.CSV)
        content_type = content_types.get(PurePosixPath(name).suffix, by_form)
    return replace(delivery, body=body, content_type=content_type)


def rows(form: str, body: bytes) -> Iterator[tables.Row]:
    """The rows of a whole log. Where it breaks off, the last row says so; what stood before it is read."""

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), HEAD):
            yield body[start : start + HEAD]

    readers: dict[str, Any] = {
        "xes": lambda: xes.read(pieces()),
        "ocel-json": lambda: ocel.read_json(pieces),
        "ocel-xml": lambda: ocel.read_xml(pieces),
        "ocel-sqlite": lambda: ocel_sqlite.read_bytes(body),
    }
    try:
        if form == ROWS:
            yield from _lines(body)
        else:
            for values in readers[form]():
                yield tables.Row(values)
    except (XmlBroken, OcelBroken) as error:
        place = f" at {error.position}" if error.position else ""
        yield tables.Row(None, f"the log breaks off here, since {error}{place}")


def line(row: dict[str, Any]) -> str:
    """A row as a line of a receipt."""
    return orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS).decode() + "\n"


def _lines(body: bytes) -> Iterator[tables.Row]:
    for text in body.split(b"\n"):
        if not text.strip():
            continue
        try:
            values = orjson.loads(text)
        except ValueError:
            values = None
        yield tables.Row(values) if isinstance(values, dict) else tables.Row(None, "it is no JSON object")
