"""The models a pretend Odoo offers: fields and selections as fields_get describes them, by version."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]


def _selection(*pairs: tuple[str, str]) -> Record:
    return {"type": "selection", "selection": [list(pair) for pair in pairs]}


def _fields(text: str = "", time: str = "", link: str = "", number: str = "", flag: str = "", **more: Record) -> dict:
    kinds = (("char", text), ("datetime", time), ("many2one", link), ("float", number), ("boolean", flag))
    return {name: {"type": kind} for kind, names in kinds for name in names.split()} | more


#: what the collector may ask for, as a plain installation of 19 describes it
STANDARD_FIELDS: dict[str, dict[str, Record]] = {
    "sale.order": _fields(
        text="name client_order_ref origin delivery_status invoice_status",
        time="date_order commitment_date effective_date create_date write_date",
        link="partner_id warehouse_id currency_id company_id",
        number="amount_total",
        flag="locked",
        state=_selection(
            ("draft", "Quotation"), ("sent", "Quotation Sent"), ("sale", "Sales Order"), ("cancel", "Cancelled")
        ),
        order_line={"type": "one2many"},
    ),
    "purchase.order": _fields(
        text="name partner_ref origin receipt_status",
        time="date_order date_approve date_planned effective_date create_date write_date",
        link="partner_id currency_id company_id",
        number="amount_total",
        flag="locked acknowledged",
        state=_selection(
            ("draft", "RFQ"),
            ("sent", "RFQ Sent"),
            ("to approve", "To Approve"),
            ("purchase", "Purchase Order"),
            ("cancel", "Cancelled"),
        ),
        order_line={"type": "one2many"},
    ),
    "stock.picking": _fields(
        text="name origin carrier_tracking_ref",
        time="scheduled_date date_deadline date_done create_date write_date",
        link="picking_type_id partner_id backorder_id return_id sale_id purchase_id carrier_id company_id",
        state=_selection(
            ("draft", "Draft"),
            ("waiting", "Waiting Another Operation"),
            ("confirmed", "Waiting"),
            ("assigned", "Ready"),
            ("done", "Done"),
            ("cancel", "Cancelled"),
        ),
        picking_type_code=_selection(
            ("incoming", "Receipt"), ("outgoing", "Delivery"), ("internal", "Internal Transfer")
        ),
        backorder_ids={"type": "one2many"},
    ),
    "stock.move": _fields(
        text="state",
        time="create_date write_date",
        link="picking_id product_id",
        number="product_uom_qty quantity",
        flag="picked",
    ),
    "account.move": _fields(
        text="name move_type invoice_origin invoice_date invoice_date_due",
        time="create_date write_date",
        link="partner_id currency_id company_id",
        number="amount_total",
        state=_selection(("draft", "Draft"), ("posted", "Posted"), ("cancel", "Cancelled")),
        payment_state=_selection(("not_paid", "Not Paid"), ("in_payment", "In Payment"), ("paid", "Paid")),
    ),
    "stock.warehouse": _fields(text="name code", link="pick_type_id pack_type_id store_type_id"),
    "sale.order.line": _fields(
        text="name",
        time="create_date write_date",
        link="order_id product_id product_uom_id",
        number="product_uom_qty qty_delivered qty_invoiced",
        display_type=_selection(("line_section", "Section"), ("line_note", "Note")),
    ),
    "purchase.order.line": _fields(
        text="name",
        time="date_planned create_date write_date",
        link="order_id product_id product_uom_id",
        number="product_qty qty_received qty_invoiced",
        display_type=_selection(("line_section", "Section"), ("line_note", "Note")),
    ),
    "stock.move.line": _fields(
        text="lot_name state",
        time="create_date write_date",
        link="move_id picking_id product_id lot_id result_package_id",
        number="quantity",
        flag="picked",
    ),
    "stock.quant": _fields(
        time="create_date write_date",
        link="product_id location_id lot_id package_id company_id",
        number="quantity reserved_quantity",
    ),
    "delivery.carrier": _fields(text="name delivery_type", time="write_date", link="company_id", flag="active"),
    "res.partner": _fields(
        text="name ref vat company_registry global_location_number",
        time="write_date",
        link="country_id",
        flag="is_company active",
    ),
    "mail.message": _fields(text="model", time="date create_date write_date", res_id={"type": "many2one_reference"}),
    "mail.tracking.value": _fields(
        text="old_value_char new_value_char", time="create_date", link="mail_message_id field_id"
    ),
    "res.users.apikeys": _fields(text="name scope", time="expiration_date create_date", link="user_id"),
}
#: of OCA's modules, which an installation may have (queue_job keeps no write_date)
MODULE_FIELDS: dict[str, dict[str, Record]] = {
    "queue.job": _fields(
        text="uuid name model_name method_name func_string channel exc_name exc_message",
        time="date_created date_enqueued date_started date_done date_cancelled eta",
        link="company_id",
        number="retry max_retries",
        state=_selection(
            ("wait_dependencies", "Wait Dependencies"),
            ("pending", "Pending"),
            ("enqueued", "Enqueued"),
            ("started", "Started"),
            ("done", "Done"),
            ("cancelled", "Cancelled"),
            ("failed", "Failed"),
        ),
    ),
    "edi.exchange.record": _fields(
        text="identifier external_identifier direction model exchange_error",
        time="exchanged_on ack_received_on create_date write_date",
        link="type_id backend_id partner_id company_id",
        flag="ack_expected",
        res_id={"type": "many2one_reference"},
        edi_exchange_state=_selection(
            ("new", "New"),
            ("validate_error", "Error on validation"),
            ("output_pending", "Waiting to be sent"),
            ("output_error_on_send", "Error on send"),
            ("output_sent", "Sent"),
            ("output_sent_and_processed", "Sent and processed"),
            ("output_sent_and_error", "Sent and error"),
            ("input_pending", "Waiting to be received"),
            ("input_received", "Received"),
            ("input_receive_error", "Error on reception"),
            ("input_processed", "Processed"),
            ("input_processed_error", "Error on process"),
        ),
    ),
}


def fields_of_version(major: int) -> dict[str, dict[str, Record]]:
    """Model -> fields of a plain installation. Before 19 an order line's unit is ``product_uom``, a purchase order is
    locked by its state ``done`` and nobody acknowledges it; 17 tells no end of an API key."""
    found = {model: dict(fields) for model, fields in STANDARD_FIELDS.items()}
    if major < 19:
        for model in ("sale.order.line", "purchase.order.line"):
            found[model]["product_uom"] = found[model].pop("product_uom_id")
        purchase = found["purchase.order"]
        del purchase["locked"], purchase["acknowledged"], found["res.partner"]["global_location_number"]
        states = [tuple(pair) for pair in purchase["state"]["selection"]]
        purchase["state"] = _selection(*states[:-1], ("done", "Locked"), states[-1])
    if major < 18:
        del found["res.users.apikeys"]["expiration_date"]
    return found
