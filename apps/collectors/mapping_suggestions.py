"""What a sample offers to a mapping: its paths with examples, what each looks like, and a first draft. Pure.

Only what stands in the sample is said. A draft names no event type: which of ours a partner's message is, a person says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from apps.collectors import jsonbody
from apps.collectors.contract import RawDelivery
from apps.collectors.kinds.eventlog import rows_of
from apps.flows.canonical import ParseFailure

MOST = 150
#: kinds whose mappings see rows
_ROWS = ("eventlog", "files")
_DEPTH = 8
_ELEMENTS = 5
_DOCUMENTS = 20
_PLAIN = re.compile(r"[^.\[\]'\"*$@^\s][^.\[\]'\"*\s]*")
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s?(Z|[+-]\d\d:?\d\d)?)?")
_LOCAL = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}([ T]\d\d:\d\d(:\d\d)?)?")
_TIME_NAMES = re.compile(r"(_at|_on|date|time|timestamp|_ts|when)$|^(at|ts|on)$", re.I)
_KEY_NAMES = re.compile(r"(id|no|nr|num|number|ref|reference|key|code|barcode|sku|tracking\w*|order|sscc|awb)$", re.I)
_TYPE_NAMES = re.compile(r"^(event(_?type)?|type|status(_?code)?|state|action|topic|kind)$", re.I)
_EPOCHS = ((1_000_000_000, 4_000_000_000, "epoch"), (1_000_000_000_000, 4_000_000_000_000, "epoch_ms"))


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A path of the sample. example: its first value, short; looks: time, key, code or ''; form: of a time."""

    path: str
    example: str
    looks: str = ""
    form: str = ""


def documents(kind: str, delivery: RawDelivery, settings: Mapping[str, Any] | None = None) -> list[Any]:
    """The documents a mapping would see in a delivery, at most a few; none when it cannot be read."""
    try:
        if kind in _ROWS:
            rows = islice(rows_of(delivery, settings or {}), _DOCUMENTS)
            return [row.values for row in rows if row.values is not None]
        value = jsonbody.read(delivery.body).value
    except ParseFailure:
        return []
    if kind == "cloudevents" and "ce-specversion" in delivery.headers:
        names = {name.removeprefix("ce-"): text for name, text in delivery.headers.items() if name.startswith("ce-")}
        return [{**names, "data": value}]
    return value[:_DOCUMENTS] if isinstance(value, list) else [value]


def suggest(found: Sequence[Any]) -> list[Suggestion]:
    """Every path of the documents once, in the order of the sample."""
    paths: dict[str, Suggestion] = {}
    for document in found:
        for path, name, value in _leaves(document, "$", 0):
            if path not in paths and len(paths) < MOST:
                paths[path] = _suggestion(path, name, value)
    return list(paths.values())


def draft(found: Sequence[Suggestion]) -> str:
    """A first mapping from the sample's paths, to be checked line by line."""
    times = [one for one in found if one.looks == "time"]
    keys = [one for one in found if one.looks == "key" and "[*]" not in one.path]
    types = [one for one in found if one.looks == "code" and "[*]" not in one.path]
    lines = [
        "# A first draft from the sample. Check each line; the panel below lists paths, types and keys.",
        "events:",
    ]
    if types:
        one = types[0]
        lines += ["  - type:", f"      path: {_quoted(one.path)}"]
        lines += ["      values:", f"        {_quoted(one.example)}: choose.a_type   # which of our events is it?"]
    else:
        lines += ["  - type: choose.a_type   # which of our events is it?"]
    time = next((one for one in times if "[*]" not in one.path), None)
    if time is None:
        lines += ["    happened_at: $.happened_at   # the sample shows no time of its own"]
    elif time.form and time.form != "iso":
        lines += [f"    happened_at: {{path: {_quoted(time.path)}, format: {_quoted(time.form)}}}"]
    else:
        lines += [f"    happened_at: {_quoted(time.path)}"]
    own = next((one for one in keys if re.search(r"(^|[._])(event_?)?id$", one.path, re.I)), None)
    if own:
        lines += [f"    id: {_quoted(own.path)}"]
    key = next((one for one in keys if one is not own), own)
    lines += ["    references:"]
    lines += [
        f"      - {{kind: sales_order, path: {_quoted(key.path if key else '$.order_number')}}}   # which key is it?"
    ]
    return "\n".join(lines) + "\n"


def _leaves(node: Any, path: str, depth: int) -> Iterator[tuple[str, str, Any]]:
    name = path.rpartition(".")[2]
    if isinstance(node, Mapping) and depth < _DEPTH:
        for key, value in node.items():
            step = f".{key}" if _PLAIN.fullmatch(str(key)) else _bracketed(str(key))
            if step:
                yield from _leaves(value, path + step, depth + 1)
    elif isinstance(node, list) and depth < _DEPTH:
        for value in node[:_ELEMENTS]:
            yield from _leaves(value, f"{path}[*]", depth + 1)
    elif not isinstance(node, dict | list) and node is not None and path != "$":
        yield path, name.replace("[*]", ""), node


def _bracketed(key: str) -> str:
    """A name with dots, blanks or brackets; '' when no path can say it."""
    if "\n" in key or len(key) > 100:
        return ""
    if "'" not in key:
        return f"['{key}']"
    return f'["{key}"]' if '"' not in key else ""


def _suggestion(path: str, name: str, value: Any) -> Suggestion:
    example = jsonbody.excerpt(value if isinstance(value, str) else str(value), 48)
    form = _time_form(name, value)
    if form is not None:
        return Suggestion(path, example, "time", form)
    if _TYPE_NAMES.search(name) and isinstance(value, str | int) and not isinstance(value, bool):
        return Suggestion(path, example, "code")
    if _KEY_NAMES.search(name) and isinstance(value, str | int) and not isinstance(value, bool):
        return Suggestion(path, example, "key")
    return Suggestion(path, example)


def _time_form(name: str, value: Any) -> str | None:
    """iso, epoch, epoch_ms, '' for a time in a form of its own, None for what is no time."""
    if isinstance(value, str):
        if _ISO.fullmatch(value.strip()):
            return "iso"
        return "" if _LOCAL.fullmatch(value.strip()) else None
    if isinstance(value, int | float) and not isinstance(value, bool) and _TIME_NAMES.search(name):
        return next((form for least, most, form in _EPOCHS if least <= value < most), None)
    return None


def _quoted(text: str) -> str:
    """A YAML scalar that stays the text it is."""
    if re.fullmatch(r"[A-Za-z$@^][\w$@^.*-]*(\[\*\][\w.]*)*", text) and text not in ("true", "false", "null"):
        return f'"{text}"' if "[" in text or "*" in text else text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
