"""Whether the two sides of a pair agree, from all their words. Pure: words and a moment in, a verdict out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.anomalies.reconciliation.rules import EQUALS, FOLLOWS, Rule, Side

#: ways to write "one piece" (UN/ECE Recommendation 20 codes, X12 355, plain words)
EACH = frozenset({"", "EA", "EACH", "PCE", "PC", "PCS", "C62", "UN", "UNIT", "UNITS", "ST", "STK", "H87"})
#: while a side cannot be heard, its silence says nothing; asked again so much later
ASK_AGAIN = timedelta(minutes=15)

LEFT, RIGHT, UNLESS = "left", "right", "unless"
AGREE, WAITING, DIFFER, VOID = "agree", "waiting", "differ", "void"


@dataclass(frozen=True, slots=True)
class Word:
    """What one side said once. amounts: unit -> amount; mark: the counted reference of a rule that counts."""

    side: str
    event_id: int
    type: str
    happened_at: datetime
    received_at: datetime
    integration_id: int
    amounts: Mapping[str, str] = field(default_factory=dict)
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """state: agree, waiting (look again at look_at), differ, void (nothing to compare). said: the disagreement in words.

    left, right: the totals that were compared, as text; empty if none were.
    """

    state: str
    look_at: datetime | None = None
    said: str = ""
    left: str = ""
    right: str = ""


def judge(rule: Rule, words: Sequence[Word], now: datetime, unheard: Collection[int] = ()) -> Verdict:
    """words: all of one pair, in any order; unheard: integrations of the right side that cannot be heard now."""
    left = sorted((one for one in words if one.side == LEFT), key=_order)
    right = sorted((one for one in words if one.side == RIGHT), key=_order)
    unless = [one for one in words if one.side == UNLESS]
    if rule.check == FOLLOWS:
        return _follows(rule, left, right, unless, now, unheard)
    if rule.check == EQUALS:
        return Verdict(VOID) if unless else _equals(rule, left, right, now)
    return _once(rule, left, right, unless, now)


def _order(word: Word) -> tuple[datetime, int]:
    return word.happened_at, word.event_id


def _follows(
    rule: Rule,
    left: Sequence[Word],
    right: Sequence[Word],
    unless: Sequence[Word],
    now: datetime,
    unheard: Collection[int],
) -> Verdict:
    if not left or unless:
        return Verdict(VOID)
    if right:
        return Verdict(AGREE)
    due = min(one.received_at for one in left) + rule.grace
    if now < due:
        return Verdict(WAITING, due)
    if unheard:
        return Verdict(WAITING, now + ASK_AGAIN)
    return Verdict(DIFFER, said=f"{rule.right.name} has said nothing of it")


def _equals(rule: Rule, left: Sequence[Word], right: Sequence[Word], now: datetime) -> Verdict:
    ours, theirs = _total(rule.left, left), _total(rule.right, right)
    if not ours or not theirs:
        return Verdict(VOID)
    due = max(one.received_at for one in (*left, *right)) + rule.grace
    if now < due:
        return Verdict(WAITING, due)
    one, other = in_pieces(ours, rule.units), in_pieces(theirs, rule.units)
    said_left, said_right = in_words(ours), in_words(theirs)
    if one is None or other is None:
        if _normal(ours) == _normal(theirs):
            return Verdict(AGREE, left=said_left, right=said_right)
        words = f"the units cannot be compared: {said_left} against {said_right}. Say in the rule how many pieces a unit has"
        return Verdict(DIFFER, said=words, left=said_left, right=said_right)
    gap = abs(one - other)
    if gap <= max(rule.tolerance, rule.relative * max(abs(one), abs(other))):
        return Verdict(AGREE, left=said_left, right=said_right)
    words = f"{said_left} against {said_right}, {plain(gap)} {'more' if one > other else 'less'}"
    return Verdict(DIFFER, said=words + _like_units(one, other), left=said_left, right=said_right)


def _once(rule: Rule, left: Sequence[Word], right: Sequence[Word], unless: Sequence[Word], now: datetime) -> Verdict:
    gone = {one.mark for one in unless}
    marks = sorted({one.mark for one in left if one.mark} - gone)
    allowed = max(1, len(right))
    if not left:
        return Verdict(VOID)
    due = max(one.received_at for one in left) + rule.grace
    if len(marks) <= allowed:
        return Verdict(AGREE, left=str(len(marks)), right=str(allowed))
    if now < due:
        return Verdict(WAITING, due)
    shown = ", ".join(marks[:5])
    words = f"{len(marks)} where {allowed} {'was' if allowed == 1 else 'were'} expected: {shown}"
    return Verdict(DIFFER, said=words, left=str(len(marks)), right=str(allowed))


def _total(side: Side, words: Sequence[Word]) -> dict[str, Decimal]:
    """Unit -> amount over all words of a side, or of its last one."""
    counted = [one for one in words if one.amounts]
    if side.take == "last":
        counted = counted[-1:]
    total: Counter[str] = Counter()
    found: dict[str, Decimal] = {}
    for one in counted:
        for unit, amount in one.amounts.items():
            total[unit] += 1
            found[unit] = found.get(unit, Decimal(0)) + Decimal(amount)
    return found


def in_pieces(total: Mapping[str, Decimal], factors: Mapping[str, Decimal]) -> Decimal | None:
    """The sum in pieces; None when a unit is neither a piece nor one the rule knows."""
    pieces = Decimal(0)
    for unit, amount in total.items():
        name = unit.upper().strip()
        if name in factors:
            pieces += amount * factors[name]
        elif name in EACH:
            pieces += amount
        else:
            return None
    return pieces


def _normal(total: Mapping[str, Decimal]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for unit, amount in total.items():
        name = unit.upper().strip()
        name = "EA" if name in EACH else name
        found[name] = found.get(name, Decimal(0)) + amount
    return {unit: amount for unit, amount in found.items() if amount}


def _like_units(one: Decimal, other: Decimal) -> str:
    """A hint when the one is a whole multiple of the other: somebody counts cartons where the other counts pieces."""
    small, large = sorted((abs(one), abs(other)))
    if small and large % small == 0 and 2 <= large / small <= 1000:
        return f"; exactly {plain(large / small)} times as much, as if one counted packs"
    return ""


def in_words(total: Mapping[str, Decimal]) -> str:
    return " + ".join(f"{plain(amount)} {unit}".strip() for unit, amount in sorted(total.items())) or "nothing"


def plain(number: Decimal) -> str:
    """1200.50 as "1,200.5"."""
    text = f"{number.normalize():,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def sides(rule: Rule, words: Sequence[Word]) -> dict[str, list[dict[str, Any]]]:
    """Who said what when, for the evidence: up to ten words of each side, in order."""
    told: dict[str, list[dict[str, Any]]] = {LEFT: [], RIGHT: []}
    for one in sorted(words, key=_order):
        if one.side in told and len(told[one.side]) < 10:
            amounts = {unit: Decimal(amount) for unit, amount in one.amounts.items()}
            told[one.side].append(
                {
                    "event": one.event_id,
                    "type": one.type,
                    "happened_at": one.happened_at.isoformat(),
                    "received_at": one.received_at.isoformat(),
                    "integration": one.integration_id,
                    "amount": in_words(amounts) if amounts else "",
                    "mark": one.mark,
                }
            )
    return told
