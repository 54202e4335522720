"""The rows of an XML file: every element of one name as a plain object. Pure.

Attributes are ``@name``; an element with only text is that text; one that stands several times is a list; the text of an
element that has more than text is ``#text``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apps.collectors.logs.xmlstream import XmlBroken, XmlStream

_PIECE = 64 * 1024


class _Reader:
    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self.ready: list[tuple[str, dict[str, Any]]] = []
        #: open elements inside of a row: (name, what it holds, its text)
        self.open: list[tuple[str, dict[str, Any], list[str]]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.open or name in self.names:
            self.open.append((name, {f"@{key}": value for key, value in attributes.items()}, []))

    def text(self, characters: str) -> None:
        if self.open:
            self.open[-1][2].append(characters)

    def end(self, name: str) -> None:
        if not self.open:
            return
        _, holds, texts = self.open.pop()
        text = "".join(texts).strip()
        if not self.open:
            if text:
                holds["#text"] = text
            self.ready.append((name, holds))
            return
        value: Any = text or None
        if holds:
            value = {**holds, "#text": text} if text else holds
        around = self.open[-1][1]
        if name not in around:
            around[name] = value
        elif isinstance(around[name], list):
            around[name].append(value)
        else:
            around[name] = [around[name], value]


def read(body: bytes, names: frozenset[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, row) of every outermost element of these names. Raises `XmlBroken` behind the last whole one."""
    reader = _Reader(names)
    stream = XmlStream(reader.start, reader.end, reader.text)
    try:
        for start in range(0, len(body), _PIECE):
            stream.feed(body[start : start + _PIECE])
            yield from _taken(reader)
        stream.feed(b"", last=True)
    except XmlBroken:
        yield from _taken(reader)
        raise
    yield from _taken(reader)


def _taken(reader: _Reader) -> list[tuple[str, dict[str, Any]]]:
    ready, reader.ready = reader.ready, []
    return ready
