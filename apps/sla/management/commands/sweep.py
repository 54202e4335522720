"""`manage.py sweep [--now TIME]`: one round of the sweep by hand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core import clock
from apps.sla import sweep


class Command(BaseCommand):
    help = "Judges what is overdue, marks what is at risk, and hears which sources fell silent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--now", metavar="TIME", help="judge as of this time (ISO 8601; UTC without an offset)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            now = clock.parse_moment(options["now"]) if options["now"] else clock.now()
        except ValueError as error:
            raise CommandError(str(error)) from None
        told = {name: value for name, value in asdict(sweep.run(now)).items() if value}
        words = ", ".join(
            f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, tuple) else value}"
            for name, value in told.items()
        )
        self.stdout.write(f"Swept as of {now:%Y-%m-%d %H:%M:%S} UTC. {words or 'Nothing had changed'}.")
