"""An identity for EPCIS events that bring none (`eventID`), so that one told twice is one. Pure.

In the spirit of the event hash of CBV 2.0 (section 8.9), but ours alone: keys in canonical form, times in UTC, the order
of lists and the syntax (XML, JSON, URN, Digital Link) do not count, nor does when a repository recorded it. It is
compared inside one integration and never sent to anybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

_MOST_LEAVES = 5_000
#: fields that are compared in canonical form, or not at all
_KNOWN = frozenset(
    [
        "type",
        "@type",
        "isA",
        "eventTime",
        "recordTime",
        "eventTimeZoneOffset",
        "eventID",
        "action",
        "bizStep",
        "disposition",
        "readPoint",
        "bizLocation",
        "epcList",
        "childEPCs",
        "inputEPCList",
        "outputEPCList",
        "parentID",
        "quantityList",
        "childQuantityList",
        "inputQuantityList",
        "outputQuantityList",
        "bizTransactionList",
        "sourceList",
        "destinationList",
        "transformationID",
        "errorDeclaration",
        "@context",
    ]
)


def identity(facts: Sequence[tuple[str, str]], raw: Mapping[str, Any]) -> str:
    """``hash:..`` of an event: facts are its canonical (field, value) pairs; the rest of it counts as it was written."""
    pairs = [*facts, *_leaves(raw)] if raw.keys() - _KNOWN else list(facts)
    pairs.sort()
    told = "".join([f"{len(name)}:{name}{len(value)}:{value}" for name, value in pairs])
    return "hash:" + hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _leaves(raw: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values at the ends of everything that has no canonical form: sensor data, ILMD, extensions."""
    found: list[tuple[str, str]] = []
    for name, value in raw.items():
        if name in _KNOWN:
            continue
        ends = _of_elements(value) if name == "rest" and _elements(value) else _of_json(_local(name), value)
        for leaf in ends:
            if len(found) >= _MOST_LEAVES:
                return found
            found.append(leaf)
    return found


def _elements(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Element)


def _of_elements(elements: Sequence[Element]) -> Iterator[tuple[str, str]]:
    for element in elements:
        for name, value in element.attrib.items():
            if not name.startswith("{http://www.w3.org/2001/XMLSchema-instance}"):
                yield _local(name), _plain(value)
        if len(element):
            yield from _of_elements(list(element))
        elif element.text and element.text.strip():
            yield _local(element.tag), _plain(element.text.strip())


def _of_json(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for inner, one in value.items():
            if not inner.startswith("@"):
                yield from _of_json(_local(inner), one)
    elif isinstance(value, list):
        for one in value:
            yield from _of_json(name, one)
    elif value is not None:
        yield name, _plain(value)


def _local(name: str) -> str:
    """The name without its namespace, which every syntax writes in its own way."""
    return name.rpartition("}")[2].rpartition(":")[2]


def _plain(value: Any) -> str:
    """Numbers alike however they are written: 26, 26.0 and "26.0" are one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if text[:1].isdigit() or text[:1] in "+-.":
        try:
            return repr(float(text)) if len(text) <= 40 else text
        except ValueError:
            return text
    return text
