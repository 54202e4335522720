"""Liveness, readiness and metrics: what they say when all is well, and that they say something when it is not."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection, connections
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone

from apps.collectors.models import DoorRefusal, ReceiptState
from apps.core import health, heartbeats, metrics
from apps.core.middleware import ClientAddress, server_error
from apps.integrations.models import Integration, SourceState

NOW = datetime.datetime(2026, 3, 2, 12, 0, tzinfo=datetime.UTC)


@pytest.fixture
def database_away() -> Iterator[None]:
    """The server refuses connections; the connection of the test itself is put back afterwards."""
    kept = connections["default"]
    broken = kept.copy()
    broken.settings_dict = {**kept.settings_dict, "HOST": "127.0.0.1", "PORT": "1", "OPTIONS": {"connect_timeout": 1}}
    connections["default"] = broken
    yield
    connections["default"] = kept


@pytest.mark.django_db
def test_ready_when_everything_answers(client: Client) -> None:
    heartbeats.beat("sweep", NOW)
    answers = health.readiness(NOW + datetime.timedelta(seconds=20))
    assert {name: check.ok for name, check in answers.items()} == dict.fromkeys(
        ["database", "migrations", "broker", "sweep", "backlog"], True
    )
    assert answers["sweep"].facts["age_seconds"] == 20.0


@pytest.mark.django_db
def test_not_ready_without_a_recent_sweep(client: Client) -> None:
    assert not health.readiness(NOW)["sweep"].ok
    heartbeats.beat("sweep", NOW)
    late = health.readiness(NOW + datetime.timedelta(seconds=121))["sweep"]
    assert not late.ok
    assert "121 s ago" in late.says
    assert client.get("/readyz").status_code == 503
    assert client.get("/readyz?part=web").status_code == 200


@pytest.mark.django_db
def test_not_ready_when_receipts_wait_too_long() -> None:
    ReceiptState.objects.create(receipt_id=1, received_at=NOW, integration_id=1, next_at=NOW)
    assert health.check_backlog(NOW + datetime.timedelta(seconds=599)).ok
    behind = health.check_backlog(NOW + datetime.timedelta(seconds=601))
    assert not behind.ok
    assert behind.facts["waiting"] == 1


@pytest.mark.django_db
def test_not_ready_when_a_migration_is_missing() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'core' AND name = '0001_initial'")
    answer = health.check_migrations()
    assert not answer.ok
    assert "core.0001_initial" in answer.says


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "amqp://guest:guest@127.0.0.1:1//"])
def test_not_ready_when_the_broker_is_away(url: str) -> None:
    with override_settings(CELERY_BROKER_URL=url):
        answer = health.readiness(NOW, ("broker",))["broker"]
    assert not answer.ok
    assert "guest" not in answer.says


@pytest.mark.django_db
def test_a_broker_folder_that_is_gone_is_noticed() -> None:
    with override_settings(CELERY_BROKER_TRANSPORT_OPTIONS={"data_folder_out": "/nonexistent/messages"}):
        assert not health.readiness(NOW, ("broker",))["broker"].ok


@pytest.mark.django_db
@pytest.mark.usefixtures("database_away")
def test_without_the_database_everything_still_answers() -> None:
    client = Client()
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert not checks["database"]["ok"]
    assert checks["broker"]["ok"]
    text = client.get("/metrics").content.decode()
    assert "tower_database_up 0.0" in text
    assert "tower_receipts_waiting" not in text


@pytest.mark.django_db
@pytest.mark.usefixtures("database_away")
def test_a_page_without_the_database_is_503_and_says_when_to_come_back() -> None:
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = "x" * 32
    answer = client.get("/admin/", HTTP_ACCEPT="text/html")
    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"


def test_a_mistake_of_ours_is_500_not_503() -> None:
    request = RequestFactory().get("/")
    for mistake, status in [(ValueError("x"), 500), (OperationalError("gone"), 503)]:
        try:
            raise mistake
        except Exception:
            assert server_error(request).status_code == status


@pytest.mark.django_db
def test_metrics_tell_the_state_of_the_tower(client: Client) -> None:
    heartbeats.beat("sweep", NOW)
    text = client.get("/metrics").content.decode()
    for name in [*(gauge[0] for gauge in metrics.GAUGES if not gauge[3]), 'tower_heartbeat_age_seconds{part="sweep"}']:
        assert f"\n{name} " in text
    assert "tower_database_up 1.0" in text
    assert "django_http_requests_before_middlewares_total" in text


@pytest.mark.django_db
def test_metrics_count_what_the_doors_turned_away(client: Client) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    for hours, count in ((0, 3), (30, 50)):
        DoorRefusal.objects.create(hour=hour - datetime.timedelta(hours=hours), reason="not_authentic", count=count)
    text = client.get("/metrics").content.decode()
    assert 'tower_door_refusals_recent{reason="not_authentic"} 3.0' in text


@pytest.mark.django_db
def test_metrics_tell_what_waits_in_foreign_channels(client: Client) -> None:
    queue = Integration.objects.create(slug="wms-queue", name="WMS queue", kind="amqp")
    SourceState.objects.create(integration=queue, cursor={"channel": {"waiting": 12, "dead_letters": 3}})
    SourceState.objects.create(integration=Integration.objects.create(slug="shop", name="Shop", kind="webhook"))
    text = client.get("/metrics").content.decode()
    assert 'tower_channel_waiting{integration="wms-queue"} 12.0' in text
    assert 'tower_channel_dead_letters{integration="wms-queue"} 3.0' in text
    assert 'integration="shop"' not in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        ("", {}, 200),
        ("", {"REMOTE_ADDR": "192.0.2.7"}, 404),
        ("", {"HTTP_X_FORWARDED_FOR": "192.0.2.7"}, 404),
        ("s3cret", {}, 404),
        ("s3cret", {"HTTP_AUTHORIZATION": "Bearer wrong"}, 404),
        ("s3cret", {"HTTP_AUTHORIZATION": "Bearer s3crét"}, 404),
        ("s3cret", {"HTTP_AUTHORIZATION": "Bearer s3cret", "REMOTE_ADDR": "192.0.2.7"}, 200),
    ],
)
def test_metrics_are_for_this_machine_or_who_has_the_token(
    client: Client, token: str, headers: dict[str, str], status: int
) -> None:
    with override_settings(METRICS_TOKEN=token):
        assert client.get("/metrics", **headers).status_code == status  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        (0, "198.51.100.1", "127.0.0.1"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (2, "203.0.113.9, 198.51.100.1, 10.0.0.1", "198.51.100.1"),
        (2, "198.51.100.1", "127.0.0.1"),
        (1, "", "127.0.0.1"),
    ],
)
def test_only_what_trusted_proxies_wrote_is_believed(proxies: int, forwarded: str, seen: str) -> None:
    found = []
    request = RequestFactory().get("/", HTTP_X_FORWARDED_FOR=forwarded)
    with override_settings(TRUSTED_PROXIES=proxies):
        ClientAddress(lambda r: found.append(r.META["REMOTE_ADDR"]))(request)  # type: ignore[arg-type, func-returns-value]
    assert found == [seen]
