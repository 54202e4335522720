"""A flow definition as compiled values, and what the whole catalogue of definitions says about references. Pure.

The document (YAML in apps/flows/definition_files/, checked against `DEFINITION_SCHEMA`):

identified_by   reference kinds that are aliases of one flow; the first known one gives its key and label
parents         definitions this flow is a child of; an event naming both joins them
follows         reference kinds whose events also tell about the flow (traces, control numbers), never recursed into
opened_by       event types that open a flow; opened_by_parent: it opens as soon as it is joined to a parent's flow
partner_role    role in an event's parties that names the flow's partner; else the partner of its source
cancelled_by, reopened_by    event types
completed_by    milestones that must all be reached
void_by         reference kind -> event types that take such a child out of the count ("label voided")
pauses          what stops the clocks of rules that name it: on hold, waiting for stock; see `PauseSpec`
attributes      names in an event's data the flow remembers; the latest by happened time wins
totals          quantities told in several parts and added up: see `TotalSpec`
milestones      in order; see `MilestoneSpec`
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_NAMES = {"type": "array", "items": {"type": "string", "minLength": 1}, "uniqueItems": True}

DEFINITION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["identified_by", "milestones"],
    "additionalProperties": False,
    "properties": {
        "identified_by": {**_NAMES, "minItems": 1},
        "parents": _NAMES,
        "follows": _NAMES,
        "opened_by": _NAMES,
        "opened_by_parent": {"type": "boolean"},
        "partner_role": {"type": "string"},
        "cancelled_by": _NAMES,
        "reopened_by": _NAMES,
        "completed_by": _NAMES,
        "void_by": {"type": "object", "additionalProperties": _NAMES},
        "attributes": _NAMES,
        "totals": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "of", "told_by"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
                    "of": {"type": "string", "minLength": 1},
                    "told_by": {**_NAMES, "minItems": 1},
                    "per": {"type": "string", "minLength": 1},
                },
            },
        },
        "pauses": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "label", "begun_by", "ended_by"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
                    "label": {"type": "string", "minLength": 1, "maxLength": 100},
                    "begun_by": {**_NAMES, "minItems": 1},
                    "ended_by": {**_NAMES, "minItems": 1},
                    "when": {"type": "object"},
                },
            },
        },
        "milestones": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "label", "reached_by"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
                    "label": {"type": "string"},
                    "reached_by": {**_NAMES, "minItems": 1},
                    "undone_by": _NAMES,
                    "when": {"type": "object"},
                    "take": {"enum": ["first", "last"]},
                    "per": {"type": "string"},
                    "need": {"enum": ["any", "all"]},
                    "planned_from": {"type": "string"},
                    "estimated_from": {"type": "string"},
                    "optional": {"type": "boolean"},
                    "source": {"type": "string"},
                    "ours": {"type": "boolean"},
                },
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class PauseSpec:
    """A state of a flow in which nobody can be asked to go on. begun_by, ended_by: event types.

    when: data field -> value or list of values the beginning event must have.
    """

    name: str
    label: str
    begun_by: frozenset[str]
    ended_by: frozenset[str]
    when: Mapping[str, Any] = field(default_factory=dict)

    def begins(self, type_: str, data: Mapping[str, Any]) -> bool:
        return type_ in self.begun_by and _holds(self.when, data)


@dataclass(frozen=True, slots=True)
class TotalSpec:
    """A quantity that comes in parts: three deliveries of one order. Its sum is the flow's attribute ``name``.

    of: the field in an event's data; told_by: event types. per: the reference kind that tells parts apart: the newest
    word about a part counts, so that a correction replaces; an event without such a reference is no part, and a part
    that `void_by` takes out is not counted. Without per every event is a part.
    """

    name: str
    of: str
    told_by: frozenset[str]
    per: str = ""


@dataclass(frozen=True, slots=True)
class MilestoneSpec:
    """One milestone of a definition.

    reached_by / undone_by: event types; when: data field -> value or list of values the event must have;
    take: first or last time it is reached; per + need=all: reached when every known reference of kind ``per`` reached it;
    planned_from / estimated_from: names in the flow's dates; source: slug of the integration that should tell it;
    ours: the flow's partner does not owe it (we do, or a child flow's partner).
    """

    name: str
    label: str
    ordinal: int
    reached_by: frozenset[str]
    undone_by: frozenset[str] = frozenset()
    when: Mapping[str, Any] = field(default_factory=dict)
    take: str = "first"
    per: str = ""
    need: str = "any"
    planned_from: str = ""
    estimated_from: str = ""
    optional: bool = False
    source: str = ""
    ours: bool = False

    def holds(self, data: Mapping[str, Any]) -> bool:
        """Whether an event's data fulfils ``when``."""
        return _holds(self.when, data)


def _holds(when: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    for name, wanted in when.items():
        value = data.get(name)
        if value not in wanted if isinstance(wanted, list) else value != wanted:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Definition:
    """A compiled flow definition of one version."""

    id: int
    slug: str
    version: int
    name: str
    since: datetime
    identified_by: tuple[str, ...]
    parents: tuple[str, ...]
    follows: frozenset[str]
    opened_by: frozenset[str]
    opened_by_parent: bool
    partner_role: str
    cancelled_by: frozenset[str]
    reopened_by: frozenset[str]
    completed_by: tuple[str, ...]
    void_by: Mapping[str, frozenset[str]]
    attributes: tuple[str, ...]
    milestones: tuple[MilestoneSpec, ...]
    reaching: Mapping[str, tuple[MilestoneSpec, ...]]
    undoing: Mapping[str, tuple[MilestoneSpec, ...]]
    rank: Mapping[str, int]
    pauses: tuple[PauseSpec, ...] = ()
    totals: tuple[TotalSpec, ...] = ()

    def milestone(self, name: str) -> MilestoneSpec | None:
        return next((m for m in self.milestones if m.name == name), None)

    def label_of(self, name: str) -> str:
        """The people's word for a milestone."""
        found = self.milestone(name)
        return found.label if found else name


def _milestones(spec: Mapping[str, Any]) -> tuple[MilestoneSpec, ...]:
    return tuple(
        MilestoneSpec(
            name=m["name"],
            label=m["label"],
            ordinal=ordinal,
            reached_by=frozenset(m["reached_by"]),
            undone_by=frozenset(m.get("undone_by", ())),
            when=m.get("when", {}),
            take=m.get("take", "first"),
            per=m.get("per", ""),
            need=m.get("need", "any"),
            planned_from=m.get("planned_from", ""),
            estimated_from=m.get("estimated_from", ""),
            optional=m.get("optional", False),
            source=m.get("source", ""),
            ours=m.get("ours", False),
        )
        for ordinal, m in enumerate(spec["milestones"])
    )


def compile_definition(
    *, id: int, slug: str, version: int, name: str, since: datetime, spec: Mapping[str, Any]
) -> Definition:
    """Compiles a spec that satisfies `DEFINITION_SCHEMA`."""
    milestones = _milestones(spec)
    reaching: dict[str, list[MilestoneSpec]] = defaultdict(list)
    undoing: dict[str, list[MilestoneSpec]] = defaultdict(list)
    for milestone in milestones:
        for type_ in milestone.reached_by:
            reaching[type_].append(milestone)
        for type_ in milestone.undone_by:
            undoing[type_].append(milestone)
    return Definition(
        id=id,
        slug=slug,
        version=version,
        name=name,
        since=since,
        identified_by=tuple(spec["identified_by"]),
        parents=tuple(spec.get("parents", ())),
        follows=frozenset(spec.get("follows", ())),
        opened_by=frozenset(spec.get("opened_by", ())),
        opened_by_parent=spec.get("opened_by_parent", False),
        partner_role=spec.get("partner_role", ""),
        cancelled_by=frozenset(spec.get("cancelled_by", ())),
        reopened_by=frozenset(spec.get("reopened_by", ())),
        completed_by=tuple(spec.get("completed_by", ())),
        void_by={kind: frozenset(types) for kind, types in spec.get("void_by", {}).items()},
        attributes=tuple(spec.get("attributes", ())),
        milestones=milestones,
        reaching={type_: tuple(ms) for type_, ms in reaching.items()},
        undoing={type_: tuple(ms) for type_, ms in undoing.items()},
        rank={kind: rank for rank, kind in enumerate(spec["identified_by"])},
        pauses=tuple(
            PauseSpec(
                one["name"], one["label"], frozenset(one["begun_by"]), frozenset(one["ended_by"]), one.get("when", {})
            )
            for one in spec.get("pauses", ())
        ),
        totals=tuple(
            TotalSpec(one["name"], one["of"], frozenset(one["told_by"]), one.get("per", ""))
            for one in spec.get("totals", ())
        ),
    )


class Catalogue:
    """All definitions. Links follow the newest versions; a flow is folded by the version of its time."""

    def __init__(self, definitions: Iterable[Definition]) -> None:
        self.versions: dict[str, list[Definition]] = defaultdict(list)
        for definition in sorted(definitions, key=lambda d: d.version):
            self.versions[definition.slug].append(definition)
        self.active: dict[str, Definition] = {slug: versions[-1] for slug, versions in self.versions.items()}
        self.by_kind: dict[str, list[Definition]] = defaultdict(list)
        self.children: dict[str, list[Definition]] = defaultdict(list)
        for definition in self.active.values():
            for kind in definition.identified_by:
                self.by_kind[kind].append(definition)
            for parent in definition.parents:
                self.children[parent].append(definition)
        self.pairs: set[tuple[str, str]] = set()
        for definition in self.active.values():
            for kind in definition.identified_by:
                others = {*definition.identified_by, *definition.follows} - {kind}
                for parent in definition.parents:
                    if parent in self.active:
                        others.update(self.active[parent].identified_by)
                for other in others:
                    self.pairs.add((kind, other))
                    self.pairs.add((other, kind))

    def at(self, slug: str, when: datetime) -> Definition:
        """The version in force at a time: the newest made before it, else the first."""
        versions = self.versions[slug]
        for definition in reversed(versions):
            if definition.since <= when:
                return definition
        return versions[0]
