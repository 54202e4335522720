"""Schema drift: fields that are new, gone, of another type, or empty as never before. Pure.

Every field of a feed's messages has a decayed count of how often it came and of which types. A message is as strange as its
strangest field: the score is the evidence, as a power of ten, that chance alone did this, by the rule of succession.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from apps.anomalies.contract import Detector, State

#: messages after which half of what was seen is forgotten
HALF = 5_000
LEAST = 50
MOST_FIELDS = 500
#: fields that evidence keeps, and characters of their names
KEPT, LONGEST = 20, 120
DECAY = 0.5 ** (1 / HALF)


class SchemaDrift(Detector):
    """score: -log10 of the chance of the strangest field of the message."""

    kind = "schema"
    label = "Schema drift"

    def judge(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, float]:
        """event: ``fields`` (path -> type: string, number, boolean, list, object, null)."""
        n, fields = float(state.get("n", 0.0)), state.get("fields", {})
        told = changes(state, event["fields"])
        after: dict[str, dict[str, float]] = {
            name: {kind: round(count * DECAY, 6) for kind, count in kinds.items() if count * DECAY > 1e-3}
            for name, kinds in fields.items()
        }
        for name, kind in sorted(event["fields"].items()):
            if name in after or len(after) < MOST_FIELDS:
                kinds = after.setdefault(name, {})
                kinds[kind] = round(kinds.get(kind, 0.0) + 1, 6)
        kept = {name: kinds for name, kinds in after.items() if kinds}
        return {"n": round(n * DECAY + 1, 6), "fields": kept}, max((one[0] for one in told), default=0.0)

    def needed(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, State]:
        """The strangest fields alone, with their names cut: the score is that of the first of them."""
        known, given = state.get("fields", {}), event["fields"]
        fields: dict[str, dict[str, float]] = {}
        came: dict[str, str] = {}
        for _, name, _, _ in changes(state, given)[:KEPT]:
            cut = name[:LONGEST]
            if cut in fields:
                continue
            fields[cut] = dict(known.get(name, {}))
            if name in given:
                came[cut] = given[name]
        return {"n": float(state.get("n", 0.0)), "fields": fields}, {"fields": came}


def changes(state: Mapping[str, Any], given: Mapping[str, str]) -> list[tuple[float, str, str, str]]:
    """(evidence, field, what happened, to what) of each field that is not as usual, the strangest first."""
    n, fields = float(state.get("n", 0.0)), state.get("fields", {})
    if n < LEAST:
        return []
    found = []
    for name in sorted({*given, *fields}):
        kinds, kind = fields.get(name, {}), given.get(name)
        came = min(n, sum(kinds.values()))
        if kind is None:
            found.append((_rare(n - came, n), name, "gone", ""))
        elif not kinds:
            found.append((_rare(0, n), name, "new", kind))
        else:
            what = "empty" if kind == "null" else "other type"
            found.append((_rare(kinds.get(kind, 0.0), came), name, what, kind))
    return sorted((one for one in found if one[0] > 1.0), reverse=True)


def _rare(times: float, of: float) -> float:
    """-log10 of the chance of what happened so many times of so many."""
    return -math.log10((times + 1) / (of + 2))


def fields_of(body: Any, most: int = MOST_FIELDS) -> dict[str, str]:
    """path -> type of a JSON body; entries of a list are one field ("lines[].sku"). At most so many."""
    found: dict[str, str] = {}
    _walk(body, "", found, most)
    return found


def _walk(value: Any, path: str, found: dict[str, str], most: int) -> None:
    if len(found) >= most:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _walk(inner, f"{path}.{key}" if path else str(key), found, most)
    elif isinstance(value, list):
        for inner in value[:20]:
            _walk(inner, f"{path}[]", found, most)
    else:
        kind = "null" if value is None else "boolean" if isinstance(value, bool) else ""
        kind = kind or ("number" if isinstance(value, (int, float)) else "string")
        if found.get(path) in (None, "null"):
            found[path] = kind
