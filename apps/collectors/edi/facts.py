"""What a node's segments say, by the facts of the message's table. Pure, linear time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from apps.collectors.edi import times
from apps.collectors.edi.segments import MAX_VALUE, Segment
from apps.collectors.edi.tables.model import At, Date, Datum, Message, Note, Party, Place, Ref
from apps.collectors.edi.tree import Node, at

#: references of no known kind kept per loop
MAX_OTHER = 20
#: units of measure of one sum, notes of one list
MAX_UNITS = 20
MAX_NOTES = 50
_NUMBER = re.compile(r"-?\d{1,12}([.,]\d{1,6})?")
#: ISO 6346: three letters of the owner, U, J or Z for the category, six digits; the check digit is missing
_NO_CHECK_DIGIT = re.compile(r"[A-Z]{3}[UJZ][0-9]{6}")

#: (code, sentence, segment): a fact that could not be read
Report = Callable[[str, str, Segment], None]


def read(node: Node, message: Message, zone: str, report: Report) -> None:
    """Fills the node from its own segments. zone: for times that name none."""
    by_tag, readers = message.by_tag, _READERS
    for segment in node.segments:
        for fact in by_tag.get(segment.tag, ()):
            readers[type(fact)](node, segment, fact, zone, report)


def roll_up(nodes: list[Node]) -> None:
    """Sums and orders of every loop are also of the loops around it. nodes: root first, in the order they stood."""
    for node in reversed(nodes):
        if node.parent is None:
            continue
        for key, by_unit in node.sums.items():
            for unit, amount in by_unit.items():
                _add(node.parent, key, unit, amount)
        if len(node.parent.orders) < 100:
            node.parent.orders.update(node.orders)


def holds(segment: Segment, when: Mapping[At, frozenset[str]]) -> bool:
    return all(at(segment, where) in wanted for where, wanted in when.items())


def joined(segment: Segment, where: tuple[At, ...], by: str = "") -> str:
    if len(where) == 1:
        return at(segment, where[0])
    return by.join([part for one in where if (part := at(segment, one))])


def normal(kind: str, value: str) -> str:
    """A value as every sender's is compared: SSCC without its application identifier 00, containers without blanks."""
    if kind == "sscc":
        digits = value.removeprefix("(00)").replace(" ", "")
        return digits[2:] if len(digits) == 20 and digits.startswith("00") and digits.isdecimal() else digits
    if kind == "container":
        return _with_check_digit(re.sub(r"[\s./-]", "", value).upper())
    return value


def _with_check_digit(container: str) -> str:
    """ISO 6346: a container number of which only owner and serial number were told, with its check digit."""
    if not _NO_CHECK_DIGIT.fullmatch(container):
        return container
    # letters count 10 to 38 without the multiples of 11, places double from the left
    values = (int(one) if one.isdigit() else (n := ord(one) - 55) + (n - 1) // 10 for one in container)
    return f"{container}{sum(value << place for place, value in enumerate(values)) % 11 % 10}"


def check_digit_holds(sscc: str) -> bool:
    """GS1 check digit: the last of 18 digits; from the right, weights 1 and 3 take turns."""
    if len(sscc) != 18 or not (sscc.isascii() and sscc.isdigit()):
        return False
    # over the bytes, of which "0" is 48: 48 times the weights is what they are too large by
    raw = sscc.encode()
    return (3 * sum(raw[0::2]) + sum(raw[1::2]) - 48 * 36) % 10 == 0


def _reference(node: Node, segment: Segment, fact: Ref, _zone: str, report: Report) -> None:
    if fact.when and not holds(segment, fact.when):
        return
    code = at(segment, fact.qualifier) if fact.qualifier is not None else ""
    kind = fact.kind or fact.codes.get(code, "")
    for step in range(fact.repeat):
        where = fact.value if not step else tuple(_shifted(one, step) for one in fact.value)
        value = joined(segment, where)
        if not value:
            continue
        if len(value) > MAX_VALUE:
            report("edi.too_long", f"A reference of {len(value)} characters was left out; at most {MAX_VALUE}", segment)
        elif kind:
            value = normal(kind, value)
            node.own.append((kind, value, segment))
            if kind == "purchase_order":
                node.orders[value] = None
            elif kind == "sscc":
                _add(node, "handling_units", "", 1.0)
        elif code and len(node.other) < MAX_OTHER:
            node.other.setdefault(code[:10], value)


def _shifted(where: At, step: int) -> At:
    return (where[0] + step, where[1]) if isinstance(where, tuple) else where + step


def _date(node: Node, segment: Segment, fact: Date, zone: str, report: Report) -> None:
    name = fact.name or fact.codes.get(at(segment, fact.qualifier) if fact.qualifier is not None else "", "")
    value = at(segment, fact.value)
    if not name or not value or name in node.dates:
        return
    try:
        if fact.form is not None:
            moment = times.edifact(value, at(segment, fact.form), zone)
        else:
            time = at(segment, fact.time) if fact.time is not None else ""
            moment = times.x12(value, time, at(segment, fact.zone) if fact.zone is not None else "", zone)
    except times.BadTime as error:
        report("edi.bad_time", f"The {name.replace('_', ' ')} time cannot be read: {error}", segment)
        return
    node.dates[name] = moment


def _party(node: Node, segment: Segment, fact: Party, _zone: str, _report: Report) -> None:
    role = fact.codes.get(at(segment, fact.role), "")
    node.last_role = role
    if not role:
        return
    identifier = at(segment, fact.id)
    scheme = fact.schemes.get(at(segment, fact.scheme), "")
    if identifier and scheme and len(identifier) <= MAX_VALUE:
        node.parties.setdefault(role, f"{scheme}:{identifier}")
    name = joined(segment, fact.names)[:MAX_VALUE]
    if name:
        node.data.setdefault("names", {}).setdefault(role, name)
    _lane(node, joined(segment, fact.city, ", ") or name)


def _place(node: Node, segment: Segment, fact: Place, _zone: str, _report: Report) -> None:
    city = joined(segment, fact.city, ", ")
    if city and node.last_role:
        node.data.pop(_lane_key(node.last_role), None)
        _lane(node, city)


def _lane_key(role: str) -> str:
    return {"ship_from": "lane_from", "shipper": "lane_from", "ship_to": "lane_to", "consignee": "lane_to"}.get(
        role, ""
    )


def _lane(node: Node, place: str) -> None:
    key = _lane_key(node.last_role)
    if key and place:
        node.data.setdefault(key, place[:MAX_VALUE])


def _datum(node: Node, segment: Segment, fact: Datum, _zone: str, _report: Report) -> None:
    if fact.when and not holds(segment, fact.when):
        return
    value = joined(segment, fact.value, " ")[:MAX_VALUE]
    if not value:
        return
    target = node.up()[-1] if fact.top else node
    if fact.how == "first":
        target.data.setdefault(fact.key, value)
        return
    if not _NUMBER.fullmatch(value) or not value.isascii():
        return
    amount = float(value.replace(",", "."))
    if fact.how == "number":
        target.data.setdefault(fact.key, _plain(amount))
        return
    _add(node, fact.key, at(segment, fact.unit)[:10] if fact.unit is not None else "", amount)


def _add(node: Node, key: str, unit: str, amount: float) -> None:
    by_unit = node.sums.setdefault(key, {})
    if unit in by_unit or len(by_unit) < MAX_UNITS:
        by_unit[unit] = round(by_unit.get(unit, 0.0) + amount, 6)


def _note(node: Node, segment: Segment, fact: Note, _zone: str, _report: Report) -> None:
    for step in range(fact.repeat):
        code = at(segment, _shifted(fact.code, step))[:20]
        notes = node.data.setdefault(fact.key, [])
        if code and len(notes) < MAX_NOTES:
            told = {name: at(segment, where)[:MAX_VALUE] for name, where in fact.fields}
            notes.append({**{k: v for k, v in told.items() if v}, "code": code, "words": fact.words.get(code, "")})
        if not notes:
            del node.data[fact.key]


def _plain(amount: float) -> int | float:
    return int(amount) if amount.is_integer() else amount


def totals(nodes: list[Node]) -> dict[str, object]:
    """Sums over loops, a loop inside another of them counted once, as data: ``quantity`` and ``quantity_unit`` when
    there is one unit, ``quantity_by_unit`` when there are several."""
    if len(nodes) == 1:
        sums = nodes[0].sums
    else:
        chosen = {id(node) for node in nodes}
        summed = Node("", None, None, 0)
        for node in nodes:
            if not any(id(outer) in chosen for outer in node.up()[1:]):
                for key, by_unit in node.sums.items():
                    for unit, amount in by_unit.items():
                        _add(summed, key, unit, amount)
        sums = summed.sums
    found: dict[str, object] = {}
    for key, by_unit in sums.items():
        plain = {unit: _plain(amount) for unit, amount in by_unit.items()}
        if len(plain) > 1:
            found[f"{key}_by_unit"] = plain
            continue
        unit, found[key] = next(iter(plain.items()))
        if unit:
            found[f"{key}_unit"] = unit
    return found


_READERS: dict[type, Callable[..., None]] = {
    Ref: _reference,
    Date: _date,
    Party: _party,
    Place: _place,
    Note: _note,
    Datum: _datum,
}
