"""Writes interchanges for the tests: the reader must find in them what was put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    """One transaction: type, control number, segments as lists of elements, elements as lists of components."""

    type: str
    number: str
    segments: Sequence[Sequence[Sequence[str]]] = field(default_factory=tuple)


def isa(
    number: str = "000000001", test: str = "P", date: str = "260310", time: str = "0900", version: str = "00401"
) -> str:
    sender, receiver = f"{'NORDWIND':15}", f"{'OURS':15}"
    return f"ISA*00*{'':10}*00*{'':10}*ZZ*{sender}*ZZ*{receiver}*{date}*{time}*U*{version}*{number}*0*{test}*>~"


def x12(
    *messages: Message,
    number: str = "000000001",
    group: str = "1",
    header: str = "",
    end: str = "",
    identifier: str = "XX",
) -> str:
    """One interchange with one group. end: what follows every segment terminator; identifier: GS01."""
    lines = [f"GS*{identifier}*NORDWIND*OURS*20260310*0900*{group}*X*004010"]
    for message in messages:
        body = ["*".join(">".join(parts) for parts in segment) for segment in message.segments]
        lines += [f"ST*{message.type}*{message.number}", *body, f"SE*{len(body) + 2}*{message.number}"]
    lines += [f"GE*{len(messages)}*{group}", f"IEA*1*{number}"]
    return (header or isa(number)) + end + "".join(line + "~" + end for line in lines)


def escaped(text: str) -> str:
    for char in "?+:'":
        text = text.replace(char, "?" + char)
    return text


def edifact(*messages: Message, number: str = "R1", una: bool = True, end: str = "", stamp: str = "260310:0900") -> str:
    """One interchange without groups. end: what follows every segment terminator."""
    lines = [f"UNB+UNOC:3+NORDWIND:ZZ+OURS:ZZ+{stamp}+{number}"]
    for message in messages:
        body = ["+".join(":".join(map(escaped, parts)) for parts in segment) for segment in message.segments]
        lines += [f"UNH+{message.number}+{message.type}:D:96A:UN", *body, f"UNT+{len(body) + 2}+{message.number}"]
    lines.append(f"UNZ+{len(messages)}+{number}")
    return ("UNA:+.? '" + end if una else "") + "".join(line + "'" + end for line in lines)


def plain(*lines: str, type: str = "214", number: str = "0001") -> Message:
    """A transaction written as in a file: ``"AT7*X1*NS"``."""
    return Message(type, number, [[[part] for part in line.split("*")] for line in lines])


def composed(*lines: str, type: str = "IFTSTA", number: str = "1") -> Message:
    """A message written as in a file: ``"DTM+137:20260310:102"``; no released characters."""
    return Message(type, number, [[part.split(":") for part in line.split("+")] for line in lines])
