"""The OpenAPI document says what the API does: Schemathesis tries it, every page of it is ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import override_settings
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from apps.accounts.models import User
from apps.anomalies.causes_models import CauseGroup
from apps.anomalies.models import Anomaly
from apps.core import clock
from apps.integrations.models import Calendar
from apps.reports import archive
from apps.reports.models import Archive, ArchiveFile, ContractTerm, Objective, Schedule
from apps.sla.models import Expectation, SlaRule, WaiverRequest
from tests.api.world import World, bearer, build, person
from tests.dashboard.test_anomalies import anomaly

EXAMPLES = 15
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def document() -> dict[str, Any]:
    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return found


def operations() -> list[tuple[str, str]]:
    return [(method, path) for path, found in document()["paths"].items() for method in found]


def test_the_document_is_valid_and_complete() -> None:
    GENERATOR_STATS.reset()
    found = document()
    validate_schema(found)
    assert not GENERATOR_STATS, "drf-spectacular had to guess"
    names = {operation["operationId"] for methods in found["paths"].values() for operation in methods.values()}
    assert {
        "flows_list",
        "milestones_list",
        "expectations_list",
        "incidents_resolve_create",
        "receipts_create",
    } <= names
    for methods in found["paths"].values():
        for operation in methods.values():
            assert "Scope: `" in operation["description"] or "Any caller." in operation["description"]


@pytest.fixture
def token(db: None) -> Iterator[tuple[str, World]]:
    world = build()
    # as Django's own test client does: a request must not end the connection the test's transaction lives on
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    _reported()
    yield bearer()[1], world
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def _reported() -> None:
    """An objective under the slug that is tried, and a frozen month with a file."""
    Objective.objects.create(slug="metalworks-feed", name="ASNs in time", target=98)
    ContractTerm.objects.create(slug="metalworks-feed", name="Late", basis="per_event", amount=5, currency="EUR")
    SlaRule.objects.create(
        slug="metalworks-feed", name="R", flow_slug="purchase", milestone="asn", spec={"due": {"date": "eta"}}
    )
    Calendar.objects.create(
        slug="metalworks-feed", name="C", spec={"zone": "UTC", "weekly": {"mon": [["08:00", "17:00"]]}}
    )
    Schedule.objects.create(name="Bosses", roles=["manager"], formats=["pdf"], created_at=clock.now())
    WaiverRequest.objects.create(
        expectation=Expectation.objects.first(),
        reason="Strike",
        asked_at=clock.now(),
        asked_by=User.objects.create(username="ada"),
    )
    first = archive.last_closed(clock.now())
    frozen = Archive.objects.create(month=first, zone="UTC", frozen_at=clock.now(), document={}, sha256="0" * 64)
    ArchiveFile.objects.create(archive=frozen, kind="csv", body=b"a,b\r\n", sha256="0" * 64)


def _cause() -> CauseGroup:
    now = clock.now()
    return CauseGroup.objects.create(
        fingerprint="11111111-1111-1111-1111-111111111111", name="DESADV silent", sentence="2 late", gain=9, units=2,
        shape=[["partner", "p"]], findings=1, elsewhere=0.1, since=now, found_at=now, seen_at=now,
    )  # fmt: skip


def _worlds_own(path: str, world: World) -> dict[str, Any]:
    """Numbers that exist, so that not every try is a 404."""
    if "/reports/archive/{id}" in path:
        return {"id": Archive.objects.get().pk, "kind": "csv"}
    if "/reports/months/{month}" in path:
        return {"month": "2026-03", "slug": "metalworks"}
    if "/schedules/{id}" in path:
        kept = Schedule.objects.first() or Schedule.objects.create(name="B", formats=["pdf"], created_at=clock.now())
        return {"id": kept.pk}
    if "/receipts/{id}" in path:
        return {"id": world.own.receipt, "slug": "metalworks-feed"}
    if "{version}" in path:
        return {"slug": "metalworks-feed", "version": 1}
    if "{slug}" in path:
        return {"slug": "metalworks-feed"}
    if "{id}" not in path:
        return {}
    part = path.split("/")[3]
    if part == "waivers":
        return {"id": WaiverRequest.objects.get().pk}
    if part == "anomalies":
        return {"id": (Anomaly.objects.first() or anomaly(1)).pk}
    if part == "causes":
        return {"id": (CauseGroup.objects.first() or _cause()).pk}
    side = {"flows": world.own.flow, "incidents": world.own.incident, "expectations": world.own.expectation}[part]
    return {"id": side.pk}


@pytest.mark.parametrize(("method", "path"), operations(), ids=lambda value: value)
@override_settings(API_REQUESTS_PER_MINUTE=10**9, API_DELIVERIES_PER_MINUTE=10**9)
def test_schemathesis_finds_nothing(token: tuple[str, World], method: str, path: str) -> None:
    secret, world = token
    schema = schemathesis.openapi.from_dict(document())
    schema.app = get_wsgi_application()
    operation = schema[path][method.upper()]
    statuses: set[int] = set()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), real=st.booleans())
    def attempt(case: Any, real: bool) -> None:
        if real:
            case.path_parameters = {**(case.path_parameters or {}), **_worlds_own(path, world)}
        response = case.call(headers={"Authorization": f"Bearer {secret}"})
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    attempt()
    assert statuses - {404}, "no try reached anything"


def test_the_document_is_for_callers_only(db: None) -> None:
    world = build()
    assert person("operations").get("/api/v1/schema/").status_code == 200
    assert person("partner", world.own.partner).get("/api/v1/schema/").status_code == 200
    page = person("manager").get("/api/v1/docs/")
    assert page.status_code == 200
    text = page.content.decode()
    assert "<style" not in text
    assert "http://" not in text.replace("http://testserver", "")
    assert "https://" not in text
