"""Sums beside the cells (models.DaySum, models.LateSum): filled from the cells there are, kept by the fold from then on.

Only staff reads them: a partner's figures come from the cells, which are told apart by partner throughout. A histogram of
lateness is one row with its steps in an array, not a row a step: a month's page reads some forty rows. reports_dense makes
the array of (step, count) pairs, reports_added adds two of them step by step.
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
INSERT INTO reports_daysum (key, day, partner_id, state, n)
SELECT md5(ROW(day, partner_id, state)::text)::uuid, day, partner_id, state, sum(n) FROM reports_daycell GROUP BY 2, 3, 4;
INSERT INTO reports_latesum (key, month, kind, rule_id, partner_id, lane, steps)
SELECT md5(ROW(month, kind, rule_id, partner_id, lane)::text)::uuid, * FROM (
    SELECT month, kind, rule_id, partner_id, lane, reports_dense(array_agg(late_bucket::bigint), array_agg(n::bigint)) FROM (
        SELECT month, GROUPING(rule_id, partner_id, lane)::smallint AS kind, rule_id, partner_id,
            coalesce(lane, '') AS lane, late_bucket, sum(n) AS n
        FROM reports_latecell GROUP BY GROUPING SETS ((month, rule_id, late_bucket), (month, partner_id, late_bucket),
            (month, lane, late_bucket), (month, rule_id, partner_id, late_bucket))) AS summed
    GROUP BY 1, 2, 3, 4, 5) AS histograms;
"""
POLICIES = "".join(
    f"""
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tower_staff ON {table} TO controltower_app USING (true) WITH CHECK (true);
CREATE POLICY tower_owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);
"""
    for table in ("reports_daysum", "reports_latesum")
)


class Migration(migrations.Migration):
    dependencies = [("reports", "0003_objective_alerts")]
    operations = [
        migrations.RunSQL(FUNCTIONS, UNDO),
        migrations.CreateModel(
            name="DaySum",
            fields=[
                ("key", models.UUIDField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("partner_id", models.BigIntegerField(null=True)),
                ("state", models.CharField(max_length=16)),
                ("n", models.BigIntegerField()),
            ],
            options={"indexes": [models.Index(fields=["day"], name="report_day_sum")]},
        ),
        migrations.CreateModel(
            name="LateSum",
            fields=[
                ("key", models.UUIDField(primary_key=True, serialize=False)),
                ("month", models.DateField()),
                ("kind", models.SmallIntegerField()),
                ("rule_id", models.BigIntegerField(null=True)),
                ("partner_id", models.BigIntegerField(null=True)),
                ("lane", models.CharField(max_length=64)),
                ("steps", django.contrib.postgres.fields.ArrayField(models.BigIntegerField())),
            ],
            options={"indexes": [models.Index(fields=["month", "kind", "partner_id"], name="report_late_sum")]},
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(POLICIES, migrations.RunSQL.noop),
    ]
