"""The base of the carriers' kinds: who sent it, JSON, then parcels, then events. A kind is little more than its table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django import forms

from apps.collectors import jsonbody
from apps.collectors.authentication import Verdict
from apps.collectors.carriers.model import Parcel, Table
from apps.collectors.carriers.settings import CarrierForm, Meant
from apps.collectors.carriers.telling import Reader
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.signatures import verify
from apps.flows.canonical import ParseFailure, ParseResult


class CarrierCollector(Collector):
    """Tracking messages of one carrier or platform, pushed or polled: its own JSON.

    scheme: how its webhooks prove who sent them (`signatures.SCHEMES`); table: its status codes; references: fields
    that hold a business key -> its kind, unless the integration's settings say otherwise.
    """

    #: histories are long, and UPS sends photos
    max_body = 4 * 1024 * 1024
    ConfigForm: ClassVar[type[forms.Form]] = CarrierForm
    content_types: ClassVar[Mapping[str, str]] = {".json": "application/json"}
    scheme: ClassVar[str] = ""
    table: ClassVar[Table] = {}
    references: ClassVar[Mapping[str, str]] = {}

    def authenticate(
        self,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Sequence[str],
        now: datetime,
        settings: Mapping[str, Any],
    ) -> Verdict:
        return verify(self.scheme, headers, body, secrets, now, settings)

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        document = jsonbody.read(delivery.body)
        meant = Meant.of(source.settings, self.references)
        reader = Reader(self.kind, self.label, self.table, meant, source.partner, source.zone)
        many = isinstance(document.value, list)
        if many and not document.value:
            reader.issue("nothing_to_tell", "The delivery is an empty list.", "$", severity="warning")
        for index, one in enumerate(document.value if many else [document.value]):
            place = f"$[{index}]" if many else "$"
            if isinstance(one, dict):
                for parcel in self.parcels(one, place, reader):
                    reader.tell(parcel)
            elif many:
                reader.issue("not_an_object", "A message must be a JSON object.", place, one)
            else:
                code = f"{self.kind}.not_an_object"
                raise ParseFailure(code, "A message must be a JSON object.", place, jsonbody.excerpt(one))
        return reader.result(document.warnings)

    @abstractmethod
    def parcels(self, message: dict[str, Any], place: str, reader: Reader) -> Iterator[Parcel]:
        """The parcels of one message. What cannot be understood is told to the reader; nothing is raised."""
