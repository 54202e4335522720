"""One call our side made to a rate, label or manifest API, as its log line tells it -> events. Pure.

Every call is a hop; a label, a manifest and a label voided are events of their own, each for one tracking number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from apps.collectors.carriers.model import Moment
from apps.collectors.carriers.moments import EPOCH, EPOCH_MS, ISO, TimeError, read_moment
from apps.collectors.jsonbody import excerpt
from apps.collectors.mapping_rules import plain
from apps.collectors.tracing import trace_id_of
from apps.flows.canonical import CanonicalEvent, ParseIssue, Reference, hash_of
from apps.flows.catalogue import REFERENCE_KINDS

LABEL, VOID, MANIFEST = "label", "void", "manifest"
#: event a successful call of an operation is, beside the hop
EVENTS = {LABEL: "label.created", VOID: "label.voided", MANIFEST: "shipment.manifested"}
#: what else operations are; they are hops and nothing more
OTHERS = ("rate", "track", "address", "pickup", "other")

#: field -> the names it goes by
_TIME = ("time", "timestamp", "ts", "at", "happened_at")
_SERVICE = ("service", "api", "provider")
_OPERATION = ("operation", "op", "action")
_STATUS = ("status", "status_code", "http_status")
_MILLISECONDS = ("duration_ms", "latency_ms", "elapsed_ms", "took_ms")
_SECONDS = ("duration_s", "duration", "elapsed", "elapsed_s")
_ERROR = ("error", "error_message", "error_code")
_ID = ("id", "call_id", "request_id")
#: kept beside the hop; bodies and query strings never are
_KEPT = ("method", "attempt", "carrier", "label_id", "error_code", "parcel", "parcels", "environment")
#: kept beside a label
_OF_LABELS = ("service", "carrier", "label_id", "parcel", "parcels")
#: keys of one kind that are told beside a hop
_MOST_TOLD = 100
_TEXT = 300
_LONGEST_CALL_MS = 7 * 24 * 3600 * 1000
#: epoch times from here on are milliseconds
_MILLISECOND_TIMES = 10**11


class NoCall(Exception):
    """This line is no call; carries its issue."""

    def __init__(self, code: str, sentence: str, position: str, fragment: Any = "") -> None:
        super().__init__(sentence)
        self.issue = ParseIssue(f"api_calls.{code}", sentence, position, excerpt(fragment))


@dataclass(frozen=True, slots=True)
class Call:
    """One call. operation: as written; purpose: what it is for (`EVENTS`, `OTHERS`, or as written)."""

    at: Moment
    service: str
    operation: str
    purpose: str
    failed: bool
    references: tuple[Reference, ...]
    identity: str
    position: str
    trace_id: str
    data: Mapping[str, Any]

    def values(self, kind: str) -> tuple[str, ...]:
        return tuple(one.value for one in self.references if one.kind == kind)

    @property
    def label_key(self) -> str:
        """What this label is for: service-independent, so that two labels for one parcel of one picking share it."""
        pickings = self.values("picking") or self.values("sales_order")
        parcel = self.data.get("parcel", "")
        return f"{pickings[0]}/{parcel or 1}" if len(pickings) == 1 else ""


def read_call(
    row: Mapping[str, Any],
    position: str,
    partner: str,
    zone: str,
    operations: Mapping[str, str],
    issues: list[ParseIssue],
) -> Call:
    """Raises `NoCall`; appends warnings to `issues`. operations: their name, in lower case -> purpose."""
    service, operation = _text(row, *_SERVICE), _text(row, *_OPERATION)
    if not service:
        raise NoCall("no_service", "The line does not say which service was called.", position, dict(row))
    if not operation:
        raise NoCall("no_operation", "The line does not say which operation was called.", position, dict(row))
    at = _time(row, position, zone)
    status, error = _text(row, *_STATUS), _error(row)
    failed = _failed(row, status, error)
    if failed is None:
        sentence = "The line tells neither a status nor an error nor “ok”: whether the call worked is not known."
        raise NoCall("no_outcome", sentence, position, dict(row))
    trace_id = trace_id_of(_text(row, "traceparent", "trace_id"))
    data: dict[str, Any] = {"service": service, "operation": operation, "duration_ms": _duration(row, position, issues)}
    purpose = operations.get(operation.lower(), operation.lower())
    data |= {"purpose": purpose if purpose in (*EVENTS, *OTHERS) else "", "status": status, "error": error}
    data |= {name: plain_value for name in _KEPT if (plain_value := _kept(row.get(name))) != ""}
    if at.assumed:
        data["zone_assumed"] = {"happened_at": at.zone}
    data["route"] = _route(_text(row, "route", "path", "url", "endpoint"))
    return Call(
        at=at,
        service=service,
        operation=operation,
        purpose=purpose,
        failed=failed,
        references=_references(row, position, partner, trace_id, issues),
        identity=_identity(row, service),
        position=position,
        trace_id=trace_id,
        data={name: value for name, value in data.items() if value not in ("", None)},
    )


def events_of(call: Call) -> Iterator[CanonicalEvent]:
    """The hop; and, for each tracking number of a call that worked, the label, the manifest or the voided label.

    Two keys of one kind in one event would make one flow of two: they are told in the hop's data and not linked.
    """
    single = tuple(one for one in call.references if len(call.values(one.kind)) == 1)
    several = {one.kind: list(call.values(one.kind))[:_MOST_TOLD] for one in call.references if one not in single}
    data = {**call.data, **({"not_linked": several} if several else {})}
    yield _event(call, "hop.failed" if call.failed else "hop.completed", call.identity, single, data)
    kind = EVENTS.get(call.purpose)
    if kind is None or call.failed:
        return
    numbers = call.values("tracking_number")
    rest = tuple(one for one in single if one.kind != "tracking_number")
    for number in numbers:
        kept = {name: call.data[name] for name in _OF_LABELS if name in call.data}
        if call.purpose == LABEL and call.label_key:
            kept["label_key"] = call.label_key
        # a manifest closes the parcels of many orders: what they share would join them
        shared = rest if len(numbers) == 1 or call.purpose != MANIFEST else ()
        base = call.identity or f"{call.service}/{call.at.at.isoformat()}"
        references = (Reference("tracking_number", number), *shared)
        yield _event(call, kind, f"{base}/{call.purpose}/{number}", references, kept)


def _event(
    call: Call, kind: str, identity: str, references: tuple[Reference, ...], data: Mapping[str, Any]
) -> CanonicalEvent:
    carrier = call.data.get("carrier")
    return CanonicalEvent(
        type=kind,
        happened_at=call.at.at,
        references=references,
        source_event_id=identity if len(identity) <= 1_000 else str(hash_of(identity)),
        zone=call.at.zone,
        parties={"carrier": f"carrier:{str(carrier).lower()[:100]}"} if carrier else {},
        data=dict(data),
        position=call.position,
        trace_id=call.trace_id,
    )


def duplicates(calls: list[Call]) -> Iterator[ParseIssue]:
    """Labels made twice for one parcel of one picking, as far as one delivery shows it; a voided one does not count."""
    voided = {
        number
        for call in calls
        if call.purpose == VOID and not call.failed
        for number in call.values("tracking_number")
    }
    made: dict[str, dict[str, str]] = {}
    for call in calls:
        if call.purpose == LABEL and not call.failed and call.label_key:
            for number in call.values("tracking_number")[:1]:
                if number not in voided:
                    made.setdefault(call.label_key, {})[number] = call.position
    for key, numbers in made.items():
        if len(numbers) > 1:
            sentence = (
                f"{len(numbers)} labels were made for {excerpt(key, 80)}: {excerpt(', '.join(numbers), 150)}. "
                "If they are for different parcels, log the number of the parcel; else void what is too much."
            )
            position = list(numbers.values())[-1]
            yield ParseIssue("api_calls.duplicate_label", sentence, position, excerpt(key), "warning")


def _text(row: Mapping[str, Any], *names: str) -> str:
    for name in names:
        if value := plain(row.get(name)):
            return value
    return ""


def _kept(value: Any) -> Any:
    """A small plain value as it is: texts cut, lists and objects left out."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return excerpt(value, 100) if isinstance(value, str) else ""


def _time(row: Mapping[str, Any], position: str, zone: str) -> Moment:
    name = next((one for one in _TIME if row.get(one) not in (None, "")), "")
    if not name:
        raise NoCall("no_time", "The line has no time.", position, dict(row))
    value = row[name]
    form = ISO
    if isinstance(value, int | float) and not isinstance(value, bool):
        form = EPOCH_MS if abs(value) >= _MILLISECOND_TIMES else EPOCH
    try:
        moment = read_moment(value, zone, None, form)
    except TimeError as error:
        raise NoCall("bad_time", f"The time “{excerpt(value, 60)}” {error}.", f"{position}.{name}", value) from None
    if moment.day_only:
        sentence = f"The time “{excerpt(value, 60)}” is a day; a call needs its moment."
        raise NoCall("bad_time", sentence, f"{position}.{name}", value)
    return moment


def _error(row: Mapping[str, Any]) -> str:
    for name in _ERROR:
        value = row.get(name)
        if isinstance(value, dict):
            value = plain(value.get("message")) or plain(value.get("code")) or "error"
        if value not in (None, "", False, 0, []):
            return excerpt(value, _TEXT)
    return ""


def _failed(row: Mapping[str, Any], status: str, error: str) -> bool | None:
    """By "ok" or "success" where it is told; else by an error; else by the status (an HTTP status, or a word)."""
    for name in ("ok", "success"):
        if isinstance(row.get(name), bool):
            return not row[name]
    if error:
        return True
    if status.isascii() and status.isdigit():
        return not 100 <= int(status[:6]) < 400
    return None if not status else status.lower() not in ("ok", "success", "succeeded", "completed", "created")


def _duration(row: Mapping[str, Any], position: str, issues: list[ParseIssue]) -> float | None:
    """Milliseconds."""
    for names, factor in ((_MILLISECONDS, 1.0), (_SECONDS, 1000.0)):
        name = next((one for one in names if row.get(one) not in (None, "")), "")
        if not name:
            continue
        try:
            value = float(row[name]) * factor if isinstance(row[name], int | float | str) else -1.0
        except ValueError:
            value = -1.0
        if 0 <= value <= _LONGEST_CALL_MS:
            return round(value, 3)
        sentence = f"The duration “{excerpt(row[name], 40)}” cannot be one; the call was kept without it."
        issues.append(ParseIssue("api_calls.bad_duration", sentence, f"{position}.{name}", "", "warning"))
        return None
    return None


def _route(written: str) -> str:
    """The path alone: hosts and, above all, query strings may hold keys."""
    try:
        return excerpt(urlsplit(written).path, 200)
    except ValueError:
        return ""


def _identity(row: Mapping[str, Any], service: str) -> str:
    call = _text(row, *_ID)
    return f"{service}/{call}" if call else ""


def _references(
    row: Mapping[str, Any], position: str, partner: str, trace_id: str, issues: list[ParseIssue]
) -> tuple[Reference, ...]:
    """Keys in ``references`` (kind -> value or values, or a list of kind and value), and fields named like a kind."""
    told: list[tuple[str, Any]] = [(kind, row[kind]) for kind in REFERENCE_KINDS if kind in row and kind != "trace"]
    given = row.get("references")
    if isinstance(given, dict):
        told += given.items()
    elif isinstance(given, list):
        told += [(str(one.get("kind")), one.get("value")) for one in given if isinstance(one, dict)]
    elif given is not None:
        sentence = "The field references must be an object of kind and value."
        issues.append(ParseIssue("api_calls.bad_reference", sentence, f"{position}.references", "", "warning"))
    found: dict[Reference, None] = {}
    for kind, values in told:
        if kind not in REFERENCE_KINDS:
            sentence = f"“{excerpt(kind, 40)}” is no kind of business key; it was left out."
            issues.append(ParseIssue("api_calls.bad_reference", sentence, f"{position}.references", "", "warning"))
            continue
        for value in values if isinstance(values, list) else [values]:
            if written := plain(value):
                found[Reference(kind, written, partner if REFERENCE_KINDS[kind][1] else "")] = None
    if trace_id:
        found[Reference("trace", trace_id)] = None
    return tuple(found)
