"""A cause in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from apps.anomalies.grouping.scan import Explanation, Shape

#: dimension -> how its value is introduced
INTRODUCED = {
    "integration": "",
    "partner": "",
    "contract": "",
    "carrier": "carrier ",
    "site": "site ",
    "lane": "lane ",
    "message": "",
    "service": "service ",
    "error": "error ",
    "change": "after: ",
}
#: the order in which a pair is said
SAID_FIRST = ("message", "error", "integration", "partner", "carrier", "site", "lane", "service", "contract")


def name_of(shape: Shape, names: Mapping[tuple[str, str], str], since: datetime) -> str:
    """The cause as a title: "ASN (Purchase to receipt) of Acme Metals since 07:20"."""
    start = moment(since)
    if shape[0][0] == "feed":
        return f"{names.get(shape[0], 'A feed')} silent since {start}"[:300]
    if shape[0][0] == "change":
        return f"After a change: {names.get(shape[0], 'unknown')} at {start}"[:300]
    parts = sorted(shape, key=lambda one: SAID_FIRST.index(one[0]) if one[0] in SAID_FIRST else len(SAID_FIRST))
    said = " of ".join(said_of(part, names) for part in parts)
    return f"{said[:1].upper()}{said[1:]} since {start}"[:300]


def said_of(part: tuple[str, str], names: Mapping[tuple[str, str], str]) -> str:
    """One value in words: "carrier Swift Parcel", "lane DE>FR"."""
    dimension, value = part
    words = names.get(part, value)
    if dimension == "lane":
        words = words.replace("?>", "to ").replace(">?", " (from)").replace(">", " to ")
    if dimension == "error":
        words = words.replace(":", " ").strip()
    return f"{INTRODUCED.get(dimension, dimension + ' ')}{words}"


def sentence_of(name: str, cause: Explanation, kinds: Sequence[str]) -> str:
    """ "214 late events explained by: DESADV feed of P silent since 07:20 (covers 97 %, 41 times as likely)"."""
    what = "late event" if set(kinds) <= {"sla.breach"} else "finding"
    plural = "" if len(kinds) == 1 else "s"
    if cause.usual is not None:
        return f"{len(kinds):,} {what}{plural} explained by: {name} (usually {cause.usual:.0f} in this time)"
    # one decimal where a whole number would say 1 times
    times = f"{cause.lift:,.0f}" if cause.lift >= 10 else f"{cause.lift:.1f}"
    return f"{len(kinds):,} {what}{plural} explained by: {name} (covers {cause.share * 100:.0f} %, {times} times as likely)"


def moment(at: datetime) -> str:
    """A time for titles, in UTC and said so."""
    at = at.astimezone(UTC)
    return f"{at:%a} {at.day} {at:%b %H:%M} UTC"
