"""Reviews: which incidents want one, how it is written, what was agreed, and the same as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from apps.accounts.models import User
from apps.core.wording import absolute, duration
from apps.incidents.models import Incident, IncidentEvent, Resolution, Review, ReviewAction
from apps.incidents.workflow import NotPossible

#: the template: field -> (heading, what to write there)
PARTS: Mapping[str, tuple[str, str]] = {
    "summary": ("What happened", "In three sentences, for somebody who was not there."),
    "impact": ("Whom it hurt", "Orders, customers and money; for how long."),
    "causes": ("Why", "What made it possible, not who. Ask why until the answer is something we can change."),
    "went_well": ("What went well", "What noticed it, what made it shorter."),
    "went_badly": ("What went badly", "What we noticed late, what took long, what called for nothing."),
}
LONGEST = 20_000
MOST_ACTIONS = 50
#: reviews are asked for while the incident is so fresh
FRESH = timedelta(days=60)


def wanted(now: datetime) -> QuerySet[Incident]:
    """Incidents that are over, of a severity that wants a review, and have none that is done; the latest first."""
    over = Incident.objects.filter(
        state=Incident.State.RESOLVED,
        severity__in=settings.INCIDENT_REVIEW_SEVERITIES,
        resolved_at__gt=now - FRESH,
        merged_into=None,
    )
    over = over.exclude(resolution=Resolution.FALSE_ALARM).exclude(review__state=Review.State.DONE)
    return over.select_related("partner", "review").order_by("-resolved_at", "-id")


@transaction.atomic
def write(incident_id: int, actor: User, now: datetime, said: Mapping[str, str], done: bool) -> Review:
    """Begins a review or goes on with it. done: it is finished and needs its summary and causes.

    Raises NotPossible while the incident goes on, and for what a finished review lacks; Incident.DoesNotExist.
    """
    incident = Incident.objects.select_for_update(no_key=True).get(pk=incident_id)
    if incident.state != Incident.State.RESOLVED:
        raise NotPossible("It is not over yet: resolve it first, then write down what was learned.")
    review = Review.objects.filter(incident=incident).first() or Review(
        incident=incident, begun_at=now, author=actor, author_name=actor.display_name
    )
    for name in PARTS:
        if name in said:
            setattr(review, name, said[name].strip()[:LONGEST])
    if done and not (review.summary and review.causes):
        raise NotPossible("Before it is done, say what happened and why.")
    review.state = Review.State.DONE if done else Review.State.DRAFT
    review.done_at = (review.done_at or now) if done else None
    review.updated_at = now
    review.save()
    return review


def add_action(review: Review, text: str, owner: User | None, due_on: date | None) -> ReviewAction:
    """Something to be done. Raises NotPossible without words, for an owner who is not staff, or for too many."""
    if not text.strip():
        raise NotPossible("Say what will be done.")
    if owner is not None and (owner.is_partner or not owner.is_active):
        raise NotPossible(f"{owner.display_name} cannot own it: only active staff can.")
    if review.actions.count() >= MOST_ACTIONS:
        raise NotPossible(f"A review has at most {MOST_ACTIONS} actions: do some first.")
    return ReviewAction.objects.create(review=review, text=text.strip()[:400], owner=owner, due_on=due_on)


def tick(action_id: int, incident_id: int, now: datetime) -> ReviewAction:
    """Marks an action as done, or as open again. Raises ReviewAction.DoesNotExist."""
    action = ReviewAction.objects.get(pk=action_id, review__incident_id=incident_id)
    action.done_at = None if action.done_at else now
    action.save(update_fields=["done_at"])
    return action


def as_markdown(
    incident: Incident,
    review: Review,
    actions: Sequence[ReviewAction],
    timeline: Sequence[IncidentEvent],
    zone: tzinfo,
) -> str:
    """The whole review with the incident's facts and timeline, times in `zone`. What people wrote is quoted as text:
    a line of theirs cannot become a heading of ours."""
    lines = [f"# Review of #{incident.pk}: {_flat(incident.title)}", ""]
    ended = incident.resolved_at
    facts = [
        ("Severity", incident.get_severity_display()),
        ("Partner", incident.partner.name if incident.partner else ""),
        ("Began", absolute(incident.opened_at, zone)),
        ("Acknowledged", absolute(incident.acknowledged_at, zone) if incident.acknowledged_at else ""),
        ("Ended", absolute(ended, zone) if ended else ""),
        ("Took", duration(ended - incident.opened_at) if ended else ""),
        ("How it ended", incident.get_resolution_display()),
        ("Findings", f"{incident.total_findings:,}"),
        ("Review", f"{review.get_state_display().lower()}, by {review.author_name}"),
    ]
    lines += [f"- **{name}**: {_flat(value)}" for name, value in facts if value]
    for name, (heading, _hint) in PARTS.items():
        lines += ["", f"## {heading}", "", *(_quoted(getattr(review, name)) or ["Nothing was written."])]
    lines += ["", "## Actions", ""]
    for action in actions:
        owner = f", {action.owner.display_name}" if action.owner else ""
        due = f", by {action.due_on:%Y-%m-%d}" if action.due_on else ""
        lines.append(f"- [{'x' if action.done_at else ' '}] {_flat(action.text)}{owner}{due}")
    if not actions:
        lines.append("None.")
    lines += ["", "## Timeline", ""]
    for row in timeline:
        who = row.actor_name or "The tower"
        lines.append(
            f"- {absolute(row.at, zone)} {_flat(who)}: {row.get_kind_display().lower()} {_flat(row.text)}".rstrip()
        )
    return "\n".join(lines) + "\n"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> list[str]:
    return [f"\\{line}" if line.startswith(("#", "---", "===")) else line for line in text.splitlines()]
