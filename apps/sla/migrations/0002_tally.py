"""Live expectations counted per board cell by statement triggers: deltas appended, the sweep compacts them."""

from django.db import migrations

TALLY = """
CREATE FUNCTION sla_expectation_tally() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO sla_expectationtally (definition_id, partner_id, milestone, state, at_risk, n)
        SELECT definition_id, partner_id, milestone, state, at_risk, count(*) FROM new_rows
        WHERE settled_at IS NULL GROUP BY 1, 2, 3, 4, 5;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO sla_expectationtally (definition_id, partner_id, milestone, state, at_risk, n)
        SELECT definition_id, partner_id, milestone, state, at_risk, -count(*) FROM old_rows
        WHERE settled_at IS NULL GROUP BY 1, 2, 3, 4, 5;
    ELSE
        INSERT INTO sla_expectationtally (definition_id, partner_id, milestone, state, at_risk, n)
        SELECT definition_id, partner_id, milestone, state, at_risk, sum(n) FROM (
            SELECT definition_id, partner_id, milestone, state, at_risk, 1 AS n FROM new_rows WHERE settled_at IS NULL
            UNION ALL
            SELECT definition_id, partner_id, milestone, state, at_risk, -1 FROM old_rows WHERE settled_at IS NULL
        ) AS both_rows GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER sla_expectation_tally_insert AFTER INSERT ON sla_expectation REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION sla_expectation_tally();
CREATE TRIGGER sla_expectation_tally_update AFTER UPDATE ON sla_expectation
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION sla_expectation_tally();
CREATE TRIGGER sla_expectation_tally_delete AFTER DELETE ON sla_expectation REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION sla_expectation_tally();
"""


class Migration(migrations.Migration):
    dependencies = [("sla", "0001_initial")]
    operations = [migrations.RunSQL(TALLY, migrations.RunSQL.noop)]
