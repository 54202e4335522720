"""The path language of mappings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors.paths import PathError, Scope, compile_path

DOCUMENT = {
    "order": {"id": 7, "a.b": "dotted", "two words": "spaced", "none": None},
    "shipments": [
        {"no": "S1", "parcels": [{"t": "1Z1"}, {"t": "1Z2"}]},
        {"no": "S2", "parcels": [{"t": "1Z3"}]},
        {"no": "S3"},
    ],
    "@type": "Order",
}
ROOT = Scope((DOCUMENT,))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$", [DOCUMENT]),
        ("order.id", [7]),
        ("@.order.id", [7]),
        ("$.order['a.b']", ["dotted"]),
        ('$["order"].two words', ["spaced"]),
        ("$.order.none", []),
        ("$.order.missing.deeper", []),
        ("@type", ["Order"]),
        ("shipments[0].no", ["S1"]),
        ("shipments[-1].no", ["S3"]),
        ("shipments[3].no", []),
        ("shipments[*].no", ["S1", "S2", "S3"]),
        ("shipments[*].parcels[*].t", ["1Z1", "1Z2", "1Z3"]),
        ("order[0]", []),
        ("shipments.no", []),
        ("^.order", []),
    ],
)
def test_finds(text: str, found: list[object]) -> None:
    assert compile_path(text).find(ROOT) == found


def test_expands_to_elements_with_places_and_climbs() -> None:
    scopes = list(compile_path("$.shipments[*].parcels[*]").expand(ROOT))
    assert [scope.position for scope in scopes] == [
        "$.shipments[0].parcels[0]",
        "$.shipments[0].parcels[1]",
        "$.shipments[1].parcels[0]",
    ]
    last = scopes[-1]
    assert compile_path("t").find(last) == ["1Z3"]
    assert compile_path("^.no").find(last) == ["S2"]
    assert compile_path("^^.order.id").find(last) == [7]
    assert compile_path("$.order.id").find(last) == [7]
    assert compile_path("t").at(last) == "$.shipments[1].parcels[0].t"
    assert compile_path("$.order.id").at(last) == "$.order.id"
    assert compile_path("^.no").at(last) == "$.shipments[1].no"
    assert compile_path("^^.order['a.b']").at(last) == "$.order['a.b']"


def test_places_in_rows_read_as_rows() -> None:
    row = Scope(({"a": "1"},), ("row 17",), ", ")
    assert compile_path("a").at(row) == "row 17, a"
    assert compile_path("$.a").at(row) == "row 17, a"


@pytest.mark.parametrize(
    "text", ["", " ", "$.", "a..b", "a[", "a]b", "a[0]b", ".a", "a[x]", "x" * 301, "a" + "[0]" * 40]
)
def test_refuses_what_it_cannot_read(text: str) -> None:
    with pytest.raises(PathError):
        compile_path(text)


@given(st.text("$@^.[]*'\"ab0-1 ", max_size=30))
@settings(deadline=None)
def test_any_text_is_a_path_or_an_error(text: str) -> None:
    try:
        path = compile_path(text)
    except PathError:
        return
    path.find(ROOT)
    list(path.expand(ROOT))
