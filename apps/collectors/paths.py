"""The path language of mappings: names, indexes and stars over plain JSON values. Nothing is evaluated.

``$`` is the document, ``@`` (or nothing) the current element, ``^`` the element (or document) around it, and ``^^``
the one above it. Steps: ``.name``, ``[3]``, ``[-1]``, ``[*]`` and quoted names ``['a.b']`` or ``["a b"]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_LENGTH = 300
MAX_STEPS = 32

_HEAD = re.compile(r"(\$|@|\^+)(?=[.\[]|$)")
_STEP = re.compile(
    r"""\.?(?P<name>[^.\[\]'"*]+)
    | \[(?P<index>-?\d{1,6})\]
    | \[(?P<star>\*)\]
    | \[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]""",
    re.VERBOSE,
)


class PathError(ValueError):
    """A path that cannot be read; the message says what is wrong with it."""


class Star:
    """Every element of a list."""


STAR = Star()
Step = str | int | Star


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a path is looked up: the document, the elements on the way down, and the current one (last).

    places: where each of them stands in the receipt; joint: what is written between a place and a field's name.
    """

    nodes: tuple[Any, ...]
    places: tuple[str, ...] = ("$",)
    joint: str = "."

    @property
    def position(self) -> str:
        return self.places[-1]


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path. up: None for the document (``$``), else how many elements above the current one it starts.

    many: whether it may lead to several values.
    """

    text: str
    up: int | None
    steps: tuple[Step, ...]
    many: bool = False

    def find(self, scope: Scope) -> list[Any]:
        """All values it leads to, without missing ones and nulls. More than one only with ``[*]``."""
        if self.up is None:
            node = scope.nodes[0]
        elif self.up < len(scope.nodes):
            node = scope.nodes[-1 - self.up]
        else:
            return []
        if not self.many:
            value = _follow(node, self.steps)
            return [] if value is None else [value]
        found = [node]
        for step in self.steps:
            found = _down(found, step)
            if not found:
                break
        return [value for value in found if value is not None]

    def one(self, scope: Scope) -> Any:
        """The one value a path without stars leads to; None if it is not there."""
        up, nodes = self.up, scope.nodes
        if up is None:
            node = nodes[0]
        elif up < len(nodes):
            node = nodes[-1 - up]
        else:
            return None
        return _follow(node, self.steps)

    def expand(self, scope: Scope) -> Iterator[Scope]:
        """One scope for each element it leads to; every ``[*]`` on the way adds a level for ``^`` to climb."""
        yield from _expand(
            self.steps, scope.nodes[0], scope.places[0], Scope(scope.nodes[:1], scope.places[:1], scope.joint)
        )

    def at(self, scope: Scope) -> str:
        """Where in the receipt it points, for an issue."""
        level = 0 if self.up is None else max(0, len(scope.places) - 1 - self.up)
        rest = self.text.removeprefix("$").removeprefix("@").lstrip("^").removeprefix(".")
        return f"{scope.places[level]}{'' if rest.startswith('[') or not rest else scope.joint}{rest}"


def compile_path(text: str) -> Path:
    """Reads a path. Raises `PathError`."""
    if not isinstance(text, str) or not text.strip():
        raise PathError("A path must be a text such as $.shipment.id.")
    if len(text) > MAX_LENGTH:
        raise PathError(f"The path is longer than {MAX_LENGTH} characters.")
    head = _HEAD.match(text)
    up: int | None = 0
    at = 0
    if head:
        up = None if head[1] == "$" else head[1].count("^")
        at = head.end()
    steps: list[Step] = []
    while at < len(text):
        step = _STEP.match(text, at)
        # a name right after a bracket needs its dot, and a dot needs a name
        if not step or (step["name"] is not None and text[at] != "." and at > 0) or (at == 0 and text[at] == "."):
            raise PathError(f"The path {text!r} cannot be read from character {at + 1} on ({text[at : at + 12]!r}).")
        steps.append(_step(step))
        at = step.end()
    if len(steps) > MAX_STEPS:
        raise PathError(f"The path has more than {MAX_STEPS} steps.")
    return Path(text, up, tuple(steps), any(isinstance(step, Star) for step in steps))


def _step(match: re.Match[str]) -> Step:
    if match["star"]:
        return STAR
    if match["index"]:
        return int(match["index"])
    return match["name"] if match["name"] is not None else match["quoted"]


def _follow(node: Any, steps: tuple[Step, ...]) -> Any:
    """A path without stars: the one value, or None."""
    for step in steps:
        if type(step) is str:
            node = node.get(step) if isinstance(node, dict) else None
        elif isinstance(step, int):
            node = node[step] if isinstance(node, list) and -len(node) <= step < len(node) else None
        if node is None:
            return None
    return node


def _down(nodes: list[Any], step: Step) -> list[Any]:
    found: list[Any] = []
    for node in nodes:
        if isinstance(step, str):
            if isinstance(node, dict) and step in node:
                found.append(node[step])
        elif isinstance(node, list):
            if isinstance(step, Star):
                found.extend(node)
            elif -len(node) <= step < len(node):
                found.append(node[step])
    return found


def _expand(steps: tuple[Step, ...], node: Any, place: str, outer: Scope) -> Iterator[Scope]:
    for at, step in enumerate(steps):
        if isinstance(step, Star):
            if isinstance(node, list):
                for index, element in enumerate(node):
                    inner = f"{place}[{index}]"
                    level = Scope((*outer.nodes, element), (*outer.places, inner), outer.joint)
                    yield from _expand(steps[at + 1 :], element, inner, level)
            return
        below = _down([node], step)
        if not below:
            return
        node = below[0]
        place += f"{outer.joint}{step}" if isinstance(step, str) else f"[{step}]"
    if node is not None:
        same = outer.places[-1] == place
        yield outer if same else Scope((*outer.nodes, node), (*outer.places, place), outer.joint)
