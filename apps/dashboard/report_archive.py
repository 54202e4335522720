"""The archive of reports: closed months as they were frozen, their files, and the schedules that send them."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.accounts.models import Role
from apps.core.policies import check, policy, roles
from apps.dashboard.people import signed_in
from apps.dashboard.report_asking import asked_of
from apps.integrations.models import Partner
from apps.reports import archive as frozen
from apps.reports import document, rollups, scheduling, sending
from apps.reports.charts import charted
from apps.reports.models import Archive, ArchiveFile, Delivery, Schedule
from apps.reports.pdf import shown

MAY_EDIT = roles("manager")
#: closed months offered for freezing
MONTHS = 13
NEWEST = 100


@policy("staff")
def archive(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    return render(request, "dashboard/report_archive.html", _listed(request, now))


def _listed(request: HttpRequest, now: Any, **more: Any) -> dict[str, Any]:
    known = Archive.objects.select_related("partner").prefetch_related("files").defer("document", "files__body")
    kept = list(known.order_by("-month", "kind", "partner__name")[:NEWEST])
    there = {(one.kind, one.month) for one in kept if one.partner_id is None}
    first = frozen.last_closed(now)
    closed: list[date] = []
    for _ in range(MONTHS):
        closed.append(first)
        first = frozen.last_closed_before(first)
    schedules = [
        (one, sending.next_due(one, now) if one.active else None, len(sending.recipients(one)))
        for one in Schedule.objects.select_related("partner")
    ]
    return {
        "now": now,
        "archives": kept,
        "open_months": [one for one in closed if ("month", one) not in there],
        "schedules": schedules,
        "failed": Delivery.objects.filter(sent_at=None).exclude(error="").select_related("schedule", "archive")[:20],
        "may_edit": check(MAY_EDIT, request.user) == "allow",
        "partners": Partner.objects.filter(active=True),
        "roles": Role.choices,
        "formats": list(frozen.FILES),
        "zone": rollups.zone(),
        "last_closed": frozen.last_closed(now),
        **more,
    }


@policy("staff")
def archived(request: HttpRequest, pk: int) -> HttpResponse:
    """One frozen report, from its document alone."""
    found = get_object_or_404(Archive.objects.select_related("partner"), pk=pk)
    told = dict(found.document)
    told["tables"] = [
        {
            **table,
            "shown": [
                [
                    (shown(value, column["unit"]), column["unit"])
                    for value, column in zip(row, table["columns"], strict=True)
                ]
                for row in table["rows"]
            ],
        }
        for table in told["tables"]
    ]
    context = {
        "now": timezone.now(),
        "archive": found,
        "document": told,
        "plots": [
            {
                "key": chart["key"],
                "title": chart["title"],
                "wide": chart["key"] == "days",
                "label": f"{chart['title']}. The numbers are in the tables below.",
                "plot": charted(chart),
            }
            for chart in told["charts"]
            if sum(value is not None for value in chart["values"]) > 1
        ],
        "intact": frozen.is_intact(found),
    }
    return render(request, "dashboard/report_archived.html", context)


@policy("staff")
def download(request: HttpRequest, pk: int, kind: str) -> HttpResponse:
    found = get_object_or_404(ArchiveFile.objects.select_related("archive__partner"), archive_id=pk, kind=kind)
    return _file(bytes(found.body), f"{frozen.file_name(found.archive)}.{kind}", kind)


@policy("staff")
def live(request: HttpRequest, kind: str) -> HttpResponse:
    """The month's report of this moment as a file."""
    now = timezone.now()
    asked, partners, _ = asked_of(request, now)
    if kind not in frozen.FILES or (asked.partner and asked.partner not in partners):
        raise Http404
    partner = partners.get(asked.partner)
    told = document.month(asked.first, now, partner)
    name = "-".join(part for part in ("sla", asked.month, asked.partner) if part)
    return _file(frozen.FILES[kind][1](told), f"{name}.{kind}", kind)


def _file(body: bytes, name: str, kind: str) -> HttpResponse:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}
    return HttpResponse(body, content_type=frozen.FILES[kind][0], headers=disposition)


@policy(MAY_EDIT)
@require_POST
def freeze(request: HttpRequest) -> HttpResponse:
    """Keeps the report of a closed month for ever."""
    now = timezone.now()
    try:
        first = date.fromisoformat(request.POST.get("month", "") + "-01")
        kept = frozen.freeze(first, now, actor=signed_in(request))
    except frozen.NotClosed as problem:
        messages.error(request, str(problem))
        return redirect("dashboard:report_archive")
    except ValueError:
        raise Http404 from None
    messages.success(request, f"{first:%B %Y} is frozen: its figures will not change any more.")
    return redirect("dashboard:report_archived", kept.pk)


@policy(MAY_EDIT)
@require_POST
def schedule_add(request: HttpRequest) -> HttpResponse:
    """A new schedule; with mistakes the page comes back with them and with what was typed."""
    now = timezone.now()
    name = request.POST.get("name", "").strip()[:200]
    chosen, formats = request.POST.getlist("roles")[:10], request.POST.getlist("formats")[:10]
    extra = [one for one in request.POST.get("extra", "").replace(",", " ").split() if one][:50]
    partner = Partner.objects.filter(slug=request.POST.get("partner", "")[:64]).first()
    day = request.POST.get("day", "3")
    number = int(day) if day.isascii() and day.isdigit() and len(day) < 3 else 0
    values = {"name": name, "roles": chosen, "extra": extra, "formats": formats, "partner": partner, "day": number}
    troubles: list[str] = []
    try:
        made = scheduling.add(values, signed_in(request), now)
    except scheduling.Wrong as wrong:
        troubles = wrong.troubles
    if troubles:
        typed = {
            "name": name,
            "roles": chosen,
            "formats": formats,
            "extra": " ".join(extra),
            "day": day,
            "partner": partner,
        }
        return render(
            request, "dashboard/report_archive.html", _listed(request, now, troubles=troubles, typed=typed), status=422
        )
    messages.success(request, f"“{name}” is on. The first report goes out on {sending.next_due(made, now):%d %B}.")
    return redirect("dashboard:report_archive")


@policy(MAY_EDIT)
@require_POST
def schedule_change(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """on, off, remove, or send: the report of the last closed month to whoever has not had it."""
    now = timezone.now()
    found = get_object_or_404(Schedule, pk=pk)
    if verb == "send":
        sent = sending.send(found, frozen.last_closed(now), now)
        messages.success(request, f"{sent} sent. Who had it already does not get it again.")
        return redirect("dashboard:report_archive")
    if verb == "remove":
        scheduling.remove(found, signed_in(request), now)
        said = f"“{found.name}” is removed. What it sent stays in the archive."
    elif verb in ("on", "off"):
        scheduling.change(found, {"active": verb == "on"}, signed_in(request), now)
        said = f"“{found.name}” is {verb}."
    else:
        raise Http404
    messages.success(request, said)
    return redirect("dashboard:report_archive")
