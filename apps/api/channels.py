"""Channels and the log of messages: how they stand, a test, on and off, and given-up messages sent once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import django_filters as filters
from django.core.exceptions import ValidationError as Invalid
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import User
from apps.api.base import SLUG, TowerViewSet
from apps.api.filters import IdFilter, MomentFilter, TextFilter
from apps.api.problems import Conflict
from apps.api.serializers import Shown, slug
from apps.core import clock
from apps.notifications import keeping, replaying
from apps.notifications.contract import CHANNELS
from apps.notifications.models import Channel, Delivery
from apps.notifications.trying import try_channel


class ChannelShown(Shown):
    """A channel without its settings and secrets."""

    team = slug()

    class Meta:
        model = Channel
        fields = (
            *("slug", "name", "kind", "team", "listens", "min_severity", "enabled", "disabled_at", "disabled_because"),
            *("last_ok_at", "last_error_at", "last_error", "failures", "hold_until"),
        )


class DeliveryShown(Shown):
    """One piece of news for one recipient. bundled_in: the message it went with; message_id stays over all tries."""

    incident = serializers.IntegerField(source="incident_event.incident_id", allow_null=True, default=None)
    kind = serializers.SerializerMethodField(
        help_text="Of the timeline row; `swap.asked` and the like of swaps of shifts"
    )
    user = serializers.CharField(source="user.username", allow_null=True, default=None)
    bundled_in = serializers.IntegerField(source="bundled_in_id", allow_null=True)

    class Meta:
        model = Delivery
        fields = (
            *("id", "incident", "kind", "channel", "user", "message_id", "subject", "state", "attempts"),
            *("bundled_in", "created_at", "held_until", "next_at", "sent_at", "error", "answer"),
        )

    def get_kind(self, row: Delivery) -> str:
        if row.incident_event is not None:
            return row.incident_event.kind
        return f"swap.{row.swap_news.kind}" if row.swap_news else ""


class Trying(serializers.Serializer[Any]):
    to = serializers.CharField(
        required=False, allow_blank=True, max_length=300, help_text="Where a channel of people's addresses sends to"
    )


class Tried(serializers.Serializer[Any]):
    taken = serializers.BooleanField()
    answer = serializers.CharField(help_text="What the receiver answered, or why it was not reached")


class Switching(serializers.Serializer[Any]):
    enabled = serializers.BooleanField()


class Replaying(serializers.Serializer[Any]):
    """Either ids, or a channel for all of its given-up messages."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        required=False,
        min_length=1,
        max_length=replaying.MOST,
    )
    channel = serializers.CharField(required=False, max_length=64)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if bool(attrs.get("ids")) == bool(attrs.get("channel")):
            raise ValidationError({"ids": "Give ids, or a channel for all of its given-up messages."})
        return attrs


class Replayed(serializers.Serializer[Any]):
    replayed = serializers.IntegerField()


class ChannelFilter(filters.FilterSet):
    kind = TextFilter("kind", most=32)
    team = TextFilter("team__slug")

    class Meta:
        model = Channel
        fields: list[str] = []


class DeliveryFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=Delivery.State.choices)
    channel = TextFilter("channel", most=64)
    incident = IdFilter("incident_event__incident_id")
    created_after = MomentFilter("created_at", "gte")
    created_before = MomentFilter("created_at", "lt")

    class Meta:
        model = Delivery
        fields: list[str] = []


class Channels(TowerViewSet):
    """The channels messages go over."""

    scopes: ClassVar = {"GET": "notifications:read", "POST": "notifications:write"}
    queryset = Channel.objects.none()
    serializer_class = ChannelShown
    filterset_class = ChannelFilter
    keyset: Sequence[str] = ("name", "id")
    lookup_field = "slug"
    lookup_value_regex = SLUG

    def list(self, request: Request) -> Response:
        """Channels by name."""
        return self.listed(Channel.objects.select_related("team"))

    def retrieve(self, request: Request, slug: str) -> Response:
        """One channel."""
        return Response(self.get_serializer(self._row(slug)).data)

    def _row(self, slug: str) -> Channel:
        found: Channel = self.found(Channel.objects.select_related("team"), slug=slug)
        return found

    @extend_schema(request=Trying, responses=Tried)
    @action(detail=True, methods=["post"], filterset_class=None)
    def test(self, request: Request, slug: str) -> Response:
        """Sends a test now; the receiver's own answer."""
        row = self._row(slug)
        body = Trying(data=request.data)
        body.is_valid(raise_exception=True)
        plugin = CHANNELS.plugins.get(row.kind)
        if plugin is None:
            raise Conflict(f"Channels of the kind {row.kind} are not installed.")
        recipient = body.validated_data.get("to", "") or plugin.place(row.config)
        try:
            recipient = recipient if recipient == "*" else plugin.clean_address(recipient)
        except Invalid as wrong:
            raise ValidationError({"to": wrong.messages}) from None
        actor = self.caller.actor
        name = actor.display_name if isinstance(actor, User) else actor.name
        taken, answer = try_channel(row, recipient, name, clock.now())
        return Response({"taken": taken, "answer": answer})

    @extend_schema(request=Switching, responses=ChannelShown)
    @action(detail=True, methods=["post"], filterset_class=None)
    def switch(self, request: Request, slug: str) -> Response:
        """Turns it on or off; nothing happens when it is so already."""
        row = self._row(slug)
        body = Switching(data=request.data)
        body.is_valid(raise_exception=True)
        keeping.switch(row, body.validated_data["enabled"], self.caller.actor, clock.now())
        return Response(self.get_serializer(self._row(slug)).data)


class Deliveries(TowerViewSet):
    """The log of messages, the latest first."""

    scopes: ClassVar = {"GET": "notifications:read", "POST": "notifications:write"}
    queryset = Delivery.objects.none()
    serializer_class = DeliveryShown
    filterset_class = DeliveryFilter
    keyset: Sequence[str] = ("-created_at", "-id")

    def list(self, request: Request) -> Response:
        """Messages, the latest first."""
        return self.listed(Delivery.objects.select_related("incident_event", "swap_news", "user"))

    @extend_schema(request=Replaying, responses=Replayed)
    @action(detail=False, methods=["post"], filterset_class=None)
    def replay(self, request: Request) -> Response:
        """Sends given-up messages once more, under their own ids."""
        body = Replaying(data=request.data)
        body.is_valid(raise_exception=True)
        said = body.validated_data
        count = replaying.replay(said.get("ids"), self.caller.actor, clock.now(), said.get("channel", ""))
        return Response({"replayed": count})
