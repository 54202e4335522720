"""The incident inbox, one incident and what people do to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, tzinfo

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.accounts.models import Team, User
from apps.core import wording
from apps.core.htmx import fragment_response, is_fragment, with_toast
from apps.core.policies import policy, roles, roles_of
from apps.dashboard.people import signed_in
from apps.dashboard.selectors.incident_inbox import Asked, choices, incident_inbox, lines
from apps.dashboard.selectors.incident_page import incident_page, load_incident
from apps.incidents import workflow
from apps.incidents.models import Incident
from apps.incidents.workflow import NotPossible

WORKERS = ("operations", "on_call", "admin")
#: minutes that a thumb can choose
BACK_IN = ((30, "30 min"), (60, "1 h"), (120, "2 h"))
SNOOZE_FOR = ((30, "30 min"), (60, "1 h"), (240, "4 h"), (1440, "1 day"))
LONGEST = timedelta(days=31)

#: a verb's work: does it and says it in one sentence; raises NotPossible
Deed = Callable[[int, User, datetime, "Given"], str]


class Given:
    """What a verb's form says, read strictly; NotPossible when it makes no sense."""

    def __init__(self, request: HttpRequest, now: datetime, zone: tzinfo) -> None:
        self.post, self.now, self.zone = request.POST, now, zone

    @property
    def text(self) -> str:
        return self.post.get("text", "").replace("\x00", "")[:4000].strip()

    def word(self, name: str) -> str:
        return self.post.get(name, "").replace("\x00", "")[:64].strip()

    def moment(self) -> datetime | None:
        """`minutes` from now, or the next time the reader's clock shows `until` (14:30); None if neither is given."""
        if minutes := self.word("minutes"):
            if (
                not (minutes.isascii() and minutes.isdigit())
                or not timedelta(0) < timedelta(minutes=int(minutes[:8])) <= LONGEST
            ):
                raise NotPossible("Choose a time between 1 minute and 31 days.")
            return self.now + timedelta(minutes=int(minutes[:8]))
        if until := self.word("until"):
            try:
                clock = time.fromisoformat(until)
            except ValueError:
                raise NotPossible("Write the time like 14:30.") from None
            here = self.now.astimezone(self.zone)
            wanted = datetime.combine(here.date(), clock.replace(tzinfo=None), self.zone)
            if wanted.astimezone(UTC) <= self.now:
                wanted = datetime.combine(here.date() + timedelta(days=1), clock.replace(tzinfo=None), self.zone)
            return wanted.astimezone(UTC)
        return None

    def clock(self, at: datetime) -> str:
        return wording.short(at, self.zone, self.now)


def zone_of(user: User) -> tzinfo:
    return wording.zone(user.time_zone or settings.TIME_ZONE)


def may_work(user: User) -> bool:
    return bool(roles_of(user) & set(WORKERS))


@policy("staff")
def inbox(request: HttpRequest) -> HttpResponse:
    now, reader = timezone.now(), signed_in(request)
    asked = Asked.read(request.GET)
    context = {
        "now": now,
        "asked": asked,
        "inbox": incident_inbox(asked, reader, now, may_work(reader)),
        **choices(),
    }
    return fragment_response(request, "dashboard/incidents.html", "dashboard/_incidents.html", context)


@policy("staff")
def incident(request: HttpRequest, pk: int) -> HttpResponse:
    return _page(request, pk, timezone.now())


def _page(request: HttpRequest, pk: int, now: datetime, refusal: str = "", status: int = 200) -> HttpResponse:
    found, reader = load_incident(pk), signed_in(request)
    if found is None:
        raise Http404
    page = incident_page(
        found,
        reader,
        now,
        zone_of(reader),
        may_work=may_work(reader),
        page=request.GET.get("page", "")[:12],
        everything=request.GET.get("all") == "1",
    )
    context = {
        "now": now,
        "page": page,
        "incident": found,
        "refusal": refusal,
        "typed": request.POST.get("text", "") if refusal else "",
        "back_in": BACK_IN,
        "snooze_for": SNOOZE_FOR,
    }
    return fragment_response(request, "dashboard/incident.html", "dashboard/_incident.html", context, status=status)


def _row(request: HttpRequest, pk: int, now: datetime, status: int = 200) -> HttpResponse:
    """The incident as a row of the inbox."""
    found, reader = load_incident(pk), signed_in(request)
    if found is None:
        raise Http404
    [line] = lines([found], now, may_work(reader))
    return render(request, "dashboard/_incident_row.html", {"line": line, "now": now}, status=status)


def _do(request: HttpRequest, pk: int, deed: Deed) -> HttpResponse:
    """One verb: answers the changed row or page to htmx with a sentence; without scripts leads back to the page.

    What is not possible answers 422 with the present state and the sentence (without scripts: 409).
    """
    now, actor = timezone.now(), signed_in(request)
    in_inbox = request.GET.get("row") == "1"
    try:
        said = deed(pk, actor, now, Given(request, now, zone_of(actor)))
    except Incident.DoesNotExist:
        raise Http404 from None
    except NotPossible as error:
        if not is_fragment(request):
            return _page(request, pk, now, str(error), status=409)
        shown = _row(request, pk, now, status=422) if in_inbox else _page(request, pk, now, str(error), status=422)
        return with_toast(shown, str(error), "at-risk")
    if not is_fragment(request):
        messages.success(request, said)
        return redirect("dashboard:incidents") if in_inbox else redirect("dashboard:incident", pk=pk)
    return with_toast(_row(request, pk, now) if in_inbox else _page(request, pk, now), said)


@policy(roles(*WORKERS))
@require_POST
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        back_at = given.moment()
        workflow.acknowledge(pk, actor, now, back_at=back_at, text=given.text)
        return f"Acknowledged. You are back at it {given.clock(back_at)}." if back_at else "Acknowledged: you have it."

    return _do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def unacknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        workflow.unacknowledge(pk, actor, now, text=given.text)
        return "Given back: whoever is on call hears of it again."

    return _do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def assign(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        """The field `to` holds `person:7`, `team:night` or nothing (nobody)."""
        kind, _, name = given.word("to").partition(":")
        person = (
            User.objects.filter(pk=name).first() if kind == "person" and name.isascii() and name.isdigit() else None
        )
        team = Team.objects.filter(slug=name).first() if kind == "team" else None
        if kind and person is None and team is None:
            raise NotPossible("This person or team is not there any more: choose another.")
        workflow.assign(pk, actor, now, assignee=person, team=team, text=given.text)
        to = person.display_name if person else team.name if team else "nobody"
        return f"Assigned to {to}."

    return _do(request, pk, deed)


@policy(roles(*WORKERS, "manager"))
@require_POST
def comment(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        workflow.comment(pk, actor, now, given.text)
        return "Comment added."

    return _do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def snooze(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        until = given.moment()
        if until is None:
            raise NotPossible("Say until when: choose a time.")
        workflow.snooze(pk, actor, now, until, text=given.text)
        return f"Snoozed until {given.clock(until)}. It wakes earlier if it gets worse."

    return _do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def resolve(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        workflow.resolve(pk, actor, now, given.word("resolution"), text=given.text)
        return "Resolved."

    return _do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def reopen(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        workflow.reopen(pk, actor, now, text=given.text)
        return "Reopened: whoever is on call hears of it."

    return _do(request, pk, deed)
