"""`manage.py report_rollups`: compares the rollups of reports with a recount of the ledger; --rebuild fills them anew."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core import clock
from apps.reports import rollups


class Command(BaseCommand):
    help = "Compares the rollups of reports with a recount. Exit 1 when they differ."

    def add_arguments(self, parser: CommandParser) -> None:
        today = clock.now().date()
        parser.add_argument("--since", default=str(today - timedelta(days=40)), help="first day, YYYY-MM-DD")
        parser.add_argument("--until", default=str(today + timedelta(days=40)), help="the day after the last")
        parser.add_argument("--rebuild", action="store_true", help="fill them anew; writers wait meanwhile")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["rebuild"]:
            self.stdout.write(f"filled anew: {rollups.rebuild():,} cells of days")
            return
        try:
            first, after = date.fromisoformat(options["since"]), date.fromisoformat(options["until"])
        except ValueError:
            raise CommandError("--since and --until are days: YYYY-MM-DD") from None
        if found := rollups.differences(first, after):
            raise CommandError(f"{found} cells differ from a recount; mend with --rebuild, and tell the developers")
        self.stdout.write("the rollups equal a recount")
