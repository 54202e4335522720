"""What OCA's modules say of messages on their way: queue.job (queue_job) and edi.exchange.record (edi_oca). Pure.

A job or an exchange that failed, or waits too long, is a hop that failed; it names the documents it was about, so that
their flows show it. Both were read from the modules' own sources (16.0 to 18.0), not from recordings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from apps.collectors.odoo.answers import first_line
from apps.collectors.odoo.rows import Row
from apps.collectors.odoo.story import Facts, Lens, Reading, Story, common_data, reference
from apps.flows.canonical import Reference

JOB_FIELDS = (
    "uuid",
    "name",
    "state",
    "model_name",
    "method_name",
    "func_string",
    "channel",
    "retry",
    "max_retries",
    "exc_name",
    "exc_message",
    "date_created",
    "date_enqueued",
    "date_started",
    "date_done",
    "date_cancelled",
    "eta",
    "company_id",
)
EXCHANGE_FIELDS = (
    "identifier",
    "external_identifier",
    "type_id",
    "backend_id",
    "direction",
    "model",
    "res_id",
    "edi_exchange_state",
    "exchange_error",
    "exchanged_on",
    "ack_expected",
    "ack_received_on",
    "partner_id",
    "company_id",
    "create_date",
    "write_date",
)
#: not done yet, and not failed either
JOB_WAITING = ("wait_dependencies", "pending", "enqueued", "started")
JOB_STATES = frozenset({*JOB_WAITING, "failed", "done", "cancelled"})
#: state of an exchange -> the event it is (None: on its way)
EXCHANGE_STATES: dict[str, str | None] = {
    "new": None,
    "validate_error": "hop.failed",
    "output_pending": None,
    "output_error_on_send": "hop.failed",
    "output_sent": "hop.completed",
    "output_sent_and_processed": "message.acknowledged",
    "output_sent_and_error": "message.rejected",
    "input_pending": None,
    "input_received": None,
    "input_receive_error": "hop.failed",
    "input_processed": "hop.completed",
    "input_processed_error": "hop.failed",
}
FAILURES = frozenset({"hop.failed", "message.rejected"})
#: models whose names are references of flows
DOCUMENTS = {
    "sale.order": "sales_order",
    "purchase.order": "purchase_order",
    "stock.picking": "picking",
    "account.move": "invoice",
}
#: ``stock.picking(56, 57).send_to_warehouse()``; documents named of one job at most
_CALL = re.compile(r"\s*([a-z_][a-z0-9_.]{0,63})\(([0-9, ]{0,400})\)\.")
MOST_DOCUMENTS = 20


def job_documents(record: dict[str, Any]) -> tuple[str, list[int]]:
    """The model and the ids a job works on, as its ``func_string`` tells them; ("", []) if it tells none."""
    text = record.get("func_string")
    match = _CALL.match(text) if isinstance(text, str) else None
    if match is None or match[1] not in DOCUMENTS:
        return "", []
    return match[1], [int(part) for part in match[2].replace(" ", "").split(",") if part][:MOST_DOCUMENTS]


def exchange_documents(record: dict[str, Any]) -> tuple[str, list[int]]:
    """The document an exchange belongs to; ("", []) without one."""
    model, id_ = record.get("model"), record.get("res_id")
    if model not in DOCUMENTS or isinstance(id_, bool) or not isinstance(id_, int) or id_ <= 0:
        return "", []
    return str(model), [id_]


def job_stamp(record: dict[str, Any], now: str) -> str:
    """Jobs have no write_date: the last of their own times stands in, else Odoo's clock (both as Odoo writes times)."""
    times = [record.get(name) for name in ("date_done", "date_cancelled", "date_started", "date_enqueued")]
    found = [one for one in times if isinstance(one, str)]
    created = record.get("date_created")
    return max(found) if found else created if isinstance(created, str) else now


def read_job(row: Row, previous: Facts | None, lens: Lens, position: str) -> Reading:
    """queue.job: failed, or waiting so long that the reader marked it (``waits_since``); and that it went on after all."""
    story = Story("queue.job", row, previous, lens, position)
    state, name = row.text("state"), row.text("name") or row.text("func_string") or f"job {row.id}"
    stuck = row.text("waits_since")
    # with its time: a job that was requeued and failed again failed again
    failed = f"failed:{row.text('date_started') or row.text('date_created')}"
    trouble = failed if state == "failed" else f"waits:{stuck}" if stuck and state in JOB_WAITING else ""
    story.facts = {"state": state, "name": name[:200], "trouble": trouble, "open": bool(trouble)}
    model, ids = job_documents(dict(row.raw))
    story.references = (*_named(lens, model, ids), *reference("trace", row.text("uuid")[:200]))
    story.data = common_data(story, state) | _some(row, "channel", "model_name", "method_name", "exc_name")
    story.data |= {"hop": "queue_job", "job": name[:200]}
    before = str(story.previous.get("trouble") or "")
    if trouble and trouble != before:
        why = f"{row.text('exc_name')}: {first_line(row.text('exc_message'))}".strip(": ") if state == "failed" else ""
        words = f"The queue job “{name[:120]}” failed" if state == "failed" else _waiting(name, state, stuck)
        sentence = words + (f" ({why})" if why else "") + ". See it in Odoo under Job Queue; requeue it once mended."
        story.warn("odoo.job_failed" if state == "failed" else "odoo.job_waits", sentence, f"queue.job {row.id}")
        story.tell("hop.failed", trouble, data={"error": why} if why else {"waits_since": stuck})
    elif not trouble and before and state in ("done", "cancelled"):
        story.tell("hop.completed", f"state={state}")
    elif state not in JOB_STATES and story.previous.get("state") != state:
        story.unknown("state", state, "", f"The queue job {name[:120]}")
    return story.close()


def _waiting(name: str, state: str, since: str) -> str:
    return f"The queue job “{name[:120]}” is {state} since {since} UTC"


def read_exchange(row: Row, previous: Facts | None, lens: Lens, position: str) -> Reading:
    """edi.exchange.record by its ``edi_exchange_state``."""
    story = Story("edi.exchange.record", row, previous, lens, position)
    state, name = row.text("edi_exchange_state"), row.text("identifier") or f"exchange {row.id}"
    story.facts = {"state": state, "name": name}
    model, ids = exchange_documents(dict(row.raw))
    story.references = (*_named(lens, model, ids), *reference("trace", name))
    story.data = common_data(story, state, "edi_exchange_state") | _some(row, "direction", "external_identifier")
    story.data |= {"hop": "edi", "exchange": name, "ack_expected": row.flag("ack_expected")}
    for field_, key in (("type_id", "message"), ("backend_id", "backend"), ("partner_id", "partner")):
        link = row.link(field_)
        if link:
            story.data[key] = link[1]
    before = story.previous.get("state")
    if state == before:
        return story.close()
    if state not in EXCHANGE_STATES:
        story.unknown("edi_exchange_state", state, "", f"The exchange {name}")
        return story.close()
    type_ = EXCHANGE_STATES[state]
    if type_ in FAILURES:
        why = first_line(row.text("exchange_error"))
        story.data["error"] = why
        label = lens.label("edi_exchange_state", state)
        sentence = f"The EDI exchange {name} stands at “{label}”" + (f": {why}" if why else "")
        story.warn("odoo.exchange_failed", sentence.rstrip(".…") + ".", f"edi.exchange.record {row.id}")
    if type_:
        done: datetime = (
            story.own_time("exchanged_on") if state in ("output_sent", "input_processed") else story.written
        )
        story.tell(type_, f"state={state}", done)
    return story.close()


def _named(lens: Lens, model: str, ids: Iterable[int]) -> list[Reference]:
    names = [lens.names.get(model, {}).get(id_, "") for id_ in ids]
    return [ref for name in dict.fromkeys(names) for ref in reference(DOCUMENTS[model], name)]


def _some(row: Row, *names: str) -> dict[str, Any]:
    return {name: text for name in names if (text := row.text(name))}
