"""Writes flows and their events as logs for process mining: OCEL 2.0 with references and flows as objects, or XES with
one trace for each flow. Reads in steps of bounded size; what is written can be read back by `import_log` without loss.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from apps.collectors.logs import own
from apps.collectors.logs.writers import FORMATS, LogEvent, LogObject, Schema, Writer, Xes, sqlite_file, text_file
from apps.flows import registry
from apps.flows.canonical import CanonicalEvent
from apps.flows.canonical import Reference as Key
from apps.flows.folding import belongs
from apps.flows.models import Event, EventReference, Flow, FlowLink, FlowReference, Reference
from apps.integrations.models import Integration

STEP = 2_000
XES = "xes"
_MOST_ATTRIBUTES = 500
_CLOCKS = {f"{own.PREFIX}{name}": "time" for name in own.CLOCKS}
_FIXED = {
    own.ID: "string",
    own.INTEGRATION: "string",
    f"{own.PREFIX}zone": "string",
    **_CLOCKS,
    f"{own.PREFIX}trace_id": "string",
    own.MORE: "string",
}
_REFERENCE = {"value": "string", "issuer": "string"}
_FLOW = {
    "label": "string",
    "status": "string",
    "stage": "string",
    "partner": "string",
    "opened_at": "time",
    "closed_at": "time",
}
#: what a key of the data holds: the kinds of its values, by event type
_DATA_TYPES = """
SELECT e.type, d.key, array_agg(DISTINCT CASE
    WHEN jsonb_typeof(d.value) <> 'number' THEN jsonb_typeof(d.value)
    WHEN d.value::text ~ '^-?[0-9]{{1,17}}$' THEN 'integer' ELSE 'float' END)
FROM ({events}) AS e, jsonb_each(e.data) AS d GROUP BY e.type, d.key ORDER BY e.type, d.key
"""
_NAMES = """
SELECT DISTINCT e.type, d.key FROM ({events}) AS e, jsonb_object_keys(e.{column}) AS d (key) ORDER BY e.type, d.key
"""


class CannotExport(Exception):
    """There is nothing to write, or no way to; the message says why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to export. flow: slug of a definition; since, until: events that happened in [since, until)."""

    flow: str = ""
    partner: str = ""
    integration: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def flows(self) -> QuerySet[Flow]:
        rows = Flow.objects.exclude(status=Flow.Status.MERGED)
        if self.flow:
            rows = rows.filter(definition__slug=self.flow)
        return rows.filter(partner__slug=self.partner) if self.partner else rows

    def events(self) -> QuerySet[Event]:
        rows = Event.objects.all()
        if self.integration:
            rows = rows.filter(integration__slug=self.integration)
        if self.since:
            rows = rows.filter(happened_at__gte=self.since)
        if self.until:
            rows = rows.filter(happened_at__lt=self.until)
        if self.flow or self.partner:
            scope = FlowReference.objects.filter(flow__in=self.flows()).values("reference_id")
            rows = rows.filter(pk__in=EventReference.objects.filter(reference_id__in=scope).values("event_id"))
        return rows


@dataclass(slots=True)
class Exported:
    events: int = 0
    objects: int = 0
    traces: int = 0


Progress = Callable[[float, Exported], None]


def export(wanted: Wanted, form: str, path: Path, on_progress: Progress = lambda share, done: None) -> Exported:
    """Writes the log. form: ocel-json, ocel-xml, ocel-sqlite or xes. Raises `CannotExport`, OSError."""
    if form == XES:
        if not wanted.flow:
            raise CannotExport("XES has one kind of case: say which flows are to be its traces (--flow).")
        with text_file(path) as file:
            return _Export(wanted, on_progress).xes(Xes(file))
    opened: Any = sqlite_file(path) if form == "ocel-sqlite" else text_file(path)
    with opened as target:
        return _Export(wanted, on_progress).ocel(FORMATS[form](target))


class _Export:
    def __init__(self, wanted: Wanted, on_progress: Progress) -> None:
        self.wanted = wanted
        self.on_progress = on_progress
        self.done = Exported()
        self.slugs = dict(Integration.objects.values_list("pk", "slug"))
        self.catalogue = registry.load().catalogue
        self.types: dict[str, dict[str, str]] = {}

    # -- OCEL -----------------------------------------------------------------

    def ocel(self, writer: Writer) -> Exported:
        self.types = self._event_types()
        kinds = sorted(self._references().values_list("kind", flat=True).distinct())
        flows = sorted(self._flows().values_list("definition__slug", flat=True).distinct())
        objects = {kind: dict(_REFERENCE) for kind in kinds} | {f"{own.FLOW_TYPE}{slug}": dict(_FLOW) for slug in flows}
        writer.begin(Schema(self.types, objects))
        for reference in self._references().order_by("kind", "issuer", "value").iterator(STEP):
            key = Key(reference.kind, reference.value, reference.issuer)
            writer.object(LogObject(own.object_id(key), key.kind, {"value": key.value, "issuer": key.issuer}))
            self.done.objects += 1
        for chunk in _chunks(self._flows().select_related("definition", "partner").order_by("pk").iterator(STEP)):
            for one in self._flow_objects(chunk):
                writer.object(one)
                self.done.objects += 1
        total = max(1, self.wanted.events().count())
        for events in self._events():
            told = self._told_of(events)
            for event in events:
                writer.event(self._event(event, told[event.pk]))
            self.done.events += len(events)
            self.on_progress(self.done.events / total, self.done)
        writer.end()
        return self.done

    def _event_types(self) -> dict[str, dict[str, str]]:
        events, parameters = (
            self.wanted.events().order_by().values("type", "dates", "parties", "data").query.sql_with_params()
        )
        types = {
            name: dict(_FIXED)
            for name in sorted(self.wanted.events().order_by().values_list("type", flat=True).distinct())
        }
        with connection.cursor() as cursor:
            for column, prefix, kind in (("dates", "date.", "time"), ("parties", "party.", "string")):
                cursor.execute(_NAMES.format(events=events, column=column), parameters)
                for name, key in cursor.fetchall():
                    _declare(types[name], f"{prefix}{key}", kind)
            cursor.execute(_DATA_TYPES.format(events=events), parameters)
            for name, key, found in cursor.fetchall():
                if len(found) == 1 and found[0] in ("string", "integer", "float", "boolean"):
                    _declare(types[name], f"data.{key}", found[0])
        return types

    def _references(self) -> QuerySet[Reference]:
        named = EventReference.objects.filter(event_id__in=self.wanted.events().order_by().values("pk"))
        return Reference.objects.filter(pk__in=named.values("reference_id"))

    def _flows(self) -> QuerySet[Flow]:
        """The flows that the exported events tell of."""
        own_scope = FlowReference.objects.filter(reference_id__in=self._references().order_by().values("pk"))
        return self.wanted.flows().filter(pk__in=own_scope.values("flow_id"))

    def _flow_objects(self, flows: Sequence[Flow]) -> Iterator[LogObject]:
        ids = [flow.pk for flow in flows]
        named = self._own(ids)
        children: dict[int, list[str]] = defaultdict(list)
        links = FlowLink.objects.filter(parent__in=ids, child__in=self._flows().order_by().values("pk"))
        for parent, slug, key in links.order_by("child_id").values_list(
            "parent_id", "child__definition__slug", "child__key"
        ):
            children[parent].append(_flow_id(slug, key))
        for flow in flows:
            attributes: dict[str, own.Scalar] = {
                "label": flow.label,
                "status": flow.status,
                "stage": flow.stage,
                "partner": flow.partner.slug if flow.partner else "",
                "opened_at": own.iso(flow.opened_at),
            }
            if flow.closed_at:
                attributes["closed_at"] = own.iso(flow.closed_at)
            relations = [(own.object_id(key), "identified by") for key in sorted(named[flow.pk])]
            relations += [(child, "has") for child in children[flow.pk]]
            slug = flow.definition.slug
            yield LogObject(_flow_id(slug, flow.key), f"{own.FLOW_TYPE}{slug}", attributes, relations)

    def _event(self, event: Event, flows: list[str]) -> LogEvent:
        canonical = canonical_of(event)
        relations = [(own.object_id(one), "names") for one in canonical.references]
        relations += [(flow, "tells of") for flow in flows]
        attributes = own.attributes_of(canonical, self.slugs.get(event.integration_id, ""), self.types[event.type])
        return LogEvent(f"e{event.pk}", event.type, own.iso(event.happened_at), attributes, relations)

    def _events(self) -> Iterator[list[Event]]:
        return _chunks(self.wanted.events().order_by("happened_at", "pk").iterator(STEP))

    def _told_of(self, events: Sequence[Event]) -> dict[int, list[str]]:
        """event id -> the ids of the flows it belongs to."""
        references = EventReference.objects.filter(event_id__in=[event.pk for event in events]).values("reference_id")
        scope = FlowReference.objects.filter(reference_id__in=references).values("flow_id")
        flows = list(self.wanted.flows().filter(pk__in=scope).select_related("definition").order_by("pk"))
        found: dict[int, list[str]] = defaultdict(list)
        for flow, event in self._belonging(flows, events):
            found[event.pk].append(_flow_id(flow.definition.slug, flow.key))
        return found

    def _belonging(self, flows: Sequence[Flow], events: Sequence[Event]) -> Iterator[tuple[Flow, Event]]:
        """Which of these events belong to which of these flows, as the fold sees it."""
        by_id = {flow.pk: flow for flow in flows}
        scope: dict[Any, list[int]] = defaultdict(list)
        for flow_id, reference in FlowReference.objects.filter(flow__in=by_id).values_list("flow_id", "reference_id"):
            scope[reference].append(flow_id)
        own_keys = self._own(list(by_id))
        names = {flow_id: {(one.kind, one.issuer, one.value) for one in keys} for flow_id, keys in own_keys.items()}
        for event in events:
            carried = [(kind, issuer, value) for kind, issuer, value in event.references]
            told = {flow for kind, issuer, value in carried for flow in scope.get(Key(kind, value, issuer).id, ())}
            for flow_id in sorted(told):
                definition = self.catalogue.active.get(by_id[flow_id].definition.slug)
                if definition is None or belongs(definition, names.get(flow_id, ()), carried):
                    yield by_id[flow_id], event

    def _own(self, flows: Sequence[int]) -> dict[int, list[Key]]:
        """flow -> the references that are its names."""
        rows = FlowReference.objects.filter(flow__in=flows, own=True).values_list("flow_id", "reference_id")
        names = {
            row.pk: Key(row.kind, row.value, row.issuer)
            for row in Reference.objects.filter(pk__in=[one for _, one in rows])
        }
        found: dict[int, list[Key]] = defaultdict(list)
        for flow, reference in rows:
            if reference in names:
                found[flow].append(names[reference])
        return found

    # -- XES ------------------------------------------------------------------

    def xes(self, writer: Xes) -> Exported:
        self.types = self._event_types()
        flows = self._flows().select_related("definition", "partner").order_by("opened_at", "pk")
        total = max(1, flows.count())
        for chunk in _chunks(flows.iterator(STEP // 10), STEP // 10):
            events = self._events_of(chunk)
            for flow in chunk:
                self._trace(writer, flow, events[flow.pk])
            self.done.traces += len(chunk)
            self.on_progress(self.done.traces / total, self.done)
        writer.end()
        return self.done

    def _trace(self, writer: Xes, flow: Flow, events: Sequence[Event]) -> None:
        writer.trace(
            {
                "concept:name": flow.label,
                "flow": flow.definition.slug,
                "status": flow.status,
                "partner": flow.partner.slug if flow.partner else "",
            }
        )
        for event in events:
            references = [own.object_id(one) for one in canonical_of(event).references]
            writer.event(self._event(event, []), {own.REFERENCES: references})
        self.done.events += len(events)
        writer.end_trace()

    def _events_of(self, flows: Sequence[Flow]) -> dict[int, list[Event]]:
        scope = FlowReference.objects.filter(flow__in=[flow.pk for flow in flows]).values("reference_id")
        carried = EventReference.objects.filter(reference_id__in=scope).values("event_id")
        events = list(self.wanted.events().filter(pk__in=carried).order_by("happened_at", "pk"))
        found: dict[int, list[Event]] = defaultdict(list)
        for flow, event in self._belonging(flows, events):
            found[flow.pk].append(event)
        return found


def canonical_of(event: Event) -> CanonicalEvent:
    """A recorded event as it was told."""
    return CanonicalEvent(
        type=event.type,
        happened_at=event.happened_at.astimezone(UTC),
        references=tuple(Key(kind, value, issuer) for kind, issuer, value in event.references),
        source_event_id=event.source_event_id,
        sent_at=event.sent_at,
        booked_at=event.booked_at,
        received_at=event.received_at,
        zone=event.zone,
        dates={name: datetime.fromisoformat(value) for name, value in event.dates.items()},
        parties=event.parties,
        data=event.data,
        position=event.position,
        trace_id=event.trace_id,
    )


def _declare(attributes: dict[str, str], name: str, kind: str) -> None:
    """A further attribute, unless there are too many or SQLite would take it for another one's column."""
    if (
        len(attributes) < _MOST_ATTRIBUTES
        and own.writable(name)
        and name.lower() not in {one.lower() for one in attributes}
    ):
        attributes[name] = kind


def _flow_id(slug: str, key: Any) -> str:
    return f"{own.FLOW_TYPE}{slug}/{key}"


def _chunks(rows: Iterator[Any], size: int = STEP) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
