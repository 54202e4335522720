"""Integrations as people see them: how well each is heard, what is wrong, how to send to it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, QuerySet, Sum

from apps.anomalies.models import FeedCount
from apps.collectors.contract import COLLECTORS, Collector
from apps.collectors.models import DeadLetter, DoorRefusal, Receipt, ReceiptState
from apps.collectors.signatures import SCHEMES
from apps.dashboard.selectors.health import Gap, Health, gaps, health, quiet
from apps.integrations.models import ChangeMarker, Credential, Integration, SourceState

HOURS = 24
RECENT = 20
LISTED = 500
#: state -> (word of the state, label)
STATES = {
    "heard": ("on-time", "heard"),
    "stale": ("unknown", "unheard"),
    "quiet": ("at-risk", "quieter than usual"),
    "failing": ("late", "failing"),
    "never": ("open", "never heard"),
    "off": ("waived", "off"),
}
#: what each kind is for, in the step that chooses one
PURPOSES = {
    "webhook": "A shop, WMS or carrier calls us with JSON when something happens.",
    "cloudevents": "Your own bus or middleware sends events in the CloudEvents form.",
    "edi": "Partners send X12 or EDIFACT interchanges: ASNs, status messages, acknowledgements.",
    "odoo": "The tower reads orders, transfers and invoices from an Odoo, by polling.",
    "otlp": "Services and integration platforms send their traces (OpenTelemetry).",
    "eventlog": "Tables of past events: CSV or Parquet with a mapping.",
}


@dataclass(slots=True)
class Line:
    """One integration in the list."""

    integration: Integration
    kind: str
    state: str
    word: str
    label: str
    last_received_at: datetime | None
    last_error: str
    last_error_at: datetime | None
    since: datetime | None
    dead: int = 0
    volume: int = 0
    spark: list[int] = field(default_factory=list)
    gap: Gap | None = None

    def take(self, name: str) -> None:
        """Another state of `STATES`."""
        self.state, (self.word, self.label) = name, STATES[name]


def state_of(integration: Integration, state: SourceState | None) -> str:
    """One of `STATES`. What is off is off; else a failing poll weighs more than silence."""
    if not integration.enabled:
        return "off"
    if state is None or (state.last_received_at is None and not state.failures):
        return "never" if state is None or state.stale_since is None else "stale"
    if state.failures:
        return "failing"
    return "stale" if state.stale_since else "heard"


def lines(now: datetime, *, q: str = "", kind: str = "", state: str = "") -> list[Line]:
    """Integrations, those in trouble first, in a fixed number of statements."""
    rows = Integration.objects.select_related("partner", "system", "team", "state")
    if kind:
        rows = rows.filter(kind=kind)
    if q:
        rows = rows.filter(name__icontains=q) | rows.filter(partner__name__icontains=q) | rows.filter(slug__icontains=q)
    found = [_line(one) for one in rows[:LISTED]]
    _mark_quiet(found, now)
    if state:
        found = [line for line in found if line.state == state]
    dead = dict(
        DeadLetter.objects.filter(state=DeadLetter.State.OPEN)
        .order_by()
        .values_list("integration_id")
        .annotate(n=Count("pk"))
    )
    sparks = volumes(now)
    for line in found:
        line.dead = dead.get(line.integration.pk, 0)
        line.spark = sparks.get(line.integration.pk, [])
        line.volume = sum(line.spark)
    order = ["failing", "stale", "quiet", "heard", "never", "off"]
    return sorted(found, key=lambda line: (order.index(line.state), line.integration.name.lower()))


def _line(integration: Integration) -> Line:
    state = getattr(integration, "state", None)
    name = state_of(integration, state)
    word, label = STATES[name]
    return Line(
        integration=integration,
        kind=label_of_kind(integration.kind),
        state=name,
        word=word,
        label=label,
        last_received_at=state.last_received_at if state else None,
        last_error=state.last_error if state else "",
        last_error_at=state.last_error_at if state else None,
        since=state.stale_since if state else None,
    )


def _mark_quiet(found: list[Line], now: datetime) -> None:
    """Usual gaps for all of them, and who is quieter than that."""
    known = gaps([line.integration.pk for line in found])
    heard = {line.integration.pk: line.last_received_at for line in found if line.state == "heard"}
    silent = quiet([line.integration for line in found if line.state == "heard"], heard, known, now)
    for line in found:
        line.gap = known.get(line.integration.pk)
        if line.integration.pk in silent:
            line.take("quiet")


def label_of_kind(kind: str) -> str:
    plugin = COLLECTORS.plugins.get(kind)
    return plugin.label if plugin else f"{kind} (not installed)"


def volumes(now: datetime, integration_id: int | None = None) -> dict[int, list[int]]:
    """integration -> events in each of the last 24 hours, oldest first."""
    start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    rows: QuerySet[FeedCount] = FeedCount.objects.filter(hour__gte=start, hour__lte=now)
    if integration_id is not None:
        rows = rows.filter(integration_id=integration_id)
    counts: dict[int, list[int]] = defaultdict(lambda: [0] * HOURS)
    for pk, hour, n in rows.order_by().values_list("integration_id", "hour").annotate(n=Sum("n")):
        counts[pk][int((hour - start).total_seconds() // 3600)] += n
    return counts


@dataclass(slots=True)
class Recent:
    """One receipt, without its body."""

    id: int
    received_at: datetime
    door: str
    word: str
    label: str
    state: ReceiptState


@dataclass(slots=True)
class Sending:
    """How to send to an integration. address: '' when the tower reads the source itself."""

    address: str
    scheme: str
    words: str
    example: str
    chooses_secret: bool
    secret_label: str


@dataclass(slots=True)
class IntegrationPage:
    line: Line
    collector: Collector | None
    sending: Sending
    recent: list[Recent]
    markers: list[dict[str, Any]]
    refusals: list[tuple[str, int]]
    settings: list[tuple[str, str]]
    waiting: int
    spark: list[int]
    health: Health


def integration_page(integration: Integration, now: datetime) -> IntegrationPage:
    """Everything on an integration's page but its credentials."""
    line = _line(integration)
    line.dead = DeadLetter.objects.filter(state=DeadLetter.State.OPEN, integration=integration).count()
    spark = volumes(now, integration.pk).get(integration.pk, [])
    line.volume = sum(spark)
    collector = COLLECTORS.plugins.get(integration.kind)
    found = health(integration, now)
    if found.quiet and line.state == "heard":
        line.take("quiet")
    return IntegrationPage(
        health=found,
        line=line,
        collector=collector,
        sending=sending(integration, collector),
        recent=recent(integration),
        markers=[
            {"at": one.at, "who": one.actor_name, "what": one.text, "icon": _icon(one.kind), "key": f"m{one.pk}"}
            for one in ChangeMarker.objects.filter(integration=integration)[:RECENT]
        ],
        refusals=_refusals(integration, now),
        settings=[(name.replace("_", " "), _words(value)) for name, value in sorted(integration.settings.items())],
        waiting=ReceiptState.objects.filter(integration=integration, status=ReceiptState.Status.WAITING).count(),
        spark=spark,
    )


def _icon(kind: str) -> str:
    return "key" if kind.startswith("credential") else "pause" if kind.endswith("disabled") else "settings"


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _refusals(integration: Integration, now: datetime) -> list[tuple[str, int]]:
    """Why the door turned senders away in the last day, and how often."""
    rows = DoorRefusal.objects.filter(integration=integration, hour__gte=now - timedelta(days=1)).order_by()
    return [
        (reason.replace("_", " "), n)
        for reason, n in rows.values_list("reason").annotate(n=Sum("count")).order_by("-n")
    ]


def recent(integration: Integration) -> list[Recent]:
    """The last receipts, newest first."""
    states = list(ReceiptState.objects.filter(integration=integration).order_by("-receipt_id")[:RECENT])
    if not states:
        return []
    times = {state.received_at for state in states}
    rows = Receipt.objects.filter(
        pk__in=[state.receipt_id for state in states], received_at__gte=min(times), received_at__lte=max(times)
    )
    doors = dict(rows.values_list("pk", "door"))
    words = {"done": ("done", "processed"), "dead": ("late", "dead letter"), "waiting": ("open", "waiting")}
    found = []
    for state in states:
        word, label = words[str(state.status)]
        if state.status == "done" and state.issues:
            word, label = "at-risk", "read in part" if state.events or state.duplicates else "nothing read"
        found.append(Recent(state.receipt_id, state.received_at, doors.get(state.receipt_id, ""), word, label, state))
    return found


def credentials(integration: Integration, now: datetime) -> list[tuple[Credential, str, str]]:
    """(credential, word of its state, label), newest first."""
    found = []
    for one in Credential.objects.filter(integration=integration).order_by("-created_at", "-pk")[:RECENT]:
        if one.revoked_at:
            state = ("waived", "revoked")
        elif one.expires_at and one.expires_at <= now:
            state = ("waived", "ended")
        elif one.expires_at:
            state = ("at-risk", "replaced")
        else:
            state = ("on-time", "current")
        found.append((one, *state))
    return found


# -- how to send ----------------------------------------------------------------------------------------------------

#: scheme -> what the sender does with the secret
_SCHEME_WORDS = {
    "standard": "Signs id, time and body with the secret by Standard Webhooks; most webhook libraries do it by themselves.",
    "hmac_sha256_base64": "Signs the raw body with HMAC-SHA256 and puts it, as base64, into the header {header}.",
    "hmac_sha256_hex": "Signs the raw body with HMAC-SHA256 and puts it, as hexadecimal digits, into the header {header}.",
    "header_token": "Puts the secret itself into the header {header}.",
    "bearer": "Sends the secret as a bearer token: Authorization: Bearer …",
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
    form = collector.ConfigForm()
    scheme = str(integration.settings.get("scheme") or getattr(form, "default_scheme", "bearer"))
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


def _example(kind: str, scheme: str, header: str, address: str) -> str:
    """A command line that delivers one message, with the secret in $SECRET. '' for schemes only their sender speaks."""
    content_type, body = _BODIES.get(kind, ("application/octet-stream", "@message"))
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
    elif scheme in ("hmac_sha256_hex", "hmac_sha256_base64"):
        form = "-binary | base64" if scheme.endswith("base64") else "-r | cut -d' ' -f1"
        lead += [f'SIGNATURE=$({data} | openssl dgst -sha256 -hmac "$SECRET" {form})']
        headers = [f"{header}: $SIGNATURE"]
    elif scheme == "header_token":
        headers = [f"{header}: $SECRET"]
    elif scheme == "bearer":
        headers = ["Authorization: Bearer $SECRET"]
    else:
        return ""
    options = [f'  -H "{one}" \\' for one in (f"Content-Type: {content_type}", *headers)]
    return "\n".join([*lead, f"curl {address} \\", *options, f"  {option}"])


def kinds() -> list[dict[str, str]]:
    """What can be connected, for the first step of adding."""
    order = list(PURPOSES)
    found = [
        {
            "kind": kind,
            "label": plugin.label,
            "purpose": PURPOSES.get(kind, ""),
            "reads": "reads by itself" if plugin.polls else "receives",
        }
        for kind, plugin in COLLECTORS.plugins.items()
    ]
    return sorted(found, key=lambda one: (order.index(one["kind"]) if one["kind"] in order else 99, one["label"]))


def counts_by_state(found: list[Line]) -> Mapping[str, int]:
    totals: dict[str, int] = dict.fromkeys(STATES, 0)
    for line in found:
        totals[line.state] += 1
    return totals
