"""What the detectors saw: the list, one with its evidence, people's answers, and the detectors' own record."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from apps.anomalies import feedback, replaying
from apps.anomalies import health as figures
from apps.anomalies.contract import DETECTORS
from apps.anomalies.models import Anomaly, KnownSpan
from apps.core.htmx import fragment_response
from apps.core.policies import check, policy, roles
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import anomalies as select
from apps.dashboard.selectors import anomaly_plots
from apps.integrations.models import Partner

MAY_ANSWER = roles("operations", "on_call", "manager")
MAY_SET = roles("manager")
ANSWERS = [
    ("real", "Real", "Something was wrong. Never learnt as normal; the threshold falls a little."),
    ("fixed", "Fixed by us", "Something was wrong and we mended it. Never learnt as normal."),
    ("expected", "Expected", "A known exception: written into the calendar, not learnt, and this one is closed."),
    ("not_useful", "Not useful", "Nobody needed to know. The threshold rises a little and fades back in 60 days."),
]


@policy("staff")
@require_safe
def anomalies(request: HttpRequest) -> HttpResponse:
    asked = select.Asked.read(request.GET.dict())
    cards, older = select.cards(asked)
    context = {
        "now": timezone.now(),
        "asked": asked,
        "cards": cards,
        "older": older,
        "tabs": [(key, label, select.counts().get(key)) for key, label in select.TABS.items()],
        "detectors": select.kinds(),
        "partners": select.partners(),
        "answers": ANSWERS,
        "may_answer": check(MAY_ANSWER, signed_in(request)) == "allow",
    }
    return fragment_response(request, "dashboard/anomalies.html", "dashboard/_anomalies.html", context)


@policy("staff")
@require_safe
def anomaly(request: HttpRequest, pk: int) -> HttpResponse:
    """One anomaly: the sentence, the picture, the numbers behind it, who answered what."""
    rows = Anomaly.objects.select_related("partner", "integration", "flow", "finding__incident", "verdict_by", "span")
    row = get_object_or_404(rows, pk=pk)
    seen = row.evidence
    table = []
    if seen.get("hours"):
        table = list(
            zip(*(seen.get(name, []) for name in ("hours", "expected", "lower", "upper", "seen")), strict=False)
        )
    context = {
        "now": timezone.now(),
        "card": select.card(row),
        "one": row,
        "picture": anomaly_plots.picture(row),
        "table": table[::-1],
        "replayed": replaying.words(row),
        "answers": ANSWERS,
        "may_answer": check(MAY_ANSWER, signed_in(request)) == "allow",
        "before": Anomaly.objects.filter(detector=row.detector, stream=row.stream).exclude(pk=pk)[:8],
    }
    return render(request, "dashboard/anomaly.html", context)


@policy("staff")
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """What the detectors promised and what happened."""
    now = timezone.now()
    covered = figures.coverage(now)
    context = {
        "now": now,
        "records": figures.records(now),
        "coverage": covered,
        "coverage_plot": select.coverage_plot(covered),
        "held": figures.held_back(now),
        "budget": figures.spent(now),
        "spans": figures.spans(now),
        "partners": select.partners(),
        "counts": select.counts(),
        "may_answer": check(MAY_ANSWER, signed_in(request)) == "allow",
        "may_set": check(MAY_SET, signed_in(request)) == "allow",
    }
    return render(request, "dashboard/anomaly_health.html", context)


def _act(request: HttpRequest, act: Callable[[], str], back: str) -> HttpResponse:
    try:
        messages.success(request, act())
    except feedback.NotPossible as refused:
        messages.warning(request, str(refused))
    except Anomaly.DoesNotExist:
        raise Http404 from None
    wanted = request.POST.get("back", "")
    inside = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, request.is_secure())
    return redirect(wanted if inside else back)


@policy(MAY_ANSWER)
@require_POST
def answer(request: HttpRequest, pk: int) -> HttpResponse:
    def act() -> str:
        effect = feedback.judge(pk, request.POST.get("verdict", ""), signed_in(request), timezone.now())
        return f"Kept. {effect.words}"

    return _act(request, act, "dashboard:anomalies")


@policy(MAY_ANSWER)
@require_POST
def take_back(request: HttpRequest, pk: int) -> HttpResponse:
    def act() -> str:
        return f"Taken back. {feedback.take_back(pk, signed_in(request), timezone.now()).words}"

    return _act(request, act, "dashboard:anomalies")


@policy(MAY_SET)
@require_POST
def switch(request: HttpRequest) -> HttpResponse:
    kind, slug = request.POST.get("detector", ""), request.POST.get("partner", "")
    if kind not in DETECTORS.plugins:
        raise Http404
    partner = get_object_or_404(Partner, slug=slug) if slug else None
    enabled = request.POST.get("enabled") == "1"
    reason = request.POST.get("reason", "").strip()

    def act() -> str:
        feedback.switch(kind, partner, enabled, reason, signed_in(request), timezone.now())
        where = f" for {partner.name}" if partner else ""
        return f"{DETECTORS.get(kind).label} is {'on' if enabled else 'off'}{where}."

    return _act(request, act, "dashboard:anomaly_health")


@policy(MAY_ANSWER)
@require_POST
def declare(request: HttpRequest) -> HttpResponse:
    """Keeps a peak or an exception. Times are local to the page's zone, as the form's fields are."""
    given = {name: str(value).strip() for name, value in request.POST.items()}
    partner = get_object_or_404(Partner, slug=given["partner"]) if given.get("partner") else None

    def act() -> str:
        starts, ends = (_moment(given.get(name, "")) for name in ("starts", "ends"))
        kind = KnownSpan.Kind.PEAK if given.get("kind") == "peak" else KnownSpan.Kind.EXPECTED
        span = KnownSpan(kind=kind, name=given.get("name", "")[:200], partner=partner, starts_at=starts, ends_at=ends)
        span.factor = _factor(given.get("factor", "")) if kind == KnownSpan.Kind.PEAK else None
        feedback.declare(span, signed_in(request), timezone.now())
        return f"Kept: {span}."

    return _act(request, act, "dashboard:anomaly_health")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else timezone.make_aware(moment)
    except (ValueError, OverflowError):
        raise feedback.NotPossible("Give a day and a time for its beginning and its end.") from None


def _factor(text: str) -> float | None:
    try:
        found = float(text.replace(",", "."))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


@policy(MAY_ANSWER)
@require_POST
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    def act() -> str:
        try:
            return f"Taken back: {feedback.withdraw(pk, signed_in(request), timezone.now())}."
        except KnownSpan.DoesNotExist:
            raise Http404 from None

    return _act(request, act, "dashboard:anomaly_health")


@policy(MAY_SET)
@require_POST
def set_budget(request: HttpRequest) -> HttpResponse:
    def number(name: str) -> int:
        given = request.POST.get(name, "")
        return int(given) if given.isascii() and given.isdecimal() and len(given) < 7 else 0

    def act() -> str:
        feedback.set_budget(number("pages"), number("tasks"), signed_in(request), timezone.now())
        return "The budget is kept. Thresholds follow from the next round."

    return _act(request, act, "dashboard:anomaly_health")


@policy(MAY_SET)
@require_POST
def set_least(request: HttpRequest) -> HttpResponse:
    """How much a lead time must change before it is told."""

    def act() -> str:
        percent, minutes = (_factor(request.POST.get(name, "")) for name in ("percent", "minutes"))
        feedback.set_least(percent, minutes, signed_in(request), timezone.now())
        return "Kept. From the next round smaller changes of lead times are held back."

    return _act(request, act, "dashboard:anomaly_health")
