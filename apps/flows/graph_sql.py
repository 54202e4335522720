"""The statements by which `flows.correlation` reads and writes the graph of references. Arrays travel in binary."""

from __future__ import annotations

from apps.flows.sets import Stage

REFERENCES = """
INSERT INTO flows_reference (id, kind, issuer, value)
SELECT * FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[]) ON CONFLICT (id) DO NOTHING
"""
NAMED = Stage("named", (("reference_id", "uuid"), ("event_id", "bigint"), ("event_received_at", "timestamptz")))
EVENT_REFERENCES = f"""
INSERT INTO flows_eventreference ({NAMED.columns})
SELECT {NAMED.select} FROM {NAMED.table} ORDER BY reference_id, event_id ON CONFLICT DO NOTHING
"""
LINKS = """
INSERT INTO flows_referencelink (low, high)
SELECT * FROM unnest(%b::uuid[], %b::uuid[]) ON CONFLICT DO NOTHING RETURNING low, high
"""
NEIGHBOURS = """
SELECT l.low, l.high, r.kind, r.issuer, r.value FROM flows_referencelink l JOIN flows_reference r ON r.id = l.high
WHERE l.low = ANY(%b::uuid[])
UNION ALL
SELECT l.high, l.low, r.kind, r.issuer, r.value FROM flows_referencelink l JOIN flows_reference r ON r.id = l.low
WHERE l.high = ANY(%b::uuid[])
"""
SCOPES = "SELECT reference_id, flow_id, own FROM flows_flowreference WHERE reference_id = ANY(%b::uuid[])"
OWN = """
SELECT fr.flow_id, d.slug, r.id, r.kind, r.issuer, r.value FROM flows_flowreference fr
JOIN flows_reference r ON r.id = fr.reference_id
JOIN flows_flow f ON f.id = fr.flow_id JOIN flows_flowdefinition d ON d.id = f.definition_id
WHERE fr.own AND fr.flow_id = ANY(%b::bigint[])
"""
ADD_SCOPE = """
INSERT INTO flows_flowreference (reference_id, flow_id, own)
SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::boolean[])
ON CONFLICT (reference_id, flow_id) DO UPDATE SET own = true WHERE excluded.own AND NOT flows_flowreference.own
"""
ADD_LINKS = """
INSERT INTO flows_flowlink (parent_id, child_id) SELECT * FROM unnest(%b::bigint[], %b::bigint[]) ON CONFLICT DO NOTHING
"""
FLOW_IDS = "SELECT nextval('flows_flow_id_seq') FROM generate_series(1, %b)"
ORPHANS_FOUND = """
DELETE FROM flows_orphan o USING flows_eventreference er
WHERE er.event_id = o.event_id AND er.reference_id = ANY(%b::uuid[])
"""
ORPHANS = """
INSERT INTO flows_orphan (event_id, event_received_at, integration_id, type, since)
SELECT * FROM unnest(%b::bigint[], %b::timestamptz[], %b::bigint[], %b::text[], %b::timestamptz[])
ON CONFLICT (event_id) DO NOTHING
"""
