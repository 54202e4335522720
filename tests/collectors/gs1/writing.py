"""EPCIS events written in every syntax there is: what the readers must find alike."""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from hypothesis import strategies as st

from apps.collectors.gs1.keys import check_digit
from apps.collectors.gs1.vocabulary import BIZ_STEPS, DISPOSITIONS

STEPS = sorted(BIZ_STEPS)
PREFIX = "9521234"


def digits(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=length, max_size=length)


#: (URN, Digital Link, kind, canonical value)
Forms = tuple[str, str, str, str]


@st.composite
def keys(draw: st.DrawFn) -> Forms:
    """One GS1 key in both of its spellings, with serials that need escaping."""
    kind = draw(st.sampled_from(["sscc", "sgtin", "lgtin", "grai", "gdti", "gsin", "gsrn", "giai", "gln"]))
    length = draw(st.integers(6, 11))
    prefix = draw(digits(length))
    serial = draw(st.text("0123456789ABCxyz-/", min_size=1, max_size=12))
    written = serial.replace("/", "%2F")
    if kind == "giai":
        return (
            f"urn:epc:id:giai:{prefix}.{written}",
            f"https://id.gs1.org/8004/{prefix}{written}",
            kind,
            prefix + serial,
        )
    total = {"sscc": 17, "sgtin": 13, "lgtin": 13, "gsin": 16, "gsrn": 17}.get(kind, 12)
    reference = draw(digits(total - length))
    leading = kind in ("sscc", "sgtin", "lgtin")
    key = (reference[0] + prefix + reference[1:]) if leading else prefix + reference
    key += check_digit(key)
    base = f"{prefix}.{reference}"
    if kind in ("sscc", "gsin", "gsrn"):
        number = {"sscc": "00", "gsin": "402", "gsrn": "8018"}[kind]
        return (f"urn:epc:id:{kind}:{base}", f"https://shop.example/{number}/{key}", kind, key)
    if kind == "gln":
        return (
            f"urn:epc:id:sgln:{base}.{written}",
            f"https://id.gs1.org/414/{key}/254/{written}",
            kind,
            _gln(key, serial),
        )
    if kind in ("sgtin", "lgtin"):
        number, space = ("21", "id") if kind == "sgtin" else ("10", "class")
        urn = f"urn:epc:{space}:{kind}:{base}.{written}"
        return (urn, f"http://id.gs1.org/01/{key}/{number}/{written}?x=1", kind, f"{key}.{serial}")
    number, pad = {"grai": ("8003", "0"), "gdti": ("253", "")}[kind]
    return (
        f"urn:epc:id:{kind}:{base}.{written}",
        f"https://id.gs1.org/{number}/{pad}{key}{written}",
        kind,
        key + serial,
    )


def _gln(key: str, extension: str) -> str:
    return key if extension == "0" else f"{key}.{extension}"


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An event in the shape of EPCIS JSON-LD, words bare."""
    kind = draw(st.sampled_from(["ObjectEvent", "AggregationEvent", "TransactionEvent", "TransformationEvent"]))
    second = draw(st.integers(0, 59))
    event: dict[str, Any] = {
        "type": kind,
        "eventTime": f"2026-01-19T10:00:{second:02}.5+02:00",
        "eventTimeZoneOffset": draw(st.sampled_from(["+02:00", "-06:00", "+00:00", "+05:30"])),
        "bizStep": draw(st.sampled_from(STEPS)),
        "disposition": draw(st.sampled_from(sorted(DISPOSITIONS))),
    }
    if draw(st.booleans()):
        event["eventID"] = f"urn:uuid:{draw(st.uuids())}"
    if draw(st.booleans()):
        event["recordTime"] = "2026-01-19T10:30:00Z"
    epcs = [forms[draw(st.integers(0, 1))] for forms in draw(st.lists(keys(), min_size=1, max_size=4))]
    if kind == "TransformationEvent":
        event["inputEPCList"], event["outputEPCList"] = epcs[:1], epcs[1:]
    else:
        event["action"] = draw(st.sampled_from(["ADD", "OBSERVE", "DELETE"]))
        event["childEPCs" if kind == "AggregationEvent" else "epcList"] = epcs
    if kind == "AggregationEvent":
        event["parentID"] = draw(keys())[0]
    amounts = st.integers(1, 10_000) | st.sampled_from([0.5, 12.25])
    quantity = {"epcClass": f"urn:epc:class:lgtin:{PREFIX}.012345.L1", "quantity": draw(amounts), "uom": "KGM"}
    if kind == "ObjectEvent":
        event["quantityList"] = [quantity]
    if kind == "TransactionEvent" or draw(st.booleans()):
        number = draw(st.text("ABC0123-", min_size=1, max_size=10))
        event["bizTransactionList"] = [
            {"type": draw(st.sampled_from(["po", "desadv", "inv", "bol", "rma", "recadv"])), "bizTransaction": written}
            for written in [f"urn:epcglobal:cbv:bt:9521234000013:{number}", f"https://acme.example/{number}"]
        ]
    event["readPoint"] = {"id": f"urn:epc:id:sgln:{PREFIX}.00001.0"}
    event["sourceList"] = [{"type": "owning_party", "source": f"urn:epc:id:pgln:{PREFIX}.00000"}]
    event["destinationList"] = [{"type": "location", "destination": "https://id.gs1.org/414/9521234000013"}]
    return event


def as_json(*written: dict[str, Any]) -> bytes:
    document = {
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-01-19T12:00:00Z",
        "epcisBody": {"eventList": list(written)},
    }
    return json.dumps(document).encode()


_URNS = {"bizStep": "bizstep", "disposition": "disp"}


def as_xml(*written: dict[str, Any], version: int = 2) -> bytes:
    """An EPCISDocument of XML: 2, with fields side by side; 1 (1.2), with what came later in extensions."""
    body = "".join(_element(one, version) for one in written)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><e:EPCISDocument xmlns:e="urn:epcglobal:epcis:xsd:{version}" '
        f'schemaVersion="{"2.0" if version == 2 else "1.2"}" creationDate="2026-01-19T12:00:00Z">'
        f"<EPCISBody><EventList>{body}</EventList></EPCISBody></e:EPCISDocument>"
    ).encode()


def _element(event: dict[str, Any], version: int) -> str:
    kind = event["type"]
    parts = {name: _field(name, value) for name, value in event.items() if name != "type"}
    if version == 1:
        early = parts.pop("eventID", "")
        later = [parts.pop(name, "") for name in ("quantityList", "sourceList", "destinationList")]
        if kind != "TransformationEvent":
            parts["extension"] = f"<extension>{''.join(later)}</extension>"
        else:
            parts["later"] = "".join(later)
        parts["baseExtension"] = f"<baseExtension>{early}</baseExtension>" if early else ""
    inner = f"<{kind}>{''.join(parts.values())}</{kind}>"
    return f"<extension>{inner}</extension>" if version == 1 and kind == "TransformationEvent" else inner


def _field(name: str, value: Any) -> str:
    if name in _URNS:
        return f"<{name}>urn:epcglobal:cbv:{_URNS[name]}:{value}</{name}>"
    if name in ("readPoint", "bizLocation"):
        return f"<{name}><id>{escape(value['id'])}</id></{name}>"
    if name == "quantityList":
        inner = "".join(
            "<quantityElement>"
            + "".join(f"<{key}>{escape(str(one))}</{key}>" for key, one in entry.items())
            + "</quantityElement>"
            for entry in value
        )
        return f"<{name}>{inner}</{name}>"
    pairs = {"bizTransactionList": ("bizTransaction", "btt"), "sourceList": ("source", "sdt")}
    pairs["destinationList"] = ("destination", "sdt")
    if name in pairs:
        tag, space = pairs[name]
        inner = "".join(
            f"<{tag} type={quoteattr(f'urn:epcglobal:cbv:{space}:' + one['type'])}>{escape(one[tag])}</{tag}>"
            for one in value
        )
        return f"<{name}>{inner}</{name}>"
    if isinstance(value, list):
        return f"<{name}>{''.join(f'<epc>{escape(one)}</epc>' for one in value)}</{name}>"
    return f"<{name}>{escape(str(value))}</{name}>"
