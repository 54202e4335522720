"""The steps of an escalation policy laid out in time. Pure: no database, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

#: kind of a target -> what it is called on pages
TARGETS: Mapping[str, str] = {
    "schedule": "On call by schedule",
    "person": "Person",
    "team": "Team",
    "channel": "Channel",
}
MINUTE = timedelta(minutes=1)
#: a tower that wakes up later than this lays the following steps out from now, not from when it should have been
LATE = timedelta(minutes=2)
MOST_STEPS, MOST_ROUNDS = 20, 20
LONGEST = timedelta(days=2)
MOST_MINUTES = LONGEST // MINUTE


class PolicyError(ValueError):
    """A policy that makes no sense; the message is for who wrote it."""


@dataclass(frozen=True, slots=True)
class Target:
    """kind: of TARGETS; ref: slug of the schedule, team or channel, or sign-in name of the person."""

    kind: str
    ref: str


@dataclass(frozen=True, slots=True)
class Step:
    """after: since the step before it, or since the incident opened."""

    after: timedelta
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Ladder:
    """The steps of a policy: rounds after the first begin `pause` after the last step of the round before."""

    steps: tuple[Step, ...]
    repeat: int = 0
    pause: timedelta = 30 * MINUTE


@dataclass(frozen=True, slots=True)
class Due:
    """step and round count from 0."""

    step: int
    round: int
    at: datetime


def read(steps: Any, repeat: int = 0, pause: timedelta = 30 * MINUTE) -> Ladder:
    """From the JSON of a policy. Raises PolicyError."""
    if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
        raise PolicyError("A policy has at least one step: say whom to call first.")
    if len(steps) > MOST_STEPS:
        raise PolicyError(f"A policy has at most {MOST_STEPS} steps; after those, let it repeat.")
    if not 0 <= repeat <= MOST_ROUNDS:
        raise PolicyError(f"It repeats at most {MOST_ROUNDS} times.")
    if repeat and not MINUTE <= pause <= LONGEST:
        raise PolicyError("Between two rounds lie at least a minute and at most two days.")
    return Ladder(tuple(_step(number, one) for number, one in enumerate(steps, 1)), repeat, pause)


def _step(number: int, value: Any) -> Step:
    if not isinstance(value, Mapping) or set(value) - {"after", "targets"}:
        raise PolicyError(f"Step {number} has `after` (minutes) and `targets`, and nothing else.")
    minutes = value.get("after", 0)
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 0 <= minutes <= MOST_MINUTES:
        raise PolicyError(f"Step {number}: write how many whole minutes after the step before, at most two days.")
    if number > 1 and minutes == 0:
        raise PolicyError(f"Step {number} comes at least a minute after step {number - 1}; or call both in one step.")
    targets = tuple(_target(number, one) for one in value.get("targets") or ())
    if not targets:
        raise PolicyError(f"Step {number} calls nobody: choose a schedule, a person, a team or a channel.")
    return Step(minutes * MINUTE, targets)


def _target(number: int, value: Any) -> Target:
    if (
        not isinstance(value, Mapping)
        or set(value) != {"kind", "ref"}
        or value["kind"] not in TARGETS
        or not isinstance(value["ref"], str)
        or not value["ref"]
    ):
        raise PolicyError(f"Step {number}: a target has kind ({', '.join(TARGETS)}) and ref (its short name).")
    return Target(value["kind"], value["ref"])


def first(ladder: Ladder, opened_at: datetime) -> Due:
    return Due(0, 0, opened_at + ladder.steps[0].after)


def following(ladder: Ladder, due: Due) -> Due | None:
    """The step after this one; None after the last of the last round."""
    if due.step + 1 < len(ladder.steps):
        return Due(due.step + 1, due.round, due.at + ladder.steps[due.step + 1].after)
    if due.round < ladder.repeat:
        return Due(0, due.round + 1, due.at + ladder.pause)
    return None


def newest(ladder: Ladder, due: Due, now: datetime) -> tuple[Due, int]:
    """Of the steps from `due` on that are due by `now`, the newest, and how many before it are skipped."""
    skipped = 0
    while (later := following(ladder, due)) is not None and later.at <= now:
        due, skipped = later, skipped + 1
    return due, skipped


def after_calling(ladder: Ladder, due: Due, now: datetime) -> Due | None:
    """What follows a step that was called at `now`: by its plan, or from now on if that was long ago."""
    return following(ladder, due if now - due.at <= LATE else Due(due.step, due.round, now))


def laid_out(ladder: Ladder, opened_at: datetime) -> list[Due]:
    """Every step of every round, if nobody acknowledges."""
    found: list[Due] = []
    due: Due | None = first(ladder, opened_at)
    while due is not None:
        found.append(due)
        due = following(ladder, due)
    return found
