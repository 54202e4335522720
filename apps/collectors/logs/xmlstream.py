"""XML in pieces, as it comes, without what XML can be made to do to its reader. Pure.

A document type, entities of its own and external ones are refused, and so is nesting without end: none of our formats
has them, and every known attack by XML needs one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn
from xml.parsers import expat

MAX_DEPTH = 64


class XmlBroken(Exception):
    """The document cannot be read on. Its text is the end of a sentence; position: 'line 3, column 7'."""

    def __init__(self, why: str, position: str = "") -> None:
        super().__init__(why)
        self.position = position


class XmlStream:
    """Feeds bytes to handlers. start(name, attributes), end(name) and text(characters); names without their prefix."""

    def __init__(
        self,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None],
        text: Callable[[str], None] | None = None,
    ) -> None:
        self._begin, self._finish = start, end
        self._depth = 0
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        if text is not None:
            parser.CharacterDataHandler = text
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.ExternalEntityRefHandler = self._refuse
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    def feed(self, data: bytes, last: bool = False) -> None:
        """Raises `XmlBroken`; what was complete before it has been handed over."""
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            position = f"line {error.lineno}, column {error.offset + 1}"
            raise XmlBroken(f"it is no well-formed XML ({expat.ErrorString(error.code)})", position) from None
        except (ValueError, LookupError) as error:  # an encoding that nobody knows, or one that is no text
            raise XmlBroken(f"its encoding cannot be read ({error})", self.position) from None

    @property
    def position(self) -> str:
        return f"line {self._parser.CurrentLineNumber}, column {self._parser.CurrentColumnNumber + 1}"

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise XmlBroken(f"elements lie in each other more than {MAX_DEPTH} deep", self.position)
        self._begin(name.rpartition(":")[2] if ":" in name else name, attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._finish(name.rpartition(":")[2] if ":" in name else name)

    def _refuse(self, *args: Any) -> NoReturn:
        raise XmlBroken("it has a document type or entities of its own, which are not read", self.position)
