"""The editor of an escalation policy: its steps, who they reach now, its versions.

What a step names stays in its form although it cannot be chosen any more (a person who left, a channel that is switched
off), with a word about it: nothing is dropped unless somebody drops it.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_POST

from apps.core.policies import policy
from apps.dashboard.escalations import MAY_EDIT
from apps.dashboard.forms import dress
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import escalations as select
from apps.notifications import escalation_versions as versions
from apps.notifications.escalation_models import EscalationPolicy
from apps.notifications.escalation_outlook import calls_of
from apps.notifications.escalation_plans import Ladder, PolicyError, read
from apps.notifications.escalation_targets import ladder_of
from apps.oncall.redrawing import Overtaken

MINUTE = timedelta(minutes=1)
#: targets that the form of a step offers at least
TARGETS = 3


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
    note = forms.CharField(
        max_length=versions.NOTE, required=False, label="What changed", help_text="For those who read the versions; may stay empty"
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
    """The editor; ?version= begins with an earlier version."""
    return _policy(request, get_object_or_404(EscalationPolicy, slug=slug))


def _policy(request: HttpRequest, row: EscalationPolicy | None) -> HttpResponse:
    now, status = timezone.now(), 200
    kept = select.versions(row) if row else []
    wanted = request.GET.get("version", "")
    shown = next((one.row for one in kept if str(one.row.version) == wanted), None)
    if request.method == "POST":
        base = request.POST.get("base", "")[:64]
        form, steps, problem = PolicyForm(request.POST), _steps_said(request.POST), ""
        ladder: Ladder | None = None
        try:
            valid = form.is_valid()
            ladder = read(steps, form.cleaned_data.get("repeat") or 0, (form.cleaned_data.get("pause") or 30) * MINUTE)
            select.refuse_unknown(ladder, row)
        except PolicyError as error:
            valid, problem = False, str(error)
        if valid and ladder is not None and request.POST.get("do") != "look":
            said = _said(form.cleaned_data, steps, row.slug if row else _free_slug(form.cleaned_data["name"]))
            try:
                saved = versions.save(said, signed_in(request), now, base=base, note=form.cleaned_data["note"])
            except Overtaken as error:
                problem, status = str(error), 409
            else:
                messages.success(
                    request, f"Saved: {saved.name}. New incidents follow it; those under way go on as they began."
                )
                return redirect("dashboard:escalations")
        status = status if valid else 422
    else:
        source = versions.of_version(shown, shown.slug) if shown is not None else row
        base = versions.base_of(row)
        steps = list(source.steps) if source else [{"after": 0, "targets": []}]
        form, problem, ladder = PolicyForm(initial=_initial(source)), "", ladder_of(source) if source else None
    context = {
        "now": now,
        "row": row,
        "form": form,
        "base": base,
        "shown": shown,
        "problem": problem,
        "steps": _rows(steps, more=(bool(steps) and bool(steps[-1]["targets"])) or not steps),
        "groups": select.target_choices(ladder),
        "gone": select.gone(ladder) if ladder else [],
        "picture": select.picture(calls_of(ladder, now)) if ladder else None,
        "in_use": row.routes.count() if row else 0,
        "versions": kept,
        # what counts now, if a page said it; what a file said after the newest version becomes one with the next save
        "counts": kept[0].row.version if row and kept and kept[0].row.spec == versions.told(row) else 0,
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


def _said(values: dict[str, Any], steps: list[dict[str, Any]], slug: str) -> EscalationPolicy:
    """What a valid form says; not saved."""
    return EscalationPolicy(
        slug=slug,
        name=values["name"],
        steps=steps,
        repeat=values["repeat"],
        pause=values["pause"] * MINUTE,
        lapse_after=values["lapse"] * MINUTE if values["lapse"] else None,
        remind_every=values["remind"] * MINUTE if values["remind"] else None,
    )


def _free_slug(name: str) -> str:
    base = slugify(name)[:56] or "policy"
    taken = set(EscalationPolicy.objects.filter(slug__startswith=base).values_list("slug", flat=True)) | {"add"}
    return next(slug for slug in (base, *(f"{base}-{n}" for n in range(2, 1000))) if slug not in taken)


@policy(MAY_EDIT)
@require_POST
def policy_go_back(request: HttpRequest, slug: str) -> HttpResponse:
    """An earlier version again, as the newest."""
    row = get_object_or_404(EscalationPolicy, slug=slug)
    number = request.POST.get("version", "")
    kept = get_object_or_404(row.versions, version=int(number) if number.isascii() and number.isdigit() else 0)
    base, note = request.POST.get("base", "")[:64], f"Version {kept.version} again"
    now: datetime = timezone.now()
    try:
        versions.save(versions.of_version(kept, slug), signed_in(request), now, base=base, note=note)
    except Overtaken as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{kept.name} says again what version {kept.version} said. New incidents follow it.")
    return redirect("dashboard:escalation_edit", slug)


@policy(MAY_EDIT)
@require_POST
def policy_remove(request: HttpRequest, slug: str) -> HttpResponse:
    row = get_object_or_404(EscalationPolicy, slug=slug)
    versions.remove(row, signed_in(request), timezone.now())
    messages.success(request, f"Removed: {row.name}. Incidents under way go on as they began.")
    return redirect("dashboard:escalations")
