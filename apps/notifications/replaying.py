"""Messages that were given up are sent once more, under the same id: one, some, or all of a channel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q

from apps.accounts import audit
from apps.accounts.models import ApiClient, User
from apps.notifications.models import Delivery

MOST = 1_000


@transaction.atomic
def replay(ids: Sequence[int] | None, actor: User | ApiClient | None, now: datetime, channel: str = "") -> int:
    """Puts given-up messages back with all their tries; how many. ids None: all, of one channel if it is named.

    What a bundle carried goes with its head. A call nobody needs any more (its incident is over) is dropped when its
    turn comes, unless it goes to a machine.
    """
    dead = Delivery.objects.filter(state=Delivery.State.DEAD, bundled_in=None)
    if ids is not None:
        dead = dead.filter(pk__in=ids)
    if channel:
        dead = dead.filter(channel=channel)
    heads = list(dead.order_by("id").select_for_update().values_list("pk", flat=True)[:MOST])
    if not heads:
        return 0
    Delivery.objects.filter(Q(pk__in=heads) | Q(bundled_in__in=heads), state=Delivery.State.DEAD).update(
        state=Delivery.State.WAITING, next_at=now, attempts_before=F("attempts"), lease_until=None
    )
    audit.record(actor, "deliveries.replayed", f"channel:{channel or 'any'}", None, {"messages": len(heads)}, now)
    return len(heads)
