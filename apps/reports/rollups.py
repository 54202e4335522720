"""Keeps the rollups: folds the deltas that triggers append, fills them anew, and compares them with a recount.

A reader adds the folded cells and the deltas beside them (`CELLS_OF_DAYS` and the like), so it is exact at every moment.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from apps.reports.models import ReportZone

LOCK = 0x7A12
#: deltas folded in one statement
BATCH = 50_000

_DAY = "partner_id, rule_id, lane, service, state"
_MONTH = f"{_DAY}, reason, by_hand, currency"
_LATE = "partner_id, rule_id, lane, service, late_bucket"
_DAY_SUM = "partner_id, state"
_LATE_SUM = "kind, rule_id, partner_id, lane"
_SUMMED_LATE = """
    SELECT month, GROUPING(rule_id, partner_id, lane)::smallint AS kind, rule_id, partner_id, coalesce(lane, '') AS lane,
        late_bucket, sum(n) AS n
    FROM {rows} GROUP BY GROUPING SETS ((month, rule_id, late_bucket), (month, partner_id, late_bucket),
        (month, lane, late_bucket), (month, rule_id, partner_id, late_bucket))"""
#: the four ways histograms of lateness are summed (models.LateSum), of rows with month, rule_id, partner_id, lane, n
SUMMED_LATE = f"""
    SELECT month, {_LATE_SUM}, reports_dense(array_agg(late_bucket::bigint), array_agg(n::bigint)) AS steps
    FROM ({_SUMMED_LATE}) AS told GROUP BY 1, 2, 3, 4, 5"""


def _key(columns: str) -> str:
    """The hash of these columns, nulls told apart from empty texts."""
    return f"md5(ROW({columns})::text)::uuid"


_FOLD = f"""
WITH gone AS (
    DELETE FROM reports_delta WHERE id IN (SELECT id FROM reports_delta ORDER BY id LIMIT %s)
    RETURNING *, date_trunc('month', day)::date AS month
), days AS (
    INSERT INTO reports_daycell AS kept (key, day, {_DAY}, n)
    SELECT {_key(f"day, {_DAY}")}, day, {_DAY}, sum(n) FROM gone GROUP BY day, {_DAY} ORDER BY 1
    ON CONFLICT (key) DO UPDATE SET n = kept.n + excluded.n
), months AS (
    INSERT INTO reports_monthcell AS kept (key, month, {_MONTH}, n, late_seconds, value)
    SELECT {_key(f"month, {_MONTH}")}, month, {_MONTH}, sum(n), sum(late_seconds), sum(value)
    FROM gone GROUP BY month, {_MONTH} ORDER BY 1
    ON CONFLICT (key) DO UPDATE SET n = kept.n + excluded.n, late_seconds = kept.late_seconds + excluded.late_seconds,
        value = kept.value + excluded.value
), late AS (
    INSERT INTO reports_latecell AS kept (key, month, {_LATE}, n)
    SELECT {_key(f"month, {_LATE}")}, month, {_LATE}, sum(n) FROM gone WHERE late_bucket IS NOT NULL
    GROUP BY month, {_LATE} ORDER BY 1
    ON CONFLICT (key) DO UPDATE SET n = kept.n + excluded.n
), day_sums AS (
    INSERT INTO reports_daysum AS kept (key, day, {_DAY_SUM}, n)
    SELECT {_key(f"day, {_DAY_SUM}")}, day, {_DAY_SUM}, sum(n) FROM gone GROUP BY day, {_DAY_SUM} ORDER BY 1
    ON CONFLICT (key) DO UPDATE SET n = kept.n + excluded.n
), late_sums AS (
    INSERT INTO reports_latesum AS kept (key, month, {_LATE_SUM}, steps)
    SELECT {_key(f"month, {_LATE_SUM}")}, month, {_LATE_SUM}, steps
    FROM ({SUMMED_LATE.format(rows="gone WHERE late_bucket IS NOT NULL")}) AS summed ORDER BY 1
    ON CONFLICT (key) DO UPDATE SET steps = reports_added(kept.steps, excluded.steps)
)
SELECT count(*) FROM gone
"""
_TIDY = """
DELETE FROM reports_daycell WHERE n = 0;
DELETE FROM reports_monthcell WHERE n = 0 AND late_seconds = 0 AND value = 0;
DELETE FROM reports_latecell WHERE n = 0;
DELETE FROM reports_daysum WHERE n = 0;
DELETE FROM reports_latesum WHERE 0 = ALL (steps)
"""
#: cells with their deltas, as tables to read from; a day or a month narrows both halves through their indexes
CELLS_OF_DAYS = f"""(
    SELECT day, {_DAY}, n FROM reports_daycell WHERE day >= %(first)s AND day < %(after)s
    UNION ALL SELECT day, {_DAY}, n FROM reports_delta WHERE day >= %(first)s AND day < %(after)s)"""
CELLS_OF_MONTHS = f"""(
    SELECT month, {_MONTH}, n, late_seconds, value FROM reports_monthcell WHERE month >= %(first)s AND month < %(after)s
    UNION ALL SELECT date_trunc('month', day)::date, {_MONTH}, n, late_seconds, value FROM reports_delta
    WHERE day >= %(first)s AND day < %(after)s)"""
LATE_OF_MONTHS = f"""(
    SELECT month, {_LATE}, n FROM reports_latecell WHERE month >= %(first)s AND month < %(after)s
    UNION ALL SELECT date_trunc('month', day)::date, {_LATE}, n FROM reports_delta
    WHERE day >= %(first)s AND day < %(after)s AND late_bucket IS NOT NULL)"""
#: the same summed: days by partner and state, histograms as `SUMMED_LATE` sums them
SUMS_OF_DAYS = f"""(
    SELECT day, {_DAY_SUM}, n FROM reports_daysum WHERE day >= %(first)s AND day < %(after)s
    UNION ALL SELECT day, {_DAY_SUM}, n FROM reports_delta WHERE day >= %(first)s AND day < %(after)s)"""
_LATE_DELTAS = """(SELECT date_trunc('month', day)::date AS month, rule_id, partner_id, lane, late_bucket, n FROM reports_delta
    WHERE day >= %(first)s AND day < %(after)s AND late_bucket IS NOT NULL) AS deltas"""
LATE_SUMS_OF_MONTHS = f"""(
    SELECT month, {_LATE_SUM}, steps FROM reports_latesum WHERE month >= %(first)s AND month < %(after)s
    UNION ALL {SUMMED_LATE.format(rows=_LATE_DELTAS)})"""


def zone() -> str:
    """In which zone the rollups count days."""
    found = ReportZone.objects.first()
    return found.zone if found else "UTC"


def first_day() -> date | None:
    """The day of the first promise there is; None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT least((SELECT min(day) FROM reports_daysum), (SELECT min(day) FROM reports_delta))")
        found: date | None = cursor.fetchone()[0]
    return found


@transaction.atomic
def fold() -> int:
    """Folds the deltas there are; how many went. One process at a time, the others skip it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            return 0
        gone = batch = _fold(cursor)
        while batch == BATCH:
            batch = _fold(cursor)
            gone += batch
        if gone:
            cursor.execute(_TIDY)
        return gone


def _fold(cursor: Any) -> int:
    cursor.execute(_FOLD, [BATCH])
    return int(cursor.fetchone()[0])


@transaction.atomic
def rebuild(in_zone: str = "") -> int:
    """Fills the rollups anew from the ledger (which waits meanwhile), in another zone if one is given; cells made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute("LOCK TABLE flows_flow, sla_expectation IN SHARE MODE")
        if in_zone:
            ReportZone.objects.update_or_create(id=1, defaults={"zone": in_zone})
        for table in ("delta", "daycell", "monthcell", "latecell", "daysum", "latesum"):
            cursor.execute(f"DELETE FROM reports_{table}")
        cursor.execute("SELECT reports_recount()")
        while _fold(cursor):
            pass
        cursor.execute("SELECT count(*) FROM reports_daycell")
        return int(cursor.fetchone()[0])


def keep_zone() -> bool:
    """Counts in the zone of the settings from now on; whether that changed anything."""
    if zone() == settings.REPORT_ZONE:
        return False
    rebuild(settings.REPORT_ZONE)
    return True


_DIFFERENT = f"""
WITH counted AS (
    SELECT (e.due_at AT TIME ZONE reports_zone())::date AS day, e.partner_id, e.rule_id,
        CASE WHEN e.state = 'PENDING' AND e.at_risk THEN 'AT_RISK' ELSE e.state END AS state, count(*) AS n
    FROM sla_expectation e WHERE e.due_at >= %(first)s::timestamptz - interval '1 day'
        AND e.due_at < %(after)s::timestamptz + interval '1 day' GROUP BY 1, 2, 3, 4
), kept AS (
    SELECT day, partner_id, rule_id, state, sum(n) AS n FROM {CELLS_OF_DAYS} AS cells GROUP BY 1, 2, 3, 4
), of_days AS (
    SELECT day, partner_id, state, sum(n) AS n FROM counted WHERE day >= %(first)s AND day < %(after)s GROUP BY 1, 2, 3
), sums_of_days AS (
    SELECT day, partner_id, state, sum(n) AS n FROM {SUMS_OF_DAYS} AS sums GROUP BY 1, 2, 3 HAVING sum(n) <> 0
), of_late AS (
    SELECT month, {_LATE_SUM}, late_bucket::bigint AS step, n
    FROM ({_SUMMED_LATE.format(rows=f"{LATE_OF_MONTHS} AS cells")}) AS summed WHERE n <> 0
), sums_of_late AS (
    SELECT month, {_LATE_SUM}, place - 1 AS step, sum(n) AS n
    FROM {LATE_SUMS_OF_MONTHS} AS sums, unnest(steps) WITH ORDINALITY AS told(n, place)
    GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(n) <> 0
)
SELECT (SELECT count(*) FROM (
    SELECT * FROM counted WHERE day >= %(first)s AND day < %(after)s
    EXCEPT ALL SELECT * FROM kept WHERE n <> 0
    UNION ALL (SELECT * FROM kept WHERE n <> 0
        EXCEPT ALL SELECT * FROM counted WHERE day >= %(first)s AND day < %(after)s)
) AS different) + (SELECT count(*) FROM (
    SELECT * FROM of_days EXCEPT ALL SELECT * FROM sums_of_days
    UNION ALL (SELECT * FROM sums_of_days EXCEPT ALL SELECT * FROM of_days)
) AS different) + (SELECT count(*) FROM (
    SELECT * FROM of_late EXCEPT ALL SELECT * FROM sums_of_late
    UNION ALL (SELECT * FROM sums_of_late EXCEPT ALL SELECT * FROM of_late)
) AS different)
"""


def differences(first: date, after: date) -> int:
    """In how many cells and sums of these days the rollups differ from a recount, in one statement and so at one moment."""
    with connection.cursor() as cursor:
        cursor.execute(_DIFFERENT, {"first": first, "after": after})
        return int(cursor.fetchone()[0])
