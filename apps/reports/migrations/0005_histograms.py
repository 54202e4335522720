"""A histogram of lateness is one row with its steps in an array, not a row a step: a month's page reads some forty rows.

reports_dense makes the array of (step, count) pairs, reports_added adds two of them step by step.
"""

import django.contrib.postgres.fields
from django.db import migrations, models

FUNCTIONS = """
CREATE FUNCTION reports_dense(steps bigint[], counts bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(coalesce(n, 0) ORDER BY place) FROM (
        SELECT place, sum(told.n)::bigint AS n FROM generate_series(0, (SELECT max(one) FROM unnest(steps) AS one)) AS place
        LEFT JOIN unnest(steps, counts) AS told(step, n) ON told.step = place GROUP BY place) AS places
$$;
CREATE FUNCTION reports_added(a bigint[], b bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(coalesce(x, 0) + coalesce(y, 0) ORDER BY place) FROM unnest(a, b) WITH ORDINALITY AS pairs(x, y, place)
$$;
"""
UNDO = "DROP FUNCTION reports_dense(bigint[], bigint[]); DROP FUNCTION reports_added(bigint[], bigint[]);"
FILL = """
DELETE FROM reports_latesum;
INSERT INTO reports_latesum (key, month, kind, rule_id, partner_id, lane, steps)
SELECT md5(ROW(month, kind, rule_id, partner_id, lane)::text)::uuid, * FROM (
    SELECT month, kind, rule_id, partner_id, lane, reports_dense(array_agg(late_bucket::bigint), array_agg(n::bigint)) FROM (
        SELECT month, GROUPING(rule_id, partner_id, lane)::smallint AS kind, rule_id, partner_id,
            coalesce(lane, '') AS lane, late_bucket, sum(n) AS n
        FROM reports_latecell GROUP BY GROUPING SETS ((month, rule_id, late_bucket), (month, partner_id, late_bucket),
            (month, lane, late_bucket), (month, rule_id, partner_id, late_bucket))) AS summed
    GROUP BY 1, 2, 3, 4, 5) AS histograms;
"""


class Migration(migrations.Migration):
    dependencies = [("reports", "0004_sums")]
    operations = [
        migrations.RunSQL(FUNCTIONS, UNDO),
        migrations.RunSQL("DELETE FROM reports_latesum", migrations.RunSQL.noop),
        migrations.RemoveField("latesum", "late_bucket"),
        migrations.RemoveField("latesum", "n"),
        migrations.AddField(
            "latesum",
            "steps",
            django.contrib.postgres.fields.ArrayField(models.BigIntegerField(), default=list),
            preserve_default=False,
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
