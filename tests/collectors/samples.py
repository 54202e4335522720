"""The samples of the collectors as deliveries; see tests/samples/README.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult

FOLDER = Path(__file__).resolve().parent.parent / "samples"
RECEIVED_AT = datetime(2026, 1, 20, 12, tzinfo=UTC)
_BESIDE = (".delivery.json", ".expected.json", ".yaml", ".yml", ".md", ".py", ".pyc", ".txt.license")


@dataclass(frozen=True)
class Sample:
    kind: str
    path: Path

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.path.relative_to(FOLDER / self.kind)}"

    @property
    def expected_path(self) -> Path:
        return self.path.with_name(self.path.name.split(".")[0] + ".expected.json")

    def delivery(self, body: bytes | None = None) -> RawDelivery:
        given = self._given()
        types = COLLECTORS.get(self.kind).content_types
        content_type = given.get("content_type") or types.get(self.path.suffix.lower(), "application/octet-stream")
        headers = {"content-type": content_type, **given.get("headers", {})}
        return RawDelivery(self.path.read_bytes() if body is None else body, content_type, headers, RECEIVED_AT)

    def source(self) -> SourceContext:
        given = self._given()
        mapping = given.get("mapping", {})
        if isinstance(mapping, str):
            mapping = yaml.safe_load((self.path.parent / mapping).read_text())
        return SourceContext(
            integration=given.get("integration", f"{self.kind}-test"),
            partner=given.get("partner", "acme"),
            zone=given.get("zone", "Europe/Berlin"),
            settings=given.get("settings", {}),
            mapping=mapping,
        )

    def _given(self) -> dict[str, Any]:
        path = self.path.with_name(self.path.name.split(".")[0] + ".delivery.json")
        return json.loads(path.read_text()) if path.exists() else {}


def samples_of(kind: str) -> list[Sample]:
    folder = FOLDER / kind
    return [
        Sample(kind, path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.name.endswith(_BESIDE)
        and "__pycache__" not in path.parts
        and not _explains(path)
    ]


def _explains(path: Path) -> bool:
    """x.json beside x.edi says what x.edi should give; it is no delivery itself."""
    return path.suffix == ".json" and any(one != path for one in path.parent.glob(f"{path.stem}.*") if _is_body(one))


def _is_body(path: Path) -> bool:
    return path.is_file() and not path.name.endswith(_BESIDE)


def parse(sample: Sample, body: bytes | None = None) -> ParseResult:
    """What the sample's collector makes of it; a failure counts as its one issue."""
    try:
        return COLLECTORS.get(sample.kind).parse(sample.delivery(body), sample.source())
    except ParseFailure as failure:
        return ParseResult((), (failure.issue,))


def as_json(result: ParseResult) -> dict[str, Any]:
    """A result as plain JSON, without the fields an event leaves empty."""
    return {"events": [_event(event) for event in result.events], "issues": [_issue(issue) for issue in result.issues]}


def _event(event: CanonicalEvent) -> dict[str, Any]:
    clocks = {name: getattr(event, name) for name in ("happened_at", "sent_at", "booked_at", "received_at")}
    fields: dict[str, Any] = {
        "type": event.type,
        **{name: _time(moment) for name, moment in clocks.items() if moment},
        "zone": event.zone,
        "source_event_id": event.source_event_id,
        "references": [" ".join(filter(None, (one.kind, one.value, one.issuer))) for one in event.references],
        "dates": {name: _time(moment) for name, moment in event.dates.items()},
        "parties": dict(event.parties),
        "data": dict(event.data),
        "position": event.position,
        "trace_id": event.trace_id,
    }
    return {name: value for name, value in fields.items() if value}


def _issue(issue: ParseIssue) -> dict[str, str]:
    fields = ("code", "severity", "position", "sentence")
    return {name: getattr(issue, name) for name in fields if getattr(issue, name)}


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
