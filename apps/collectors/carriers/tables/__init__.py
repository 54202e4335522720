"""Status codes of the carriers and platforms, each mapped to the one tracking vocabulary. Data only.

A code that is in no table is listed for mapping (`<kind>.unmapped_status`) and gives no event, or, where its sender
says by a second code what it refines, the event of that. Sources: each vendor's own list of codes, named in the file.
"""

from __future__ import annotations

from apps.collectors.carriers import model
from apps.collectors.carriers.model import Meaning, Table

LABEL, VOIDED, MANIFESTED = Meaning(model.LABEL), Meaning(model.VOIDED), Meaning(model.MANIFESTED)
PICKED_UP, DEPARTED = Meaning(model.PICKED_UP), Meaning(model.DEPARTED)
IN_TRANSIT, ARRIVED, OUT = Meaning(model.IN_TRANSIT), Meaning(model.ARRIVED), Meaning(model.OUT)
DELIVERED, PROOF, ETA = Meaning(model.DELIVERED), Meaning(model.PROOF), Meaning(model.ETA)
ATTEMPTED, EXCEPTION, NOTHING = Meaning(model.ATTEMPTED), Meaning(model.EXCEPTION), Meaning(model.NOTHING)
RETURNING = Meaning(model.EXCEPTION, "Returning to the sender", returning=True)
CAME_BACK = Meaning(model.CAME_BACK, returning=True)


def trouble(words: str) -> Meaning:
    """An exception, in words of ours."""
    return Meaning(model.EXCEPTION, words)


def attempt(words: str) -> Meaning:
    """A delivery that was tried in vain, and why."""
    return Meaning(model.ATTEMPTED, words)


def back(words: str) -> Meaning:
    """The parcel is going back to its sender, and why."""
    return Meaning(model.EXCEPTION, words, returning=True)


def table(*groups: tuple[Meaning, str]) -> Table:
    """(meaning, its codes with blanks between). A code that is given two meanings is a mistake in the table."""
    found: dict[str, Meaning] = {}
    for meaning, codes in groups:
        for code in codes.lower().split():
            if code in found:
                raise ValueError(f"the code {code!r} stands twice")
            found[code] = meaning
    return found
