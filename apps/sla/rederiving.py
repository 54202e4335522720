"""Open flows judged again after rules, calendars, partners or maintenance changed: in batches, with progress, beside the sweep.

A change is noticed by a stamp over everything deadlines depend on, so that it does not matter who made it: a page, a
file, the API. Each batch locks its flows like the pipeline does (flows, then expectations), judges them by today's book
and commits; the next message of a flow would have done the same. Work is a row: whoever dies leaves it where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F

from apps.flows.sets import raw_cursor
from apps.integrations.models import Calendar
from apps.sla import expectations, library
from apps.sla.models import Rederivation, SlaRule
from apps.sla.stored import FLOW_COLUMNS, states_of

BATCH = 500
MOST_NAMES = 4
_LOCK = 0x5EDE
#: still open, or with something awaited although it has ended (a proof of delivery is still owed), or with something a
#: check found in it that nobody was told yet
_CONCERNED = """
(f.status = 'open' OR EXISTS (SELECT FROM sla_expectation e WHERE e.flow_id = f.id AND e.settled_at IS NULL)
    OR EXISTS (SELECT FROM sla_deviation v WHERE v.flow_id = f.id AND v.told_at IS NULL AND v.ended_at IS NULL
               AND NOT v.backfill))
AND (cardinality(%b::text[]) = 0 OR d.slug = ANY(%b::text[]))
"""
_COUNT = f"SELECT count(*) FROM flows_flow f JOIN flows_flowdefinition d ON d.id = f.definition_id WHERE {_CONCERNED}"
_NEXT = f"""
SELECT f.id FROM flows_flow f JOIN flows_flowdefinition d ON d.id = f.definition_id
WHERE f.id > %b AND f.status <> 'merged' AND {_CONCERNED} ORDER BY f.id LIMIT %b::int
"""
_READ = f"""
SELECT {FLOW_COLUMNS} FROM flows_flow f LEFT JOIN integrations_partner p ON p.id = f.partner_id
WHERE f.id = ANY(%b::bigint[]) AND f.status <> 'merged' ORDER BY f.id FOR SHARE OF f
"""


def stamp_of(now: datetime) -> str:
    """Of everything that open deadlines depend on, besides the flows themselves."""
    return hashlib.sha256(repr(library.stamp(now)).encode()).hexdigest()


@transaction.atomic
def notice(now: datetime) -> Rederivation | None:
    """A row of work when something changed since the last one; None when nothing did.

    What has begun and is overtaken begins again with the newer rules: its row ends where it stands.
    """
    with raw_cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%b)", [_LOCK])
    stamp = stamp_of(now)
    last = Rederivation.objects.order_by("-id").first()
    if last is not None and last.stamp == stamp:
        return None
    if last is None:
        # the first look: what stands was derived by what stands
        Rederivation.objects.create(stamp=stamp, cause="First look", asked_at=now, started_at=now, finished_at=now)
        return None
    cause, slugs = _cause(last.asked_at)
    if last.finished_at is None:
        Rederivation.objects.filter(finished_at__isnull=True).update(finished_at=now)
        slugs = sorted({*slugs, *last.flow_slugs}) if slugs and last.flow_slugs else []
    with raw_cursor() as cursor:
        cursor.execute(_COUNT, [slugs, slugs], binary=True)
        total = cursor.fetchall()[0][0]
    return Rederivation.objects.create(stamp=stamp, cause=cause, flow_slugs=slugs, asked_at=now, total=total)


def _cause(since: datetime) -> tuple[str, list[str]]:
    """What changed, in words, and the definitions it concerns ([]: all)."""
    rules = list(SlaRule.objects.filter(created_at__gt=since).order_by("-id")[: MOST_NAMES + 1])
    calendars = list(Calendar.objects.filter(created_at__gt=since).order_by("-id")[: MOST_NAMES + 1])
    names = [f"rule {rule.name} v{rule.version}" for rule in rules]
    names += [f"calendar {calendar.name} v{calendar.version}" for calendar in calendars]
    if not names:
        return "Partners, integrations, flows or maintenance changed", []
    more = ", and more" if len(names) > MOST_NAMES else ""
    told = ", ".join(names[:MOST_NAMES])
    only_rules = bool(rules) and not calendars and len(rules) <= MOST_NAMES
    return (told[:1].upper() + told[1:] + more)[:300], sorted({rule.flow_slug for rule in rules}) if only_rules else []


def step(now: datetime, batch: int = BATCH) -> Rederivation | None:
    """One batch of the open work; the row as it stands then, None when there is nothing to do (or others are at it)."""
    with transaction.atomic():
        row = (
            Rederivation.objects.select_for_update(skip_locked=True)
            .filter(finished_at__isnull=True)
            .order_by("id")
            .first()
        )
        if row is None:
            return None
        with raw_cursor() as cursor:
            cursor.execute(_NEXT, [row.last_flow, row.flow_slugs, row.flow_slugs, batch], binary=True)
            flows = [found[0] for found in cursor.fetchall()]
        if flows:
            row.changed += _judge(flows, now)
            row.last_flow, row.done = flows[-1], F("done") + len(flows)
        row.started_at = row.started_at or now
        if len(flows) < batch:
            row.finished_at = now
        row.save(update_fields=["last_flow", "done", "changed", "started_at", "finished_at"])
        row.refresh_from_db()
        return row


def _judge(flows: Sequence[int], now: datetime) -> int:
    with raw_cursor() as cursor:
        cursor.execute(_READ, [list(flows)], binary=True)
        states = states_of(cursor, cursor.fetchall())
    return expectations.refresh(states, now)


def progress() -> Rederivation | None:
    """The work under way, else the last that was done with something to do."""
    return (
        Rederivation.objects.filter(finished_at__isnull=True).order_by("id").first()
        or Rederivation.objects.filter(total__gt=0).order_by("-id").first()
    )
