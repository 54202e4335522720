"""How to send to an integration: its address, its signature in words, and a command line that delivers a message; and
what can be connected at all."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from apps.collectors.contract import COLLECTORS, Collector
from apps.collectors.signatures import SCHEMES
from apps.integrations.models import Integration

#: group -> kind -> what it is for, in the step that chooses one; a kind that stands nowhere is shown under the last
KINDS: dict[str, dict[str, str]] = {
    "Any system": {
        "webhook": "A shop, WMS, TMS or portal calls us with JSON; its fields are mapped.",
        "files": "Files with a mapping: CSV, JSON lines, XML; expected by a time of the day.",
        "cloudevents": "Your own bus or middleware sends events in the CloudEvents form.",
    },
    "Odoo": {
        "odoo": "The tower reads orders, transfers and invoices from an Odoo, by polling.",
        "odoo_hook": "Odoo's own webhooks, taken as hints to read again.",
    },
    "Partners: EDI and standards": {
        "edi": "Partners send X12 or EDIFACT interchanges: ASNs, status messages, acknowledgements.",
        "as2_mdn": "Receipts of an AS2 gateway (MDN), matched to what was sent.",
        "epcis": "EPCIS 1.2 and 2.0 events, captured from partners and scanners.",
        "dcsa": "Container carriers tell by the DCSA track and trace standard.",
    },
    "Carriers and parcels": {
        "easypost": "", "aftership": "", "shipengine": "", "shippo": "", "sendcloud": "", "seventeentrack": "",
        "fedex": "", "ups": "", "dhl": "", "karrio": "",
        "api_calls": "A log of rate, label and manifest calls: how many, how slow, how often wrong.",
    },
    "Shops and customers": {
        "shopify": "Orders, fulfilments and refunds of a Shopify shop: webhooks, compared by polling.",
        "woocommerce": "Orders of a WooCommerce shop: webhooks, compared by polling.",
        "amazon_sp": "Notifications of Amazon's Selling Partner API.",
        "notifications": "Messages to customers: sent, delivered, bounced.",
    },
    "Middleware, channels and logs": {
        "otlp": "Services and integration platforms send their traces (OpenTelemetry).",
        "message_log": "Message logs of n8n, MuleSoft, Logic Apps or Camel: hops, failures, queues of others.",
        "gateway_log": "Access logs of nginx, Envoy, Kong or Traefik, sent in batches: calls, refusals, latency.",
        "gateway_tail": "The same, read from the log file as it grows.",
        "kafka": "Topics of a Kafka broker, read by a consumer that commits after the receipt.",
        "amqp": "Queues of RabbitMQ, acknowledged after the receipt.",
        "redis_stream": "Streams of Redis, read by a consumer group.",
        "eventlog": "Tables of past events: CSV or Parquet with a mapping; process logs.",
    },
}  # fmt: skip
_CARRIER = "Tracking updates of {label}, signed as it signs them."
OTHER = "More"


@dataclass(slots=True)
class Sending:
    """How to send to an integration. address: '' when the tower reads the source itself."""

    address: str
    scheme: str
    words: str
    example: str
    chooses_secret: bool
    secret_label: str


#: scheme -> what the sender does with the secret
_SCHEME_WORDS = {
    "standard": "Signs id, time and body with the secret by Standard Webhooks; most webhook libraries do it by themselves.",
    "hmac_sha256_base64": "Signs the raw body with HMAC-SHA256 and puts it, as base64, into the header {header}.",
    "hmac_sha256_hex": "Signs the raw body with HMAC-SHA256 and puts it, as hexadecimal digits, into the header {header}.",
    "header_token": "Puts the secret itself into the header {header}.",
    "bearer": "Sends the secret as a bearer token: Authorization: Bearer …",
}
_FORMS = {"base64": "-binary | base64", "hex": "-r | cut -d' ' -f1"}
#: schemes that sign the body alone: the form of the signature and what stands before it
_HMAC = {
    "hmac_sha256_base64": ("base64", ""),
    "hmac_sha256_hex": ("hex", ""),
    "shopify": ("base64", ""),
    "woocommerce": ("base64", ""),
    "aftership": ("base64", ""),
    "fedex": ("base64", ""),
    "sendcloud": ("hex", ""),
    "easypost": ("hex", "hmac-sha256-hex="),
}
_BODIES = {
    "webhook": ("application/json", '{"type": "order.placed", "id": "4711-1", "happened_at": "2026-03-04T10:15:00+01:00", "references": [{"kind": "sales_order", "value": "S04711"}]}'),
    "cloudevents": ("application/cloudevents+json", '{"specversion": "1.0", "id": "4711-1", "source": "/shop", "type": "order.placed", "time": "2026-03-04T10:15:00+01:00", "data": {"references": [{"kind": "sales_order", "value": "S04711"}]}}'),
    "edi": ("application/edi-x12", "@856.x12"),
    "otlp": ("application/x-protobuf", "@traces.bin"),
    "eventlog": ("text/csv", "@events.csv"),
}  # fmt: skip


def sending(integration: Integration, collector: Collector | None) -> Sending:
    """The address and an example for the sender, with the words of its signature."""
    if collector is None or not collector.has_door:
        return Sending("", "", "", "", True, "API key")
    address = f"{settings.BASE_URL.rstrip('/')}/in/{integration.endpoint_id}/"
    scheme = _scheme(integration, collector)
    known = SCHEMES.get(scheme)
    header = str(
        integration.settings.get("signature_header")
        or integration.settings.get("token_header")
        or (known.header if known else "")
    )
    words = _SCHEME_WORDS.get(scheme, "Signs its deliveries its own way, in the header {header}.").format(
        header=header or "agreed upon"
    )
    label = known.label if known else scheme
    chooses = scheme not in ("standard", "bearer")
    return Sending(address, label, words, _example(integration.kind, scheme, header, address), chooses, "Their secret")


def _scheme(integration: Integration, collector: Collector) -> str:
    """How its senders sign: as its settings say, else as its kind does."""
    own = integration.settings.get("scheme") or getattr(collector, "scheme", "")
    own = own or getattr(collector.ConfigForm(), "default_scheme", "")
    return str(own or (integration.kind if integration.kind in SCHEMES else "bearer"))


def _example(kind: str, scheme: str, header: str, address: str) -> str:
    """A command line that delivers one message, with the secret in $SECRET. '' for schemes only their sender speaks."""
    content_type, body = _BODIES.get(kind, ("application/json", "@message.json"))
    if kind == "otlp":
        return f'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT={address}v1/traces\nOTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf\nOTEL_EXPORTER_OTLP_TRACES_HEADERS="Authorization=Bearer%20$SECRET"'
    lead, option = [], f"--data-binary {body}"
    if not body.startswith("@"):
        lead, option = [f"BODY='{body}'"], '--data-binary "$BODY"'
    data = f"cat {body[1:]}" if body.startswith("@") else 'printf %s "$BODY"'
    if scheme == "standard":
        lead += ["ID=msg_$(date +%s%N); TIME=$(date +%s)"]
        lead += ["KEY=$(printf %s \"${SECRET#whsec_}\" | base64 -d | od -An -vtx1 | tr -d ' \\n')"]
        lead += [
            f'SIGNATURE=$( (printf %s "$ID.$TIME."; {data}) | openssl dgst -sha256 -mac HMAC -macopt hexkey:$KEY -binary | base64)'
        ]
        headers = ["webhook-id: $ID", "webhook-timestamp: $TIME", "webhook-signature: v1,$SIGNATURE"]
    elif scheme in _HMAC:
        form, prefix = _HMAC[scheme]
        lead += [f'SIGNATURE=$({data} | openssl dgst -sha256 -hmac "$SECRET" {_FORMS[form]})']
        headers = [f"{header}: {prefix}$SIGNATURE"]
    elif scheme == "shippo":
        lead += ["TIME=$(date +%s)"]
        lead += [f'SIGNATURE=$( (printf %s "$TIME."; {data}) | openssl dgst -sha256 -hmac "$SECRET" {_FORMS["hex"]})']
        headers = [f"{header}: t=$TIME,v1=$SIGNATURE"]
    elif scheme == "17track":
        lead += [f"SIGNATURE=$( ({data}; printf /%s \"$SECRET\") | openssl dgst -sha256 -r | cut -d' ' -f1)"]
        headers = [f"{header}: $SIGNATURE"]
    elif scheme == "header_token":
        headers = [f"{header}: $SECRET"]
    elif scheme == "bearer":
        headers = ["Authorization: Bearer $SECRET"]
    else:
        return ""
    options = [f'  -H "{one}" \\' for one in (f"Content-Type: {content_type}", *headers)]
    return "\n".join([*lead, f"curl {address} \\", *options, f"  {option}"])


def kinds() -> list[tuple[str, list[dict[str, str]]]]:
    """What can be connected, in groups, for the first step of adding."""
    left = dict(COLLECTORS.plugins)
    found = []
    for group, own in KINDS.items():
        listed = [_choice(kind, left.pop(kind), words) for kind, words in own.items() if kind in left]
        if listed:
            found.append((group, listed))
    if left:
        found.append((OTHER, [_choice(kind, left[kind], "") for kind in sorted(left)]))
    return found


def _choice(kind: str, plugin: Collector, words: str) -> dict[str, str]:
    scheme: str = getattr(plugin, "scheme", "")
    if not words and scheme:
        words = _CARRIER.format(label=plugin.label)
    ways = [way for way, does in (("receives", plugin.has_door), ("reads by itself", plugin.polls)) if does]
    return {"kind": kind, "label": plugin.label, "purpose": words, "reads": " and ".join(ways) or "files"}
