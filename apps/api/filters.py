"""What lists can be narrowed by. A filter nobody knows is an error: a misspelt one would show everything."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import django_filters as filters
from django import forms
from django.db.models import Exists, OuterRef, QuerySet
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError

from apps.flows.models import Flow, FlowReference, Milestone, Reference
from apps.incidents.models import Finding, Incident, IncidentQuerySet, Severity
from apps.integrations.models import Integration
from apps.sla.models import Expectation

MOST_ID = 2**63 - 1
#: how many references of one value are followed at most
MOST_REFERENCES = 100
YES_NO = [("true", "yes"), ("false", "no")]
OF_PAGING = frozenset({"cursor", "page_size"})


class KnownFilters(DjangoFilterBackend):
    """django-filter, and 400 for parameters that are none of the view's filters, or are given twice."""

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filterset_class = self.get_filterset_class(view, queryset)
        known = OF_PAGING | set(getattr(filterset_class, "base_filters", {}))
        for name in request.query_params:
            if name not in known:
                sentence = f"There is no such filter here. Known are: {', '.join(sorted(known))}."
                raise ValidationError({_shown(name): sentence})
            if len(request.query_params.getlist(name)) > 1:
                raise ValidationError({name: "Give it once."})
        found: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return found


def _shown(name: str) -> str:
    """A parameter's name as an error may repeat it."""
    return "".join(one if one.isprintable() else "?" for one in name[:60])


class IdFilter(filters.Filter):
    """The number of a row."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=1, max_value=MOST_ID, **kwargs)


class MomentField(IsoDateTimeField):
    """In UTC: offsets that no place has (+21:28) are read, but the database would not take them."""

    def clean(self, value: Any) -> Any:
        moment = super().clean(value)
        try:
            return None if moment is None else moment.astimezone(UTC)
        except (OverflowError, ValueError):
            raise forms.ValidationError("This time is out of range.") from None


class MomentFilter(filters.IsoDateTimeFilter):
    """ISO 8601; without an offset it is UTC."""

    field_class = MomentField


class TextFilter(filters.CharFilter):
    def __init__(self, *args: Any, most: int = 200, **kwargs: Any) -> None:
        super().__init__(*args, max_length=most, **kwargs)


class YesNoFilter(filters.ChoiceFilter):
    """``true`` or ``false``: whether the field is empty."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, choices=YES_NO, **kwargs)


class FlowFilter(filters.FilterSet):
    STATES = [("late", "Late"), ("at_risk", "At risk"), ("unknown", "Unknown")]

    definition = TextFilter("definition__slug", help_text="Slug of the flow definition")
    partner = TextFilter("partner__slug", help_text="Slug of the partner")
    status = filters.ChoiceFilter(choices=Flow.Status.choices)
    state = filters.ChoiceFilter(
        choices=STATES, method="by_state", help_text="What at least one of its deadlines is at this moment"
    )
    awaiting = TextFilter("awaiting", help_text="Name of the milestone that comes next")
    reference = TextFilter(method="by_reference", help_text="A business key, whole: order, shipment, parcel ...")
    opened_after = MomentFilter("opened_at", "gte")
    opened_before = MomentFilter("opened_at", "lt")
    changed_since = MomentFilter("last_received_at", "gte", help_text="Something was heard of it since")

    class Meta:
        model = Flow
        fields: list[str] = []

    def by_state(self, rows: QuerySet[Flow], name: str, value: str) -> QuerySet[Flow]:
        return rows.filter(Exists(of_state(Expectation.objects.filter(flow=OuterRef("pk")), value)))

    def by_reference(self, rows: QuerySet[Flow], name: str, value: str) -> QuerySet[Flow]:
        # looked up here, so that the plan does not depend on a guess about how many there are
        ids = Reference.objects.filter(value__in={value, value.upper()}).values_list("pk", flat=True)
        flows = FlowReference.objects.filter(reference_id__in=list(ids[:MOST_REFERENCES]))
        return rows.filter(pk__in=flows.values("flow_id"))


def of_state(rows: QuerySet[Expectation], state: str) -> QuerySet[Expectation]:
    """Live expectations that are late, at_risk or unknown."""
    live = rows.filter(settled_at__isnull=True)
    if state == "late":
        return live.filter(state=Expectation.State.BREACHED)
    if state == "unknown":
        return live.filter(state=Expectation.State.SUSPENDED)
    return live.filter(state=Expectation.State.PENDING, at_risk=True)


class MilestoneFilter(filters.FilterSet):
    flow = IdFilter("flow_id")
    name = TextFilter("name", most=64)
    definition = TextFilter("flow__definition__slug")
    partner = TextFilter("flow__partner__slug")
    reached = YesNoFilter(method="by_reached")
    reached_after = MomentFilter("actual_at", "gte")
    reached_before = MomentFilter("actual_at", "lt")

    class Meta:
        model = Milestone
        fields: list[str] = []

    def by_reached(self, rows: QuerySet[Milestone], name: str, value: str) -> QuerySet[Milestone]:
        return rows.filter(actual_at__isnull=value == "false")


class ExpectationFilter(filters.FilterSet):
    flow = IdFilter("flow_id")
    milestone = TextFilter("milestone", most=64)
    definition = TextFilter("definition__slug")
    partner = TextFilter("partner__slug")
    rule = TextFilter("rule__slug")
    state = filters.ChoiceFilter(choices=Expectation.State.choices)
    at_risk = YesNoFilter(method="by_risk")
    live = YesNoFilter(method="by_live", help_text="Still to be settled")
    due_after = MomentFilter("due_at", "gte")
    due_before = MomentFilter("due_at", "lt")

    class Meta:
        model = Expectation
        fields: list[str] = []

    def by_risk(self, rows: QuerySet[Expectation], name: str, value: str) -> QuerySet[Expectation]:
        return rows.filter(at_risk=value == "true")

    def by_live(self, rows: QuerySet[Expectation], name: str, value: str) -> QuerySet[Expectation]:
        return rows.filter(settled_at__isnull=value == "true")


class IncidentFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=Incident.State.choices)
    unresolved = YesNoFilter(method="by_unresolved")
    severity = filters.ChoiceFilter(choices=Severity.choices)
    kind = TextFilter("kind", most=64)
    partner = TextFilter(method="by_partner", help_text="Also incidents of several partners of which it is one")
    integration = TextFilter("integration__slug")
    team = TextFilter("team__slug")
    assignee = TextFilter("assignee__username")
    flow = IdFilter(method="by_flow", help_text="Incidents with a finding of this flow")
    opened_after = MomentFilter("opened_at", "gte")
    opened_before = MomentFilter("opened_at", "lt")

    class Meta:
        model = Incident
        fields: list[str] = []

    def by_unresolved(self, rows: QuerySet[Incident], name: str, value: str) -> QuerySet[Incident]:
        resolved = rows.filter(state=Incident.State.RESOLVED)
        return rows.exclude(state=Incident.State.RESOLVED) if value == "true" else resolved

    def by_partner(self, rows: IncidentQuerySet, name: str, value: str) -> QuerySet[Incident]:
        return rows.concerning(value)

    def by_flow(self, rows: QuerySet[Incident], name: str, value: int) -> QuerySet[Incident]:
        return rows.filter(Exists(Finding.objects.filter(incident=OuterRef("pk"), flow_id=value)))


class IntegrationFilter(filters.FilterSet):
    kind = TextFilter("kind", most=32)
    partner = TextFilter("partner__slug")
    lifecycle = filters.ChoiceFilter(choices=Integration.Lifecycle.choices)
    enabled = YesNoFilter(method="by_enabled")
    heard = YesNoFilter(method="by_heard", help_text="false: those we cannot hear at the moment")

    class Meta:
        model = Integration
        fields: list[str] = []

    def by_enabled(self, rows: QuerySet[Integration], name: str, value: str) -> QuerySet[Integration]:
        return rows.filter(enabled=value == "true")

    def by_heard(self, rows: QuerySet[Integration], name: str, value: str) -> QuerySet[Integration]:
        return rows.filter(state__stale_since__isnull=value == "true")
