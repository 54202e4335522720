"""Odoo 17 to 19: orders, transfers, invoices and what belongs to them, read by polling its external API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from apps.collectors.contract import Check, Collector, Polled, PollFailed, RawDelivery, SourceContext
from apps.collectors.odoo import expiry
from apps.collectors.odoo.answers import OdooError, Trouble
from apps.collectors.odoo.checking import check_odoo
from apps.collectors.odoo.client import Patience, connect
from apps.collectors.odoo.interpretation import parse_batch
from apps.collectors.odoo.memory import memory_of
from apps.collectors.odoo.reader import OdooReader
from apps.collectors.odoo.settings import OdooForm, read_settings
from apps.core.outbound import request
from apps.flows.canonical import ParseResult

#: seconds one round may wait for an Odoo that answers slowly
ROUND_SECONDS = 60.0
#: troubles that last until somebody changes something
LASTING = frozenset({Trouble.KEY, Trouble.RIGHTS, Trouble.MODEL, Trouble.DATABASE})


class Odoo(Collector):
    """Polls one Odoo database. The credential is an API key of a user with read rights (docs/collectors/odoo.md)."""

    kind = "odoo"
    label = "Odoo"
    ConfigForm = OdooForm
    has_door = False
    polls = True
    max_body = 64 * 1024 * 1024
    content_types = {".json": "application/json"}

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        return parse_batch(delivery.body, source.settings)

    def poll(
        self, source: SourceContext, secrets: Sequence[str], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Polled]:
        try:
            settings = read_settings(source.settings)
        except ValueError as error:
            raise PollFailed(str(error), permanent=True) from None
        try:
            client = connect(settings, secrets, Patience(request, ROUND_SECONDS))
            memory = memory_of(source.integration, now)
            reader = OdooReader(client, settings, memory, cursor, now)
            reader.cursor["key"], write = expiry.watch(client, settings, memory, cursor.get("key") or {})
            if write:
                yield Polled(b"", "", dict(reader.cursor), remember=write)
            yield from reader.run()
        except OdooError as error:
            raise PollFailed(str(error), permanent=error.trouble in LASTING) from None
        if reader.refused:
            sentences = " ".join(f"{model} was not read. {error}" for model, error in sorted(reader.refused.items()))
            raise PollFailed(sentences, permanent=True, partial=True)

    def check(self, source: SourceContext, secrets: Sequence[str], now: datetime) -> Iterator[Check]:
        try:
            settings = read_settings(source.settings)
        except ValueError as error:
            yield Check(False, "The settings cannot be used.", str(error))
            return
        try:
            client = connect(settings, secrets, Patience(request, ROUND_SECONDS))
            yield from check_odoo(client, settings, memory_of(source.integration, now))
        except OdooError as error:
            yield Check(False, f"{settings.base_url} cannot be read.", str(error))
