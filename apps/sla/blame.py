"""Where the time of a late milestone went: the way from its anchor to it, cut into hops by the four clocks. Pure.

Between two milestones that followed each other the time is cut without gap or overlap: from happened to sent (the partner's),
sent to received (transport), received to booked in Odoo (booking), and from there to the next happening (process). A clock
that passed only after the next thing had happened held nothing up, so it counts up to then.

Of these hops the one that took longest beyond what is usual for it is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.sla.durations import span_in_words

PROCESS, PARTNER, TRANSPORT, BOOKING = "process", "partner", "transport", "booking"
HOPS = (PROCESS, PARTNER, TRANSPORT, BOOKING)
WORDS = {PROCESS: "the process", PARTNER: "sending", TRANSPORT: "transport", BOOKING: "booking"}
#: what took no longer than this beyond the usual is nobody's fault
LEAST = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Reached:
    """A milestone that was reached, with its four clocks as far as they are known."""

    name: str
    happened_at: datetime
    sent_at: datetime | None = None
    received_at: datetime | None = None
    booked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """A piece of the way. milestone: the one whose message it was, or, of a process, the one it led to."""

    milestone: str
    kind: str
    begin: datetime
    end: datetime

    @property
    def took(self) -> timedelta:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Norm:
    """What is usual for a hop. count: how many it was learnt from; usual: their median, in seconds."""

    count: int
    usual: float


Norms = Mapping[tuple[str, str], Norm]


@dataclass(frozen=True, slots=True)
class Blame:
    """The hop that is named. over: its time beyond the usual; share: of all time beyond the usual on the way."""

    hop: Hop
    usual: timedelta | None
    over: timedelta
    share: float


def way(reached: Sequence[Reached], start: datetime, target: str, end: datetime) -> list[Hop]:
    """The hops from start to end, where target happened (or, if it has not come, until now), in order of time.

    reached: the flow's milestones in any order; those before the start and after the end are no part of the way.
    """
    stops = sorted(
        (one for one in reached if start <= one.happened_at <= end and one.name != target),
        key=lambda one: (one.happened_at, one.name),
    )
    hops: list[Hop] = []
    at = start
    for here, following in zip(stops, [*stops[1:], None], strict=False):
        if here.happened_at > at:
            hops.append(Hop(here.name, PROCESS, at, here.happened_at))
        at = here.happened_at
        until = following.happened_at if following is not None else end
        for kind, passed in ((PARTNER, here.sent_at), (TRANSPORT, here.received_at), (BOOKING, here.booked_at)):
            clipped = min(passed, until) if passed is not None else at
            if clipped > at:
                hops.append(Hop(here.name, kind, at, clipped))
                at = clipped
    if end > at:
        hops.append(Hop(target, PROCESS, at, end))
    return hops


def blame(hops: Sequence[Hop], norms: Norms) -> Blame | None:
    """The hop that took longest beyond its usual time; None when none took notably longer."""
    overs = [(_over(hop, norms), hop) for hop in hops]
    total = sum((over for over, _ in overs if over > timedelta(0)), timedelta(0))
    if not overs or total < LEAST:
        return None
    over, hop = max(overs, key=lambda pair: pair[0])
    norm = norms.get((hop.milestone, hop.kind))
    return Blame(hop, timedelta(seconds=norm.usual) if norm else None, over, over / total)


def _over(hop: Hop, norms: Norms) -> timedelta:
    norm = norms.get((hop.milestone, hop.kind))
    return hop.took - timedelta(seconds=norm.usual) if norm else hop.took


def sentence(found: Blame, labels: Mapping[str, str]) -> str:
    """ "The message of “Placed” was 3 h 5 min on its way, usually 2 s: 96 % of the delay"."""
    hop = found.hop
    label = f"“{labels.get(hop.milestone, hop.milestone)}”"
    took = span_in_words(hop.took)
    usual = "" if found.usual is None else f", usually {span_in_words(found.usual)}"
    what = {
        PROCESS: f"Getting to {label} took {took}{usual}",
        PARTNER: f"{label} was sent {took} after it happened{usual}",
        TRANSPORT: f"The message of {label} was {took} on its way{usual}",
        BOOKING: f"{label} was booked {took} after it was received{usual}",
    }[hop.kind]
    return f"{what}: {found.share:.0%} of the delay"
