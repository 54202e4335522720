"""Whose word an overdue milestone waits for when it is reached through child flows: an order is delivered when its
parcels are, and those are the carriers' to tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from apps.flows.sets import raw_cursor
from apps.sla.rules import Book

#: an order, its shipments, their parcels; UNION ends circles
_AWAITED = """
WITH RECURSIVE below (id, milestone, flow_id) AS (
    SELECT e.id, e.milestone, l.child_id FROM sla_expectation e JOIN flows_flowlink l ON l.parent_id = e.flow_id
    WHERE e.id = ANY(%b::bigint[])
    UNION
    SELECT b.id, b.milestone, l.child_id FROM below b JOIN flows_flowlink l ON l.parent_id = b.flow_id
)
SELECT b.id, b.milestone, c.definition_id, c.partner_id FROM below b
JOIN flows_flow c ON c.id = b.flow_id AND c.status = 'open'
LEFT JOIN flows_milestone m ON m.flow_id = c.id AND m.name = b.milestone
WHERE m.actual_at IS NULL ORDER BY b.id, c.id
"""


def sources_of(expectation_ids: Sequence[int], book: Book) -> dict[int, list[int]]:
    """Expectation id -> integrations that should tell the milestone of open children that lack it, oldest child first."""
    found: dict[int, list[int]] = defaultdict(list)
    if not expectation_ids:
        return found
    with raw_cursor() as cursor:
        cursor.execute(_AWAITED, [list(expectation_ids)], binary=True)
        for expectation_id, milestone, definition_id, partner_id in cursor.fetchall():
            source = book.owed_by(definition_id, partner_id, milestone)
            if source is not None and source not in found[expectation_id]:
                found[expectation_id].append(source)
    return found
