"""The mapping editor: a sample, the mapping as text, the events it gives; tried before it is saved, and its versions."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.collectors import mapping_text, mapping_trial, mapping_versions
from apps.core.policies import check, policy, roles
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import mappings as select
from apps.integrations.models import Integration, Mapping

MAY_EDIT = roles("operations")
#: characters a mapping or a sample may have in a form
MOST_TEXT = 1_000_000


def _found(slug: str) -> Integration:
    found = get_object_or_404(Integration.objects.select_related("partner", "mapping"), slug=slug)
    if not select.takes_mapping(found):
        raise Http404
    return found


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _text(request: HttpRequest, name: str) -> str:
    """A text of the form, with the line ends it had before the browser made them CRLF."""
    return request.POST.get(name, "")[:MOST_TEXT].replace("\r\n", "\n")


@policy("staff")
def editor(request: HttpRequest, slug: str) -> HttpResponse:
    """The page. ?receipt= chooses the sample, ?version= an earlier mapping to look at."""
    found = _found(slug)
    chosen = select.sample(found, _number(request.GET.get("receipt")))
    versions = select.versions(found)
    shown = next((one for one in versions if one.version == _number(request.GET.get("version"))), None)
    current = shown or found.mapping
    text = mapping_text.shown(current.spec, current.source) if current else select.draft(found, chosen)
    receipts = select.receipts(found)
    context = {
        **_base(request, found),
        "sample": chosen,
        "receipts": receipts,
        "own_form": bool(receipts and found.mapping is None and receipts[0][2] == "read"),
        "text": text,
        "shown": shown if shown and found.mapping and shown.version != found.mapping.version else None,
        "versions": versions,
        "others": select.others(found),
        "preview": select.preview(found, text, chosen.body, chosen.receipt),
        "catalogue": select.catalogue(),
        "base": found.mapping.version if found.mapping else 0,
    }
    return render(request, "dashboard/mapping.html", context)


def _base(request: HttpRequest, found: Integration) -> dict[str, Any]:
    return {"now": timezone.now(), "integration": found, "may_edit": check(MAY_EDIT, request.user) == "allow"}


@policy("staff")
def sample(request: HttpRequest, slug: str) -> HttpResponse:
    """The sample alone, when another message is chosen."""
    found = _found(slug)
    context = {**_base(request, found), "sample": select.sample(found, _number(request.GET.get("receipt")))}
    return render(request, "dashboard/_mapping_sample.html", context)


@policy("staff")
@require_POST
def preview(request: HttpRequest, slug: str) -> HttpResponse:
    """What the text makes of the sample, as it is typed. Nothing is kept."""
    found = _found(slug)
    chosen = select.sample(found, _number(request.POST.get("receipt")))
    body = select.typed_body(chosen, _text(request, "sample") if "sample" in request.POST else None)
    context = {
        **_base(request, found),
        "preview": select.preview(found, _text(request, "mapping"), body, chosen.receipt),
    }
    return render(request, "dashboard/_mapping_events.html", context)


@policy("staff")
@require_POST
def trial(request: HttpRequest, slug: str) -> HttpResponse:
    """The text against the last receipts: what would be read otherwise."""
    found = _found(slug)
    text = _text(request, "mapping")
    read = mapping_text.read(text)
    context = {**_base(request, found), "troubles": read.troubles}
    if read.spec is not None:
        context["trial"] = mapping_trial.try_out(found, read.spec, mapping_trial.last_receipts(found))
    return render(request, "dashboard/_mapping_trial.html", context)


@policy(MAY_EDIT)
@require_POST
def save(request: HttpRequest, slug: str) -> HttpResponse:
    """Tries the text first; with `sure` in the form (the result was shown), or when nothing changes, keeps it."""
    found = _found(slug)
    text, note = _text(request, "mapping"), request.POST.get("note", "").strip()[:300]
    read = mapping_text.read(text)
    context = {**_base(request, found), "troubles": read.troubles, "saving": True, "note": note}
    if read.spec is None:
        return render(request, "dashboard/_mapping_trial.html", context, status=422)
    tried = mapping_trial.try_out(found, read.spec, mapping_trial.last_receipts(found))
    fingerprint = select.fingerprint(text)
    if tried.changed and request.POST.get("sure") != fingerprint:
        context |= {"trial": tried, "sure": fingerprint}
        return render(request, "dashboard/_mapping_trial.html", context)
    try:
        made = mapping_versions.save(
            found,
            read.spec,
            text,
            signed_in(request),
            timezone.now(),
            base=_number(request.POST.get("base")),
            note=note,
        )
    except mapping_versions.Overtaken as overtaken:
        context["overtaken"] = overtaken.newest
        return render(request, "dashboard/_mapping_trial.html", context, status=422)
    messages.success(request, f"Version {made.version} is in use. {tried.sentence}")
    response = HttpResponse(status=204)
    response["HX-Redirect"] = request.build_absolute_uri(_address(found, request))
    return response


def _address(found: Integration, request: HttpRequest) -> str:
    receipt = _number(request.POST.get("receipt"))
    return select.address(found, receipt)


@policy(MAY_EDIT)
@require_POST
def go_back(request: HttpRequest, slug: str) -> HttpResponse:
    """An earlier version again, as the newest."""
    found = _found(slug)
    try:
        made = mapping_versions.go_back(found, _number(request.POST.get("version")), signed_in(request), timezone.now())
    except Mapping.DoesNotExist:
        raise Http404 from None
    messages.success(request, f"Version {made.version} is in use; it says what version {request.POST['version']} said.")
    return redirect("dashboard:mapping", slug=slug)
