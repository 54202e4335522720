"""The editors' forms of contract terms and objectives: fields as people fill them, read into the row a file would have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.accounts.models import Team
from apps.configuration.agreements import TERM, Kind
from apps.flows.registry import load as load_definitions
from apps.incidents.models import Severity
from apps.integrations.models import Partner
from apps.reports.burning import WINDOWS
from apps.reports.models import ContractTerm, Objective
from apps.sla.models import SlaRule

ROLLING = "rolling"
#: field -> decimals it may have
NUMBERS = {"amount": 4, "cap_each": 2, "cap_month": 2, "target": 3}
TEXTS = (
    *("name", "payer", "basis", "currency", "partner", "rule", "valid_from", "valid_until"),
    *("flow", "lane", "service", "severity", "team", "window", "days"),
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form. kind: text, number, day, choice, checks or switch; value: text, or the ticked ones of checks."""

    name: str
    label: str
    kind: str
    value: Any
    choices: list[tuple[str, str]] = field(default_factory=list)
    help: str = ""
    wide: bool = False


@dataclass(slots=True)
class Form:
    """What was typed, and the row it makes. troubles: (field, sentence)."""

    values: dict[str, Any]
    row: dict[str, Any]
    troubles: list[tuple[str, str]] = field(default_factory=list)


def values_of(kind: Kind, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the form's texts."""
    values: dict[str, Any] = {
        name: "" if value is None else str(value) for name, value in row.items() if name != "alerts"
    }
    if kind is TERM:
        return {"payer": "partner", "basis": "per_event", "currency": "EUR", **values}
    said = row.get("alerts", [one.alert for one in WINDOWS])
    values["alerts"] = [] if said == "none" else list(said)
    values["window"] = str(row.get("period", ROLLING))
    values["active"] = "" if row.get("active") is False else "on"
    return {"days": "30", "severity": "high", **values}


def read(kind: Kind, posted: Any, slug: str) -> Form:
    """slug: of what is changed, '' for something new, whose short name is typed."""
    typed = {name: posted.get(name, "").strip()[:200] for name in (*TEXTS, *NUMBERS, "slug")}
    values: dict[str, Any] = {**typed, "slug": slug or typed["slug"]}
    form = Form(values, {"slug": values["slug"]})
    if not values["slug"]:
        form.troubles.append(("slug", "Give it a short name: small letters, digits and hyphens."))
    if not values["name"]:
        form.troubles.append(("name", "Give it a name that people know it by."))
    names = ["name", "partner", "rule"]
    if kind is TERM:
        names += ["payer", "basis", "valid_from", "valid_until"]
        values["currency"] = values["currency"].upper()
        names.append("currency")
        numbers = ["amount", "cap_each", "cap_month"]
    else:
        names += ["flow", "lane", "service", "severity", "team"]
        numbers = ["target"]
        _window(form)
        values["alerts"] = [one.alert for one in WINDOWS if one.alert in posted.getlist("alerts")]
        values["active"] = "on" if posted.get("active") else ""
        form.row["alerts"] = values["alerts"] or "none"
        form.row["active"] = bool(values["active"])
    form.row |= {name: values[name] for name in names if values[name]}
    for name in numbers:
        _number(form, name)
    return form


def _window(form: Form) -> None:
    if form.values["window"] != ROLLING:
        form.row["period"] = form.values["window"]
    elif form.values["days"].isascii() and form.values["days"].isdecimal() and len(form.values["days"]) < 5:
        form.row["days"] = int(form.values["days"])
    else:
        form.troubles.append(("days", "The days are a whole number from 1 to 366."))


def _number(form: Form, name: str) -> None:
    text = form.values[name]
    if not text:
        return
    try:
        number = Decimal(text)
        if not number.is_finite() or abs(number) > 10**12:
            raise InvalidOperation
    except InvalidOperation:
        form.troubles.append((name, f"“{text[:40]}” is no number; write it like 45.50."))
        return
    if number != number.quantize(Decimal(1).scaleb(-NUMBERS[name])):
        form.troubles.append((name, f"{NUMBERS[name]} decimals are the most."))
        return
    form.row[name] = int(number) if number == int(number) else float(number)


def fields(kind: Kind, values: Mapping[str, Any], new: bool) -> list[list[Field]]:
    """Rows of fields, as they stand on the page."""

    def one(
        name: str, label: str, sort: str = "text", choices: Iterable[Any] = (), help: str = "", wide: bool = False
    ) -> Field:
        given = values.get(name, "")
        return Field(name, label, sort, given, [(str(a), str(b)) for a, b in choices], help, wide)

    partners = [("", "Every partner"), *Partner.objects.order_by("name").values_list("slug", "name")]
    rules = [("", "Every rule"), *sorted(dict(SlaRule.objects.order_by("version").values_list("slug", "name")).items())]
    first = [one("name", "Name", wide=True)]
    if new:
        first.append(one("slug", "Short name", help="Files and the API name it by this."))
    if kind is TERM:
        return [
            first,
            [
                one("payer", "Who pays", "choice", ContractTerm.Payer.choices),
                one("basis", "Counted", "choice", ContractTerm.Basis.choices),
            ],
            [
                one("amount", "Amount", "number", help="Money, or percent for a share of the value."),
                one("currency", "Currency"),
            ],
            [one("partner", "Partner", "choice", partners), one("rule", "Rule", "choice", rules)],
            [
                one("cap_each", "Most for one promise", "number", help="Empty: no cap."),
                one("cap_month", "Most in a month", "number", help="Empty: no cap."),
            ],
            [
                one("valid_from", "Counts from", "day", help="Empty: always."),
                one("valid_until", "Until, with that day", "day", help="Empty: until further notice."),
            ],
        ]
    flows = [("", "Every flow"), *sorted((slug, one.name) for slug, one in load_definitions().catalogue.active.items())]
    teams = [("", "Nobody in particular"), *Team.objects.order_by("name").values_list("slug", "name")]
    windows = [
        (ROLLING, "The last days"),
        *((value, f"This {label.lower()}") for value, label in Objective.Period.choices),
    ]
    return [
        first,
        [
            one("target", "Target, % to be kept", "number", help="Below 100: the rest is the error budget."),
            one("window", "Window", "choice", windows),
            one("days", "Days of it", "number", help="Of “the last days”."),
        ],
        [one("rule", "Rule", "choice", rules), one("partner", "Partner", "choice", partners)],
        [
            one("flow", "Flow", "choice", flows),
            one("lane", "Lane", help="DE>FR; empty: any."),
            one("service", "Service"),
        ],
        [one("severity", "Incident’s severity", "choice", Severity.choices), one("team", "Team", "choice", teams)],
        [
            one("alerts", "Tell when the budget burns too fast within", "checks", [(w.alert, w.name) for w in WINDOWS]),
            one("active", "Measured", "switch"),
        ],
    ]
