"""Tables of both syntaxes: which messages the tower reads and what their segments mean."""

from __future__ import annotations

from apps.collectors.edi.tables import (
    edifact_messages,
    edifact_orders,
    edifact_replies,
    x12_customs,
    x12_messages,
    x12_orders,
    x12_trade,
    x12_transport,
)
from apps.collectors.edi.tables.model import Message

_TABLES = {
    "X12": (x12_customs, x12_messages, x12_orders, x12_trade, x12_transport),
    "EDIFACT": (edifact_messages, edifact_orders, edifact_replies),
}

#: (syntax, message type) -> its table
MESSAGES: dict[tuple[str, str], Message] = {
    (syntax, message.type): message
    for syntax, tables in _TABLES.items()
    for table in tables
    for message in table.MESSAGES
}
