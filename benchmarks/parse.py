"""Reading alone: our parse of each format against its bare reader on the same bytes, one core, no database.

A bare reader finds the parts and understands nothing: orjson, a split into segments and elements, the XML parser. Ours
gives canonical events with references, times and issues; our reader alone (limits, envelopes, repeated keys, nesting,
hardened XML) is measured beside it. Measured in processor seconds of this process, so that what
else the machine does moves both alike. A format is one entry of `FORMATS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from xml.etree import ElementTree

import orjson
from defusedxml import ElementTree as DefusedTree

from apps.collectors import jsonbody
from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.edi import reader
from apps.collectors.gs1 import xmlreader
from apps.core.tuning import calm_collector
from benchmarks import parse_bodies as bodies
from benchmarks.harness import Goal, Result, interleaved, ratio, spread

GOAL = 0.30
RECEIVED = datetime(2026, 4, 3, 12, 0, tzinfo=UTC)
#: processor seconds one measurement takes at least
LONG_ENOUGH = 0.2


@dataclass(frozen=True, slots=True)
class Format:
    """One format: its kind, a body to read, and what reads the bare body. events: how many the body must give.

    inner: our reader without the interpretation behind it; checks: what it looks for.
    """

    name: str
    kind: str
    content_type: str
    body: bytes
    bare: Callable[[bytes], Any]
    events: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    mapping: Mapping[str, Any] = field(default_factory=dict)
    inner: Callable[[bytes], Any] = jsonbody.read
    checks: str = "a checked document"

    def ours(self) -> Callable[[bytes], Any]:
        collector = COLLECTORS.get(self.kind)
        source = SourceContext("bench", "nordwind", "America/New_York", self.settings, self.mapping)
        headers = {"content-type": self.content_type}

        def read(body: bytes) -> Any:
            return collector.parse(RawDelivery(body, self.content_type, headers, RECEIVED), source)

        found = read(self.body)
        if len(found.events) != self.events or any(issue.severity == "error" for issue in found.issues):
            raise RuntimeError(f"{self.name}: {len(found.events)} events of {self.events}, {found.issues[:2]}")
        return read


def segments(element: str, terminator: str) -> Callable[[bytes], Any]:
    """The plain split: decoded, cut at the terminator, each segment cut into its elements."""

    def read(body: bytes) -> list[list[str]]:
        return [segment.split(element) for segment in body.decode().split(terminator)]

    return read


def xml(body: bytes) -> Any:
    """The standard library's parser alone: a tree of elements and nothing read from it."""
    return ElementTree.fromstring(body)


def hardened_xml(body: bytes) -> Any:
    """A parser that may be given what strangers send: the same tree, with DTDs and entities refused."""
    return DefusedTree.fromstring(body, forbid_dtd=True)


def _edi(name: str, content_type: str, body: bytes, bare: Callable[[bytes], Any], events: int) -> Format:
    checks = "segments and checked envelopes"
    return Format(name, "edi", content_type, body, bare, events, inner=reader.read, checks=checks)


def _epcis_xml(name: str, bare: Callable[[bytes], Any]) -> Format:
    def read(body: bytes) -> Any:
        return list(xmlreader.items(body))

    body = bodies.epcis_xml()
    return Format(name, "epcis", "application/xml", body, bare, 100, inner=read, checks="hardened, events as records")


FORMATS: list[Format] = [
    _edi("X12 orders", "application/edi-x12", bodies.x12_orders(), segments("*", "~"), 200),
    _edi("X12 ship notice", "application/edi-x12", bodies.x12_ship_notice(), segments("*", "~"), 410),
    _edi("X12 statuses", "application/edi-x12", bodies.x12_statuses(), segments("*", "~"), 600),
    _edi("EDIFACT despatch advice", "application/edifact", bodies.desadv(), segments("+", "'"), 401),
    Format("JSON, our own form", "webhook", "application/json", bodies.plain_json(), orjson.loads, 100),
    Format(
        "JSON, by mapping", "webhook", "application/json", bodies.parcels(), orjson.loads, 300, mapping=bodies.MAPPING
    ),
    _epcis_xml("EPCIS XML", xml),
    _epcis_xml("EPCIS XML, a hardened parser", hardened_xml),
    Format("EPCIS JSON-LD", "epcis", "application/json", bodies.epcis_json(), orjson.loads, 100),
]


def rate(read: Callable[[bytes], Any], body: bytes) -> float:
    """Megabytes of the body read in a processor second."""
    rounds, took = 0, 0.0
    begin = time.process_time()
    while took < LONG_ENOUGH:
        read(body)
        rounds += 1
        took = time.process_time() - begin
    return len(body) * rounds / took / 1e6


def run(options: dict[str, Any]) -> Result:
    result = Result("parse")
    calm_collector()  # as the worker does
    for one in FORMATS:
        if one.kind not in COLLECTORS.plugins:
            result.notes[one.name] = f"the kind {one.kind} is not installed"
            continue
        body, read = one.body, {"bare": one.bare, "ours": one.ours(), "reader": one.inner}
        found = interleaved(options["rounds"], {name: partial(rate, each, body) for name, each in read.items()})
        result.goals.append(Goal(f"{one.name}: events / bare reader", ratio(found, "ours", "bare"), GOAL))
        result.goals.append(Goal(f"{one.name}: {one.checks} / bare reader", ratio(found, "reader", "bare"), GOAL))
        result.notes[one.name] = {
            "MB/s": {name: spread(figures) for name, figures in found.items()},
            "events/s": round(sorted(found["ours"])[len(found["ours"]) // 2] * 1e6 / len(body) * one.events),
            "bytes": len(body),
        }
    return result
