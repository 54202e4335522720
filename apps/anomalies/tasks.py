"""What beat asks of the detectors."""

from __future__ import annotations

from celery import shared_task

from apps.anomalies import deadlines, drifts, feeds, metrics, paths, priority, schemas
from apps.anomalies.grouping import keeping
from apps.anomalies.reconciliation import rounds
from apps.anomalies.risk import keeping as risk
from apps.core import clock


@shared_task(name="anomalies.tick")
def tick(*, now: str | None = None) -> None:
    """One round of the detectors; now: ISO 8601, else the present."""
    feeds.tick(clock.parse_moment(now) if now else clock.now())


@shared_task(name="anomalies.causes")
def causes(*, now: str | None = None) -> None:
    """One round of grouping to the probable cause; then every incident is reckoned anew."""
    at = clock.parse_moment(now) if now else clock.now()
    keeping.run(at)
    priority.run(at)


@shared_task(name="anomalies.reconcile")
def reconcile(*, now: str | None = None) -> None:
    """One round over the declared pairs that must agree."""
    rounds.run(clock.parse_moment(now) if now else clock.now())


@shared_task(name="anomalies.deadlines")
def tell_deadlines(*, now: str | None = None) -> None:
    """What is slower than its like is told; new flows get their deadlines."""
    deadlines.tick(clock.parse_moment(now) if now else clock.now())


@shared_task(name="anomalies.metrics")
def sample_metrics(*, now: str | None = None) -> None:
    """The values of the last half-hour are taken, once, and judged; so are the fields of the last messages."""
    at = clock.parse_moment(now) if now else clock.now()
    metrics.tick(at)
    schemas.run(at)


@shared_task(name="anomalies.learn")
def learn() -> None:
    """Laws older than a day are fitted anew, all deadlines refreshed, what ended compared with its like."""
    now = clock.now()
    deadlines.learn(now)
    drifts.run(now)
    paths.run(now)


@shared_task(name="anomalies.risk_fit")
def risk_fit(*, now: str | None = None) -> None:
    """Every night: how long each stage lasts, and whether a model may say so."""
    risk.fit_all(clock.parse_moment(now) if now else clock.now())


@shared_task(name="anomalies.risk")
def score_risk(*, now: str | None = None) -> None:
    """Scores open flows."""
    risk.score_all(clock.parse_moment(now) if now else clock.now())
