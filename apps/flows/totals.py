"""Quantities that come in parts: three deliveries of one order, each told by itself, and their sum. Pure.

Of a part the newest word counts, so that a correction replaces what it corrects. Amounts are kept as text, since JSON
has no exact decimals. The parts stay beside the sum: a rule may compare them one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.flows.definitions import TotalSpec

#: name of the attribute that holds what totals are made of: {total: {part: amount}}
PARTS = "parts"
_LARGEST = Decimal("1e15")
#: (kind, issuer, value)
_Ref = tuple[str, str, str]


class Totals:
    """The parts of one flow's totals while its events are folded in their order."""

    def __init__(self, specs: Sequence[TotalSpec]) -> None:
        self.specs = specs
        self.parts: dict[str, dict[str, tuple[Decimal, _Ref | None]]] = {}

    def note(self, type_: str, data: Mapping[str, Any], references: Sequence[_Ref], identity: str) -> None:
        """An event's word about a part. identity: of the event itself, where every event is a part."""
        for spec in self.specs:
            if type_ not in spec.told_by or (amount := number(data.get(spec.of))) is None:
                continue
            named = [ref for ref in references if ref[0] == spec.per]
            if not spec.per:
                self.parts.setdefault(spec.name, {})[identity] = (amount, None)
            elif len(named) == 1:  # what speaks of several at once says nothing of any
                self.parts.setdefault(spec.name, {})[" ".join(filter(None, named[0][1:]))] = (amount, named[0])

    def settle(self, void: Collection[_Ref]) -> dict[str, Any]:
        """The attributes they give: every sum, and `PARTS`. void: parts that were taken back."""
        found: dict[str, Any] = {}
        for name, parts in self.parts.items():
            live = {key: amount for key, (amount, ref) in sorted(parts.items()) if ref is None or ref not in void}
            if live:
                found[name] = str(sum(live.values(), Decimal(0)))
                found.setdefault(PARTS, {})[name] = {key: str(amount) for key, amount in live.items()}
        return found


def number(value: Any) -> Decimal | None:
    """A finite number in plain digits; None for what is none."""
    if value is None or isinstance(value, (bool, list, dict)):
        return None
    try:
        found = Decimal(str(value))
    except (InvalidOperation, ValueError):
        return None
    if not found.is_finite() or abs(found) >= _LARGEST:
        return None
    return found.quantize(Decimal(1)) if found == found.to_integral_value() else found.normalize()
