"""`manage.py replay_anomaly ID`: the score of an anomaly, computed again from the evidence that was kept of it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.anomalies.contract import NoInputs, OtherModel
from apps.anomalies.models import Anomaly
from apps.anomalies.replaying import replayed


class Command(BaseCommand):
    help = "Computes an anomaly's score again from its kept evidence; fails when it differs or cannot be computed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("id", type=int, help="the number at the end of the anomaly's address")

    def handle(self, *args: Any, **options: Any) -> None:
        row = Anomaly.objects.filter(pk=options["id"]).first()
        if row is None:
            raise CommandError(f"There is no anomaly {options['id']}.")
        try:
            found = replayed(row)
        except (OtherModel, NoInputs) as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(row.title)
        self.stdout.write(f"model       {found.model}")
        self.stdout.write(f"stored      {found.stored!r}")
        self.stdout.write(f"recomputed  {found.again!r}")
        if not found.same:
            raise CommandError("The two differ: the evidence or the detector was changed without a new version.")
        self.stdout.write("The same, bit for bit.")
