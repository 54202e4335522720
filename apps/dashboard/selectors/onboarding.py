"""How far a new integration has come: secret, first message, what was read from it, the first flow, live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum

from apps.collectors.contract import COLLECTORS, Collector
from apps.collectors.models import DeadLetter, DoorRefusal, ReceiptState
from apps.collectors.replay_verdicts import new_events
from apps.dashboard.selectors.sending import Sending, sending
from apps.flows.models import Flow, Orphan
from apps.integrations.models import Credential, Integration

#: the last receipts that are looked at for the first flow
LOOKED_AT = 50
_DONE, _NOW, _LATER = "is-done", "is-now", "is-later"


@dataclass(frozen=True, slots=True)
class Progress:
    """state of each step: 'is-done', 'is-now' or 'is-later'."""

    collector: Collector | None
    sending: Sending
    secret: bool
    received: int
    first: ReceiptState | None
    last: ReceiptState | None
    letters: list[DeadLetter]
    refused: list[tuple[str, int]]
    told: int
    flows: list[Flow]
    waiting: int
    error: str
    steps: dict[str, str]

    @property
    def has_door(self) -> bool:
        return bool(self.sending.address)

    @property
    def takes_mapping(self) -> bool:
        return bool(self.collector and self.collector.takes_mapping)


def progress(integration: Integration, now: datetime) -> Progress:
    collector = COLLECTORS.plugins.get(integration.kind)
    how = sending(integration, collector)
    states = list(ReceiptState.objects.filter(integration=integration).order_by("-receipt_id")[:LOOKED_AT])
    first = ReceiptState.objects.filter(integration=integration).order_by("receipt_id").first() if states else None
    last = states[0] if states else None
    letters = (
        list(DeadLetter.objects.filter(receipt_id=last.receipt_id, state="open").order_by("severity", "pk")[:3])
        if last
        else []
    )
    flows = _flows([one for one in states if one.events])
    secret = Credential.objects.live(now).filter(integration=integration).exists()
    source = getattr(integration, "state", None)
    told = sum(one.events + one.duplicates for one in states)
    live = integration.lifecycle == Integration.Lifecycle.LIVE
    reached = {
        "secret": secret or (not how.address and not (collector and collector.polls)),
        "message": bool(states),
        "mapping": told > 0,
        "flow": bool(flows),
        "live": live,
    }
    return Progress(
        collector=collector,
        sending=how,
        secret=secret,
        received=len(states),
        first=first,
        last=last,
        letters=letters,
        refused=_refused(integration, now) if not states else [],
        told=told,
        flows=flows,
        waiting=Orphan.objects.filter(integration=integration).count() if told and not flows else 0,
        error=source.last_error if source and source.failures else "",
        steps=_steps(reached),
    )


def _steps(reached: dict[str, bool]) -> dict[str, str]:
    """The first step that is not done is the one to do now."""
    found, is_next = {}, True
    for name, done in reached.items():
        found[name] = _DONE if done else _NOW if is_next else _LATER
        is_next = is_next and done
    return found


def _flows(states: list[ReceiptState]) -> list[Flow]:
    """The first flows its last messages tell of."""
    if not states:
        return []
    events = new_events([one.receipt_id for one in states], 0, min(one.received_at for one in states))
    ids = {flow for own in events.values() for flows in own.values() for flow in flows}
    return list(Flow.objects.filter(pk__in=ids).order_by("pk")[:3])


def _refused(integration: Integration, now: datetime) -> list[tuple[str, int]]:
    """Why the door turned senders away lately: what is wrong while one waits for the first message."""
    rows = DoorRefusal.objects.filter(integration=integration, hour__gte=now - timedelta(hours=2)).order_by()
    found = rows.values_list("reason").annotate(n=Sum("count")).order_by("-n")
    return [(reason.replace("_", " "), n) for reason, n in found]
