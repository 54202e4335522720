"""The database roles. The application owns nothing; the portal sees one partner (row-level security).

Roles belong to the cluster, so creating them tolerates that they exist or are created at this moment.
"""

from django.db import migrations

ROLES = """
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['controltower_app', 'controltower_portal'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
    BEGIN
        IF NOT pg_has_role('controltower_app', 'controltower_portal', 'MEMBER') THEN
            GRANT controltower_portal TO controltower_app;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
    WHEN internal_error THEN -- two migrations at once: "tuple concurrently updated"
        IF SQLERRM NOT LIKE '%concurrently updated%' THEN RAISE; END IF;
    END;
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]
    operations = [migrations.RunSQL(ROLES, migrations.RunSQL.noop)]
