"""Reports, objectives and scorecards. A partner's token or sign-in sees none of it; its own scorecard is on its page."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import TowerView
from apps.api.idempotency import KEY, once
from apps.api.problems import Conflict
from apps.core import clock
from apps.integrations.models import Partner
from apps.reports import archive, document, objectives, scores
from apps.reports.models import Archive, ArchiveFile, Objective
from apps.reports.objectives import Standing

READ: dict[str, str] = {"GET": "reports:read"}
MOST = 200
MONTH = OpenApiParameter("month", str, OpenApiParameter.PATH, description="YYYY-MM")
PARTNER = OpenApiParameter("partner", str, description="Slug: the report of one partner only")


def month_of(text: str) -> date:
    """The first day of YYYY-MM. Raises NotFound."""
    try:
        return date.fromisoformat(text + "-01")
    except ValueError:
        raise NotFound("There is no such month; write it like 2026-03.") from None


def only(request: Request, *known: str) -> None:
    """Raises ValidationError for a parameter nobody knows here."""
    for name in request.query_params:
        if name not in known:
            shown = "".join(one if one.isprintable() else "?" for one in name[:60])
            raise ValidationError({shown: f"There is no such parameter here. Known are: {', '.join(known) or 'none'}."})


class BurnShown(serializers.Serializer[Any]):
    window = serializers.CharField(source="window.name")
    factor = serializers.FloatField(help_text="Told from so many times the allowed rate")
    rate = serializers.FloatField(
        allow_null=True, help_text="1: the budget is just used up at the end; null: nothing judged"
    )
    short_rate = serializers.FloatField(allow_null=True)
    missed = serializers.IntegerField(source="long.missed")
    judged = serializers.IntegerField(source="long.judged")
    chance = serializers.FloatField()
    fires = serializers.BooleanField()


class ObjectiveShown(serializers.Serializer[Any]):
    slug = serializers.CharField(source="objective.slug")
    name = serializers.CharField(source="objective.name")
    target_percent = serializers.FloatField(source="objective.target")
    rule = serializers.CharField(source="objective.rule")
    partner = serializers.CharField(source="objective.partner.slug", default=None, allow_null=True)
    flow = serializers.CharField(source="objective.flow")
    lane = serializers.CharField(source="objective.lane")
    service = serializers.CharField(source="objective.service")
    first_day = serializers.DateField(source="frame.first")
    after = serializers.DateField(source="frame.after", help_text="The day after the last")
    kept = serializers.IntegerField(source="tally.kept")
    missed = serializers.IntegerField(source="tally.missed")
    unknown = serializers.IntegerField(help_text="Their source cannot be heard, or their clock stands still")
    share = serializers.FloatField(allow_null=True, help_text="Kept of what was judged, 0 to 1; null: nothing judged")
    budget_left = serializers.FloatField(
        source="left", allow_null=True, help_text="Share of the error budget; below 0: overdrawn"
    )
    state = serializers.ChoiceField(choices=["on-time", "at-risk", "late", "unknown"])
    burns = BurnShown(many=True)


class BurnDay(serializers.Serializer[Any]):
    day = serializers.DateField()
    kept = serializers.IntegerField(source="tally.kept")
    missed = serializers.IntegerField(source="tally.missed")
    spent = serializers.FloatField(
        allow_null=True, help_text="Share of the budget used up by its end; above 1: overdrawn; null: a day to come"
    )


class BurnDown(serializers.Serializer[Any]):
    results = BurnDay(many=True)


class Freezing(serializers.Serializer[Any]):
    """A closed month, for ever."""

    month = serializers.CharField(max_length=7, help_text="YYYY-MM")
    partner = serializers.CharField(
        required=False, allow_null=True, max_length=64, help_text="Slug: that partner's scorecard"
    )


class ArchiveShown(serializers.ModelSerializer[Archive]):
    month = serializers.SerializerMethodField(help_text="YYYY-MM")
    partner = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)
    files = serializers.SerializerMethodField()

    class Meta:
        model = Archive
        fields: tuple[str, ...] = (
            *("id", "kind", "month", "partner", "zone"),
            *("frozen_at", "frozen_by", "sha256", "files"),
        )

    def get_month(self, one: Archive) -> str:
        return f"{one.month:%Y-%m}"

    def get_files(self, one: Archive) -> list[str]:
        return [file.kind for file in one.files.all()]


class ArchiveWhole(ArchiveShown):
    document = serializers.JSONField()

    class Meta(ArchiveShown.Meta):
        fields = (*ArchiveShown.Meta.fields, "document")


class FigureShown(serializers.Serializer[Any]):
    metric = serializers.CharField(source="metric.key")
    unit = serializers.CharField(source="metric.unit")
    value = serializers.FloatField(allow_null=True)
    of = serializers.IntegerField(source="n")
    peers = serializers.FloatField(allow_null=True, help_text="Median of partners of this kind; null below five")
    peer_count = serializers.IntegerField()


class Objectives(TowerView):
    scopes: ClassVar = READ

    @extend_schema(responses=ObjectiveShown(many=True))
    def get(self, request: Request) -> Response:
        """Every active objective as it stands now, what is worst first."""
        only(request)
        return Response(ObjectiveShown(objectives.standings(clock.now()), many=True).data)


class OneObjective(TowerView):
    scopes: ClassVar = READ

    @extend_schema(responses=ObjectiveShown)
    def get(self, request: Request, slug: str) -> Response:
        """One objective as it stands now."""
        only(request)
        found = Objective.objects.select_related("partner").filter(slug=slug).first()
        if found is None:
            raise Http404
        one: Standing = objectives.standing(found, clock.now())
        return Response(ObjectiveShown(one).data)


class ObjectiveBurn(TowerView):
    scopes: ClassVar = READ

    @extend_schema(operation_id="objectives_burn_retrieve", responses=BurnDown)
    def get(self, request: Request, slug: str) -> Response:
        """The objective's window day by day: kept, missed, and how much of the error budget was used up by then."""
        only(request)
        found = Objective.objects.select_related("partner").filter(slug=slug).first()
        if found is None:
            raise Http404
        return Response(BurnDown({"results": objectives.standing(found, clock.now()).days}).data)


class Month(TowerView):
    scopes: ClassVar = READ

    @extend_schema(parameters=[MONTH, PARTNER], responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, month: str) -> Response:
        """The month's report as the ledger knows it now: sentence, figures, charts and tables."""
        only(request, "partner")
        return Response(
            document.month(month_of(month), clock.now(), partner_of(request.query_params.get("partner", "")))
        )


class Scorecards(TowerView):
    scopes: ClassVar = READ

    @extend_schema(parameters=[MONTH], responses=FigureShown(many=True))
    def get(self, request: Request, month: str, slug: str) -> Response:
        """A partner's scorecard of a month."""
        only(request)
        partner = Partner.objects.filter(slug=slug).first()
        if partner is None:
            raise Http404
        return Response(FigureShown(scores.card(partner.pk, partner.kind, month_of(month)).figures, many=True).data)


class Archives(TowerView):
    scopes: ClassVar = {**READ, "POST": "reports:write"}

    @extend_schema(responses=ArchiveShown(many=True))
    def get(self, request: Request) -> Response:
        """The newest frozen reports."""
        only(request)
        rows = Archive.objects.select_related("partner").defer("document").prefetch_related("files")
        return Response(ArchiveShown(rows[:MOST], many=True).data)

    @extend_schema(
        operation_id="reports_archive_create", request=Freezing, responses={201: ArchiveShown}, parameters=[KEY]
    )
    def post(self, request: Request) -> Response:
        """Freezes the report of a closed month; the one there is, when it was frozen before. Nothing unfreezes it."""
        return once(self.caller, request, clock.now(), lambda: self._freeze(request))

    def _freeze(self, request: Request) -> Response:
        body = Freezing(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            first = month_of(body.validated_data["month"])
        except NotFound as error:
            raise ValidationError({"month": str(error.detail)}) from None
        partner = partner_of(body.validated_data.get("partner") or "")
        try:
            kept = archive.freeze(
                first,
                clock.now(),
                kind="scorecard" if partner else "month",
                partner=partner,
                actor=self.caller.actor,
            )
        except archive.NotClosed as problem:
            raise Conflict(str(problem)) from None
        return Response(ArchiveShown(kept).data, status=201)


class OneArchive(TowerView):
    scopes: ClassVar = READ

    @extend_schema(responses=ArchiveWhole)
    def get(self, request: Request, pk: int) -> Response:
        """A frozen report with its whole document."""
        only(request)
        found = Archive.objects.select_related("partner").prefetch_related("files").filter(pk=pk).first()
        if found is None:
            raise Http404
        return Response(ArchiveWhole(found).data)


class File(TowerView):
    scopes: ClassVar = READ

    @extend_schema(responses={(200, kind.split(";")[0]): OpenApiTypes.BINARY for kind, *_ in archive.FILES.values()})
    def get(self, request: Request, pk: int, kind: str) -> HttpResponse:
        """A file of a frozen report: exactly the bytes that were sent."""
        found = ArchiveFile.objects.select_related("archive__partner").filter(archive_id=pk, kind=kind).first()
        if found is None:
            raise Http404
        name = f"{archive.file_name(found.archive)}.{kind}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(bytes(found.body), content_type=archive.FILES[kind][0], headers=headers)


def partner_of(slug: str) -> Partner | None:
    """None where nobody is asked for. Raises ValidationError."""
    if not slug:
        return None
    found = Partner.objects.filter(slug=slug[:64]).first() if "\x00" not in slug else None
    if found is None:
        raise ValidationError({"partner": "There is no such partner."})
    return found
