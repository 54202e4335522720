"""What the status code of a loop means, by the message's table and the partner's own codes. Pure; nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apps.collectors.edi import facts
from apps.collectors.edi.segments import Segment, excerpt
from apps.collectors.edi.tables.model import Meaning, Status
from apps.collectors.edi.tree import Node, at


@dataclass(frozen=True, slots=True)
class Found:
    """A status as it stands: which table, its segment and code, and its meaning (None: there is none)."""

    status: Status
    segment: Segment
    code: str
    meaning: Meaning | None
    standard: bool

    @property
    def reason(self) -> str:
        return at(self.segment, self.status.reason) if self.status.reason is not None else ""


def find(status: Status, node: Node, own: Mapping[str, str], head: Segment) -> Found | None:
    """The first of the alternatives that says something; None when none of them is there.

    own: the integration's codes -> event type, they win. head: the segment to name when nothing stands there.
    """
    last: Found | None = None
    following: Status | None = status
    while following is not None:
        found = _one(following, node, own)
        if found is not None and found.meaning is not None:
            return found
        if found is None and following.absent is not None and following.else_ is None:
            return Found(following, head, "", following.absent, True)
        last = found or last
        following = following.else_
    return last


def _one(status: Status, node: Node, own: Mapping[str, str]) -> Found | None:
    near = node.up() if status.above else [node]
    segment = next((one for place in near if (one := place.first(status.tag)) is not None), None)
    code = at(segment, status.code) if segment else ""
    if segment is None or not code:
        return None
    standard = facts.holds(segment, status.code_list)
    meaning = status.meanings.get(code) if standard else None
    if code in own:
        meaning = Meaning(own[code], meaning.words if meaning else code)
    return Found(status, segment, code, meaning, standard)


def unmapped(found: Found) -> tuple[str, str]:
    """Issue code and sentence for a status that gives no event."""
    shown = f"{found.status.element} {excerpt(found.code, 20)}"
    issue = "edi.unknown_status"
    if found.meaning is not None:
        issue, sentence = "edi.no_event", f"{shown} ({found.meaning.words}) is no event of the tower"
    elif not found.standard:
        sentence = f"{shown} is of a code list of the partner's own"
    else:
        sentence = f"{shown} is not in the standard's code list"
    return issue, f"{sentence}; name its event in the integration's status codes to follow it"
