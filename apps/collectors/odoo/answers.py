"""Reads Odoo's answers in its three protocols, and turns its errors into sentences. Pure."""

from __future__ import annotations

import re
import xmlrpc.client
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any
from xml.parsers.expat import ExpatError

import orjson
from defusedxml.common import DefusedXmlException
from defusedxml.xmlrpc import DefusedExpatParser

from apps.core.outbound import Response

#: characters kept of what Odoo says about an error
MESSAGE = 200


class Trouble(Enum):
    """Why a call brought nothing."""

    DOWN = "down"  # not reached, not in time, overloaded
    KEY = "key"  # login or key refused
    RIGHTS = "rights"  # the user may not read this
    MODEL = "model"  # the database has no such model
    DATABASE = "database"
    REQUEST = "request"  # Odoo refused or failed on what we asked
    ANSWER = "answer"  # not the answer of an Odoo
    LARGE = "large"  # more bytes than we take


class OdooError(Exception):
    """A call that failed; its text is a sentence for people."""

    def __init__(self, trouble: Trouble, sentence: str) -> None:
        super().__init__(sentence)
        self.trouble = trouble


def is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def date_of(reply: Response) -> datetime | None:
    try:
        found = parsedate_to_datetime(reply.headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _kind_of(reply: Response) -> str:
    return reply.headers.get("content-type", "").partition(";")[0].strip().lower()


def json_of(reply: Response) -> Any:
    if _kind_of(reply) != "application/json":
        raise OdooError(
            Trouble.ANSWER, f"Odoo answered with {_kind_of(reply) or 'no content type'} where JSON was expected."
        )
    try:
        # NUL cannot come from a PostgreSQL behind Odoo and must not reach ours
        return orjson.loads(reply.body.replace(b"\\u0000", b"\\ufffd"))
    except orjson.JSONDecodeError:
        raise OdooError(
            Trouble.ANSWER, "Odoo's answer is no valid JSON: it may have been cut or changed on the way."
        ) from None


def result_of_jsonrpc(document: Any) -> Any:
    """The result of a JSON-RPC answer; None when the method returned nothing. Raises `OdooError`."""
    if not isinstance(document, dict):
        raise OdooError(Trouble.ANSWER, "Odoo's answer is no JSON-RPC answer.")
    error = document.get("error")
    if not error:
        return document.get("result")
    data = error.get("data") if isinstance(error, dict) else None
    if not isinstance(data, dict):
        data = {}
    raise named_error(str(data.get("name", "")), str(data.get("message", "")))


def xml_of(reply: Response) -> Any:
    if _kind_of(reply) not in ("text/xml", "application/xml"):
        raise OdooError(
            Trouble.ANSWER, f"Odoo answered with {_kind_of(reply) or 'no content type'} where XML was expected."
        )
    target = xmlrpc.client.Unmarshaller(use_builtin_types=True)
    try:
        parser = DefusedExpatParser(target, forbid_dtd=True)
        parser.feed(reply.body)
        parser.close()
        found = target.close()
    except xmlrpc.client.Fault as fault:
        raise _fault(fault) from None
    except DefusedXmlException:
        raise OdooError(Trouble.ANSWER, "Odoo's answer declares a document type, which is not read.") from None
    except (ExpatError, xmlrpc.client.ResponseError, ValueError, TypeError, LookupError, RecursionError):
        raise OdooError(
            Trouble.ANSWER, "Odoo's answer is no valid XML-RPC: it may have been cut or changed on the way."
        ) from None
    return found[0] if found else None


def _fault(fault: xmlrpc.client.Fault) -> OdooError:
    """Odoo's XML-RPC faults: 1 application (text is a traceback), 2 warning, 3 access denied, 4 access error."""
    text = str(fault.faultString).strip()
    if fault.faultCode == 3:
        return named_error("odoo.exceptions.AccessDenied", text)
    if fault.faultCode == 4:
        return named_error("odoo.exceptions.AccessError", text)
    if fault.faultCode == 2:
        return named_error("odoo.exceptions.UserError", text)
    name, _, message = (text.splitlines() or [""])[-1].partition(": ")
    return named_error(name, message)


def named_error(name: str, message: str) -> OdooError:
    """An Odoo exception by its Python name."""
    if name.endswith("AccessDenied"):
        return refused_key(message)
    if name.endswith("AccessError"):
        return OdooError(
            Trouble.RIGHTS, f"Odoo says: {_sentence(first_line(message))} Give the tower's user the right to read it."
        )
    if "OperationalError" in name and "database" in message:
        return OdooError(Trouble.DATABASE, "Odoo does not know the database named in the settings.")
    if re.search(r"Object \S+ doesn't exist|the model '\S+' does not exist", message):
        return OdooError(Trouble.MODEL, f"Odoo says: {_sentence(first_line(message))}")
    short = name.rpartition(".")[2]
    return OdooError(Trouble.REQUEST, _sentence(f"Odoo could not answer ({short or 'error'}): {first_line(message)}"))


def json2_error(reply: Response, model: str) -> OdooError:
    if _kind_of(reply) != "application/json":
        if reply.status == 404:
            return OdooError(
                Trouble.DATABASE,
                "Odoo answered 404: it does not know the database named in the settings, or has several.",
            )
        return http_error(reply)
    try:
        found = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        found = {}
    message = str(found.get("message", "")) if isinstance(found, dict) else ""
    name = str(found.get("name", "")) if isinstance(found, dict) else ""
    if reply.status == 401:
        return refused_key(message)
    if reply.status == 403:
        return named_error("odoo.exceptions.AccessError", message or model)
    if reply.status in (404, 422, 400, 500):
        return named_error(name, message)
    return http_error(reply)


def http_error(reply: Response) -> OdooError:
    if reply.status in (429, 500, 502, 503, 504):
        return OdooError(
            Trouble.DOWN, f"Odoo, or what stands before it, answered {reply.status}; it is asked again later."
        )
    kind = _kind_of(reply)
    page = " with a page for people" if kind == "text/html" else ""
    return OdooError(
        Trouble.ANSWER, f"Odoo answered {reply.status}{page} where data was expected: check the base address."
    )


def refused_key(message: str) -> OdooError:
    return OdooError(
        Trouble.KEY,
        f"Odoo refused the key ({first_line(message) or 'access denied'}): it is wrong, expired or revoked. "
        "Make a new API key for the tower's user and store it as the credential of this integration.",
    )


def first_line(message: str) -> str:
    """The first line of what Odoo says, cut."""
    line = next((one.strip() for one in message.splitlines() if one.strip()), "")
    return line if len(line) <= MESSAGE else line[: MESSAGE - 1] + "…"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "…", "!", "?")) else text + "."
