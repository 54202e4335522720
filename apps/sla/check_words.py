"""What a check looks for and what it found, in words. Pure; reads only what the deviation stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apps.core.wording import zone
from apps.sla.durations import in_words
from apps.sla.explaining import in_zone

_TITLES = {"early": "Too early", "too_long": "Took too long", "unexpected": "Unexpected", "skipped": "Skipped"}


def title(kind: str, facts: Mapping[str, Any]) -> str:
    """'Too early', 'Short'."""
    return _TITLES.get(kind) or str(facts.get("sort", kind)).capitalize()


def sentence(kind: str, label: str, facts: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """One sentence without its full stop. label: of the milestone; labels: of all."""
    where = str(facts.get("zone", "UTC"))
    by = f"rule '{facts.get('rule', '')}' v{facts.get('version', '')}"
    if kind == "early":
        return f"{label} came before {_moment(facts['earliest'], where)}, the earliest that is allowed; {by}"
    if kind == "too_long":
        since = _anchor(facts["origin"]["anchor"], labels)
        over = datetime.fromisoformat(str(facts["latest"]))
        return f"{label} came later than {_moment(over, where)}: too long after {since} ({_moment(facts['since'], where)}); {by}"
    if kind == "unexpected":
        parts = []
        if facts["without"]:
            parts.append("without " + _names(facts["without"], labels))
        if facts["before"]:
            parts.append("before " + _names(facts["before"], labels))
        return f"{label} came {' and '.join(parts)}; {by}"
    if kind == "skipped":
        return f"{label} was skipped: {labels.get(facts['by'], facts['by'])} came without it; {by}"
    part = f" for {facts['part']}" if facts.get("part") else ""
    more = facts.get("parts", 1) - 1
    also = f", and {more} other part{'' if more == 1 else 's'} differ{'s' if more == 1 else ''}" if more > 0 else ""
    return f"{label}: {facts['got']} instead of {facts['wanted']}{part} ({facts['sort']}){also}; {by}"


def rule(check: Mapping[str, Any], labels: Mapping[str, str], due: str) -> str:
    """What a rule's check looks for. due: its deadline in words, where it has one."""
    wait = f"; told after {in_words(check['wait'])}" if check.get("wait") else ""
    if "early" in check:
        return f"too early: before {due}{wait}"
    if "too_long" in check:
        return f"too long between: more than {due}{wait}"
    if "unexpected" in check:
        one = check["unexpected"]
        also = " or before it" if one.get("in_order") else ""
        return f"unexpected: came without {_names(one['without'], labels)}{also}{wait}"
    if "skipped" in check:
        by = check["skipped"].get("by")
        return f"skipped: {_names(by, labels) if by else 'something later'} came without it{wait}"
    one = check["quantity"]
    borne = " and ".join(f"{one[name]} {name}" for name in ("short", "over") if one.get(name))
    got, wanted = str(one["got"]).replace("_", " "), str(one["of"]).replace("_", " ")
    if one.get("compare") == "each":
        got = f"of each part {got}"
    return f"{got} differs from {wanted}" + (f" by more than {borne}" if borne else "") + wait


def _names(names: Any, labels: Mapping[str, str]) -> str:
    return " or ".join(f"“{labels.get(name, name.replace('_', ' '))}”" for name in names)


def _anchor(anchor: Any, labels: Mapping[str, str]) -> str:
    kind, name = anchor
    return "the opening" if kind == "opened" else labels.get(name, str(name).replace("_", " "))


def _moment(value: Any, where: str) -> str:
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return f"{in_zone(at, zone(where), at)} {where}"
