"""Receipts partitioned by month; who may do what in the database (invariants 9 and 12)."""

from django.db import migrations

RECEIPT = """
DROP TABLE collectors_receipt;
CREATE SEQUENCE collectors_receipt_id_seq;
CREATE TABLE collectors_receipt (
    id bigint NOT NULL DEFAULT nextval('collectors_receipt_id_seq'),
    received_at timestamptz NOT NULL,
    integration_id bigint NOT NULL,
    door varchar(16) NOT NULL,
    delivery_id text NOT NULL,
    content_type varchar(200) NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    sha256 bytea NOT NULL,
    PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);
ALTER SEQUENCE collectors_receipt_id_seq OWNED BY collectors_receipt.id;
CREATE INDEX collectors_receipt_received ON collectors_receipt USING brin (received_at);
CREATE TABLE collectors_receipt_default PARTITION OF collectors_receipt DEFAULT;
SELECT tower_ensure_partitions(ARRAY['flows_event', 'collectors_receipt'], now()::date, 3);
"""

GRANTS = """
GRANT USAGE ON SCHEMA public TO controltower_app, controltower_portal;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO controltower_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO controltower_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO controltower_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO controltower_app;
REVOKE UPDATE, DELETE ON flows_event, collectors_receipt, accounts_auditentry FROM controltower_app;
REVOKE ALL ON FUNCTION tower_ensure_partitions(text[], date, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tower_ensure_partitions(text[], date, int) TO controltower_app;
"""

# (table, condition under which the portal role sees a row)
PARTNER = "NULLIF(current_setting('controltower.partner', true), '')::bigint"
SCOPED = {
    "flows_flow": f"partner_id = {PARTNER}",
    "flows_milestone": "EXISTS (SELECT FROM flows_flow f WHERE f.id = flow_id)",
    "flows_flowreference": "EXISTS (SELECT FROM flows_flow f WHERE f.id = flow_id)",
    "flows_reference": "EXISTS (SELECT FROM flows_flowreference fr WHERE fr.reference_id = id)",
    "flows_flowlink": "EXISTS (SELECT FROM flows_flow f WHERE f.id = parent_id) AND EXISTS (SELECT FROM flows_flow f WHERE f.id = child_id)",
    "sla_expectation": f"partner_id = {PARTNER}",
    "integrations_partner": f"id = {PARTNER}",
    "integrations_integration": f"partner_id = {PARTNER}",
    "integrations_sourcestate": "EXISTS (SELECT FROM integrations_integration i WHERE i.id = integration_id)",
}
#: tables the portal reads that hold nothing of any partner
SHARED = ["flows_flowdefinition", "sla_slarule", "integrations_calendar"]


def policies() -> str:
    parts = []
    for table, condition in SCOPED.items():
        parts.append(
            f"""
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tower_staff ON {table} TO controltower_app USING (true) WITH CHECK (true);
CREATE POLICY tower_owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY tower_partner ON {table} FOR SELECT TO controltower_portal USING ({condition});
GRANT SELECT ON {table} TO controltower_portal;
"""
        )
    parts.append(f"GRANT SELECT ON {', '.join(SHARED)} TO controltower_portal;")
    return "".join(parts)


class Migration(migrations.Migration):
    dependencies = [
        ("collectors", "0001_initial"),
        ("accounts", "0001_initial"),
        ("anomalies", "0001_initial"),
        ("core", "0002_roles"),
        ("flows", "0002_storage"),
        ("incidents", "0001_initial"),
        ("integrations", "0001_initial"),
        ("notifications", "0001_initial"),
        ("oncall", "0001_initial"),
        ("sla", "0002_tally"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("sessions", "0001_initial"),
        ("axes", "0001_initial"),
    ]
    operations = [
        migrations.RunSQL(RECEIPT, migrations.RunSQL.noop),
        migrations.RunSQL(GRANTS, migrations.RunSQL.noop),
        migrations.RunSQL(policies(), migrations.RunSQL.noop),
    ]
