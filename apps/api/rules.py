"""SLA rules: the ones in force and every version of them, and what a rule would have done. They are changed on their page or as YAML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import django_filters as filters
from django.db.models import Exists, OuterRef, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import SLUG, TowerViewSet
from apps.api.filters import TextFilter
from apps.api.serializers import Shown
from apps.core import clock
from apps.flows.models import FlowDefinition
from apps.flows.registry import load as load_definitions
from apps.integrations.models import Calendar, Integration
from apps.sla import backtest, describing, library
from apps.sla.deadlines import RuleError
from apps.sla.models import SlaRule
from apps.sla.rule_specs import unknown_names
from apps.sla.rules import BY_NAME, RuleRow, compile_rule
from apps.sla.schema import RULE_SCHEMA

#: id and position of a rule that is not kept
UNSAVED, LAST = 0, 100
_VALIDATOR = Draft202012Validator(RULE_SCHEMA)


class RuleShown(Shown):
    """A version of a rule. words: its spec in one sentence."""

    flow = serializers.CharField(source="flow_slug")
    author = serializers.CharField(source="author_name", help_text="Empty: a file")
    target_percent = serializers.FloatField(source="target")
    words = serializers.SerializerMethodField()
    spec = serializers.JSONField()

    class Meta:
        model = SlaRule
        fields = (
            *("slug", "version", "name", "flow", "milestone", "position", "lifecycle", "severity", "target_percent"),
            *("words", "spec", "author", "note", "created_at"),
        )

    def get_words(self, row: SlaRule) -> str:
        definition = load_definitions().catalogue.active.get(row.flow_slug)
        labels = {one.name: one.label for one in definition.milestones} if definition else {}
        try:
            return describing.rule(row.spec, labels)
        except (KeyError, TypeError, ValueError, AssertionError):  # a spec of an older form
            return ""


class VersionsShown(serializers.Serializer[Any]):
    results = RuleShown(many=True)


class RuleTrying(serializers.Serializer[Any]):
    """Either the slug of a rule that is kept (its newest version, or with the spec given here), or flow, milestone and spec."""

    rule = serializers.CharField(required=False, max_length=64)
    flow = serializers.CharField(required=False, max_length=64)
    milestone = serializers.CharField(required=False, max_length=64)
    position = serializers.IntegerField(required=False, min_value=0, max_value=9_999_999)
    spec = serializers.DictField(required=False, help_text="As in a configuration file: when, due, warn, grace ...")
    days = serializers.IntegerField(required=False, default=backtest.DAYS, min_value=1, max_value=366)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "rule" in attrs:
            if "flow" in attrs or "milestone" in attrs:
                raise ValidationError({"rule": "A kept rule has its own flow and milestone: leave these out."})
            return attrs
        for name in ("flow", "milestone", "spec"):
            if name not in attrs:
                raise ValidationError({name: "Say this, or name a rule that is kept."})
        return attrs


class FiringShown(serializers.Serializer[Any]):
    flow = serializers.IntegerField(
        source="flow_id", help_text="0: an occasion of a promise that no flow was opened for"
    )
    label = serializers.CharField()
    partner = serializers.CharField(help_text="Slug; empty: none known")
    due_at = serializers.DateTimeField()
    met_at = serializers.DateTimeField(allow_null=True, help_text="null: not yet, or never")
    sort = serializers.ChoiceField(choices=["real", "short", "repeated"])


class BacktestShown(serializers.Serializer[Any]):
    """What it would have done on the flows of the last days."""

    days = serializers.IntegerField()
    flows = serializers.IntegerField(source="result.flows", help_text="Looked at")
    measured = serializers.IntegerField(source="result.measured", help_text="With a deadline by this rule")
    judged = serializers.IntegerField(source="result.judged", help_text="Of these, those it can be said of already")
    share = serializers.FloatField(source="result.share", allow_null=True, help_text="Kept of those judged")
    fired = serializers.IntegerField()
    real = serializers.IntegerField()
    short = serializers.IntegerField(help_text="Answered within 30 minutes")
    repeated = serializers.IntegerField(help_text="While one was open already for the same partner")
    becoming_late = serializers.IntegerField(source="result.more_late", help_text="Not late by the rules of today")
    no_longer_late = serializers.IntegerField(source="result.less_late")
    cut_short = serializers.BooleanField(source="result.cut_short", help_text="There were more flows than are tried")
    firings = FiringShown(many=True, help_text="The newest 50")
    becoming = FiringShown(source="result.becoming", many=True, help_text="50 at most")
    ceasing = FiringShown(source="result.ceasing", many=True, help_text="50 at most")


class RuleFilter(filters.FilterSet):
    flow = TextFilter("flow_slug")
    milestone = TextFilter("milestone")
    lifecycle = filters.ChoiceFilter(choices=SlaRule.Lifecycle.choices)

    class Meta:
        model = SlaRule
        fields: list[str] = []


class Rules(TowerViewSet):
    """The rules that say what must come by when."""

    scopes: ClassVar = {"GET": "rules:read", "POST": "rules:read"}
    queryset = SlaRule.objects.none()
    serializer_class = RuleShown
    filterset_class = RuleFilter
    keyset: Sequence[str] = ("flow_slug", "milestone", "position", "slug", "id")
    lookup_field = "slug"
    lookup_value_regex = SLUG

    def list(self, request: Request) -> Response:
        """The newest version of every rule, by flow and milestone, in the order they are tried."""
        return self.listed(_newest())

    def retrieve(self, request: Request, slug: str) -> Response:
        """The newest version of one rule."""
        return Response(self.get_serializer(self.found(_newest(), slug=slug)).data)

    @extend_schema(responses=VersionsShown)
    @action(detail=True, filterset_class=None, pagination_class=None)
    def versions(self, request: Request, slug: str) -> Response:
        """Every version of one rule, the newest first: history is judged by the one of its time."""
        self.found(_newest(), slug=slug)
        rows = SlaRule.objects.filter(slug=slug).order_by("-version")
        return Response({"results": self.get_serializer(rows, many=True).data})

    @extend_schema(
        parameters=[OpenApiParameter("version", int, OpenApiParameter.PATH)], operation_id="rules_version_retrieve"
    )
    @action(detail=True, url_path="versions/(?P<version>[0-9]{1,8})", filterset_class=None)
    def version(self, request: Request, slug: str, version: str) -> Response:
        """One version of a rule."""
        return Response(self.get_serializer(self.found(SlaRule.objects.all(), slug=slug, version=int(version))).data)

    @extend_schema(request=RuleTrying, responses=BacktestShown, operation_id="rules_backtest_create")
    @action(detail=False, methods=["post"], filterset_class=None)
    def backtest(self, request: Request) -> Response:
        """Tries a rule on the flows of the last days. Nothing is kept."""
        body = RuleTrying(data=request.data)
        body.is_valid(raise_exception=True)
        now = clock.now()
        days = body.validated_data["days"]
        result = backtest.run(library.load(now).book, _draft(body.validated_data, now), now, days)
        shown = {
            "days": days,
            "result": result,
            "fired": len(result.fired),
            **{sort: result.count(sort) for sort in ("real", "short", "repeated")},
            "firings": result.fired[: -backtest.SHOWN - 1 : -1],
        }
        return Response(BacktestShown(shown).data)


def _newest() -> QuerySet[SlaRule]:
    newer = SlaRule.objects.filter(slug=OuterRef("slug"), version__gt=OuterRef("version"))
    return SlaRule.objects.filter(~Exists(newer))


def _draft(said: dict[str, Any], now: datetime) -> RuleRow:
    kept = None
    if "rule" in said:
        kept = _newest().filter(slug=said["rule"]).first()
        if kept is None:
            raise ValidationError({"rule": "There is no such rule."})
    flow, milestone = (kept.flow_slug, kept.milestone) if kept else (said["flow"], said["milestone"])
    spec = said.get("spec", kept.spec if kept else {})
    _check(spec, flow, milestone)
    return RuleRow(
        UNSAVED,
        kept.slug if kept else "",
        kept.version + 1 if kept else 1,
        kept.name if kept else "Draft",
        flow,
        milestone,
        said.get("position", kept.position if kept else LAST),
        spec,
        "active",
        now.astimezone(UTC),
        kept.severity if kept else "normal",
    )


def _check(spec: dict[str, Any], flow: str, milestone: str) -> None:
    """Raises ValidationError: what is wrong with it, and where."""
    problem = best_match(_VALIDATOR.iter_errors(spec))
    if problem is not None:
        place = ".".join(str(part) for part in problem.absolute_path)
        raise ValidationError({"spec": f"{place}: {problem.message[:300]}" if place else problem.message[:300]})
    try:
        compiled = compile_rule(spec)
    except RuleError as error:
        raise ValidationError({"spec": str(error)}) from None
    definition = load_definitions().catalogue.active.get(flow)
    if definition is None:
        raise ValidationError({"flow": "There is no such flow."})
    names = [one.name for one in definition.milestones]
    if milestone not in names:
        raise ValidationError({"milestone": f"This flow has no such milestone; it has {', '.join(names)}."})
    for _, wrong in unknown_names(spec, FlowDefinition.objects.get(pk=definition.id).spec):
        raise ValidationError({"spec": wrong})
    if compiled.calendar not in BY_NAME and not Calendar.objects.filter(slug=compiled.calendar).exists():
        raise ValidationError({"spec": f"There is no calendar {compiled.calendar}."})
    unknown = compiled.integrations | ({compiled.source} if compiled.source else set())
    if unknown := unknown - set(Integration.objects.values_list("slug", flat=True)):
        raise ValidationError({"spec": f"There is no integration {min(unknown)}."})
