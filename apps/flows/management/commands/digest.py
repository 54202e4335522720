"""`manage.py digest`: one hash over the whole projection."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from apps.flows.rebuilding import digest


class Command(BaseCommand):
    help = "Prints one hash over all flows, their links and the orphans; equal sets of events give equal hashes."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(str(digest()))
