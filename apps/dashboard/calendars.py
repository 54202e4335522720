"""Working calendars: the list, and the editor that shows a year as it is typed and what a change moves before it is kept."""

from __future__ import annotations

import hashlib
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.core.htmx import fragment_response, is_fragment
from apps.core.policies import check, policy, roles
from apps.dashboard import calendar_form
from apps.dashboard.calendar_form import CalendarForm, Trouble
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import calendars as select
from apps.integrations.models import Calendar
from apps.sla import calendar_versions, library, rederiving

MAY_EDIT = roles("operations", "manager")
#: stands in the address of a calendar that is not kept yet
NEW = "new"
FIRST_YEAR, LAST_YEAR = 1990, 2100
STARTER = {"zone": "Europe/Paris", "weekly": {day: [["08:00", "17:00"]] for day in calendar_form.WEEKDAYS[:5]}}


def _found(slug: str) -> Calendar | None:
    """The newest version; None for one that is being made."""
    if slug == NEW:
        return None
    found = calendar_versions.newest_of(slug)
    if found is None:
        raise Http404
    return found


@policy("staff")
def calendars(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    context = {"now": now, "lines": select.listed(now), "may_edit": check(MAY_EDIT, request.user) == "allow"}
    return render(request, "dashboard/calendars.html", context | {"progress": rederiving.progress()})


@policy("staff")
def progress(request: HttpRequest) -> HttpResponse:
    """How far open flows have been judged again after a change."""
    if not is_fragment(request):
        return redirect("dashboard:calendars")
    context = {"now": timezone.now(), "progress": rederiving.progress()}
    return fragment_response(request, "dashboard/_rederivation.html", "dashboard/_rederivation.html", context)


@policy(MAY_EDIT)
def add(request: HttpRequest) -> HttpResponse:
    return _editor(request, None, calendar_form.values_of("", "", STARTER), [])


@policy("staff")
def calendar(request: HttpRequest, calendar: str) -> HttpResponse:
    """One calendar. ?version= shows an earlier version."""
    found = _found(calendar)
    if found is None:
        return redirect("dashboard:calendar_add")
    kept = select.versions(found.slug)
    shown = next((one for one in kept if str(one.version) == request.GET.get("version", "")), found)
    values = calendar_form.values_of(shown.slug, shown.name, shown.spec)
    return _editor(request, found, values, kept, shown if shown.pk != found.pk else None)


def _editor(
    request: HttpRequest,
    found: Calendar | None,
    values: dict[str, str],
    kept: list[Calendar],
    shown: Calendar | None = None,
) -> HttpResponse:
    form = calendar_form.read(values)
    partners, rules = select.users_of(found.slug) if found else ([], [])
    context = {
        **_base(request, found),
        "values": values,
        "days": [(day, select.DAY_NAMES[day], values[day]) for day in calendar_form.WEEKDAYS],
        "versions": kept,
        "shown": shown,
        "base": found.version if found else 0,
        "users": partners + rules,
        **_previewed(request, form if found else CalendarForm(values, [], form.spec)),
    }
    return render(request, "dashboard/calendar.html", context)


def _base(request: HttpRequest, found: Calendar | None) -> dict[str, Any]:
    return {
        "now": timezone.now(),
        "calendar": found,
        "address": found.slug if found else NEW,
        "may_edit": check(MAY_EDIT, request.user) == "allow",
    }


def _previewed(request: HttpRequest, form: CalendarForm) -> dict[str, Any]:
    context: dict[str, Any] = {"troubles": form.troubles}
    if form.spec is not None:
        today = timezone.localdate()
        asked = request.POST.get("year") or request.GET.get("year", "")
        number = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) == 4 else today.year
        context["year"] = select.year(form.spec, min(max(number, FIRST_YEAR), LAST_YEAR), today)
        context["words"] = select.week_in_words(form.spec)
        context["legend"] = [(kind, *told) for kind, told in (select.KINDS | select.SEASONS).items()]
    return context


@policy("staff")
@require_POST
def preview(request: HttpRequest, calendar: str) -> HttpResponse:
    """The year as it is typed. Nothing is kept."""
    context = {**_base(request, _found(calendar)), **_previewed(request, calendar_form.read(request.POST))}
    return render(request, "dashboard/_calendar_preview.html", context)


@policy(MAY_EDIT)
@require_POST
def save(request: HttpRequest, calendar: str) -> HttpResponse:
    """Shows which deadlines move first; with `sure` in the form (that was seen), or when none does, keeps it."""
    found = _found(calendar)
    form = calendar_form.read(request.POST)
    slug = found.slug if found else form.values["slug"]
    if found is None:
        _identity(slug, form.troubles)
    context = {**_base(request, found), "troubles": form.troubles}
    if form.spec is None or form.troubles:
        return render(request, "dashboard/_calendar_effect.html", context, status=422)
    now = timezone.now()
    sure = hashlib.sha256(repr(sorted(form.values.items())).encode()).hexdigest()[:32]
    if request.POST.get("sure") != sure:
        effect = calendar_versions.effect(library.load(now).book, slug, form.values["name"], form.spec, now)
        if effect.moved:
            return render(request, "dashboard/_calendar_effect.html", context | {"effect": effect, "sure": sure})
    base = request.POST.get("base", "")
    number = int(base) if base.isascii() and base.isdecimal() and len(base) < 9 else 0
    note = request.POST.get("note", "").strip()
    try:
        made = calendar_versions.save(
            slug, form.values["name"], form.spec, signed_in(request), now, base=number, note=note
        )
    except calendar_versions.Overtaken as overtaken:
        return render(request, "dashboard/_calendar_effect.html", context | {"overtaken": overtaken.newest}, status=422)
    rederiving.notice(timezone.now())
    messages.success(request, f"{made.name}: version {made.version} is kept. Open deadlines follow in the background.")
    response = HttpResponse(status=204)
    response["HX-Redirect"] = request.build_absolute_uri(reverse("dashboard:calendar", args=[made.slug]))
    return response


def _identity(slug: str, troubles: list[Trouble]) -> None:
    if slug in calendar_form.RESERVED:
        troubles.append(Trouble("slug", 0, "This short name is taken by the pages themselves; choose another."))
    elif not slug.isascii() or slug != slug.lower() or not slug.replace("-", "").isalnum() or len(slug) > 64:
        troubles.append(Trouble("slug", 0, "The short name has small letters, digits and hyphens only."))
    elif Calendar.objects.filter(slug=slug).exists():
        troubles.append(Trouble("slug", 0, f"There is a calendar {slug} already; choose another short name."))
