"""manage.py collect SLUG [--once]: reads a source that does not send by itself."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.collectors.polling import PollSummary, poll_one, reading
from apps.collectors.processing import process
from apps.core import clock
from apps.integrations.models import Integration


class Command(BaseCommand):
    help = (
        "Reads a source (an Odoo, a watched folder) and processes what it brought. With --once until everything is read, else again and "
        "again until interrupted. Exit code 0: read; 1: it could not be read; 2: there is no such source."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="the integration")
        parser.add_argument("--once", action="store_true", help="stop when everything is read")

    def handle(self, *args: Any, **options: Any) -> None:
        slug = options["slug"]
        integration = Integration.objects.filter(slug=slug).first()
        if integration is None:
            raise CommandError(f"There is no integration {slug!r}.", returncode=2)
        if not Integration.objects.filter(reading(), slug=slug).exists():
            sentence = f"{slug} is of kind {integration.kind!r}, which sends by itself, and it names no watched folder."
            raise CommandError(sentence, returncode=2)
        interval = int(integration.settings.get("poll_seconds") or 60)
        while True:
            summary = poll_one(slug, clock.now())
            if summary is None:
                raise CommandError(
                    f"{slug} is not read now: it is disabled, or a worker is reading it at this moment.", returncode=1
                )
            self._tell(summary)
            while process(clock.now()).moved:
                pass
            if options["once"] and not summary.more:
                sys.exit(1 if summary.error else 0)
            if not summary.more:
                time.sleep(interval)

    def _tell(self, summary: PollSummary) -> None:
        self.stdout.write(f"{summary.slug}: {summary.receipts} receipts" + (", more to come" if summary.more else ""))
        if summary.error:
            self.stderr.write(summary.error)
