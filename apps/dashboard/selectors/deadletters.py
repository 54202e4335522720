"""Dead letters by cause, one by one, and one receipt; orphans and conflicts: events that are kept but told no story yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Max, Min, Q, QuerySet

from apps.accounts.models import User
from apps.collectors import deadletters
from apps.collectors.contract import COLLECTORS
from apps.collectors.faults import Fault, fault_of
from apps.collectors.models import DeadLetter, Receipt, ReceiptState
from apps.dashboard.selectors import cursors
from apps.flows.canonical import Reference, key_of
from apps.flows.catalogue import label_of_event, label_of_reference
from apps.flows.models import Event, Flow, FlowReference, Orphan
from apps.integrations.models import Integration

PAGE = 50
#: causes listed; more than so many at once is one trouble with many faces, and the filter narrows it
CAUSES = 100
#: how far back conflicts are looked for
CONFLICT_DAYS = 90
EXCERPT = 20_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader wants to see; all texts, '' means any. cause: integration and code together."""

    integration: str = ""
    code: str = ""
    severity: str = ""
    state: str = "open"
    q: str = ""
    cause: str = ""
    after: str = ""

    @classmethod
    def read(cls, query: Any) -> Asked:
        texts = {name: query.get(name, "")[:160].strip() for name in cls.__dataclass_fields__}
        if texts["state"] not in DeadLetter.State.values:
            texts["state"] = "open"
        return cls(**texts)

    def address(self, **changed: str) -> str:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__} | {"after": ""} | changed
        return "?" + urlencode({n: value for n, value in values.items() if value and (n, value) != ("state", "open")})

    @property
    def is_cause(self) -> bool:
        return bool(self.integration and self.code)

    @property
    def is_filter(self) -> bool:
        return bool(self.integration or self.code or self.severity or self.q or self.cause)

    def rows(self) -> QuerySet[DeadLetter]:
        found = deadletters.search(
            self.q, integration=self.integration, code=self.code, severity=self.severity, state=self.state
        )
        return found.filter(cause__startswith=self.cause) if self.cause else found

    @property
    def words(self) -> str:
        """The choice in words, for records."""
        parts = [self.code, f"of {self.integration}" if self.integration else "", f"with “{self.q}”" if self.q else ""]
        parts += [f"“{self.cause}”" if self.cause else "", f"({self.severity}s only)" if self.severity else ""]
        return " ".join(part for part in parts if part) or "all open dead letters"


@dataclass(slots=True)
class Cause:
    """Open dead letters of one integration with one code and one kind of sentence. sentence: of the newest of them."""

    integration: str
    slug: str
    code: str
    severity: str
    count: int
    oldest_at: datetime
    newest_at: datetime
    sentence: str
    href: str
    current: bool
    key: str
    fault: Fault


def causes(asked: Asked) -> list[Cause]:
    """What troubles us, most frequent first."""
    rows = (
        DeadLetter.objects.filter(state=DeadLetter.State.OPEN)
        .order_by()
        .values_list("integration__name", "integration__slug", "code", "cause")
        .annotate(
            n=Count("pk"), oldest=Min("created_at"), newest=Max("created_at"), last=Max("pk"), severity=Min("severity")
        )
        .order_by("-n", "integration__name", "code", "cause")[:CAUSES]
    )
    found = list(rows)
    sentences = dict(DeadLetter.objects.filter(pk__in=[row[7] for row in found]).values_list("pk", "sentence"))
    return [
        Cause(
            name,
            slug,
            code,
            severity,
            n,
            oldest,
            newest,
            sentences.get(last, ""),
            Asked(integration=slug, code=code, cause=cause.strip()).address(),
            (slug, code) == (asked.integration, asked.code) and asked.cause in ("", cause.strip()),
            f"cause-{slug}-{key_of(code, cause)}",
            fault_of(code),
        )
        for name, slug, code, cause, n, oldest, newest, last, severity in found
    ]


def letters(asked: Asked) -> tuple[list[DeadLetter], str]:
    """One page of dead letters, newest first, and the cursor of the next ('' at the end)."""
    rows = asked.rows().order_by("-pk").select_related("integration", "resolved_by")
    if asked.after.isdecimal() and len(asked.after) < 19:
        rows = rows.filter(pk__lt=int(asked.after))
    found = list(rows[: PAGE + 1])
    return found[:PAGE], str(found[PAGE - 1].pk) if len(found) > PAGE else ""


def chosen(asked: Asked, ids: Iterable[str], everything: bool) -> list[DeadLetter]:
    """The open dead letters a verb is for: those ticked, or all of the filter (at most `deadletters.MOST`)."""
    rows = asked.rows().filter(state=DeadLetter.State.OPEN)
    if not everything:
        rows = rows.filter(pk__in=[int(one) for one in ids if one.isdecimal() and len(one) < 19])
    return list(rows.order_by("pk")[: deadletters.MOST])


def chosen_receipts(asked: Asked, ids: Iterable[str], everything: bool) -> list[int]:
    """The receipts behind what a verb is for, each once; more than one run takes at most one too many, to be refused."""
    rows = asked.rows().filter(state=DeadLetter.State.OPEN)
    if not everything:
        rows = rows.filter(pk__in=[int(one) for one in ids if one.isdecimal() and len(one) < 19])
    return list(rows.order_by("receipt_id").values_list("receipt_id", flat=True).distinct()[: deadletters.MOST])


def dismissed_at(moment: str, user: User) -> tuple[datetime | None, int]:
    """(when, how many are still dismissed) of this person's dismissal at that very moment."""
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None, 0
    if at.tzinfo is None:
        return None, 0
    rows = DeadLetter.objects.filter(state=DeadLetter.State.DISMISSED, resolved_at=at, resolved_by=user)
    return at, rows.count()


# -- events without a flow, and events told twice -------------------------------------------------------------------


@dataclass(slots=True)
class Waiting:
    """An event as orphans and conflicts show it."""

    id: int
    label: str
    type: str
    source: str
    slug: str
    since: datetime
    happened_at: datetime
    references: list[tuple[str, str]]
    receipt_id: int | None
    position: str
    source_event_id: str
    flow: Flow | None = None


def orphans(type_: str, integration: str, after: str) -> tuple[list[Waiting], str]:
    """One page of orphans, those that wait longest first, and the cursor of the next."""
    rows = Orphan.objects.select_related("integration").order_by("since", "pk")
    if type_:
        rows = rows.filter(type=type_)
    if integration:
        rows = rows.filter(integration__slug=integration)
    if place := cursors.read(after):
        at, pk = place
        rows = rows.filter(Q(since__gt=at) | Q(since=at, pk__gt=pk))
    found = list(rows[: PAGE + 1])
    older = cursors.cursor(found[PAGE - 1].since, found[PAGE - 1].pk) if len(found) > PAGE else ""
    found = found[:PAGE]
    events = _events([(one.event_id, one.event_received_at) for one in found])
    return [
        _waiting(events[one.event_id], one.integration.name, one.integration.slug, one.since)
        for one in found
        if one.event_id in events
    ], older


def orphan_types() -> list[tuple[str, str, int]]:
    """(type, label, how many), most frequent first."""
    rows = Orphan.objects.order_by().values_list("type").annotate(n=Count("pk")).order_by("-n", "type")
    return [(name, label_of_event(name), n) for name, n in rows]


def conflicts(now: datetime, after: str) -> tuple[list[Waiting], str]:
    """Events told a second time with other content under the same id, newest first; both tellings are kept."""
    rows = Event.objects.filter(flags__gte=Event.CONFLICT, received_at__gte=now - timedelta(days=CONFLICT_DAYS))
    rows = rows.select_related("integration").order_by("-received_at", "-pk")
    if place := cursors.read(after):
        at, pk = place
        rows = rows.filter(Q(received_at__lt=at) | Q(received_at=at, pk__lt=pk))
    found = list(rows[: PAGE + 1])
    older = cursors.cursor(found[PAGE - 1].received_at, found[PAGE - 1].pk) if len(found) > PAGE else ""
    flows = _flows_of(found[:PAGE])
    listed = [_waiting(one, one.integration.name, one.integration.slug, one.received_at) for one in found[:PAGE]]
    for one in listed:
        one.flow = flows.get(one.id)
    return listed, older


def _events(places: Sequence[tuple[int, datetime]]) -> dict[int, Event]:
    if not places:
        return {}
    times = {at for _, at in places}
    rows = Event.objects.filter(
        pk__in=[pk for pk, _ in places], received_at__gte=min(times), received_at__lte=max(times)
    )
    return {event.pk: event for event in rows}


def _waiting(event: Event, source: str, slug: str, since: datetime) -> Waiting:
    return Waiting(
        id=event.pk,
        label=label_of_event(event.type),
        type=event.type,
        source=source,
        slug=slug,
        since=since,
        happened_at=event.happened_at,
        references=[(label_of_reference(kind), value) for kind, _, value in event.references],
        receipt_id=event.receipt_id,
        position=event.position,
        source_event_id=event.source_event_id,
    )


def _flows_of(events: Sequence[Event]) -> Mapping[int, Flow]:
    """event -> the first flow one of its references identifies."""
    keys = {
        event.pk: [Reference(kind, value, issuer).id for kind, issuer, value in event.references] for event in events
    }
    wanted = {key for own in keys.values() for key in own}
    found = dict(
        FlowReference.objects.filter(reference_id__in=wanted, own=True)
        .exclude(flow__status=Flow.Status.MERGED)
        .order_by("-flow_id")
        .values_list("reference_id", "flow_id")
    )
    flows = Flow.objects.in_bulk(set(found.values()))
    return {
        pk: flow for pk, own in keys.items() if (flow := next((flows[found[key]] for key in own if key in found), None))
    }


# -- one receipt ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ReceiptPage:
    """A delivery as it came and what became of it. text: the beginning of its body, read as UTF-8."""

    receipt: Receipt
    integration: Integration | None
    state: ReceiptState | None
    text: str
    cut: bool
    size: int
    sha256: str
    letters: list[DeadLetter]
    events: list[tuple[Event, str, Flow | None]]


def receipt_page(pk: int) -> ReceiptPage | None:
    receipt = Receipt.objects.filter(pk=pk).first()
    if receipt is None:
        return None
    body = bytes(receipt.body)
    text = body[: EXCERPT * 4].decode("utf-8", "replace")[:EXCERPT]
    cut = len(body) > len(text.encode("utf-8", "replace"))
    integration = Integration.objects.filter(pk=receipt.integration_id).select_related("partner").first()
    kind = COLLECTORS.plugins.get(integration.kind) if integration else None
    events = list(
        Event.objects.filter(receipt_id=pk, received_at=receipt.received_at).order_by("happened_at", "pk")[:PAGE]
    )
    flows = _flows_of(events)
    return ReceiptPage(
        receipt=receipt,
        integration=integration,
        state=ReceiptState.objects.filter(pk=pk).first(),
        text=kind.shown(text) if kind else text,
        cut=cut,
        size=len(body),
        sha256=bytes(receipt.sha256).hex(),
        letters=list(DeadLetter.objects.filter(receipt_id=pk).select_related("resolved_by")[:PAGE]),
        events=[(event, label_of_event(event.type), flows.get(event.pk)) for event in events],
    )
