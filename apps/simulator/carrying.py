"""What became of each message on its way to the tower: delivered, lost, late, told twice, out of order. Seeded, pure."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from apps.simulator.faults import Faults, Wire
from apps.simulator.world import Message, Story

DELIVERED, LOST, LATE, TWICE, OUT_OF_ORDER = "delivered", "lost", "late", "twice", "out_of_order"
#: what is told out of order comes after what followed it within about so long
SHUFFLE = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Carried:
    """A message and its fate; message.arrives_at is when it really arrives. A lost one never does."""

    message: Message
    fate: str
    again: tuple[Message, ...] = ()

    @property
    def arrives(self) -> tuple[Message, ...]:
        return () if self.fate == LOST else (self.message, *self.again)


@dataclass(frozen=True, slots=True)
class Journey:
    """A story and how its messages travelled, in the order they were sent."""

    story: Story
    carried: tuple[Carried, ...]

    def told(self, what: str, **facts: object) -> Message | None:
        """The first arrival of a message of this kind (whose facts have these values), or None."""
        found = [
            one.message
            for one in self.carried
            if one.fate != LOST
            and one.message.what == what
            and all(one.message.facts.get(name) == value for name, value in facts.items())
        ]
        return min(found, key=lambda m: m.arrives_at, default=None)


def carry(stories: Iterable[Story], faults: Faults, seed: int) -> list[Journey]:
    """Sends every message of the stories on its way. The same seed gives the same fates, story by story."""
    journeys = []
    for story in stories:
        chance = random.Random(f"{seed}/way/{story.key}")
        carried = tuple(_travel(message, faults.on_the_way(message.integration), chance) for message in story.messages)
        journeys.append(Journey(story, carried))
    return journeys


def _travel(message: Message, way: Wire, chance: random.Random) -> Carried:
    roll, delay = (
        chance.random(),
        chance.expovariate(1.0),
    )  # drawn for every message, so that fates stay where they were
    if (roll := roll - way.lost) < 0:
        return Carried(message, LOST)
    if (roll := roll - way.twice) < 0:
        again = replace(message, arrives_at=message.arrives_at + timedelta(seconds=5 + 60 * delay))
        return Carried(message, TWICE, (again,))
    if (roll := roll - way.late) < 0:
        later = message.arrives_at + timedelta(hours=way.late_hours * (0.5 + delay))
        return Carried(replace(message, arrives_at=later), LATE)
    if roll - way.out_of_order < 0:
        return Carried(replace(message, arrives_at=message.arrives_at + SHUFFLE * min(delay, 3.0)), OUT_OF_ORDER)
    return Carried(message, DELIVERED)
