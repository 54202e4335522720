"""Unusual paths: a flow whose steps follow each other as hardly any did before. Pure.

Method: a variable-order Markov chain (order two, backing off to one and none by absolute discounting, after Kneser and Ney
1995) over the event types of one kind of flow. A flow's surprise is that of its strangest step plus half the second; its
conformal p is the share of the last 1,000 flows as surprising. Steps the design forbids count as the strangest there are.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from apps.anomalies.contract import Detector, Place, State

START, END, APART = "(start)", "(end)", " > "
DISCOUNT = 0.5
KEEP = 1_000
LEAST = 100
FORBIDDEN = 30.0


class UnusualPath(Detector):
    """score: -log10 of the conformal p."""

    kind = "path"
    label = "Unusual paths"

    def judge(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, float]:
        """event: ``steps`` (event types in order), ``forbidden`` (pairs "a > b" that the design rules out)."""
        counts: dict[str, dict[str, int]] = {key: dict(value) for key, value in state.get("counts", {}).items()}
        seen, recent = list(state.get("seen", ())), list(state.get("recent", ()))
        told = surprises(counts, event["steps"], event.get("forbidden", ()))
        worst = total(told)
        score = rarity(len(seen), bisect_left(seen, worst))
        for context, step in transitions(event["steps"]):
            following = counts.setdefault(context, {})
            following[step] = following.get(step, 0) + 1
        insort(seen, worst)
        recent.append(worst)
        if len(recent) > KEEP:
            del seen[bisect_left(seen, recent.pop(0))]
        return {"counts": counts, "seen": seen, "recent": recent}, score

    def needed(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, State]:
        steps, counts = list(event["steps"]), state.get("counts", {})
        contexts = {context for context, _ in transitions(steps)}
        forbidden = set(event.get("forbidden", ())) & {APART.join(pair) for pair in pairwise([START, *steps, END])}
        place = Place.of(total(surprises(counts, steps, sorted(forbidden))), state.get("seen", ()))
        kept = {context: dict(counts[context]) for context in sorted(contexts) if context in counts}
        return {"counts": kept, "place": place.as_json()}, {"steps": steps, "forbidden": sorted(forbidden)}

    def rescore(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> float:
        place = Place(*state["place"])
        place.check(total(surprises(state["counts"], event["steps"], event["forbidden"])))
        return rarity(place.n, place.below)


def rarity(n: int, below: int) -> float:
    """-log10 of the share of n flows that went as surprising a way; 0 while there are too few to say."""
    return -math.log10((1 + n - below) / (n + 1)) if n >= LEAST else 0.0


def transitions(steps: Sequence[str]) -> list[tuple[str, str]]:
    """(context, step) of orders two, one and none; the end of the flow is a step too."""
    found, line = [], [START, *steps, END]
    for at in range(1, len(line)):
        found += [("", line[at]), (line[at - 1], line[at])]
        if at > 1:
            found.append((APART.join(line[at - 2 : at]), line[at]))
    return found


def chance(counts: Mapping[str, Mapping[str, int]], before: Sequence[str], step: str) -> float:
    """The probability of a step after those before it (at most two count)."""
    context = APART.join(before)
    lower = chance(counts, before[1:], step) if before else 1 / (len(counts.get("", {})) + 2)
    following = counts.get(context, {})
    n = sum(following.values())
    if not n:
        return lower
    return max(following.get(step, 0) - DISCOUNT, 0) / n + DISCOUNT * len(following) / n * lower


def surprises(
    counts: Mapping[str, Mapping[str, int]], steps: Sequence[str], forbidden: Sequence[str] = ()
) -> list[tuple[float, str, str]]:
    """(bits of surprise, step before, step) of every step and of the end."""
    line, found = [START, *steps, END], []
    for at in range(1, len(line)):
        bits = -math.log2(chance(counts, line[max(0, at - 2) : at], line[at]))
        if APART.join(line[at - 1 : at + 1]) in forbidden:
            bits += FORBIDDEN
        found.append((bits, line[at - 1], line[at]))
    return found


def total(told: Sequence[tuple[float, str, str]]) -> float:
    bits = sorted((one[0] for one in told), reverse=True)
    return bits[0] + (0.5 * bits[1] if len(bits) > 1 else 0.0)


def why(counts: Mapping[str, Mapping[str, int]], told: Sequence[tuple[float, str, str]]) -> tuple[str, str, int, int]:
    """(step before, step, how often the one followed the other, how often the first was seen) of the strangest step."""
    _, before, step = max(told)
    following = counts.get(before, {})
    return before, step, following.get(step, 0), sum(following.values())
