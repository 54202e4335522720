"""One transaction and its message table -> canonical events. Pure; the only code there is for all message types.

The transaction becomes a tree of loops (`tree`), each loop's segments become facts (`facts`), and each rule of the
message picks loops and makes events of their facts, of what stands around them and, where it says so, inside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from itertools import islice
from typing import Any

from apps.collectors.edi import facts, statuses, tree
from apps.collectors.edi.envelopes import Transaction
from apps.collectors.edi.headers import Header, header_of
from apps.collectors.edi.identity import Correspondent, Identity, control_number, sent_as
from apps.collectors.edi.segments import MAX_EVENTS, IssueList, Segment, excerpt
from apps.collectors.edi.tables.model import Answer, Meaning, Message, Purpose, Rule, Status
from apps.collectors.edi.times import Moment
from apps.collectors.edi.tree import Node, at
from apps.flows.canonical import WITHDRAWN, CanonicalEvent, ParseFailure, Reference

#: references of one event, and of one loop around it
MAX_REFERENCES = 1000
MAX_OUTER = 100
#: dates that are when an event happened, not dates of the document
_TOLD_BY_TIME = frozenset({"status", "document", "executed"})
_NOTHING: dict[str, Any] = {}
_TROUBLE = frozenset({"transport.exception", "delivery.attempted"})


@dataclass(slots=True)
class Reader:
    """Settings of the source and what was read so far. status_codes: the integration's own codes -> event type."""

    identity: Identity
    zone: str
    issues: IssueList
    status_codes: Mapping[str, str] = field(default_factory=dict)
    events: list[CanonicalEvent] = field(default_factory=list)

    def read(self, transaction: Transaction, message: Message) -> None:
        """Adds the transaction's events. Raises `ParseFailure` (edi.too_many_events) only."""
        work = _Work(self, transaction, message)
        before, told = len(self.events), self.issues.count
        try:
            found = sorted(work.events(), key=lambda pair: pair[0])
        except tree.BadTree as error:
            work.report("edi.loops", f"{error}; the message gives no events", error.segment)
            return
        self.events += [event for _, event in found]
        if len(self.events) == before and self.issues.count == told:
            sentence = f"Nothing that the tower follows was found in this {message.type} ({message.name})."
            self.issues.warn("edi.nothing_found", sentence, transaction.position, transaction.part.header.text)


@dataclass(frozen=True, slots=True)
class _Target:
    """What a rule makes an event of: the loops, the value it is about ('' if none), the segment it stands at.

    below: what stands inside the loops belongs to it too.
    """

    nodes: list[Node]
    value: str
    anchor: Segment
    below: bool = False

    @property
    def node(self) -> Node:
        return self.nodes[0]


class _Work:
    """One transaction in work."""

    def __init__(self, reader: Reader, transaction: Transaction, message: Message) -> None:
        self.reader = reader
        self.transaction = transaction
        self.message = message
        self.place = transaction.position
        self.header: Header = header_of(transaction, reader.zone, self.warn)
        ends = (self.header.sender, self.header.receiver, message.sent_by)
        self.ends: Correspondent = reader.identity.correspondent(*ends)
        self.scac = ""
        self.root = Node("", None, None, 0)
        self.nodes: list[Node] = []
        self._kept_by: dict[tuple[int, int], dict[tuple[str, str], None]] = {}
        self._gathered_by: dict[tuple[int, str, frozenset[str]], dict[str, Any]] = {}
        self._issuers: dict[str, str] = {}
        self._ends = {"sender": f"edi:{self.header.sender}", "receiver": f"edi:{self.header.receiver}"}
        self._header_data = self.header.data(message.type)
        ends_of = (self.header.standard, f"{self.header.sender}>{self.header.receiver}", self.header.stamp)
        parts = ("edi", *ends_of, self.header.interchange, self.header.group, message.type, self.header.transaction)
        self._identity_of = ":".join(parts)

    def report(self, code: str, sentence: str, segment: Segment, node: Node | None = None) -> None:
        self.reader.issues.add(code, f"{sentence}.", self.position(segment, node), segment.text)

    def warn(self, code: str, sentence: str, segment: Segment, node: Node | None = None) -> None:
        self.reader.issues.warn(code, f"{sentence}.", self.position(segment, node), segment.text)

    def position(self, segment: Segment, node: Node | None = None) -> str:
        label = f" / {node.label}" if node is not None and node.label else ""
        return f"{self.place}{label} / segment {segment.number}"

    def events(self) -> Iterator[tuple[int, CanonicalEvent]]:
        """(number of the segment it stands at, event)."""
        self._read()
        purpose, instead, withdrawn = self._purpose()
        count = len(self.reader.events)
        for index, rule in enumerate(self.message.rules):
            for target in self._targets(rule):
                made = self._event(rule, index, target, dict(purpose), instead)
                if made is None:
                    continue
                count += 1
                if count > MAX_EVENTS:
                    raise ParseFailure(
                        "edi.too_many_events",
                        f"The file holds more than {MAX_EVENTS:,} events; split it into smaller files.",
                        self.position(target.anchor),
                    )
                yield target.anchor.number, _withdrawal(made) if withdrawn else made
            if rule.per == "sscc":
                self._check_digits()

    def _read(self) -> None:
        """Builds the tree and reads its facts."""
        self.nodes, lost = tree.build(self.transaction.segments(self.message.looked_at), self.message)
        self.root = self.nodes[0]
        for identity, segment in lost:
            shown = f"{segment.tag} names a parent {excerpt(identity, 20)} that is not before it"
            self.warn("edi.loops", f"{shown}; it was put on top", segment)
        for node in self.nodes:
            facts.read(node, self.message, self.reader.zone, self.warn)
        facts.roll_up(self.nodes)
        self.scac = next((node.data["scac"] for node in self.nodes if node.data.get("scac")), "")

    def _purpose(self) -> tuple[dict[str, str], Mapping[str, str], bool]:
        """What the purpose adds to data, what events become (by what an answer decided first), and if it takes them back."""
        purpose, response = self.message.purpose, self.message.response
        code, decided = self._code(purpose), response.instead.get(self._code(response), {}) if response else {}
        if purpose is None or not code:
            return {}, decided, False
        data = {"purpose_code": code} if purpose.told else {}
        if purpose.told and code in purpose.words:
            data["purpose"] = purpose.words[code]
        return data, {**purpose.instead.get(code, {}), **decided}, code in purpose.withdraws

    def _code(self, where: Purpose | None) -> str:
        segment = self.root.first(where.tag) if where else None
        return at(segment, where.code) if where and segment else ""

    def _targets(self, rule: Rule) -> Iterator[_Target]:
        head = self.transaction.part.header
        if not rule.per:
            for node in self.nodes:
                if node.kind in rule.at:
                    yield _Target([node], "", node.opener or head, rule.below)
            return
        holders: dict[str, _Target] = {}
        for node in self.nodes:
            for kind, value, segment in node.own:
                if kind == rule.per:
                    nodes = holders.setdefault(value, _Target([], value, segment)).nodes
                    if not nodes or nodes[-1] is not node:
                        nodes.append(node)
        yield from holders.values()
        if not holders and "" in rule.at:
            yield _Target([self.root], "", self.root.segments[0] if self.root.segments else head, below=True)

    def _event(
        self, rule: Rule, index: int, target: _Target, data: dict[str, Any], instead: Mapping[str, str]
    ) -> CanonicalEvent | None:
        kind, meaning = rule.type, None
        if rule.status is not None:
            meaning = self._status(rule.status, target.node, data)
            if meaning is None:
                return None
            kind = meaning.event
        kind = instead.get(kind, kind)
        if not self.ends.buying:
            kind = self.message.selling.get(kind, kind)
        happened = self._happened(rule, target, meaning) if kind else None
        references = self._references(rule, target) if happened else None
        if happened is None or references is None:
            return None
        if kind in _TROUBLE and meaning is not None:
            data["exception"] = meaning.words
        dates = self._dates(target, meaning)
        days = [name for name, moment in dates.items() if moment.day_only]
        if happened.day_only:
            days.append("happened_at")
        if days:
            data["days"] = days
        return CanonicalEvent(
            type=kind,
            happened_at=happened.at,
            references=references,
            source_event_id=self._identity(rule, index, target),
            sent_at=self.header.sent.at if self.header.sent else None,
            zone=happened.zone,
            dates={name: moment.at for name, moment in dates.items()},
            parties=self._parties(target),
            data={**self._header_data, **self._data(rule, target), **data},
            position=self.position(target.anchor, target.node),
        )

    def _identity(self, rule: Rule, index: int, target: _Target) -> str:
        """Stable over resending: envelope with its date, place in the transaction. Control numbers alone come again."""
        place = target.value or str(target.anchor.number - self.transaction.part.header.number)
        return f"{self._identity_of}:{rule.type or f'rule{index}'}:{place}"

    def _status(self, status: Status, node: Node, data: dict[str, Any]) -> Meaning | None:
        """The meaning of the loop's status code, its code and words into data; None if there is no event for it."""
        found = statuses.find(status, node, self.reader.status_codes, self.transaction.part.header)
        if found is None:
            return None
        meaning = found.meaning
        if meaning is None or not meaning.event:
            self.warn(*statuses.unmapped(found), found.segment, node)
            return None
        told = {"status_code": found.code, "status": meaning.words, "reason_code": found.reason, "stop": meaning.stop}
        data.update({name: text for name, text in told.items() if text})
        return meaning

    def _happened(self, rule: Rule, target: _Target, meaning: Meaning | None) -> Moment | None:
        sources = rule.times
        if meaning is not None and meaning.date:
            # the time beside the code is the estimate itself; it was told when it was sent
            sources = ("sent", "group") if "status" in target.node.dates else ()
        for source in sources:
            found = self._time(source, target.node)
            if found is not None:
                if source != sources[0] and sources[0] == "document":
                    sentence = "The document has no date that can be read; the interchange's was taken"
                    self.warn("edi.no_time", sentence, target.anchor)
                return found
        what = target.node.label or self.message.type
        sentence = f"{what} has no time that can be read, so it gives no event"
        self.report("edi.no_time", sentence, target.anchor, target.node)
        return None

    def _time(self, source: str, node: Node) -> Moment | None:
        if source in ("group", "sent"):
            return self.header.grouped if source == "group" else self.header.sent
        if source == "status":
            return node.dates.get("status")
        return next((one.dates[source] for one in node.up() if source in one.dates), None)

    def _references(self, rule: Rule, target: _Target) -> tuple[Reference, ...] | None:
        found: dict[tuple[str, str], None] = {(rule.per, target.value): None} if target.value else {}
        for node in target.nodes[:MAX_OUTER]:
            if len(found) <= MAX_REFERENCES:
                found.update(self._kept_up(rule, node))
            for one in node.below() if target.below else ():
                if len(found) <= MAX_REFERENCES:
                    found.update(self._kept(rule, one))
            if rule.order_below and node.orders:
                found = {pair: None for pair in found if pair[0] != "purchase_order"}
                found.update(dict.fromkeys(("purchase_order", order) for order in node.orders))
        if rule.control:
            control = self._control(rule, target)
            if not control:
                return None
            found["control_number", control] = None
            if rule.answers is not None and not self.ends.outbound:
                found.update(dict.fromkeys(self._answered(rule.answers, target)))
        elif self.ends.outbound and rule.per != "sscc":
            found.update(dict.fromkeys(("control_number", number) for number in self.header.controls()))
        if not self.ends.buying:
            orders = [text for kind, text in found if kind == "purchase_order"]
            found.update(dict.fromkeys(("channel_order", text) for text in orders))
        if rule.needs and not any(kind in rule.needs for kind, _ in found):
            wanted = " or ".join(sorted(kind.replace("_", " ") for kind in rule.needs))
            sentence = f"There is no {wanted} to know it by, so it gives no event"
            self.report("edi.no_reference", sentence, target.anchor, target.node)
            return None
        if len(found) > MAX_REFERENCES:
            sentence = f"It names more than {MAX_REFERENCES} references; the rest is left out of the event"
            self.warn("edi.too_many", sentence, target.anchor)
        issuer = self._issuer
        return tuple([Reference(kind, text, issuer(kind)) for kind, text in islice(found, MAX_REFERENCES)])

    def _issuer(self, kind: str) -> str:
        found = self._issuers.get(kind)
        if found is None:
            found = self.ends.issuer(kind, self.scac, self.reader.identity, self.message.issued)
            self._issuers[kind] = found
        return found

    def _kept_up(self, rule: Rule, node: Node) -> dict[tuple[str, str], None]:
        """What the rule keeps of a loop and those around it, the nearest first; cached, siblings share most of it."""
        around = {} if node.parent is None else self._kept_around(rule, node.parent)
        return self._kept(rule, node) | around

    def _kept_around(self, rule: Rule, node: Node) -> dict[tuple[str, str], None]:
        key = (id(rule), id(node))
        found = self._kept_by.get(key)
        if found is None:
            found = self._kept_by[key] = self._kept_up(rule, node)
        return found

    @staticmethod
    def _kept(rule: Rule, node: Node) -> dict[tuple[str, str], None]:
        """A loop's references that the rule keeps, without those of the kind it makes events of."""
        if not node.own:
            return {}
        per, keep = rule.per, rule.keep
        kept = [(kind, text) for kind, text, _ in node.own if kind != per and (not keep or kind in keep)]
        return dict.fromkeys(kept if rule.below else kept[:MAX_OUTER])

    def _control(self, rule: Rule, target: _Target) -> str:
        """The control number an acknowledgment is about: ``GS 12 / ST 0001``; '' if it does not say."""
        parts = []
        for place, (label, tag, where) in enumerate(rule.control):
            segment = next((found for near in target.node.up() if (found := near.first(tag)) is not None), None)
            number = at(segment, where) if segment else ""
            if number:
                parts.append(control_number(label, number))
            elif place == len(rule.control) - 1:
                sentence = f"{tag} does not say which {label} it is about"
                self.report("edi.no_reference", sentence, target.anchor, target.node)
                return ""
        # what we acknowledged is the partner's number, not ours
        return ("received " if self.ends.outbound else "") + " / ".join(parts)

    def _answered(self, answer: Answer, target: _Target) -> list[tuple[str, str]]:
        """The group or interchange we sent that an acknowledgment is about, as `sent` names it."""
        parts = []
        for tag, where in answer.parts:
            segment = next((found for near in target.node.up() if (found := near.first(tag)) is not None), None)
            parts.append(at(segment, where) if segment else "")
        return [(answer.kind, sent_as(answer.label, *parts))] if all(parts) else []

    def _said(self, target: _Target, name: str, left_out: frozenset[str] = frozenset()) -> dict[str, Any]:
        """What loops say of one thing: inside the target (where that belongs to it), around it, itself; the last wins.

        left_out: what is not taken from the loops around.
        """
        node = target.nodes[0]
        own = node.said(name)
        around = _NOTHING if node.parent is None else self._gathered(node.parent, name, left_out)
        if target.below:
            found: dict[str, Any] = {}
            for inner in reversed(node.below()[:MAX_OUTER]):
                found |= {key: value for key, value in inner.said(name).items() if key not in left_out}
            return found | around | own
        # shared with other events, so nobody may change it
        return around | own if own else around

    def _gathered(self, node: Node, name: str, left_out: frozenset[str]) -> dict[str, Any]:
        """From the message down to this loop; cached, since all loops inside it share it."""
        key = (id(node), name, left_out)
        found = self._gathered_by.get(key)
        if found is None:
            outer = self._gathered(node.parent, name, left_out) if node.parent is not None else _NOTHING
            own = {key: value for key, value in node.said(name).items() if key not in left_out}
            found = self._gathered_by[key] = outer | own if own else outer
        return found

    def _dates(self, target: _Target, meaning: Meaning | None) -> dict[str, Moment]:
        said = self._said(target, "dates")
        if not said:
            return said
        found = {name: one for name, one in said.items() if name not in _TOLD_BY_TIME}
        if meaning is not None and meaning.date:
            found[meaning.date] = target.node.dates["status"]
        return dict(sorted(found.items())) if len(found) > 1 else found

    def _parties(self, target: _Target) -> dict[str, str]:
        return self._ends | self._said(target, "parties")

    def _data(self, rule: Rule, target: _Target) -> dict[str, Any]:
        found = self._said(target, "data", rule.own).copy()
        if names := self._said(target, "names"):
            found["names"] = names
        if other := self._said(target, "other"):
            found["references"] = other
        if self.scac:
            found["scac"] = self.scac
        return found | totals if (totals := facts.totals(target.nodes)) else found

    def _check_digits(self) -> None:
        ssccs = {text: segment for node in self.nodes for kind, text, segment in node.own if kind == "sscc"}
        wrong = [text for text in ssccs if not facts.check_digit_holds(text)]
        if wrong:
            sentence = f"{len(wrong)} of {len(ssccs)} SSCCs have a wrong check digit, first {excerpt(wrong[0], 30)}"
            self.warn("edi.check_digit", f"{sentence}; they were taken as they are", ssccs[wrong[0]])


def _withdrawal(event: CanonicalEvent) -> CanonicalEvent:
    """The event a cancellation repeats, as its taking back, told when the cancellation was sent."""
    gone = {"type": event.type, "happened_at": event.happened_at.astimezone(UTC).isoformat()}
    data = {**event.data, "withdrawn": gone}
    return replace(event, type=WITHDRAWN, happened_at=event.sent_at or event.happened_at, data=data)
