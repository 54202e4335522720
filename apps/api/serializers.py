"""What the API shows. Fields named in `staff_only` do not exist for partners; secrets and settings exist for nobody."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.flows.models import Flow, Milestone
from apps.incidents.models import BY_HAND, Finding, Incident, IncidentEvent, Severity
from apps.integrations.models import Integration, SourceState
from apps.sla.explaining import sentence
from apps.sla.models import Expectation

LONGEST_TEXT = 4_000


def slug(source: str = "") -> Any:
    """A related row by its slug, or null. source: the relation's name where the field has another one."""
    return serializers.SlugRelatedField(
        slug_field="slug", read_only=True, allow_null=True, **({"source": source} if source else {})
    )


class Shown(serializers.ModelSerializer[Any]):
    """Read only. context["partner"]: whether a partner reads."""

    staff_only: ClassVar[tuple[str, ...]] = ()

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for field in fields.values():
            field.read_only = True
        if self.context.get("partner"):
            for name in self.staff_only:
                fields.pop(name, None)
        return fields


class MilestoneShown(Shown):
    flow = serializers.IntegerField(source="flow_id")
    source = serializers.CharField(allow_null=True, help_text="Slug of the integration that told of it")

    class Meta:
        model = Milestone
        fields = (
            *("flow", "name", "ordinal", "planned_at", "estimated_at", "actual_at"),
            *("sent_at", "received_at", "booked_at", "source"),
        )


class ExpectationShown(Shown):
    staff_only = ("waived_reason",)

    flow = serializers.IntegerField(source="flow_id")
    definition = slug()
    partner = slug()
    rule = slug()
    rule_version = serializers.IntegerField(source="rule.version")
    source = serializers.CharField(source="source_slug", allow_null=True, help_text="Whose silence suspends this clock")
    sentence = serializers.SerializerMethodField(help_text="Where the deadline comes from")

    class Meta:
        model = Expectation
        fields = (
            *("id", "flow", "definition", "partner", "milestone", "rule", "rule_version", "source", "state", "at_risk"),
            *("due_at", "warn_at", "met_at", "settled_at", "suspended_at", "sentence", "waived_reason"),
        )

    def get_sentence(self, row: Expectation) -> str:
        return sentence(row.origin, row.due_at)


class FlowShown(Shown):
    """state: the worst its live deadlines say; `settled` when it has none."""

    STATES: ClassVar = ("late", "unknown", "at_risk", "on_time", "settled")
    staff_only: ClassVar[tuple[str, ...]] = ("value", "currency", "failed_hops", "conflicts", "suspects")

    definition = slug()
    definition_version = serializers.IntegerField(source="definition.version")
    partner = slug()
    state = serializers.SerializerMethodField()
    next_due_at = serializers.SerializerMethodField()

    class Meta:
        model = Flow
        fields: tuple[str, ...] = (
            *("id", "label", "definition", "definition_version", "partner", "status", "state", "stage", "awaiting"),
            *("next_due_at", "opened_at", "closed_at", "last_happened_at", "last_received_at", "event_count"),
            *("value", "currency", "failed_hops", "conflicts", "suspects"),
        )

    @extend_schema_field(serializers.ChoiceField(choices=STATES))
    def get_state(self, row: Any) -> str:
        live: list[Expectation] = row.live_expectations
        if any(one.state == "BREACHED" for one in live):
            return "late"
        if any(one.state == "SUSPENDED" for one in live):
            return "unknown"
        if any(one.at_risk for one in live):
            return "at_risk"
        return "on_time" if live else "settled"

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_due_at(self, row: Any) -> str | None:
        due = [one.due_at for one in row.live_expectations if one.state != "BREACHED"]
        return serializers.DateTimeField().to_representation(min(due)) if due else None


class ReferenceShown(serializers.Serializer[Any]):
    kind = serializers.CharField()
    issuer = serializers.CharField(allow_blank=True)
    value = serializers.CharField()
    own = serializers.BooleanField(help_text="It identifies the flow itself; else it speaks for a child or a trace")


class FlowInFull(FlowShown):
    staff_only = (*FlowShown.staff_only, "attributes", "merged_into")

    dates = serializers.DictField()
    attributes = serializers.DictField()
    merged_into = serializers.IntegerField(source="merged_into_id", allow_null=True)
    references = ReferenceShown(many=True, source="shown_references")
    parents = serializers.ListField(child=serializers.IntegerField(), source="parent_ids")
    children = serializers.ListField(child=serializers.IntegerField(), source="child_ids")
    milestones = MilestoneShown(many=True, source="shown_milestones")
    expectations = ExpectationShown(many=True, source="shown_expectations")

    class Meta(FlowShown.Meta):
        fields = (
            *FlowShown.Meta.fields,
            *("dates", "attributes", "merged_into", "references", "parents", "children", "milestones", "expectations"),
        )


class SourceShown(Shown):
    staff_only = ("last_success_at", "last_error_at", "last_error", "failures", "stale_reason")

    class Meta:
        model = SourceState
        fields = (
            *("last_received_at", "last_happened_at", "last_success_at", "last_error_at", "last_error", "failures"),
            *("stale_since", "stale_reason", "catching_up_until"),
        )


class IntegrationShown(Shown):
    staff_only = ("system", "team", "criticality", "latency_class", "latency_tolerance", "stale_after", "zone")

    partner = slug()
    system = slug()
    team = slug()
    heard = serializers.SerializerMethodField()

    class Meta:
        model = Integration
        fields = (
            *("slug", "name", "kind", "partner", "system", "team", "criticality", "latency_class", "latency_tolerance"),
            *("stale_after", "contract_version", "environment", "zone", "time_zone", "lifecycle", "enabled", "heard"),
        )

    @extend_schema_field(SourceShown(allow_null=True))
    def get_heard(self, row: Integration) -> Any:
        state = getattr(row, "state", None)
        return None if state is None else SourceShown(state, context=self.context).data


class IncidentShown(Shown):
    partner = slug()
    integration = slug()
    team = slug()
    assignee = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)
    acknowledged_by = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)
    labels = serializers.ListField(child=serializers.CharField())
    merged_into = serializers.IntegerField(source="merged_into_id", allow_null=True, help_text="Number of the incident")
    partners = serializers.IntegerField(help_text="How many partners its findings name; of several none is `partner`")

    class Meta:
        model = Incident
        fields = (
            *("id", "title", "kind", "state", "severity", "partner", "integration", "team", "assignee", "opened_at"),
            *("acknowledged_at", "acknowledged_by", "back_at", "resolved_at", "resolution", "first_breach_at"),
            *("next_breach_at", "last_finding_at", "open_findings", "total_findings", "reopened"),
            *("labels", "severity_by_hand", "merged_into", "partners"),
        )


class FindingShown(Shown):
    flow = serializers.IntegerField(source="flow_id", allow_null=True)
    integration = slug()
    partner = slug()
    evidence = serializers.JSONField()

    class Meta:
        model = Finding
        fields = (
            *("id", "kind", "severity", "sentence", "evidence", "flow", "integration", "partner", "due_at"),
            *("raised_at", "cleared_at", "cleared_because"),
        )


class IncidentEventShown(Shown):
    actor = serializers.CharField(source="actor_name", help_text="Person or machine; empty: the tower itself")
    data = serializers.JSONField()

    class Meta:
        model = IncidentEvent
        fields = ("id", "kind", "at", "actor", "text", "data")


class LetterShown(serializers.Serializer[Any]):
    """Something of a delivery that gave no event, or a warning about it."""

    severity = serializers.CharField()
    code = serializers.CharField()
    sentence = serializers.CharField()
    position = serializers.CharField(allow_blank=True)


class ReceiptShown(serializers.Serializer[Any]):
    """Where a delivery stands."""

    id = serializers.IntegerField()
    integration = serializers.CharField()
    received_at = serializers.DateTimeField()
    status = serializers.ChoiceField(choices=["waiting", "done", "dead"])
    events = serializers.IntegerField(help_text="Events recorded for the first time")
    duplicates = serializers.IntegerField()
    conflicts = serializers.IntegerField()
    issues = LetterShown(many=True)


class AcceptedShown(serializers.Serializer[Any]):
    """The bytes are committed; what they say is read afterwards."""

    receipt = serializers.IntegerField()
    status = serializers.ChoiceField(choices=["accepted"])


class MeShown(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=["person", "machine"])
    name = serializers.CharField()
    role = serializers.CharField(allow_blank=True, help_text="Of a person")
    partner = serializers.CharField(allow_null=True, help_text="Slug of the one partner it may see; null: all")
    scopes = serializers.ListField(child=serializers.CharField())
    expires_at = serializers.DateTimeField(allow_null=True)


class Said(serializers.Serializer[Any]):
    """A verb with nothing but words."""

    text = serializers.CharField(required=False, allow_blank=True, max_length=LONGEST_TEXT)


class Acknowledging(Said):
    back_at = serializers.DateTimeField(required=False, allow_null=True, help_text="When you will be back at it")


class Assigning(Said):
    assignee = serializers.CharField(required=False, allow_null=True, max_length=150, help_text="Account of a person")
    team = serializers.CharField(required=False, allow_null=True, max_length=64, help_text="Slug of a team")


class Commenting(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=LONGEST_TEXT)


class Snoozing(Said):
    until = serializers.DateTimeField()


class Resolving(Said):
    resolution = serializers.ChoiceField(choices=[(one.value, one.label) for one in BY_HAND])


class Rating(serializers.Serializer[Any]):
    severity = serializers.ChoiceField(choices=Severity.choices)
    text = serializers.CharField(max_length=LONGEST_TEXT, help_text="Why")


class Labelling(serializers.Serializer[Any]):
    add = serializers.ListField(child=serializers.CharField(max_length=40), required=False, max_length=20)
    remove = serializers.ListField(child=serializers.CharField(max_length=40), required=False, max_length=20)


class Merging(Said):
    into = serializers.IntegerField(min_value=1, max_value=2**62, help_text="Number of the incident that takes it over")


class Escalating(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=LONGEST_TEXT, help_text="Why: whoever is called reads it")


class Relating(Said):
    to = serializers.IntegerField(min_value=1, max_value=2**62, help_text="Number of the other incident")


class RelationShown(serializers.Serializer[Any]):
    """The other incident of a relation made by hand."""

    incident = serializers.IntegerField(source="incident.pk")
    title = serializers.CharField(source="incident.title")
    state = serializers.CharField(source="incident.state")
    reason = serializers.CharField(source="relation.reason")
    actor = serializers.CharField(source="relation.actor_name")
    at = serializers.DateTimeField(source="relation.at")


class Splitting(Said):
    findings = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**62), min_length=1, max_length=1000
    )
    title = serializers.CharField(required=False, allow_blank=True, max_length=300)


class Asking(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=LONGEST_TEXT, help_text="What the partner was asked")
