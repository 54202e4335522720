"""The auditor by itself, for cron or a timer: works while the worker, beat and the broker are down."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core import clock
from apps.notifications import auditing


class Command(BaseCommand):
    help = "Looks whether every message that is due was sent, tells the administrators and the dead-man switch."

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends with 1 and one sentence a line when something is wrong."""
        if troubles := auditing.audit(clock.now()):
            raise CommandError("\n".join(one.sentence for one in troubles))
        self.stdout.write("Everything that was due has been sent.")
