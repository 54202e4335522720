"""`manage.py demo_backfill`: thirty days of the demo network's history through the real path."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from apps.core.models import Heartbeat
from apps.integrations.credentials import issue, live_secrets
from apps.integrations.models import Integration
from apps.simulator.beside import prepare
from apps.simulator.desk import set_out
from apps.simulator.history import backfill
from apps.simulator.live import Network
from apps.simulator.world import SUPPLIERS
from apps.sla import sweep

SEED = 7


class Command(BaseCommand):
    help = f"Tells the tower the demo network's past ({', '.join(SUPPLIERS)} and others). Once; a second call does nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=30)
        parser.add_argument("--seed", type=int, default=SEED)

    def handle(self, *args: Any, **options: Any) -> None:
        if Heartbeat.objects.filter(name="demo").exists():
            self.stdout.write("The demo network's past is already told.")
            return
        now = timezone.now()
        for integration in Integration.objects.all():
            if not live_secrets(integration.pk, now):
                issue(integration, now, None)

        def progress(done: int, total: int) -> None:
            self.stdout.write(f"\r{done:,} of {total:,} messages", ending="" if done < total else "\n")
            self.stdout.flush()

        prepare(settings.DROP_ROOT)
        backfill(now, options["days"], options["seed"], progress)
        detail = {"cursor": now.isoformat(), "seed": options["seed"]}
        Heartbeat.objects.update_or_create(name="demo", defaults={"at": now, "detail": detail})
        # what came while the past was told: else every busy feed would look quieter than usual at first sight
        missed = Network(settings.BASE_URL, options["seed"], timezone.now).catch_up()
        self.stdout.write(f"{missed:,} messages came meanwhile")
        self.stdout.write(str(sweep.run(timezone.now())))
        set_out(timezone.now())
