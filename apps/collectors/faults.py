"""Who can mend a dead letter, and what was expected, by its code: a rule for each prefix, the longest counts. Pure.

A rule says where to look first, not who is guilty: a partner that sends a new code has done nothing wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

MAPPING, PARTNER, TOWER, GONE, OPEN = "mapping", "partner", "tower", "gone", "open"

WHO = {
    MAPPING: "The mapping",
    PARTNER: "The partner",
    TOWER: "The tower",
    GONE: "Nobody",
    OPEN: "Not told by the code",
}
NEXT = {
    MAPPING: "Add what is missing to the mapping, try it on the last messages, save it, then replay.",
    PARTNER: "Show them the place below and ask for a corrected message; the corrected one needs no replay.",
    TOWER: "The worker's log says more. Once it is mended, or the collector is installed, replay.",
    GONE: "There is nothing to mend any more: dismiss it.",
    OPEN: "Look at the place below. If the message is right, the reading of it is to be mended; else ask the partner.",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """who: one of WHO; expected: a sentence."""

    who: str
    expected: str

    @property
    def name(self) -> str:
        return WHO[self.who]

    @property
    def next_step(self) -> str:
        return NEXT[self.who]


#: code or its beginning -> who, and what was expected
RULES: dict[str, Fault] = {
    "json.": Fault(PARTNER, "One JSON document in UTF-8 (RFC 8259)."),
    "json.empty": Fault(PARTNER, "A JSON document; the body is empty."),
    "json.duplicate_key": Fault(PARTNER, "Each key once in an object."),
    "xml.": Fault(PARTNER, "Well-formed XML without entities or a document type."),
    "encoding.": Fault(PARTNER, "A body compressed as its Content-Encoding says, whole and within the limit."),
    "batch.": Fault(PARTNER, "A JSON array, or one JSON document a line, of at most 100 items."),
    "delivery.": Fault(PARTNER, "At least one event."),
    "mapping.": Fault(MAPPING, "What the mapping names, in the form it says."),
    "mapping.unknown_code": Fault(MAPPING, "A code that stands under values or ignore. New codes are never guessed."),
    "mapping.unknown_party": Fault(MAPPING, "A party that stands under values."),
    "mapping.missing": Fault(MAPPING, "A value where the mapping looks for one. If it is there under another name, the mapping is to be changed; if not, the partner left it out."),
    "mapping.no_reference": Fault(MAPPING, "At least one business key (order, picking, tracking number ...)."),
    "mapping.bad_time": Fault(MAPPING, "A time in the format the mapping says."),
    "mapping.nothing_matched": Fault(MAPPING, "A rule that wants this message, or otherwise: ignore."),
    "mapping.invalid": Fault(MAPPING, "A mapping that can be used."),
    "event.": Fault(PARTNER, "An event that can be kept: a time with a zone, and keys of usual length."),
    "event.unknown_type": Fault(MAPPING, "An event type of the catalogue."),
    "event.no_time": Fault(PARTNER, "The time it happened, with its zone."),
    "event.naive_time": Fault(PARTNER, "A time with its zone or offset."),
    "plain.": Fault(PARTNER, "The tower's own form: type, happened_at and at least one reference."),
    "edi.": Fault(PARTNER, "An interchange whose envelopes, counts and segments agree with the standard."),
    "edi.unmapped": Fault(MAPPING, "A code of the tables; new ones are to be added there."),
    "cloudevents.": Fault(PARTNER, "A CloudEvent 1.0: specversion, id, source and type."),
    "epcis.": Fault(PARTNER, "An EPCIS document by the standard, with valid GS1 keys."),
    "dcsa.": Fault(PARTNER, "An event by the DCSA track and trace standard."),
    "otlp.": Fault(PARTNER, "An OTLP export: protobuf or JSON as the content type says."),
    "eventlog.": Fault(PARTNER, "A table with one header and as many fields in each row."),
    "eventlog.no_mapping": Fault(MAPPING, "A mapping that says what the columns mean."),
    "mdn.": Fault(PARTNER, "A disposition notification as AS2 describes it."),
    "channel.": Fault(PARTNER, "A message of the channel with a body, in the form agreed."),
    "shopify.": Fault(PARTNER, "A topic and a body as Shopify documents them, of the shop this integration is for."),
    "woocommerce.": Fault(PARTNER, "A topic and a body as WooCommerce documents them."),
    "accesslog.": Fault(PARTNER, "Access log lines in one of the formats that are read."),
    "notification.": Fault(PARTNER, "A notification as its sender documents it."),
    "carrier.": Fault(PARTNER, "A tracking message as the carrier documents it."),
    "odoo.": Fault(OPEN, "Records with the fields the reader asks for; rights or modules may be missing."),
    "collector.": Fault(TOWER, "A message the collector can read without stumbling."),
    "collector.unknown": Fault(TOWER, "The kind of this integration, installed."),
    "processing.": Fault(TOWER, "Processing that comes to its end."),
    "storage.": Fault(TOWER, "Something the database can keep."),
    "receipt.": Fault(PARTNER, "A delivery within the limits: 10,000 events, sent in smaller parts."),
    "receipt.gone": Fault(GONE, "The bytes, which retention has removed."),
    "integration.gone": Fault(GONE, "The integration, which no longer exists."),
}  # fmt: skip
_UNMAPPED = Fault(MAPPING, "A code that is known. An unknown one is listed and never guessed.")
_OTHER = Fault(OPEN, "A message this kind of source can read.")


def fault_of(code: str) -> Fault:
    """The rule for a code: its own, that of codes nobody mapped yet, that of its prefix, or none."""
    if code in RULES:
        return RULES[code]
    if "unmapped" in code or "unknown" in code:
        return _UNMAPPED
    return RULES.get(code.partition(".")[0] + ".", _OTHER)
