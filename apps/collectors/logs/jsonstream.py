"""One large JSON object, member by member, and the elements of its lists one by one. Pure; memory holds one of them."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

#: characters of one element; a longer one is not waited for
LONGEST = 16 * 1024 * 1024
_BLANK = re.compile(r"[ \t\r\n]*")


class JsonBroken(Exception):
    """The document cannot be read on. Its text is the end of a sentence; position: 'character 4711'."""

    def __init__(self, why: str, position: str) -> None:
        super().__init__(why)
        self.position = position


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


class _Text:
    """A window over the text that grows until what is looked for lies in it whole."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("strict").decode
        self._text = ""
        self._at = 0
        self._before = 0
        self._ended = False

    def broken(self, why: str) -> JsonBroken:
        return JsonBroken(why, f"character {self._before + self._at + 1:,}")

    def peek(self) -> str:
        """The next character that is no blank; '' at the end."""
        while True:
            match = _BLANK.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, wanted: str) -> None:
        found = self.peek()
        if found != wanted:
            shown = f"there is “{found}”" if found else "it ends"
            raise self.broken(f"where “{wanted}” is expected, {shown}")
        self._at += 1

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                found, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                raise self.broken("a value is nested too deep") from None
            except ValueError as error:
                if len(self._text) - self._at > LONGEST:
                    raise self.broken("a value is broken, or longer than an element may be") from None
                if self._more():
                    continue
                raise self.broken(f"it is no JSON ({str(error).split(':')[0].lower()})") from None
            # a number or a word at the very end of the window may go on behind it
            if end < len(self._text) or self._text[end - 1] in '"]}' or not self._more():
                self._at = end
                return found

    def _more(self) -> bool:
        """Reads at least as much again as is unread, so that a long element is not tried over and over."""
        if self._ended:
            return False
        self._text, self._before, self._at = self._text[self._at :], self._before + self._at, 0
        wanted = 2 * len(self._text)
        found = [self._text]
        size = len(self._text)
        while size <= wanted and not self._ended:
            piece = next(self._pieces, None)
            self._ended = piece is None
            try:
                text = self._decode(piece or b"", self._ended)
            except UnicodeDecodeError as error:
                raise self.broken(f"it is no UTF-8 ({error.reason})") from None
            found.append(text)
            size += len(text)
        self._text = "".join(found)
        return size > wanted // 2


def members(pieces: Iterator[bytes], parts: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """(name, value) of the object's members; of those in `parts` that are lists, (name, element) for each element, and
    of those that are objects, (name, (its member's name, value)) for each member.

    Raises `JsonBroken` where the text is broken; what stood before it has been given out.
    """
    text = _Text(pieces)
    for name in _names(text):
        if name in parts and text.peek() == "[":
            yield from ((name, element) for element in _elements(text))
        elif name in parts and text.peek() == "{":
            for inner in _names(text):
                yield name, (inner, text.value())
        else:
            yield name, text.value()
    if text.peek():
        raise text.broken("it goes on behind its end")


def _names(text: _Text) -> Iterator[str]:
    """The names of an object's members; whoever takes one reads its value before the next."""
    text.take("{")
    if text.peek() != "}":
        while True:
            name = text.value()
            if not isinstance(name, str):
                raise text.broken("a member has no name")
            text.take(":")
            yield name
            if text.peek() != ",":
                break
            text.take(",")
    text.take("}")


def _elements(text: _Text) -> Iterator[Any]:
    text.take("[")
    if text.peek() != "]":
        while True:
            yield text.value()
            if text.peek() != ",":
                break
            text.take(",")
    text.take("]")
