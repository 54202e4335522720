"""Feeds rolled up: a partner's, a message type's, everybody's. A silence of the whole is told once, for all its parts.

A sum is told instead of its parts when (almost) all of them went the same way at the same time: then the cause lies above
them. While it is told its parts are not; what stays strange when it is over speaks for itself again. A sum of which only
some parts are strange is left to them; one of which no part is strange by itself is told: many a little.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import numpy as np

from apps.anomalies.detectors.feed import HOUR, FeedRate, Floats, Profile, began
from apps.anomalies.detectors.feed import Series as History
from apps.anomalies.feed_series import Counts, Feed, Round, Sum, nothing
from apps.anomalies.feed_words import Source
from apps.anomalies.models import FeedProfile
from apps.integrations.models import Integration, Partner

#: share of the parts, of which a message was expected, that must have gone the way of the whole
MOSTLY = 0.8
#: part of the usual below which a part counts as down, and above which as up
DOWN, UP = 0.5, 1.5
EVERYBODY = "everybody:"
#: (partner or None: of everybody, event type or '')
Scope = tuple[int | None, str]


def scopes(feeds: Iterable[tuple[int, str]], integrations: Mapping[int, Integration]) -> dict[Scope, list[int]]:
    """Which sums there are, with their integrations: of a partner with two of them or more, and over two partners or
    more; by type and whole. feeds: (integration, event type)."""
    held: dict[Scope, set[int]] = defaultdict(set)
    for pk, event_type in feeds:
        partner = integrations[pk].partner_id
        held[None, event_type].add(pk)
        if partner is not None:
            held[partner, event_type].add(pk)
    return {
        scope: sorted(members)
        for scope, members in held.items()
        if len(members) > 1 and (scope[0] is not None or len({integrations[pk].partner_id for pk in members}) > 1)
    }


def name_of(partner: Partner | None) -> str:
    return f"All feeds of {partner.name}" if partner else "The feeds of all partners"


def source_of(scope: Scope, members: Sequence[Feed]) -> Source:
    """The sum as words and rows know it; it is as urgent as an integration is by default."""
    zones = {one.source.zone for one in members}
    zone, ids = zones.pop() if len(zones) == 1 else "UTC", tuple(one.integration.pk for one in members)
    if scope[0] is None:
        return Source(EVERYBODY, name_of(None), zone, "high", ids)
    partner = members[0].integration.partner
    assert partner is not None
    return Source(f"partner:{partner.slug}", name_of(partner), zone, "high", ids, partner_id=partner.pk)


def slugs_of(partner: str) -> list[str]:
    """Slugs under which a sum that an integration of this partner belongs to would be told, the widest first."""
    return [EVERYBODY, *([f"partner:{partner}"] if partner else [])]


def build(rows: Iterable[FeedProfile], feeds: Sequence[Feed]) -> list[Sum]:
    """The sums of this round, the widest first: over everybody before a partner's, whole before by type."""
    by_scope: dict[Scope, list[Feed]] = defaultdict(list)
    for one in feeds:
        by_scope[None, one.event_type].append(one)
        if one.integration.partner_id is not None:
            by_scope[one.integration.partner_id, one.event_type].append(one)
    found = []
    for row in sorted(rows, key=lambda row: (row.partner_id is not None, row.event_type, row.partner_id or 0)):
        members = by_scope.get((row.partner_id, row.event_type), [])
        if len(members) > 1 and "carry" in row.state:
            found.append(Sum(row, source_of((row.partner_id, row.event_type), members), members))
    return found


def as_one(whole: Sum, ratios: Floats, surge: bool) -> bool:
    """Whether the parts went the way of the whole in the window that speaks loudest. ratios: (hours, alternatives)."""
    window = slice(began(ratios), None)
    expected = np.array([np.nansum(one.usual[window]) for one in whole.members])
    seen = np.array([one.seen[window].sum() for one in whole.members])
    heard = expected >= 1.0
    same = seen[heard] >= UP * expected[heard] if surge else seen[heard] <= DOWN * expected[heard]
    return bool(heard.sum() > 1 and same.mean() >= MOSTLY)


def covers(whole: Sum, part: Feed | Sum) -> bool:
    """Whether a part belongs to a sum: its integrations do, and its type."""
    ids = set(whole.source.members)
    return whole is not part and whole.event_type in ("", part.event_type) and ids.issuperset(part.source.members)


def fitted(
    of: Round, scope: Scope, members: Sequence[int], counts: Counts, masked: Mapping[int, Collection[slice]],
    first: datetime, hours: int, detector: FeedRate,
) -> dict[str, object] | None:  # fmt: skip
    """The profile of a sum by its own past: how its parts stray together, and what it reached. None with too little."""
    seen, usable = np.zeros(hours), np.ones(hours, bool)
    for pk in members:
        held: Mapping[datetime, int] = counts.get((pk, scope[1]), {})
        seen += np.array([held.get(first + n * HOUR, 0) for n in range(hours)], dtype=float)
        _, learnt, _ = of.known.masks(of.integrations[pk], scope[1], first, hours)
        usable &= learnt
        for cut in masked.get(pk, ()):
            usable[cut] = False
    begin = int(np.flatnonzero(seen)[0]) if seen.any() else hours
    slots = of.known.slots(of.integrations[members[0]], first, hours)
    profile: Profile | None = detector.fit(History(slots[begin:], seen[begin:], usable[begin:]))
    return None if profile is None else {**profile.as_json(), "carry": nothing()}
