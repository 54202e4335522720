"""EPCIS documents in XML (1.0 to 1.2 and 2.0), read event by event in bounded memory. Pure.

Nothing of XML that reaches outside or grows inside is read: a DTD, entities, strange encodings, endless namespaces and
deep nesting are refused. A bare ``<!DOCTYPE name>`` declares nothing and is passed over (GS1's own examples have it).
Each event comes out in the shape of EPCIS JSON-LD, so that there is one interpretation of both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from apps.collectors.gs1.documents import EVENT_TYPES, Item, not_events
from apps.collectors.jsonbody import excerpt
from apps.flows.canonical import ParseFailure

MAX_DEPTH = 64
_CHUNK = 32 * 1024
#: encodings in which markup is written in ASCII, so that `_guard` sees all of it
_ENCODING = re.compile(rb"utf-?8|us-ascii|ascii|iso-8859-\d{1,2}|windows-125\d|cp125\d", re.IGNORECASE)
_DECLARATION = re.compile(rb"<\?xml(\s[^>]*)?\?>")
_DECLARED = re.compile(rb"encoding\s*=\s*[\"']([^\"']*)")
_PROLOG = re.compile(rb"(?:\s++|<\?.*?\?>|<!--.*?-->)++", re.DOTALL)
_BARE_DOCTYPE = re.compile(rb"<!DOCTYPE\s+[\w:.-]{1,100}\s*>", re.ASCII)
#: declarations of namespaces in one document, and characters of one; a long one would be copied for each name in it
_MOST_NAMESPACES, _LONGEST_NAMESPACE = 10_000, 1_000
_NAMESPACES = frozenset(
    f"{{urn:epcglobal:epcis{which}:xsd:{version}}}" for which in ("", "-query", "-masterdata") for version in (1, 2)
)
_DOCUMENTS = frozenset({"EPCISDocument", "EPCISQueryDocument", "QueryResults", "EPCISMasterDataDocument"})

#: fields of an event -> how they are written; a pair by the name of its entries
_FIELDS = {
    **dict.fromkeys(
        [
            "eventTime",
            "recordTime",
            "eventTimeZoneOffset",
            "eventID",
            "action",
            "bizStep",
            "disposition",
            "parentID",
            "transformationID",
            # of a QuantityEvent
            "epcClass",
            "quantity",
        ],
        "text",
    ),
    **dict.fromkeys(["epcList", "childEPCs", "inputEPCList", "outputEPCList"], "list"),
    **dict.fromkeys(["quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList"], "quantity"),
    "readPoint": "place",
    "bizLocation": "place",
    "bizTransactionList": "bizTransaction",
    "sourceList": "source",
    "destinationList": "destination",
    "errorDeclaration": "error",
    # EPCIS 1.x puts what later versions added into nested elements of these names
    "extension": "wrapper",
    "baseExtension": "wrapper",
}
_WRAPPERS = frozenset({"extension", "baseExtension"})


def is_xml(body: bytes) -> bool:
    """Whether a body looks like XML, in whatever encoding; the content type is not asked."""
    return body[:200].lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")[:1] == b"<"


def items(body: bytes) -> Iterator[Item]:
    """The events of a document, in order. Raises `ParseFailure` (``xml.*``, ``epcis.*``), at any point of it."""
    body = _guard(body)
    parser: XMLPullParser = XMLPullParser(("start", "end"))
    #: the elements around the next event; the depth, and that of the event being read
    path: list[Element] = []
    depth = inside = number = 0
    root = ""
    try:
        for start in range(0, len(body), _CHUNK):
            for event, element in _read(parser, body[start : start + _CHUNK]):
                if event == "start":
                    depth += 1
                    if depth > MAX_DEPTH:
                        sentence = f"Elements are nested deeper than {MAX_DEPTH} levels."
                        raise ParseFailure("xml.too_deep", sentence, f"event {number + 1}" if inside else root)
                    # nearly always inside an event, which is looked at when it ends
                    if not inside:
                        if depth == 1:
                            root = _root(element.tag)
                        if _is_event(element.tag, path):
                            inside = depth
                        else:
                            path.append(element)
                    continue
                depth -= 1
                if depth >= inside > 0:
                    continue
                if inside:
                    inside = 0
                    number += 1
                    raw = event_of(element)
                    yield Item(raw, f"event {number} ({raw['type']})")
                else:
                    path.pop()
                if path:
                    # what has been read is let go
                    del path[-1][:]
        parser.close()
    except ParseError as error:
        raise _broken(error, body) from None
    if not number:
        yield Item(None, root)


def _read(parser: XMLPullParser, part: bytes) -> Iterator[tuple[str, Element]]:
    parser.feed(part)
    return cast("Iterator[tuple[str, Element]]", parser.read_events())


def name_of(tag: str) -> str:
    """The name of an element of EPCIS itself; '' for one of a foreign namespace."""
    if tag[:1] != "{":
        return tag
    space, _, name = tag.rpartition("}")
    return name if space + "}" in _NAMESPACES else ""


def _is_event(tag: str, path: list[Element]) -> bool:
    """Whether an element stands where events stand, whatever its name is."""
    name = name_of(tag)
    if name in EVENT_TYPES:
        return True
    if name in _WRAPPERS:
        return False
    around = next((above for one in path[::-1] if (above := name_of(one.tag)) not in _WRAPPERS), "")
    return around == "EventList"


def _shown(tag: str) -> str:
    """The name of an event; of a foreign one with its namespace."""
    return name_of(tag) or excerpt(tag.removeprefix("{").replace("}", ":"), 100)


def event_of(element: Element) -> dict[str, Any]:
    """An event element as EPCIS JSON-LD says it. What is not of EPCIS 2.0's own fields is under ``rest``, as elements."""
    raw: dict[str, Any] = {"type": _shown(element.tag)}
    _collect(element, raw, 0)
    return raw


def _collect(element: Element, raw: dict[str, Any], depth: int) -> None:
    for child in element:
        name = child.tag if child.tag in _FIELDS else name_of(child.tag)
        kind = _FIELDS.get(name)
        if kind == "text":
            raw[name] = (child.text or "").strip()
        elif kind == "list":
            raw[name] = [(one.text or "").strip() for one in child]
        elif kind == "place":
            raw[name] = {"id": _text(child, "id")}
        elif kind == "quantity":
            raw[name] = [{field: _text(one, field) for field in ("epcClass", "quantity", "uom")} for one in child]
        elif kind == "error":
            raw[name] = {
                "declarationTime": _text(child, "declarationTime"),
                "reason": _text(child, "reason"),
                "correctiveEventIDs": [
                    (one.text or "").strip() for some in _children(child, "correctiveEventIDs") for one in some
                ],
            }
        elif kind == "wrapper" and depth < 4 and _is_ours(child):
            _collect(child, raw, depth + 1)
        elif kind is None or kind == "wrapper":
            raw.setdefault("rest", []).append(child)
        else:
            raw[name] = [{"type": one.get("type", ""), kind: (one.text or "").strip()} for one in child]


def _is_ours(wrapper: Element) -> bool:
    """Whether an ``extension`` holds fields of EPCIS and not somebody's own."""
    return any(name_of(child.tag) in _FIELDS or name_of(child.tag) == "ilmd" for child in wrapper)


def _children(element: Element, name: str) -> list[Element]:
    return [child for child in element if name_of(child.tag) == name]


def _text(element: Element, name: str) -> str:
    for child in element:
        if child.tag == name or name_of(child.tag) == name:
            return (child.text or "").strip()
    return ""


def _root(tag: str) -> str:
    name = name_of(tag)
    if name in _DOCUMENTS or name in EVENT_TYPES:
        return name
    raise not_events(name or tag)


def _guard(body: bytes) -> bytes:
    """The body in an encoding of which nothing is hidden, or a refusal."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in body[:4]:
        body = _from_utf16(body)
    body = body.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    declared = (found := _DECLARATION.match(body)) and _DECLARED.search(found[0])
    if declared and not _ENCODING.fullmatch(declared[1]):
        shown = excerpt(declared[1], 40)
        raise ParseFailure("xml.encoding", f"The encoding “{shown}” is not read; send UTF-8.", "line 1", shown)
    prolog = _PROLOG.match(body)
    place = prolog.end() if prolog else 0
    if body.startswith(b"<!DOCTYPE", place) and not _BARE_DOCTYPE.match(body, place):
        sentence = (
            "The document brings a DTD, which may declare entities or name other files; none is read. "
            "Send it without the DOCTYPE."
        )
        line = f"line {body.count(10, 0, place) + 1}"
        raise ParseFailure("xml.dtd", sentence, line, excerpt(body[place : place + 120]))
    _check_namespaces(body)
    return body


def _check_namespaces(body: bytes) -> None:
    """No namespace is so long that copying it for every name takes for ever. Linear."""
    at = equals = -1
    for _ in range(_MOST_NAMESPACES):
        at = body.find(b"xmlns", at + 1)
        if at < 0:
            return
        if equals < at:
            equals = body.find(b"=", at)
            if equals < 0:
                return
        value = body[equals + 1 : equals + 50].lstrip()
        quote = value[:1]
        start = body.find(quote, equals) + 1
        quoted = quote in (b'"', b"'")
        if quoted and body.find(quote, start, start + _LONGEST_NAMESPACE + 1) >= 0:
            continue
        # a text may say xmlns too, and a document that breaks off is the parser's to refuse
        if len(body) - start > _LONGEST_NAMESPACE and (not value or quoted) and body.find(b">", at, equals) < 0:
            line = f"line {body.count(10, 0, at) + 1}"
            sentence = f"A namespace is longer than {_LONGEST_NAMESPACE:,} characters."
            raise ParseFailure("xml.namespace", sentence, line, excerpt(body[at : at + 200]))
    raise ParseFailure("xml.namespace", f"The document declares more than {_MOST_NAMESPACES:,} namespaces.")


def _from_utf16(body: bytes) -> bytes:
    try:
        text = body.decode("utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else _ends(body)).encode()
    except UnicodeError as error:
        raise ParseFailure("xml.encoding", "The body begins like UTF-16 and is not.", "byte 0") from error
    return _DECLARATION.sub(b"", text, count=1)


def _ends(body: bytes) -> str:
    return "utf-16-be" if body[:1] == b"\x00" else "utf-16-le"


def _broken(error: ParseError, body: bytes) -> ParseFailure:
    line, column = error.position
    what = str(error).partition(":")[0]
    start = 0
    for _ in range(line - 1):
        start = body.find(10, start) + 1
    fragment = excerpt(body[max(0, start + column - 30) : start + column + 60])
    return ParseFailure(
        "xml.syntax", f"The document is not well-formed XML: {what}.", f"line {line}, column {column + 1}", fragment
    )
