"""What beat asks of the ledger."""

from __future__ import annotations

from celery import shared_task

from apps.core import clock
from apps.sla import hop_norms
from apps.sla import sweep as sweeping


@shared_task(name="sla.sweep")
def sweep(*, now: str | None = None) -> None:
    """One round of the sweep; now: ISO 8601, else the present."""
    sweeping.run(clock.parse_moment(now) if now else clock.now())


@shared_task(name="sla.learn_hops")
def learn_hops() -> None:
    """How long each hop usually takes, from the last weeks."""
    hop_norms.learn(clock.now())
