"""A dead letter's position, found in the bytes; and who can mend it, for every code there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.faults import RULES, WHO, fault_of
from apps.collectors.positions import locate

JSON = '{"a": [1, {"b c": "x", "d": {"e": "]}"}}], "at": "2026"}'


def marked(text: str, position: str, fragment: str = "") -> str | None:
    found = locate(text, position, fragment, text.encode())
    return None if found is None else text[found.start : found.end]


@pytest.mark.parametrize(
    ("text", "position", "wanted"),
    [
        ("ab\ncde\nf", "line 2, column 2", "d"),
        ("ab\ncde\nf", "line 2", "cde"),
        ("ab", "line 9", None),
        ("ab", "line 1, column 99", ""),
        ("äbc", "byte 2", "b"),
        ("abc", "interchange at character 2", "b"),
        (JSON, "$.at", '"2026"'),
        (JSON, "$.a[1].d.e", '"]}"'),
        (JSON, "$.a[1]['b c']", '"x"'),
        (JSON, "$.a[1].b c", '"x"'),
        (JSON, "$.a[7].x", '[1, {"b c": "x", "d": {"e": "]}"}}]'),
        (JSON, "$.at or $.a", '"2026"'),
        (JSON, "$", JSON),
        ("{", "$.a", None),
        ('[{"a": 1}, {"a": 2}]', "item 2, $.a", "2"),
        ('{"a": 1}\n{"a": 22}', "item 2, $.a", "22"),
        ('{"a": 1}\n{"a": 22}', "item 2", '{"a": 22}'),
        ("h,i\n\n1,2\n3,4", "row 2", "3,4"),
        ('{"a": 1}\n{"a": 2}', "row 2", '{"a": 2}'),
        ("ISA*00~GS*X~SE*7*1~", "interchange 1 / segment 9", None),
    ],
)
def test_places(text: str, position: str, wanted: str | None) -> None:
    assert marked(text, position) == wanted


def test_the_fragment_helps_where_the_words_do_not() -> None:
    assert marked("ISA*00~GS*X~SE*7*1~", "interchange 1 / segment 9", "SE*7*1") == "SE*7*1"
    assert marked("a long text that was cut", "", "text that…") == "text that"
    assert marked("abc", "", "a") is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=10,
)


def places(value: Any, path: str = "$") -> list[tuple[str, Any]]:
    found = [(path, value)]
    if isinstance(value, dict):
        found += [pair for name, inner in value.items() for pair in places(inner, f"{path}.{name}")]
    elif isinstance(value, list):
        found += [pair for n, inner in enumerate(value) for pair in places(inner, f"{path}[{n}]")]
    return found


@given(_JSON, st.sampled_from([None, 1, 4]))
def test_every_path_leads_to_its_value(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    for path, inner in places(value):
        found = locate(text, path)
        assert found is not None
        assert json.loads(text[found.start : found.end]) == inner


@given(
    st.text(max_size=60),
    st.text(max_size=40) | st.sampled_from(["$.a[0].b", "item 1, $.x", "line 3, column 4", "row 2"]),
)
def test_no_text_and_no_position_is_a_defect(text: str, position: str) -> None:
    found = locate(text, position, position[:5], text.encode("utf-8", "replace"))
    assert found is None or 0 <= found.start <= found.end <= len(text)


def test_codes_have_somebody_who_can_mend_them() -> None:
    """Nearly every family of codes the collectors use has a rule; what has none says so."""
    used = set()
    for path in (Path(settings.BASE_DIR) / "apps" / "collectors").rglob("*.py"):
        used |= set(re.findall(r'(?:ParseIssue|ParseFailure)\(\s*"([a-z0-9]+\.[a-z_]+)"', path.read_text()))
    assert len(used) > 30
    assert {fault.who for fault in RULES.values()} <= set(WHO)
    families = {code.partition(".")[0] for code in used}
    without = {name for name in families if f"{name}." not in RULES}
    assert len(without) < len(families) / 4, sorted(without)


def test_the_longest_rule_counts() -> None:
    assert fault_of("mapping.unknown_code").who == "mapping"
    assert fault_of("json.syntax").who == "partner"
    assert fault_of("event.unknown_type").who == "mapping"
    assert fault_of("collector.crashed").who == "tower"
    assert fault_of("fedex.unmapped_status").who == "mapping"
    assert fault_of("something.else").who == "open"
