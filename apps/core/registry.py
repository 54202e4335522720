"""Plugins are files in a folder: each module of ``package`` that defines a subclass of ``base`` registers itself.

Other distributions add plugins through entry points of the group ``controltower.<folder>``. Two plugins of one kind
stop the start-up: silence there would mean the wrong code reads a partner's messages.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cached_property
from importlib.metadata import entry_points
from typing import Generic, TypeVar

P = TypeVar("P")


class DuplicateKind(RuntimeError):
    """Two plugin classes claim the same kind."""


class Registry(Generic[P]):
    """kind -> plugin instance, discovered on first use."""

    def __init__(self, package: str, base: type[P]) -> None:
        self.package = package
        self.base = base

    @cached_property
    def plugins(self) -> dict[str, P]:
        found: dict[str, P] = {}
        modules = [importlib.import_module(self.package)]
        modules += [
            importlib.import_module(f"{self.package}.{info.name}")
            for info in sorted(pkgutil.iter_modules(modules[0].__path__), key=lambda info: info.name)
        ]
        classes: list[type[P]] = []
        for module in modules:
            for value in vars(module).values():
                if (
                    isinstance(value, type)
                    and issubclass(value, self.base)
                    and value.__module__ == module.__name__
                    and value.__dict__.get("kind")
                ):
                    classes.append(value)
        group = f"controltower.{self.package.rsplit('.', 1)[-1]}"
        classes += [entry.load() for entry in entry_points(group=group)]
        for cls in classes:
            kind = cls.kind  # type: ignore[attr-defined]
            if kind in found:
                raise DuplicateKind(
                    f"{cls.__module__}.{cls.__name__} and {type(found[kind]).__module__} both say {kind!r}"
                )
            found[kind] = cls()
        return found

    def get(self, kind: str) -> P:
        """The plugin of this kind; KeyError names the known kinds."""
        try:
            return self.plugins[kind]
        except KeyError:
            raise KeyError(
                f"no plugin of kind {kind!r} in {self.package}; known: {', '.join(sorted(self.plugins))}"
            ) from None

    def choices(self) -> list[tuple[str, str]]:
        """(kind, label) pairs for form fields; a callable, so that a new plugin needs no migration."""
        return sorted((kind, plugin.label) for kind, plugin in self.plugins.items())  # type: ignore[attr-defined]
