"""XES (IEEE 1849): traces of events, read in pieces; memory holds one trace. Pure.

An event's row is given out when its trace ends, since attributes of the trace may stand behind its events. Values are
typed as the file says; what does not fit its type stays text. Nested attributes are left aside, lists become lists.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from apps.collectors.logs.xmlstream import XmlBroken, XmlStream

#: events of one trace held until it ends; beyond that rows go out with the attributes known by then
MOST_HELD = 50_000
_LONGEST_NUMBER = 64


def _integer(text: str) -> Any:
    if len(text) > 18:
        return text
    try:
        return int(text)
    except ValueError:
        return text


def _float(text: str) -> Any:
    try:
        number = float(text) if len(text) <= _LONGEST_NUMBER else math.nan
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _boolean(text: str) -> Any:
    return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower(), text)


_SCALARS: dict[str, Callable[[str], Any] | None] = {
    "string": None,
    "date": None,
    "id": None,
    "int": _integer,
    "float": _float,
    "boolean": _boolean,
}


class XesReader:
    """Takes the bytes of a log, gives the rows that became complete. name of the root: `log`."""

    def __init__(self) -> None:
        self._stream = XmlStream(self._start, self._end)
        self._ready: list[dict[str, Any]] = []
        #: containers that are open, outermost first: (what, its depth, where its attributes go)
        self._open: list[tuple[str, int, Any]] = []
        self._depth = 0
        self._level = 0
        self._case: dict[str, Any] = {}
        self._held: list[dict[str, Any]] = []
        self._number = 0

    def feed(self, data: bytes, last: bool = False) -> list[dict[str, Any]]:
        """The rows complete by now. Raises `XmlBroken`; `rest` has what was complete before that."""
        self._stream.feed(data, last)
        ready, self._ready = self._ready, []
        return ready

    def rest(self) -> list[dict[str, Any]]:
        """After a break: complete events, those of the trace that is not complete as well."""
        self._let_go()
        ready, self._ready = self._ready, []
        return ready

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth != self._level + 1:
            return  # inside of something that is not looked into
        if not self._open:
            if name != "log":
                raise XmlBroken(f"its root is <{name[:40]}>, not <log>", self._stream.position)
            self._push("log", {})
            return
        what, _, target = self._open[-1]
        if name in _SCALARS:
            self._attribute(what, target, name, attributes)
        elif name == "event" and what in ("trace", "log"):
            self._push("event", {})
        elif name == "trace" and what == "log":
            self._case, self._number = {}, 0
            self._push("trace", self._case)
        elif name in ("list", "container") and what in ("trace", "event"):
            values: list[Any] = []
            target[attributes.get("key", "")] = values
            self._push("list", values)
        elif name == "values" and what == "list":
            self._push("list", target)

    def _attribute(self, what: str, target: Any, name: str, attributes: dict[str, str]) -> None:
        value: Any = attributes.get("value", "")
        if (cast := _SCALARS[name]) is not None:
            value = cast(value)
        if what == "list":
            target.append(value)
        elif what != "log":
            target[attributes.get("key", "")] = value

    def _push(self, what: str, target: Any) -> None:
        self._open.append((what, self._depth, target))
        self._level = self._depth

    def _end(self, name: str) -> None:
        if self._depth == self._level:
            what, _, target = self._open.pop()
            self._level = self._open[-1][1] if self._open else 0
            if what == "event":
                self._event(target)
            elif what == "trace":
                self._let_go()
                self._case, self._number = {}, 0
        self._depth -= 1

    def _event(self, values: dict[str, Any]) -> None:
        if self._open[-1][0] == "log":  # a stream of events without traces
            self._ready.append({"case": {}, "number": 0, "event": values})
            return
        self._number += 1
        self._held.append({"case": self._case, "number": self._number, "event": values})
        if len(self._held) >= MOST_HELD:
            self._let_go()

    def _let_go(self) -> None:
        self._ready += self._held
        self._held = []


def read(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The rows of a log that comes in pieces. Raises `XmlBroken` after the last complete event."""
    reader = XesReader()
    try:
        for piece in pieces:
            yield from reader.feed(piece)
        yield from reader.feed(b"", last=True)
    except XmlBroken:
        yield from reader.rest()
        raise
