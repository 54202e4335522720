"""AS2 receipts (MDN) as acknowledgments of what we sent. See docs/collectors/edi.md, "AS2 receipts".

By HTTP from the gateway, or from the folder it drops them into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

from django import forms

from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.edi import mdn, times
from apps.collectors.edi.identity import lines, pairs
from apps.collectors.edi.segments import excerpt
from apps.collectors.edi.sent import transmission
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult, Reference

_ACKNOWLEDGED, _REJECTED = "message.acknowledged", "message.rejected"
#: RFC 8098 3.2.6: mode ';' type ['/' modifier], RFC 4130 7.4.3: the modifier may say why behind a colon
_DISPOSITION = re.compile(r"(?:[^;]*;)?\s*([A-Za-z-]+)\s*(?:/\s*([A-Za-z-]+)\s*(?:[:,]\s*(.*))?)?")
#: disposition type and modifier -> event and words; anything else is named, not guessed
_MEANINGS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("processed", ""): (_ACKNOWLEDGED, "Processed"),
    ("processed", "warning"): (_ACKNOWLEDGED, "Processed with a warning"),
    ("processed", "error"): (_REJECTED, "Not processed: error"),
    ("processed", "failure"): (_REJECTED, "Not processed: failure"),
    ("failed", ""): (_REJECTED, "Failed"),
    ("failed", "failure"): (_REJECTED, "Failed"),
    ("failed", "error"): (_REJECTED, "Failed: error"),
    ("denied", ""): (_REJECTED, "Denied"),
}


class As2MdnForm(forms.Form):
    """Settings of an integration that takes AS2 receipts."""

    own_ids = forms.CharField(
        label="Our AS2 names",
        required=False,
        widget=forms.Textarea,
        help_text="One a line. A receipt one of them sent is about what the partner sent, not about ours.",
    )
    partners = forms.CharField(
        label="Partners by AS2 name",
        required=False,
        widget=forms.Textarea,
        help_text="One a line: THEIR-AS2 = partner-slug. For gateways that carry several partners.",
    )
    default_partner = forms.SlugField(
        label="Partner of every other name",
        required=False,
        max_length=64,
        help_text="Empty: the partner of this integration.",
    )

    def clean_partners(self) -> str:
        text = self.cleaned_data.get("partners") or ""
        for line in lines(text):
            left, sign, right = line.partition("=")
            if not (sign and left.strip() and right.strip()):
                raise forms.ValidationError(f"Write each line as 'name = value'; this one is not: {line[:60]}")
        return str(text)


class As2MdnCollector(Collector):
    """Receipts of AS2 transmissions (RFC 4130)."""

    kind = "as2_mdn"
    label = "AS2 receipts (MDN)"
    max_body = mdn.MAX_BYTES
    ConfigForm = As2MdnForm
    content_types: ClassVar[Mapping[str, str]] = {
        ".mdn": "message/rfc822",
        ".eml": "message/rfc822",
        ".mime": "message/rfc822",
        ".msg": "message/rfc822",
    }

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        """One event for one report. Raises `ParseFailure` when there is no report in the message."""
        report = mdn.read(delivery.body, delivery.content_type, delivery.headers)
        issues: list[ParseIssue] = []
        original = transmission(report.fields.get("original-message-id", ""))
        if not original:
            raise ParseFailure(
                "mdn.no_original",
                "The report does not say which message it is about (Original-Message-ID); ask the partner for one that does.",
                "Original-Message-ID",
                _shown(report),
            )
        told = _told(report)
        if told is None:
            stated = report.fields.get("disposition", "")
            sentence = (
                f"The disposition {excerpt(stated, 80)!r} is neither accepted nor refused by RFC 4130; it gives no event."
                if stated
                else "The report has no Disposition; ask the partner whether the message was processed."
            )
            issues.append(ParseIssue("mdn.unknown_disposition", sentence, "Disposition", _shown(report), "warning"))
            return ParseResult((), tuple(issues))
        moment, dated = _time(report, source.zone, delivery.received_at)
        if not dated:
            sentence = "The report has no date that can be read; the time we received it was taken."
            issues.append(ParseIssue("mdn.no_time", sentence, "Date", _shown(report), "warning"))
        return ParseResult((_event(report, source, original, told, moment),), tuple(issues))


def _told(report: mdn.Report) -> tuple[str, str, dict[str, str]] | None:
    """Event type, words and codes of the disposition; None when it is not known."""
    found = _DISPOSITION.fullmatch(report.fields.get("disposition", ""))
    if found is None:
        return None
    kind, modifier, why = found[1].lower(), (found[2] or "").lower(), found[3] or ""
    meaning = _MEANINGS.get((kind, modifier))
    if meaning is None:
        return None
    # RFC 8098 moved the reasons into fields of their own
    reason = (
        why or report.fields.get("error", "") or report.fields.get("failure", "") or report.fields.get("warning", "")
    )
    codes = {"status_code": f"{kind}/{modifier}".rstrip("/"), "reason": reason}
    return *meaning, {name: text for name, text in codes.items() if text}


def _time(report: mdn.Report, zone: str, received: datetime) -> tuple[times.Moment, bool]:
    """When the report was made, and whether it says so itself."""
    try:
        moment = parsedate_to_datetime(report.headers.get("date", ""))
        offset = moment.utcoffset()
        if offset is None:
            return times.Moment(moment.replace(tzinfo=times.zone_named(zone)).astimezone(UTC), zone), True
        return times.Moment(moment.astimezone(UTC), times.fixed(offset.total_seconds() / 3600)[1]), True
    except (ValueError, TypeError, IndexError, OverflowError, times.BadTime):
        return times.Moment(received.astimezone(UTC), "UTC"), False


def _event(
    report: mdn.Report,
    source: SourceContext,
    original: str,
    told: tuple[str, str, dict[str, str]],
    moment: times.Moment,
) -> CanonicalEvent:
    kind, words, codes = told
    settings: Mapping[str, Any] = source.settings
    sender, receiver = _name(report, "as2-from"), _name(report, "as2-to")
    outbound = bool(sender) and sender in lines(settings.get("own_ids"))
    other = receiver if outbound else sender
    default = str(settings.get("default_partner") or source.partner)
    partner = pairs(settings.get("partners")).get(other, default)[:64]
    mic, _, algorithm = report.fields.get("received-content-mic", "").partition(",")
    own = transmission(report.headers.get("message-id", ""))
    data = {
        "standard": "AS2",
        "message": "MDN",
        "status": words,
        **codes,
        "mic": mic.strip(),
        "mic_algorithm": algorithm.strip(),
        "text": report.text,
        "final_recipient": report.fields.get("final-recipient", ""),
        "gateway": report.fields.get("reporting-ua", ""),
    }
    # what we acknowledge is the partner's transmission, not ours
    value = f"received {original}"[:200] if outbound else original
    return CanonicalEvent(
        type=kind,
        happened_at=moment.at,
        references=(Reference("interchange", value, partner),),
        source_event_id=":".join(("mdn", f"{sender}>{receiver}", original, own, codes["status_code"]))[:1000],
        zone=moment.zone,
        parties={role: f"as2:{name}" for role, name in (("sender", sender), ("receiver", receiver)) if name},
        data={**{name: text for name, text in data.items() if text}, "signed": report.signed},
        position="Disposition",
    )


def _name(report: mdn.Report, header: str) -> str:
    """An AS2 name; names with blanks stand in quotes (RFC 4130 6.2)."""
    return report.headers.get(header, "").strip().strip('"')


def _shown(report: mdn.Report) -> str:
    return excerpt("; ".join(f"{name}: {value}" for name, value in report.fields.items()), 200)
