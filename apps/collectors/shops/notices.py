"""What e-mail and SMS providers say about messages to customers, as facts. Pure.

Each provider's words become sent, delivered or bounced; opened, clicked, complained and the like are of no interest here.
The order is found in what the sender attached to the message: custom arguments, metadata, variables or tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from apps.collectors.jsonbody import excerpt
from apps.collectors.shops.reading import Reader, digest, record, records, text
from apps.collectors.times import EPOCH, ISO
from apps.flows.canonical import ParseFailure, Reference
from apps.flows.catalogue import REFERENCE_KINDS

SENT, DELIVERED, BOUNCED, NOTHING = "notification.sent", "notification.delivered", "notification.bounced", ""

SENDGRID = {
    "processed": SENT,
    "delivered": DELIVERED,
    "bounce": BOUNCED,
    "dropped": BOUNCED,
    **dict.fromkeys(("deferred", "open", "click", "spamreport", "unsubscribe"), NOTHING),
    **dict.fromkeys(("group_unsubscribe", "group_resubscribe", "account_status_change"), NOTHING),
}
MAILGUN = {
    "accepted": SENT,
    "delivered": DELIVERED,
    "failed": BOUNCED,
    "rejected": BOUNCED,
    **dict.fromkeys(("opened", "clicked", "unsubscribed", "complained", "stored", "list_member_uploaded"), NOTHING),
}
POSTMARK = {
    "delivery": DELIVERED,
    "bounce": BOUNCED,
    **dict.fromkeys(("open", "click", "spamcomplaint", "subscriptionchange", "inbound", "smtpapierror"), NOTHING),
}
#: bounces after which Postmark goes on trying, or that are answers of the recipient
POSTMARK_PASSING = frozenset(
    (
        *("transient", "subscribe", "unsubscribe", "autoresponder", "addresschange", "dnserror"),
        *("openrelaytest", "challengeverification", "virusnotification"),
    )
)
SES = {
    "send": SENT,
    "delivery": DELIVERED,
    "bounce": BOUNCED,
    "reject": BOUNCED,
    "rendering failure": BOUNCED,
    **dict.fromkeys(("complaint", "open", "click", "deliverydelay", "subscription"), NOTHING),
}
TWILIO = {
    "sent": SENT,
    "delivered": DELIVERED,
    "undelivered": BOUNCED,
    "failed": BOUNCED,
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "canceled", "read", "receiving"), NOTHING),
}
#: names of attached values -> reference kind; "" is an order, of the kind the settings say
NAMES = {
    **dict.fromkeys(("order", "order_number", "order_id", "order_no", "order_ref"), ""),
    **dict.fromkeys(("tracking", "tracking_number", "tracking_no", "tracking_code"), "tracking_number"),
    **dict.fromkeys(("invoice", "invoice_number"), "invoice"),
    **dict.fromkeys(("return", "return_number", "rma"), "return_order"),
    **dict.fromkeys(("picking", "delivery_order"), "picking"),
    **{kind: kind for kind in REFERENCE_KINDS if kind != "trace"},
}
#: behind it stands which server had the message; before it, what the sending call answered as the message's id
_SENDGRID_SERVER = re.compile(r"\.(?:filter|recvd)")
_TAG = re.compile(r"([A-Za-z][A-Za-z0-9_ -]{0,40}?)\s*[:=]\s*(\S.{0,199})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Notice:
    """One provider's word on one message. attached: names and values the sender attached; id: of this word."""

    table: Mapping[str, str]
    status: str
    channel: str
    message: str
    id: str
    happened_at: datetime | None
    position: str
    attached: tuple[tuple[str, Any], ...] = ()
    tags: tuple[str, ...] = ()
    reason: str = ""
    template: str = ""
    #: kept without an order: the provider cannot attach one
    alone: bool = False


@dataclass(slots=True)
class Notices:
    """Collects the notices of one delivery. order_kind: reference kind of what is just called an order."""

    r: Reader
    order_kind: str
    without_order: int = field(default=0)

    def add(self, notice: Notice) -> None:
        kind = notice.table.get(notice.status)
        if kind is None:
            sentence = f"The event “{notice.status[:60]}” is not mapped and gave no notice."
            self.r.warn("unmapped_event", sentence, notice.position, notice.status)
        elif kind and not notice.message:
            self.r.missing("The id of the message", notice.position, notice.id)
        elif kind and notice.happened_at is None:
            self.r.missing("The time of the notice", notice.position, notice.id)
        elif kind and notice.happened_at is not None:
            references = tuple(self._references(notice))
            if not references and not notice.alone:
                self.without_order += 1
                return
            data = {"channel": notice.channel, "template": notice.template, "status": notice.status}
            if kind == BOUNCED:
                data["reason"] = excerpt(notice.reason)
            own = (Reference("notification", notice.message),)
            self.r.add(kind, notice.happened_at, (*references, *own), notice.id, notice.position, data=data)

    def _references(self, notice: Notice) -> Iterator[Reference]:
        pairs = [*notice.attached, *(match.groups() for tag in notice.tags if (match := _TAG.fullmatch(tag.strip())))]
        for name, value in pairs:
            key = str(name).strip().lower().replace("-", "_").replace(" ", "_")
            if key not in NAMES:
                continue
            kind = NAMES[key] or self.order_kind
            issuer = self.r.issuer if REFERENCE_KINDS[kind][1] else ""
            for one in value if isinstance(value, list) else [value]:
                if text(one):
                    yield Reference(kind, text(one), issuer)

    def close(self) -> None:
        """Says how many notices named no order."""
        if self.without_order:
            sentence = (
                f"Notices that name no order were left out: {self.without_order}. Attach one to the message, such as "
                "order_number, or end the subscription for messages that are about none."
            )
            self.r.warn("no_order", sentence, "$")


def read_notices(notices: Notices, provider: str, value: Any, at: str) -> None:
    """One message of a provider; '' finds the provider by the shape."""
    found = provider or provider_of(value)
    reader = _READERS.get(found)
    if reader is None or not isinstance(value, dict):
        sentence = "This is no event of SendGrid, Mailgun, Postmark, Amazon SES or Twilio."
        notices.r.error("unknown_provider", sentence, at, value)
        return
    reader(notices, value, at)


def provider_of(value: Any) -> str:
    value = record(value)
    if "event-data" in value:
        return "mailgun"
    if "RecordType" in value:
        return "postmark"
    if isinstance(value.get("mail"), dict):
        return "ses"
    if "MessageStatus" in value or "SmsStatus" in value:
        return "twilio"
    return "sendgrid" if "event" in value and ({"sg_message_id", "sg_event_id"} & set(value)) else ""


def form_of(body: bytes) -> dict[str, Any]:
    """A form-encoded body (Twilio). Raises `ParseFailure`."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=200)
    except (ValueError, UnicodeDecodeError):
        raise ParseFailure(
            "notifications.bad_form", "The body is no form: name=value pairs joined by & were expected.", "byte 0"
        ) from None
    return dict(pairs)


def _sendgrid(notices: Notices, value: dict[str, Any], at: str) -> None:
    status, message = text(value.get("event")).lower(), text(value.get("sg_message_id"))
    message = _SENDGRID_SERVER.split(message)[0]
    written = text(value.get("timestamp"))
    arguments = {**record(value.get("unique_args")), **record(value.get("custom_args")), **value}
    notices.add(
        Notice(
            SENDGRID,
            status,
            "email",
            message,
            text(value.get("sg_event_id")) or f"{message}:{status}:{written}",
            notices.r.moment(value.get("timestamp"), f"{at}.timestamp", EPOCH),
            at,
            tuple(arguments.items()),
            _texts(value.get("category")),
            text(value.get("reason")) or text(value.get("response")),
            text(value.get("template_id")) or text(value.get("sg_template_name")),
        )
    )


def _mailgun(notices: Notices, value: dict[str, Any], at: str) -> None:
    data, at = record(value.get("event-data")), f"{at}.event-data"
    headers = record(record(data.get("message")).get("headers"))
    status = text(data.get("event")).lower()
    if status == "failed" and text(data.get("severity")).lower() == "temporary":
        return
    report = record(data.get("delivery-status"))
    message = text(headers.get("message-id"))
    notices.add(
        Notice(
            MAILGUN,
            status,
            "email",
            message,
            text(data.get("id")) or f"{message}:{status}:{data.get('timestamp')}",
            notices.r.moment(data.get("timestamp"), f"{at}.timestamp", EPOCH),
            at,
            tuple(record(data.get("user-variables")).items()),
            _texts(data.get("tags")),
            text(report.get("description")) or text(report.get("message")) or text(data.get("reason")),
            text(data.get("template")),
        )
    )


def _postmark(notices: Notices, value: dict[str, Any], at: str) -> None:
    status, message = text(value.get("RecordType")).lower(), text(value.get("MessageID"))
    bounce = text(value.get("Type"))
    if status == "bounce" and bounce.lower() in POSTMARK_PASSING:
        return
    name = "BouncedAt" if status == "bounce" else "DeliveredAt"
    address = digest(text(value.get("Recipient")) or text(value.get("Email")))
    notices.add(
        Notice(
            POSTMARK,
            status,
            "email",
            message,
            f"{message}:{status}:{text(value.get('ID')) or address}",
            notices.r.moment(value.get(name), f"{at}.{name}", ISO),
            at,
            tuple(record(value.get("Metadata")).items()),
            _texts(value.get("Tag")),
            " ".join(filter(None, (bounce, text(value.get("Description"))))),
            text(value.get("Tag")),
        )
    )


def _ses(notices: Notices, value: dict[str, Any], at: str) -> None:
    mail = record(value.get("mail"))
    status = (text(value.get("eventType")) or text(value.get("notificationType"))).lower()
    part = {"delivery": "delivery", "bounce": "bounce"}.get(status, "mail")
    said, message = record(value.get(part)), text(mail.get("messageId"))
    bounced = [text(one.get("diagnosticCode")) for _, one in records(said.get("bouncedRecipients"), "")]
    reasons = (text(said.get("bounceType")), text(said.get("bounceSubType")), *bounced[:1])
    reason = " ".join(filter(None, (*reasons, text(record(value.get("reject")).get("reason")))))
    addresses = said.get("recipients") if status == "delivery" else said.get("bouncedRecipients")
    tags = record(mail.get("tags"))
    headers = [(one.get("name"), one.get("value")) for _, one in records(mail.get("headers"), "")]
    attached = [(str(name or "").removeprefix("X-").removeprefix("x-"), one) for name, one in headers]
    notices.add(
        Notice(
            SES,
            status,
            "email",
            message,
            f"{message}:{status}:{text(said.get('feedbackId')) or digest(addresses)}",
            notices.r.moment(said.get("timestamp"), f"{at}.{part}.timestamp", ISO),
            at,
            (*tags.items(), *attached),
            (),
            reason,
            next(iter(_texts(tags.get("template"))), ""),
        )
    )


def _twilio(notices: Notices, value: dict[str, Any], at: str) -> None:
    """Twilio names no time in its callbacks: that of the receipt stands in, and the callback comes within seconds."""
    sid = text(value.get("MessageSid")) or text(value.get("SmsSid"))
    status = (text(value.get("MessageStatus")) or text(value.get("SmsStatus"))).lower()
    notices.add(
        Notice(
            TWILIO,
            status,
            "sms",
            sid,
            f"{sid}:{status}",
            notices.r.received_at,
            at,
            tuple(value.items()),
            (),
            " ".join(filter(None, (text(value.get("ErrorCode")), text(value.get("ErrorMessage"))))),
            alone=True,
        )
    )


def _texts(value: Any) -> tuple[str, ...]:
    """A text, or the texts of a list."""
    return tuple(filter(None, (text(one) for one in (value if isinstance(value, list) else [value]))))


_READERS: dict[str, Callable[[Notices, dict[str, Any], str], None]] = {
    "sendgrid": _sendgrid,
    "mailgun": _mailgun,
    "postmark": _postmark,
    "ses": _ses,
    "twilio": _twilio,
}
