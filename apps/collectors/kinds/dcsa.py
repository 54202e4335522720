"""DCSA Track & Trace: container events of ocean carriers, 2.x and the 3.0 beta. See docs/collectors/dcsa.md.

An actual event (ACT) is what happened. A planned or estimated one (PLN, EST) says when something will happen: it is told
as a date of the flow and reaches no milestone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, ClassVar

from django import forms

from apps.collectors import jsonbody
from apps.collectors.authentication import Verdict, any_equal, bearer
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.ocean.codes import (
    CALL,
    CLASSIFIERS,
    CODES,
    EQUIPMENT,
    FORECAST,
    OBSERVED,
    REFERENCES,
    SHIPMENT,
    SHIPMENT_WORDS,
    TRANSPORT,
    WITHDRAWN,
    Meaning,
)
from apps.collectors.times import ISO, TimeError, read_time, zone_of
from apps.flows.canonical import TOLD, CanonicalEvent, ParseFailure, ParseIssue, ParseResult, Reference
from apps.flows.catalogue import REFERENCE_KINDS

_MOST_REFERENCES = 200
_LONGEST = 200


class DcsaForm(forms.Form):
    """Settings of a carrier's feed. Everything has a working default."""

    carriers = forms.CharField(
        label="Carriers by code",
        required=False,
        widget=forms.Textarea,
        help_text="One a line: MSC = partner-slug (SMDG or SCAC). For feeds of several carriers; else it is the partner.",
    )

    def clean_carriers(self) -> str:
        text = str(self.cleaned_data.get("carriers") or "")
        for line in filter(None, map(str.strip, text.splitlines())):
            if not re.fullmatch(r"[A-Za-z0-9]{2,10}\s*=\s*[\w-]{1,64}", line):
                raise forms.ValidationError(f"Write each line as 'CODE = partner-slug'; this one is not: {line[:60]}")
        return text


class _Bad(Exception):
    def __init__(self, code: str, sentence: str, name: str = "", value: Any = "") -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.name, self.value = code, sentence, name, value


class Dcsa(Collector):
    kind = "dcsa"
    label = "DCSA Track & Trace (ocean carriers)"
    max_body = 4 * 1024 * 1024
    ConfigForm = DcsaForm
    content_types: ClassVar[Mapping[str, str]] = {".json": "application/json"}

    def authenticate(
        self,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Sequence[str],
        now: datetime,
        settings: Mapping[str, Any],
    ) -> Verdict:
        """``Notification-Signature: sha256=<hex>`` over the body, as subscriptions sign; or a bearer token.

        The secret of a subscription is base64 of the key (event domain 1.1, notificationSignature).
        """
        given = headers.get("notification-signature", "").strip()
        if not given:
            return bearer(headers, [secret for secret in secrets if secret])
        scheme, _, signature = given.partition("=")
        keys = [key for secret in secrets if secret for key in _keys(secret)]
        computed = [hmac.digest(key, body, hashlib.sha256).hex().encode() for key in keys]
        if scheme == "sha256" and any_equal(signature.lower().encode("utf-8", "surrogateescape"), computed):
            return Verdict(True)
        return Verdict(False, reason="no matching Notification-Signature")

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        """Raises `ParseFailure` when it is no JSON, or neither an event nor a list of events."""
        document = jsonbody.read(delivery.body)
        try:
            zone = zone_of(source.zone)
        except TimeError as error:
            raise ParseFailure("dcsa.zone", f"The integration's time zone {error}.") from None
        reader = _Reader(source, zone, list(document.warnings))
        for raw, position in _items(document.value):
            reader.read(raw, position)
        if not reader.count:
            sentence = "The delivery is an empty list: it holds no event."
            reader.issues.append(ParseIssue("delivery.empty", sentence, "$", "[]", "warning"))
        return ParseResult(tuple(reader.events), tuple(reader.issues))


def _keys(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    try:
        decoded = base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        return
    if len(decoded) >= 16:
        yield decoded


def _items(value: Any) -> Iterator[tuple[Any, str]]:
    place = "$"
    if isinstance(value, dict) and isinstance(value.get("events"), list):
        value, place = value["events"], "$.events"
    if isinstance(value, list):
        if len(value) > jsonbody.MAX_EVENTS:
            sentence = f"The delivery holds {len(value):,} events; at most {jsonbody.MAX_EVENTS:,} are taken from one."
            raise ParseFailure("receipt.too_many_events", sentence, place)
        yield from ((one, f"{place}[{index}]") for index, one in enumerate(value))
    elif isinstance(value, dict):
        yield value, place
    else:
        sentence = "A DCSA event or a list of them was expected; this is neither an object nor a list."
        raise ParseFailure("dcsa.not_events", sentence, "$", jsonbody.excerpt(value))


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


class _Reader:
    """Collects the events of one delivery and what is wrong with them."""

    def __init__(self, source: SourceContext, zone: tzinfo, issues: list[ParseIssue]) -> None:
        self.partner, self.zone, self.issues = source.partner, zone, issues
        self.integration = source.integration[:64]
        self.events: list[CanonicalEvent] = []
        self.count = 0
        pairs = (line.partition("=") for line in str(source.settings.get("carriers") or "").splitlines())
        self.carriers = {code.strip().upper(): slug.strip() for code, _, slug in pairs if slug.strip()}

    def read(self, raw: Any, position: str) -> None:
        self.count += 1
        try:
            self.events.append(self._event(raw, position))
        except _Bad as bad:
            place = f"{position}.{bad.name}" if bad.name else position
            fragment = jsonbody.excerpt(bad.value) if bad.value not in ("", None) else ""
            self.issues.append(ParseIssue(bad.code, bad.sentence, place, fragment))

    def _event(self, raw: Any, position: str) -> CanonicalEvent:
        if not isinstance(raw, dict):
            raise _Bad("dcsa.bad_event", "An event must be an object.", "", raw)
        # 3.0 parts an event into metadata and payload; 2.x has one flat object
        told = {**_object(raw.get("metadata")), **_object(raw.get("payload"))} if "metadata" in raw else raw
        created, _ = self._moment(told, "eventCreatedDateTime", needed=False)
        kind = _text(told.get("eventType"))
        if _text(told.get("retractedEventID")):
            return self._retracted(told, created, position)
        if kind not in CODES:
            sentence = "The eventType must be SHIPMENT, TRANSPORT or EQUIPMENT."
            raise _Bad("dcsa.unknown_type", sentence, "eventType", kind or told.get("eventType"))
        classifier = _text(told.get("eventClassifierCode"))
        if classifier not in CLASSIFIERS:
            sentence = "The eventClassifierCode must be ACT, EST or PLN: whether it happened or will."
            raise _Bad("dcsa.classifier", sentence, "eventClassifierCode", told.get("eventClassifierCode"))
        moment, zone = self._moment(told, "eventDateTime", needed=True)
        meaning = self._meaning(kind, told, position)
        happens = moment
        event, dates = meaning.event, {}
        if classifier != "ACT":
            if created is None:
                sentence = "What is only expected was told at eventCreatedDateTime, which is missing."
                raise _Bad("dcsa.missing", sentence, "eventCreatedDateTime")
            happens, event = created, FORECAST if meaning.date and classifier != "REQ" else OBSERVED
            dates = {_date_name(meaning.date or "event", classifier, told): moment}
        references, others = self._references(told, position)
        if not references:
            sentence = "The event names no booking, document or container, so it belongs to no flow."
            self._warn("dcsa.no_reference", sentence, position)
        return CanonicalEvent(
            type=event,
            happened_at=happens,
            references=(*references, *self._named(told.get("eventID"))) if references else (),
            source_event_id=_text(told.get("eventID"))[:1_000],
            sent_at=created,
            zone=zone,
            dates=dates,
            parties=self._parties(told),
            data=_data(told, kind, classifier, meaning, others),
            position=position,
        )

    def _meaning(self, kind: str, told: Mapping[str, Any], position: str) -> Meaning:
        name = CODES[kind]
        # eventTypeCode is what 2.0 still called it
        code = _text(told.get(name)) or _text(told.get("eventTypeCode"))
        if not code:
            raise _Bad("dcsa.missing", f"The {name} is missing: what happened?", name)
        document = _text(told.get("documentTypeCode"))
        meaning = {"TRANSPORT": TRANSPORT, "EQUIPMENT": EQUIPMENT}.get(kind, {}).get(code)
        if kind == "SHIPMENT" and code in SHIPMENT_WORDS:
            words = f"{document or 'Document'} {SHIPMENT_WORDS[code]}"[:100]
            meaning = Meaning(SHIPMENT.get((document, code), OBSERVED), words)
        if meaning is None:
            shown = jsonbody.excerpt(code, 40)
            sentence = f"The {name} “{shown}” is unmapped: the event is kept as seen, without a milestone."
            self._warn("dcsa.unmapped", sentence, f"{position}.{name}")
            return Meaning(OBSERVED, shown)
        if _text(told.get("emptyIndicatorCode")) == "EMPTY" and kind == "EQUIPMENT":
            # the box moves, the goods are not in it
            return Meaning(OBSERVED, f"{meaning.words} (empty)", meaning.date and f"empty_{meaning.date}")
        return meaning

    def _moment(self, told: Mapping[str, Any], name: str, needed: bool) -> tuple[Any, str]:
        """A time in UTC and the zone it was written in. Raises `_Bad`."""
        value = told.get(name)
        if value in (None, ""):
            if needed:
                raise _Bad("dcsa.missing", f"The event has no {name}.", name)
            return None, "UTC"
        try:
            return read_time(value, ISO, self.zone), _zone_name(value)
        except TimeError as error:
            sentence = f"The {name} “{jsonbody.excerpt(value, 60)}” {error}."
            raise _Bad("dcsa.bad_time", sentence, name, value) from None

    def _references(self, told: Mapping[str, Any], position: str) -> tuple[tuple[Reference, ...], dict[str, str]]:
        found: dict[Reference, None] = {}
        others: dict[str, str] = {}
        pairs = [("EQ", _text(told.get("equipmentReference")))]
        document = _text(told.get("documentReference")) or _text(told.get("documentID"))
        pairs.append((_text(told.get("documentTypeCode")), document))
        for name in ("documentReferences", "relatedDocumentReferences", "references"):
            given = told.get(name)
            for one in given[:_MOST_REFERENCES] if isinstance(given, list) else ():
                entry = _object(one)
                kinds = ("type", "documentReferenceType", "referenceType")
                values = ("value", "documentReferenceValue", "referenceValue")
                pairs.append((_first(entry, kinds), _first(entry, values)))
        for code, value in pairs:
            kind = REFERENCES.get(code)
            if not value:
                continue
            if len(value) > _LONGEST:
                sentence = f"A reference of {len(value):,} characters was left out; at most {_LONGEST} are kept."
                self._warn("dcsa.too_long", sentence, position)
            elif kind is None:
                others.setdefault(code[:20] or "unknown", value)
            else:
                normal = re.sub(r"[\s./-]", "", value).upper() if kind == "container" else value
                if normal:
                    found[Reference(kind, normal, self._issuer(kind, told))] = None
        return tuple(found), others

    def _issuer(self, kind: str, told: Mapping[str, Any]) -> str:
        """Bookings and bills of lading are the carrier's; other numbers that need an issuer as well."""
        if not REFERENCE_KINDS[kind][1]:
            return ""
        publisher = _object(told.get("publisher"))
        code = _text(publisher.get("carrierCode")).upper()
        if code in self.carriers:
            return self.carriers[code][:64]
        # as EDI names a carrier nobody has introduced
        is_scac = _text(publisher.get("carrierCodeListProvider")) == "NMFTA" and not self.partner
        return f"scac:{code}"[:64] if is_scac and code else self.partner[:64]

    def _parties(self, told: Mapping[str, Any]) -> dict[str, str]:
        publisher = _object(told.get("publisher"))
        code = _text(publisher.get("carrierCode")).upper()[:20]
        if not code or _text(told.get("publisherRole")) not in ("", "CA", "AG"):
            return {}
        scheme = "scac" if _text(publisher.get("carrierCodeListProvider")) == "NMFTA" else "smdg"
        return {"carrier": self.carriers.get(code, f"{scheme}:{code}")}

    def _retracted(self, told: Mapping[str, Any], created: Any, position: str) -> CanonicalEvent:
        """3.0: an earlier event is taken back. What was recorded stays recorded; the retraction stands beside it."""
        if created is None:
            sentence = "A retraction happened at eventCreatedDateTime, which is missing."
            raise _Bad("dcsa.missing", sentence, "eventCreatedDateTime")
        gone = _text(told.get("retractedEventID"))[:200]
        references, _ = self._references(told, position)
        sentence = (
            f"The event {gone} was taken back by its source: it no longer counts, what it had reached is open again."
        )
        self._warn("dcsa.retracted", sentence, f"{position}.metadata.retractedEventID")
        return CanonicalEvent(
            type=WITHDRAWN,
            happened_at=created,
            references=(*references, *self._named(told.get("eventID")), *self._named(gone)),
            source_event_id=_text(told.get("eventID"))[:1_000],
            sent_at=created,
            parties=self._parties(told),
            data={"withdrawn": {"event_id": gone}, "event": _text(told.get("eventType"))[:20]},
            position=position,
        )

    def _named(self, event_id: Any) -> tuple[Reference, ...]:
        """What its source calls an event, so that a retraction that names nothing else finds it."""
        name = _text(event_id)[:_LONGEST]
        return (Reference(TOLD, name, self.integration),) if name else ()

    def _warn(self, code: str, sentence: str, position: str) -> None:
        self.issues.append(ParseIssue(code, sentence, position, "", "warning"))


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((text for name in names if (text := _text(entry.get(name)))), "")


def _date_name(name: str, classifier: str, told: Mapping[str, Any]) -> str:
    """eta, etd: of the journey; of a transhipment it is the terminal's. All else says how sure it is: planned_loading."""
    if classifier == "EST" and name in ("eta", "etd"):
        ends = ("", "POD", "PDE") if name == "eta" else ("", "POL", "PRE")
        between = _text(told.get("shipmentLocationType")) not in ends or told.get("isTransshipmentMove") is True
        return f"{name}_terminal" if between else name
    return f"{CLASSIFIERS[classifier]}_{ {'eta': 'arrival', 'etd': 'departure'}.get(name, name) }"


def _zone_name(value: Any) -> str:
    """The zone of a time as written: ``Etc/GMT-2`` for +02:00; UTC where that has no name."""
    try:
        offset = datetime.fromisoformat(str(value).strip().upper()).utcoffset()
    except ValueError:
        offset = None
    hours = offset.total_seconds() / 3600 if offset else 0.0
    return f"Etc/GMT{-int(hours):+d}" if hours and hours.is_integer() and -12 <= hours <= 14 else "UTC"


def _data(
    told: Mapping[str, Any], kind: str, classifier: str, meaning: Meaning, others: dict[str, str]
) -> dict[str, Any]:
    call = _object(told.get("transportCall"))
    place = _object(call.get("location")) or _object(told.get("eventLocation"))
    vessel = _object(call.get("vessel"))
    found: dict[str, Any] = {"event": kind, "status": meaning.words, "certainty": CLASSIFIERS[classifier]}
    for name, ours in CALL.items():
        found.setdefault(ours, _text(call.get(name))[:_LONGEST])
        found[ours] = found[ours] or _text(call.get(name))[:_LONGEST]
    found["un_locode"] = found["un_locode"] or _text(place.get("UNLocationCode"))[:20]
    found["location"] = _text(place.get("locationName"))[:_LONGEST]
    found["vessel"] = _first(vessel, ("name", "vesselName"))[:_LONGEST]
    found["imo"] = _text(vessel.get("vesselIMONumber"))[:20]
    found["delay_reason"] = _text(told.get("delayReasonCode"))[:20]
    found["remark"] = (_text(told.get("changeRemark")) or _text(told.get("reason")))[:500]
    found["equipment_type"] = _text(told.get("ISOEquipmentCode"))[:20]
    found["empty"] = _text(told.get("emptyIndicatorCode")) == "EMPTY"
    found["transshipment"] = told.get("isTransshipmentMove") is True
    found["references"] = others
    return {name: value for name, value in found.items() if value}
