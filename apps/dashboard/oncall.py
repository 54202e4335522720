"""On call: who is it now, the calendar of a schedule, overrides, swaps, and calendars in and out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.models import User
from apps.core import wording
from apps.core.htmx import fragment_response
from apps.core.policies import check, policy, roles
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import oncall as select
from apps.dashboard.selectors.moments import day_of, shown, typed
from apps.oncall import changing, feeds, importing
from apps.oncall.changing import NotPossible
from apps.oncall.models import Schedule
from apps.oncall.rotation import load

WORKERS = roles("operations", "on_call", "manager")
MAY_DRAW = roles("operations", "manager")
MOST_UPLOAD = importing.MOST_BYTES
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@policy("staff")
def on_call_now(request: HttpRequest) -> HttpResponse:
    now, reader = timezone.now(), signed_in(request)
    context = {
        "now": now,
        "duties": select.duties(now, reader),
        "own": select.own_shifts(reader, now)[:12],
        "swaps": select.open_swaps(reader, now),
        "reader": reader,
        "may_work": check(WORKERS, request.user) == "allow",
        "may_draw": check(MAY_DRAW, request.user) == "allow",
    }
    return fragment_response(request, "oncall/now.html", "oncall/_now.html", context)


@policy("staff")
@never_cache
def my_feed(request: HttpRequest) -> HttpResponse:
    """The reader's own calendar address; a page of its own, because its answer holds a secret."""
    reader = signed_in(request)
    address = reverse("dashboard:on_call_person_feed", args=[reader.pk, feeds.person_token(reader)])
    context = {"now": timezone.now(), "address": request.build_absolute_uri(address)}
    return render(request, "oncall/my_feed.html", context)


@policy("staff")
@require_POST
def renew_my_feed(request: HttpRequest) -> HttpResponse:
    feeds.renew_person(signed_in(request))
    messages.success(request, "The old address no longer works. Give your calendar the new one.")
    return redirect("dashboard:on_call_my_feed")


@policy("staff")
@never_cache
def schedule(request: HttpRequest, slug: str) -> HttpResponse:
    return _schedule(request, _found(slug), timezone.now())


def _found(slug: str) -> Schedule:
    return get_object_or_404(Schedule.objects.select_related("team"), slug=slug)


def _schedule(
    request: HttpRequest, found: Schedule, now: datetime, refusal: str = "", about: str = "", status: int = 200
) -> HttpResponse:
    reader = signed_in(request)
    zone = wording.zone(reader.time_zone)
    view = "month" if request.GET.get("view") == "month" else "week"
    today = now.astimezone(zone).date()
    day = day_of(request.GET.get("day", "")) or today
    first = day.replace(day=1) if view == "month" else select.monday_of(day)
    following = (first.replace(day=28) + 4 * DAY).replace(day=1) if view == "month" else first + 7 * DAY
    start, end = select.bounds(first, zone), select.bounds(following, zone)
    [loaded] = load(
        Schedule.objects.filter(pk=found.pk), min(start - 7 * DAY, now), max(end + 14 * DAY, now + select.AHEAD)
    )
    context = {
        "now": now,
        "schedule": found,
        "reader": reader,
        "user_now": loaded.at(now),
        "until": loaded.until(now),
        "endless": loaded.until(now) >= now + 14 * DAY,
        "view": view,
        "day": first,
        "title": f"{first:%B %Y}"
        if view == "month"
        else f"{first.day} {first:%b} to {(following - DAY).day} {following - DAY:%b %Y}",
        "before": (first - DAY).isoformat(),
        "after": following.isoformat(),
        "lines": select.listed(loaded, start, end, now, reader),
        "layers": [(row, select.layer_words(row, found), row.members.all()) for row in _layers(found)],
        "gaps": select.gaps(loaded, now),
        "swaps": select.open_swaps(reader, now, found),
        "overrides": select.coming_overrides(found, now),
        "staff": select.staff(),
        "may_work": check(WORKERS, request.user) == "allow",
        "may_draw": check(MAY_DRAW, request.user) == "allow",
        "feed": request.build_absolute_uri(
            reverse("dashboard:on_call_feed", args=[found.slug, feeds.schedule_token(found)])
        ),
        "refusal": refusal,
        "about": about,
        "typed": _typed(request, now, zone),
    }
    if view == "month":
        context["weeks"] = select.month_days(loaded, first, now, reader, zone)
    else:
        context["strip"] = select.strip(select.week_rows(loaded, start, end), start, end, now, reader, zone)
    return render(request, "oncall/schedule.html", context, status=status)


def _layers(found: Schedule) -> list[select.Layer]:
    return list(found.layers.order_by("-position").prefetch_related("members__user"))


def _typed(request: HttpRequest, now: datetime, zone: object) -> dict[str, str]:
    """What a refused form said, or sensible first values: the next full hour and eight hours on."""
    hour = now.replace(minute=0, second=0, microsecond=0) + HOUR
    names = ("user", "start", "end", "reason", "asked", "back_start", "back_end")
    said = {name: request.POST.get(name, "")[:300] for name in names}
    local = wording.zone(getattr(zone, "key", "UTC"))
    return {**said, "start": said["start"] or shown(hour, local), "end": said["end"] or shown(hour + 8 * HOUR, local)}


def _do(request: HttpRequest, slug: str, about: str, deed: Callable[[Schedule, User, datetime], str]) -> HttpResponse:
    """One change, then back to where the form was; what is not possible comes back with the form and the reason."""
    now, found = timezone.now(), _found(slug)
    try:
        said = deed(found, signed_in(request), now)
    except NotPossible as error:
        return _schedule(request, found, now, str(error), about, status=422)
    messages.success(request, said)
    day = day_of(request.POST.get("day", ""))
    return redirect(reverse("dashboard:on_call_schedule", args=[slug]) + (f"?day={day.isoformat()}" if day else ""))


def _moment(request: HttpRequest, name: str, what: str) -> datetime:
    moment = typed(request.POST.get(name, ""), wording.zone(signed_in(request).time_zone))
    if moment is None:
        raise NotPossible(f"{what}: choose a day and a time.")
    return moment


def _person(request: HttpRequest, name: str) -> User | None:
    number = request.POST.get(name, "")
    return (
        User.objects.filter(pk=number).first() if number.isascii() and number.isdigit() and len(number) < 18 else None
    )


@policy(WORKERS)
@require_POST
def add_override(request: HttpRequest, slug: str) -> HttpResponse:
    def deed(found: Schedule, actor: User, now: datetime) -> str:
        user = _person(request, "user")
        if user is None:
            raise NotPossible("Choose who takes over.")
        start, end = _moment(request, "start", "From"), _moment(request, "end", "To")
        changing.add_override(found, user, start, end, actor, now, request.POST.get("reason", "").strip())
        return f"{user.display_name} takes over {wording.short(start, wording.zone(actor.time_zone), now)}."

    return _do(request, slug, "override", deed)


@policy(WORKERS)
@require_POST
def remove_override(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    def deed(found: Schedule, actor: User, now: datetime) -> str:
        row = changing.remove_override(pk, actor, now)
        return f"{row.user.display_name} no longer takes over: the rotation counts again."

    return _do(request, slug, "override", deed)


@policy(WORKERS)
@require_POST
def ask_swap(request: HttpRequest, slug: str) -> HttpResponse:
    def deed(found: Schedule, actor: User, now: datetime) -> str:
        asked = _person(request, "asked")
        back = None
        if request.POST.get("back_start") or request.POST.get("back_end"):
            back = (_moment(request, "back_start", "In return, from"), _moment(request, "back_end", "In return, to"))
        start, end = _moment(request, "start", "From"), _moment(request, "end", "To")
        changing.ask_swap(found, actor, asked, start, end, now, back, request.POST.get("reason", "").strip())
        return f"Asked {asked.display_name if asked else 'everybody'}. Until somebody agrees you stay on call."

    return _do(request, slug, "swap", deed)


@policy(WORKERS)
@require_POST
def answer_swap(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    def deed(found: Schedule, actor: User, now: datetime) -> str:
        agree = request.POST.get("answer") == "agree"
        swap = changing.answer_swap(pk, actor, agree, now)
        return f"Agreed: you take {swap.asker.display_name}'s time." if agree else "Declined."

    return _do(request, slug, "swaps", deed)


@policy(WORKERS)
@require_POST
def withdraw_swap(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    def deed(found: Schedule, actor: User, now: datetime) -> str:
        changing.withdraw_swap(pk, actor, now)
        return "Taken back: the rotation counts as before."

    return _do(request, slug, "swaps", deed)


@policy(WORKERS)
@require_POST
def import_calendar(request: HttpRequest, slug: str) -> HttpResponse:
    def deed(found: Schedule, actor: User, now: datetime) -> str:
        upload = request.FILES.get("calendar")
        if upload is None:
            raise NotPossible("Choose a calendar file (.ics) first.")
        if (upload.size or 0) > MOST_UPLOAD:
            raise NotPossible(f"The file is larger than {MOST_UPLOAD // 1000} kB: export a shorter span.")
        try:
            name, entries = importing.read(upload.read(), importing.people_by_name(), found.time_zone, now)
        except importing.CalendarFileError as error:
            raise NotPossible(str(error)) from None
        outcome = importing.apply(found, name, entries, actor, now)
        said = f"“{outcome.name}”: {outcome.added} overrides added, {outcome.removed} of before removed."
        if outcome.unknown:
            said += f" Not known here, so left out: {', '.join(outcome.unknown[:8])}."
        return said

    return _do(request, slug, "import", deed)


@policy(WORKERS)
@require_POST
def renew_feed(request: HttpRequest, slug: str) -> HttpResponse:
    def deed(found: Schedule, actor: User, now: datetime) -> str:
        feeds.renew_schedule(found)
        return "The old address no longer works. Everybody who subscribed needs the new one."

    return _do(request, slug, "feed", deed)


def _calendar(body: bytes, name: str) -> HttpResponse:
    response = HttpResponse(body, content_type="text/calendar; charset=utf-8")
    response["Content-Disposition"] = f'inline; filename="{name}.ics"'
    response["Cache-Control"] = "private, max-age=300"
    return response


@policy("machine")
@require_GET
def feed(request: HttpRequest, slug: str, token: str) -> HttpResponse:
    """For calendar programs: whoever has the address reads it; a wrong one is missing."""
    found = feeds.schedule_for(slug, token)
    if found is None:
        raise Http404
    return _calendar(feeds.schedule_feed(found, timezone.now()), found.slug)


@policy("machine")
@require_GET
def person_feed(request: HttpRequest, pk: int, token: str) -> HttpResponse:
    user = feeds.person_for(pk, token)
    if user is None:
        raise Http404
    return _calendar(feeds.person_feed(user, timezone.now()), "on-call")
