"""`manage.py bench webhook|ingest|project|sweep|page|import`: speed as ratios to a limit in the same run."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser
from django.core.management.utils import get_random_secret_key

BENCHES = (
    "raise",
    "webhook",
    "ingest",
    "project",
    "sweep",
    "rederive",
    "page",
    "import",
    "parse",
    "odoo",
    "backtest",
    "detection",
    "report",
    "grouping",
    "risk",
)
#: benches whose module has another name
MODULES = {"import": "importing", "raise": "raise_findings"}


class Command(BaseCommand):
    help = "Measures speed as ratios. Exit 0: all goals met, 1: one missed, 2: the machine was not quiet enough to say."

    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("bench", choices=BENCHES)
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--rounds", type=int, default=5)
        parser.add_argument("--scale", choices=("small", "full"), default="small")
        parser.add_argument(
            "--peer",
            metavar="URL",
            default="",
            help="a running peer's ping address, such as Healthchecks'; of import: a Python that has pm4py",
        )
        parser.add_argument("--data", metavar="DIR", default="", help="of detection: where nab/ and olist/ lie")
        parser.add_argument("--log", metavar="FILE", default="", help="of import: an XES log in place of a made one")

    def handle(self, *args: Any, **options: Any) -> None:
        _keys()
        result = importlib.import_module(f"benchmarks.{MODULES.get(options['bench'], options['bench'])}").run(options)
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


def _keys() -> None:
    """A clone where the tower never ran has no keys of its own; what a bench signs and encrypts ends with it."""
    try:
        settings.SECRET_KEY  # noqa: B018 (Django refuses to tell an empty one)
    except ImproperlyConfigured:
        settings.SECRET_KEY = get_random_secret_key()
    settings.SECRETS_KEYS = settings.SECRETS_KEYS or [Fernet.generate_key().decode()]
    # for the servers and workers a bench starts
    os.environ |= {"SECRET_KEY": settings.SECRET_KEY, "SECRETS_KEYS": ",".join(settings.SECRETS_KEYS)}
