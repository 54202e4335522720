"""The incident inbox, one incident and what people do to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, tzinfo

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.accounts.models import Role, Team, User
from apps.core import wording
from apps.core.htmx import fragment_response, is_fragment, with_toast
from apps.core.policies import policy, roles, roles_of
from apps.dashboard.models import SavedInbox
from apps.dashboard.people import signed_in
from apps.dashboard.selectors.causes import behind, worth_of
from apps.dashboard.selectors.incident_inbox import Asked, choices, incident_inbox, lines
from apps.dashboard.selectors.incident_page import incident_page, load_incident
from apps.incidents import workflow
from apps.incidents.files import LARGEST, MOST_AT_ONCE, NewFile, check, keep
from apps.incidents.models import BY_HAND, Incident, Severity
from apps.incidents.workflow import NotPossible
from apps.notifications.escalation_outlook import next_of

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
        self.uploads = request.FILES.getlist("file")

    @property
    def text(self) -> str:
        return self.post.get("text", "")[:4000].strip()

    def files(self) -> list[NewFile]:
        """Files beside a comment; what is too large is not read."""
        if any(one.size is not None and one.size > LARGEST for one in self.uploads):
            raise NotPossible(f"A file is larger than {LARGEST // 1024 // 1024} MB: share a link to it instead.")
        found = [NewFile(one.name or "file", one.read()) for one in self.uploads[: MOST_AT_ONCE + 1]]
        check(found)
        return found

    def word(self, name: str) -> str:
        return self.post.get(name, "")[:64].strip()

    def words(self, name: str, most: int) -> str:
        return self.post.get(name, "")[:most].strip()

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
        "may_work": may_work(reader),
        "saved": SavedInbox.objects.filter(user=reader),
        "snooze_for": SNOOZE_FOR,
        "resolutions": [(one.value, one.label) for one in BY_HAND],
        "people": User.objects.filter(is_active=True).exclude(role=Role.PARTNER).order_by("first_name", "username"),
        **choices(),
    }
    return fragment_response(request, "dashboard/incidents.html", "dashboard/_incidents.html", context)


@policy("staff")
@require_POST
def save_view(request: HttpRequest) -> HttpResponse:
    """Keeps the inbox's present view under a name; the same name again replaces it; `drop` takes one away."""
    reader, asked = signed_in(request), Asked.read(request.POST)
    name = request.POST.get("name", "").strip()[:60]
    if drop := request.POST.get("drop", ""):
        if drop.isascii() and drop.isdigit() and len(drop) < 19:
            SavedInbox.objects.filter(user=reader, pk=drop).delete()
    elif name:
        SavedInbox.objects.update_or_create(user=reader, name=name, defaults={"query": asked.address[:500]})
        messages.success(request, f"Kept as “{name}”.")
    query = f"?{asked.address}" if asked.address else ""
    return redirect(reverse("dashboard:incidents") + query)


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
        "awaited": next_of([pk], now).get(pk, []),
        "cause": behind(pk),
        "worth": worth_of(pk),
        "refusal": refusal,
        "typed": request.POST.get("text", "") if refusal else "",
        "back_in": BACK_IN,
        "snooze_for": SNOOZE_FOR,
        "severities": Severity.choices,
    }
    return fragment_response(request, "dashboard/incident.html", "dashboard/_incident.html", context, status=status)


def _row(request: HttpRequest, pk: int, now: datetime, status: int = 200) -> HttpResponse:
    """The incident as a row of the inbox."""
    found, reader = load_incident(pk), signed_in(request)
    if found is None:
        raise Http404
    [line] = lines([found], now, may_work(reader))
    context = {"line": line, "now": now, "may_work": may_work(reader)}
    return render(request, "dashboard/_incident_row.html", context, status=status)


def do(request: HttpRequest, pk: int, deed: Deed) -> HttpResponse:
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

    return do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def unacknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        workflow.unacknowledge(pk, actor, now, text=given.text)
        return "Given back: whoever is on call hears of it again."

    return do(request, pk, deed)


def target_of(to: str) -> tuple[User | None, Team | None]:
    """`person:7`, `team:night` or nothing (nobody). NotPossible for who is not there."""
    kind, _, name = to.partition(":")
    is_person = kind == "person" and name.isascii() and name.isdigit() and len(name) < 19
    person = User.objects.filter(pk=name).first() if is_person else None
    team = Team.objects.filter(slug=name).first() if kind == "team" else None
    if kind and person is None and team is None:
        raise NotPossible("This person or team is not there any more: choose another.")
    return person, team


@policy(roles(*WORKERS))
@require_POST
def assign(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        person, team = target_of(given.word("to"))
        workflow.assign(pk, actor, now, assignee=person, team=team, text=given.text)
        to = person.display_name if person else team.name if team else "nobody"
        return f"Assigned to {to}."

    return do(request, pk, deed)


@policy(roles(*WORKERS, "manager"))
@require_POST
def comment(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        added = given.files()
        with transaction.atomic():
            row = workflow.comment(pk, actor, now, given.text or ("Files" if added else ""))
            keep(row, added, now)
        return "Comment added."

    return do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def snooze(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        until = given.moment()
        if until is None:
            raise NotPossible("Say until when: choose a time.")
        workflow.snooze(pk, actor, now, until, text=given.text)
        return f"Snoozed until {given.clock(until)}. It wakes earlier if it gets worse."

    return do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def resolve(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        workflow.resolve(pk, actor, now, given.word("resolution"), text=given.text)
        return "Resolved."

    return do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def reopen(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        workflow.reopen(pk, actor, now, text=given.text)
        return "Reopened: whoever is on call hears of it."

    return do(request, pk, deed)
