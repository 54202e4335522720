"""Writes the pretend suppliers' and carriers' interchanges: X12 004010 (856, 997, 214) and EDIFACT D.96A (DESADV)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime

from apps.simulator.faults import BERLIN
from apps.simulator.world import CARRIERS, Message

OURS = "HARBORPINE"
IDS = {"metalworks": "METALWORKS", "nordtex": "NORDTEX", "oakline": "4099999000014", "blue-freight": "BLUEFREIGHT"}
STATUS = {"picked_up": "AF", "in_transit": "X6", "delivered": "D1", "unknown": "ZZ"}


def write(integration: str, message: Message) -> bytes:
    """One interchange with one message."""
    if integration == "blue-edi":
        return _x12("QM", "214", "blue-freight", message, _status(message))
    supplier = message.facts["supplier"]
    if message.what == "functional_ack":
        if supplier == "oakline":
            return _edifact("CONTRL", message, _contrl(message))
        return _x12("FA", "997", supplier, message, _ack(message))
    if supplier == "oakline":
        return _edifact("DESADV", message, _desadv(message))
    return _x12("SH", "856", supplier, message, _ship_notice(message))


def _number(message: Message) -> int:
    """A control number of up to nine digits that repeats for the same message."""
    return zlib.crc32(f"{message.what}{message.facts}{message.at}".encode()) % 999_999_999 + 1


def sscc(message: Message, place: int) -> str:
    """A serial shipping container code: extension, fictional company prefix, serial, check digit (GS1 General Specifications)."""
    serial = zlib.crc32(f"{message.facts['advice']}{place}".encode()) % 10**9
    body = f"0409999{place}{serial:09d}"
    total = sum(int(digit) * (3 if index % 2 == 0 else 1) for index, digit in enumerate(body))
    return body + str(-total % 10)


def _x12(group: str, kind: str, partner: str, message: Message, segments: Sequence[str]) -> bytes:
    number = _number(message)
    at = message.sent_at.astimezone(BERLIN)  # envelopes carry no zone: the sender's own clock
    sender = IDS[partner]
    lines = [
        f"ISA*00*          *00*          *ZZ*{sender:<15}*ZZ*{OURS:<15}*{at:%y%m%d}*{at:%H%M}*U*00401*{number:09d}*0*P*>",
        f"GS*{group}*{sender}*{OURS}*{at:%Y%m%d}*{at:%H%M%S}*{number}*X*004010",
        f"ST*{kind}*0001",
        *segments,
        f"SE*{len(segments) + (5 if message.facts.get('broken') and kind == '856' else 2)}*0001",
        f"GE*1*{number}",
        f"IEA*1*{number:09d}",
    ]
    return ("~\n".join(lines) + "~\n").encode()


def _utc(when: datetime) -> tuple[str, str]:
    when = when.astimezone(UTC)
    return f"{when:%Y%m%d}", f"{when:%H%M%S}"


def _ship_notice(message: Message) -> list[str]:
    f = message.facts
    day, clock = _utc(message.at)
    eta_day, eta_clock = _utc(datetime.fromisoformat(f["expected"]))
    lines = [
        f"BSN*00*{f['advice']}*{day}*{clock}*0001",
        "HL*1**S",
        f"TD1*CTN25*{f['packages']}",
        f"REF*BM*BOL{f['advice']}",
        f"DTM*011*{day}*{clock}*UT",
        f"DTM*017*{eta_day}*{eta_clock}*UT",
        "HL*2*1*O",
        f"PRF*{f['purchase']}",
    ]
    for place in range(f["packages"]):
        lines += [f"HL*{3 + place}*2*P", f"MAN*GM*{sscc(message, place)}"]
    return [*lines, f"CTT*{2 + f['packages']}"]


def _ack(message: Message) -> list[str]:
    control = message.facts["control"]
    return [f"AK1*PO*{int(control)}", f"AK2*850*{control}", "AK5*A", "AK9*A*1*1*1"]


def _status(message: Message) -> list[str]:
    f = message.facts
    day, clock = _utc(message.at)
    return [
        f"B10*{f['parcel']}*{f['parcel']}*{CARRIERS['blue-freight']}",
        f"L11*{f['parcel']}*2I",
        "LX*1",
        f"AT7*{STATUS[message.what]}*NS***{day}*{clock[:4]}*UT",
        "MS1*KOELN**DE",
    ]


def _edifact(kind: str, message: Message, segments: Sequence[str]) -> bytes:
    at = message.sent_at.astimezone(BERLIN)  # envelopes carry no zone: the sender's own clock
    number = _number(message)
    extra = 3 if message.facts.get("broken") and kind == "DESADV" else 0
    version = "D:3:UN" if kind == "CONTRL" else "D:96A:UN:EAN007"
    lines = [
        "UNA:+.? '",
        f"UNB+UNOC:3+{IDS['oakline']}:14+{OURS}:ZZ+{at:%y%m%d}:{at:%H%M}+{number}'",
        f"UNH+1+{kind}:{version}'",
        *(f"{segment}'" for segment in segments),
        f"UNT+{len(segments) + 2 + extra}+1'",
        f"UNZ+1+{number}'",
    ]
    return "\n".join(lines).encode() + b"\n"


def _desadv(message: Message) -> list[str]:
    f = message.facts
    at, eta = message.at.astimezone(UTC), datetime.fromisoformat(f["expected"]).astimezone(UTC)
    lines = [
        f"BGM+351+{f['advice']}+9",
        f"DTM+137:{at:%Y%m%d%H%M}UTC:303",
        f"DTM+11:{at:%Y%m%d%H%M}UTC:303",
        f"DTM+132:{eta:%Y%m%d%H%M}UTC:303",
        f"RFF+ON:{f['purchase']}",
        f"NAD+SU+{IDS['oakline']}::9",
        "CPS+1",
        f"PAC+{f['packages']}++CT",
    ]
    for place in range(f["packages"]):
        lines += [f"CPS+{place + 2}+1", "PAC+1++CT", "PCI+33E", f"GIN+BJ+{sscc(message, place)}"]
    return lines


def _contrl(message: Message) -> list[str]:
    control = message.facts["control"]
    return [f"UCI+{control}+{OURS}:ZZ+{IDS['oakline']}:14+7"]
