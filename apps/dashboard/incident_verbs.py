"""The desk's further verbs: severity, labels, merge and split, many incidents at once, and files of comments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.http import content_disposition_header, url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from apps.accounts.models import User
from apps.core.policies import policy, roles
from apps.dashboard.incidents import WORKERS, Given, do, target_of, zone_of
from apps.dashboard.people import signed_in
from apps.incidents import workflow
from apps.incidents.merging import merge, unmerge
from apps.incidents.models import Incident, IncidentFile
from apps.incidents.relating import relate, unrelate
from apps.incidents.workflow import NotPossible
from apps.notifications.escalation_by_hand import escalate

#: incidents of one bulk verb
MOST = 200


@policy(roles(*WORKERS))
@require_POST
def rate(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        workflow.rate(pk, actor, now, given.word("severity"), given.text)
        return f"Severity set to {given.word('severity')}."

    return do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def label(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        """`add`: several, with commas between them; `remove`: one."""
        add = [one for one in given.words("add", 500).split(",") if one.strip()]
        remove = [one for one in [given.words("remove", 100)] if one]
        if not add and not remove:
            raise NotPossible("Write a label first.")
        workflow.label(pk, actor, now, add, remove)
        return "Labels changed."

    return do(request, pk, deed)


def _number(text: str) -> int:
    digits = text.strip().removeprefix("#")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise NotPossible("Say which incident: its number, as #12.")
    return int(digits)


@policy(roles(*WORKERS))
@require_POST
def merge_into(request: HttpRequest, pk: int) -> HttpResponse:
    """The field `into` is the other incident's number."""

    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        into = _number(given.word("into"))
        if not Incident.objects.filter(pk=into).exists():
            raise NotPossible(f"There is no incident #{into}.")
        merge([pk], into, actor, now, given.text)
        return f"Merged into #{into}. Undo it here if it was the wrong one."

    return do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def take_out(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        unmerge(pk, actor, now, given.text)
        return "The merge is undone: you have it."

    return do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def escalate_now(request: HttpRequest, pk: int) -> HttpResponse:
    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        row = escalate(pk, actor, now, given.text)
        return f"Escalated to {row.data.get('to') or 'whoever is on call'}: they are called now."

    return do(request, pk, deed)


@policy(roles(*WORKERS))
@require_POST
def link(request: HttpRequest, pk: int) -> HttpResponse:
    """`to` is the other incident's number; with `drop` the relation to that one ends."""

    def deed(pk: int, actor: User, now: datetime, given: Given) -> str:
        if drop := given.word("drop"):
            unrelate(pk, _number(drop), actor, now)
            return f"#{_number(drop)} is no longer related to it."
        to = _number(given.word("to"))
        relate(pk, to, actor, now, given.text)
        return f"Related to #{to}: both show it."

    return do(request, pk, deed)


def _acknowledge(pk: int, actor: User, now: datetime, given: Given) -> None:
    workflow.acknowledge(pk, actor, now, back_at=given.moment(), text=given.text)


def _snooze(pk: int, actor: User, now: datetime, given: Given) -> None:
    until = given.moment()
    if until is None:
        raise NotPossible("Say until when: choose a time.")
    workflow.snooze(pk, actor, now, until, text=given.text)


def _resolve(pk: int, actor: User, now: datetime, given: Given) -> None:
    workflow.resolve(pk, actor, now, given.word("resolution"), text=given.text)


def _assign(pk: int, actor: User, now: datetime, given: Given) -> None:
    person, team = target_of(given.word("to"))
    workflow.assign(pk, actor, now, assignee=person, team=team, text=given.text)


def _label(pk: int, actor: User, now: datetime, given: Given) -> None:
    workflow.label(pk, actor, now, [one for one in given.words("label", 500).split(",") if one.strip()])


#: verb -> (what it does to one, the deed in words)
BULK: dict[str, tuple[Callable[[int, User, datetime, Given], None], str]] = {
    "acknowledge": (_acknowledge, "acknowledged"),
    "snooze": (_snooze, "snoozed"),
    "resolve": (_resolve, "resolved"),
    "assign": (_assign, "assigned"),
    "label": (_label, "labelled"),
}


@policy(roles(*WORKERS))
@require_POST
def bulk(request: HttpRequest) -> HttpResponse:
    """One verb over the ticked incidents, each in a transaction of its own: what is not possible is said by number.

    Merging takes the first ticked one, in the order of the list, as the one that stays.
    """
    now, actor = timezone.now(), signed_in(request)
    given = Given(request, now, zone_of(actor))
    ids = [int(one) for one in request.POST.getlist("id")[:MOST] if one.isascii() and one.isdigit() and len(one) <= 18]
    verb = given.word("verb")
    if not ids:
        messages.warning(request, "Nothing was ticked: choose incidents first.")
    elif verb == "merge":
        try:
            merge(ids[1:], ids[0], actor, now, given.text)
            messages.success(request, f"{len(ids) - 1} merged into #{ids[0]}. Each can be taken out again on its page.")
        except (NotPossible, Incident.DoesNotExist) as error:
            messages.warning(request, str(error))
    elif verb in BULK:
        _each(request, verb, ids, actor, now, given)
    else:
        messages.warning(request, "Choose what to do with the ticked incidents.")
    back = request.POST.get("back", "")
    if back and url_has_allowed_host_and_scheme(back, allowed_hosts=None) and back.startswith("/incidents/"):
        return redirect(back)
    return redirect("dashboard:incidents")


def _each(request: HttpRequest, verb: str, ids: list[int], actor: User, now: datetime, given: Given) -> None:
    deed, past = BULK[verb]
    done: list[int] = []
    refused: list[str] = []
    for pk in ids:
        try:
            deed(pk, actor, now, given)
            done.append(pk)
        except NotPossible as error:
            refused.append(f"#{pk}: {error}")
        except Incident.DoesNotExist:
            refused.append(f"#{pk} is not there any more.")
    if done:
        messages.success(request, f"{len(done)} {past}.")
    if refused:
        more = f" And {len(refused) - 3} more." if len(refused) > 3 else ""
        messages.warning(request, f"{len(refused)} not {past}. {' '.join(refused[:3])}{more}")


@policy("staff")
def download(request: HttpRequest, pk: int, file: int) -> HttpResponse:
    """A comment's file as a download that no browser runs or shows."""
    found = get_object_or_404(IncidentFile, pk=file, incident_id=pk)
    if found.incident_id != pk:
        raise Http404
    return HttpResponse(
        bytes(found.body),
        content_type="application/octet-stream",
        headers={
            "Content-Disposition": content_disposition_header(True, found.name) or "attachment",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Cache-Control": "private, no-store",
        },
    )
