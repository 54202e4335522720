"""What beat asks of the ledger."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task

from apps.core import clock
from apps.sla import hop_norms, promises, rederiving
from apps.sla import sweep as sweeping

#: a worker has other work too
REDERIVE_FOR = timedelta(seconds=25)


@shared_task(name="sla.sweep")
def sweep(*, now: str | None = None) -> None:
    """One round of the sweep; now: ISO 8601, else the present."""
    sweeping.run(clock.parse_moment(now) if now else clock.now())


@shared_task(name="sla.promises", soft_time_limit=120, time_limit=150)
def keep_promises() -> None:
    """Opens, answers and ends what is promised for every period."""
    promises.keep(clock.now())


@shared_task(name="sla.rederive")
def rederive() -> None:
    """Notices changed rules and calendars, and judges open flows again for a while; the next tick goes on."""
    until = clock.now() + REDERIVE_FOR
    rederiving.notice(clock.now())
    while (row := rederiving.step(clock.now())) is not None and clock.now() < until:
        if row.finished_at is not None and rederiving.notice(clock.now()) is None:
            return


@shared_task(name="sla.learn_hops")
def learn_hops() -> None:
    """How long each hop usually takes, from the last weeks."""
    hop_norms.learn(clock.now())
