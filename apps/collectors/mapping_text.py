"""A mapping as people write it: YAML text to a document and back; what is wrong, with its line, column and place. Pure.

Safe YAML, and less of it: no anchors (a short text must not unfold into a long one), no times, no yes/no and no numbers
in base 60, since a partner's codes are texts such as NO or 12:30. Keys are texts, and each stands once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from apps.collectors.mapping_rules import MappingError, compile_mapping, remarks

MAX_LENGTH = 200_000
_QUOTED = re.compile(r"'([^']+)'|“([^”]+)”")
_RESOLVERS = {
    "tag:yaml.org,2002:bool": (re.compile(r"^(?:true|false)$"), "tf"),
    "tag:yaml.org,2002:int": (re.compile(r"^(?:0|-?[1-9][0-9]*)$"), "-0123456789"),
    "tag:yaml.org,2002:float": (re.compile(r"^-?(?:0|[1-9][0-9]*)\.[0-9]+$"), "-0123456789"),
    "tag:yaml.org,2002:null": (re.compile(r"^(?:~|null|)$"), "~n\0"),
    "tag:yaml.org,2002:merge": (re.compile(r"^(?!)"), "<"),
}
#: what the schema says -> what people understand
_WORDS = (
    (re.compile(r"^Additional properties are not allowed \((.*) (?:was|were) unexpected\)\.$"), r"\1 is no field here."),
    (re.compile(r"^('[^']+') is a required property\.$"), r"\1 is missing here."),
    (re.compile(r"^.* is not valid under any of the given schemas\.$", re.S), "This has none of the forms allowed here."),
    (re.compile(r"^(.*) is not of type (.*)\.$", re.S), r"Expected \2, found \1."),
    (re.compile(r"^(.*) does not match '\^\[a-z\].*$", re.S), r"\1 is no name: small letters, digits and _ only, parts with dots."),
)  # fmt: skip

Mark = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong (or odd) in a mapping text. line, column: from 1; place: 'events[2].type', '' for the whole."""

    line: int
    column: int
    place: str
    sentence: str


@dataclass(frozen=True, slots=True)
class MappingText:
    """A text read. spec: None when it cannot be used, and then troubles says why; remarks: allowed, probably slips."""

    spec: dict[str, Any] | None
    troubles: tuple[Trouble, ...] = ()
    remarks: tuple[Trouble, ...] = ()


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()
            raise yaml.MarkedYAMLError(None, None, "anchors and aliases are not read here", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        return {_key(key): self.construct_object(value, deep=True) for key, value in node.value}


class _Dumper(yaml.SafeDumper):
    """Short things on one line, tables of codes a line each."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "default_flow_style": None})

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> Any:
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = node.flow_style and len(node.value) <= 3
        return node

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.MarkedYAMLError(None, None, "a key must be a text", node.start_mark)
    return str(node.value)


def _construct_map(loader: Any, node: Any) -> dict[str, Any]:
    return dict(loader.construct_mapping(node, deep=True))


for _tag, (_regexp, _first) in _RESOLVERS.items():
    _Loader.add_implicit_resolver(_tag, _regexp, [letter if letter != "\0" else "" for letter in _first])
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)


def read(text: str) -> MappingText:
    """Reads a mapping text; never raises."""
    if len(text) > MAX_LENGTH:
        return MappingText(None, (Trouble(1, 1, "", f"A mapping has at most {MAX_LENGTH:,} characters."),))
    marks: dict[str, Mark] = {"": (1, 1)}
    values: list[tuple[str, str, Mark]] = []
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return MappingText(None, (Trouble(1, 1, "", "The mapping is empty: it needs events."),))
            troubles = list(_walk(node, "", marks, values))
            spec = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return MappingText(None, (Trouble(line, column, "", f"Not valid YAML: {error.problem or error.context}."),))
    except (yaml.YAMLError, ValueError) as error:
        return MappingText(None, (Trouble(*_char_place(text, error), "", f"Not valid YAML: {_first_line(error)}."),))
    except RecursionError:
        return MappingText(None, (Trouble(1, 1, "", "The mapping is nested too deeply."),))
    if not troubles and not isinstance(spec, dict):
        troubles.append(Trouble(1, 1, "", "A mapping has fields such as events:, zone: and defaults:."))
    if troubles:
        return MappingText(None, tuple(troubles))
    return _checked(spec, marks, values)


def write(spec: Mapping[str, Any]) -> str:
    """A mapping document as YAML text that `read` gives back."""
    text: str = yaml.dump(dict(spec), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def shown(spec: Mapping[str, Any], source: str) -> str:
    """The text of a kept mapping: as its author wrote it while that still says the same, comments included."""
    return source if source and read(source).spec == spec else write(spec)


def _checked(spec: dict[str, Any], marks: dict[str, Mark], values: list[tuple[str, str, Mark]]) -> MappingText:
    try:
        compile_mapping(spec)
        told = remarks(spec)
    except MappingError as error:
        line, column = _find(error.place, error.sentence, marks, values)
        return MappingText(None, (Trouble(line, column, error.place, _plain(error.sentence)),))
    odd = []
    for remark in told:
        place, _, sentence = remark.partition(": ")
        name = sentence.removeprefix("the event type ").removeprefix("the reference kind ").partition(" ")[0]
        mark = next((at for where, value, at in values if where.startswith(place) and value == name), None)
        line, column = mark or marks.get(place, (1, 1))
        odd.append(Trouble(line, column, place, f"{sentence[0].upper()}{sentence[1:]}."))
    return MappingText(spec, (), tuple(odd))


def _walk(
    node: yaml.Node, place: str, marks: dict[str, Mark], values: list[tuple[str, str, Mark]]
) -> Iterator[Trouble]:
    mark = (node.start_mark.line + 1, node.start_mark.column + 1)
    marks.setdefault(place, mark)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = _key(key)
            here = f"{place}.{name}" if place else name
            marks[here] = (key.start_mark.line + 1, key.start_mark.column + 1)
            values.append((here, name, marks[here]))
            if name in seen:
                yield Trouble(*marks[here], here, f"“{name}” stands here a second time.")
            seen.add(name)
            yield from _walk(value, here, marks, values)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _walk(item, f"{place}[{number}]", marks, values)
    elif isinstance(node, yaml.ScalarNode):
        values.append((place, str(node.value), mark))


def _find(place: str, sentence: str, marks: dict[str, Mark], values: list[tuple[str, str, Mark]]) -> Mark:
    """Where a trouble stands: what its sentence quotes, below its place; else the place, or what holds it."""
    near = place
    while near and near not in marks:
        near = max((one for one in marks if near.startswith(one) and one != near), key=len, default="")
    for match in _QUOTED.finditer(sentence):
        quoted = match[1] or match[2]
        for where, value, mark in values:
            if value == quoted and where.startswith(near):
                return mark
    return marks.get(near, (1, 1))


def _plain(sentence: str) -> str:
    for pattern, words in _WORDS:
        if pattern.match(sentence):
            return pattern.sub(words, sentence)
    return sentence


def _char_place(text: str, error: Exception) -> Mark:
    at = getattr(error, "position", 0)
    at = at if isinstance(at, int) else 0
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
