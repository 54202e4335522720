"""A request's charset: what no text can be decoded by is taken off before Django sees it."""

from __future__ import annotations

import encodings.aliases
from collections.abc import Iterable
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory

from apps.core.charsets import TextCharsets


def passed_on(content_type: str) -> WSGIRequest:
    """The request as Django reads it behind the guard, path and query decoded."""
    seen: list[WSGIRequest] = []

    def django(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = WSGIRequest(environ)
        assert request.GET["a"] == "1"
        assert request.path_info == "/é"
        seen.append(request)
        return []

    environ = RequestFactory()._base_environ(
        PATH_INFO="/é".encode().decode("latin-1"), QUERY_STRING="a=1", CONTENT_TYPE=content_type
    )
    TextCharsets(django)(environ, None)  # type: ignore[arg-type]
    return seen[0]


@pytest.mark.parametrize("name", sorted({*encodings.aliases.aliases.values(), "idna", "punycode", "undefined", "\0"}))
def test_no_charset_stops_a_request(name: str) -> None:
    for written in (f"charset={name}", f'CHARSET="{name}"', f"charset*=utf-8''{name}"):
        assert passed_on(f"text/plain; {written}; boundary=x").content_params["boundary"] == "x"


def test_charsets_of_texts_stay() -> None:
    assert passed_on("application/json; charset=utf-8").content_params == {"charset": "utf-8"}
    assert passed_on('text/plain; charset="ISO-8859-1"').content_params == {"charset": "ISO-8859-1"}
    assert passed_on("multipart/form-data; boundary=----x").content_params == {"boundary": "----x"}
