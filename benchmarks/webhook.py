"""The durable webhook against a bare view and a one-INSERT view on the same server, and the batch endpoint."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from django.db import connection

from apps.collectors.signatures import sign_standard
from apps.integrations.credentials import issue
from apps.integrations.models import Integration
from benchmarks import load, told
from benchmarks.harness import Bench, Goal, Result, database, interleaved, ratio, scale_of, spread, tree_cpu
from benchmarks.limit_site import SECRET
from benchmarks.servers import Servers

ROUND_SECONDS = 2.0
PER_BATCH = 100


def run(options: dict[str, Any]) -> Result:
    result = Result("webhook")
    with database(result) as bench:
        integration = told.load_definitions()
        integration.settings = {"scheme": "standard"}
        integration.save()
        _, secret = issue(integration, datetime.now(UTC), None)
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE bench_insert (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), body bytea)"
            )
            cursor.execute("GRANT ALL ON bench_insert, bench_insert_id_seq TO controltower_app")
        with Servers(bench) as servers:
            _measure(result, bench, servers, integration, secret, options)
    return result


def _measure(
    result: Result, bench: Bench, servers: Servers, integration: Integration, secret: str, options: dict[str, Any]
) -> None:
    ours, limits = servers.start("controltower.wsgi:application"), servers.start("benchmarks.limit_site:application")
    seconds = scale_of(options, 2, 5)
    accepted = {"ours": 0, "batch": 0, "insert": 0}
    singles, batches = _singles(integration, secret), _batches(integration, secret)
    plain = _plain()

    def target(port: int, requests: Iterator[bytes], name: str = "", unit: int = 1) -> Callable[[], float]:
        def one() -> float:
            done = load.run(port, requests, seconds)
            if done.refused or done.broken:
                raise RuntimeError(f"{name}: {done.refused} refused, {done.broken} connections lost")
            if name:
                accepted[name] += done.accepted
            return done.rate * unit

        return one

    targets = {
        "bare": target(limits, _with_path(plain, "/bare/")),
        "insert": target(limits, _with_path(plain, "/insert/"), "insert"),
        "ours": target(ours, singles, "ours"),
        "batch": target(ours, batches, "batch", PER_BATCH),
    }
    if options["peer"]:
        peer = urlsplit(options["peer"])
        pings = itertools.repeat(load.request(peer.path, b"", {}))
        targets["peer"] = target(peer.port or 80, pings)
    for one in targets.values():  # warm
        one()
    cpu = tree_cpu([*servers.pids, bench.cluster.pid])
    found = interleaved(options["rounds"], targets)
    result.notes["server_cpu_seconds"] = round(tree_cpu([*servers.pids, bench.cluster.pid]) - cpu, 1)
    result.goals += [
        Goal("durable webhook / one-INSERT view", ratio(found, "ours", "insert"), 1.25),
        Goal("durable webhook / bare view", ratio(found, "ours", "bare"), 0.33),
        Goal("events by batch endpoint / by single", ratio(found, "batch", "ours"), 5.0),
    ]
    if options["peer"]:
        result.goals.append(Goal("durable webhook / peer's ping", ratio(found, "ours", "peer"), 8.0))
    else:
        result.notes["peer"] = "not run: start a Healthchecks v3.13 and name its ping address with --peer"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM collectors_receipt")
        stored = cursor.fetchone()[0]
    result.goals.append(Goal("receipts stored / acknowledged", stored / (accepted["ours"] + accepted["batch"]), 1.0))
    result.notes |= {name: spread(figures) for name, figures in found.items()}


def _body(number: int) -> bytes:
    return orjson.dumps(
        {
            "id": f"bench-{number}",
            "type": "pick.completed",
            "happened_at": "2026-03-02T08:00:00Z",
            "references": [{"kind": "picking", "value": f"WH/OUT/{number}"}],
            "data": {"note": told.FILLER},
        }
    )


def _singles(integration: Integration, secret: str) -> Iterator[bytes]:
    for number in itertools.count():
        yield _signed(f"/in/{integration.endpoint_id}/", _body(number), f"msg_{number}", secret)


def _batches(integration: Integration, secret: str) -> Iterator[bytes]:
    for number in itertools.count(1_000_000):
        body = b"[" + b",".join(_body(number * PER_BATCH + place) for place in range(PER_BATCH)) + b"]"
        yield _signed(f"/in/{integration.endpoint_id}/batch", body, f"batch_{number}", secret)


def _signed(path: str, body: bytes, message_id: str, secret: str) -> bytes:
    seconds = int(time.time())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": sign_standard(secret, message_id, seconds, body),
    }
    return load.request(path, body, headers)


def _plain() -> list[tuple[bytes, str]]:
    bodies = [_body(number) for number in range(500)]
    return [(body, hmac.new(SECRET, body, hashlib.sha256).hexdigest()) for body in bodies]


def _with_path(plain: list[tuple[bytes, str]], path: str) -> Iterator[bytes]:
    return itertools.cycle([load.request(path, body, {"X-Signature": signature}) for body, signature in plain])
