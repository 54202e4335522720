"""A partner sees the announced windows that cover it, without the reason and the names of staff."""

from django.db import migrations

PARTNER = "NULLIF(current_setting('controltower.partner', true), '')::bigint"
WINDOW = "integrations_maintenancewindow"
# (table, condition under which the portal role sees a row, columns it may read)
SCOPED = [
    (f"{WINDOW}_partners", f"partner_id = {PARTNER}", ""),
    (
        f"{WINDOW}_integrations",
        "EXISTS (SELECT FROM integrations_integration i WHERE i.id = integration_id)",
        "",
    ),
    (
        WINDOW,
        f"""announce_to_partners AND (everything
            OR EXISTS (SELECT FROM {WINDOW}_partners p WHERE p.maintenancewindow_id = {WINDOW}.id)
            OR EXISTS (SELECT FROM {WINDOW}_integrations i WHERE i.maintenancewindow_id = {WINDOW}.id))""",
        "(id, kind, starts_at, ends_at, recurrence, time_zone, everything, announce_to_partners, announcement,"
        " cancelled_at)",
    ),
]


def policies() -> str:
    return "".join(
        f"""
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tower_staff ON {table} TO controltower_app USING (true) WITH CHECK (true);
CREATE POLICY tower_owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY tower_partner ON {table} FOR SELECT TO controltower_portal USING ({condition});
GRANT SELECT {columns} ON {table} TO controltower_portal;
"""
        for table, condition, columns in SCOPED
    )


class Migration(migrations.Migration):
    dependencies = [("core", "0002_roles"), ("integrations", "0003_maintenance")]
    operations = [migrations.RunSQL(policies(), migrations.RunSQL.noop)]
