"""The shape of the tables: what a message's segments mean, as values. A new message is a new `Message`, no new code.

Addresses: ``2`` is element 2 of a segment, ``(2, 4)`` component 4 of element 2; both from 1, as the standards count.
Everywhere ``codes`` maps a qualifier's code to the name it stands for; a code that is not in it is not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

At = int | tuple[int, int]
Codes = Mapping[str, str]
#: what goods received must name one of; an advice that names nothing else has its own number: it waits among the orphans
RECEIVED = frozenset({"purchase_order", "bill_of_lading", "pro_number", "sscc", "container", "receiving_advice"})


@dataclass(frozen=True, slots=True)
class Loop:
    """A segment that begins a loop. level: loops of a level end those of the same and deeper ones.

    members: the only tags that belong to it (any other ends it); None: whatever follows.
    id, parent: where it names itself and its parent (HL01, HL02), for loops that build a tree of their own;
    name: where its kind stands (HL03: the loop is called ``HL:O``).
    """

    tag: str
    level: int = 1
    members: frozenset[str] | None = None
    id: At | None = None
    parent: At | None = None
    name: At | None = None


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference: `value` addresses joined; its kind is fixed or chosen by the code at `qualifier`.

    repeat: so many following elements hold further values (GIN). when: addresses that must hold one of the codes.
    A code that is not in `codes` is kept in the event's data as it came.
    """

    tag: str
    value: tuple[At, ...]
    kind: str = ""
    qualifier: At | None = None
    codes: Codes = field(default_factory=dict)
    repeat: int = 1
    when: Mapping[At, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Date:
    """A date: X12 has date, time and time code apart; EDIFACT has a value and a format code (`form`).

    The names ``status`` and ``document`` give an event its time; all others become dates of the event.
    """

    tag: str
    value: At
    time: At | None = None
    zone: At | None = None
    form: At | None = None
    name: str = ""
    qualifier: At | None = None
    codes: Codes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Party:
    """A party: its role by the code at `role`; its identifier in the scheme that the code at `scheme` names."""

    tag: str
    role: At
    codes: Codes
    id: At
    scheme: At
    schemes: Codes
    names: tuple[At, ...] = ()
    city: tuple[At, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """The city of the party named last (X12 N4 after N1)."""

    tag: str
    city: tuple[At, ...]


@dataclass(frozen=True, slots=True)
class Datum:
    """Something else worth keeping. how: ``first`` text, ``number``, or ``sum`` over the loop and all inside it.

    unit: where its unit of measure stands; when: as for `Ref`; top: it is said of the whole message, first one wins.
    """

    tag: str
    key: str
    value: tuple[At, ...]
    how: str = "first"
    unit: At | None = None
    when: Mapping[At, frozenset[str]] = field(default_factory=dict)
    top: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """One entry of a list in the data for each code at `code` (and `repeat` - 1 elements behind it), with its words."""

    tag: str
    key: str
    code: At
    words: Codes
    fields: tuple[tuple[str, At], ...] = ()
    repeat: int = 1


Fact = Ref | Date | Party | Place | Datum | Note


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a status code means: the event type ('' if there is none for it), its words, and what goes with it.

    date: the time beside the code is this planned or estimated date, and the event happened when it was sent.
    stop: kind of place (pickup, terminal, delivery, customs).
    """

    event: str
    words: str
    date: str = ""
    stop: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """A code that decides which event it is. element: its name for people; reason: where its reason code stands;
    code_list: where another code list or agency may be named, and which values still mean the standard's.
    above: the segment may stand in a loop around (BGM of a message whose events are its containers).
    else_: what to look at when this one is not there or says nothing of it; the last unknown code is reported.
    absent: what it means that the last one's segment is not there."""

    tag: str
    code: At
    element: str
    meanings: Mapping[str, Meaning]
    reason: At | None = None
    code_list: Mapping[At, frozenset[str]] = field(default_factory=dict)
    above: bool = False
    else_: Status | None = None
    absent: Meaning | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What an acknowledgment answers: a reference of this kind, its label and the values at these (tag, address)."""

    kind: str
    label: str
    parts: tuple[tuple[str, At], ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """When a message gives an event.

    type or status: which one. at: the loops that give it ('' is the message itself).
    per: one event for each value of this reference kind, wherever it stands; without any, one for the whole message
    if `at` says ''. keep: reference kinds it carries (empty: all). own: data that is not taken from the
    loops around it (the weight of the shipment is not the carton's). below: what stands inside its loop belongs to it.
    order_below: orders named inside its loop go before those around it (a pallet announced above the order on it).
    times: where its time comes from, first found wins: ``group``, ``sent``, or the name of a date.
    needs: without one of these reference kinds there is no event. control: the control number it is about, as
    (label, tag, address) from outside in. answers: the group or interchange we sent that it is about.
    """

    type: str = ""
    status: Status | None = None
    at: tuple[str, ...] = ("",)
    per: str = ""
    keep: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    below: bool = False
    order_below: bool = False
    times: tuple[str, ...] = ("document", "sent")
    needs: frozenset[str] = frozenset()
    control: tuple[tuple[str, str, At], ...] = ()
    answers: Answer | None = None


@dataclass(frozen=True, slots=True)
class Purpose:
    """Where a message says whether it is new, a change or a cancellation; `instead`: what its events become then.

    withdraws: codes by which the events of an earlier message are taken back. told: whether the code is kept as data.
    """

    tag: str
    code: At
    words: Codes
    instead: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    withdraws: frozenset[str] = frozenset()
    told: bool = True


@dataclass(frozen=True, slots=True)
class Message:
    """A message type: its loops, facts and rules.

    response: where an answer says what was decided, besides its purpose; its `instead` goes before that of the purpose.
    sent_by: ``buyer`` or ``seller``, if it is always one of them. selling: what its events are when we are the seller.
    issued: reference kinds that somebody else than usual numbers (a remittance names the receiver's invoices).
    """

    type: str
    name: str
    facts: tuple[Fact, ...]
    rules: tuple[Rule, ...]
    loops: tuple[Loop, ...] = ()
    purpose: Purpose | None = None
    response: Purpose | None = None
    sent_by: str = ""
    selling: Mapping[str, str] = field(default_factory=dict)
    issued: Mapping[str, str] = field(default_factory=dict)
    by_tag: Mapping[str, tuple[Fact, ...]] = field(init=False)
    openers: Mapping[str, Loop] = field(init=False)
    #: tags of the segments that say something; None: any may, since it can end a loop
    looked_at: frozenset[str] | None = field(init=False)

    def __post_init__(self) -> None:
        by_tag: dict[str, tuple[Fact, ...]] = {}
        for fact in self.facts:
            by_tag[fact.tag] = (*by_tag.get(fact.tag, ()), fact)
        object.__setattr__(self, "by_tag", by_tag)
        object.__setattr__(self, "openers", {loop.tag: loop for loop in self.loops})
        ends = any(loop.members is not None for loop in self.loops)
        object.__setattr__(self, "looked_at", None if ends else self._looked_at())

    def _looked_at(self) -> frozenset[str]:
        said = [one.tag for one in (self.purpose, self.response) if one is not None]
        tags = {*self.by_tag, *self.openers, *said}
        for rule in self.rules:
            tags.update(tag for _, tag, _ in rule.control)
            tags.update(tag for tag, _ in (rule.answers.parts if rule.answers else ()))
            status = rule.status
            while status is not None:
                tags.add(status.tag)
                status = status.else_
        return frozenset(tags)
