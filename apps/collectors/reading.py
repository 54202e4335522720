"""One receipt read by its collector, whatever is in it: storable events, and issues. Pure; nothing escapes."""

from __future__ import annotations

from dataclasses import replace

from billiard.exceptions import SoftTimeLimitExceeded

from apps.collectors import encoding
from apps.collectors.batches import BATCH, body_limit, split
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.jsonbody import excerpt
from apps.collectors.soundness import check, clean
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult

#: issues kept of one receipt; the last one says how many there were
MOST_ISSUES = 1_000
_CODE, _SENTENCE, _POSITION, _FRAGMENT = 64, 1_000, 500, 240


def read(collector: Collector | None, delivery: RawDelivery, source: SourceContext, door: str) -> ParseResult:
    """What a receipt holds. A receipt that cannot be read gives one issue; a part that cannot gives one of its own."""
    try:
        result = _read(collector, delivery, source, door)
    except ParseFailure as failure:
        result = ParseResult((), (failure.issue,))
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:
        result = ParseResult((), (_crashed(error, ""),))
    return ParseResult(result.events, _trimmed(result.issues))


def _read(collector: Collector | None, delivery: RawDelivery, source: SourceContext, door: str) -> ParseResult:
    if collector is None:
        raise ParseFailure("collector.unknown", "The integration's kind is not installed; install it, then replay.")
    coding = delivery.headers.get("content-encoding", "")
    if coding:
        body = _expanded(delivery.body, coding, body_limit(collector, door))
        headers = {name: value for name, value in delivery.headers.items() if name != "content-encoding"}
        delivery = replace(delivery, body=body, headers=headers)
    result = _batch(collector, delivery, source) if door == BATCH else collector.parse(delivery, source)
    most = collector.max_events
    if len(result.events) > most:
        raise ParseFailure(
            "receipt.too_many_events",
            f"The delivery holds {len(result.events):,} events, at most {most:,} are allowed. None was taken.",
        )
    events: list[CanonicalEvent] = []
    issues = list(result.issues)
    for event in result.events:
        sound, notes = check(event)
        if sound is not None:
            events.append(sound)
        issues += notes
    return ParseResult(tuple(events), tuple(issues))


def _batch(collector: Collector, delivery: RawDelivery, source: SourceContext) -> ParseResult:
    """Each item like a delivery of its own; one bad item takes no other down."""
    items, issues = split(delivery.body)
    content_type = delivery.content_type.replace("-batch", "").replace("x-ndjson", "json").replace("jsonl", "json")
    events: list[CanonicalEvent] = []
    for item in items:
        try:
            result = collector.parse(replace(delivery, body=item.body, content_type=content_type), source)
        except ParseFailure as failure:
            issues.append(_inside(failure.issue, item.position))
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:
            issues.append(_crashed(error, item.position))
        else:
            issues += [_inside(issue, item.position) for issue in result.issues]
            events += [replace(event, position=_joined(item.position, event.position)) for event in result.events]
    return ParseResult(tuple(events), tuple(issues))


def _expanded(body: bytes, coding: str, limit: int) -> bytes:
    try:
        return encoding.expand(body, coding, limit)
    except ValueError as error:
        raise ParseFailure("encoding.unreadable", f"The body cannot be expanded: {error}.") from None


def _crashed(error: Exception, position: str) -> ParseIssue:
    sentence = (
        f"The collector stumbled over this delivery ({type(error).__name__}). The bytes are kept: "
        "correct the mapping or update the collector, then replay it."
    )
    return ParseIssue("collector.crashed", sentence, position, excerpt(str(error)))


def _joined(outer: str, inner: str) -> str:
    return f"{outer}, {inner}" if inner else outer


def _inside(issue: ParseIssue, position: str) -> ParseIssue:
    return replace(issue, position=_joined(position, issue.position))


def _trimmed(issues: tuple[ParseIssue, ...]) -> tuple[ParseIssue, ...]:
    """Issues as they can be stored: of bounded length and number."""
    kept = [
        ParseIssue(
            clean(issue.code)[:_CODE],
            clean(issue.sentence)[:_SENTENCE],
            clean(issue.position)[:_POSITION],
            clean(issue.fragment)[:_FRAGMENT],
            issue.severity if issue.severity in ("error", "warning") else "error",
        )
        for issue in issues[:MOST_ISSUES]
    ]
    if len(issues) > MOST_ISSUES:
        sentence = f"The delivery has {len(issues):,} issues; the first {MOST_ISSUES:,} are listed."
        kept.append(ParseIssue("receipt.more_issues", sentence))
    return tuple(kept)
