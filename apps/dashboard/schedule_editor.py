"""The editor of an on-call schedule: layers and rotations drawn, looked at for two weeks, and kept as a version."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.core.policies import policy, roles
from apps.dashboard import schedule_form
from apps.dashboard.forms import zones
from apps.dashboard.people import signed_in
from apps.dashboard.schedule_form import Form
from apps.dashboard.selectors import schedules as select
from apps.oncall import redrawing
from apps.oncall.models import Layer, Schedule
from apps.oncall.redrawing import fingerprint, told, wanted_of

MAY_EDIT = roles("operations", "manager")
#: stands in the address of a schedule that is not kept yet; no short name can begin so
NEW = "-"
PRESETS = (("nights", "Nights"), ("weekends", "Weekends"), ("working", "Working days"))


def _found(slug: str) -> Schedule | None:
    return None if slug == NEW else get_object_or_404(Schedule.objects.select_related("team"), slug=slug)


@policy(MAY_EDIT)
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    """The editor; ?version= begins with an earlier version."""
    found, now = _found(slug), timezone.now()
    if found is None:
        form = Form({**dict.fromkeys(schedule_form.HEAD, ""), "time_zone": "UTC", "position": "0"}, [])
        form.head["time_zone"] = signed_in(request).time_zone or "UTC"
        schedule_form.press(form, "layer:", now.date())
        return _page(request, None, form, now, base="", quiet=True)
    shown = next((one for one in select.versions(found) if str(one.version) == request.GET.get("version", "")), None)
    wanted = wanted_of(found)
    base = fingerprint(told(wanted))
    if shown is not None:
        wanted = redrawing.from_told(found.slug, shown.spec, found.team, select.people_for(found))
    return _page(request, found, schedule_form.of(wanted), now, base=base, shown=shown)


def _page(
    request: HttpRequest,
    found: Schedule | None,
    form: Form,
    now: datetime,
    *,
    base: str,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    kept = select.versions(found) if found else []
    context = {
        **_context(request, found, form, now, base=base, **more),
        "versions": kept,
        # 0: what counts now was said by a file after the newest version; it becomes one with the next save
        "counts": next((one.version for one in kept[:1] if fingerprint(one.spec) == base), 0),
        "calling": select.calling(found.slug) if found else [],
    }
    return render(request, "oncall/edit.html", context, status=status)


def _context(
    request: HttpRequest,
    found: Schedule | None,
    form: Form,
    now: datetime,
    *,
    base: str,
    quiet: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """quiet: a form that nobody has filled in yet is not told what is missing."""
    people = select.people_for(found)
    schedule_form.read(form, select.teams(), people, found.slug if found else "")
    if found is None and form.wanted and Schedule.objects.filter(slug=form.wanted.slug).exists():
        form.troubles.append(("f-slug", f"There is a schedule {form.wanted.slug} already: choose another short name."))
    if form.wanted and (fine := select.too_fine(form.wanted)):
        form.troubles.append(("add-layer", fine))
    form.wanted = None if form.troubles else form.wanted
    context: dict[str, Any] = {
        "now": now,
        "schedule": found,
        "address": found.slug if found else NEW,
        "form": form,
        "base": base,
        "troubles": [] if quiet else form.troubles,
        "bad": set() if quiet else {name for name, _ in form.troubles},
        "teams": select.teams().values(),
        "people": people.values(),
        "zones": zones(),
        "units": schedule_form.UNIT_WORDS,
        "weekdays": schedule_form.WEEKDAYS,
        "holidays": Layer.Holidays.choices,
        "presets": PRESETS,
        "page_zone": form.wanted.time_zone if form.wanted else None,
        **more,
    }
    if form.wanted is not None:
        reader = signed_in(request)
        context |= {"preview": select.preview(form.wanted, found, now, reader), "reader": reader}
    return {name: value for name, value in context.items() if name != "page_zone" or value}


def _base(request: HttpRequest) -> str:
    return request.POST.get("base", "")[:64]


@policy(MAY_EDIT)
@require_POST
def draft(request: HttpRequest, slug: str) -> HttpResponse:
    """The form after one of its own buttons (`do`) was pressed, and its two weeks. Nothing is kept."""
    found, now = _found(slug), timezone.now()
    form = schedule_form.typed(request.POST)
    said, focus = schedule_form.press(form, request.POST.get("do", "")[:40], now.date())
    context = _context(request, found, form, now, base=_base(request), quiet=True, said=said, focus=focus)
    return render(request, "oncall/_editor.html", context)


@policy(MAY_EDIT)
@require_POST
def preview(request: HttpRequest, slug: str) -> HttpResponse:
    """What the form says now, as two weeks. Nothing is kept."""
    found, now = _found(slug), timezone.now()
    context = _context(request, found, schedule_form.typed(request.POST), now, base=_base(request))
    return render(request, "oncall/_preview.html", context)


@policy(MAY_EDIT)
@require_POST
def save(request: HttpRequest, slug: str) -> HttpResponse:
    """Keeps it. When somebody else is on call at once by it, or nobody is at times, it asks first (`sure`)."""
    found, now = _found(slug), timezone.now()
    form = schedule_form.typed(request.POST)
    context = _context(request, found, form, now, base=_base(request), saving=True)
    if form.wanted is None:
        return render(request, "oncall/_preview.html", context, status=422)
    sure, shown = fingerprint(told(form.wanted)), context["preview"]
    if request.POST.get("sure") != sure and (shown.at_once or shown.gaps):
        return render(request, "oncall/_preview.html", context | {"sure": sure})
    try:
        note = request.POST.get("note", "").strip()
        kept = redrawing.save(form.wanted, signed_in(request), now, base=_base(request), note=note)
    except redrawing.Overtaken as error:
        return render(request, "oncall/_preview.html", context | {"overtaken": str(error)}, status=422)
    messages.success(
        request, f"{kept.name} is kept and counts from now on. Earlier versions stay under “Change layers”."
    )
    response = HttpResponse(status=204)
    response["HX-Redirect"] = request.build_absolute_uri(reverse("dashboard:on_call_schedule", args=[kept.slug]))
    return response


@policy(MAY_EDIT)
@require_POST
def go_back(request: HttpRequest, slug: str) -> HttpResponse:
    """An earlier version again, as the newest."""
    found = _found(slug)
    wanted = request.POST.get("version", "")
    version = next((one for one in select.versions(found) if str(one.version) == wanted), None) if found else None
    if found is None or version is None:
        raise Http404
    try:
        redrawing.go_back(found, version, signed_in(request), timezone.now(), base=_base(request))
    except redrawing.Overtaken as error:
        messages.error(request, str(error))
        return redirect("dashboard:schedule_edit", slug=slug)
    messages.success(request, f"{found.name} says again what version {version.version} said. It counts from now on.")
    return redirect("dashboard:on_call_schedule", slug=slug)


@policy(MAY_EDIT)
@require_POST
def remove(request: HttpRequest, slug: str) -> HttpResponse:
    found = _found(slug)
    if found is None:
        raise Http404
    if calling := select.calling(found.slug):
        messages.error(request, f"{', '.join(calling)} still calls it: change that escalation policy first.")
        return redirect("dashboard:schedule_edit", slug=slug)
    redrawing.remove(found, signed_in(request), timezone.now())
    messages.success(request, f"{found.name} was removed. The audit log keeps what it said.")
    return redirect("dashboard:on_call")
