"""SLA rules: the list in the order they are tried, and the editor that shows what a change would do before it is saved."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.core.policies import check, policy, roles
from apps.dashboard import rule_form
from apps.dashboard.people import signed_in
from apps.dashboard.rule_form import Form
from apps.dashboard.selectors import calendars
from apps.dashboard.selectors import rules as select
from apps.sla import rederiving, rule_versions, shadows
from apps.sla.models import SlaRule, WaiverRequest

MAY_EDIT = roles("operations", "manager")
#: stands in the address of a rule that is not kept yet
NEW = "new"


def _found(slug: str) -> SlaRule | None:
    """The newest version; None for a rule that is being made."""
    if slug == NEW:
        return None
    found = rule_versions.newest_of(slug)
    if found is None:
        raise Http404
    return found


def _base(request: HttpRequest, found: SlaRule | None) -> dict[str, Any]:
    return {
        "now": timezone.now(),
        "rule": found,
        "address": found.slug if found else NEW,
        "may_edit": check(MAY_EDIT, request.user) == "allow",
    }


@policy("staff")
def rules(request: HttpRequest) -> HttpResponse:
    """Every rule, by flow and milestone, in the order they are tried."""
    groups = select.listed()
    context = {
        "now": timezone.now(),
        "groups": [(definition, lines) for definition, lines in groups if lines],
        "without": [definition for definition, lines in groups if not lines],
        "may_edit": check(MAY_EDIT, request.user) == "allow",
        "waiting": WaiverRequest.objects.filter(state=WaiverRequest.State.ASKED).count(),
        "progress": rederiving.progress(),
    }
    return render(request, "dashboard/rules.html", context)


@policy(MAY_EDIT)
def add(request: HttpRequest) -> HttpResponse:
    """The editor for a new rule; ?flow= and ?milestone= begin it."""
    flow, milestone = (request.GET.get(name, "")[:64] for name in ("flow", "milestone"))
    values = {"slug": "", "name": "", "flow": flow, "milestone": milestone, "position": "100"}
    values |= {"severity": "normal", "target": "98", "lifecycle": "active", "spec": select.starter(flow)}
    return _editor(request, None, values, [])


@policy("staff")
def rule(request: HttpRequest, rule: str) -> HttpResponse:
    """One rule. ?version= shows an earlier version."""
    found = _found(rule)
    if found is None:
        return redirect("dashboard:rule_add")
    kept = select.versions(found.slug)
    wanted = request.GET.get("version", "")
    shown = next((one for one in kept if str(one.version) == wanted), found)
    return _editor(request, found, select.values_of(shown), kept, shown if shown.pk != found.pk else None)


def _editor(
    request: HttpRequest,
    found: SlaRule | None,
    values: dict[str, str],
    kept: list[SlaRule],
    shown: SlaRule | None = None,
) -> HttpResponse:
    form = rule_form.read(values, found)
    context = {
        **_base(request, found),
        "values": values,
        "versions": kept,
        "shown": shown,
        "base": found.version if found else 0,
        "choices": select.choices(),
        "freezes": calendars.freezes(timezone.now()),
        **_shadowed(found),
        **_previewed(form if found else Form(values, []), found),
    }
    return render(request, "dashboard/rule.html", context)


def _shadowed(found: SlaRule | None) -> dict[str, Any]:
    """What a rule that is tried, or was, would have done beside those in force; and what a check found."""
    if found is None:
        return {}
    now, context = timezone.now(), dict[str, Any]()
    if shadows.tried(found.slug):
        context = {"shadow": shadows.compare(found.slug, now), "shadow_days": shadows.DAYS}
    if "check" in found.spec:
        context["found"] = select.found_by(found, now)
    return context


def _previewed(form: Form, found: SlaRule | None) -> dict[str, Any]:
    context: dict[str, Any] = {"troubles": form.troubles}
    if form.wanted is not None:
        row = select.row_of(form.wanted, found, timezone.now())
        context |= {
            "words": select.words_of(row),
            "who": select.who_of(row),
            "deadlines": select.deadlines(row, timezone.now()),
        }
    return context


@policy("staff")
@require_POST
def preview(request: HttpRequest, rule: str) -> HttpResponse:
    """What the form says in words and on the newest flows, as it is typed. Nothing is kept."""
    found = _found(rule)
    context = {**_base(request, found), **_previewed(rule_form.read(request.POST, found), found)}
    return render(request, "dashboard/_rule_preview.html", context)


@policy("staff")
@require_POST
def trial(request: HttpRequest, rule: str) -> HttpResponse:
    """The form on the flows of the last 90 days."""
    found = _found(rule)
    form = rule_form.read(request.POST, found)
    context = {**_base(request, found), "troubles": form.troubles}
    if form.wanted is not None:
        now = timezone.now()
        context["trial"] = select.try_out(select.row_of(form.wanted, found, now), now)
    return render(request, "dashboard/_rule_trial.html", context)


@policy(MAY_EDIT)
@require_POST
def save(request: HttpRequest, rule: str) -> HttpResponse:
    """Shows what would change first; with `sure` in the form (that was seen), or when nothing changes, keeps it."""
    found = _found(rule)
    form = rule_form.read(request.POST, found)
    note = request.POST.get("note", "").strip()[:300]
    context = {**_base(request, found), "troubles": form.troubles, "saving": True}
    if form.wanted is None:
        return render(request, "dashboard/_rule_trial.html", context, status=422)
    now = timezone.now()
    sure = select.fingerprint(form.values)
    if form.wanted.lifecycle == "active" and request.POST.get("sure") != sure:
        tried = select.try_out(select.row_of(form.wanted, found, now), now)
        if tried.changes:
            return render(request, "dashboard/_rule_trial.html", context | {"trial": tried, "sure": sure})
    base = request.POST.get("base", "")
    try:
        made = rule_versions.save(
            form.wanted,
            signed_in(request),
            now,
            base=int(base) if base.isascii() and base.isdecimal() and len(base) < 9 else 0,
            note=note,
        )
    except rule_versions.Overtaken as overtaken:
        return render(request, "dashboard/_rule_trial.html", context | {"overtaken": overtaken.newest}, status=422)
    rederiving.notice(timezone.now())
    messages.success(request, f"{made.name}: version {made.version} is kept, {made.get_lifecycle_display().lower()}.")
    response = HttpResponse(status=204)
    response["HX-Redirect"] = request.build_absolute_uri(reverse("dashboard:rule", args=[made.slug]))
    return response


@policy(MAY_EDIT)
@require_POST
def go_back(request: HttpRequest, rule: str) -> HttpResponse:
    """An earlier version again, as the newest."""
    found = _found(rule)
    earlier = next((one for one in select.versions(rule) if str(one.version) == request.POST.get("version", "")), None)
    if found is None or earlier is None:
        raise Http404
    made = rule_versions.save(
        select.wanted_of(earlier),
        signed_in(request),
        timezone.now(),
        base=found.version,
        note=f"Version {earlier.version} again",
    )
    rederiving.notice(timezone.now())
    messages.success(request, f"Version {made.version} is in use; it says what version {earlier.version} said.")
    return redirect("dashboard:rule", rule=made.slug)
