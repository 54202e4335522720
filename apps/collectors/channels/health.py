"""How a channel stands: what waits in it, what nobody has confirmed, what its dead-letter queue holds and since when.

Kept in the cursor of the integration (`SourceState.cursor["channel"]`), beside the position the next round reads from: it
is written in the same commit, makes no receipt and so does not hide that a channel has fallen silent. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

KEY = "channel"


@dataclass(frozen=True, slots=True)
class Health:
    """Counted at `at`. None: the broker does not say.

    waiting: messages not read yet (the lag); pending: read and not confirmed; oldest_waiting_at, oldest_dead_letter_at:
    when the oldest of them was stamped; dead_letters: messages in the dead-letter queue named in the settings.
    """

    at: datetime
    waiting: int | None = None
    pending: int | None = None
    oldest_waiting_at: datetime | None = None
    dead_letters: int | None = None
    oldest_dead_letter_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
            if value is not None
        }


_NAMES = frozenset(one.name for one in fields(Health))
_TIMES: dict[str, Callable[[Any], Any]] = dict.fromkeys(
    ("at", "oldest_waiting_at", "oldest_dead_letter_at"), datetime.fromisoformat
)


def health_of(cursor: Mapping[str, Any]) -> Health | None:
    """What the last round measured, from `SourceState.cursor`; None when there is nothing."""
    found = cursor.get(KEY)
    if not isinstance(found, dict) or "at" not in found:
        return None
    try:
        values = {name: _TIMES.get(name, int)(value) for name, value in found.items() if name in _NAMES}
    except (TypeError, ValueError):
        return None
    return Health(**values)
