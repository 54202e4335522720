"""YAML documents that remember on which line each value stands, so that an error can point at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Place = tuple[str | int, ...]


class ConfigError(Exception):
    """What is wrong with a configuration file; one line for each problem: file, line, what is expected."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Document:
    """One file: its values and the line of each place in them."""

    name: str
    data: Mapping[str, Any]
    lines: Mapping[Place, int]

    def where(self, place: Sequence[str | int]) -> str:
        """``file.yaml, line 12`` for the nearest known place above."""
        path = tuple(place)
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}, line {self.lines.get(path, 1)}"


class _Loader(yaml.SafeLoader):
    """Safe YAML without the surprises of 1.1: times and dates stay texts, a key may stand only once."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: Path) -> Document:
    """Reads one file. Raises `ConfigError` when it is not YAML or not a mapping of sections."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise ConfigError([f"{path}: cannot be read: {problem.strerror}"]) from None
    except UnicodeDecodeError as problem:
        raise ConfigError([f"{path}: is not UTF-8 (byte {problem.start})"]) from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Document:
    """Parses YAML text under a name used in errors."""
    lines: dict[Place, int] = {}
    problems: list[str] = []
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return Document(name, {}, {})
            _walk(node, (), lines, problems, name)
            data = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else 1
        raise ConfigError([f"{name}, line {line}: not valid YAML: {problem.problem or problem}"]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        raise ConfigError([f"{name}: not valid YAML: {problem}"]) from None
    if problems:
        raise ConfigError(problems)
    if not isinstance(data, dict):
        raise ConfigError(
            [f"{name}, line 1: expected sections (partners:, integrations:, ...), found a {type(data).__name__}"]
        )
    return Document(name, data, lines)


def _walk(node: yaml.Node, path: Place, lines: dict[Place, int], problems: list[str], name: str) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            here = (*path, str(key.value))
            if str(key.value) in seen:
                problems.append(f"{name}, line {key.start_mark.line + 1}: {key.value!r} stands here a second time")
            seen.add(str(key.value))
            lines[here] = key.start_mark.line + 1
            _walk(value, here, lines, problems, name)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _walk(item, (*path, number), lines, problems, name)


def dump(data: Mapping[str, Any]) -> str:
    """YAML text of sections, in their order."""
    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=110)
