"""What people must hear about swaps of shifts: who is asked gets a link to answer, who asked hears the answer.

On call knows nothing of messages: it leaves a row of `SwapNews` with every deed, in the same transaction; this reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string

from apps.accounts.models import Role, User
from apps.core import wording
from apps.incidents.models import Severity
from apps.notifications.contract import CHANNELS, Message, News
from apps.notifications.keeping import OWN_MAIL
from apps.notifications.messages import own_id
from apps.notifications.models import Channel, Delivery
from apps.notifications.ways import Recipient, Ways
from apps.oncall.links import swap_url
from apps.oncall.models import Swap, SwapNews

Kind = SwapNews.Kind
State = Swap.State
BATCH = 100
#: a shift that begins sooner is news that does not wait for the morning
SOON = timedelta(hours=24)
#: kind of news -> states of the swap in which it still matters
NEEDED_WHILE = {
    Kind.ASKED: {State.ASKED},
    Kind.AGREED: {State.AGREED},
    Kind.DECLINED: {State.DECLINED},
    Kind.WITHDRAWN: {State.WITHDRAWN},
    Kind.UNDONE: {State.WITHDRAWN},
}


@transaction.atomic
def plan_swaps(now: datetime) -> int:
    """Turns news of swaps into waiting deliveries; returns how many rows it took. Any number may run at once."""
    rows = list(
        SwapNews.objects.filter(dispatched_at=None)
        .select_related("swap__schedule", "swap__asker", "swap__asked", "swap__answered_by", "actor")
        .order_by("id")
        .select_for_update(of=("self",), skip_locked=True, no_key=True)[:BATCH]
    )
    if not rows:
        return 0
    ways, rings = Ways(now), _ringing()
    deliveries = [
        _delivery(row, user, recipient, now)
        for row in rows
        for user in _concerned(row)
        for recipient in _by(ways, user, row.swap, rings, now)
    ]
    Delivery.objects.bulk_create(deliveries, ignore_conflicts=True)
    SwapNews.objects.filter(pk__in=[row.pk for row in rows]).update(dispatched_at=now)
    return len(rows)


def _ringing() -> set[str]:
    """Channels that wake people: only calls for help go over them."""
    kinds = [kind for kind, plugin in CHANNELS.plugins.items() if plugin.rings]
    return set(Channel.objects.filter(kind__in=kinds).values_list("slug", flat=True))


def _concerned(row: SwapNews) -> list[User]:
    """Who is to hear of it: never the one who did it."""
    swap = row.swap
    people: Iterable[User | None]
    if row.kind == Kind.ASKED and swap.asked is None:
        people = User.objects.filter(
            pk__in=swap.schedule.layers.values("members__user"), is_active=True
        ).order_by("pk")  # fmt: skip
    elif row.kind in (Kind.ASKED, Kind.WITHDRAWN):
        people = [swap.asked]
    elif row.kind == Kind.UNDONE:
        people = [swap.asker, swap.answered_by]
    else:
        people = [swap.asker]
    return [one for one in people if one is not None and one.pk != row.actor_id and one.role != Role.PARTNER]


def _by(ways: Ways, user: User, swap: Swap, rings: set[str], now: datetime) -> list[Recipient]:
    """A person's own channels and hours; a question put to a person reaches them by mail whatever they have muted."""
    severity = Severity.HIGH if swap.start - now < SOON else Severity.NORMAL
    found = [one for one in ways.to([user], severity) if one.channel not in rings]
    return found or ([Recipient(OWN_MAIL, user.email, user.pk)] if user.is_active and user.email else [])


def _delivery(row: SwapNews, user: User, recipient: Recipient, now: datetime) -> Delivery:
    subject, text = tell(row, user, now)
    return Delivery(
        swap_news=row,
        user=user,
        channel=recipient.channel,
        recipient=recipient.address,
        message_id=own_id(f"swap/{row.pk}/{recipient.channel}/{recipient.address}"),
        subject=subject,
        text=text,
        held_until=recipient.held_until,
        next_at=recipient.held_until or now,
        created_at=now,
    )


def tell(row: SwapNews, user: User, now: datetime) -> tuple[str, str]:
    """Subject and text, with times on the reader's clock."""
    swap = row.swap
    zone = wording.zone(user.time_zone)
    span = f"{wording.absolute(swap.start, zone)} to {wording.absolute(swap.end, zone)}"
    who = row.actor.display_name if row.actor else "Somebody"
    named = f"{swap.schedule.name}, {span}"
    why = f" {swap.reason}" if swap.reason else ""
    if row.kind == Kind.ASKED:
        back = ""
        if swap.back_start and swap.back_end:
            returned = f"{wording.absolute(swap.back_start, zone)} to {wording.absolute(swap.back_end, zone)}"
            back = f" In return {who} takes yours: {returned}."
        return _subject(f"{who} asks you to take a shift: {named}"), f"Will you be on call then?{back}{why}"
    told = {
        Kind.AGREED: (f"{who} takes your shift: {named}", "You are not on call then."),
        Kind.DECLINED: (f"{who} cannot take your shift: {named}", "You stay on call: ask somebody else."),
        Kind.WITHDRAWN: (f"No longer asked: {named}", f"{who} took the question back: you need not answer."),
        Kind.UNDONE: (f"The swap is undone: {named}", f"{who} took it back: the rotation counts as before."),
    }[Kind(row.kind)]
    return _subject(told[0]), told[1]


def _subject(text: str) -> str:
    text = " ".join(f"[ON CALL] {text}".split())
    return text if len(text) <= 300 else text[:299] + "…"


def needed(one: Delivery, now: datetime) -> bool:
    """Whether it still matters: the swap is as the news says, and its time is not over."""
    row = one.swap_news
    return row is not None and row.swap.state in NEEDED_WHILE[Kind(row.kind)] and row.swap.end > now


def compose_swap(one: Delivery, now: datetime) -> Message:
    """The message; a link to answer is made here and kept nowhere."""
    row = one.swap_news
    if row is None:
        raise ValueError(f"Delivery {one.pk} is not about a swap.")
    page = f"{settings.BASE_URL.rstrip('/')}/on-call/s/{row.swap.schedule.slug}/"
    asks = row.kind == Kind.ASKED and one.user is not None
    url = swap_url(row.swap_id, one.user.pk, now) if asks and one.user else page
    zone = wording.zone(one.user.time_zone if one.user else row.swap.schedule.time_zone)
    item = News(
        subject=one.subject,
        text=one.text + (" Agree or decline by the link; opening it changes nothing." if asks else ""),
        at=wording.absolute(row.at, zone),
        state=row.swap.get_state_display(),
        facts=(("Schedule", row.swap.schedule.name),),
        url=url,
        acknowledge_url="",
        kind=f"swap.{row.kind}",
        title=one.subject,
        key=own_id(f"swap/{row.swap_id}").strip("<>").split("@", 1)[0],
        moment=row.at,
    )
    context = {"subject": one.subject, "items": [item], "single": True, "zone": str(zone)}
    return Message(
        message_id=one.message_id,
        thread=own_id(f"swap/{row.swap_id}"),
        recipient=one.recipient,
        subject=one.subject,
        text=render_to_string("notifications/message.txt", context),
        html=render_to_string("notifications/message.html", context),
        short=f"{one.subject[:200]}. {url}",
        spoken=f"This is the control tower. {one.subject.split('] ', 1)[-1]}. {one.text[:300]}",
        news=(item,),
    )
