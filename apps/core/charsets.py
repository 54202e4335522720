"""Keeps a request's charset to one that decodes every text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable
from typing import Any

#: what browsers and machines send, by Python's names
_TAKEN = frozenset({"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252"})
_CHARSET = re.compile(r""";\s*charset\*?\s*=\s*("[^"]*"|[^;]*)""", re.IGNORECASE)


class TextCharsets:
    """WSGI, in front of Django: takes any other charset off the Content-Type; the request is read as UTF-8 then.

    Django asks Python only whether it knows the name, and falls over when it decodes the path by it (rot13, idna,
    punycode), before any middleware runs.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        content_type = environ.get("CONTENT_TYPE", "")
        if "charset" in content_type.lower():
            environ["CONTENT_TYPE"] = _CHARSET.sub(_kept, content_type)
        return self._application(environ, start_response)


def _kept(parameter: re.Match[str]) -> str:
    try:
        name = codecs.lookup(parameter[1].strip().strip('"')).name
    except (LookupError, ValueError):
        return ""
    return parameter[0] if name in _TAKEN else ""
