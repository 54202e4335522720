"""The catalogue of canonical events and reference kinds. A new name is a line here; a changed meaning is a new name.

Sources of the names: the seed's business events, GS1 CBV business steps, X12 and EDIFACT message purposes.
"""

from __future__ import annotations

#: reference kind -> (label, whether its values are only unique together with who issued them)
REFERENCE_KINDS: dict[str, tuple[str, bool]] = {
    "sales_order": ("Sales order", False),
    "channel_order": ("Channel order", True),
    "purchase_order": ("Purchase order", False),
    "picking": ("Picking", False),
    "warehouse_task": ("Internal warehouse step", False),
    "warehouse_order": ("Warehouse order", True),
    "despatch_advice": ("Despatch advice / ASN", True),
    "tracking_number": ("Tracking number", False),
    "sscc": ("SSCC", False),
    "container": ("Container", False),
    "bill_of_lading": ("Bill of lading", True),
    "pro_number": ("PRO / freight bill", True),
    "load": ("Load", True),
    "invoice": ("Invoice", False),
    "return_order": ("Return", False),
    "control_number": ("Interchange / group / message control number", True),
    "trace": ("Trace", False),
}

#: event type -> label
EVENT_TYPES: dict[str, str] = {
    "order.placed": "Order placed by the customer",
    "order.created": "Order created in Odoo",
    "order.confirmed": "Order confirmed",
    "order.released": "Order released (payment and fraud checks passed)",
    "order.changed": "Order changed",
    "order.cancelled": "Order cancelled",
    "order.closed": "Order closed",
    "warehouse_order.sent": "Order sent to the warehouse",
    "warehouse_order.acknowledged": "Warehouse acknowledged the order",
    "warehouse_order.rejected": "Warehouse rejected the order",
    "warehouse_order.cancelled": "Order to the warehouse cancelled",
    "picking.created": "Picking created",
    "picking.changed": "Picking changed",
    "picking.cancelled": "Picking cancelled",
    "stock.allocated": "Stock allocated",
    "stock.partly_allocated": "Stock allocated in part",
    "stock.unallocated": "Stock allocation undone",
    "stock.adjusted": "Stock adjusted",
    "pick.started": "Picking started",
    "pick.completed": "Pick completed",
    "pick.short": "Short pick reported",
    "pack.completed": "Packed",
    "label.created": "Label created",
    "label.voided": "Label voided",
    "shipment.manifested": "Shipment manifested",
    "shipment.dispatched": "Shipment dispatched",
    "shipment.announced": "Channel told about the shipment",
    "shipment.returned": "Return shipment received",
    "transport.picked_up": "Picked up by the carrier",
    "transport.departed": "Departed",
    "transport.in_transit": "In transit",
    "transport.arrived": "Arrived at a facility",
    "transport.out_for_delivery": "Out for delivery",
    "transport.eta_changed": "Estimated arrival changed",
    "transport.exception": "Transport exception",
    "delivery.attempted": "Delivery attempted",
    "delivery.completed": "Delivered",
    "delivery.proof_received": "Proof of delivery received",
    "invoice.created": "Invoice drafted",
    "invoice.posted": "Invoice posted",
    "invoice.paid": "Invoice paid",
    "invoice.cancelled": "Invoice cancelled",
    "invoice.sent": "Invoice sent to the customer",
    "invoice.received": "Supplier's invoice received",
    "load.tendered": "Load tendered to the carrier",
    "load.accepted": "Load accepted by the carrier",
    "load.declined": "Load declined by the carrier",
    "load.cancelled": "Load tender cancelled",
    "refund.posted": "Credit note posted",
    "purchase_order.created": "Purchase order created",
    "purchase_order.sent": "Purchase order sent",
    "purchase_order.acknowledged": "Purchase order acknowledged by the supplier",
    "purchase_order.confirmed": "Purchase order confirmed in Odoo",
    "purchase_order.changed": "Purchase order changed",
    "purchase_order.cancelled": "Purchase order cancelled",
    "asn.received": "ASN received",
    "asn.packed": "ASN: handling unit announced",
    "asn.cancelled": "ASN cancelled by its sender",
    "asn.matched": "ASN matched to the receipt in Odoo",
    "goods.arrived": "Goods arrived",
    "goods.unloaded": "Goods unloaded",
    "goods.received": "Goods received",
    "goods.put_away": "Goods put away",
    "goods.difference_closed": "Receiving difference closed",
    "return.requested": "Return requested",
    "return.authorized": "Return authorised",
    "return.received": "Return received",
    "message.acknowledged": "Message acknowledged by the partner's translator",
    "message.rejected": "Message rejected by the partner's translator",
    "hop.completed": "Message hop completed",
    "hop.failed": "Message hop failed",
}


def label_of_event(name: str) -> str:
    """The catalogue's words for an event type; an unregistered name as it came."""
    return EVENT_TYPES.get(name, name)


def label_of_reference(kind: str) -> str:
    return REFERENCE_KINDS.get(kind, (kind, False))[0]
