"""The loops of a transaction as a tree: which segment belongs where. Pure, linear time.

X12 loops are told by their first segment (HL even names its parent); EDIFACT groups by their trigger segment. Both are
`Loop`s of the message's table, so there is one builder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from apps.collectors.edi.segments import Segment, excerpt
from apps.collectors.edi.tables.model import At, Loop, Message
from apps.collectors.edi.times import Moment

#: loops inside each other; real messages have 4 or 5 (shipment, order, tare, pack, item)
MAX_DEPTH = 12


def at(segment: Segment, where: At) -> str:
    """The value at an address of the tables."""
    if type(where) is int:
        # nearly always: one word, which needs no further look
        elements = segment.elements
        if where >= len(elements):
            return ""
        raw = elements[where]
        return raw if not raw or raw.isalnum() else segment.get(where)
    return segment.get(*where) if isinstance(where, tuple) else segment.get(where)


@dataclass(slots=True)
class Node:
    """One loop and what its own segments say. own: references as (kind, value, segment); other: those of no known kind.

    sums: quantities by (key, unit) of this loop and all inside it. orders: purchase orders named inside it.
    """

    kind: str
    opener: Segment | None
    parent: Node | None
    depth: int
    segments: list[Segment] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    own: list[tuple[str, str, Segment]] = field(default_factory=list)
    other: dict[str, str] = field(default_factory=dict)
    dates: dict[str, Moment] = field(default_factory=dict)
    parties: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    sums: dict[str, dict[str, float]] = field(default_factory=dict)
    orders: dict[str, None] = field(default_factory=dict)
    last_role: str = ""
    label: str = ""
    _firsts: dict[str, Segment] | None = None

    def first(self, tag: str) -> Segment | None:
        """Its first own segment of this tag."""
        if self._firsts is None:
            self._firsts = {segment.tag: segment for segment in reversed(self.segments)}
        return self._firsts.get(tag)

    def said(self, name: str) -> dict[str, Any]:
        """One of the things it says itself: dates, parties, names, data, other."""
        found: dict[str, Any] = self.data.get("names", {}) if name == "names" else getattr(self, name)
        return found

    def up(self) -> list[Node]:
        """This node and those around it, from the inside out."""
        found, node = [], self
        while True:
            found.append(node)
            if node.parent is None:
                return found
            node = node.parent

    def below(self) -> list[Node]:
        """The nodes inside this one, at any depth, in the order they stood."""
        found: list[Node] = []
        waiting = list(reversed(self.children))
        while waiting:
            node = waiting.pop()
            found.append(node)
            waiting.extend(reversed(node.children))
        return found


class BadTree(ValueError):
    """Loops that cannot be put in order; `segment` is where."""

    def __init__(self, sentence: str, segment: Segment) -> None:
        super().__init__(sentence)
        self.segment = segment


def build(segments: list[Segment], message: Message) -> tuple[list[Node], list[tuple[str, Segment]]]:
    """The nodes, root first, in the order they stood; and parents that do not exist: (id, segment). Raises BadTree."""
    root = Node("", None, None, 0)
    nodes, lost = [root], []
    stack: list[tuple[int, Loop | None, Node]] = [(0, None, root)]
    by_id: dict[tuple[str, str], Node] = {}
    for segment in segments:
        loop = message.openers.get(segment.tag)
        if loop is None:
            while len(stack) > 1 and not _belongs(stack[-1][1], segment.tag):
                stack.pop()
            stack[-1][2].segments.append(segment)
            continue
        while len(stack) > 1 and (stack[-1][0] >= loop.level or not _belongs(stack[-1][1], segment.tag)):
            stack.pop()
        parent = stack[-1][2]
        wanted = at(segment, loop.parent) if loop.parent is not None else ""
        if wanted:
            known = by_id.get((loop.tag, wanted))
            if known is None:
                lost.append((wanted, segment))
            parent = known or root
        if parent.depth >= MAX_DEPTH:
            raise BadTree(f"{excerpt(segment.tag, 10)} stands more than {MAX_DEPTH} loops deep", segment)
        node = _node(loop, segment, parent)
        nodes.append(node)
        if loop.id is not None:
            by_id[loop.tag, at(segment, loop.id)] = node
        stack.append((loop.level, loop, node))
    return nodes, lost


def _belongs(loop: Loop | None, tag: str) -> bool:
    return loop is None or loop.members is None or tag in loop.members


def _node(loop: Loop, segment: Segment, parent: Node) -> Node:
    name = at(segment, loop.name) if loop.name is not None else ""
    identity = at(segment, loop.id) if loop.id is not None else segment.get(1)
    node = Node(
        f"{loop.tag}:{name}" if loop.name is not None else loop.tag, segment, parent, parent.depth + 1, [segment]
    )
    node.label = f"{loop.tag} {excerpt(identity, 20)}".strip()
    parent.children.append(node)
    return node
