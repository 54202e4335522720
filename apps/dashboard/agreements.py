"""Contract terms and objectives: the editors, with what a change means before it is kept, their history and the way back."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.configuration import agreements
from apps.configuration.agreements import OBJECTIVE, TERM, Kind
from apps.core.policies import check, policy, roles
from apps.dashboard import agreement_form
from apps.dashboard.agreement_form import Form
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import agreements as select
from apps.dashboard.selectors import objective_page
from apps.reports import objectives, rollups

MAY_EDIT = roles("operations", "manager")
#: stands in the address of what is not kept yet
NEW = "new"
KINDS = {"term": TERM, "objective": OBJECTIVE}
#: kind -> names of its pages: list, editor, preview, try, save, go back
PAGES = {
    "term": ("contract_terms", "term", "term_preview", "term_try", "term_save", "term_go_back"),
    "objective": (
        *("objectives", "objective_edit", "objective_preview"),
        *("objective_try", "objective_save", "objective_go_back"),
    ),
}


@policy("staff")
def terms(request: HttpRequest) -> HttpResponse:
    """Every contract term, with what it came to lately."""
    now = timezone.now()
    context = {
        "now": now,
        "lines": select.listed(now),
        "months": select.months(now, 2),
        "may_edit": check(MAY_EDIT, request.user) == "allow",
    }
    return render(request, "dashboard/contract_terms.html", context)


def _base(request: HttpRequest, what: str, slug: str) -> dict[str, Any]:
    row = None if slug == NEW else agreements.current(KINDS[what], slug)
    if row is None and slug != NEW:
        raise Http404
    pages = dict(zip(("list", "editor", "preview", "try", "save", "back"), PAGES[what], strict=True))
    return {
        "now": timezone.now(),
        "what": what,
        "row": row,
        "address": slug,
        "urls": {
            name: reverse(f"dashboard:{page}", args=[] if name == "list" else [slug]) for name, page in pages.items()
        },
        "may_edit": check(MAY_EDIT, request.user) == "allow",
    }


@policy(MAY_EDIT)
def add(request: HttpRequest, what: str) -> HttpResponse:
    """The editor for a new one."""
    return _editor(request, what, NEW)


@policy("staff")
def edit(request: HttpRequest, what: str, slug: str) -> HttpResponse:
    """The editor of one."""
    if slug == NEW:
        raise Http404
    return _editor(request, what, slug)


def _editor(request: HttpRequest, what: str, slug: str) -> HttpResponse:
    kind, context = KINDS[what], _base(request, what, slug)
    row = context["row"]
    values = agreement_form.values_of(kind, row or {})
    context |= {
        "fields": agreement_form.fields(kind, values, row is None),
        "stamp": agreements.stamp(row),
        "history": select.told(agreements.history(kind, slug)) if row else [],
    }
    if row is not None:
        context |= _previewed(kind, Form(values, row))
    return render(request, "dashboard/agreement.html", context)


def _previewed(kind: Kind, form: Form) -> dict[str, Any]:
    """What the form says in words; an objective also as it would stand now. Nothing is kept."""
    if form.troubles:
        return {"troubles": form.troubles}
    try:
        made = agreements.tried(kind, form.row)
    except agreements.Wrong as wrong:
        return {"troubles": [(wrong.field, str(wrong))]}
    names = objective_page.rule_names()
    if kind is TERM:
        return {"draft": made, "words": select.words(made), "scope": select.scope(made, names)}
    shown = objective_page.shown(objectives.standing(made, timezone.now()), names)
    return {"draft": made, "shown": shown, "zone": rollups.zone()}


@policy("staff")
@require_POST
def preview(request: HttpRequest, what: str, slug: str) -> HttpResponse:
    context, form = _base(request, what, slug), _form(request, what, slug)
    return render(request, "dashboard/_agreement_preview.html", context | _previewed(KINDS[what], form))


@policy("staff")
@require_POST
def trial(request: HttpRequest, what: str, slug: str) -> HttpResponse:
    """A term on the last months; an objective as it would stand now."""
    context, form = _base(request, what, slug), _form(request, what, slug)
    context |= _previewed(KINDS[what], form)
    if what == "term" and "draft" in context:
        context["trial"] = select.try_out(context["draft"], timezone.now())
    return render(request, "dashboard/_agreement_trial.html", context)


@policy(MAY_EDIT)
@require_POST
def save(request: HttpRequest, what: str, slug: str) -> HttpResponse:
    """Shows which amounts change first; with `sure` in the form (that was seen), or when none does, keeps it."""
    kind, now = KINDS[what], timezone.now()
    context, form = _base(request, what, slug) | {"saving": True}, _form(request, what, slug)
    context |= _previewed(kind, form)
    if slug == NEW and "troubles" not in context and agreements.current(kind, form.row["slug"]) is not None:
        context["troubles"] = [("slug", "There is one of this short name already; choose another.")]
    if "troubles" in context:
        return render(request, "dashboard/_agreement_trial.html", context, status=422)
    sure = hashlib.sha256(json.dumps(form.row, sort_keys=True).encode()).hexdigest()[:32]
    if what == "term" and request.POST.get("sure") != sure:
        found = select.try_out(context["draft"], now)
        if any(before != after for _, before, after in found):
            return render(request, "dashboard/_agreement_trial.html", context | {"trial": found, "sure": sure})
    try:
        row, changed = agreements.keep(kind, form.row, signed_in(request), now, base=request.POST.get("stamp", "")[:64])
    except agreements.Wrong as wrong:
        return render(
            request, "dashboard/_agreement_trial.html", context | {"troubles": [(wrong.field, str(wrong))]}, status=422
        )
    except agreements.Overtaken:
        return render(request, "dashboard/_agreement_trial.html", context | {"overtaken": True}, status=422)
    messages.success(request, f"“{row['name']}” is kept." if changed else "Nothing was changed.")
    response = HttpResponse(status=204)
    response["HX-Redirect"] = request.build_absolute_uri(reverse(f"dashboard:{PAGES[what][1]}", args=[row["slug"]]))
    return response


def _form(request: HttpRequest, what: str, slug: str) -> Form:
    return agreement_form.read(KINDS[what], request.POST, "" if slug == NEW else slug)


@policy(MAY_EDIT)
@require_POST
def go_back(request: HttpRequest, what: str, slug: str) -> HttpResponse:
    """As it was after an earlier change."""
    kind = KINDS[what]
    row = agreements.current(kind, slug)
    wanted = request.POST.get("entry", "")
    earlier = next((one for one in agreements.history(kind, slug) if str(one.id) == wanted), None)
    if row is None or earlier is None or earlier.row is None:
        raise Http404
    try:
        agreements.keep(kind, earlier.row, signed_in(request), timezone.now(), base=agreements.stamp(row))
    except (agreements.Wrong, agreements.Overtaken) as problem:
        messages.error(request, str(problem) or "Somebody changed it at the same moment; look again.")
    else:
        messages.success(request, "It says what it said then.")
    return redirect(f"dashboard:{PAGES[what][1]}", slug)
