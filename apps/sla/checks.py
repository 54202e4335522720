"""What a rule may look for besides a deadline: too early, too long between, unexpected, skipped, short or over. Pure.

A check speaks of one milestone of one flow and is judged by the facts alone; it needs no clock. What it finds is a
`Deviation`, told after `wait` if it still holds then: messages overtake each other, and a hand-over that is heard five
minutes after the proof of delivery was no hand-over missing.

early       it came before a moment (any form of `due` names it)
too_long    between an anchor and it more time passed than allowed
unexpected  it came although what must come before did not (`in_order`: or came only afterwards)
skipped     it did not come, but something later did
quantity    what came is less or more than what was asked for: in all, or part by part (`compare: each`)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, Protocol

from apps.core.clock import whole_second
from apps.flows.states import FlowState
from apps.flows.totals import PARTS, number
from apps.sla.deadlines import Form, RuleError, Setting, compile_due, first_due
from apps.sla.durations import parse_duration

KINDS = ("early", "too_long", "unexpected", "skipped", "quantity")
#: how long messages may overtake each other before something counts as missing
USUAL_WAIT = timedelta(minutes=30)


class Deviation(NamedTuple):
    """What a check found. at: when what it speaks of happened; heard_at: when we heard; wait later it is told.

    awaited: the milestones that are missing: while whoever should tell them cannot be heard, nobody knows.
    facts: JSON-ready; `sentence` reads them.
    """

    kind: str
    at: datetime
    heard_at: datetime
    wait: timedelta
    awaited: tuple[str, ...]
    facts: dict[str, Any]


class Check(Protocol):
    """One way to deviate."""

    @property
    def kind(self) -> str: ...

    def find(self, state: FlowState, milestone: str, ordinal: int, setting: Setting) -> Deviation | None: ...


def _actual(state: FlowState, name: str) -> datetime | None:
    found = state.milestones.get(name)
    return found.actual_at if found is not None else None


def _heard(state: FlowState, name: str, at: datetime) -> datetime:
    return state.milestones[name].received_at or at


@dataclass(frozen=True, slots=True)
class EarlyCheck:
    forms: tuple[Form, ...]
    wait: timedelta
    kind: str = "early"

    def find(self, state: FlowState, milestone: str, ordinal: int, setting: Setting) -> Deviation | None:
        actual, due = _actual(state, milestone), first_due(self.forms, state, setting)
        if actual is None or due is None or whole_second(actual) >= due.at:
            return None
        return Deviation(
            self.kind,
            actual,
            _heard(state, milestone, actual),
            self.wait,
            (),
            {"earliest": due.at, "origin": due.origin},
        )


@dataclass(frozen=True, slots=True)
class TooLongCheck:
    form: Form
    wait: timedelta
    kind: str = "too_long"

    def find(self, state: FlowState, milestone: str, ordinal: int, setting: Setting) -> Deviation | None:
        actual, due = _actual(state, milestone), first_due((self.form,), state, setting)
        if actual is None or due is None or whole_second(actual) <= due.at:
            return None
        facts = {"since": due.anchor_at, "latest": due.at, "origin": due.origin}
        return Deviation(self.kind, actual, _heard(state, milestone, actual), self.wait, (), facts)


@dataclass(frozen=True, slots=True)
class UnexpectedCheck:
    without: tuple[str, ...]
    in_order: bool
    wait: timedelta
    kind: str = "unexpected"

    def find(self, state: FlowState, milestone: str, ordinal: int, setting: Setting) -> Deviation | None:
        actual = _actual(state, milestone)
        if actual is None:
            return None
        lacking = tuple(name for name in self.without if _actual(state, name) is None)
        after = []
        if self.in_order:
            after = [name for name in self.without if (at := _actual(state, name)) is not None and at > actual]
        if not lacking and not after:
            return None
        return Deviation(
            self.kind,
            actual,
            _heard(state, milestone, actual),
            self.wait,
            lacking,
            {"without": list(lacking), "before": after},
        )


@dataclass(frozen=True, slots=True)
class SkippedCheck:
    by: frozenset[str]
    wait: timedelta
    kind: str = "skipped"

    def find(self, state: FlowState, milestone: str, ordinal: int, setting: Setting) -> Deviation | None:
        if _actual(state, milestone) is not None:
            return None
        later = [
            (one.actual_at, one.ordinal, one.name)
            for one in state.milestones.values()
            if one.actual_at is not None and one.ordinal > ordinal and (not self.by or one.name in self.by)
        ]
        if not later:
            return None
        at, _, name = min(later)
        return Deviation(self.kind, at, _heard(state, name, at), self.wait, (milestone,), {"by": name})


@dataclass(frozen=True, slots=True)
class QuantityCheck:
    """got, of: attributes of the flow. short, over: how much less or more is borne, as a number or as a share of `of`.

    What came in several deliveries is a total of the flow's definition, which adds them up; a plain attribute is the
    newest word. each: both are totals, and every part that both name is held against its own, the worst one is told.
    """

    got: str
    of: str
    short: tuple[Decimal, bool]
    over: tuple[Decimal, bool]
    wait: timedelta
    each: bool = False
    kind: str = "quantity"

    def find(self, state: FlowState, milestone: str, ordinal: int, setting: Setting) -> Deviation | None:
        actual = _actual(state, milestone)
        wrong = [] if actual is None else [pair for pair in self._pairs(state) if self._differs(*pair[1:])]
        if actual is None or not wrong:
            return None
        part, got, wanted = max(wrong, key=lambda pair: (abs(pair[1] - pair[2]), pair[0]))
        facts: dict[str, Any] = {
            "got": str(got),
            "wanted": str(wanted),
            "of": self.of,
            "sort": "short" if got < wanted else "over",
        }
        if part:
            facts |= {"part": part, "parts": len(wrong)}
        return Deviation(self.kind, actual, _heard(state, milestone, actual), self.wait, (), facts)

    def _pairs(self, state: FlowState) -> list[tuple[str, Decimal, Decimal]]:
        """(part, what came, what was asked for); one pair without a part where the sums are compared."""
        if self.each:
            parts = state.attributes.get(PARTS) or {}
            came, asked = parts.get(self.got) or {}, parts.get(self.of) or {}
            return [(name, Decimal(came[name]), Decimal(asked[name])) for name in sorted(came.keys() & asked.keys())]
        got, wanted = _number(state.attributes.get(self.got), 0), _number(state.attributes.get(self.of), 1)
        return [] if got is None or wanted is None else [("", got, wanted)]

    def _differs(self, got: Decimal, wanted: Decimal) -> bool:
        amount, is_share = self.short if got < wanted else self.over
        return abs(got - wanted) > (abs(wanted) * amount if is_share else amount)


def _number(value: Any, index: int) -> Decimal | None:
    """A finite number; of a pair (how many of how many) its part."""
    if isinstance(value, list):
        value = value[index] if len(value) == 2 else None
    return number(value)


# -- reading ------------------------------------------------------------------


def compile_check(spec: Any) -> Check:
    """Reads a rule's `check`; RuleError names the place and what is expected."""
    if not isinstance(spec, Mapping):
        raise RuleError("check", f"expected one of {', '.join(KINDS)}")
    named = [name for name in KINDS if name in spec]
    if len(named) != 1:
        raise RuleError("check", f"expected exactly one of {', '.join(KINDS)}")
    kind, inner = named[0], spec[named[0]]
    wait = _wait(spec, kind)
    if kind == "early":
        return EarlyCheck(compile_due(inner["than"], "check.early.than"), wait)
    if kind == "too_long":
        return TooLongCheck(compile_due({"after": inner["since"]}, "check.too_long.since")[0], wait)
    if kind == "unexpected":
        return UnexpectedCheck(tuple(inner["without"]), bool(inner.get("in_order")), wait)
    if kind == "skipped":
        return SkippedCheck(frozenset(inner.get("by") or ()), wait)
    return QuantityCheck(
        inner["got"],
        inner["of"],
        _tolerance(inner.get("short", 0), "short"),
        _tolerance(inner.get("over", 0), "over"),
        wait,
        inner.get("compare") == "each",
    )


def _wait(spec: Mapping[str, Any], kind: str) -> timedelta:
    if "wait" not in spec:
        return USUAL_WAIT if kind in ("unexpected", "skipped") else timedelta(0)
    try:
        return parse_duration(spec["wait"])
    except ValueError as error:
        raise RuleError("check.wait", str(error)) from None


def _tolerance(value: Any, name: str) -> tuple[Decimal, bool]:
    """(amount, whether it is a share): 3 or '2%'."""
    text = str(value)
    try:
        amount = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise RuleError(f"check.quantity.{name}", f"{value!r} is neither a number nor a share like '2%'")
    return (amount / 100, True) if text.endswith("%") else (amount, False)
