"""A pretend kind whose parser is as careless as a plugin may be, and doors that remember nothing between tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.collectors.contract import COLLECTORS, Collector, RawDelivery, Reply, SourceContext
from apps.collectors.directory import DIRECTORY
from apps.flows.canonical import CanonicalEvent, ParseIssue, ParseResult, Reference
from apps.integrations import credentials
from apps.integrations.models import Integration, Partner

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SECRET = "a-secret-of-the-probe"


class Probe(Collector):
    """One JSON object or a list of them: {id, type, at, order, data}. Trusts its input entirely."""

    kind = "probe"
    label = "Probe"
    max_body = 64 * 1024
    content_types = {".json": "application/json"}
    door_paths = ("v1/traces",)

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        document = json.loads(delivery.body)
        rows = document if isinstance(document, list) else [document]
        events, issues = [], []
        for number, row in enumerate(rows, 1):
            if "order" not in row:
                issues.append(ParseIssue("probe.no_order", "The row names no order.", f"row {number}", str(row)))
                continue
            events.append(_event(row, number))
        return ParseResult(tuple(events), tuple(issues))

    def respond(self, delivery: RawDelivery) -> Reply | None:
        if delivery.headers.get("x-want") == "teapot":
            return Reply(200, "application/x-tea", b"tea")
        if delivery.headers.get("x-want") == "crash":
            raise RuntimeError("the reply broke")
        return None


def _event(row: dict[str, Any], number: int) -> CanonicalEvent:
    return CanonicalEvent(
        type=row.get("type", "order.created"),
        happened_at=datetime.fromisoformat(row.get("at", "2026-03-02T07:00:00+00:00")),
        references=(Reference("sales_order", row["order"]),),
        source_event_id=row.get("id", ""),
        data=row.get("data", {}),
        position=f"row {number}",
    )


@pytest.fixture(autouse=True)
def forgetful_doors() -> Iterator[None]:
    DIRECTORY.forget()
    yield
    DIRECTORY.forget()


@pytest.fixture
def probe_kind(monkeypatch: pytest.MonkeyPatch) -> Probe:
    probe = Probe()
    monkeypatch.setitem(COLLECTORS.plugins, "probe", probe)
    return probe


@pytest.fixture
def integration(db: None, probe_kind: Probe) -> Integration:
    """A live integration of the pretend kind with one credential, SECRET."""
    partner = Partner.objects.create(slug="acme", name="Acme", kind="3pl")
    made = Integration.objects.create(slug="acme-feed", name="Acme feed", kind="probe", partner=partner)
    credentials.issue(made, NOW, None, secret=SECRET)
    return made
