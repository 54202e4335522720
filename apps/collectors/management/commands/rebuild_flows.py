"""`manage.py rebuild_flows`: every flow, milestone and expectation again from the events alone."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from apps.flows.rebuilding import digest, rebuild
from apps.sla.expectations import refresh


class Command(BaseCommand):
    help = "Rebuilds all flows from their events in one transaction; readers see the old ones until it is done."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=2000, help="events per batch")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        before, done = digest(), 0
        for done, states in rebuild(now, options["batch"]):
            refresh(states, now)
            self.stdout.write(f"\r{done} events", ending="")
            self.stdout.flush()
        after = digest()
        verdict = "unchanged" if before == after else f"changed (was {before})"
        self.stdout.write(f"\r{done} events; digest {after}, {verdict}")
