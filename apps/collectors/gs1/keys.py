"""GS1 identification keys: one value, however it is written. Pure.

``urn:epc:id:sscc:4012345.1234567890``, ``https://id.gs1.org/00/140123452345678908``, ``(00)140123452345678908`` and the
plain 18 digits are the same logistic unit. Lengths and check digits are held (GS1 General Specifications, section 7.9;
EPC Tag Data Standard 2.0, sections 6 and 7; GS1 Digital Link URI Syntax 1.3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

#: characters of one key as written
MAX_TEXT = 500
_PREFIX = range(6, 13)


@dataclass(frozen=True, slots=True)
class Key:
    """kind: ``sscc``, ``gtin``, ``sgtin``, ``lgtin``, ``gln`` ...; value: digits with check digit, then what follows.

    GTIN and serial or lot are parted by a dot, as are GLN and extension; GRAI, GDTI and GCN run into their serial, as
    they do on a label.
    """

    kind: str
    value: str


class BadKey(ValueError):
    """It is written as a GS1 key and is none; the message is a sentence's end: 'has the check digit 3, not 5'."""


@dataclass(frozen=True, slots=True)
class _Form:
    """An EPC URI ``prefix.reference[.more ..]``. digits: of prefix and reference, without the check digit.

    leading: the reference's first digit (indicator, extension digit) stands before the prefix in the key.
    """

    kind: str
    digits: int
    leading: bool = False
    more: int = 0
    joint: str = ""


_URNS = {
    "sscc": _Form("sscc", 17, leading=True),
    "sgtin": _Form("sgtin", 13, leading=True, more=1, joint="."),
    "lgtin": _Form("lgtin", 13, leading=True, more=1, joint="."),
    "itip": _Form("itip", 13, leading=True, more=3, joint="."),
    "upui": _Form("upui", 13, leading=True, more=1, joint="."),
    "sgln": _Form("gln", 12, more=1, joint="."),
    "pgln": _Form("gln", 12),
    "grai": _Form("grai", 12, more=1),
    "gdti": _Form("gdti", 12, more=1),
    "sgcn": _Form("gcn", 12, more=1),
    "gsrn": _Form("gsrn", 17),
    "gsrnp": _Form("gsrnp", 17),
    "gsin": _Form("gsin", 16),
}
#: keys of free length: prefix and reference run together
_FREE = {"giai": 30, "ginc": 30, "cpi": 30}
_EPC = re.compile(r"urn:epc:(id|class|idpat):([a-z]+):(.+)", re.IGNORECASE | re.DOTALL)
_CONTAINER = re.compile(r"[A-Z]{3}[JUZ][0-9]{7}")

#: application identifier of a Digital Link -> (kind, digits with check digit)
_LINKS = {
    "00": ("sscc", 18),
    "01": ("gtin", 14),
    "8006": ("itip", 14),
    "8003": ("grai", 13),
    "253": ("gdti", 13),
    "255": ("gcn", 13),
    "414": ("gln", 13),
    "417": ("gln", 13),
    "402": ("gsin", 17),
    "8017": ("gsrnp", 18),
    "8018": ("gsrn", 18),
    "8004": ("giai", 0),
    "401": ("ginc", 0),
    "8010": ("cpi", 0),
}
_LINK = re.compile(
    r"https?://([^/?#]+)(?:/[^?#]*?)?/(00|01|8006|8003|253|255|414|417|402|8017|8018|8004|401|8010)/([^/?#]+)"
    r"((?:/(?:10|21|22|235|254|8011)/[^/?#]+)*)/?(?:[?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_PLAIN_SSCC = re.compile(r"(?:\(00\) ?|00)?([0-9]{18})")
#: the host whose every path is a GS1 key; at other hosts ``/00/..`` may be something else
_RESOLVER = "id.gs1.org"


def check_digit(digits: str) -> str:
    """The check digit that follows these digits: from the right, weights 3 and 1 take turns."""
    # over the bytes, of which "0" is 48: 48 times the sum of weights is added below
    raw = digits.encode()
    threes, ones = raw[::-2], raw[-2::-2]
    return str((48 * (3 * len(threes) + len(ones)) - 3 * sum(threes) - sum(ones)) % 10)


@lru_cache(maxsize=8192)
def read(text: str) -> Key | None:
    """The key a text stands for; None if it is no GS1 key (a company's own identifier). Raises `BadKey`."""
    text = text.strip()
    if len(text) > MAX_TEXT:
        raise BadKey(f"has {len(text):,} characters; at most {MAX_TEXT} are read")
    if text[:8].lower() == "urn:epc:":
        found = _EPC.fullmatch(text)
        return _of_urn(found[1].lower(), found[2].lower(), found[3]) if found else None
    if text[:4].lower() == "http":
        link = _LINK.fullmatch(text)
        return _of_link(link) if link else None
    plain = _PLAIN_SSCC.fullmatch(text)
    return Key("sscc", _checked(plain[1])) if plain else None


def _of_urn(space: str, scheme: str, rest: str) -> Key | None:
    parts = rest.split(".")
    if scheme == "bic" and space == "id":
        return Key("container", _container(rest))
    if scheme in _FREE and space == "id":
        return _free(scheme, parts)
    form = _URNS.get(scheme)
    if form is None:
        return None
    if space == "idpat":
        return _pattern(form, parts)
    # serial numbers may hold dots only in their last part
    head, more = parts[:2], parts[2:]
    if form.more == 1 and len(more) > 1:
        more = [".".join(more)]
    if len(more) != form.more:
        raise BadKey(f"has {len(parts)} parts; a {scheme.upper()} has {2 + form.more}")
    key = _key_digits(form, head, scheme)
    extra = [unquote(part) for part in more]
    if not all(extra):
        raise BadKey("has an empty part")
    if form.kind == "gln" and extra == ["0"]:
        return Key("gln", key)
    return Key(form.kind, form.joint.join([key, *extra]))


def _key_digits(form: _Form, head: Sequence[str], scheme: str) -> str:
    prefix, reference = head if len(head) == 2 else (*head, "")
    both = prefix + reference
    if not (both.isascii() and both.isdigit()):
        raise BadKey("holds something other than digits in its company prefix or reference")
    if len(prefix) not in _PREFIX or len(both) != form.digits:
        raise BadKey(f"has {len(both)} digits where a {scheme.upper()} has {form.digits}, its check digit aside")
    digits = reference[0] + prefix + reference[1:] if form.leading else both
    return digits + check_digit(digits)


def _free(scheme: str, parts: Sequence[str]) -> Key:
    prefix, reference = parts[0], unquote(".".join(parts[1:]))
    if not (prefix.isascii() and prefix.isdigit() and len(prefix) in _PREFIX and reference):
        raise BadKey("has no company prefix of 6 to 12 digits with a reference behind it")
    if len(prefix + reference) > _FREE[scheme]:
        raise BadKey(f"is longer than the {_FREE[scheme]} characters of a {scheme.upper()}")
    return Key(scheme, prefix + reference)


def _pattern(form: _Form, parts: Sequence[str]) -> Key | None:
    """``sgtin:4012345.066666.*`` is the trade item without serials; broader patterns are no key."""
    if form.kind not in ("sgtin", "itip", "upui") or len(parts) < 3 or "*" in parts[:2]:
        return None
    return Key("gtin", _key_digits(form, parts[:2], "sgtin"))


def _container(text: str) -> str:
    if not _CONTAINER.fullmatch(text):
        raise BadKey("is no container number of four letters and seven digits (ISO 6346)")
    return text


def _of_link(link: re.Match[str]) -> Key | None:
    host, identifier, value = link[1].lower(), link[2], unquote(link[3])
    kind, digits = _LINKS[identifier]
    rest = link[4].split("/")[1:]
    more = dict(zip(rest[::2], map(unquote, rest[1::2]), strict=False))
    try:
        return _linked(kind, digits, value, more)
    except BadKey:
        head = value.removeprefix("0") if kind == "grai" else value
        if host == _RESOLVER or (
            digits and len(head) >= digits and head[:digits].isascii() and head[:digits].isdigit()
        ):
            raise
        return None


def _linked(kind: str, digits: int, value: str, more: dict[str, str]) -> Key:
    if not digits:
        if len(value) > 30 or not value:
            raise BadKey(f"is longer than the 30 characters of a {kind.upper()}")
        return Key(kind, value + ("." + more["8011"] if "8011" in more else ""))
    if kind == "gtin":
        if len(value) not in (8, 12, 13, 14):
            raise BadKey(f"has {len(value)} digits; a GTIN has 14")
        key = _checked(value.rjust(14, "0"))
        for name, identifier in (("sgtin", "21"), ("upui", "235"), ("lgtin", "10")):
            if identifier in more:
                return Key(name, f"{key}.{more[identifier]}")
        return Key("gtin", key)
    if kind == "grai":
        if not value.startswith("0"):
            raise BadKey("does not begin with the 0 of a GRAI")
        value = value[1:]
    key, serial = _checked(value[:digits], digits), value[digits:]
    if kind in ("grai", "gdti", "gcn"):
        return Key(kind, key + serial)
    if kind == "itip" and len(serial) == 4:
        pieces = [key, serial[:2], serial[2:], *([more["21"]] if "21" in more else [])]
        return Key(kind, ".".join(pieces))
    if serial:
        raise BadKey(f"has {len(value)} characters; a {kind.upper()} has {digits}")
    extension = more.get("254", "0")
    return Key(kind, key if extension == "0" else f"{key}.{extension}")


def _checked(digits: str, length: int = 0) -> str:
    if not (digits.isascii() and digits.isdigit()):
        raise BadKey("holds something other than digits")
    if length and len(digits) != length:
        raise BadKey(f"has {len(digits)} digits where {length} are needed")
    wanted = check_digit(digits[:-1])
    if digits[-1] != wanted:
        raise BadKey(f"ends in the check digit {digits[-1]}; {wanted} would be right")
    return digits
