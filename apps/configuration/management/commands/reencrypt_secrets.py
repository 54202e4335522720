"""`manage.py reencrypt_secrets`: every secret under the newest key of SECRETS_KEYS (docs/operations.md)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.configuration.reencrypting import BATCH, Outcome, reencrypt
from apps.core import clock


class Command(BaseCommand):
    help = "Writes the secrets of integrations and channels anew under the newest key. Can be killed and run again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are to do")
        parser.add_argument("--batch", type=int, default=BATCH, help="secrets in one transaction (%(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        dry, outcome = options["dry_run"], Outcome()
        if options["batch"] < 1:
            raise CommandError("--batch is at least 1")
        for outcome in reencrypt(clock.now(), batch=options["batch"], dry=dry):
            if options["verbosity"] > 1:
                self.stdout.write(f"{outcome.renewed + outcome.current} looked at ..")
        verb = "would be written anew" if dry else "written anew"
        self.stdout.write(f"{outcome.renewed} {verb}, {outcome.current} under the newest key already.")
        if outcome.unreadable:
            named = "\n".join(outcome.unreadable)
            raise CommandError(
                f"{len(outcome.unreadable)} that no key of SECRETS_KEYS opens; enter them again:\n{named}"
            )
        if not dry:
            self.stdout.write("All secrets are under the newest key: the older ones can go.")
