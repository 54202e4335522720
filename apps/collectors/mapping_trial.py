"""A changed mapping tried against what came last: which receipts would be read otherwise, and how. Nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from apps.collectors.contract import COLLECTORS, RawDelivery
from apps.collectors.models import Receipt, ReceiptState
from apps.collectors.reading import read
from apps.collectors.sources import context_of
from apps.flows.canonical import CanonicalEvent, ParseResult
from apps.flows.catalogue import label_of_event
from apps.integrations.models import Integration

#: receipts a mapping is tried against, and bytes of them at most
LAST = 100
MOST_BYTES = 16 * 1024 * 1024
_DIFFERENCES = 8
_FIELD_WORDS = {
    "type": "type",
    "happened_at": "time",
    "references": "keys",
    "source_event_id": "id",
    "sent_at": "sent at",
    "booked_at": "booked at",
    "received_at": "received at",
    "trace_id": "trace",
}


@dataclass(frozen=True, slots=True)
class Changed:
    """One receipt that would be read otherwise. differences: sentences; worse: it would say less than now."""

    receipt_id: int
    before: ParseResult
    after: ParseResult
    differences: tuple[str, ...]
    worse: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """What a mapping would do to the last receipts. tried: how many were read; same: of them as before."""

    tried: int
    same: int
    changed: tuple[Changed, ...]

    @property
    def worse(self) -> int:
        return sum(one.worse for one in self.changed)

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """The differences and in how many receipts each stands, most frequent first."""
        found = Counter(words for one in self.changed for words in set(one.differences))
        return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))

    @property
    def sentence(self) -> str:
        """'97 parse as before, 3 change: ...' for people."""
        if not self.tried:
            return "Nothing has come yet to try it against."
        if not self.changed:
            return f"All of the last {self.tried:,} messages parse as before."
        words = "; ".join(f"{what} ({n:,})" for what, n in self.kinds[:4])
        verb = "changes" if len(self.changed) == 1 else "change"
        return f"{self.same:,} parse as before, {len(self.changed):,} {verb}: {words}."


def last_receipts(integration: Integration, limit: int = LAST) -> list[Receipt]:
    """The newest receipts, newest first, up to `limit` and `MOST_BYTES`."""
    states = list(
        ReceiptState.objects.filter(integration=integration)
        .order_by("-receipt_id")
        .values_list("receipt_id", "received_at")[:limit]
    )
    if not states:
        return []
    times = [at for _, at in states]
    rows = Receipt.objects.filter(
        pk__in=[pk for pk, _ in states], received_at__gte=min(times), received_at__lte=max(times)
    ).order_by("-pk")
    found: list[Receipt] = []
    size = 0
    for row in rows.iterator(chunk_size=20):
        size += len(row.body)
        if found and size > MOST_BYTES:
            break
        found.append(row)
    return found


def delivery_of(receipt: Receipt, body: bytes | None = None) -> RawDelivery:
    """A kept receipt as its collector sees it; body: other bytes in place of its own."""
    headers = receipt.headers if isinstance(receipt.headers, dict) else {}
    if body is not None:  # what was typed is not compressed
        headers = {name: value for name, value in headers.items() if name != "content-encoding"}
    return RawDelivery(
        bytes(receipt.body) if body is None else body, receipt.content_type, headers, receipt.received_at
    )


def parse(integration: Integration, spec: Mapping[str, Any], delivery: RawDelivery, door: str = "http") -> ParseResult:
    """What this delivery says under a mapping. Never raises."""
    context = replace(context_of(integration), mapping=spec)
    return read(COLLECTORS.plugins.get(integration.kind), delivery, context, door)


def try_out(integration: Integration, spec: Mapping[str, Any], receipts: Iterable[Receipt]) -> Trial:
    """Reads every receipt by the present mapping and by this one."""
    present = integration.mapping.spec if integration.mapping else {}
    tried, changed = 0, []
    for receipt in receipts:
        tried += 1
        delivery = delivery_of(receipt)
        before = parse(integration, present, delivery, receipt.door)
        after = parse(integration, spec, delivery, receipt.door)
        if before != after:
            worse = len(after.events) < len(before.events) or _errors(after) > _errors(before)
            changed.append(Changed(receipt.pk, before, after, tuple(_differences(before, after)), worse))
    return Trial(tried, tried - len(changed), tuple(changed))


def _errors(result: ParseResult) -> int:
    return sum(issue.severity == "error" for issue in result.issues)


def _differences(before: ParseResult, after: ParseResult) -> list[str]:
    found: dict[str, None] = {}
    if len(before.events) != len(after.events):
        found[f"{_events(len(after.events))} instead of {len(before.events):,}"] = None
    else:
        for one, other in zip(before.events, after.events, strict=True):
            for words in _event_differences(one, other):
                found[words] = None
    for words in _issue_differences(before, after):
        found[words] = None
    return list(found)[:_DIFFERENCES] or ["the same events in other words"]


def _events(n: int) -> str:
    return f"{n:,} event{'' if n == 1 else 's'}"


def _event_differences(before: CanonicalEvent, after: CanonicalEvent) -> list[str]:
    found = []
    for one in fields(before):
        old, new = getattr(before, one.name), getattr(after, one.name)
        if old == new:
            continue
        if one.name == "type":
            found.append(f"“{label_of_event(old)}” becomes “{label_of_event(new)}”")
        else:
            found.append(f"other {_FIELD_WORDS.get(one.name, one.name)}")
    return found


def _issue_differences(before: ParseResult, after: ParseResult) -> list[str]:
    old, new = Counter(_codes(before)), Counter(_codes(after))
    return [
        *(f"no more {code}" for code in sorted(old - new)),
        *(f"{code} comes up" for code in sorted(new - old)),
    ]


def _codes(result: ParseResult) -> Sequence[str]:
    return [issue.code for issue in result.issues]
