"""EDI by HTTP and by file: X12 and EDIFACT interchanges. See docs/collectors/edi.md.

A broken part gives an issue with its place; the whole transactions beside it still give events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms

from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.edi import sent, times
from apps.collectors.edi.envelopes import CAREFUL, LENIENT, STRICT
from apps.collectors.edi.headers import header_of
from apps.collectors.edi.identity import Identity, lines, pairs
from apps.collectors.edi.interpret import Reader
from apps.collectors.edi.reader import read
from apps.collectors.edi.segments import MAX_BYTES, Segment, excerpt
from apps.collectors.edi.tables import MESSAGES
from apps.collectors.folder_settings import FolderForm
from apps.flows.canonical import ParseFailure, ParseResult
from apps.flows.catalogue import EVENT_TYPES


class EdiForm(FolderForm):
    """Settings of an EDI integration. Everything has a working default."""

    own_ids = forms.CharField(
        label="Our interchange addresses",
        required=False,
        widget=forms.Textarea,
        help_text="One a line, as qualifier:id (ZZ:OURS) or id alone. A file one of them sent is a copy of our own.",
    )
    partners = forms.CharField(
        label="Partners by interchange address",
        required=False,
        widget=forms.Textarea,
        help_text="One a line: ZZ:THEIRS = partner-slug. For connections that carry several partners, such as a VAN.",
    )
    default_partner = forms.SlugField(
        label="Partner of every other address",
        required=False,
        max_length=64,
        help_text="Empty: the partner of this integration.",
    )
    carriers = forms.CharField(
        label="Carriers by SCAC",
        required=False,
        widget=forms.Textarea,
        help_text="One a line: ABCD = partner-slug. Their PRO and bill of lading numbers are known under this partner.",
    )
    purchase_order_issuer = forms.ChoiceField(
        label="Who numbers the purchase orders",
        required=False,
        choices=[("ours", "We do (we buy from this partner)"), ("partner", "The partner does (it buys from us)")],
    )
    direction = forms.ChoiceField(
        label="Direction",
        required=False,
        choices=[
            ("", "Our interchange addresses tell"),
            ("outbound", "Outbound: every file is a copy of what we sent"),
            ("inbound", "Inbound: every file comes from the partner"),
        ],
    )
    acknowledgments = forms.ChoiceField(
        label="Acknowledgments of what we sent",
        required=False,
        choices=[
            (sent.ASKED, "A 997 for each X12 group; TA1, CONTRL and MDN where the envelope asks for one"),
            (sent.ALWAYS, "Also a CONTRL for each EDIFACT interchange"),
            (sent.NEVER, "The partner sends none"),
        ],
    )
    status_codes = forms.CharField(
        label="Status codes of this partner",
        required=False,
        widget=forms.Textarea,
        help_text="One a line: code = event type, for codes that are not in the standard's lists (ZZ1 = "
        "transport.in_transit). They win over the standard's.",
    )
    envelope = forms.ChoiceField(
        label="Broken envelopes",
        required=False,
        choices=[
            (CAREFUL, "Stop the broken transaction, read the others"),
            (STRICT, "Stop the whole interchange"),
            (LENIENT, "Only warn about wrong counts and control numbers"),
        ],
    )
    test_messages = forms.ChoiceField(
        label="Test interchanges",
        required=False,
        choices=[("take", "Take them, marked as test"), ("refuse", "Take no events from them")],
    )

    def clean_partners(self) -> str:
        return self._pairs("partners")

    def clean_carriers(self) -> str:
        return self._pairs("carriers")

    def clean_status_codes(self) -> str:
        text = self._pairs("status_codes")
        for code, event in pairs(text).items():
            if event not in EVENT_TYPES:
                raise forms.ValidationError(f"{code}: there is no event type {event!r}.")
        return text

    def _pairs(self, name: str) -> str:
        text = self.cleaned_data.get(name) or ""
        for line in lines(text):
            left, sign, right = line.partition("=")
            if not (sign and left.strip() and right.strip()):
                raise forms.ValidationError(f"Write each line as 'name = value'; this one is not: {line[:60]}")
        return str(text)


class EdiCollector(Collector):
    """X12 and EDIFACT, one reader each, interpreted by tables."""

    kind = "edi"
    label = "EDI (X12, EDIFACT)"
    max_body = MAX_BYTES
    ConfigForm = EdiForm
    content_types: ClassVar[Mapping[str, str]] = {
        ".edi": "application/edi",
        ".x12": "application/edi-x12",
        ".edifact": "application/edifact",
        ".txt": "text/plain",
    }

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        """Raises `ParseFailure` when there is no interchange to read, or more than the limits allow."""
        settings: Mapping[str, Any] = source.settings
        try:
            times.zone_named(source.zone)
        except times.BadTime as error:
            raise ParseFailure("edi.zone", f"The integration's time zone is not usable: {error}.") from error
        reading = read(delivery.body, str(settings.get("envelope") or CAREFUL))
        reader = Reader(
            identity=Identity.of(settings, source.partner),
            zone=source.zone,
            issues=reading.issues,
            status_codes=pairs(settings.get("status_codes")),
        )
        for transaction in reading.transactions:
            if settings.get("test_messages") == "refuse" and header_of(transaction, source.zone, _ignore).test:
                sentence = "This is a test interchange, and the integration takes no events from tests."
                reading.issues.warn("edi.test", sentence, transaction.position)
                continue
            message = MESSAGES.get((transaction.syntax.name, transaction.type))
            if message is None:
                shown = excerpt(transaction.type, 20) or "(none)"
                reading.issues.warn(
                    "edi.not_read",
                    f"Message type {shown} is not read yet; it is kept, and a later version can replay it.",
                    transaction.position,
                    transaction.part.header.text,
                )
                continue
            reader.read(transaction, message)
        policy = str(settings.get("acknowledgments") or sent.ASKED)
        awaited = sent.events(reading.parts, reader.identity, source.zone, delivery.headers, policy, reading.issues)
        return ParseResult((*reader.events, *awaited), reading.issues.all())


def _ignore(code: str, sentence: str, segment: Segment) -> None:
    """A header read only for its test mark reports nothing."""
