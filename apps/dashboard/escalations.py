"""Escalation policies: which there are, which incidents follow which, who would be called, and their editors."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_POST

from apps.accounts import audit
from apps.core import wording
from apps.core.policies import check, policy, roles
from apps.dashboard.forms import dress
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import escalations as select
from apps.dashboard.selectors.moments import shown, typed
from apps.incidents.models import Severity
from apps.notifications.escalation_models import EscalationPolicy, EscalationRoute, ReminderInterval
from apps.notifications.escalation_outlook import calls_of, would_call
from apps.notifications.escalation_plans import Ladder, PolicyError, read
from apps.notifications.escalation_targets import ladder_of

MAY_EDIT = roles("operations", "manager")
MINUTE = timedelta(minutes=1)
#: targets that the form of a step offers at least
TARGETS = 3
REMIND = ((0, "Do not remind me"), (15, "Every 15 min"), (30, "Every 30 min"), (60, "Every hour"), (120, "Every 2 h"))


@policy("staff")
def escalations(request: HttpRequest) -> HttpResponse:
    now, reader = timezone.now(), signed_in(request)
    zone = wording.zone(reader.time_zone)
    asked = request.GET
    at = typed(asked.get("at", ""), zone) or _three_in_the_morning(now, zone)
    severity = asked.get("severity", "")
    severity = severity if severity in Severity.values else Severity.CRITICAL
    would = would_call(at, severity, asked.get("integration", "")[:64], asked.get("team", "")[:64])
    own = ReminderInterval.objects.filter(user=reader).first()
    context = {
        "now": now,
        "policies": select.policies(now),
        "routes": select.routes(),
        "would": would,
        "would_picture": select.picture(would.calls) if would.calls else None,
        "asked": {"at": shown(at, zone), "severity": severity, "integration": asked.get("integration", ""), "team": asked.get("team", "")},
        "choices": select.route_choices(),
        "remind": REMIND,
        "own": "" if own is None else int(own.every / MINUTE) if own.every else 0,
        "may_edit": check(MAY_EDIT, request.user) == "allow",
    }  # fmt: skip
    return render(request, "escalations/list.html", context)


def _three_in_the_morning(now: datetime, zone: Any) -> datetime:
    """The next time the reader's clock shows 03:00."""
    here = now.astimezone(zone)
    day = here.date() if here.time() < time(3) else here.date() + timedelta(days=1)
    return datetime.combine(day, time(3), zone)


@policy("staff")
@require_POST
def remind_me(request: HttpRequest) -> HttpResponse:
    """How often the reader wants to be reminded of what they acknowledged."""
    said = request.POST.get("every", "")
    if said in {str(minutes) for minutes, _ in REMIND}:
        every = int(said) * MINUTE or None
        ReminderInterval.objects.update_or_create(user=signed_in(request), defaults={"every": every})
        messages.success(request, "Kept." if every else "You are not reminded any more.")
    elif said == "":
        ReminderInterval.objects.filter(user=signed_in(request)).delete()
        messages.success(request, "The policy's own interval counts.")
    return redirect("dashboard:escalations")


class PolicyForm(forms.Form):
    """A policy without its steps; those come as ``after-<n>`` and ``target-<n>-<m>``."""

    name = forms.CharField(max_length=200, label="Name", help_text="As people say it: “Night shift”")
    repeat = forms.IntegerField(
        min_value=0, max_value=20, initial=0, label="Repeats", help_text="Rounds after the first"
    )
    pause = forms.IntegerField(min_value=1, max_value=2880, initial=30, label="Pause between rounds, min")
    lapse = forms.IntegerField(
        min_value=1, max_value=10080, required=False, label="An acknowledgment runs out after, min", help_text="Empty: never"
    )  # fmt: skip
    remind = forms.IntegerField(
        min_value=1, max_value=2880, required=False, label="Reminds who has it every, min",
        help_text="Whoever chose their own interval keeps that; empty: no reminders",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self)


def _steps_said(post: Any) -> list[dict[str, Any]]:
    """The steps a form says, in order; one without a target is left out."""
    found: dict[int, dict[str, Any]] = {}
    for name in post:
        if match := re.fullmatch(r"target-(\d{1,2})-(\d{1,2})", name):
            kind, _, ref = post[name][:200].partition(":")
            step = found.setdefault(int(match[1]), {"after": 0, "targets": []})
            if kind and ref and {"kind": kind, "ref": ref} not in step["targets"]:
                step["targets"].append({"kind": kind, "ref": ref})
    for number, step in found.items():
        after = post.get(f"after-{number}", "").strip()[:8]
        step["after"] = int(after) if after.isascii() and after.isdigit() else -1 if after else 0
    return [found[number] for number in sorted(found) if found[number]["targets"]]


def _rows(steps: list[dict[str, Any]], *, more: bool = True) -> list[dict[str, Any]]:
    """The rows of the form: every step, and an empty one."""
    rows = []
    for number, step in enumerate([*steps, *([{"after": "", "targets": []}] if more else [])], 1):
        chosen = [f"{one['kind']}:{one['ref']}" for one in step["targets"]]
        slots = chosen + [""] * max(TARGETS - len(chosen), 1)
        rows.append({"number": number, "after": step["after"], "targets": list(enumerate(slots, 1))})
    return rows


@policy(MAY_EDIT)
def policy_add(request: HttpRequest) -> HttpResponse:
    return _policy(request, None)


@policy(MAY_EDIT)
def policy_edit(request: HttpRequest, slug: str) -> HttpResponse:
    return _policy(request, get_object_or_404(EscalationPolicy, slug=slug))


def _policy(request: HttpRequest, row: EscalationPolicy | None) -> HttpResponse:
    now, status = timezone.now(), 200
    if request.method == "POST":
        form, steps, problem = PolicyForm(request.POST), _steps_said(request.POST), ""
        ladder: Ladder | None = None
        try:
            valid = form.is_valid()
            ladder = read(steps, form.cleaned_data.get("repeat") or 0, (form.cleaned_data.get("pause") or 30) * MINUTE)
        except PolicyError as error:
            valid, problem = False, str(error)
        if valid and ladder is not None and request.POST.get("do") != "look":
            saved = _save(row, form.cleaned_data, steps, request, now)
            messages.success(
                request, f"Saved: {saved.name}. New incidents follow it; those under way go on as they began."
            )
            return redirect("dashboard:escalations")
        status = 200 if valid else 422
    else:
        steps = list(row.steps) if row else [{"after": 0, "targets": []}]
        form, problem, ladder = PolicyForm(initial=_initial(row)), "", ladder_of(row) if row else None
    context = {
        "now": now,
        "row": row,
        "form": form,
        "problem": problem,
        "steps": _rows(steps, more=(bool(steps) and bool(steps[-1]["targets"])) or not steps),
        "groups": select.target_choices(),
        "picture": select.picture(calls_of(ladder, now)) if ladder else None,
        "in_use": row.routes.count() if row else 0,
    }
    return render(request, "escalations/policy.html", context, status=status)


def _initial(row: EscalationPolicy | None) -> dict[str, Any]:
    if row is None:
        return {}
    return {
        "name": row.name,
        "repeat": row.repeat,
        "pause": int(row.pause / MINUTE),
        "lapse": int(row.lapse_after / MINUTE) if row.lapse_after else None,
        "remind": int(row.remind_every / MINUTE) if row.remind_every else None,
    }


def _save(
    row: EscalationPolicy | None,
    values: dict[str, Any],
    steps: list[dict[str, Any]],
    request: HttpRequest,
    now: datetime,
) -> EscalationPolicy:
    with transaction.atomic():
        before = None if row is None else _facts(row)
        if row is None:
            row = EscalationPolicy(slug=_free_slug(values["name"]))
        row.name, row.steps, row.repeat, row.pause = values["name"], steps, values["repeat"], values["pause"] * MINUTE
        row.lapse_after = values["lapse"] * MINUTE if values["lapse"] else None
        row.remind_every = values["remind"] * MINUTE if values["remind"] else None
        row.save()
        action = "escalation.added" if before is None else "escalation.changed"
        audit.record(signed_in(request), action, f"escalation:{row.slug}", before, _facts(row), now)
    return row


def _facts(row: EscalationPolicy) -> dict[str, Any]:
    names = ("name", "steps", "repeat", "pause", "lapse_after", "remind_every")
    return {name: getattr(row, name) for name in names}


def _free_slug(name: str) -> str:
    base = slugify(name)[:56] or "policy"
    taken = set(EscalationPolicy.objects.filter(slug__startswith=base).values_list("slug", flat=True)) | {"add"}
    return next(slug for slug in (base, *(f"{base}-{n}" for n in range(2, 1000))) if slug not in taken)


@policy(MAY_EDIT)
@require_POST
def policy_remove(request: HttpRequest, slug: str) -> HttpResponse:
    row = get_object_or_404(EscalationPolicy, slug=slug)
    with transaction.atomic():
        audit.record(
            signed_in(request), "escalation.removed", f"escalation:{row.slug}", _facts(row), None, timezone.now()
        )
        row.delete()
    messages.success(request, f"Removed: {row.name}. Incidents under way go on as they began.")
    return redirect("dashboard:escalations")


@policy(MAY_EDIT)
@require_POST
def route_add(request: HttpRequest) -> HttpResponse:
    """A new route at the end of the list."""
    post, choices = request.POST, select.route_choices()
    row = EscalationRoute.objects.order_by("-position").first()
    hours, calendar = post.get("hours", "any"), post.get("calendar", "")
    if hours not in EscalationRoute.Hours.values or (hours != "any" and calendar not in dict(choices["calendars"])):
        messages.error(request, "Choose the calendar whose working hours you mean.")
        return redirect("dashboard:escalations")
    chosen = {
        name: [value for value in post.getlist(name) if value in dict(choices[name])]
        for name in ("severities", "integrations", "teams")
    }
    with transaction.atomic():
        made = EscalationRoute.objects.create(
            position=row.position + 10 if row else 10,
            policy=get_object_or_404(EscalationPolicy, slug=post.get("policy", "")[:64]),
            hours=hours,
            calendar=calendar if hours != "any" else "",
            **chosen,
        )
        audit.record(
            signed_in(request), "escalation.route_added", f"escalation:{made.policy.slug}", None, chosen, timezone.now()
        )
    messages.success(request, "Added as the last one: move it up where it should be asked earlier.")
    return redirect("dashboard:escalations")


@policy(MAY_EDIT)
@require_POST
def route_change(request: HttpRequest, pk: int) -> HttpResponse:
    """Moves a route up or removes it (`do`)."""
    row = get_object_or_404(EscalationRoute.objects.select_related("policy"), pk=pk)
    with transaction.atomic():
        rows = list(EscalationRoute.objects.select_for_update(of=("self",)).order_by("position", "id"))
        place = next((n for n, one in enumerate(rows) if one.pk == row.pk), 0)
        if request.POST.get("do") == "up":
            rows.insert(max(place - 1, 0), rows.pop(place))
        else:
            rows.pop(place)
            row.delete()
        for number, one in enumerate(rows, 1):
            one.position = number * 10
        EscalationRoute.objects.bulk_update(rows, ["position"])
        action = "escalation.route_moved" if request.POST.get("do") == "up" else "escalation.route_removed"
        audit.record(
            signed_in(request), action, f"escalation:{row.policy.slug}", {"place": place + 1}, None, timezone.now()
        )
    return redirect("dashboard:escalations")
