"""`manage.py simulate`: the live demo network."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from apps.simulator.live import Network
from apps.simulator.management.commands.demo_backfill import SEED


class Command(BaseCommand):
    help = "Sends the demo network's messages over HTTP as their time comes, until interrupted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--base-url", default=settings.BASE_URL, help="where the tower listens")
        parser.add_argument("--seed", type=int, default=SEED)

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        network = Network(options["base_url"], options["seed"], timezone.now)
        missed = network.catch_up()
        self.stdout.write(f"caught up with {missed:,} messages; sending live to {options['base_url']}")
        network.run(stop.is_set)
