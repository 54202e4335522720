"""One round of grouping: the picture is scanned, causes are kept, and the findings of one cause come into one incident.

A cause stays itself while it explains at least half of the findings it explained before, whatever it is called then. It
ends with its incident, or when none of its findings is open. Only causes that hide (almost) nothing foreign move
findings: of what goes into one incident, at most one in a hundred may be expected to be there without the cause.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from apps.anomalies.causes_models import CauseGroup, CauseMember
from apps.anomalies.grouping.population import DIMENSIONS, SILENT, Picture, Seen, read
from apps.anomalies.grouping.scan import Explanation, Group, Shape, scan
from apps.anomalies.grouping.words import name_of, said_of, sentence_of
from apps.core.heartbeats import beat
from apps.flows.canonical import key_of
from apps.incidents.models import Incident
from apps.incidents.regrouping import NewHome, gather, release

#: expected share of foreign findings up to which an incident may stand for the cause
MOST_FOREIGN = 0.01
#: share of an incident's open findings that must be of the cause for the incident to become its home
MOSTLY = 0.9
LOCK = 0x0CA5E


@dataclass(frozen=True, slots=True)
class Kept:
    """What a round did. findings: open ones looked at; causes: open now; moved: findings that changed their incident."""

    findings: int
    causes: int
    moved: int
    ended: int


def run(now: datetime) -> Kept:
    """One round. Only one runs at a time; another leaves at once."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                return Kept(0, 0, 0, 0)
        picture = read(now)
        groups = scan(DIMENSIONS, picture.population, picture.affected)
        known = _known()
        moved, seen = 0, set()
        for group, row in _matched(groups, picture, known):
            moved += _keep(group, row, picture, now)
            seen.add(row.pk)
        moved += _send_home(picture, groups, now)
        ended = _end(known, seen, now)
        open_now = CauseGroup.objects.filter(ended_at=None).count()
    beat("causes", now, {"findings": len(picture.findings), "causes": open_now, "moved": moved})
    return Kept(len(picture.findings), open_now, moved, ended)


def _known() -> dict[int, tuple[CauseGroup, set[int]]]:
    """Open causes with the open findings they explain."""
    rows = {row.pk: (row, set[int]()) for row in CauseGroup.objects.filter(ended_at=None)}
    members = CauseMember.objects.filter(group__in=rows, finding__cleared_at=None)
    for group_id, finding_id in members.values_list("group_id", "finding_id"):
        rows[group_id][1].add(finding_id)
    return rows


def fingerprint_of(shape: Shape, since: datetime) -> uuid.UUID:
    """Identity of a cause: what it is, and the hour it began."""
    return key_of("cause", *(part for pair in sorted(shape) for part in pair), since.strftime("%Y-%m-%dT%H"))


def _matched(
    groups: Sequence[Group], picture: Picture, known: Mapping[int, tuple[CauseGroup, set[int]]]
) -> list[tuple[Group, CauseGroup]]:
    """Each group with its row: the open one it mostly continues, else a new one."""
    free = dict(known)
    matched = []
    for group in groups:
        members = {picture.findings[at].pk for at in group.members}
        best = max(free, key=lambda pk: len(free[pk][1] & members), default=None)
        if best is not None and 2 * len(free[best][1] & members) >= max(1, min(len(members), len(free[best][1]))):
            row = free.pop(best)[0]
        else:
            since = _since(group, picture)
            row = CauseGroup(fingerprint=fingerprint_of(group.cause.shape, since), since=since)
        matched.append((group, row))
    return matched


def _since(group: Group, picture: Picture) -> datetime:
    seen = [picture.findings[at] for at in group.members]
    told = [one.since for one in seen if one.since is not None]
    return min(told) if told else min(one.at for one in seen)


def _keep(group: Group, row: CauseGroup, picture: Picture, now: datetime) -> int:
    """Writes what is known of the cause, and brings its findings together; returns how many moved."""
    seen = [picture.findings[at] for at in group.members]
    cause = group.cause
    row.since = min(row.since, _since(group, picture))
    row.name = name_of(cause.shape, picture.names, row.since)
    row.sentence = sentence_of(row.name, cause, [one.kind for one in seen])
    row.shape = [list(one) for one in cause.shape]
    row.findings, row.units = len(seen), max(cause.n, len(seen))
    row.elsewhere, row.gain = cause.elsewhere, cause.gain
    row.facts = _facts(group, picture)
    row.suspected = cause.foreign > MOST_FOREIGN
    row.seen_at = now
    if row.pk is None:
        row.found_at = now
        earlier = CauseGroup.objects.filter(fingerprint=row.fingerprint, ended_at=None).first()
        row.pk = earlier.pk if earlier else None
    row.save()
    CauseMember.objects.bulk_create(
        [CauseMember(group=row, finding_id=one.pk) for one in seen], ignore_conflicts=True, batch_size=5000
    )
    ids = [one.pk for one in seen]
    CauseMember.objects.filter(finding__in=ids, group__ended_at=None).exclude(group=row).delete()
    if row.suspected:
        return 0
    home = _home(seen, row)
    away = [one.pk for one in seen if isinstance(home, NewHome) or one.incident_id != home]
    if len({one.incident_id for one in seen}) == 1 and isinstance(home, NewHome) and not _mixed(seen):
        home, away = seen[0].incident_id, []
    title = "" if any(one.kind in SILENT for one in seen) else row.name
    target = gather(away, home, row.sentence, now, title) if away else (home if isinstance(home, int) else None)
    if target is not None and target != row.incident_id:
        CauseGroup.objects.filter(pk=row.pk).update(incident_id=target)
        row.incident_id = target
    return len(away) if target is not None else 0


def _mixed(seen: Sequence[Seen]) -> bool:
    """Whether the one incident that holds them holds more of something else than of them."""
    open_there = Incident.objects.get(pk=seen[0].incident_id).open_findings
    return len(seen) < MOSTLY * open_there


def _home(seen: Sequence[Seen], row: CauseGroup) -> int | NewHome:
    """The incident of the silent feed; else where the cause lives already; else one that is mostly of this cause; else
    a new one."""
    for one in seen:
        if one.kind in SILENT:
            return one.incident_id
    places = Counter(one.incident_id for one in seen)
    standing = Incident.objects.unresolved().in_bulk({*places, row.incident_id} - {None})
    if row.incident_id is not None and row.incident_id in standing:
        return row.incident_id
    mostly = [pk for pk, n in places.most_common() if pk in standing and n >= MOSTLY * standing[pk].open_findings]
    return mostly[0] if mostly else NewHome(row.fingerprint, row.name)


def _facts(group: Group, picture: Picture) -> dict[str, Any]:
    """What the page shows beside the sentence: parts, other names, runners-up, and how it went hour by hour."""
    cause = group.cause
    hours = Counter(picture.affected.step[at] for at in group.members)
    first, last = min(hours), max(hours)
    return {
        "parts": [{"dimension": one[0], "value": one[1], "said": said_of(one, picture.names)} for one in cause.shape],
        "also": [" of ".join(said_of(one, picture.names) for one in shape) for shape in cause.also],
        "others": [_other(one, picture) for one in group.others],
        "share": round(cause.share, 4),
        "lift": round(cause.lift, 2),
        "foreign": round(cause.foreign, 4),
        "usual": cause.usual,
        "hours": [picture.at(step).isoformat() for step in range(first, last + 1)][-168:],
        "counts": [hours.get(step, 0) for step in range(first, last + 1)][-168:],
        "kinds": dict(Counter(picture.findings[at].kind for at in group.members)),
    }


def _other(one: Explanation, picture: Picture) -> dict[str, Any]:
    said = " of ".join(said_of(part, picture.names) for part in one.shape)
    return {"said": said, "findings": one.k, "units": one.n, "share": round(one.share, 4), "gain": round(one.gain, 1)}


def _send_home(picture: Picture, groups: Sequence[Group], now: datetime) -> int:
    """Findings that came to a cause's incident by the way of their own cause, but are none of it, go home."""
    explained = {picture.findings[at].pk for group in groups for at in group.members}
    standing = CauseGroup.objects.filter(ended_at=None, suspected=False, incident__isnull=False)
    homes = dict(standing.values_list("incident_id", "incident__fingerprint"))
    strangers = {
        one.pk
        for one in picture.findings
        if one.pk not in explained and one.incident_id in homes and one.cause != homes[one.incident_id]
    }
    # what belonged to the cause once stays with it
    strangers -= set(CauseMember.objects.filter(finding__in=strangers).values_list("finding_id", flat=True))
    return release(strangers, now) if strangers else 0


def _end(known: Mapping[int, tuple[CauseGroup, set[int]]], seen: set[int], now: datetime) -> int:
    """Causes that explain nothing open any more, or whose incident is over, have ended."""
    over = [
        pk
        for pk, (row, members) in known.items()
        if pk not in seen and (not members or (row.incident is not None and row.incident.state == "resolved"))
    ]
    return CauseGroup.objects.filter(pk__in=over).update(ended_at=now, until=now)
