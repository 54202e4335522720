"""A mapping as text: read, written, and every trouble with its line; what a sample offers; a change tried before it counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors import mapping_suggestions, mapping_text
from apps.collectors.contract import RawDelivery
from apps.collectors.mapping_rules import compile_mapping
from apps.collectors.paths import Scope

SOUND = """\
# the shop's own words
events:
  - type: {path: $.event, values: {NO: order.cancelled, 12:30: order.placed}}
    happened_at: $.at
    references:
      - {kind: sales_order, path: $.order.no}
"""


def trouble(text: str) -> tuple[int, int, str]:
    read = mapping_text.read(text)
    assert read.spec is None
    [one] = read.troubles
    return one.line, one.column, one.sentence


def test_codes_are_texts_whatever_yaml_makes_of_them() -> None:
    spec = mapping_text.read(SOUND).spec
    assert spec is not None
    assert spec["events"][0]["type"]["values"] == {"NO": "order.cancelled", "12:30": "order.placed"}
    assert mapping_text.read(mapping_text.write(spec)).spec == spec


def test_the_authors_own_text_is_shown_while_it_says_the_same() -> None:
    spec = mapping_text.read(SOUND).spec
    assert spec is not None
    assert mapping_text.shown(spec, SOUND) == SOUND
    assert "# the shop" not in mapping_text.shown({**spec, "zone": "UTC"}, SOUND)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "empty"),
        ("events: [", 1, "Not valid YAML"),
        ("events:\n\t- a", 2, "Not valid YAML"),
        ("- a", 1, "has fields"),
        ("events: []\nevents: []", 2, "second time"),
        ("a: &x [1]\nb: *x", 2, "anchors"),
        ("? [a]\n: b", 1, "a key must be a text"),
        ("[[" * 4000, 1, ""),
        (SOUND.replace("$.order.no", "$..no"), 6, "cannot be read from character 2"),
        (SOUND.replace("happened_at", "hapened_at"), 4, "'hapened_at' is no field here"),
        (SOUND.replace("happened_at: $.at", "happened_at: {path: $.at, zone: Mars/Base}"), 4, "Mars/Base"),
        (SOUND.replace("order.cancelled", "Order Cancelled"), 3, "no name"),
        (SOUND + "zone: Mars/Base", 7, "time zone"),
    ],
)
def test_a_trouble_names_its_line(text: str, line: int, said: str) -> None:
    found = trouble(text)
    assert found[0] == line
    assert said in found[2]


def test_slips_are_remarked_where_they_stand() -> None:
    read = mapping_text.read(SOUND.replace("order.placed", "order.plaecd").replace("sales_order", "sales_ordr"))
    assert read.spec is not None
    assert [(one.line, one.sentence) for one in read.remarks] == [
        (3, "The event type order.plaecd is not in the catalogue."),
        (6, "The reference kind sales_ordr is unknown."),
    ]


@given(st.text(max_size=80))
def test_no_text_is_a_defect(text: str) -> None:
    for one in mapping_text.read(text).troubles:
        assert 1 <= one.line <= text.count("\n") + 2 + text.count("\r") + text.count("\x85") + text.count("\u2028") * 2
        assert one.sentence


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), _VALUES, min_size=1, max_size=4))
def test_every_suggested_path_leads_to_its_value(document: dict[str, Any]) -> None:
    for one in mapping_suggestions.suggest([document]):
        spec = {
            "events": [
                {
                    "type": "order.placed",
                    "happened_at": "$.x",
                    "references": [{"kind": "sales_order", "path": one.path}],
                }
            ]
        }
        path = compile_mapping(spec).rules[0].references[0].paths[0]
        from_document = path.find(Scope((document,)))
        assert from_document, one.path


def delivery(body: bytes, content_type: str = "application/json", **headers: str) -> RawDelivery:
    return RawDelivery(body, content_type, headers, datetime(2026, 3, 1, tzinfo=UTC))


def test_a_sample_offers_paths_and_a_draft_that_can_be_used() -> None:
    body = b'{"status": "PACKED", "at": "2026-03-04T10:15:00Z", "order": {"no": "SO-1"}, "lines": [{"sku": "A"}]}'
    found = mapping_suggestions.suggest(mapping_suggestions.documents("webhook", delivery(body)))
    assert [(one.path, one.looks) for one in found] == [
        ("$.status", "code"),
        ("$.at", "time"),
        ("$.order.no", "key"),
        ("$.lines[*].sku", "key"),
    ]
    read = mapping_text.read(mapping_suggestions.draft(found))
    assert read.spec is not None, read.troubles
    assert yaml.safe_load(mapping_suggestions.draft(found))["events"][0]["happened_at"] == "$.at"
    assert mapping_text.read(mapping_suggestions.draft([])).spec is not None


@pytest.mark.parametrize(
    ("kind", "sent", "paths"),
    [
        ("eventlog", delivery(b"order,shipped at\nSO-1,2026-03-04", "text/csv"), ["$.order", "$['shipped at']"]),
        ("files", delivery(b"order;at\nSO-1;2026-03-04", "text/csv"), ["$.order", "$.at"]),
        ("cloudevents", delivery(b'{"no": 1}', **{"ce-specversion": "1.0", "ce-type": "x"}), ["$.data.no", "$.type"]),
        ("webhook", delivery(b'[{"a": 1}, {"b": 2}]'), ["$.a", "$.b"]),
        ("webhook", delivery(b"{"), []),
    ],
)
def test_the_document_is_what_the_mapping_sees(kind: str, sent: RawDelivery, paths: list[str]) -> None:
    found = {one.path for one in mapping_suggestions.suggest(mapping_suggestions.documents(kind, sent))}
    assert set(paths) <= found if paths else not found
