"""What a partner sees: its own promises and nothing else. Everything is read inside the partner's database scope."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count, Q

from apps.core.scoping import partner_scope
from apps.flows.models import Flow
from apps.flows.registry import load
from apps.incidents.models import Finding
from apps.integrations.maintenance import Announcement, announced
from apps.integrations.models import Integration, Partner
from apps.reports import rollups, scores
from apps.reports.figures import Counts, month, total
from apps.reports.scores import Card
from apps.sla.explaining import sentence
from apps.sla.models import Expectation, PartnerReply

#: how many items a list shows at once
LIST = 50
MONTHS = 4
#: so far ahead maintenance is announced
ANNOUNCED_AHEAD = timedelta(days=14)
CARD_MONTHS = 13


@dataclass(frozen=True, slots=True)
class Item:
    """One thing we expect from the partner. id: of the expectation; state: as the design system names it."""

    id: int
    reference: str
    what: str
    flow: str
    state: str
    due_at: datetime
    sentence: str
    replied_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """One of the partner's own connections."""

    name: str
    last_received_at: datetime | None
    stale_since: datetime | None


@dataclass(frozen=True, slots=True)
class Score:
    """Promises kept in one month."""

    label: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class Status:
    """A partner's page. The counts are of everything, the lists show their first. paused: clocks that stand still

    although we hear the partner.
    """

    name: str
    zone: str
    late: list[Item]
    risky: list[Item]
    expected: list[Item]
    not_known: list[Item]
    unknown: int
    paused: int
    late_count: int
    risky_count: int
    expected_count: int
    feeds: list[Feed]
    scores: list[Score]
    open_flows: int
    announcements: list[Announcement]


def status(partner_id: int, now: datetime) -> Status:
    """The partner's page as of now, in the partner's zone."""
    replied = dict(
        PartnerReply.objects.filter(partner_id=partner_id, expectation__settled_at=None)
        .order_by("at")
        .values_list("expectation_id", "at")
    )
    catalogue = load().catalogue
    owed = {
        (definition.id, milestone.name): milestone.label
        for versions in catalogue.versions.values()
        for definition in versions
        for milestone in definition.milestones
        if not milestone.ours
    }
    with partner_scope(partner_id):
        partner = Partner.objects.get(pk=partner_id)
        ours = {(definition_id, name) for definition_id, name in owed}
        counts = _counts(ours)
        lists = {
            name: [
                _item(row, owed[row.definition_id, row.milestone], replied.get(row.pk))
                for row in Expectation.objects.live()
                .filter(which, _owed(ours))
                .select_related("flow", "definition")
                .order_by("due_at", "id")[:LIST]
            ]
            for name, which in WHICH.items()
            if counts[name]
        }
        feeds = [
            Feed(
                one.name,
                one.state.last_received_at if hasattr(one, "state") else None,
                one.state.stale_since if hasattr(one, "state") else None,
            )
            for one in Integration.objects.filter(enabled=True).select_related("state")
        ]
        scores = _scores(now, partner.time_zone)
        open_flows = Flow.objects.open().count()
        announcements = announced(now, ANNOUNCED_AHEAD)
    return Status(
        name=partner.name,
        zone=partner.time_zone,
        late=lists.get("late", []),
        risky=lists.get("risky", []),
        expected=lists.get("expected", []),
        not_known=lists.get("unknown", []) + lists.get("paused", []),
        unknown=counts["unknown"],
        paused=counts["paused"],
        late_count=counts["late"],
        risky_count=counts["risky"],
        expected_count=counts["expected"],
        feeds=feeds,
        scores=scores,
        open_flows=open_flows,
        announcements=announcements,
    )


#: what stands where on the page; nothing stands twice
WHICH = {
    "late": Q(state="BREACHED"),
    "risky": Q(state="PENDING", at_risk=True),
    "expected": Q(state="PENDING", at_risk=False),
    "unknown": Q(state="SUSPENDED", paused=""),
    "paused": Q(state="SUSPENDED") & ~Q(paused=""),
}


def _owed(places: Iterable[tuple[int, str]]) -> Q:
    """Milestones the partner owes: (definition, name)."""
    by_name: dict[str, list[int]] = {}
    for definition_id, name in sorted(places):
        by_name.setdefault(name, []).append(definition_id)
    wanted = Q(pk__in=[])
    for name, definitions in by_name.items():
        wanted |= Q(milestone=name, definition_id__in=definitions)
    return wanted


def _counts(places: Iterable[tuple[int, str]]) -> dict[str, int]:
    found: dict[str, int] = (
        Expectation.objects.live()
        .filter(_owed(places))
        .aggregate(**{name: Count("pk", filter=which) for name, which in WHICH.items()})
    )
    return found


def _item(row: Expectation, label: str, replied_at: datetime | None) -> Item:
    state = "at-risk" if row.at_risk and row.state == "PENDING" else row.state
    return Item(
        row.pk,
        row.flow.label,
        label,
        row.definition.name,
        state,
        row.due_at,
        sentence(row.origin, row.due_at),
        replied_at,
    )


def _scores(now: datetime, zone: str) -> list[Score]:
    """This month and those before it, oldest first."""
    local = now.astimezone(ZoneInfo(zone))
    year, number = local.year, local.month
    found: list[Score] = []
    for _ in range(MONTHS):
        span = month(year, number, zone)
        found.append(Score(f"{datetime(year, number, 1):%b %Y}", total(span)))
        year, number = (year - 1, 12) if number == 1 else (year, number - 1)
    return found[::-1]


def scorecard(partner_id: int, wanted: str, now: datetime) -> tuple[str, str, Card, list[date]]:
    """(the partner's name and kind, its card of a month (YYYY-MM, else this one), the months to choose from)."""
    with partner_scope(partner_id):
        partner = Partner.objects.get(pk=partner_id)
        today = now.astimezone(ZoneInfo(rollups.zone())).date().replace(day=1)
        months = scores.months_before(today, CARD_MONTHS)[::-1]
        first = next((one for one in months if f"{one:%Y-%m}" == wanted), today)
        return partner.name, partner.get_kind_display(), scores.card(partner.pk, partner.kind, first), months


def visible_expectation(partner_id: int, expectation_id: int) -> Expectation | None:
    """An expectation of this partner, or None: another's looks like a missing one."""
    with partner_scope(partner_id):
        return Expectation.objects.filter(pk=expectation_id).select_related("flow").first()


def sentence_of(status: Status) -> tuple[str, str]:
    """(state, one sentence) for the top of the page."""
    if status.late_count:
        things = "item is" if status.late_count == 1 else "items are"
        return "late", f"{status.late_count} {things} late."
    unheard = [feed.name for feed in status.feeds if feed.stale_since]
    if status.unknown or unheard:
        return "unknown", "We cannot hear you at the moment, so we do not know whether anything is late."
    if status.risky_count:
        things = "item is" if status.risky_count == 1 else "items are"
        return "at-risk", f"{status.risky_count} {things} due soon."
    if status.paused:
        things = "item waits: its clock stands" if status.paused == 1 else "items wait: their clocks stand"
        return "unknown", f"{status.paused} {things} still. Nothing else is late."
    if not status.expected_count:
        return "unknown", "Nothing is expected from you at the moment."
    return "done", "Everything we expect from you is on time."


def finding_of(finding_id: int) -> Finding | None:
    """The finding an expectation raised; read by the tower itself, never shown to the partner."""
    return Finding.objects.filter(pk=finding_id).first()
