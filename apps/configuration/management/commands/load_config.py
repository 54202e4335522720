"""`manage.py load_config FILE..`: partners, integrations, mappings, calendars, flows, rules, teams, users from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.configuration.documents import ConfigError, read
from apps.configuration.loading import check, load


class Command(BaseCommand):
    help = "Loads configuration files (YAML). All of them or nothing; loading twice changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a YAML file, or a folder of them")
        parser.add_argument("--check", action="store_true", help="only check against the schema")

    def handle(self, *args: Any, **options: Any) -> None:
        files = [one for path in options["files"] for one in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])]
        try:
            documents = [read(path) for path in files]
            if options["check"]:
                problems = [problem for document in documents for problem in check(document)]
                if problems:
                    raise ConfigError(problems)
                self.stdout.write(f"{len(documents)} file(s) are sound.")
                return
            changes = load(documents, timezone.now())
        except ConfigError as problem:
            raise CommandError(f"nothing was loaded:\n{problem}") from None
        for change in changes:
            self.stdout.write(f"{change.section} {change.key}: {change.what}")
        self.stdout.write(f"{len(changes)} change(s) from {len(documents)} file(s).")
