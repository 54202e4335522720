"""Reading an Odoo end to end (pages to committed receipts) against a plain loop over the same client library.

Both read the same records of the same pretend Odoo (a process of its own on 127.0.0.1), in pages of the same size: orders
and their lines, transfers and their moves. The plain loop throws away what it reads. Ours compares each record with what is
remembered, tells its events, and keeps receipts and memory durably.

The pretend Odoo takes the time a real one was recorded to take: against a server that does no work, work would be compared
with none. Ratios against one that answers at once stand in the notes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import odoolib
import orjson

from apps.collectors.models import Receipt
from apps.collectors.odoo.client import connect
from apps.collectors.odoo.followed import FOLLOWED
from apps.collectors.odoo.gathering import ATTACHED
from apps.collectors.odoo.settings import OdooSettings, read_settings
from apps.collectors.polling import poll_one
from apps.core import clock
from apps.core.secrets import encrypt
from apps.core.tuning import calm_collector
from apps.integrations.models import Credential, Integration
from benchmarks.harness import Bench, Goal, Result, database, interleaved, ratio, scale_of, spread
from benchmarks.pretend_odoo import DATABASE, KEY, LOGIN

PAGE = 200
MODELS = ("sale.order", "sale.order.line", "stock.picking", "stock.move")
#: reads a page: model, domain, fields, limit -> rows
Search = Callable[[str, list[Any], list[str], int], list[dict[str, Any]]]


@contextmanager
def pretend(bench: Bench, orders: int, *more: str) -> Iterator[str]:
    """The address of a pretend Odoo in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.pretend_odoo", str(orders), *more]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    bench.watched.append(server.pid)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.stdin.close()
        server.wait(10)


def loop(search: Search, fields: dict[str, list[str]]) -> int:
    """A plain loop: every model by id, a page after the other; records read."""
    count = 0
    for model in MODELS:
        after, limit = 0, ATTACHED if FOLLOWED[model].leads_to else PAGE
        while True:
            rows = search(model, [["id", ">", after]], fields[model], limit)
            count += len(rows)
            if len(rows) < limit:
                break
            after = rows[-1]["id"]
    return count


def run(options: dict[str, Any]) -> Result:
    result = Result("odoo")
    orders = scale_of(options, 2_000, 20_000)
    records = orders * 6
    calm_collector()  # as the worker does

    def rate(read: Callable[[], int], count: Callable[[int], int] = int) -> float:
        begin = time.perf_counter()
        found = read()
        took = time.perf_counter() - begin
        if count(found) != records:
            raise RuntimeError(f"{count(found)} records read of {records}")
        return records / took

    with database(result) as bench, pretend(bench, orders) as quick, pretend(bench, orders, "--paced") as slow:
        raw, raw_slow = _settings(quick), _settings(slow)
        fields = _fields(read_settings(raw))
        library, library_slow = _library(quick), _library(slow)
        _first_load(raw)  # imports, plans and caches
        bare, bare_slow = connect(read_settings(raw), [KEY]), connect(read_settings(raw_slow), [KEY])
        targets: dict[str, Callable[[], float]] = {
            "odoo-client-lib": lambda: rate(lambda: loop(library, fields)),
            "own client": lambda: rate(lambda: loop(bare.search_read, fields)),
            "reader": lambda: rate(lambda: _first_load(raw), kept),
            "odoo-client-lib, paced": lambda: rate(lambda: loop(library_slow, fields)),
            "own client, paced": lambda: rate(lambda: loop(bare_slow.search_read, fields)),
            "reader, paced": lambda: rate(lambda: _first_load(raw_slow), kept),
        }
        found = interleaved(options["rounds"], targets)
    for name, words in (("odoo-client-lib", "odoo-client-lib"), ("own client", "its own client")):
        measured = ratio(found, "reader, paced", f"{name}, paced")
        result.goals.append(Goal(f"reader / plain loop over {words}, Odoo at its recorded pace", measured, 0.8))
        result.notes[f"reader / {name}, no pace"] = round(ratio(found, "reader", name), 3)
    result.notes |= {f"{name}, records/s": spread(figures) for name, figures in found.items()}
    return result


def _settings(address: str) -> dict[str, Any]:
    return {
        "base_url": address,
        "database": DATABASE,
        "login": LOGIN,
        "models": ["sale.order", "stock.picking"],
        "extras": ["sale.order.line"],
        "page_size": PAGE,
        "allow_networks": ["127.0.0.0/8"],
    }


def _fields(settings: OdooSettings) -> dict[str, list[str]]:
    """Model -> the fields the reader asks for."""
    client = connect(settings, [KEY])
    return {model: list(client.fields_of(model, FOLLOWED[model].fields)) for model in MODELS}


def _library(address: str) -> Search:
    parts = urlsplit(address)
    connection = odoolib.get_connection(
        hostname=parts.hostname, port=parts.port, protocol="json2", database=DATABASE, password=KEY
    )

    def search(model: str, domain: list[Any], fields: list[str], limit: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = connection.get_model(model).search_read(
            domain=domain, fields=fields, limit=limit, order="id"
        )
        return rows

    return search


def _first_load(raw: dict[str, Any]) -> int:
    """A new integration reads everything; its id."""
    now = clock.now() + timedelta(seconds=1)
    number = Integration.objects.count()
    one = Integration.objects.create(slug=f"odoo-{number}", name="Odoo", kind="odoo", settings=raw)
    Credential.objects.create(integration=one, ciphertext=encrypt(KEY), hint=KEY[-4:], created_at=now)
    while True:
        summary = poll_one(one.slug, now, round_seconds=3600)
        if summary is None or summary.error:
            raise RuntimeError(summary.error if summary else "not read")
        if not summary.more:
            break
    return one.pk


def kept(integration_id: int) -> int:
    """Records in the receipts of an integration, attached rows included."""
    count = 0
    for body in Receipt.objects.filter(integration_id=integration_id).values_list("body", flat=True).iterator():
        for record in orjson.loads(bytes(body))["records"]:
            count += 1 + len(record.get("order_lines") or ()) + len(record.get("moves") or ())
    return count
