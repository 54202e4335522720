"""What systems write of themselves: access logs of an API gateway, message logs of the middleware, calls of a carrier's
API, a warehouse's stock list (CSV), a returns desk's event log (XES). Reproducible from the message.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import orjson

from apps.simulator.faults import BERLIN
from apps.simulator.formats.model import Format, utc
from apps.simulator.formats.shops import id_of, millis
from apps.simulator.world import Message

CONSUMERS = ("rhein-3pl", "north-3pl", "bright-shop")
ROUTES = ("GET /api/v2/orders/{order}/lines", "PUT /api/v2/asn/{order}", "GET /api/v2/stock")
ARTICLES = ("OAK-TABLE", "PINE-CHAIR", "LINEN-SOFA", "STEEL-SHELF", "WOOL-RUG")
CALLS_A_BATCH = 12
DESK = ("Parcel opened", "Goods inspected", "Refund decided")


def gateway_log(message: Message) -> bytes:
    """nginx's combined format with the request time behind it; what was called in the quarter of an hour before."""
    chance = random.Random(message.at.isoformat())
    lines = []
    for place in range(CALLS_A_BATCH):
        lines.append(log_line(message.at - timedelta(minutes=15) + timedelta(seconds=place * 4), chance))
    return "\n".join(lines).encode() + b"\n"


def log_line(when: datetime, chance: random.Random) -> str:
    """One call in nginx's combined format, with the request time behind it."""
    at = when.astimezone(BERLIN)
    method, path = chance.choice(ROUTES).format(order=f"S{chance.randrange(10**6):06d}").split(" ")
    status = chance.choices((200, 404, 429, 503), (90, 4, 3, 3))[0]
    return (
        f"198.51.100.7 - {chance.choice(CONSUMERS)} [{at:%d/%b/%Y:%H:%M:%S %z}] "
        f'"{method} {path} HTTP/1.1" {status} {chance.randint(40, 900)} "-" "client/2.1" '
        f"rt={chance.uniform(0.01, 0.2):.3f}"
    )


def message_log(message: Message) -> bytes:
    """A run of a workflow as n8n streams it, one line."""
    f = message.facts
    line = {
        "__type": "$$EventMessageWorkflow",
        "id": id_of(f["order"], "workflow"),
        "ts": message.at.astimezone(BERLIN).isoformat(timespec="milliseconds"),
        "eventName": "n8n.workflow.success",
        "message": "n8n.workflow.success",
        "payload": {
            "executionId": id_of(f["order"], "execution"),
            "workflowId": "5",
            "workflowName": "Orders to Odoo",
            "orderReference": f["order"],
        },
    }
    return orjson.dumps(line) + b"\n"


def api_call(message: Message) -> bytes:
    """A question for rates, as the module that asks carriers writes it down, one line."""
    f = message.facts
    line: dict[str, Any] = {
        "id": id_of(f["picking"], "rate"),
        "time": millis(message.at),
        "service": "parcel-rates",
        "operation": "rate",
        "method": "POST",
        "route": "https://rates.swiftparcel.example/v1/rates",
        "status": 200,
        "duration_ms": 180 + len(f["order"]) * f["lines"],
        "references": {"picking": f["picking"], "sales_order": f["order"]},
    }
    return orjson.dumps(line) + b"\n"


def stock_list(message: Message) -> bytes:
    """A CSV file with semicolons and decimal commas, and a trailer that says how many rows and pieces it holds."""
    chance = random.Random(message.at.isoformat())
    day = message.at.astimezone(BERLIN)
    pieces = [chance.randint(0, 900) for _ in ARTICLES]
    rows = [
        f"RHEIN-{day:%Y%m%d};{article};{day:%d.%m.%Y %H:%M};{count},0"
        for article, count in zip(ARTICLES, pieces, strict=True)
    ]
    head, trailer = "report;sku;counted at;quantity", f"TRL;{len(rows)};{sum(pieces)},0"
    return "\n".join([head, *rows, trailer]).encode() + b"\n"


def _file_name(message: Message) -> dict[str, str]:
    return {"file-name": f"stock_{message.at.astimezone(BERLIN):%Y%m%d}.csv"}


def desk_log(message: Message) -> bytes:
    """XES of the day: each case a parcel that came back, with what the desk did with it."""
    day = message.at.astimezone(BERLIN)
    traces = []
    for case in range(2):
        events = "".join(
            f'<event><string key="concept:name" value="{activity}"/><date key="time:timestamp" '
            f'value="{utc(message.at - timedelta(hours=3 - case, minutes=-20 * place))}"/></event>'
            for place, activity in enumerate(DESK)
        )
        traces.append(f'<trace><string key="concept:name" value="RD-{day:%y%m%d}-{case + 1}"/>{events}</trace>')
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<log xes.version="1849-2016" xmlns="http://www.xes-standard.org/">'
        f"{''.join(traces)}</log>\n"
    ).encode()


LINES = "application/x-ndjson"
FORMATS = {
    "api-gateway": Format(gateway_log, "bearer", "text/plain", bundles=False),
    "middleware-messages": Format(message_log, "bearer", LINES, bundles=False),
    "carrier-calls": Format(api_call, "bearer", LINES, bundles=False),
    "rhein-stock": Format(stock_list, "bearer", "text/csv", bundles=False, headers=_file_name),
    "returns-desk": Format(desk_log, "bearer", "application/xes+xml", bundles=False),
}
