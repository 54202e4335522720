"""Where middleware writes what in its JSON logs, and what its words for an outcome mean. Pure; nothing is guessed.

Known shapes: n8n's log streaming (``eventName``), MuleSoft's JSON logger (``tracePoint``), the diagnostics of Azure Logic
Apps (``properties.status``), Camel's MDC and exchange events, log4j2's JSON layout, and plain lines with the same names.
Names are compared without case, dashes, dots and underscores: ``correlation_id`` is ``correlationId``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from apps.collectors.mapping_rules import plain

COMPLETED, FAILED, BETWEEN = "completed", "failed", "between"

#: objects of a line whose fields count like the line's own, in this order
INSIDE = (
    *("payload", "properties", "content", "mdc", "contextmap", "data", "attributes", "fields"),
    *("resource", "correlation", "trackedproperties", "error", "exception"),
)
TIMES = (
    *("endtime", "stoppedat", "finishedat", "completedat", "timestamp", "@timestamp", "time", "ts", "eventtime"),
    *("datetime", "date", "starttime"),
)
CORRELATIONS = (
    *("traceid", "traceparent", "correlationid", "xcorrelationid", "camelbreadcrumbid", "breadcrumbid"),
    *(
        "clienttrackingid",
        "camelcorrelationid",
        "conversationid",
        "camelexchangeid",
        "exchangeid",
        "executionid",
        "runid",
    ),
)
#: the outcome of a hop, by the field that tells it
OUTCOMES = ("tracepoint", "executionstatus", "status", "outcome", "result", "state", "eventname", "event", "type")
ERRORS = ("errormessage", "exceptionmessage", "error", "exception", "code")
NAMES = (
    "workflowname",
    "applicationname",
    "camelrouteid",
    "routeid",
    "flowname",
    "flow",
    "route",
    "service",
    "application",
    "app",
    "workflowid",
)
STEPS = ("actionname", "nodename", "step", "processor", "operationname", "loggername", "logger")
MESSAGE_IDS = ("messageid", "camelmessageid", "id", "eventid")
MILLISECONDS = ("elapsed", "durationms", "elapsedms", "duration", "executiontime")

#: words of outcomes; the last part of a dotted name counts (``n8n.workflow.success``)
WORDS: dict[str, str] = dict.fromkeys(
    (
        *("success", "succeeded", "successful", "completed", "complete", "ok", "done", "processed", "delivered", "finished"),
        *("end", "exchangecompleted", "workflowruncompleted", "sent"),
    ),
    COMPLETED,
) | dict.fromkeys(
    (
        *("failed", "failure", "fail", "error", "errored", "crashed", "timedout", "timeout", "aborted", "rejected"),
        *("exception", "exchangefailed", "deadlettered", "undelivered", "terminated"),
    ),
    FAILED,
) | dict.fromkeys(
    (
        *("started", "start", "running", "waiting", "new", "pending", "queued", "created", "retrying", "skipped", "flow"),
        *("received", "beforerequest", "afterrequest", "beforetransform", "aftertransform", "exchangecreated", "inprogress"),
        *("exchangesending", "exchangesent", "cancelled", "canceled", "suspended"),
    ),
    BETWEEN,
)  # fmt: skip
ERROR_LEVELS = frozenset({"error", "fatal", "severe", "critical"})

#: name of a field -> kind of the business key it holds; `Integration.settings["references"]` adds and replaces
REFERENCES = {
    "salesorder": "sales_order",
    "salesorderreference": "sales_order",
    "orderreference": "sales_order",
    "purchaseorder": "purchase_order",
    "purchaseorderreference": "purchase_order",
    "ponumber": "purchase_order",
    "picking": "picking",
    "pickingreference": "picking",
    "trackingnumber": "tracking_number",
    "containernumber": "container",
    "sscc": "sscc",
    "invoicenumber": "invoice",
    "asnnumber": "despatch_advice",
    "despatchadvice": "despatch_advice",
}

QUEUES = ("queue", "queuename", "destinationname", "entityname", "subscriptionname")
#: depth of a queue by its field -> whether it counts dead letters whatever the queue is called
DEPTHS = {
    "deadlettermessagecount": True,
    "deadletters": True,
    "deadlettercount": True,
    "dlqdepth": True,
    "depth": False,
    "queuedepth": False,
    "queuesize": False,
    "messagecount": False,
    "messages": False,
    "activemessagecount": False,
    "approximatenumberofmessages": False,
}
AGES = (
    "oldestageseconds",
    "oldestmessageageseconds",
    "ageofoldestmessage",
    "approximateageofoldestmessage",
    "ageseconds",
)
DEAD_AGES = ("oldestdeadletterageseconds", "deadletterageseconds", "dlqageseconds")
#: names people and products give their dead-letter queues
DEAD_LETTER = re.compile(r"(?:^|[^a-z])dlq(?:[^a-z]|$)|dead[-_. ]?letter|(?:^|[._-])(?:error|poison)$", re.IGNORECASE)


_APART = str.maketrans("", "", "-_. ")


@lru_cache(maxsize=4096)
def normal(name: str) -> str:
    return name.translate(_APART).lower()


class Fields:
    """The fields of one line under their normal names: the line's own first, then those of the objects it holds."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = {}
        for name, value in _fields(document, 0):
            self.values.setdefault(name, value)

    def text(self, names: tuple[str, ...]) -> str:
        """The first of these that holds a text or a number; '' without one."""
        return next((text for name in names if (text := plain(self.values.get(name)))), "")

    def first(self, names: tuple[str, ...]) -> Any:
        return next((self.values[name] for name in names if self.values.get(name) not in (None, "")), None)


def _fields(document: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    inner = []
    for name, value in document.items():
        key = normal(name)
        if isinstance(value, dict):
            inner.append((key, value))
        elif not isinstance(value, list):
            yield key, value
    if depth < 3:
        for key in INSIDE:
            for name, value in inner:
                if name == key:
                    for found, held in _fields(value, depth + 1):
                        # an error's own message is not the line's
                        yield (f"{key}{found}" if key in ("error", "exception") else found), held


def outcome(fields: Fields) -> tuple[str, str]:
    """(what became of the hop, the word that says so). '' and the word when nobody told us what it means; '' and ''
    when the line tells of no outcome."""
    unknown = ""
    for name in OUTCOMES:
        word = plain(fields.values.get(name)) or ""
        if not word or word.isdecimal():  # a number is a code of some protocol's
            continue
        found = WORDS.get(normal(word)) or WORDS.get(normal(re.split(r"[./:]", word)[-1]))
        if found:
            return found, word
        if name in ("status", "executionstatus", "outcome") and not unknown:
            unknown = word
    if (plain(fields.values.get("level")) or "").lower() in ERROR_LEVELS:
        return FAILED, "level"
    return "", unknown
