"""Reading JSON whose shape nobody guarantees: every helper takes anything and answers with what it is good for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def member(holder: Any, *path: str) -> dict[str, Any]:
    """The object below these names, or an empty one."""
    for name in path:
        holder = holder.get(name) if isinstance(holder, dict) else None
    return holder if isinstance(holder, dict) else {}


def text(holder: Any, *names: str) -> str:
    """The first of these fields that holds a plain value (text, whole number, number), as trimmed text; else ''."""
    if not isinstance(holder, dict):
        return ""
    for name in names:
        value = holder.get(name)
        if isinstance(value, str):
            value = value.strip()
        elif isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if value != "":
            return str(value)
    return ""


def rows(value: Any, place: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of a list, each with its place; a single object counts as a list of one."""
    if isinstance(value, dict):
        yield value, place
    elif isinstance(value, list):
        for index, one in enumerate(value):
            if isinstance(one, dict):
                yield one, f"{place}[{index}]"


def yes(value: Any) -> bool:
    """JSON true, or the ways to write it as text."""
    return value is True or (isinstance(value, str) and value.strip().lower() in ("true", "yes", "1"))
