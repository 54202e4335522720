"""Tables of both syntaxes: which messages the tower reads and what their segments mean."""

from __future__ import annotations

from apps.collectors.edi.tables import edifact_messages, edifact_orders, x12_messages, x12_orders
from apps.collectors.edi.tables.model import Message

#: (syntax, message type) -> its table
MESSAGES: dict[tuple[str, str], Message] = {
    **{("X12", message.type): message for message in (*x12_messages.MESSAGES, *x12_orders.MESSAGES)},
    **{("EDIFACT", message.type): message for message in (*edifact_messages.MESSAGES, *edifact_orders.MESSAGES)},
}
