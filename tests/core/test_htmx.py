"""One address, two shapes; 304 when a fragment is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from apps.core.htmx import etag_of, fragment_response, is_fragment, with_event, with_toast

FRAGMENT = '<p id="n">{{ n }}</p><time datetime="x" data-rel="ago">{{ ago }}</time>{% csrf_token %}'


@pytest.fixture(autouse=True)
def two_templates(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>{% include 'part.html' %}</html>")
    (tmp_path / "part.html").write_text(FRAGMENT)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]


def ask(context: dict[str, Any], etag: str = "", parts: list[Any] | None = None, **headers: str) -> HttpResponse:
    asked = {"HX-Request": "true", **({"If-None-Match": etag} if etag else {}), **headers}
    request = RequestFactory().get("/", headers={key: value for key, value in asked.items() if value})
    request.user = None  # type: ignore[assignment]
    return fragment_response(request, "page.html", "part.html", context, parts)


def test_people_get_the_page_and_htmx_the_fragment() -> None:
    page = ask({"n": 1}, **{"HX-Request": ""})
    assert page.content.startswith(b"<html>")
    assert "ETag" not in page.headers
    fragment = ask({"n": 1})
    assert fragment.content.startswith(b'<p id="n">1')
    for answer in (page, fragment):
        assert "HX-Request" in answer.headers["Vary"]
        assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("name", ["HX-Boosted", "HX-History-Restore-Request"])
def test_boosted_links_and_history_want_the_whole_page(name: str) -> None:
    assert ask({"n": 1}, **{name: "true"}).content.startswith(b"<html>")
    assert not is_fragment(RequestFactory().get("/", headers={"HX-Request": "true", name: "true"}))


def test_same_is_304_and_a_change_is_not() -> None:
    etag = ask({"n": 1, "ago": "4 s ago"}).headers["ETag"]
    same = ask({"n": 1, "ago": "19 s ago"}, etag)
    assert same.status_code == 304, "neither relative words nor form tokens count as a change"
    assert same.headers["ETag"] == etag
    assert not same.content
    assert ask({"n": 2, "ago": "19 s ago"}, etag).status_code == 200


def test_given_parts_answer_304_without_rendering() -> None:
    class Explosive:
        def __str__(self) -> str:
            raise AssertionError("rendered although nothing changed")

    etag = ask({"n": 1}, parts=["v1", 3]).headers["ETag"]
    assert ask({"n": Explosive()}, etag, parts=["v1", 3]).status_code == 304
    assert ask({"n": 1}, etag, parts=["v2", 3]).status_code == 200


def test_parts_do_not_run_together() -> None:
    assert etag_of(["ab", "c"]) != etag_of(["a", "bc"])


def test_sentences_and_events_travel_together() -> None:
    response = with_event(with_toast(HttpResponse(), "Acknowledged.", "done"), "incident-changed", {"id": 7})
    assert json.loads(response.headers["HX-Trigger"]) == {
        "toast": {"text": "Acknowledged.", "level": "done"},
        "incident-changed": {"id": 7},
    }
    spoken = with_toast(HttpResponse(), "Zurück bis 14 Uhr ✓").headers["HX-Trigger"]
    assert spoken.isascii(), "headers carry ASCII; JSON escapes the rest"
