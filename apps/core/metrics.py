"""/metrics for Prometheus: Django's own counters and the state of the tower, read from the database when asked."""

from __future__ import annotations

import hmac
import ipaddress
import os
from collections.abc import Iterable, Iterator
from datetime import datetime

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.utils import Error
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from apps.core import heartbeats
from apps.core.policies import policy

logger = structlog.get_logger(__name__)

#: (name, help, SQL giving one number, or rows of label and number), label. Each reads a partial index.
GAUGES: list[tuple[str, str, str, str]] = [
    (
        "tower_receipts_waiting",
        "Receipts accepted and not yet processed",
        "SELECT count(*) FROM collectors_receiptstate WHERE status = 'waiting'",
        "",
    ),
    (
        "tower_receipts_oldest_seconds",
        "How long the oldest waiting receipt is due",
        "SELECT coalesce(greatest(extract(epoch FROM now() - min(next_at)), 0), 0)"
        " FROM collectors_receiptstate WHERE status = 'waiting'",
        "",
    ),
    (
        "tower_dead_letters_open",
        "Dead letters nobody has replayed or dismissed",
        "SELECT count(*) FROM collectors_deadletter WHERE state = 'open'",
        "",
    ),
    (
        "tower_incidents_open",
        "Incidents not resolved, by state",
        "SELECT state, count(*) FROM incidents_incident WHERE state <> 'resolved' GROUP BY state",
        "state",
    ),
    (
        "tower_outbox_waiting",
        "Lines of incident timelines not yet sent out",
        "SELECT count(*) FROM incidents_incidentevent WHERE notify AND dispatched_at IS NULL",
        "",
    ),
    (
        "tower_door_refusals_recent",
        "Deliveries the doors turned away in this hour and the one before, by reason",
        "SELECT reason, sum(count) FROM collectors_doorrefusal"
        " WHERE hour >= date_trunc('hour', now() - interval '1 hour') GROUP BY reason",
        "reason",
    ),
    (
        "tower_channel_waiting",
        "Messages a foreign queue or stream holds for us, as last read",
        "SELECT i.slug, (s.cursor->'channel'->>'waiting')::float FROM integrations_sourcestate s"
        " JOIN integrations_integration i ON i.id = s.integration_id"
        " WHERE s.cursor->'channel'->>'waiting' IS NOT NULL",
        "integration",
    ),
    (
        "tower_channel_dead_letters",
        "Messages in the dead-letter queue of a foreign channel, as last read",
        "SELECT i.slug, (s.cursor->'channel'->>'dead_letters')::float FROM integrations_sourcestate s"
        " JOIN integrations_integration i ON i.id = s.integration_id"
        " WHERE s.cursor->'channel'->>'dead_letters' IS NOT NULL",
        "integration",
    ),
    (
        "tower_sources_unheard",
        "Integrations that cannot be heard",
        "SELECT count(*) FROM integrations_sourcestate WHERE stale_since IS NOT NULL",
        "",
    ),
]


class TowerCollector(Collector):
    """Reads the gauges at scrape time; with the database away only tower_database_up (0) is told."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def collect(self) -> Iterable[Metric]:
        try:
            with transaction.atomic():
                found = list(self._read())
            up = 1
        except Error as problem:
            logger.warning("metrics_without_database", error=type(problem).__name__)
            found, up = [], 0
        return [GaugeMetricFamily("tower_database_up", "Whether the database answers", value=up), *found]

    def _read(self) -> Iterator[Metric]:
        with connection.cursor() as cursor:
            for name, text, statement, label in GAUGES:
                cursor.execute(statement)
                if not label:
                    yield GaugeMetricFamily(name, text, value=float(cursor.fetchone()[0]))
                    continue
                family = GaugeMetricFamily(name, text, labels=[label])
                for key, value in cursor.fetchall():
                    family.add_metric([str(key)], float(value))
                yield family
        beats = GaugeMetricFamily("tower_heartbeat_age_seconds", "Time since a part finished a round", labels=["part"])
        for part, age in heartbeats.ages(self.now).items():
            beats.add_metric([part], age.total_seconds())
        yield beats


def is_allowed(request: HttpRequest) -> bool:
    """With METRICS_TOKEN set: who sends it as bearer token. Else: who asks from this machine directly, not through a
    proxy (a proxy on the same machine would make everybody local)."""
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    if request.headers.get("X-Forwarded-For") or request.headers.get("Forwarded"):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


@policy("machine")
@require_safe
@never_cache
def export(request: HttpRequest) -> HttpResponse:
    """The metrics as text; 404 for whoever may not see them."""
    if not is_allowed(request):
        raise Http404
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.MultiProcessCollector(registry)
    else:
        registry.register(REGISTRY)
    registry.register(TowerCollector(timezone.now()))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
