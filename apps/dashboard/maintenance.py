"""Maintenance windows and mutes: the list, planning and changing one, cancelling it and taking that back."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.core import wording
from apps.core.htmx import fragment_response
from apps.core.policies import check, policy, roles
from apps.dashboard.forms import dress
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import maintenance as select
from apps.dashboard.selectors.moments import shown, typed
from apps.integrations import maintenance_plans as plans
from apps.integrations.maintenance_models import MaintenanceWindow
from apps.integrations.maintenance_plans import NotPossible, Wanted
from apps.integrations.models import Integration, Partner
from apps.sla.models import SlaRule

MAY_PLAN = roles("operations", "on_call", "manager")
HOUR = timedelta(hours=1)
REPEATS = (
    ("", "Once"),
    ("FREQ=DAILY", "Every day"),
    ("FREQ=WEEKLY", "Every week, same day"),
    ("own", "By my own rule"),
)


class WindowForm(forms.Form):
    """What a window's page asks; times are in the reader's zone."""

    kind = forms.ChoiceField(
        choices=[("maintenance", "Maintenance: nobody is called, clocks stand still, reports leave it out"), ("mute", "Mute: nobody is called, clocks go on")],
        widget=forms.RadioSelect(attrs={"class": "form-check-input"}), label="What it does",
    )  # fmt: skip
    reason = forms.CharField(max_length=300, label="Why", help_text="Staff read it where something is silenced")
    starts_at = forms.CharField(max_length=40, label="From", widget=forms.TextInput(attrs={"type": "datetime-local"}))
    ends_at = forms.CharField(max_length=40, label="To", widget=forms.TextInput(attrs={"type": "datetime-local"}))
    repeats = forms.ChoiceField(choices=REPEATS, required=False, label="Repeats")
    recurrence = forms.CharField(
        max_length=300, required=False, label="Own rule", help_text="RRULE such as FREQ=WEEKLY;BYDAY=TU,TH or FREQ=MONTHLY;BYDAY=1SU"
    )  # fmt: skip
    everything = forms.BooleanField(required=False, label="Everything")
    partners = forms.ModelMultipleChoiceField(Partner.objects.order_by("name"), required=False, label="Partners")
    integrations = forms.ModelMultipleChoiceField(
        Integration.objects.order_by("name"), required=False, label="Integrations"
    )
    rules = forms.MultipleChoiceField(required=False, label="Only these rules")
    announce = forms.BooleanField(required=False, label="Announce it on the partners' status pages")
    announcement = forms.CharField(max_length=300, required=False, label="What partners read")

    def __init__(self, *args: Any, zone: tzinfo, zone_name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone, self.zone_name = zone, zone_name
        slugs = dict(SlaRule.objects.order_by("slug", "version").values_list("slug", "name"))
        self.fields["rules"].choices = [(slug, name) for slug, name in sorted(slugs.items(), key=lambda one: one[1])]  # type: ignore[attr-defined]
        dress(self)

    def _moment(self, name: str) -> datetime:
        moment = typed(self.cleaned_data[name], self.zone)
        if moment is None:
            raise forms.ValidationError("Choose a day and a time.")
        return moment

    def clean_starts_at(self) -> datetime:
        return self._moment("starts_at")

    def clean_ends_at(self) -> datetime:
        return self._moment("ends_at")

    def wanted(self) -> Wanted:
        values = self.cleaned_data
        rule = values["recurrence"].strip() if values["repeats"] == "own" else values["repeats"]
        if values["repeats"] == "own" and not rule:
            raise NotPossible("Write the rule, or choose another way to repeat.", "recurrence")
        return Wanted(
            values["kind"], values["starts_at"], values["ends_at"], values["reason"], rule.upper(), self.zone_name,
            values["everything"], list(values["integrations"]), list(values["partners"]), list(values["rules"]),
            values["announce"], values["announcement"],
        )  # fmt: skip


@policy("staff")
def maintenance(request: HttpRequest) -> HttpResponse:
    now, reader = timezone.now(), signed_in(request)
    context = {
        "now": now,
        "lists": select.lists(now, wording.zone(reader.time_zone)),
        "may_plan": check(MAY_PLAN, request.user) == "allow",
    }
    return fragment_response(request, "maintenance/list.html", "maintenance/_list.html", context)


@policy(MAY_PLAN)
def plan(request: HttpRequest) -> HttpResponse:
    """A new window; `?integration=` and `?partner=` (slugs) and `?rule=` are chosen already."""
    now, reader = timezone.now(), signed_in(request)
    zone = wording.zone(reader.time_zone)
    if request.method == "POST":
        form = _form(request, request.POST)
        if form.is_valid() and (row := _try(form, lambda wanted: plans.plan(wanted, reader, now))):
            messages.success(request, f"Planned: {row.reason}.")
            return redirect("dashboard:maintenance")
        return _edit(request, form, None, now, 422)
    hour = now.replace(minute=0, second=0, microsecond=0) + HOUR
    initial = {
        "kind": "mute" if request.GET.get("kind") == "mute" else "maintenance",
        "starts_at": shown(hour, zone),
        "ends_at": shown(hour + 2 * HOUR, zone),
        "integrations": Integration.objects.filter(slug=request.GET.get("integration", "")[:64]),
        "partners": Partner.objects.filter(slug=request.GET.get("partner", "")[:64]),
        "rules": [request.GET.get("rule", "")[:64]],
    }
    return _edit(request, _form(request, None, initial), None, now)


@policy(MAY_PLAN)
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    now, reader = timezone.now(), signed_in(request)
    row = get_object_or_404(MaintenanceWindow.objects.prefetch_related("integrations", "partners"), pk=pk)
    zone = wording.zone(row.time_zone)
    if request.method == "POST":
        form = _form(request, request.POST, row=row)
        if form.is_valid() and _try(form, lambda wanted: plans.change(pk, wanted, reader, now)):
            messages.success(request, "Changed.")
            return redirect("dashboard:maintenance")
        return _edit(request, form, row, now, 422)
    simple = row.recurrence in dict(REPEATS)
    initial = {
        "kind": row.kind,
        "reason": row.reason,
        "starts_at": shown(row.starts_at, zone),
        "ends_at": shown(row.ends_at, zone),
        "repeats": row.recurrence if simple else "own",
        "recurrence": "" if simple else row.recurrence,
        "everything": row.everything,
        "integrations": row.integrations.all(),
        "partners": row.partners.all(),
        "rules": row.rules,
        "announce": row.announce_to_partners,
        "announcement": row.announcement,
    }
    return _edit(request, _form(request, None, initial, row), row, now)


def _form(request: HttpRequest, data: Any, initial: Any = None, row: MaintenanceWindow | None = None) -> WindowForm:
    name = row.time_zone if row else signed_in(request).time_zone or "UTC"
    return WindowForm(data, initial=initial, zone=wording.zone(name), zone_name=name)


def _try(form: WindowForm, deed: Any) -> MaintenanceWindow | None:
    """What it made; None when it refused, and the form says why beside the field."""
    try:
        row: MaintenanceWindow = deed(form.wanted())
    except NotPossible as error:
        form.add_error(error.field if error.field in form.fields else None, str(error))
        return None
    return row


def _edit(
    request: HttpRequest, form: WindowForm, row: MaintenanceWindow | None, now: datetime, status: int = 200
) -> HttpResponse:
    context = {"now": now, "form": form, "row": row, "page_zone": form.zone_name}
    return render(request, "maintenance/edit.html", context, status=status)


@policy(MAY_PLAN)
@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(MaintenanceWindow, pk=pk)
    try:
        row = plans.cancel(pk, signed_in(request), timezone.now())
        messages.success(
            request,
            f"Cancelled: {row.reason}. What is still open calls within a minute; Undo stands beside it for an hour.",
        )
    except NotPossible as error:
        messages.error(request, str(error))
    return redirect("dashboard:maintenance")


@policy(MAY_PLAN)
@require_POST
def restore(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(MaintenanceWindow, pk=pk)
    try:
        row = plans.restore(pk, signed_in(request), timezone.now())
        messages.success(request, f"It counts again: {row.reason}.")
    except NotPossible as error:
        messages.error(request, str(error))
    return redirect("dashboard:maintenance")
