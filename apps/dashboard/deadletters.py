"""Dead letters and their verbs, orphans, conflicts, and one receipt. All may look; operations and on-call may act."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.collectors import deadletters as process
from apps.collectors import replay_runs
from apps.collectors.models import DeadLetter
from apps.core.htmx import fragment_response
from apps.core.policies import check, policy, roles
from apps.core.wording import number
from apps.dashboard.people import signed_in
from apps.dashboard.replays import go_on
from apps.dashboard.selectors import deadletters as select
from apps.dashboard.selectors import letter as letter_select
from apps.dashboard.selectors.deadletters import Asked
from apps.flows.models import Orphan
from apps.integrations.models import Integration

MAY_ACT = roles("operations", "on_call")


@policy("staff")
def dead_letters(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    asked = Asked.read(request.GET)
    found, older = select.letters(asked)
    causes = select.causes(asked)
    undo_at, undo_count = select.dismissed_at(request.GET.get("undo", ""), signed_in(request))
    context = {
        "now": now,
        "asked": asked,
        "causes": causes,
        "all_count": asked.rows().count() if asked.is_filter and asked.state == "open" else 0,
        "total": sum(one.count for one in causes),
        "letters": found,
        "older": asked.address(after=older) if older else "",
        "states": [(value, label, asked.address(state=value)) for value, label in DeadLetter.State.choices],
        "undo_at": undo_at.isoformat() if undo_at and undo_count else "",
        "undo_count": undo_count,
        "waiting": Orphan.objects.count(),
        "asked_pairs": [(name, getattr(asked, name)) for name in ("integration", "code", "severity", "q", "cause")],
        "may_act": check(MAY_ACT, request.user) == "allow",
    }
    return fragment_response(request, "dashboard/dead_letters.html", "dashboard/_causes.html", context)


@policy(MAY_ACT)
@require_POST
def replay(request: HttpRequest) -> HttpResponse:
    """A new replay of the receipts behind the chosen letters: it is tried first, on a page of its own."""
    asked, now = Asked.read(request.POST), timezone.now()
    everything = "all" in request.POST
    ids = select.chosen_receipts(asked, request.POST.getlist("id"), everything)
    words = asked.words if everything else f"{_count(len(ids), 'message')} chosen one by one"
    try:
        run = replay_runs.ask(ids, words, signed_in(request), now)
    except replay_runs.NotAllowed as refused:
        messages.warning(request, str(refused))
        return redirect("dashboard:dead_letters")
    go_on(run.pk, now)
    return redirect("dashboard:replay", pk=run.pk)


@policy(MAY_ACT)
@require_POST
def dismiss(request: HttpRequest) -> HttpResponse:
    """Marks the chosen letters as needing nothing more; the page that follows offers to take it back."""
    asked, now = Asked.read(request.POST), timezone.now()
    letters = select.chosen(asked, request.POST.getlist("id"), "all" in request.POST)
    count = process.dismiss([letter.pk for letter in letters], signed_in(request), now)
    if not count:
        messages.warning(request, "Nothing was dismissed: choose messages that are still open.")
        return redirect(reverse("dashboard:dead_letters") + asked.address())
    address = Asked().address(after="")
    return redirect(
        f"{reverse('dashboard:dead_letters')}{address}{'&' if len(address) > 1 else ''}undo={now.isoformat().replace('+', '%2B')}"
    )


@policy(MAY_ACT)
@require_POST
def restore(request: HttpRequest) -> HttpResponse:
    """Takes a dismissal back: one's own of that moment, or the letters named."""
    user, now = signed_in(request), timezone.now()
    ids = [int(one) for one in request.POST.getlist("id") if one.isdecimal() and len(one) < 19]
    at, _ = select.dismissed_at(request.POST.get("undo", ""), user)
    if at is not None:
        rows = DeadLetter.objects.filter(state=DeadLetter.State.DISMISSED, resolved_at=at, resolved_by=user)
        ids = list(rows.values_list("pk", flat=True)[: process.MOST])
    count = process.restore(ids, user, now)
    messages.success(request, f"{_count(count, 'dead letter')} open again.")
    return redirect("dashboard:dead_letters")


def _count(n: int, what: str) -> str:
    return f"{number(n)} {what}{'' if n == 1 else 's'}"


@policy("staff")
def letter(request: HttpRequest, pk: int) -> HttpResponse:
    """One dead letter: its bytes with the place marked, what was expected, who can mend it."""
    page = letter_select.letter_page(pk)
    if page is None:
        raise Http404
    context = {"now": timezone.now(), "page": page, "may_act": check(MAY_ACT, request.user) == "allow"}
    return render(request, "dashboard/dead_letter.html", context)


@policy("staff")
def orphans(request: HttpRequest) -> HttpResponse:
    type_, integration = (request.GET.get(name, "")[:64] for name in ("type", "integration"))
    found, older = select.orphans(type_, integration, request.GET.get("after", "")[:80])
    types = select.orphan_types()
    context = {
        "now": timezone.now(),
        "found": found,
        "older": older,
        "types": types,
        "type": type_,
        "integration": integration,
        "integrations": Integration.objects.values_list("slug", "name"),
        "waiting": sum(n for _, _, n in types),
    }
    return fragment_response(request, "dashboard/orphans.html", "dashboard/_orphans.html", context)


@policy("staff")
def conflicts(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    found, older = select.conflicts(now, request.GET.get("after", "")[:80])
    context = {
        "now": now,
        "found": found,
        "older": older,
        "days": select.CONFLICT_DAYS,
        "waiting": Orphan.objects.count(),
    }
    return render(request, "dashboard/conflicts.html", context)


@policy("staff")
def receipt(request: HttpRequest, pk: int) -> HttpResponse:
    """One delivery: its bytes as they came, what was read from it and what was not."""
    page = select.receipt_page(pk)
    if page is None:
        raise Http404
    return render(request, "dashboard/receipt.html", {"now": timezone.now(), "page": page})
