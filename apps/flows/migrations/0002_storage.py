"""Events partitioned by month of received_at; tallies kept by statement triggers; month partitions made on demand."""

from django.db import migrations

EVENT = """
DROP TABLE flows_event;
CREATE SEQUENCE flows_event_id_seq;
CREATE TABLE flows_event (
    id bigint NOT NULL DEFAULT nextval('flows_event_id_seq'),
    received_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    integration_id bigint NOT NULL,
    receipt_id bigint,
    position text NOT NULL,
    type varchar(64) NOT NULL,
    happened_at timestamptz NOT NULL,
    sent_at timestamptz,
    booked_at timestamptz,
    zone varchar(64) NOT NULL,
    source_event_id text NOT NULL,
    source_key uuid NOT NULL,
    content_key uuid NOT NULL,
    flags smallint NOT NULL,
    backfill boolean NOT NULL,
    trace_id varchar(32) NOT NULL,
    "references" jsonb NOT NULL,
    dates jsonb NOT NULL,
    parties jsonb NOT NULL,
    data jsonb NOT NULL,
    PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);
ALTER SEQUENCE flows_event_id_seq OWNED BY flows_event.id;
CREATE INDEX flows_event_received ON flows_event USING brin (received_at);
CREATE TABLE flows_event_default PARTITION OF flows_event DEFAULT;
"""

PARTITIONS = """
CREATE FUNCTION tower_ensure_partitions(tables text[], first_month date, months int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
    name text;
    part text;
    month date;
    filled boolean;
    made int := 0;
BEGIN
    IF months > 240 THEN
        RAISE EXCEPTION 'at most 240 months at once';
    END IF;
    FOREACH name IN ARRAY tables LOOP
        IF name NOT IN ('flows_event', 'collectors_receipt') THEN
            RAISE EXCEPTION 'not a partitioned table of the tower: %', name;
        END IF;
        FOR i IN 0 .. months - 1 LOOP
            month := (date_trunc('month', first_month) + make_interval(months => i))::date;
            part := name || '_' || to_char(month, 'YYYYMM');
            CONTINUE WHEN to_regclass(part) IS NOT NULL;
            PERFORM pg_advisory_xact_lock(hashtext('tower_ensure_partitions'));
            CONTINUE WHEN to_regclass(part) IS NOT NULL;
            -- rows that already lie in the default partition stay there: they are few and found all the same
            EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE received_at >= %L AND received_at < %L)',
                           name || '_default', month::timestamp AT TIME ZONE 'UTC',
                           (month + interval '1 month') AT TIME ZONE 'UTC') INTO filled;
            CONTINUE WHEN filled;
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', part, name,
                           month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
"""

TALLY = """
CREATE FUNCTION flows_flow_tally() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO flows_flowtally (definition_id, partner_id, status, awaiting, n)
        SELECT definition_id, partner_id, status, awaiting, count(*) FROM new_rows GROUP BY 1, 2, 3, 4;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO flows_flowtally (definition_id, partner_id, status, awaiting, n)
        SELECT definition_id, partner_id, status, awaiting, -count(*) FROM old_rows GROUP BY 1, 2, 3, 4;
    ELSE
        INSERT INTO flows_flowtally (definition_id, partner_id, status, awaiting, n)
        SELECT definition_id, partner_id, status, awaiting, sum(n) FROM (
            SELECT definition_id, partner_id, status, awaiting, 1 AS n FROM new_rows
            UNION ALL
            SELECT definition_id, partner_id, status, awaiting, -1 FROM old_rows
        ) AS both_rows GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER flows_flow_tally_insert AFTER INSERT ON flows_flow REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION flows_flow_tally();
CREATE TRIGGER flows_flow_tally_update AFTER UPDATE ON flows_flow REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION flows_flow_tally();
CREATE TRIGGER flows_flow_tally_delete AFTER DELETE ON flows_flow REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION flows_flow_tally();
"""


class Migration(migrations.Migration):
    dependencies = [("flows", "0001_initial")]
    operations = [
        migrations.RunSQL(EVENT, migrations.RunSQL.noop),
        migrations.RunSQL(PARTITIONS, "DROP FUNCTION tower_ensure_partitions(text[], date, int)"),
        migrations.RunSQL(TALLY, migrations.RunSQL.noop),
    ]
