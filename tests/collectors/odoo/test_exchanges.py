"""OCA's queue_job and edi: what failed or waits too long is a hop that failed, in the flow of its document."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.models import OdooRecord
from apps.collectors.odoo.exchanges import EXCHANGE_STATES, job_documents
from apps.collectors.odoo.interpretation import read
from apps.collectors.odoo.story import Lens
from apps.flows.canonical import CanonicalEvent
from apps.flows.catalogue import EVENT_TYPES
from apps.simulator.odoo_models import MODULE_FIELDS
from apps.simulator.odoo_store import FORMAT, OdooStore
from tests.collectors.odoo.conftest import Clock, Tower
from tests.collectors.odoo.test_following import order, types


@pytest.fixture
def modules(tower: Tower, store: OdooStore, clock: Clock) -> OdooStore:
    """The same Odoo after the modules were installed."""
    for model, fields in MODULE_FIELDS.items():
        store.define(model, fields)
    tower.set(reconcile_hours=1)
    tower.poll(clock.forward(hours=2))
    tower.take()
    return store


def job(store: OdooStore, clock: Clock, sale: int, **values: Any) -> int:
    """A queue job as the module keeps it: without write_date, its own dates only."""
    now = clock.now.strftime(FORMAT)
    base = {"uuid": f"u-{sale}", "name": "Send to the warehouse", "state": "pending", "channel": "root.wms"}
    call = {"func_string": f"sale.order({sale},).send_to_wms(force=True)", "model_name": "sale.order"}
    id_ = store.create("queue.job", {**base, **call, "date_created": now, **values})
    del store.records["queue.job"][id_]["write_date"], store.records["queue.job"][id_]["create_date"]
    return id_


def update(store: OdooStore, id_: int, **values: Any) -> None:
    store.records["queue.job"][id_] |= values


def refs(event: CanonicalEvent) -> dict[str, str]:
    return {ref.kind: ref.value for ref in event.references}


@pytest.mark.django_db
def test_a_failed_job_is_a_failed_hop_of_its_order(tower: Tower, modules: OdooStore, clock: Clock) -> None:
    sale = order(modules)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    failed = job(modules, clock, sale)
    tower.poll(clock.forward(seconds=30))
    assert types(tower) == [], "it waits its turn"
    started = clock.forward(seconds=10).strftime(FORMAT)
    why = {"exc_name": "requests.ConnectionError", "exc_message": "wms.example.com is away\nTraceback ..."}
    update(modules, failed, state="failed", date_started=started, **why)
    tower.poll(clock.forward(seconds=30))
    (event,) = tower.take()
    assert (event.type, refs(event)) == ("hop.failed", {"sales_order": f"S{sale:05}", "trace": f"u-{sale}"})
    assert event.happened_at.strftime(FORMAT) == started
    assert event.data["error"] == "requests.ConnectionError: wms.example.com is away"
    assert [(one.code, one.severity) for one in tower.issues] == [("odoo.job_failed", "warning")]
    tower.poll(clock.forward(seconds=30))
    assert types(tower) == [], "told once"

    update(modules, failed, state="pending", date_started=False)
    tower.poll(clock.forward(seconds=30))
    assert types(tower) == [], "requeued"
    update(modules, failed, state="failed", date_started=clock.now.strftime(FORMAT))
    tower.poll(clock.forward(seconds=30))
    assert types(tower) == ["hop.failed"], "failed again"
    update(modules, failed, state="done", date_done=clock.now.strftime(FORMAT))
    tower.poll(clock.forward(seconds=30))
    assert types(tower) == ["hop.completed"]
    assert OdooRecord.objects.get(model="queue.job").facts["open"] is False
    modules.unlink("queue.job", failed)
    tower.poll(clock.forward(hours=7))
    assert types(tower) == []


@pytest.mark.django_db
def test_a_job_that_waits_too_long_is_told(tower: Tower, modules: OdooStore, clock: Clock) -> None:
    """OCA/queue: a stalled queue looks healthy; jobs stuck as enqueued hold up all later ones."""
    tower.set(job_minutes=10)
    stuck = job(modules, clock, order(modules), state="enqueued", date_enqueued=clock.now.strftime(FORMAT))
    eta = (clock.now + timedelta(hours=2)).strftime(FORMAT)
    job(modules, clock, order(modules), eta=eta)
    done = job(modules, clock, order(modules), state="done")
    tower.poll(clock.forward(minutes=5))
    tower.take()
    tower.poll(clock.forward(minutes=6))
    (event,) = tower.take()
    assert (event.type, event.data["odoo_id"], event.data["state"]) == ("hop.failed", stuck, "enqueued")
    assert "is enqueued since" in tower.issues[0].sentence
    tower.poll(clock.forward(minutes=5))
    assert types(tower) == []
    update(modules, stuck, state="done", date_done=clock.now.strftime(FORMAT))
    tower.poll(clock.forward(seconds=30))
    assert types(tower) == ["hop.completed"]
    assert not OdooRecord.objects.filter(model="queue.job", record_id=done).exists(), "what goes well is not kept"


@pytest.mark.django_db
def test_a_deleted_job_is_forgotten(tower: Tower, modules: OdooStore, clock: Clock) -> None:
    failed = job(modules, clock, order(modules), state="failed")
    tower.poll(clock.forward(seconds=30))
    tower.take()
    modules.unlink("queue.job", failed)
    tower.poll(clock.forward(seconds=30))
    assert types(tower) == []
    assert OdooRecord.objects.get(model="queue.job").deleted_at is not None


@pytest.mark.django_db
def test_an_exchange_is_told_by_its_states(tower: Tower, modules: OdooStore, clock: Clock) -> None:
    sale = order(modules)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    base = {"identifier": "EDI/0001", "direction": "output", "model": "sale.order", "res_id": sale}
    more = {"type_id": [3, "ORDRSP"], "ack_expected": True, "edi_exchange_state": "new"}
    exchange = modules.create("edi.exchange.record", base | more)
    told = []
    for state in ("output_pending", "output_error_on_send", "output_sent", "output_sent_and_processed"):
        clock.forward(seconds=30)
        modules.write("edi.exchange.record", exchange, {"edi_exchange_state": state, "exchange_error": "503\nmore"})
        tower.poll(clock.forward(seconds=30))
        told += tower.take()
    assert [event.type for event in told] == ["hop.failed", "hop.completed", "message.acknowledged"]
    assert all(refs(event) == {"sales_order": f"S{sale:05}", "trace": "EDI/0001"} for event in told)
    assert (told[0].data["error"], told[0].data["message"]) == ("503", "ORDRSP")
    assert [one.code for one in tower.issues] == ["odoo.exchange_failed"]
    modules.write("edi.exchange.record", exchange, {"edi_exchange_state": "output_lost"})
    tower.poll(clock.forward(seconds=30))
    assert [one.code for one in tower.issues][1:] == ["odoo.unknown_value"]


def test_states_of_the_module_are_all_known() -> None:
    offered = [code for code, _ in MODULE_FIELDS["edi.exchange.record"]["edi_exchange_state"]["selection"]]
    assert set(offered) == set(EXCHANGE_STATES)
    assert set(filter(None, EXCHANGE_STATES.values())) <= set(EVENT_TYPES)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("stock.picking(56, 57).export()", ("stock.picking", [56, 57])),
        ("sale.order(3,).send(a=1)", ("sale.order", [3])),
        ("sale.order().cron()", ("sale.order", [])),
        ("res.partner(3,).sync()", ("", [])),
        ("nonsense", ("", [])),
        (False, ("", [])),
    ],
)
def test_documents_of_a_job(text: Any, found: tuple[str, list[int]]) -> None:
    assert job_documents({"func_string": text}) == found


VALUE = st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.just("2026-11-23 08:00:00")


@pytest.mark.parametrize("model", ["queue.job", "edi.exchange.record", "stock.quant"])
@given(data=st.data())
def test_any_record_gives_a_reading(model: str, data: st.DataObject) -> None:
    names = [
        "id",
        "state",
        "uuid",
        "identifier",
        "edi_exchange_state",
        "write_date",
        "waits_since",
        "quantity",
        "type_id",
    ]
    record = data.draw(st.dictionaries(st.sampled_from(names), VALUE)) | {"id": 3}
    reading = read(model, record, None, Lens(stock_events=True))
    again = read(model, record, reading.facts, Lens(stock_events=True))
    assert again.events == []
