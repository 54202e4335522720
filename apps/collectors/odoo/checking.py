"""What an Odoo needs to be read, asked of the Odoo itself: which right, field or module is missing, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from apps.collectors.contract import Check
from apps.collectors.odoo.answers import OdooError, Trouble
from apps.collectors.odoo.client import OdooClient
from apps.collectors.odoo.expiry import WARNINGS, key_end
from apps.collectors.odoo.followed import FOLLOWED, HISTORY, needed
from apps.collectors.odoo.history import VALUES
from apps.collectors.odoo.memory import Memory
from apps.collectors.odoo.settings import EXTRAS, PROTOCOLS, OdooSettings

NAMES = {
    "sale.order": "Sales orders",
    "purchase.order": "Purchase orders",
    "stock.picking": "Transfers",
    "stock.move": "Stock moves",
    "account.move": "Invoices",
    **EXTRAS,
}
#: model -> the app that brings it
APPS = {
    "sale.order": "Sales",
    "sale.order.line": "Sales",
    "purchase.order": "Purchase",
    "purchase.order.line": "Purchase",
    "stock.picking": "Inventory",
    "stock.move": "Inventory",
    "stock.move.line": "Inventory",
    "stock.quant": "Inventory",
    "account.move": "Invoicing",
    "delivery.carrier": "Delivery Costs (delivery)",
    "edi.exchange.record": "OCA's edi (edi_core_oca, before 18 edi_oca)",
    "queue.job": "OCA's queue_job",
    HISTORY: "Discuss (mail)",
}
#: field -> (module that brings it, what is missing without it)
FIELDS = {
    ("sale.order", "delivery_status"): ("sale_stock", "how much of an order is delivered"),
    ("sale.order", "commitment_date"): ("sale", "the delivery date promised to the customer"),
    ("sale.order", "warehouse_id"): ("sale_stock", "the warehouse of an order"),
    ("purchase.order", "receipt_status"): ("purchase_stock", "how much of a purchase order was received"),
    ("stock.picking", "sale_id"): ("sale_stock", "the link from transfers to sales orders"),
    ("stock.picking", "purchase_id"): ("purchase_stock", "the link from transfers to purchase orders"),
    ("stock.picking", "carrier_id"): ("stock_delivery", "the carrier of a transfer"),
    ("stock.picking", "carrier_tracking_ref"): ("stock_delivery", "tracking numbers"),
    ("stock.move", "picked"): ("stock of 17 or later", "that something was picked before it was shipped"),
}
#: between Odoo's clock and ours
SKEW = timedelta(seconds=60)


def check_odoo(client: OdooClient, settings: OdooSettings, memory: Memory) -> Iterator[Check]:
    """The checks of a signed-in client, the needed ones first."""
    server = client.server
    yield Check(
        True, f"Odoo {server.version} answers and takes the key; it is spoken to by {PROTOCOLS[server.protocol]}."
    )
    yield _clock(client, memory.now)
    core = needed(settings.models)
    wanted = [*(one for one in core if one not in EXTRAS), *settings.extras]
    for model in wanted:
        yield from _model(client, model, needed=model not in EXTRAS or settings.extras_chosen)
    yield _key(client, settings, memory)
    doors = memory.doors("odoo_hook", memory.slug)
    yield Check(
        bool(doors),
        f"Webhooks of Odoo bring changes sooner: {', '.join(doors)}."
        if doors
        else "No webhook of Odoo brings changes sooner: they are seen with the next reading.",
        ""
        if doors
        else "Optional: make an integration of kind odoo_hook and an automation rule in Odoo (see its page).",
        needed=False,
    )


def _clock(client: OdooClient, now: datetime) -> Check:
    ahead = (client.server_time or now) - now
    if abs(ahead) <= SKEW:
        return Check(True, "Odoo's clock agrees with the tower's.")
    word = "ahead of" if ahead > timedelta() else "behind"
    sentence = f"Odoo's clock is {abs(int(ahead.total_seconds()))} s {word} the tower's."
    return Check(False, sentence, "Let both hosts keep time by NTP: lateness is judged by these times.", needed=False)


def _model(client: OdooClient, model: str, *, needed: bool) -> Iterator[Check]:
    name = NAMES[model]
    wanted: Sequence[str] = VALUES if model == HISTORY else FOLLOWED[model].fields
    try:
        found = client.fields_of(model, wanted)
        rows = client.search_read(model, [], ["id"], 1)
    except OdooError as error:
        yield Check(False, f"{name} ({model}) cannot be read.", _advice(model, error, needed=needed), needed=needed)
        return
    hint = (
        "" if rows else " There are none yet, or the user may see none of them: look at record rules if that is wrong."
    )
    yield Check(True, f"{name} ({model}) can be read.{hint}")
    for field in wanted:
        if field not in found and (model, field) in FIELDS:
            module, lost = FIELDS[model, field]
            sentence = f"{name} have no field {field}: {lost} stays unknown."
            advice = f"Install {module}, or give the user the group that shows the field."
            yield Check(False, sentence, advice, needed=False)


def _advice(model: str, error: OdooError, *, needed: bool) -> str:
    if error.trouble is Trouble.MODEL:
        without = (
            "or take it out of the models of this integration." if needed else "if you want it; else nothing is to do."
        )
        return f"This database has no such model: install {APPS.get(model, 'the module that brings it')}, {without}"
    if error.trouble is Trouble.RIGHTS:
        more = (
            " It lets the tower tell when a state was entered, instead of the last write." if model == HISTORY else ""
        )
        return f"Give the group of the tower's user read access to {model} (Settings, Technical, Access Rights).{more}"
    return str(error)


def _key(client: OdooClient, settings: OdooSettings, memory: Memory) -> Check:
    found = key_end(client, settings, memory.credential_end())
    if found.ends is None:
        return Check(
            False,
            "Nobody says when the API key ends.",
            "If it does, give the day in the settings (key_expires_on): the tower then warns 14 and 3 days before.",
            needed=False,
        )
    sentence = f"The API key ends on {found.ends:%Y-%m-%d} (told by {found.told_by})."
    near = found.ends - memory.now <= WARNINGS[-1][0]
    return Check(
        not near, sentence, "Make a new key in Odoo and store it as the credential." if near else "", needed=near
    )
