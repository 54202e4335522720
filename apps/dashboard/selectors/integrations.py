"""Integrations as people see them: how well each is heard, what is wrong, how to send to it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet, Sum

from apps.anomalies.models import FeedCount
from apps.collectors.contract import COLLECTORS, Collector
from apps.collectors.models import DeadLetter, DoorRefusal, Receipt, ReceiptState
from apps.dashboard.selectors.health import Gap, Health, gaps, health, quiet
from apps.dashboard.selectors.sending import Sending, sending
from apps.integrations.models import ChangeMarker, Credential, Integration, SourceState

HOURS = 24
RECENT = 20
LISTED = 500
#: state -> (word of the state, label)
STATES = {
    "heard": ("on-time", "heard"),
    "stale": ("unknown", "unheard"),
    "quiet": ("at-risk", "quieter than usual"),
    "failing": ("late", "failing"),
    "never": ("open", "never heard"),
    "off": ("waived", "off"),
}


@dataclass(slots=True)
class Line:
    """One integration in the list."""

    integration: Integration
    kind: str
    state: str
    word: str
    label: str
    last_received_at: datetime | None
    last_error: str
    last_error_at: datetime | None
    since: datetime | None
    dead: int = 0
    volume: int = 0
    spark: list[int] = field(default_factory=list)
    gap: Gap | None = None

    def take(self, name: str) -> None:
        """Another state of `STATES`."""
        self.state, (self.word, self.label) = name, STATES[name]


def state_of(integration: Integration, state: SourceState | None) -> str:
    """One of `STATES`. What is off is off; else a failing poll weighs more than silence."""
    if not integration.enabled:
        return "off"
    if state is None or (state.last_received_at is None and not state.failures):
        return "never" if state is None or state.stale_since is None else "stale"
    if state.failures:
        return "failing"
    return "stale" if state.stale_since else "heard"


def lines(now: datetime, *, q: str = "", kind: str = "", state: str = "") -> list[Line]:
    """Integrations, those in trouble first, in a fixed number of statements."""
    rows = Integration.objects.select_related("partner", "system", "team", "state")
    if kind:
        rows = rows.filter(kind=kind)
    if q:
        rows = rows.filter(name__icontains=q) | rows.filter(partner__name__icontains=q) | rows.filter(slug__icontains=q)
    found = [_line(one) for one in rows[:LISTED]]
    _mark_quiet(found, now)
    if state:
        found = [line for line in found if line.state == state]
    dead = dict(
        DeadLetter.objects.filter(state=DeadLetter.State.OPEN)
        .order_by()
        .values_list("integration_id")
        .annotate(n=Count("pk"))
    )
    sparks = volumes(now)
    for line in found:
        line.dead = dead.get(line.integration.pk, 0)
        line.spark = sparks.get(line.integration.pk, [])
        line.volume = sum(line.spark)
    order = ["failing", "stale", "quiet", "heard", "never", "off"]
    return sorted(found, key=lambda line: (order.index(line.state), line.integration.name.lower()))


def _line(integration: Integration) -> Line:
    state = getattr(integration, "state", None)
    name = state_of(integration, state)
    word, label = STATES[name]
    return Line(
        integration=integration,
        kind=label_of_kind(integration.kind),
        state=name,
        word=word,
        label=label,
        last_received_at=state.last_received_at if state else None,
        last_error=state.last_error if state else "",
        last_error_at=state.last_error_at if state else None,
        since=state.stale_since if state else None,
    )


def _mark_quiet(found: list[Line], now: datetime) -> None:
    """Usual gaps for all of them, and who is quieter than that."""
    known = gaps([line.integration.pk for line in found])
    heard = {line.integration.pk: line.last_received_at for line in found if line.state == "heard"}
    silent = quiet([line.integration for line in found if line.state == "heard"], heard, known, now)
    for line in found:
        line.gap = known.get(line.integration.pk)
        if line.integration.pk in silent:
            line.take("quiet")


def label_of_kind(kind: str) -> str:
    plugin = COLLECTORS.plugins.get(kind)
    return plugin.label if plugin else f"{kind} (not installed)"


def volumes(now: datetime, integration_id: int | None = None) -> dict[int, list[int]]:
    """integration -> events in each of the last 24 hours, oldest first."""
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    rows: QuerySet[FeedCount] = FeedCount.objects.filter(hour__gte=start, hour__lte=now)
    if integration_id is not None:
        rows = rows.filter(integration_id=integration_id)
    counts: dict[int, list[int]] = defaultdict(lambda: [0] * HOURS)
    for pk, hour, n in rows.order_by().values_list("integration_id", "hour").annotate(n=Sum("n")):
        counts[pk][int((hour - start).total_seconds() // 3600)] += n
    return counts


@dataclass(slots=True)
class Recent:
    """One receipt, without its body."""

    id: int
    received_at: datetime
    door: str
    word: str
    label: str
    state: ReceiptState


@dataclass(slots=True)
class IntegrationPage:
    line: Line
    collector: Collector | None
    sending: Sending
    #: it sends and is read besides: it has secrets for both
    two_ways: bool
    recent: list[Recent]
    markers: list[dict[str, Any]]
    refusals: list[tuple[str, int]]
    settings: list[tuple[str, str]]
    waiting: int
    spark: list[int]
    health: Health


def integration_page(integration: Integration, now: datetime) -> IntegrationPage:
    """Everything on an integration's page but its credentials."""
    line = _line(integration)
    line.dead = DeadLetter.objects.filter(state=DeadLetter.State.OPEN, integration=integration).count()
    spark = volumes(now, integration.pk).get(integration.pk, [])
    line.volume = sum(spark)
    collector = COLLECTORS.plugins.get(integration.kind)
    found = health(integration, now)
    if found.quiet and line.state == "heard":
        line.take("quiet")
    return IntegrationPage(
        health=found,
        line=line,
        collector=collector,
        sending=sending(integration, collector),
        two_ways=collector is not None and collector.has_door and collector.polls,
        recent=recent(integration),
        markers=[
            {"at": one.at, "who": one.actor_name, "what": one.text, "icon": _icon(one.kind), "key": f"m{one.pk}"}
            for one in ChangeMarker.objects.filter(integration=integration)[:RECENT]
        ],
        refusals=_refusals(integration, now),
        settings=[(name.replace("_", " "), _words(value)) for name, value in sorted(integration.settings.items())],
        waiting=ReceiptState.objects.filter(integration=integration, status=ReceiptState.Status.WAITING).count(),
        spark=spark,
    )


def _icon(kind: str) -> str:
    return "key" if kind.startswith("credential") else "pause" if kind.endswith("disabled") else "settings"


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _refusals(integration: Integration, now: datetime) -> list[tuple[str, int]]:
    """Why the door turned senders away in the last day, and how often."""
    rows = DoorRefusal.objects.filter(integration=integration, hour__gte=now - timedelta(days=1)).order_by()
    return [
        (reason.replace("_", " "), n)
        for reason, n in rows.values_list("reason").annotate(n=Sum("count")).order_by("-n")
    ]


def recent(integration: Integration) -> list[Recent]:
    """The last receipts, newest first."""
    states = list(ReceiptState.objects.filter(integration=integration).order_by("-receipt_id")[:RECENT])
    if not states:
        return []
    times = {state.received_at for state in states}
    rows = Receipt.objects.filter(
        pk__in=[state.receipt_id for state in states], received_at__gte=min(times), received_at__lte=max(times)
    )
    doors = dict(rows.values_list("pk", "door"))
    words = {"done": ("done", "processed"), "dead": ("late", "dead letter"), "waiting": ("open", "waiting")}
    found = []
    for state in states:
        word, label = words[str(state.status)]
        if state.status == "done" and state.issues:
            word, label = "at-risk", "read in part" if state.events or state.duplicates else "nothing read"
        found.append(Recent(state.receipt_id, state.received_at, doors.get(state.receipt_id, ""), word, label, state))
    return found


def credentials(integration: Integration, now: datetime) -> list[tuple[Credential, str, str]]:
    """(credential, word of its state, label), newest first."""
    found = []
    for one in Credential.objects.filter(integration=integration).order_by("-created_at", "-pk")[:RECENT]:
        if one.revoked_at:
            state = ("waived", "revoked")
        elif one.expires_at and one.expires_at <= now:
            state = ("waived", "ended")
        elif one.expires_at:
            state = ("at-risk", "replaced")
        else:
            state = ("on-time", "current")
        found.append((one, *state))
    return found


def counts_by_state(found: list[Line]) -> Mapping[str, int]:
    totals: dict[str, int] = dict.fromkeys(STATES, 0)
    for line in found:
        totals[line.state] += 1
    return totals
