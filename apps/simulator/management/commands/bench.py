"""`manage.py bench webhook|ingest|project|sweep|page`: speed as ratios to a limit in the same run."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

BENCHES = ("webhook", "ingest", "project", "sweep", "page")


class Command(BaseCommand):
    help = "Measures speed as ratios. Exit 0: all goals met, 1: one missed, 2: the machine was not quiet enough to say."

    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("bench", choices=BENCHES)
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--rounds", type=int, default=5)
        parser.add_argument("--scale", choices=("small", "full"), default="small")
        parser.add_argument(
            "--peer", metavar="URL", default="", help="a running peer's ping address, such as Healthchecks'"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        result = importlib.import_module(f"benchmarks.{options['bench']}").run(options)
        if options["json"]:
            self.stdout.write(json.dumps(result.as_json(), indent=2))
        else:
            for goal in result.goals:
                word = "met" if goal.met else "MISSED"
                sign = ">=" if goal.better == "more" else "<="
                self.stdout.write(f"{word:7} {goal.name}: {goal.measured:.3f} (goal {sign} {goal.goal})")
            for name, value in result.notes.items():
                self.stdout.write(f"        {name}: {value}")
            for why in result.why_unstable:
                self.stdout.write(f"UNSTABLE {why}")
        sys.exit(result.exit_code)
