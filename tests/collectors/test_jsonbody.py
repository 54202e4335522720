"""The one JSON reader: what it takes, what it refuses, and that nothing makes it fall over."""

from __future__ import annotations

import json
import time

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors import jsonbody
from apps.flows.canonical import ParseFailure

TEXT = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans())
@settings(max_examples=300, deadline=None)
def test_reads_what_json_writes(value: object, ascii_only: bool) -> None:
    assert jsonbody.read(json.dumps(value, ensure_ascii=ascii_only).encode()).value == value


@pytest.mark.parametrize(
    ("body", "code", "position"),
    [
        (b"", "json.empty", ""),
        (b" \n", "json.empty", ""),
        (b"\xff\xfe{\x00}\x00", "json.encoding", "byte 0"),
        (b'{"a": "\xff"}', "json.encoding", "byte 7"),
        (b'{"a": 1,\n "b" 2}', "json.syntax", "line 2, column 6"),
        (b'{"a": 1} x', "json.syntax", "line 1, column 10"),
        (b'{"a": "line\nbreak"}', "json.syntax", "line 1, column 12"),
        (b'{"a": "\x00"}', "json.syntax", "line 1, column 8"),
        (b'{"a": "\\ud800"}', "json.lone_surrogate", "line 1, column 8"),
        (b'{"a": "\\udc00\\ud800"}', "json.lone_surrogate", "line 1, column 8"),
        (b'{"a": NaN}', "json.number", ""),
        (b'{"a": -Infinity}', "json.number", ""),
        (b'{"a": 1e400}', "json.number", ""),
        (b'{"a": ' + b"9" * 4301 + b"}", "json.number", ""),
        (b'{"a": 0.' + b"9" * 65 + b"}", "json.number", ""),
        (b"[" * 65 + b"]" * 65, "json.too_deep", "line 1, column 65"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, "json.too_deep", "line 1, column 321"),
        (b"[" * 100_000, "json.too_deep", "line 1, column 65"),
        (b'["' + b"x" * jsonbody.MAX_BYTES + b'"]', "json.too_large", ""),
    ],
)
def test_refuses_with_code_and_place(body: bytes, code: str, position: str) -> None:
    with pytest.raises(ParseFailure) as failure:
        jsonbody.read(body)
    issue = failure.value.issue
    assert (issue.code, issue.position) == (code, position)
    assert issue.sentence.endswith(".")
    issue.fragment.encode()
    assert "\x00" not in issue.fragment + issue.sentence


def test_takes_what_is_just_within_the_limits() -> None:
    assert jsonbody.read(b"[" * 64 + b"]" * 64).warnings == ()
    assert jsonbody.read(b'{"a": ' + b"9" * 64 + b"}").value == {"a": "9" * 64}
    assert jsonbody.read(b'\xef\xbb\xbf{"a": 1}').value == {"a": 1}
    assert jsonbody.read(b'"' + b"[{" * 500 + b'"').value == "[{" * 500
    assert jsonbody.read(b'"\\ud83d\\ude9a \\\\ud800"').value == "\N{DELIVERY TRUCK} \\ud800"


def test_long_numbers_keep_their_digits_and_can_be_stored() -> None:
    value = jsonbody.read(b'{"tracking": 123456789012345678901234, "n": 123456789012345678}').value
    assert value == {"tracking": "123456789012345678901234", "n": 123456789012345678}
    orjson.dumps(value)


def test_repeated_keys_are_named_and_the_last_one_counts() -> None:
    document = jsonbody.read(b'{"status": "late", "inner": {"x": 1, "x": 2}, "status": "early"}')
    assert document.value == {"status": "early", "inner": {"x": 2}}
    assert {(issue.code, issue.position, issue.severity) for issue in document.warnings} == {
        ("json.duplicate_key", "key status", "warning"),
        ("json.duplicate_key", "key x", "warning"),
    }


@given(st.binary(max_size=300) | st.text('[]{}",:\\u0d8e1Na\x00 ', max_size=300).map(lambda text: text.encode()))
@settings(max_examples=500, deadline=None)
def test_any_bytes_give_a_document_or_a_failure(body: bytes) -> None:
    try:
        document = jsonbody.read(body)
    except ParseFailure as failure:
        failure.issue.fragment.encode()
        return
    orjson.dumps(document.value)


@given(
    st.recursive(st.just([]), lambda inner: st.lists(inner, max_size=3), max_leaves=60),
    st.integers(0, 70),
    st.sampled_from([0, 70_000]),
)
@settings(deadline=None)
def test_depth_is_counted_exactly(value: list[object], more: int, blanks: int) -> None:
    depth = _depth(value) + more
    body = b"[" * more + json.dumps(value).encode() + b"]" * more + b" " * blanks
    body = b'[{"x": "]]}\\"[", "y": ' + body + b'}, "' + b"[" * 70 + b'"]'
    if depth + 2 > jsonbody.MAX_DEPTH:
        with pytest.raises(ParseFailure) as failure:
            jsonbody.read(body)
        assert failure.value.issue.code == "json.too_deep"
    else:
        jsonbody.read(body)


def _depth(value: object) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def test_an_endless_string_of_escaped_quotes_is_read_in_linear_time() -> None:
    body = b"[" * 70 + b'"' + b'\\"' * 500_000
    start = time.process_time()
    with pytest.raises(ParseFailure):
        jsonbody.read(body)
    with pytest.raises(ParseFailure):
        jsonbody.read(b'"' + b'\\"[' * 500_000)
    assert time.process_time() - start < 2


@given(
    st.builds(lambda value, indent: json.dumps(value, indent=indent), VALUES, st.sampled_from([None, 1]))
    | st.text(' []{}",:\\/"au0d81e-.\n', max_size=120)
    | st.lists(
        st.sampled_from(
            [
                '{"a":',
                '{"a" :',
                '"b":',
                "{",
                "}",
                "[",
                "]",
                ",",
                '"\\":',
                '":"',
                "1",
                "12345678901234567890",
                "-0",
                "1e400",
            ]
        ),
        max_size=20,
    ).map("".join)
)
@settings(max_examples=600, deadline=None)
def test_the_fast_way_reads_as_the_careful_one_or_leaves_it_to_it(text: str) -> None:
    body = text.encode("utf-8", "replace")
    quick = jsonbody._quickly(body)
    if quick is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jsonbody, "_quickly", lambda _: None)
            careful = jsonbody.read(body)
        assert (repr(quick.value), quick.warnings) == (repr(careful.value), careful.warnings)


@pytest.mark.parametrize(
    ("body", "warned"),
    [
        (b'{"a" :1,"a":2}', True),
        (b'{"a":1,"b":"\\":","a":2}', True),
        (b'{"a":1,"\\u0061":2}', True),
        (b'{"a":"x\\u0022:","a":2}', True),
        (b'{"a":{"b":[{"c":1}]},"d":"9400111899223100000000"}', False),
    ],
)
def test_no_repeated_key_hides_from_the_fast_way(body: bytes, warned: bool) -> None:
    assert bool(jsonbody.read(body).warnings) == warned
    assert (jsonbody._quickly(body) is None) == warned
