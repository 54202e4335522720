"""Rollups by statement triggers (docs/adr/0005, docs/adr/0008): what a statement changed in the ledger, grouped by cell.

A cell needs lane, service and value of the flow; where these change, what is counted under the old ones moves. The
trigger on flows locks the expectations it moves, so that a sweep at the same moment is counted once, before or after.
"""

from django.db import migrations

LANE = """left(coalesce(f.attributes ->> 'lane', CASE WHEN f.attributes ?| ARRAY['lane_from', 'lane_to']
    THEN concat(f.attributes ->> 'lane_from', '>', f.attributes ->> 'lane_to') END, ''), 64)"""
SERVICE = "left(coalesce(f.attributes ->> 'service', ''), 64)"
MONEY = "(e.state IN ('MET_LATE', 'BREACHED') OR e.state = 'PENDING' AND e.at_risk) AND f.value IS NOT NULL"
LATE = "CASE WHEN e.state = 'MET_LATE' AND e.met_at > e.due_at THEN extract(epoch FROM e.met_at - e.due_at)::bigint END"


def cells(expectations: str, flows: str) -> str:
    """Signed cells of these expectations (with a column sign) and their flows."""
    return f"""
    INSERT INTO reports_delta (day, partner_id, rule_id, lane, service, state, late_bucket, reason, by_hand, currency,
        n, late_seconds, value)
    SELECT day, partner_id, rule_id, lane, service, state, late_bucket, reason, by_hand, currency,
        sum(sign), sum(sign * coalesce(late, 0)), sum(sign * coalesce(value, 0))
    FROM (
        SELECT e.sign, (e.due_at AT TIME ZONE reports_zone())::date AS day, e.partner_id, e.rule_id, {LANE} AS lane,
            {SERVICE} AS service, CASE WHEN e.state = 'PENDING' AND e.at_risk THEN 'AT_RISK' ELSE e.state END AS state,
            CASE WHEN {LATE} IS NOT NULL THEN floor(ln(greatest({LATE}, 1)) / ln(1.05))::smallint END AS late_bucket,
            {LATE} AS late,
            CASE WHEN e.state = 'WAIVED' THEN e.waived_reason ELSE '' END AS reason,
            e.state = 'WAIVED' AND e.waived_by_id IS NOT NULL AS by_hand,
            CASE WHEN {MONEY} THEN f.currency ELSE '' END AS currency, CASE WHEN {MONEY} THEN f.value END AS value
        FROM ({expectations}) AS e LEFT JOIN {flows} AS f ON f.id = e.flow_id
    ) AS placed
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
    HAVING sum(sign) <> 0 OR sum(sign * coalesce(late, 0)) <> 0 OR sum(sign * coalesce(value, 0)) <> 0;"""


COLUMNS = "flow_id, due_at, partner_id, rule_id, state, at_risk, met_at, waived_reason, waived_by_id"
MOVED = """(o.attributes IS DISTINCT FROM n.attributes AND (
        o.attributes -> 'lane' IS DISTINCT FROM n.attributes -> 'lane'
        OR o.attributes -> 'lane_from' IS DISTINCT FROM n.attributes -> 'lane_from'
        OR o.attributes -> 'lane_to' IS DISTINCT FROM n.attributes -> 'lane_to'
        OR o.attributes -> 'service' IS DISTINCT FROM n.attributes -> 'service')
    OR o.value IS DISTINCT FROM n.value OR o.currency IS DISTINCT FROM n.currency)"""

CELLS = f"""
CREATE FUNCTION reports_zone() RETURNS text LANGUAGE sql STABLE AS
    'SELECT coalesce((SELECT zone FROM reports_reportzone WHERE id = 1), ''UTC'')';

CREATE FUNCTION reports_expectation_cells() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN {cells(f"SELECT 1 AS sign, {COLUMNS} FROM new_rows", "flows_flow")}
    ELSIF TG_OP = 'DELETE' THEN {cells(f"SELECT -1 AS sign, {COLUMNS} FROM old_rows", "flows_flow")}
    ELSE {cells(f"SELECT 1 AS sign, {COLUMNS} FROM new_rows UNION ALL SELECT -1, {COLUMNS} FROM old_rows", "flows_flow")}
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER reports_expectation_insert AFTER INSERT ON sla_expectation REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION reports_expectation_cells();
CREATE TRIGGER reports_expectation_update AFTER UPDATE ON sla_expectation
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION reports_expectation_cells();
CREATE TRIGGER reports_expectation_delete AFTER DELETE ON sla_expectation REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION reports_expectation_cells();

CREATE FUNCTION reports_flow_cells() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved bigint[];
BEGIN
    SELECT array_agg(n.id) INTO moved FROM old_rows o JOIN new_rows n ON n.id = o.id WHERE {MOVED};
    IF moved IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM FROM sla_expectation WHERE flow_id = ANY(moved) ORDER BY id FOR NO KEY UPDATE;
    {cells(f"SELECT -1 AS sign, {COLUMNS} FROM sla_expectation WHERE flow_id = ANY(moved)", "old_rows")}
    {cells(f"SELECT 1 AS sign, {COLUMNS} FROM sla_expectation WHERE flow_id = ANY(moved)", "new_rows")}
    RETURN NULL;
END
$$;
CREATE TRIGGER reports_flow_update AFTER UPDATE ON flows_flow
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION reports_flow_cells();

CREATE INDEX reports_missed ON sla_expectation (due_at) WHERE state IN ('MET_LATE', 'BREACHED');
"""

FILL = f"""
CREATE FUNCTION reports_recount() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    {cells(f"SELECT 1 AS sign, {COLUMNS} FROM sla_expectation", "flows_flow")}
END
$$;
SELECT reports_recount();
"""

PARTNER = "NULLIF(current_setting('controltower.partner', true), '')::bigint"
SCOPED = {
    "reports_delta": f"partner_id = {PARTNER}",
    "reports_daycell": f"partner_id = {PARTNER}",
    "reports_monthcell": f"partner_id = {PARTNER}",
    "reports_latecell": f"partner_id = {PARTNER}",
    "reports_scorecell": f"partner_id = {PARTNER}",
}


def policies() -> str:
    parts = [
        f"""
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tower_staff ON {table} TO controltower_app USING (true) WITH CHECK (true);
CREATE POLICY tower_owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE POLICY tower_partner ON {table} FOR SELECT TO controltower_portal USING ({condition});
GRANT SELECT ON {table} TO controltower_portal;
"""
        for table, condition in SCOPED.items()
    ]
    return "".join(parts) + "GRANT SELECT ON reports_peermedian, reports_reportzone TO controltower_portal;"


class Migration(migrations.Migration):
    dependencies = [
        ("reports", "0001_initial"),
        ("collectors", "0002_storage"),
        ("flows", "0006_conflicts"),
        ("sla", "0007_hop_norms"),
    ]
    operations = [
        migrations.RunSQL(CELLS, migrations.RunSQL.noop),
        migrations.RunSQL(policies(), migrations.RunSQL.noop),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
