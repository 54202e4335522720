"""manage.py ingest --integration SLUG FILE..: files through the same path as the doors."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.collectors.intake import CannotTake, Taken, collector_of, files_of, take_in
from apps.core import clock
from apps.integrations.models import Integration


class Command(BaseCommand):
    help = (
        "Takes files (or the files of folders) in as deliveries of an integration and says what became of each. "
        "Exit code 0: all read; 1: some gave dead letters; 2: nothing could be taken."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--integration", required=True, metavar="SLUG")
        parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
        parser.add_argument("--backfill", action="store_true", help="it is history: raise no incident, page nobody")
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            integration = Integration.objects.get(slug=options["integration"])
        except Integration.DoesNotExist:
            raise CommandError(f"There is no integration {options['integration']!r}.", returncode=2) from None
        found: list[Taken] = []
        try:
            files = list(files_of(options["files"], collector_of(integration)))
            if not files:
                raise CannotTake("No file of a kind this integration takes was found there.")
            for taken in take_in(integration, files, clock.now, backfill=options["backfill"]):
                found.append(taken)
                if not options["json"]:
                    self._tell(taken)
        except CannotTake as error:
            raise CommandError(str(error), returncode=2) from None
        if options["json"]:
            self.stdout.write(json.dumps(_document(integration, found), indent=2, ensure_ascii=False))
        else:
            self._sum_up(found)
        if any(taken.has_dead_letters for taken in found):
            sys.exit(1)

    def _tell(self, taken: Taken) -> None:
        counts = f"{taken.events} events, {taken.duplicates} duplicates"
        if taken.conflicts:
            counts += f", {taken.conflicts} conflicts"
        self.stdout.write(f"{taken.file}: receipt {taken.receipt}, {taken.status}, {counts}")
        for letter in taken.letters:
            place = f" at {letter.position}" if letter.position else ""
            self.stdout.write(f"  {letter.severity} {letter.code}{place}: {letter.sentence}")

    def _sum_up(self, found: list[Taken]) -> None:
        letters = sum(letter.severity == "error" for taken in found for letter in taken.letters)
        self.stdout.write(
            f"{len(found)} receipts, {sum(t.events for t in found)} events, "
            f"{sum(t.duplicates for t in found)} duplicates, {letters} dead letters"
        )


def _document(integration: Integration, found: list[Taken]) -> dict[str, Any]:
    return {
        "integration": integration.slug,
        "receipts": [
            {
                "file": taken.file,
                "receipt": taken.receipt,
                "status": taken.status,
                "events": taken.events,
                "duplicates": taken.duplicates,
                "conflicts": taken.conflicts,
                "dead_letters": [
                    {
                        "severity": letter.severity,
                        "code": letter.code,
                        "position": letter.position,
                        "sentence": letter.sentence,
                        "fragment": letter.fragment,
                    }
                    for letter in taken.letters
                ],
            }
            for taken in found
        ],
        "events": sum(taken.events for taken in found),
        "duplicates": sum(taken.duplicates for taken in found),
        "conflicts": sum(taken.conflicts for taken in found),
        "dead_letters": sum(letter.severity == "error" for taken in found for letter in taken.letters),
    }
