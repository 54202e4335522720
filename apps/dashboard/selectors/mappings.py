"""What the mapping editor shows: samples, what a text makes of them, paths to use, versions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db.models import QuerySet
from django.urls import reverse

from apps.collectors import mapping_suggestions, mapping_text, mapping_trial
from apps.collectors.contract import COLLECTORS, RawDelivery
from apps.collectors.mapping_suggestions import Suggestion
from apps.collectors.mapping_text import Trouble
from apps.collectors.models import Receipt, ReceiptState
from apps.flows.canonical import CanonicalEvent, ParseIssue
from apps.flows.catalogue import EVENT_TYPES, REFERENCE_KINDS, label_of_event, label_of_reference
from apps.integrations.models import Integration, Mapping

RECEIPTS = 30
VERSIONS = 50
SHOWN_EVENTS = 30
SHOWN_ISSUES = 30
#: bytes of a sample that are put into the page; larger ones are used as they are and only begin to be shown
SAMPLE = 60_000
#: of a preview: larger samples are read when the mapping is tried
PREVIEW = 2 * 1024 * 1024
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_TIME = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sample:
    """A message to try on. text: as shown; whole: the text is all of it, so it may be typed over."""

    receipt: Receipt | None
    body: bytes
    text: str
    whole: bool
    content_type: str


@dataclass(slots=True)
class Preview:
    """What a text makes of a sample. read: whether the mapping itself could be used."""

    troubles: Sequence[Trouble]
    remarks: Sequence[Trouble]
    events: list[ShownEvent] = field(default_factory=list)
    issues: list[ParseIssue] = field(default_factory=list)
    count: int = 0
    issue_count: int = 0
    read: bool = False
    empty: bool = False
    suggestions: list[Suggestion] = field(default_factory=list)

    @property
    def errors(self) -> int:
        return sum(one.severity == "error" for one in self.issues)


@dataclass(frozen=True, slots=True)
class ShownEvent:
    label: str
    event: CanonicalEvent
    keys: list[tuple[str, str, str]]
    known: bool


def takes_mapping(integration: Integration) -> bool:
    plugin = COLLECTORS.plugins.get(integration.kind)
    return bool(plugin and plugin.takes_mapping)


def address(integration: Integration, receipt: int = 0) -> str:
    query = f"?receipt={receipt}" if receipt else ""
    return reverse("dashboard:mapping", args=[integration.slug]) + query


def receipts(integration: Integration) -> list[tuple[int, datetime, str]]:
    """(number, received at, what became of it) of the last receipts; those that failed are named so."""
    states = list(ReceiptState.objects.filter(integration=integration).order_by("-receipt_id")[:RECEIPTS])
    return [
        (
            one.receipt_id,
            one.received_at,
            "dead letter"
            if one.status == "dead"
            else "waiting"
            if one.status == "waiting"
            else f"{one.issues} trouble{'s' * (one.issues != 1)}"
            if one.issues
            else "read",
        )
        for one in states
    ]


def sample(integration: Integration, receipt_id: int = 0) -> Sample:
    """The receipt asked for, else the newest; of this integration only."""
    rows = ReceiptState.objects.filter(integration=integration)
    state = rows.filter(receipt_id=receipt_id).first() if receipt_id else None
    state = state or rows.order_by("-receipt_id").first()
    if state is None:
        return Sample(None, b"", "", True, "application/json")
    receipt = Receipt.objects.filter(pk=state.receipt_id, received_at=state.received_at).first()
    if receipt is None:
        return Sample(None, b"", "", True, "application/json")
    body = bytes(receipt.body)
    try:
        text = body[:SAMPLE].decode("utf-8-sig", "strict" if len(body) <= SAMPLE else "ignore")
        whole = len(body) <= SAMPLE and "content-encoding" not in receipt.headers
    except UnicodeDecodeError:
        text, whole = body[:SAMPLE].decode("utf-8", "replace"), False
    if whole:
        text = _laid_out(text)
    return Sample(receipt, body, text.replace("\r\n", "\n").replace("\x00", "\ufffd"), whole, receipt.content_type)


def _laid_out(text: str) -> str:
    """JSON on one line is hard to read: a line for each field. Anything else stays as it came."""
    if "\n" in text.strip():
        return text
    try:
        laid_out = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
    return laid_out if len(laid_out) <= SAMPLE and _SURROGATE.search(laid_out) is None else text


def typed_body(given: Sample, typed: str | None) -> bytes:
    """The bytes to read: the receipt's own unless something else was typed or pasted."""
    if typed is None or not given.whole or typed == given.text or typed == given.text.removeprefix("\n"):
        return given.body
    return typed.encode("utf-8", "replace")


def preview(integration: Integration, text: str, body: bytes, receipt: Receipt | None) -> Preview:
    """Reads the sample by the text. Pure but for the integration's settings; keeps nothing."""
    read = mapping_text.read(text)
    found = Preview(read.troubles, read.remarks, empty=not body.strip())
    own = receipt is not None and bytes(receipt.body) == body
    delivery = (
        mapping_trial.delivery_of(receipt, None if own else body)
        if receipt is not None
        else RawDelivery(body, "application/json", {}, _NO_TIME)
    )
    if found.empty or len(body) > PREVIEW:
        return found
    found.suggestions = mapping_suggestions.suggest(
        mapping_suggestions.documents(integration.kind, delivery, integration.settings)
    )
    if read.spec is None:
        return found
    result = mapping_trial.parse(integration, read.spec, delivery, receipt.door if receipt and own else "http")
    found.read = True
    found.count, found.issue_count = len(result.events), len(result.issues)
    found.events = [_shown(event) for event in result.events[:SHOWN_EVENTS]]
    found.issues = list(result.issues[:SHOWN_ISSUES])
    return found


def _shown(event: CanonicalEvent) -> ShownEvent:
    keys = [(label_of_reference(one.kind), one.value, one.issuer) for one in event.references]
    return ShownEvent(label_of_event(event.type), event, keys, event.type in EVENT_TYPES)


def draft(integration: Integration, given: Sample) -> str:
    """A first text for an integration without a mapping, from its sample."""
    delivery = (
        mapping_trial.delivery_of(given.receipt)
        if given.receipt
        else RawDelivery(given.body, given.content_type, {}, _NO_TIME)
    )
    return mapping_suggestions.draft(
        mapping_suggestions.suggest(mapping_suggestions.documents(integration.kind, delivery, integration.settings))
    )


def versions(integration: Integration) -> list[Mapping]:
    """Newest first; the first is in use."""
    if integration.mapping is None:
        return []
    return list(Mapping.objects.filter(slug=integration.mapping.slug).order_by("-version")[:VERSIONS])


def others(integration: Integration) -> list[str]:
    """Names of other integrations that read by the same mapping."""
    if integration.mapping_id is None:
        return []
    rows: QuerySet[Integration] = Integration.objects.filter(mapping=integration.mapping_id).exclude(pk=integration.pk)
    return list(rows.values_list("name", flat=True)[:5])


def catalogue() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Event types and reference kinds with their labels, for the panel of help."""
    types = [(name, label_of_event(name)) for name in sorted(EVENT_TYPES)]
    return types, [(name, label) for name, (label, _) in sorted(REFERENCE_KINDS.items())]


def fingerprint(text: str) -> str:
    """Says that the result of a trial was shown for this very text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
