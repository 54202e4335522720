"""What the demo's people did just before the first look: maintenance, a mute, marked changes, labels. All relative to now."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from django.db import transaction

from apps.accounts.models import User
from apps.incidents import workflow
from apps.incidents.models import Incident
from apps.integrations import maintenance_plans
from apps.integrations.maintenance_models import MaintenanceWindow
from apps.integrations.models import ChangeMarker, Integration, Partner
from apps.simulator.faults import BERLIN

AUTHOR = "operations"
Kind = MaintenanceWindow.Kind
#: (so long ago, integration or "" for all, kind, text, who or what)
CHANGES = (
    (timedelta(hours=3), "middleware-traces", "deploy", "Connector for Bright Shop 4.2.1 deployed", "Build server"),
    (timedelta(hours=21), "rhein-wms", "contract", "Rhein sends TRUCK_LEFT once a truck, no longer once a pallet", ""),
    (timedelta(days=2, hours=5), "", "deploy", "Odoo updated to the newest point release", "Build server"),
)
#: kind of incident -> its label; others get the one for everything
LABELS = {"sla.breach": "promise", "source.stale": "silent-feed"}
#: so many incidents are labelled, the newest
LABELLED = 5


@transaction.atomic
def set_out(now: datetime) -> int:
    """Once, after the past is told. Returns how many incidents were labelled. Nothing without the demo's sign-ins."""
    author = User.objects.filter(username=AUTHOR).first()
    if author is None:
        return 0
    _windows(author, now)
    _changes(author, now)
    return _labels(author, now)


def _windows(author: User, now: datetime) -> None:
    evening = datetime.combine(now.astimezone(BERLIN).date() + timedelta(days=1), time(21), tzinfo=BERLIN)
    maintenance_plans.plan(
        maintenance_plans.Wanted(
            kind=Kind.MAINTENANCE,
            starts_at=evening,
            ends_at=evening + timedelta(hours=2),
            recurrence="FREQ=WEEKLY",
            time_zone=BERLIN.key,
            partners=list(Partner.objects.filter(slug="metalworks")),
            reason="The EDI gateway gets its weekly updates; messages wait at the provider meanwhile.",
            announce_to_partners=True,
            announcement="We update our EDI gateway. Send as usual: messages are taken afterwards, none is lost.",
        ),
        author,
        now,
    )
    maintenance_plans.plan(
        maintenance_plans.Wanted(
            kind=Kind.MUTE,
            starts_at=now,
            ends_at=now + timedelta(hours=12),
            time_zone=BERLIN.key,
            integrations=list(Integration.objects.filter(slug="edge-gateway")),
            reason="The gateway moves to new machines today: its log may stop and start again.",
        ),
        author,
        now,
    )


def _changes(author: User, now: datetime) -> None:
    known = {one.slug: one for one in Integration.objects.filter(slug__in=[slug for _, slug, *_ in CHANGES])}
    ChangeMarker.objects.bulk_create(
        ChangeMarker(
            at=now - ago, integration=known.get(slug), kind=kind, text=text, actor_name=who or author.display_name
        )
        for ago, slug, kind, text, who in CHANGES
        if not slug or slug in known
    )


def _labels(author: User, now: datetime) -> int:
    newest = Incident.objects.unresolved().order_by("-opened_at", "-id")[:LABELLED]
    done = 0
    for incident in newest:
        workflow.label(incident.pk, author, now, add=[LABELS.get(incident.kind, "to-look-at")])
        done += 1
    return done
