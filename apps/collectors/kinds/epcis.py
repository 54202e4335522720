"""EPCIS: documents and events of GS1's EPCIS 2.0 (JSON-LD, XML) and 1.0 to 1.2 (XML). See docs/collectors/epcis.md.

``POST <door>/capture`` and ``<door>/events`` are the capture interface of EPCIS 2.0 (section 8.2.7): 202 with the
address of a capture job. By default one bad event takes the whole delivery back (``rollback``), as the standard says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
from django import forms

from apps.collectors import jsonbody
from apps.collectors.contract import Collector, Job, RawDelivery, Reply, SourceContext
from apps.collectors.gs1 import documents, xmlreader
from apps.collectors.gs1.facts import Settings
from apps.collectors.gs1.interpret import Interpreter
from apps.collectors.gs1.vocabulary import word
from apps.collectors.times import TimeError, zone_of
from apps.flows.canonical import ParseFailure, ParseIssue, ParseResult
from apps.flows.catalogue import EVENT_TYPES, REFERENCE_KINDS

JSON, XML = "application/json", "application/xml"
ROLLBACK, PROCEED = "rollback", "proceed"
_BEHAVIOUR = "gs1-capture-error-behaviour"


class EpcisForm(forms.Form):
    """Settings of an EPCIS integration. Everything has a working default."""

    error_behaviour = forms.ChoiceField(
        label="A bad event in a delivery",
        required=False,
        choices=[(ROLLBACK, "Takes none of the delivery's events (the standard's default)"), (PROCEED, "Costs itself")],
        help_text="Where the sender does not say (header GS1-Capture-Error-Behaviour).",
    )
    own_glns = forms.CharField(
        label="Our GLNs",
        required=False,
        widget=forms.Textarea,
        help_text="One a line. Transactions they issued carry our own numbers.",
    )
    partners = forms.CharField(
        label="Partners by GLN",
        required=False,
        widget=forms.Textarea,
        help_text="One a line: 4012345000023 = partner-slug.",
    )
    purchase_order_issuer = forms.ChoiceField(
        label="Who numbers the purchase orders",
        required=False,
        choices=[("ours", "We do (we buy from this partner)"), ("partner", "The partner does (it buys from us)")],
    )
    meanings = forms.CharField(
        label="Meanings of business steps",
        required=False,
        widget=forms.Textarea,
        help_text="One a line: step = event type, or step disposition = event type (inspecting = goods.put_away). They "
        "win over the vocabulary's; a word is bare or the whole URI.",
    )
    transactions = forms.CharField(
        label="Types of business transactions",
        required=False,
        widget=forms.Textarea,
        help_text="One a line: type = kind of business key (https://acme.example/so = sales_order).",
    )

    def clean_partners(self) -> str:
        return self._pairs("partners", None)

    def clean_meanings(self) -> str:
        return self._pairs("meanings", EVENT_TYPES)

    def clean_transactions(self) -> str:
        return self._pairs("transactions", REFERENCE_KINDS)

    def _pairs(self, name: str, known: Mapping[str, Any] | None) -> str:
        text = str(self.cleaned_data.get(name) or "")
        for line in filter(None, map(str.strip, text.splitlines())):
            left, sign, right = line.rpartition("=")
            if not (sign and left.strip() and right.strip()):
                raise forms.ValidationError(f"Write each line as 'name = value'; this one is not: {line[:60]}")
            if known is not None and right.strip() not in known:
                raise forms.ValidationError(f"{left.strip()[:60]}: there is no {right.strip()[:60]!r}.")
        return text


class Epcis(Collector):
    kind = "epcis"
    label = "EPCIS (GS1 visibility events)"
    max_body = 10 * 1024 * 1024
    ConfigForm = EpcisForm
    door_paths = ("capture", "events")
    job_paths = ("capture", "events")
    content_types: ClassVar[Mapping[str, str]] = {".jsonld": "application/ld+json", ".json": JSON, ".xml": XML}

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        """Raises `ParseFailure` when it is no EPCIS document, or not well-formed as a whole."""
        work = Interpreter(_settings(source))
        if xmlreader.is_xml(delivery.body):
            found = xmlreader.items(delivery.body)
        else:
            document = jsonbody.read(delivery.body)
            work.issues += document.warnings
            found = documents.items(document.value)
        for item in found:
            work.read(item)
        if not work.count and not work.issues:
            sentence = "The delivery is an empty list: it holds no event."
            work.issues.append(ParseIssue("delivery.empty", sentence, "$", "[]", "warning"))
        return _decided(work, _behaviour(delivery, source, work))

    def tell_job(self, job: Job, settings: Mapping[str, Any]) -> Reply:
        """The capture job of EPCIS 2.0 (section 8.2.7; errors as RFC 7807 problems)."""
        told: dict[str, Any] = {
            "captureID": str(job.number),
            "createdAt": job.created_at.isoformat(),
            "finishedAt": job.finished_at.isoformat() if job.finished_at else None,
            "running": job.finished_at is None,
            "success": job.succeeded,
            "captureErrorBehaviour": _said(job.headers) or str(settings.get("error_behaviour") or ROLLBACK),
            "errors": [
                {
                    "type": f"urn:control-tower:{one.code}",
                    "title": one.code,
                    "detail": one.sentence,
                    "instance": one.position,
                }
                for one in job.errors
            ],
        }
        return Reply(200, JSON, orjson.dumps({name: value for name, value in told.items() if value is not None}))


def _said(headers: Mapping[str, str]) -> str:
    """The error behaviour a sender asked for; '' if none that is known."""
    said = headers.get(_BEHAVIOUR, "").strip().lower()
    return said if said in (ROLLBACK, PROCEED) else ""


def _settings(source: SourceContext) -> Settings:
    try:
        zone = zone_of(source.zone)
    except TimeError as error:
        raise ParseFailure("epcis.zone", f"The integration's time zone {error}.") from None
    given = source.settings
    meanings: dict[tuple[str, str], str] = {}
    for words, kind in _lines(given.get("meanings")):
        step, _, disposition = words.partition(" ")
        # 'none in_transit' is for events without a step
        meanings["" if step == "none" else word(step), word(disposition.strip())] = kind
    return Settings(
        partner=source.partner,
        zone=zone,
        partners=dict(_lines(given.get("partners"))),
        own=frozenset(str(given.get("own_glns") or "").replace(",", " ").split()),
        meanings=meanings,
        transactions={word(kind): key for kind, key in _lines(given.get("transactions"))},
        orders_are_ours=given.get("purchase_order_issuer") != "partner",
    )


def _lines(value: Any) -> list[tuple[str, str]]:
    """``name = value`` lines; a name may hold ``=`` itself (web addresses do). What the form refuses is left out."""
    parts = (line.rpartition("=") for line in str(value or "").splitlines())
    return [(left.strip(), right.strip()) for left, sign, right in parts if sign and left.strip() and right.strip()]


def _behaviour(delivery: RawDelivery, source: SourceContext, work: Interpreter) -> str:
    default = str(source.settings.get("error_behaviour") or ROLLBACK)
    written = delivery.headers.get(_BEHAVIOUR, "").strip()
    if written and not _said(delivery.headers):
        sentence = f"The header GS1-Capture-Error-Behaviour says “{jsonbody.excerpt(written, 40)}”, which is neither "
        sentence += f"rollback nor proceed; {default} was followed."
        work.issues.append(ParseIssue("epcis.behaviour", sentence, "header", "", "warning"))
    return _said(delivery.headers) or default


def _decided(work: Interpreter, behaviour: str) -> ParseResult:
    """All good events, or none when one is bad and the delivery stands or falls as a whole."""
    errors = [issue for issue in work.issues if issue.severity == "error"]
    if not errors or not work.events or behaviour == PROCEED:
        return ParseResult(tuple(work.events), tuple(work.issues))
    sentence = (
        f"{len(errors)} of {work.count} events cannot be read, and this delivery stands or falls as a whole (rollback): "
        f"none was taken. Mend {errors[0].position}, or send with GS1-Capture-Error-Behaviour: proceed."
    )
    undone = ParseIssue("epcis.rolled_back", sentence, errors[0].position)
    return ParseResult((), (undone, *work.issues))
