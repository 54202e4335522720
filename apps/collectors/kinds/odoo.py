"""Odoo 17 to 19: sales and purchase orders, transfers and invoices, read by polling its external API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from apps.collectors.contract import Collector, Polled, PollFailed, RawDelivery, SourceContext
from apps.collectors.odoo.answers import OdooError, Trouble
from apps.collectors.odoo.client import Patience, connect
from apps.collectors.odoo.interpretation import parse_batch
from apps.collectors.odoo.memory import memory_of
from apps.collectors.odoo.reader import OdooReader
from apps.collectors.odoo.settings import OdooForm, read_settings
from apps.core.outbound import request
from apps.flows.canonical import ParseResult

#: troubles that last until somebody changes something
#: seconds one round may wait for an Odoo that answers slowly
ROUND_SECONDS = 60.0
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
            reader = OdooReader(client, settings, memory_of(source.integration, now), cursor, now)
            yield from reader.run()
        except OdooError as error:
            raise PollFailed(str(error), permanent=error.trouble in LASTING) from None
        if reader.refused:
            sentences = " ".join(f"{model} was not read. {error}" for model, error in sorted(reader.refused.items()))
            raise PollFailed(sentences, permanent=True, partial=True)
