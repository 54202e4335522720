"""What the fields of one EPCIS event say: times, objects, transactions, parties. Pure.

Each part that cannot be read is a warning with its place; what an event cannot do without raises `Bad`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from apps.collectors.gs1 import keys
from apps.collectors.gs1.vocabulary import OTHER, REFERENCES, ROLES, TRANSACTIONS, word
from apps.collectors.jsonbody import excerpt
from apps.collectors.times import FIRST_YEAR, ISO, LAST_YEAR, TimeError, read_time
from apps.flows.canonical import Reference
from apps.flows.catalogue import REFERENCE_KINDS

#: references of one event: logistic units and the like, single items and batches, business transactions
MAX_UNITS, MAX_ITEMS, MAX_TRANSACTIONS = 1_000, 200, 100
MAX_QUANTITIES = 50
_LONGEST = 200
_SINGLE = frozenset({"item", "batch", OTHER})
_OFFSET = re.compile(r"([+-])(0\d|1[0-4]):([0-5]\d)")
#: transaction identifiers of the vocabulary, section 8.5: ``urn:epcglobal:cbv:bt:<GLN>:<number>``
_TRANSACTION = re.compile(r"urn:epcglobal:cbv:bt:(\d{13}):(.+)", re.IGNORECASE)
_OBJECTS = ("parentID", "epcList", "childEPCs", "inputEPCList", "outputEPCList")
_QUANTITIES = ("quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList")

#: (code, sentence, name of the field, bad value)
Warn = Callable[[str, str, str, Any], None]


class Bad(Exception):
    """The event cannot be read. name: the field that is wrong ('' if it is all of it)."""

    def __init__(self, code: str, sentence: str, name: str = "", value: Any = "") -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.name, self.value = code, sentence, name, value


@dataclass(frozen=True, slots=True)
class Settings:
    """What an integration says about its EPCIS events.

    partner: who they come from; zone: for times without one; partners: GLN -> partner slug; own: our GLNs; meanings,
    transactions: the partner's own words; orders_are_ours: whether purchase orders are numbered by us or by the partner.
    """

    partner: str
    zone: tzinfo
    partners: Mapping[str, str] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    meanings: Mapping[tuple[str, str], str] = field(default_factory=dict)
    transactions: Mapping[str, str] = field(default_factory=dict)
    orders_are_ours: bool = True


@dataclass(slots=True)
class What:
    """The objects and transactions of an event. canonical: (field, value) of all of them, for the event's identity."""

    references: dict[Reference, None] = field(default_factory=dict)
    #: single items and batches named, of which at most `MAX_ITEMS` are references
    items: int = 0
    units: int = 0
    transactions: list[dict[str, str]] = field(default_factory=list)
    quantities: list[dict[str, Any]] = field(default_factory=list)
    #: objects written as GS1 keys that are none
    bad: int = 0
    canonical: list[tuple[str, str]] = field(default_factory=list)


def text(value: Any) -> str:
    """A field that holds a text, or an object with an id; '' for anything else."""
    if type(value) is str:
        return value.strip()
    if isinstance(value, dict):
        inner = value.get("id") or value.get("@id")
        return inner.strip() if isinstance(inner, str) else ""
    return ""


def listed(raw: Mapping[str, Any], name: str) -> list[Any]:
    """The entries of a list; a single value counts as a list of one."""
    value = raw.get(name)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def short(written: str, limit: int = _LONGEST) -> str:
    """A text that is short enough to be kept: as it is, or an excerpt of it."""
    return written if len(written) <= limit else excerpt(written, limit)


# --- when


def moment(raw: Mapping[str, Any], name: str, zone: tzinfo) -> datetime:
    """A time of the event in UTC. Raises `Bad`."""
    value = raw.get(name)
    if value is None or value == "":
        raise Bad("epcis.missing", f"The event has no {name}.", name)
    try:
        if type(value) is str and len(value) > len("2026-01-18T00:00"):
            # nearly always; what is odd about a time is said below
            found = datetime.fromisoformat(value)
            if found.tzinfo is not None and FIRST_YEAR < found.year < LAST_YEAR:
                return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    try:
        return read_time(value, ISO, zone)
    except TimeError as error:
        raise Bad("epcis.bad_time", f"The {name} “{excerpt(value, 60)}” {error}.", name, value) from None


def offset_of(raw: Mapping[str, Any], warn: Warn) -> tuple[tzinfo, str, str] | None:
    """The eventTimeZoneOffset as a zone, its name and as written; None if there is none that can be read."""
    written = text(raw.get("eventTimeZoneOffset"))
    found = _zone(written)
    if found is not None:
        return found
    if not written:
        warn("epcis.no_offset", "The event names no eventTimeZoneOffset.", "eventTimeZoneOffset", "")
    else:
        sentence = f"The eventTimeZoneOffset “{excerpt(written, 40)}” is none such as +02:00; it was left aside."
        warn("epcis.bad_offset", sentence, "eventTimeZoneOffset", written)
    return None


@lru_cache(maxsize=64)
def _zone(written: str) -> tuple[tzinfo, str, str] | None:
    found = _OFFSET.fullmatch("+00:00" if written == "Z" else written)
    if found is None:
        return None
    hours, minutes = int(found[1] + found[2]), int(found[3])
    if minutes or not -12 <= hours <= 14:
        return timezone(timedelta(hours=hours, minutes=minutes if found[1] == "+" else -minutes)), "UTC", written
    return timezone(timedelta(hours=hours)), f"Etc/GMT{-hours:+d}" if hours else "UTC", written


def utc(when: datetime) -> str:
    return (when if when.tzinfo is UTC else when.astimezone(UTC)).isoformat()


# --- what


def what_of(raw: Mapping[str, Any], settings: Settings, warn: Warn) -> What:
    """Objects, quantities and transactions of an event."""
    what = What()
    for name in _OBJECTS:
        if name in raw:
            for index, one in enumerate(listed(raw, name)):
                _object(what, name, index, one, warn)
    for name in _QUANTITIES:
        if name in raw:
            for index, one in enumerate(listed(raw, name)):
                _quantity(what, name, f"{name}[{index}]", one, warn)
    if what.quantities:
        what.quantities.sort(key=lambda one: (one["of"], str(one.get("quantity")), one.get("unit", "")))
        del what.quantities[MAX_QUANTITIES:]
    for index, one in enumerate(listed(raw, "bizTransactionList")):
        _transaction(what, index, one, settings, warn)
    if len(what.transactions) > 1:
        what.transactions.sort(key=lambda one: (one["type"], one["id"], one.get("issuer", "")))
    return what


def _report_key(error: keys.BadKey, written: str, place: str, warn: Warn) -> None:
    sentence = f"The identifier “{excerpt(written, 80)}” {error}; it is left out of the event's keys."
    warn("epcis.bad_key", sentence, place, written)


def _key(written: str, place: str, warn: Warn) -> keys.Key | None:
    """The GS1 key of a text; None if it is none, or none that holds, which is then a warning."""
    try:
        return keys.read(written)
    except keys.BadKey as error:
        _report_key(error, written, place, warn)
        return None


def _object(what: What, name: str, index: int, one: Any, warn: Warn) -> None:
    written = one.strip() if isinstance(one, str) else text(one)
    try:
        key = keys.read(written) if written else None
    except keys.BadKey as error:
        _report_key(error, written, f"{name}[{index}]", warn)
        what.canonical.append((name, written))
        what.bad += 1
        return
    if not written:
        warn("epcis.bad_key", "An identifier must be a text.", f"{name}[{index}]", one)
        what.bad += 1
    elif key is None:
        what.canonical.append((name, written))
        _add(what, OTHER, written, name, warn)
    else:
        kind = REFERENCES.get(key.kind, OTHER)
        value = f"{key.kind}:{key.value}" if kind == OTHER else key.value
        what.canonical.append((name, value))
        if key.kind == "gtin":
            # a class of goods, not a piece of them
            what.items += 1
        else:
            _add(what, kind, value, name, warn)


def _add(what: What, kind: str, value: str, name: str, warn: Warn) -> None:
    if len(value) > _LONGEST:
        sentence = f"An identifier of {len(value):,} characters is left out; at most {_LONGEST} are kept."
        warn("epcis.bad_key", sentence, name, value)
        what.bad += 1
        return
    if kind in _SINGLE:
        what.items += 1
        if what.items > MAX_ITEMS:
            return
    else:
        what.units += 1
        if what.units > MAX_UNITS:
            if what.units == MAX_UNITS + 1:
                sentence = f"The event names more than {MAX_UNITS:,} logistic units; the rest is not followed."
                warn("epcis.too_many", sentence, name, "")
            return
    what.references[Reference(kind, value)] = None


def _quantity(what: What, name: str, place: str, one: Any, warn: Warn) -> None:
    written = text(one.get("epcClass")) if isinstance(one, dict) else ""
    if not written:
        warn("epcis.bad_quantity", "A quantity must name its epcClass.", place, one)
        return
    key = _key(written, f"{place}.epcClass", warn)
    of = key.value if key else short(written)
    amount, unit = _number(one.get("quantity")), text(one.get("uom"))[:20]
    told = {"of": of, "quantity": amount, "unit": unit}
    what.quantities.append({field: value for field, value in told.items() if value not in (None, "")})
    what.canonical.append((name, f"{of} {amount} {unit}"))
    if key is not None and key.kind == "lgtin" and len(what.references) < MAX_UNITS:
        what.references[Reference("batch", key.value)] = None


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool) or value in (None, ""):
        return None
    try:
        number = float(value) if isinstance(value, int | float | str) and len(str(value)) <= 40 else None
    except ValueError:
        return None
    if number is None or number != number or abs(number) > 1e15:
        return None
    return int(number) if number.is_integer() else number


def _transaction(what: What, index: int, one: Any, settings: Settings, warn: Warn) -> None:
    place = "bizTransactionList"
    if isinstance(one, dict):
        written, kind = text(one.get("bizTransaction")), word(text(one.get("type")))
    else:
        written, kind = text(one), ""
    if not written or len(written) > 2_000:
        warn("epcis.bad_transaction", "A business transaction must name its identifier.", f"{place}[{index}]", one)
        return
    try:
        gln, number = _identifier(written)
    except keys.BadKey as error:
        _report_key(error, written, f"{place}[{index}]", warn)
        gln, number = "", written
    what.canonical.append((place, f"{kind} {gln} {number}"))
    known = settings.transactions.get(kind) or TRANSACTIONS.get(kind)
    if known is None and kind:
        sentence = (
            f"The transaction type “{excerpt(kind, 100)}” is unmapped; it is kept, but leads to no flow. Name the kind of "
            "key in the integration's settings, then replay."
        )
        warn("epcis.unmapped", sentence, f"{place}[{index}].type", "")
    if len(what.transactions) >= MAX_TRANSACTIONS:
        return
    told = {"type": short(kind), "id": short(number)}
    if gln:
        told["issuer"] = f"gln:{gln}"
    what.transactions.append(told)
    if known and len(number) <= _LONGEST:
        for reference in _references(known, gln, number, settings):
            what.references[reference] = None


@lru_cache(maxsize=4096)
def _identifier(written: str) -> tuple[str, str]:
    """(GLN of who issued it or '', number). A GDTI is its digits and serial, a web address its last part.

    Raises `keys.BadKey`.
    """
    found = _TRANSACTION.fullmatch(written)
    if found is not None:
        number = found[2]
        return found[1], (unquote(number).strip() or number) if "%" in number else number
    key = keys.read(written)
    if key is not None:
        return "", key.value
    if written[:4].lower() == "http":
        path = written.partition("#")[0].partition("?")[0].rstrip("/")
        return "", unquote(path.rpartition("/")[2]).strip() or written
    return "", written


def _references(kind: str, gln: str, number: str, settings: Settings) -> list[Reference]:
    """A transaction's key with its issuer: the GLN in it says who, else the partner, where the kind needs one."""
    theirs = "" if gln in settings.own else settings.partners.get(gln, settings.partner)
    if REFERENCE_KINDS.get(kind, ("", False))[1]:
        return [Reference(kind, number, theirs[:64])]
    if kind == "purchase_order" and not settings.orders_are_ours:
        return [Reference(kind, number, theirs[:64]), Reference("channel_order", number, theirs[:64])]
    return [Reference(kind, number)]


# --- where and who


def place_of(raw: Mapping[str, Any], name: str, warn: Warn) -> str:
    """readPoint and bizLocation: a GLN where it is one, else as written."""
    written = text(raw.get(name))
    if not written:
        return ""
    try:
        return _place(written)
    except keys.BadKey as error:
        _report_key(error, written, name, warn)
        return short(written)


@lru_cache(maxsize=4096)
def _place(written: str) -> str:
    key = keys.read(written)
    return f"gln:{key.value}" if key is not None and key.kind == "gln" else short(written)


def parties_of(
    raw: Mapping[str, Any], settings: Settings, canonical: list[tuple[str, str]], warn: Warn
) -> dict[str, str]:
    """role -> partner slug or ``gln:..``, from the source and destination lists."""
    found: dict[str, str] = {}
    for end in ("source", "destination"):
        if f"{end}List" not in raw:
            continue
        for index, one in enumerate(listed(raw, f"{end}List")):
            place = f"{end}List[{index}]"
            written = text(one.get(end)) if isinstance(one, dict) else ""
            if not written:
                warn("epcis.bad_party", f"A {end} must name a party or a place.", place, one)
                continue
            kind = word(text(one.get("type")))
            key = _key(written, place, warn)
            party = f"gln:{key.value}" if key is not None and key.kind == "gln" else written
            canonical.append((f"{end}List", f"{kind} {party}"))
            role = ROLES.get((end, kind))
            if role is None:
                sentence = f"The {end} type “{excerpt(kind, 100)}” is unmapped; the party is left out."
                warn("epcis.unmapped", sentence, f"{place}.type", "")
            elif len(party) <= 128:
                gln = party.removeprefix("gln:")[:13]
                found.setdefault(role, settings.partners.get(gln, party) if party[:4] == "gln:" else party)
    return found
