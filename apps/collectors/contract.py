"""What a collector is: one class in one file of `apps.collectors.kinds`.

``parse`` is pure: bytes and settings in, events and issues out; no clock, no database, no network.
Authentication of a delivery is pure too: headers, body, secrets and the time in, a decision out.
A collector that reads a source by itself adds ``poll``; what it reads becomes receipts like any other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from django import forms

from apps.collectors.authentication import Verdict, bearer
from apps.core.registry import Registry
from apps.flows.canonical import ParseIssue, ParseResult


@dataclass(frozen=True, slots=True)
class RawDelivery:
    """One delivery as it came: what `parse` sees. Header names are lower case."""

    body: bytes
    content_type: str
    headers: Mapping[str, str]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class SourceContext:
    """The settings of the integration a delivery belongs to, as plain values.

    partner: slug of the integration's partner ('' if none); zone: IANA name for times without one;
    settings: the collector's own configuration; mapping: the declarative mapping document ({} if none).
    """

    integration: str
    partner: str
    zone: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    mapping: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a door answers in place of its own 202: an HTTP status, a content type and the body."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Job:
    """How a delivery stands that its protocol calls a job; its number is the receipt's.

    finished_at: None while it waits; succeeded: nothing of it was refused so far; headers: those of the delivery.
    """

    number: int
    created_at: datetime
    finished_at: datetime | None
    succeeded: bool
    headers: Mapping[str, str]
    errors: tuple[ParseIssue, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a connection needs: whether it is so, in words, and what to do if not.

    needed: without it the connection does not work; else it works, but tells less.
    """

    good: bool
    sentence: str
    advice: str = ""
    needed: bool = True


class Collector(ABC):
    """Base of all collectors. Subclasses set `kind` and `label` and implement `parse`."""

    kind: ClassVar[str] = ""
    label: ClassVar[str] = ""
    #: largest body a door takes, in bytes, after decompression
    max_body: ClassVar[int] = 1024 * 1024
    #: config form for `Integration.settings`
    ConfigForm: ClassVar[type[forms.Form]] = forms.Form
    #: events one delivery may hold
    max_events: ClassVar[int] = 10_000
    #: whether deliveries come through the HTTP doors
    has_door: ClassVar[bool] = True
    #: whether an integration's mapping can say how its deliveries are read (`source.mapping`)
    takes_mapping: ClassVar[bool] = False
    #: whether the collector reads by itself (`poll`)
    polls: ClassVar[bool] = False
    #: settings of which one must be filled before there is anything to read; none: there always is. A source that only
    #: sends must not count as heard because reading nothing went well
    poll_needs: ClassVar[tuple[str, ...]] = ()
    #: file name suffixes `manage.py ingest` takes for this kind -> content type
    content_types: ClassVar[Mapping[str, str]] = {}
    #: paths a protocol's senders append to the door's address by themselves (OTLP: ``v1/traces``)
    door_paths: ClassVar[tuple[str, ...]] = ()
    #: those of them whose deliveries are jobs: the answer names ``<path>/<number>`` as Location, and a GET there tells
    job_paths: ClassVar[tuple[str, ...]] = ()
    #: deliveries of this kind are no events: they ask to read a source of that kind now, which their integration's
    #: setting ``source`` names
    hints_for: ClassVar[str] = ""

    def authenticate(
        self,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Sequence[str],
        now: datetime,
        settings: Mapping[str, Any],
    ) -> Verdict:
        """Default scheme: ``Authorization: Bearer <secret>``, compared in constant time against every live secret."""
        return bearer(headers, secrets)

    def respond(self, delivery: RawDelivery) -> Reply | None:
        """What the sender's protocol wants to hear once the delivery is committed; None: 202 and our receipt number.

        Called after the commit and before anything is parsed, so it must be cheap and cannot take the delivery back.
        """
        return None

    def shown(self, text: str) -> str:
        """A body's text as pages show it: what nobody should read there is masked, character for character, so that places
        in it stay where they are. What is kept stays as it came."""
        return text

    def tell_job(self, job: Job, settings: Mapping[str, Any]) -> Reply:
        """How a job stands, in the words of the protocol. Only asked of kinds with `job_paths`."""
        return Reply(404, "application/json", b"{}")

    @abstractmethod
    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        """Raises `ParseFailure` when nothing of the delivery can be read."""

    def poll(
        self, source: SourceContext, secrets: Sequence[str], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Polled]:
        """Yields batches; each is stored as one receipt together with the cursor that follows it, in one commit.

        The caller may stop taking batches at any time and call again later with the last cursor it committed.
        Raises `PollFailed` when the source cannot be read; what was yielded before stays.
        """
        raise PollFailed(f"{self.label} sends by itself: there is nothing to read.", permanent=True)

    def check(self, source: SourceContext, secrets: Sequence[str], now: datetime) -> Iterator[Check]:
        """What this kind can say about its own connection (``manage.py check_integration``). May use the network."""
        return iter(())


@dataclass(frozen=True, slots=True)
class Polled:
    """One batch a poller read: the bytes to keep and the cursor to continue from once they are committed.

    An empty body keeps no receipt and only moves the cursor on. backfill: history of a first load, which pages nobody.
    remember: called inside the transaction that stores the batch, for what the poller notes about its source;
    committed: called once that transaction has committed, for what may only be done then (a file is moved away).
    """

    body: bytes
    content_type: str
    cursor: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    backfill: bool = False
    remember: Callable[[], None] | None = None
    committed: Callable[[], None] | None = None


class PollFailed(Exception):
    """A source could not be read. Its text is a sentence for people: what happened and what to do next.

    permanent: it will not heal by itself (a refused key, a wrong setting); partial: the rest of the source was read.
    """

    def __init__(self, sentence: str, *, permanent: bool = False, partial: bool = False) -> None:
        super().__init__(sentence)
        self.permanent = permanent
        self.partial = partial


COLLECTORS: Registry[Collector] = Registry("apps.collectors.kinds", Collector)
